import { effectOf, type CheckRequest, type StoreResponse } from '@quorate/api';
import { revision, type Condition, type Operation } from '@quorate/kv';
import type { ClientOperation, History } from './history.js';
import type { Host } from './host.js';
import { CACHED_NAMESPACE, STRICT_NAMESPACE } from './namespaces.js';
import type { SeededRandom } from './random.js';
import type { StoreAccess } from './store-access.js';
import { decodeText, encodeText } from './text.js';
import type { TrafficKind } from './traffic-kinds.js';

export const COUNTER_KEY = 'counter';

export interface TrafficOptions {
  readonly keyCount: number;
  readonly operationGapMs: number;
  readonly deadlineMs: number;
  /** Operations that one user has under way at a time. */
  readonly concurrency: number;
  /** What they do, by weight. */
  readonly kinds: readonly TrafficKind[];
  /** Called with each write that was acknowledged, at that moment. */
  readonly acknowledged?: (operation: ClientOperation) => void;
}

/** What a write asks for. */
type Asked = Pick<ClientOperation, 'namespace' | 'key' | 'value' | 'expected'> & {
  readonly kind: Exclude<ClientOperation['kind'], 'get'>;
  readonly reusesKey?: boolean;
  readonly changesKind?: boolean;
  readonly token?: string;
  readonly tokenIs?: ClientOperation['tokenIs'];
};

const WRITES_WITH_KEY = 0.3;

export interface CounterValue {
  readonly count: number;
  readonly by: string;
}

/** One user: does what the table of kinds has, and writes down what was asked and told. */
export class TrafficUser {
  readonly #name: string;
  readonly #host: Host;
  readonly #access: StoreAccess;
  readonly #secondAccess: StoreAccess;
  readonly #history: History;
  readonly #options: TrafficOptions;
  #serial = 0;
  #stopped = false;
  /** An Idempotency-Key whose write was acknowledged: it may never again be used for another. */
  #spentKey: string | null = null;
  underWay = 0;

  /** `secondAccess`: another client of the same user, for asking again under an idempotency key. */
  constructor(
    host: Host,
    through: { readonly access: StoreAccess; readonly secondAccess: StoreAccess },
    history: History,
    options: TrafficOptions,
  ) {
    this.#name = host.name;
    this.#host = host;
    this.#access = through.access;
    this.#secondAccess = through.secondAccess;
    this.#history = history;
    this.#options = options;
  }

  get name(): string {
    return this.#name;
  }

