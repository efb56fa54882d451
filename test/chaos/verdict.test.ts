import { describe, expect, it } from 'vitest';
import type { FaultSpan } from './operation.js';
import { NO_ANSWER, type Told, historyOf, promisesOf, refusal, spanOf } from './operations.testing.js';
import { type JudgeContext, type Verdict, judge } from './verdict.js';
import type { Workload } from './workload.js';
import { makeWorkloads } from './workloads.js';

const QUIET: Workload = {
  name: 'test',
  clients: 1,
  prepare: async () => undefined,
  step: async () => undefined,
  finish: async () => undefined,
  judge: () => [],
};
const CONTEXT: JudgeContext = { gateways: [1, 2] };

function verdictOf(
  told: readonly Told[],
  faults: readonly FaultSpan[] = [],
  context: Partial<JudgeContext> = {},
): Verdict {
  return judge([QUIET], historyOf(told), faults, { ...CONTEXT, ...context });
}
function broken(...parameters: Parameters<typeof verdictOf>): readonly string[] {
  return promisesOf(verdictOf(...parameters).violations);
}

const put = (revision: number, ms: Told['ms'], told: Partial<Told> = {}): Told => ({
  action: 'put',
  written: `v${revision}`,
  revision,
  ms,
  ...told,
});
const get = (revision: number | null, head: number, ms: Told['ms'], told: Partial<Told> = {}): Told => ({
  value: revision === null ? null : `v${revision}`,
  revision,
  head,
  level: 'linearizable',
  ms,
  ...told,
});

it('a process that says that one of its invariants broke convicts, whatever clients were told', () => {
  expect(broken([put(1, [1, 2])], [], { brokenInvariants: ['store1: AssertionError'] })).toEqual([
    'no invariant breaks',
  ]);
});

describe('both linearizability checkers', () => {
  it('let a history of one order pass, with what nobody knows of', () => {
    const unknown = put(9, [30, null], { ...NO_ANSWER, revision: null });
    expect(broken([put(1, [1, 2]), get(1, 1, [3, 4]), unknown, get(9, 9, [50, 51])])).toEqual([]);
    expect(broken([put(1, [1, 2]), get(1, 1, [3, 4]), unknown, get(1, 1, [50, 51])])).toEqual([]);
  });

  it('both convict a read that is older than what was acknowledged before it', () => {
    expect(broken([put(1, [1, 2]), put(2, [3, 4]), get(1, 1, [5, 6])])).toEqual([
      'linearizability',
      'linearizability by key',
    ]);
  });

  it('both convict a write that was refused and is seen', () => {
    const refused = put(2, [3, 4], { ...refusal('NO_QUORUM'), revision: null });
    expect(broken([put(1, [1, 2]), refused, get(2, 2, [5, 6])])).toEqual([
      'linearizability',
      'linearizability by key',
    ]);
  });

  it('take a refused comparison for a read of the revision that refused it', () => {
    const refused = (revision: number): Told => ({
      ...put(0, [5, 6], { action: 'compareAndSet', written: 'other', expected: 7 }),
      ...refusal('PRECONDITION_FAILED', 412),
      revision,
      head: revision,
    });
    expect(broken([put(1, [1, 2]), put(2, [3, 4]), refused(2)])).toEqual([]);
    expect(broken([put(1, [1, 2]), put(2, [3, 4]), refused(1)])).toEqual([
      'linearizability',
      'linearizability by key',
    ]);
  });

  it('hold a comparison to what it replaced, and a creation to nothing', () => {
    const swap = { action: 'compareAndSet', expected: 1 };
    expect(broken([put(1, [1, 2]), put(2, [3, 4], swap)])).toEqual([]);
    expect(broken([put(1, [1, 2]), put(2, [3, 4]), put(3, [5, 6], swap)])).toContain('linearizability');
    expect(broken([put(1, [1, 2]), put(2, [3, 4], { status: 201 })])).toContain('linearizability');
  });

  it('look at linearizable reads of cached namespaces too, and at no other reads of caches', () => {
    const stale = get(1, 1, [5, 6]);
    expect(
      broken([put(1, [1, 2]), put(2, [3, 4]), { ...stale, tier: 'content', level: 'eventual' }]),
    ).toEqual([]);
  });

  it('say what they gave up', () => {
    const writes = [1, 2, 3].map((at) => put(at, [1, 50], { client: `c${at}` }));
    const reads = [1, 2, 3].map((at) => get(at, at, [2, 51], { client: `d${at}` }));
    const context = { search: { memoEntriesMax: 2 } };
    expect(verdictOf([...writes, ...reads], [], context).undecided).toEqual([
      'the search by key gave up 1 of 1 windows, of test/k',
    ]);
    expect(verdictOf([...writes, ...reads]).undecided).toEqual([]);
  });
});

