import { ERRORS, isErrorCode, type ErrorCode } from '@quorate/api';
import { type KeyCheckOptions, checkByKey, checkRevisionSweep } from '@quorate/linearizability';
import { describeOperation, toCheck } from './history.js';
import type { FaultSpan, Operation, Tier, Violation } from './operation.js';
import type { Workload } from './workload.js';

export interface JudgeContext {
  /** Numbers of the gateways: 1 for `gateway1`. */
  readonly gateways: readonly number[];
  /** How long a gateway that was started again may take, once no fault is in force, until its cache must answer. */
  readonly settleMs?: number;
  /** For a cluster that others use as well: so many content reads may stay unanswered. 0 unless told. */
  readonly contentMissesMax?: number;
  /** What processes said of invariants that broke, a sentence each. */
  readonly brokenInvariants?: readonly string[];
  /** Limits of the search by key; its own unless told. */
  readonly search?: Partial<KeyCheckOptions>;
}

export interface WorkloadCounts {
  readonly workload: string;
  readonly operations: number;
  readonly done: number;
  readonly none: number;
  readonly unknown: number;
}

/** Of the requests that were sent within one second of the run. */
export interface AvailabilityRow {
  readonly second: number;
  readonly tier: Tier;
  /** Answered, or decided: a 404 or a refused comparison is a service as well. */
  readonly done: number;
  /** Told that it cannot be done now. */
  readonly refused: number;
  /** Writes of which an answer says that they may have happened. */
  readonly unknown: number;
  readonly noAnswer: number;
}

export interface Recovery {
  readonly fault: string;
  readonly endedMs: number;
  /** From the end of the fault until strict requests had been served again through each gateway; null: not before another fault began. */
  readonly recoveredAfterMs: number | null;
}

/** What the answers of caches said of their age, over a whole run. */
export interface StalenessFigures {
  readonly gateway: number;
  readonly answers: number;
  readonly withoutBound: number;
  readonly withoutQuorum: number;
  /** Of the bounds that were stated; null: none was. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

export interface Verdict {
  readonly violations: readonly Violation[];
  readonly counts: readonly WorkloadCounts[];
  readonly availability: readonly AvailabilityRow[];
  readonly recovery: readonly Recovery[];
  readonly staleness: readonly StalenessFigures[];
  /** What a checker gave up, in a sentence each: neither right nor wrong. */
  readonly undecided: readonly string[];
}

const SETTLE_MS = 10_000;
/** Of one promise; what is beyond is counted in one more. */
const STORIES_MAX = 20;
/** During these a gateway's process cannot answer. */
const SILENCING_KINDS = new Set(['kill', 'stop', 'pause', 'powerCut', 'memoryLimit']);
/** After these it begins anew, and may know nothing until it has found a member. */
const ENDING_KINDS = new Set(['kill', 'stop', 'powerCut', 'memoryLimit']);

/** What each request may be told when it cannot be served, whatever it is. */
const UNAVAILABLE: ReadonlySet<string> = new Set<ErrorCode>([
  'NO_QUORUM',
  'STORE_UNREACHABLE',
  'OVERLOADED',
  'TIMED_OUT',
]);
/** Besides, by tier and kind of request. */
const OF_CONTENT: ReadonlySet<string> = new Set<ErrorCode>([
  'CACHE_NOT_READY',
  'CACHE_MISS_UNREACHABLE',
  'STALENESS_BOUND_EXCEEDED',
  'TOKEN_NOT_REACHED',
]);
const OF_WRITES: ReadonlySet<string> = new Set<ErrorCode>(['OUTCOME_UNKNOWN', 'AUTHORIZATION_CHANGED']);
const OF_READERS: ReadonlySet<string> = new Set<ErrorCode>(['UNAUTHENTICATED', 'FORBIDDEN']);

