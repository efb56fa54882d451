import type { CheckRequest } from '@quorate/api';
import type { HistoryOperation } from '@quorate/linearizability';
import type { World } from './world.js';

export type OperationOutcome = 'open' | 'done' | 'none' | 'unknown';

/** What a client asked and was told. Filled in as it happens; an operation that was never answered stays `open`. */
export interface ClientOperation {
  readonly id: number;
  readonly client: string;
  readonly kind: 'put' | 'delete' | 'get';
  readonly namespace: string;
  readonly key: string;
  /** Of a put: unique in this world. */
  readonly value: string | null;
  /** Compare-and-set: the revision that the entry must have; null: it must not exist; undefined: no condition. */
  readonly expected: number | null | undefined;
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
>;

/** All operations of all clients of one world. */
export class History {
  readonly operations: ClientOperation[] = [];
  readonly decisions: DecisionRecord[] = [];
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  invoke(invocation: Invocation): ClientOperation {
    const operation: ClientOperation = {
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

  /** In the words of the linearizability checker. `revisionOf` resolves open writes from the log, if it is known. */
  toCheck(revisionOf: (operation: ClientOperation) => number | null): HistoryOperation[] {
    return this.operations.flatMap((operation) => toCheck(operation, revisionOf));
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

export function describeOperation(operation: ClientOperation): string {
  const { id, kind, namespace, key, value, expected, outcome, code, revision, seen } = operation;
  const condition =
    expected === undefined ? '' : expected === null ? ' if absent' : ` if at revision ${expected}`;
  const what = kind === 'put' ? `put ${value} into` : kind;
  let told = '';
  if (outcome !== 'open') told = `: ${outcome}${code === null ? '' : ` (${code})`}`;
  if (revision !== null) told += ` at revision ${revision}`;
  if (seen !== null) {
    told += `, saw ${seen.entryRevision === null ? 'nothing' : `${seen.value ?? 'an entry'} of ${seen.entryRevision}`} at head ${seen.head}`;
  }
  return `operation ${id}, ${what} ${namespace}/${key}${condition}${told}`;
}