describe('strict requests', () => {
  it('are answered linearizably or not at all', () => {
    expect(broken([get(null, 0, [1, 2])])).toEqual([]);
    for (const level of ['eventual', 'session', 'bounded;ms=500', null])
      expect(broken([get(null, 0, [1, 2], { level })])).toEqual(['strict or refused']);
    expect(broken([{ action: 'check', value: true, level: 'eventual', ms: [1, 2] }])).toEqual([
      'strict or refused',
    ]);
    expect(broken([{ action: 'list', value: [], level: null, ms: [1, 2] }])).toEqual(['strict or refused']);
  });

  it('say of which revision they are', () => {
    expect(broken([get(null, 0, [1, 2], { head: null })])).toEqual(['strict or refused']);
  });

  it('are refused by the words of the catalogue, where they fit', () => {
    const told = (code: string, status: number, more: Partial<Told> = {}): readonly string[] =>
      broken([get(null, 0, [1, 2], { ...refusal(code, status), value: undefined, ...more })]);
    for (const code of ['NO_QUORUM', 'STORE_UNREACHABLE', 'OVERLOADED', 'TIMED_OUT'])
      expect(told(code, 503)).toEqual([]);
    const reason = ['refused with a reason'];
    expect(told('INTERNAL', 500)).toEqual(reason);
    expect(told('NO_QUORUM', 500)).toEqual(reason);
    expect(told('NAMESPACE_NOT_FOUND', 404)).toEqual(reason);
    expect(told('TOKEN_AHEAD', 409)).toEqual(reason);
    expect(told('UNAUTHENTICATED', 401)).toEqual(reason);
    expect(told('UNAUTHENTICATED', 401, { action: 'read as readers/0/1' })).toEqual([]);
    expect(told('CACHE_NOT_READY', 503)).toEqual([]);
    expect(told('CACHE_NOT_READY', 503, { action: 'check' })).toEqual(reason);
    expect(told('CACHE_NOT_READY', 503, { tier: 'content' })).toEqual([]);
    expect(told('STALENESS_BOUND_EXCEEDED', 503)).toEqual(reason);
    expect(told('OUTCOME_UNKNOWN', 504)).toEqual(reason);
    expect(told('OUTCOME_UNKNOWN', 504, { action: 'put', outcome: 'unknown' })).toEqual([]);
    expect(broken([get(null, 0, [1, 2], { outcome: 'none', status: 502, value: undefined })])).toEqual(
      reason,
    );
    expect(broken([get(null, 0, [1, null], { outcome: 'none', value: undefined })])).toEqual([]);
  });

  it('are refused by a condition only if they had one', () => {
    const write = (code: string, status: number, told: Partial<Told> = {}): readonly string[] =>
      broken([put(1, [1, 2], { ...refusal(code, status), revision: null, ...told })]);
    expect(write('PRECONDITION_FAILED', 412, { expected: 3 })).toEqual([]);
    expect(write('PRECONDITION_FAILED', 412)).toEqual(['refused with a reason']);
    expect(write('ENTRY_NOT_FOUND', 404, { action: 'delete' })).toEqual([]);
    expect(write('ENTRY_NOT_FOUND', 404)).toEqual(['refused with a reason']);
    expect(write('ACCESS_CHANGED', 409, { namespace: 'access', action: 'put policy' })).toEqual([]);
    expect(write('ACCESS_CHANGED', 409)).toEqual(['refused with a reason']);
  });
});

