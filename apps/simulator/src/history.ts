import type { CheckRequest } from '@quorate/api';
import type { HistoryOperation } from '@quorate/linearizability';
import { PASSING_NAMESPACE } from './namespaces.js';
import type { World } from './world.js';

export type OperationOutcome = 'open' | 'done' | 'none' | 'unknown';

/** What a client asked and was told. Filled in as it happens; an operation that was never answered stays `open`. */
export interface ClientOperation {
  readonly id: number;
  readonly client: string;
  readonly kind: 'put' | 'delete' | 'get' | 'createNamespace' | 'deleteNamespace' | 'setReaders';
  readonly namespace: string;
  /** Empty: it is about the namespace itself. */
  readonly key: string;
  /** Of a put: unique in this world. */
  readonly value: string | null;
  /** Compare-and-set: the revision that the entry must have; null: it must not exist; undefined: no condition. */
  readonly expected: number | null | undefined;
  /** Sent under the Idempotency-Key of another write, whose answer is known: it must be refused. */
  readonly reusesKey: boolean;
  /** Asks for a namespace that exists to be of the other kind: it must be refused. */
  readonly changesKind: boolean;
  /** The access token that it was sent by; null: the admin's. */
  readonly token: string | null;
  /** What was acknowledged of that token before: that it is known, that it is revoked; or it may be revoked meanwhile. */
  readonly tokenIs: 'known' | 'revoked' | 'ending';
  readonly invokedAt: number;
  readonly invokedMs: number;
  completedAt: number | null;
  completedMs: number | null;
  outcome: OperationOutcome;
  /** The code of a failure. */
  code: string | null;
  /** Of an acknowledged write. */
  revision: number | null;
  created: boolean | null;
  /** What was seen, by a read or by a refused comparison. */
  seen: {
    readonly value: string | null | undefined;
    readonly entryRevision: number | null;
    readonly head: number;
  } | null;
  /** What the answer said of the namespace itself: that it was there, or not, at that head. */
  namespaceSeen: { readonly exists: boolean; readonly head: number } | null;
}

/** One question for the entries of a namespace, and what was said. */
export interface ListRecord {
  readonly client: string;
  readonly namespace: string;
  readonly prefix: string;
  readonly limit: number;
  readonly invokedMs: number;
  /** Null: not answered yet. */
  told:
    | {
        readonly type: 'listed';
        readonly entries: readonly {
          readonly key: string;
          readonly value: string;
          readonly revision: number;
        }[];
        readonly truncated: boolean;
        readonly head: number;
      }
    /** `head`: of the state that refused, if one did. */
    | { readonly type: 'refused'; readonly code: string; readonly head: number | null }
    | null;
}

/** "May this principal do that?", and what was said. */
export interface DecisionRecord {
  readonly client: string;
  readonly check: CheckRequest;
  readonly invokedMs: number;
  /** Null: not answered yet. */
  told:
    | {
        readonly type: 'decided';
        readonly allowed: boolean;
        readonly revision: number;
        readonly policies: readonly string[];
        readonly reason: string;
        readonly head: number;
      }
    | { readonly type: 'refused'; readonly code: string }
    | null;
}

export type Invocation = Pick<
  ClientOperation,
  'client' | 'kind' | 'namespace' | 'key' | 'value' | 'expected'
> &
  Partial<Pick<ClientOperation, 'reusesKey' | 'changesKind' | 'token' | 'tokenIs'>>;

/** All operations of all clients of one world. */
export class History {
  readonly operations: ClientOperation[] = [];
  readonly decisions: DecisionRecord[] = [];
  readonly lists: ListRecord[] = [];
  /** Of the write that was acknowledged last: what a client may carry from one gateway to another. */
  recentRevision: number | null = null;
  /** The access token that was last used for a write; null: none yet. */
  recentToken: string | null = null;
  /** Of all that was acknowledged; 0 before the first. */
  newestRevision = 0;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  invoke(invocation: Invocation): ClientOperation {
    const operation: ClientOperation = {
      reusesKey: false,
      changesKind: false,
      token: null,
      tokenIs: 'known',
      ...invocation,
      id: this.operations.length + 1,
      invokedAt: this.#world.nextObservation(),
      invokedMs: this.#world.nowMs,
      completedAt: null,
      completedMs: null,
      outcome: 'open',
      code: null,
      revision: null,
      created: null,
      seen: null,
      namespaceSeen: null,
    };
    this.operations.push(operation);
    this.#world.tell(`${operation.client} asks: ${describeOperation(operation)}`);
    return operation;
  }

  complete(
    operation: ClientOperation,
    result: Partial<ClientOperation> & { outcome: OperationOutcome },
  ): void {
    Object.assign(operation, result);
    operation.completedAt = this.#world.nextObservation();
    operation.completedMs = this.#world.nowMs;
    this.recentRevision = operation.revision ?? this.recentRevision;
    this.recentToken = operation.token ?? this.recentToken;
    this.newestRevision = Math.max(this.newestRevision, operation.revision ?? 0);
    this.#world.tell(`${operation.client} is told: ${describeOperation(operation)}`);
  }