  start(): void {
    for (let lane = 0; lane < this.#options.concurrency; lane += 1) this.#next();
  }
  stop(): void {
    this.#stopped = true;
  }

  #next(): void {
    const { random } = this.#host;
    this.#host.setTimer(random.exponential(this.#options.operationGapMs), () => {
      if (this.#stopped) return;
      this.underWay += 1;
      const done = (): void => {
        this.underWay -= 1;
        this.#next();
      };
      this.#drawKind().run(this, done);
    });
  }

  #drawKind(): TrafficKind {
    const { kinds } = this.#options;
    const total = kinds.reduce((sum, { weight }) => sum + weight, 0);
    let dice = this.random.below(total);
    for (const kind of kinds) {
      if (dice < kind.weight) return kind;
      dice -= kind.weight;
    }
    throw new RangeError('the dice fell beyond the table');
  }

  /** What the user's own choices are drawn from. */
  get random(): SeededRandom {
    return this.#host.random;
  }
  anyNamespace(): string {
    return this.random.chance(0.5) ? STRICT_NAMESPACE : CACHED_NAMESPACE;
  }
  anyKey(): string {
    return `key-${this.random.below(this.#options.keyCount)}`;
  }
  /** Unique in this world. */
  freshName(): string {
    this.#serial += 1;
    return `${this.#name}-${this.#serial}`;
  }

  get(namespace: string, key: string, done: (operation: ClientOperation) => void): void {
    const operation = this.#history.invoke({
      client: this.#name,
      kind: 'get',
      namespace,
      key,
      value: null,
      expected: undefined,
    });
    this.#access.get(namespace, key, this.#options.deadlineMs, (response) => {
      if (response.type === 'entry') {
        const { entry, head } = response;
        const value = entry === null ? null : decodeText(entry.value);
        const seen = { value, entryRevision: entry?.revision ?? null, head };
        this.#history.complete(operation, { outcome: 'done', seen });
      } else {
        const namespaceSeen = namespaceMissing(response);
        this.#history.complete(operation, { outcome: 'none', code: codeOf(response), namespaceSeen });
      }
      done(operation);
    });
  }

  /**
   * `expected`: the revision that the entry must have; null: it must not exist; undefined: whatever is there.
   */
  put(
    namespace: string,
    key: string,
    expected: number | null | undefined,
    done: (operation: ClientOperation) => void,
    value: string = JSON.stringify(this.freshName()),
  ): void {
    this.#write({ kind: 'put', namespace, key, value, expected }, done);
  }

  delete(
    namespace: string,
    key: string,
    expected: number | undefined,
    done: (operation: ClientOperation) => void,
  ): void {
    this.#write({ kind: 'delete', namespace, key, value: null, expected }, done);
  }

  /** By an access token of which is known what `tokenIs` says. */
  putByToken(
    token: string,
    tokenIs: ClientOperation['tokenIs'],
    done: (operation: ClientOperation) => void,
  ): void {
    const value = JSON.stringify(this.freshName());
    const [namespace, key] = [this.anyNamespace(), this.anyKey()];
    this.#write({ kind: 'put', namespace, key, value, expected: undefined, token, tokenIs }, done);
  }

  /** Under an Idempotency-Key that has been another write's, if there is one: a mistake, which must be told. */
  putUnderSpentKey(namespace: string, key: string, done: (operation: ClientOperation) => void): void {
    const value = JSON.stringify(this.freshName());
    const reusesKey = this.#spentKey !== null;
    this.#write({ kind: 'put', namespace, key, value, expected: undefined, reusesKey }, done);
  }

  /** `changesKind`: asks for the namespace as a strict one, although the name stands for a cached one for ever. */
  createNamespace(namespace: string, changesKind: boolean, done: (operation: ClientOperation) => void): void {
    this.#write(
      { kind: 'createNamespace', namespace, key: '', value: null, expected: undefined, changesKind },
      done,
    );
  }

  deleteNamespace(namespace: string, done: (operation: ClientOperation) => void): void {
    this.#write({ kind: 'deleteNamespace', namespace, key: '', value: null, expected: undefined }, done);
  }

  /** Nobody is bound by them: all users are the admin. But caches hear of it, and must not take it for a creation. */
  setReaders(namespace: string, done: (operation: ClientOperation) => void): void {
    this.#write({ kind: 'setReaders', namespace, key: '', value: null, expected: undefined }, done);
  }

  #write(asked: Asked, done: (operation: ClientOperation) => void): void {
    const { random } = this.#host;
    const operation = this.#history.invoke({ client: this.#name, ...asked });
    const command = commandOf(asked);
    const freshKey = random.chance(WRITES_WITH_KEY) ? `${this.#name}-operation-${operation.id}` : null;
    const key = asked.reusesKey === true ? this.#spentKey : freshKey;
    const { deadlineMs } = this.#options;
    const { token } = asked;
    const answered = (first: StoreResponse): void => {
      const finish = (response: StoreResponse): void => {
        this.#history.complete(operation, resultOf(asked.kind, response));
        if (operation.outcome === 'done') {
          // Keys belong to principals, and the one of a token is another.
          if (token === undefined) this.#spentKey = key ?? this.#spentKey;
          this.#options.acknowledged?.(operation);
        }
        done(operation);
      };
      if (key === null || resultOf(asked.kind, first).outcome !== 'unknown') return finish(first);
      // The second layer of exactly once: another client, another registration, the same Idempotency-Key.
      const again = (second: StoreResponse): void => finish(isDecided(second) ? second : first);
      this.#secondAccess.write(command, key, deadlineMs, again, token);
    };
    this.#access.write(command, key, deadlineMs, answered, token);
  }

  list(namespace: string, prefix: string, limit: number, done: () => void): void {
    const record = this.#history.list({ client: this.#name, namespace, prefix, limit });
    this.#access.list(namespace, { prefix, limit }, this.#options.deadlineMs, (response) => {
      if (response.type === 'entries') {
        const { truncated, head } = response;
        const entries = response.entries.map(({ key, value, revision: at }) => ({
          key,
          value: decodeText(value),
          revision: at,
        }));
        this.#history.listed(record, { type: 'listed', entries, truncated, head });
      } else {
        const head = namespaceMissing(response)?.head ?? null;
        this.#history.listed(record, { type: 'refused', code: codeOf(response), head });
      }
      done();
    });
  }

  check(check: CheckRequest, done: () => void): void {
    const record = this.#history.check(this.#name, check);
    this.#access.check(check, this.#options.deadlineMs, (response) => {
      if (response.type === 'decision') {
        const { allowed, revision: at, policies, reason } = response.decision;
        const { head } = response;
        this.#history.decided(record, { type: 'decided', allowed, revision: at, policies, reason, head });
      } else {
        this.#history.decided(record, { type: 'refused', code: codeOf(response) });
      }
      done();
    });
  }

  /** Requests that its clients wait for. */
  get outstanding(): number {
    return this.#access.outstanding + this.#secondAccess.outstanding;
  }
}