/** Requests that change something. */
const WRITES = new Set([
  'put',
  'compareAndSet',
  'delete',
  'create namespace',
  'set readers',
  'put policy',
  'delete policy',
  'put entity',
  'make token',
  'delete token',
]);
/** Strict reads whose answer says its level. */
const READS_WITH_LEVEL = new Set(['get', 'final get', 'list', 'check']);
/** Eventual reads of what nobody writes: nothing keeps a gateway that runs from answering them. */
const ALWAYS_ANSWERED = new Set(['page']);
/** Reads that ask for more than a cache can promise by itself: without a quorum they may be refused. */
const ASKING_MORE = /^(bounded|session)/;

/**
 * Everything that a run must have kept: both linearizability checkers over all strict requests for single entries, each workload's own promises,
 * and those of all. `operations`: in the order of their invocation.
 */
export function judge(
  workloads: readonly Workload[],
  operations: readonly Operation[],
  faults: readonly FaultSpan[],
  context: JudgeContext,
): Verdict {
  const violations: Violation[] = [];
  const undecided: string[] = [];
  const byWorkload = new Map<string, Operation[]>(workloads.map(({ name }) => [name, []]));
  for (const operation of operations) byWorkload.get(operation.workload)?.push(operation);
  judgeLinearizability(operations, context.search ?? {}, violations, undecided);
  for (const workload of workloads) {
    violations.push(...workload.judge(byWorkload.get(workload.name) ?? [], faults));
  }
  violations.push(...operations.flatMap(judgeAnswer));
  violations.push(...judgeContentAnswered(operations, faults, context));
  violations.push(...(context.brokenInvariants ?? []).map(invariantBroke));
  return {
    violations: shortened(violations),
    counts: [...byWorkload].map(([workload, history]) => countsOf(workload, history)),
    availability: availabilityOf(operations),
    recovery: faults.map((fault) => recoveryOf(fault, operations, faults, context.gateways)),
    staleness: context.gateways.map((gateway) => stalenessOf(gateway, operations)),
    undecided,
  };
}

/** No request and no fault of the outside may cause an assertion, so one that broke is a bug, whatever clients saw. */
function invariantBroke(story: string): Violation {
  return { promise: 'no invariant breaks', story, operations: [] };
}

function judgeLinearizability(
  operations: readonly Operation[],
  limits: Partial<KeyCheckOptions>,
  violations: Violation[],
  undecided: string[],
): void {
  const history = toCheck(operations);
  const byId = new Map(operations.map((operation) => [operation.id, operation]));
  const convict = (promise: string, reason: string, offending: readonly number[]): void => {
    const ids = offending.map((id) => Math.abs(id));
    const involved = ids.flatMap((id) => byId.get(id) ?? []).map(describeOperation);
    violations.push({ promise, story: [reason, ...involved].join('; '), operations: ids });
  };
  const sweep = checkRevisionSweep(history);
  if (!sweep.linearizable) convict('linearizability', sweep.reason, sweep.offending);
  const search = checkByKey(history, { ...limits, revisions: 'rising' });
  if (search.outcome === 'violation')
    convict('linearizability by key', `${search.key}: ${search.reason}`, search.offending);
  if (search.outcome === 'undecided') {
    const { undecidedWindows, windows } = search.counts;
    undecided.push(
      `the search by key gave up ${undecidedWindows} of ${windows} windows, of ${search.keys.join(', ')}`,
    );
  }
}

/** "Rejected, not answered stale": what a single answer must say, and may say. */
function judgeAnswer(operation: Operation): readonly Violation[] {
  const { tier, action, outcome, level, status, code } = operation;
  const violated = (promise: string, because: string): readonly Violation[] => [
    { promise, story: `${because}; ${describeOperation(operation)}`, operations: [operation.id] },
  ];
  if (outcome === 'done') {
    const hasLevel = READS_WITH_LEVEL.has(action) || action.startsWith('read as ');
    if (tier !== 'strict' || !hasLevel) return [];
    if (level !== 'linearizable')
      return violated('strict or refused', 'a strict answer does not claim to be linearizable');
    const isOfEntry = action === 'get' || action === 'final get';
    return isOfEntry && operation.head === null
      ? violated('strict or refused', 'a strict answer does not say of which revision it is')
      : [];
  }
  if (status === null || status < 300) return [];
  if (code !== null && mayBeTold(operation, code)) return [];
  return violated('refused with a reason', 'no promise allows this answer');
}