  check(client: string, check: CheckRequest): DecisionRecord {
    const record: DecisionRecord = { client, check, invokedMs: this.#world.nowMs, told: null };
    this.decisions.push(record);
    return record;
  }

  decided(record: DecisionRecord, told: DecisionRecord['told']): void {
    record.told = told;
    this.#world.tell(describeDecision(record));
  }

  list(asked: Pick<ListRecord, 'client' | 'namespace' | 'prefix' | 'limit'>): ListRecord {
    const record: ListRecord = { ...asked, invokedMs: this.#world.nowMs, told: null };
    this.lists.push(record);
    return record;
  }

  listed(record: ListRecord, told: ListRecord['told']): void {
    record.told = told;
    this.#world.tell(describeList(record));
  }

  /**
   * In the words of the linearizability checker. `revisionOf` resolves open writes from the log, if it is
   * known. Without the namespace that comes and goes: with it go its entries, which no write of theirs tells;
   * see `checkSnapshotReads`.
   */
  toCheck(revisionOf: (operation: ClientOperation) => number | null): HistoryOperation[] {
    return this.operations
      .filter(({ namespace, key }) => namespace !== PASSING_NAMESPACE && key !== '')
      .flatMap((operation) => toCheck(operation, revisionOf));
  }
}

function toCheck(
  operation: ClientOperation,
  revisionOf: (operation: ClientOperation) => number | null,
): HistoryOperation[] {
  const { id, client, invokedAt, completedAt, seen, outcome } = operation;
  const key = `${operation.namespace}/${operation.key}`;
  const checked: HistoryOperation[] = [];
  if (seen !== null && completedAt !== null) {
    // A refused comparison is a read of the entry's revision, besides being a write without effect.
    const readId = operation.kind === 'get' ? id : -id;
    checked.push({ type: 'read', id: readId, client, key, invokedAt, completedAt, ...seen });
  }
  if (operation.kind === 'get') return checked;
  const open = outcome === 'open' || outcome === 'unknown';
  const replaced =
    operation.expected ?? (operation.expected === null || operation.created === true ? null : undefined);
  checked.push({
    type: 'write',
    id,
    client,
    key,
    invokedAt,
    value: operation.value,
    replaced,
    outcome: open ? 'unknown' : outcome,
    completedAt: open ? null : completedAt,
    revision: open ? revisionOf(operation) : operation.revision,
  });
  return checked;
}

export function describeDecision({ client, check, told }: DecisionRecord): string {
  const { principal, action, resource } = check;
  const asked = `${client} asks whether ${principal.id} may ${action} ${resource.id}`;
  if (told === null) return asked;
  if (told.type === 'refused') return `${asked}: ${told.code}`;
  const { allowed, revision, head, reason } = told;
  return `${asked}: ${allowed ? 'yes' : 'no'} at access revision ${revision}, head ${head} (${reason})`;
}

export function describeList({ client, namespace, prefix, limit, told }: ListRecord): string {
  const asked = `${client} lists ${namespace}/${prefix}*, ${limit} at most`;
  if (told === null) return asked;
  if (told.type === 'refused') return `${asked}: ${told.code}`;
  const entries = told.entries.map(({ key, value, revision }) => `${key} = ${value} of ${revision}`);
  return `${asked}: ${entries.join(', ') || 'nothing'}${told.truncated ? ' and more' : ''} at head ${told.head}`;
}

export function describeOperation(operation: ClientOperation): string {
  const { id, kind, namespace, key, value, expected, outcome, code, revision, seen, namespaceSeen } =
    operation;
  const condition =
    expected === undefined ? '' : expected === null ? ' if absent' : ` if at revision ${expected}`;
  const what = kind === 'put' ? `put ${value} into` : kind;
  const hasKeyOf = operation.reusesKey ? ' under the key of another' : '';
  const byToken = operation.token === null ? '' : ` by a token that is ${operation.tokenIs}`;
  const asKind = operation.changesKind ? ' as the other kind' : '';
  let told = '';
  if (outcome !== 'open') told = `: ${outcome}${code === null ? '' : ` (${code})`}`;
  if (revision !== null) told += ` at revision ${revision}`;
  if (seen !== null) {
    told += `, saw ${seen.entryRevision === null ? 'nothing' : `${seen.value ?? 'an entry'} of ${seen.entryRevision}`} at head ${seen.head}`;
  }
  if (namespaceSeen !== null)
    told += `, ${namespaceSeen.exists ? 'there' : 'not there'} at head ${namespaceSeen.head}`;
  return `operation ${id}, ${what} ${namespace}/${key}${condition}${asKind}${hasKeyOf}${byToken}${told}`;
}