export function countOf(value: string | null): number {
  if (value === null) return 0;
  const parsed: unknown = JSON.parse(value);
  return typeof parsed === 'object' &&
    parsed !== null &&
    'count' in parsed &&
    typeof parsed.count === 'number'
    ? parsed.count
    : 0;
}

function commandOf(asked: Asked): Operation {
  const { kind, namespace, key, value, expected } = asked;
  if (kind === 'createNamespace')
    return { type: kind, namespace, kind: asked.changesKind === true ? 'strict' : 'cached' };
  if (kind === 'deleteNamespace') return { type: kind, namespace };
  if (kind === 'setReaders') return { type: kind, namespace, readers: ['ada'] };
  const condition: Condition =
    expected === undefined
      ? { type: 'none' }
      : expected === null
        ? { type: 'absent' }
        : { type: 'revision', revision: revision(expected) };
  if (kind === 'delete') return { type: 'delete', namespace, key, condition, ifNamespaceRevision: null };
  return {
    type: 'put',
    namespace,
    key,
    value: encodeText(value ?? ''),
    condition,
    ifNamespaceRevision: null,
  };
}

function resultOf(kind: Asked['kind'], response: StoreResponse): Parameters<History['complete']>[1] {
  if (response.type === 'written') {
    const { created, head } = response;
    // Of a namespace that was there already: nothing changed, so no revision is this write's own.
    if (kind === 'createNamespace' && !created)
      return { outcome: 'done', created, namespaceSeen: { exists: true, head } };
    return { outcome: 'done', revision: response.revision, created: response.created };
  }
  if (response.type !== 'failed') return { outcome: 'unknown', code: `answered with ${response.type}` };
  const { code, details } = response;
  if (code === 'PRECONDITION_FAILED' || code === 'ENTRY_NOT_FOUND') {
    const entryRevision = details.currentRevision ?? null;
    const value = entryRevision === null ? null : undefined;
    const seen = details.head === undefined ? null : { value, entryRevision, head: details.head };
    return { outcome: 'none', code, seen };
  }
  return { outcome: effectOf(code), code, namespaceSeen: namespaceMissing(response) };
}

/** That there is no such namespace is an answer as well, from a state with a head: an old one would be a stale read. */
function namespaceMissing(response: StoreResponse): ClientOperation['namespaceSeen'] {
  if (response.type !== 'failed' || response.code !== 'NAMESPACE_NOT_FOUND') return null;
  const { head } = response.details;
  return head === undefined ? null : { exists: false, head };
}

const SAID_UNDER_KEY: ReadonlySet<string> = new Set([
  'PRECONDITION_FAILED',
  'ENTRY_NOT_FOUND',
  'NAMESPACE_NOT_FOUND',
  'NAMESPACE_KIND_CONFLICT',
  'IDEMPOTENCY_KEY_REUSED',
]);

/** Said by the state machine under the idempotency key: it holds for the earlier attempt as well. */
function isDecided(response: StoreResponse): boolean {
  if (response.type !== 'failed') return true;
  return SAID_UNDER_KEY.has(response.code);
}

function codeOf(response: StoreResponse): string {
  return response.type === 'failed' ? response.code : `answered with ${response.type}`;
}