describe('content', () => {
  const page = (told: Partial<Told> & Pick<Told, 'ms'>): Told => ({
    tier: 'content',
    action: 'page',
    value: 'v1',
    level: 'eventual',
    ...told,
  });
  const missed = (ms: Told['ms'], told: Partial<Told> = {}): Told =>
    page({ ...refusal('STORE_UNREACHABLE'), value: undefined, ms, ...told });

  it('is answered, whatever has become of the store', () => {
    const faults = [spanOf('kill', ['store1', 'store2', 'store3'], 1_000, 9_000)];
    expect(broken([page({ ms: [5_000, 5_001] })], faults)).toEqual([]);
    expect(broken([missed([5_000, 5_001])], faults)).toEqual(['content is answered']);
    const cut = [spanOf('cut', ['gateway1', 'store1', 'store2', 'store3'], 1_000, 9_000)];
    expect(broken([missed([5_000, 5_001])], cut)).toEqual(['content is answered']);
    expect(broken([missed([5_000, null], { status: null, code: null })], cut)).toEqual([
      'content is answered',
    ]);
  });

  it('need not be answered by a gateway that does not run', () => {
    for (const kind of ['kill', 'stop', 'pause']) {
      const faults = [spanOf(kind, ['gateway1'], 1_000, 9_000)];
      expect(broken([missed([5_000, 5_001])], faults)).toEqual([]);
      expect(broken([missed([5_000, 5_001], { gateway: 2 })], faults)).toEqual(['content is answered']);
    }
  });

  it('need not be answered by one that was started again while all else was broken, until it is not', () => {
    const faults = [
      spanOf('kill', ['gateway1'], 1_000, 2_000),
      spanOf('kill', ['store1', 'store2', 'store3'], 1_500, 30_000),
    ];
    const context = { settleMs: 5_000 };
    expect(broken([missed([25_000, 25_001])], faults, context)).toEqual([]);
    expect(broken([missed([34_000, 34_001])], faults, context)).toEqual([]);
    const answered = page({ ms: [30_000, 30_001] });
    expect(broken([answered, missed([36_000, 36_001])], faults, context)).toEqual(['content is answered']);
  });

  it('need not be answered by one whose process takes long to begin, until it has answered once or a minute has passed', () => {
    const faults = [spanOf('kill', ['gateway1'], 1_000, 2_000)];
    const answered = page({ ms: [20_000, 20_100] });
    const context = { settleMs: 5_000 };
    expect(broken([missed([19_000, null], { status: null, code: null }), answered], faults, context)).toEqual(
      [],
    );
    expect(broken([answered, missed([21_000, 21_001])], faults, context)).toEqual(['content is answered']);
    expect(broken([missed([61_000, 61_001])], faults, context)).toEqual([]);
    expect(broken([missed([63_000, 63_001])], faults, context)).toEqual(['content is answered']);
  });

  it('may be missed so often as was allowed', () => {
    expect(broken([missed([1, 2])], [], { contentMissesMax: 1 })).toEqual([]);
    expect(broken([missed([1, 2]), missed([3, 4])], [], { contentMissesMax: 1 })).toHaveLength(2);
  });

  it('may be refused where more is asked than a cache can promise', () => {
    const bounded = { action: 'bounded;ms=200', ...refusal('STALENESS_BOUND_EXCEEDED') };
    expect(broken([page({ ms: [1, 2], ...bounded })])).toEqual([]);
  });
});

