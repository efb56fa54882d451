import { effectOf, type CheckRequest, type StoreResponse } from '@quorate/api';
import { revision, type Condition, type Operation } from '@quorate/kv';
import type { ClientOperation, History } from './history.js';
import type { Host } from './host.js';
import type { SeededRandom } from './random.js';
import type { StoreAccess } from './store-access.js';
import { decodeText, encodeText } from './text.js';
import type { TrafficKind } from './traffic-kinds.js';

export const STRICT_NAMESPACE = 'limits';
export const CACHED_NAMESPACE = 'content';
export const COUNTER_KEY = 'counter';

export interface TrafficOptions {
  readonly keyCount: number;
  readonly operationGapMs: number;
  readonly deadlineMs: number;
  /** Operations that one user has under way at a time. */
  readonly concurrency: number;
  /** What they do, by weight. */
  readonly kinds: readonly TrafficKind[];
}

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
        this.#history.complete(operation, { outcome: 'none', code: codeOf(response) });
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

  #write(
    asked: Pick<ClientOperation, 'namespace' | 'key' | 'value' | 'expected'> & {
      readonly kind: 'put' | 'delete';
    },
    done: (operation: ClientOperation) => void,
  ): void {
    const operation = this.#history.invoke({ client: this.#name, ...asked });
    const command = commandOf(asked);
    const key = this.#host.random.chance(0.3) ? `${this.#name}-operation-${operation.id}` : null;
    const { deadlineMs } = this.#options;
    this.#access.write(command, key, deadlineMs, (first) => {
      const finish = (response: StoreResponse): void => {
        this.#history.complete(operation, resultOf(response));
        done(operation);
      };
      if (key === null || resultOf(first).outcome !== 'unknown') return finish(first);
      // The second layer of exactly once: another client, another registration, the same Idempotency-Key.
      this.#secondAccess.write(command, key, deadlineMs, (second) => {
        finish(isDecided(second) ? second : first);
      });
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

function commandOf(
  asked: Pick<ClientOperation, 'namespace' | 'key' | 'value' | 'expected'> & {
    readonly kind: 'put' | 'delete';
  },
): Operation {
  const { namespace, key, value, expected } = asked;
  const condition: Condition =
    expected === undefined
      ? { type: 'none' }
      : expected === null
        ? { type: 'absent' }
        : { type: 'revision', revision: revision(expected) };
  if (asked.kind === 'delete')
    return { type: 'delete', namespace, key, condition, ifNamespaceRevision: null };
  return {
    type: 'put',
    namespace,
    key,
    value: encodeText(value ?? ''),
    condition,
    ifNamespaceRevision: null,
  };
}

function resultOf(response: StoreResponse): Parameters<History['complete']>[1] {
  if (response.type === 'written') {
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
  return { outcome: effectOf(code), code };
}

/** Said by the state machine under the idempotency key: it holds for the earlier attempt as well. */
function isDecided(response: StoreResponse): boolean {
  if (response.type !== 'failed') return true;
  return response.code === 'PRECONDITION_FAILED' || response.code === 'ENTRY_NOT_FOUND';
}

function codeOf(response: StoreResponse): string {
  return response.type === 'failed' ? response.code : `answered with ${response.type}`;
}