/** By the catalogue and by what was asked. The last answer of a write that was sent several times. */
function mayBeTold(operation: Operation, code: string): boolean {
  const { tier, action, expected, status } = operation;
  if (!isErrorCode(code) || ERRORS[code].status !== status) return false;
  if (UNAVAILABLE.has(code)) return true;
  if (action.startsWith('read as ') && OF_READERS.has(code)) return true;
  if (tier === 'content') return OF_CONTENT.has(code);
  // A gateway that has just begun does not know yet that the namespace is strict.
  if (!WRITES.has(action)) return code === 'CACHE_NOT_READY' && action !== 'check';
  if (code === 'PRECONDITION_FAILED') return expected !== undefined;
  if (code === 'ENTRY_NOT_FOUND') return action.startsWith('delete') && expected === undefined;
  if (code === 'ACCESS_CHANGED') return operation.namespace === 'access';
  return OF_WRITES.has(code);
}

/** "Content reads were answered", by each gateway whose own process runs, whatever else is broken. */
function judgeContentAnswered(
  operations: readonly Operation[],
  faults: readonly FaultSpan[],
  { gateways, settleMs = SETTLE_MS, contentMissesMax = 0 }: JudgeContext,
): readonly Violation[] {
  const silent = new Map(
    gateways.map((gateway) => {
      const answered = operations.filter(
        (operation) =>
          operation.gateway === gateway &&
          ALWAYS_ANSWERED.has(operation.action) &&
          operation.outcome === 'done',
      );
      return [gateway, silences(gateway, faults, settleMs, answered)];
    }),
  );
  const missed = operations.filter((operation) => {
    const { action, outcome, gateway, invokedMs, completedMs } = operation;
    if (!ALWAYS_ANSWERED.has(action) || outcome === 'done') return false;
    // Never answered: it was lost at some time after it was sent.
    const untilMs = completedMs ?? invokedMs;
    return !(silent.get(gateway) ?? []).some(({ fromMs, toMs }) => fromMs <= untilMs && toMs >= invokedMs);
  });
  if (missed.length <= contentMissesMax) return [];
  return missed.map((operation) => ({
    promise: 'content is answered',
    story: `a gateway whose process runs did not answer a read of what its cache holds; ${describeOperation(operation)}`,
    operations: [operation.id],
  }));
}