describe('what is counted', () => {
  it('has a row for each second and tier, by what was answered', () => {
    const { availability } = verdictOf([
      get(null, 0, [100, 101]),
      get(null, 0, [200, 201], refusal('NO_QUORUM')),
      put(1, [300, 301], { outcome: 'unknown', status: 504, code: 'OUTCOME_UNKNOWN' }),
      put(2, [400, null], { ...NO_ANSWER }),
      put(3, [500, 501], { ...refusal('PRECONDITION_FAILED', 412), expected: 9 }),
      { tier: 'content', action: 'page', ms: [600, 601] },
      { tier: 'content', action: 'bounded;ms=200', ms: [700, 701], ...refusal('STALENESS_BOUND_EXCEEDED') },
      get(null, 0, [1_100, 1_101]),
    ]);
    expect(availability).toEqual([
      { second: 0, tier: 'content', done: 1, refused: 0, unknown: 0, noAnswer: 0 },
      { second: 0, tier: 'strict', done: 2, refused: 1, unknown: 1, noAnswer: 1 },
      { second: 1, tier: 'strict', done: 1, refused: 0, unknown: 0, noAnswer: 0 },
    ]);
  });

  it('has the outcomes of each workload', () => {
    const { counts } = verdictOf([get(null, 0, [1, 2]), put(1, [3, null], { ...NO_ANSWER })]);
    expect(counts).toEqual([{ workload: 'test', operations: 2, done: 1, none: 0, unknown: 1 }]);
  });

  it('has the time from the end of a fault to the first strict answers of all gateways', () => {
    const kill = spanOf('kill', ['store1'], 1_000, 2_000);
    const answers = [get(null, 0, [2_100, 2_150]), get(null, 0, [2_400, 2_700], { gateway: 2 })];
    const refused = get(null, 0, [2_010, 2_020], { ...refusal('NO_QUORUM'), gateway: 2 });
    const recovery = (told: readonly Told[], others: readonly FaultSpan[] = []): number | null =>
      verdictOf(told, [kill, ...others]).recovery[0]?.recoveredAfterMs ?? null;
    expect(recovery([...answers, refused])).toBe(700);
    expect(recovery([...answers.slice(0, 1), refused])).toBeNull();
    expect(recovery(answers, [spanOf('kill', ['store2'], 2_300, 2_900)])).toBeNull();
    expect(recovery(answers, [spanOf('cut', ['store2'], 1_500, 2_050)])).toBeNull();
    expect(recovery(answers, [spanOf('cut', ['store2'], 500, 1_500)])).toBe(700);
  });

  it('has what the caches said of their age', () => {
    const eventual = (stalenessMs: number | null, quorum: boolean): Told => ({
      tier: 'content',
      action: 'page',
      level: 'eventual',
      stalenessMs,
      quorum,
      ms: [1, 2],
    });
    const { staleness } = verdictOf([eventual(10, true), eventual(30, true), eventual(null, false)]);
    expect(staleness).toEqual([
      { gateway: 1, answers: 3, withoutBound: 1, withoutQuorum: 1, p50Ms: 10, p99Ms: 30, maxMs: 30 },
      { gateway: 2, answers: 0, withoutBound: 0, withoutQuorum: 0, p50Ms: null, p99Ms: null, maxMs: null },
    ]);
  });

  it('is told in so many stories and a number', () => {
    const lies = Array.from({ length: 50 }, (_, at) => get(null, 0, [at, at + 0.5], { level: 'eventual' }));
    const { violations } = verdictOf(lies);
    expect(violations).toHaveLength(21);
    expect(violations.at(-1)?.story).toBe('and 30 more of these');
  });
});

describe('the workloads', () => {
  it('are made by name, each with a name and clients of its own', () => {
    const names = makeWorkloads().map(({ name }) => name);
    expect(new Set(names).size).toBe(8);
    expect(makeWorkloads(['set', 'register']).map(({ name }) => name)).toEqual(['register', 'set']);
    expect(() => makeWorkloads(['sets'])).toThrow(/no workload sets: register,/);
  });

  it('find their own broken promises in a verdict', () => {
    const final: Told = {
      action: 'final get',
      value: { count: 3, by: 'x' },
      key: 'one',
      workload: 'counter',
      level: 'linearizable',
      ms: [1, 2],
    };
    const { violations } = judge(makeWorkloads(['counter']), historyOf([final]), [], CONTEXT);
    expect(promisesOf(violations)).toContain('exactly once');
  });
});
