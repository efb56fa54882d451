import type { HistoryOperation } from '@quorate/linearizability';
import type { Operation, Outcome, Tier } from './operation.js';

/** What is known of a request before it is sent. */
export interface Invocation {
  readonly client: string;
  readonly workload: string;
  readonly gateway: number;
  readonly tier: Tier;
  readonly action: string;
  readonly namespace: string;
  readonly key: string;
  readonly written: unknown;
  /** Absent: the request has no condition. */
  readonly expected?: number | null;
  readonly tokenSent?: string | null;
  readonly isWrite: boolean;
}

/** What is known of it afterwards. Whatever is left out stays as it was at the invocation. */
export type Completion = Partial<
  Pick<
    Operation,
    | 'gateway'
    | 'status'
    | 'code'
    | 'value'
    | 'revision'
    | 'attempts'
    | 'level'
    | 'head'
    | 'stalenessMs'
    | 'quorum'
    | 'token'
  >
> & { readonly outcome: Outcome };

type Draft = { -readonly [Name in keyof Operation]: Operation[Name] };

/**
 * The history of a run. An operation stands in it from its invocation on, as what it then is: a write that may happen, a read that saw nothing.
 * So a run that is cut short has an honest history, too.
 */
export class Recorder {
  readonly operations: Operation[] = [];

  /** `nowMs`: one monotonic clock, from the beginning of the run. */
  constructor(readonly nowMs: () => number) {}

  /** Records a request that is about to be sent; the result completes it, once. */
  begin(invocation: Invocation): (completion: Completion) => Operation {
    const { isWrite, ...known } = invocation;
    const draft: Draft = {
      ...known,
      id: this.operations.length + 1,
      tokenSent: invocation.tokenSent ?? null,
      invokedMs: this.nowMs(),
      completedMs: null,
      status: null,
      outcome: isWrite ? 'unknown' : 'none',
      code: null,
      revision: null,
      attempts: 1,
      level: null,
      head: null,
      stalenessMs: null,
      quorum: null,
      token: null,
    };
    this.operations.push(draft);
    return (completion) => {
      Object.assign(draft, completion);
      if (draft.status !== null) draft.completedMs = this.nowMs();
      return draft;
    };
  }
}

/** The one text of a value, to compare it by. */
export function textOf(value: unknown): string {
  return JSON.stringify(value);
}

/** `put 17 by register/3 through gateway 2 (5.210 to 5.230 s): done at revision 812`, for a story. */
export function describeOperation(operation: Operation): string {
  const { id, client, action, namespace, key, gateway, invokedMs, completedMs, outcome } = operation;
  const { written, value, revision, code, status, attempts, head, stalenessMs, level } = operation;
  const seconds = (ms: number | null): string => (ms === null ? 'never' : (ms / 1_000).toFixed(3));
  const what = written === null ? '' : ` ${shortened(textOf(written))}`;
  const told = [
    outcome === 'none' && code !== null ? `refused (${code})` : outcome,
    ...(value === undefined ? [] : [`saw ${shortened(textOf(value))}`]),
    ...(revision === null ? [] : [`revision ${revision}`]),
    ...(head === null ? [] : [`head ${head}`]),
    ...(level === null ? [] : [level]),
    ...(stalenessMs === null ? [] : [`age at most ${stalenessMs} ms`]),
    ...(status === null ? ['no answer'] : []),
    ...(attempts > 1 ? [`sent ${attempts} times`] : []),
  ].join(', ');
  return `#${id} ${action} ${namespace}/${key}${what} by ${client} through gateway ${gateway} (${seconds(invokedMs)} to ${seconds(completedMs)} s): ${told}`;
}

function shortened(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Actions that are about one entry, and what a checker makes of each. All others are judged by their workload alone. */
const ENTRY_WRITES = new Set(['put', 'compareAndSet', 'delete']);
const ENTRY_READS = new Set(['get', 'final get']);

/**
 * What both linearizability checkers are given: the strict requests for single entries. A refused comparison is also a read of the entry's
 * revision, under the negative id; a refused deletion is one of "nothing there".
 */
export function toCheck(operations: readonly Operation[]): HistoryOperation[] {
  return operations.flatMap((operation) => {
    if (operation.tier !== 'strict') return [];
    if (ENTRY_READS.has(operation.action)) return readToCheck(operation);
    return ENTRY_WRITES.has(operation.action) ? writeToCheck(operation) : [];
  });
}

function readToCheck(operation: Operation): HistoryOperation[] {
  const { id, client, invokedMs, completedMs, outcome, value, revision, head } = operation;
  if (outcome !== 'done' || completedMs === null || head === null) return [];
  const seen = value === null ? null : textOf(value);
  const times = { invokedAt: invokedMs, completedAt: completedMs };
  return [
    {
      type: 'read',
      id,
      client,
      key: entryOf(operation),
      value: seen,
      entryRevision: revision,
      head,
      ...times,
    },
  ];
}

function writeToCheck(operation: Operation): HistoryOperation[] {
  const { id, client, action, written, invokedMs, completedMs, outcome, revision, expected } = operation;
  const key = entryOf(operation);
  // Who was told that he created it has replaced nothing, whether or not that was his condition.
  const replaced = expected === undefined && outcome === 'done' && operation.status === 201 ? null : expected;
  const write: HistoryOperation = {
    type: 'write',
    id,
    client,
    key,
    value: action === 'delete' ? null : textOf(written),
    outcome,
    invokedAt: invokedMs,
    completedAt: outcome === 'done' ? completedMs : null,
    revision: outcome === 'done' ? revision : null,
    replaced,
  };
  const { code, head } = operation;
  const isSight = code === 'PRECONDITION_FAILED' || (action === 'delete' && code === 'ENTRY_NOT_FOUND');
  if (!isSight || outcome !== 'none' || completedMs === null || head === null) return [write];
  return [
    write,
    {
      type: 'read',
      id: -id,
      client,
      key,
      value: revision === null ? null : undefined,
      entryRevision: revision,
      head,
      invokedAt: invokedMs,
      completedAt: completedMs,
    },
  ];
}

/** What names the entry among all of the store. */
export function entryOf({ namespace, key }: Operation): string {
  return `${namespace}/${key}`;
}