interface Silence {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * When a gateway need not answer. One that begins anew has to find a member first, so it is given until nothing is broken any more; and on a busy
 * machine its process may need long to begin at all, so it is given until it has answered once. `answered`: what it did answer, as it was asked.
 */
function silences(
  gateway: number,
  faults: readonly FaultSpan[],
  settleMs: number,
  answered: readonly Operation[],
): readonly Silence[] {
  return faults
    .filter(({ kind, parts }) => SILENCING_KINDS.has(kind) && parts.includes(`gateway${gateway}`))
    .map(({ kind, fromMs, toMs }) => {
      const fromEarlierMs = fromMs - TIMEOUT_MS;
      if (!ENDING_KINDS.has(kind)) return { fromMs: fromEarlierMs, toMs: toMs + settleMs };
      const begun = answered[firstInvokedFrom(answered, toMs)];
      const begunMs = Math.min(begun?.completedMs ?? Infinity, toMs + BEGIN_MAX_MS);
      return { fromMs: fromEarlierMs, toMs: Math.max(firstCalm(toMs, faults) + settleMs, begunMs) };
    });
}

/** A request that was sent so long before a fault may still have been under way. */
const TIMEOUT_MS = 5_000;

/** A process that was started must have begun to answer by then. */
const BEGIN_MAX_MS = 60_000;

/** The first moment from there on at which no fault is in force. */
function firstCalm(atMs: number, faults: readonly FaultSpan[]): number {
  let calmMs = atMs;
  for (const { fromMs, toMs } of faults.toSorted((one, other) => one.fromMs - other.fromMs)) {
    if (fromMs <= calmMs && toMs > calmMs) calmMs = toMs;
  }
  return calmMs;
}

function countsOf(workload: string, history: readonly Operation[]): WorkloadCounts {
  const counts = { done: 0, none: 0, unknown: 0 };
  for (const { outcome } of history) counts[outcome] += 1;
  return { workload, operations: history.length, ...counts };
}

function availabilityOf(operations: readonly Operation[]): readonly AvailabilityRow[] {
  type Row = { -readonly [Name in keyof AvailabilityRow]: AvailabilityRow[Name] };
  const rows = new Map<string, Row>();
  for (const operation of operations) {
    const { tier, invokedMs, action } = operation;
    if (tier === 'content' && ASKING_MORE.test(action)) continue;
    const second = Math.floor(invokedMs / 1_000);
    const id = `${second} ${tier}`;
    const row = rows.get(id) ?? { second, tier, done: 0, refused: 0, unknown: 0, noAnswer: 0 };
    rows.set(id, row);
    row[serviceOf(operation)] += 1;
  }
  return [...rows.values()].toSorted(
    (one, other) => one.second - other.second || one.tier.localeCompare(other.tier),
  );
}

function serviceOf(operation: Operation): 'done' | 'refused' | 'unknown' | 'noAnswer' {
  const { outcome, status } = operation;
  if (outcome === 'done') return 'done';
  if (status === null) return 'noAnswer';
  if (outcome === 'unknown') return 'unknown';
  return status < 429 ? 'done' : 'refused';
}

function recoveryOf(
  fault: FaultSpan,
  operations: readonly Operation[],
  faults: readonly FaultSpan[],
  gateways: readonly number[],
): Recovery {
  const endedMs = fault.toMs;
  const nextMs = Math.min(
    ...faults.filter((other) => other !== fault && other.toMs > endedMs).map(({ fromMs }) => fromMs),
  );
  const waiting = new Set(gateways);
  let lastMs = endedMs;
  for (let at = firstInvokedFrom(operations, endedMs); at < operations.length && waiting.size > 0; at += 1) {
    const operation = operations[at];
    if (operation === undefined || operation.invokedMs >= nextMs) break;
    const { tier, gateway, completedMs } = operation;
    if (tier !== 'strict' || completedMs === null || completedMs >= nextMs) continue;
    if (serviceOf(operation) !== 'done' || !waiting.delete(gateway)) continue;
    lastMs = Math.max(lastMs, completedMs);
  }
  return { fault: fault.text, endedMs, recoveredAfterMs: waiting.size === 0 ? lastMs - endedMs : null };
}

function firstInvokedFrom(operations: readonly Operation[], atMs: number): number {
  let [low, high] = [0, operations.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((operations[middle]?.invokedMs ?? Infinity) < atMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

function stalenessOf(gateway: number, operations: readonly Operation[]): StalenessFigures {
  const answers = operations.filter(
    (operation) =>
      operation.gateway === gateway &&
      operation.tier === 'content' &&
      operation.outcome === 'done' &&
      operation.level !== 'linearizable',
  );
  const bounds = Float64Array.from(
    answers.flatMap(({ stalenessMs }) => (stalenessMs === null ? [] : [stalenessMs])),
  ).sort();
  const at = (share: number): number | null => bounds[Math.ceil(share * bounds.length) - 1] ?? null;
  return {
    gateway,
    answers: answers.length,
    withoutBound: answers.length - bounds.length,
    withoutQuorum: answers.filter(({ quorum }) => quorum === false).length,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    maxMs: at(1),
  };
}

/** A thousand times the same is read by nobody. */
function shortened(violations: readonly Violation[]): readonly Violation[] {
  const counts = new Map<string, number>();
  const shown = violations.filter(({ promise }) => {
    const count = (counts.get(promise) ?? 0) + 1;
    counts.set(promise, count);
    return count <= STORIES_MAX;
  });
  const rest = [...counts].flatMap(([promise, count]) =>
    count <= STORIES_MAX
      ? []
      : [{ promise, story: `and ${count - STORIES_MAX} more of these`, operations: [] }],
  );
  return [...shown, ...rest];
}
