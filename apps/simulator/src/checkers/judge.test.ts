import type { CheckRequest } from '@quorate/api';
import { ACCESS_NAMESPACE, encodeCommand, revision, type Operation } from '@quorate/kv';
import { logIndex, term } from '@quorate/raft';
import { describe, expect, it } from 'vitest';
import { accessFoundation } from '../access-world.js';
import { Chronicle } from '../chronicle.js';
import type { CacheReadRecord } from '../gateway.js';
import { History, type ClientOperation, type DecisionRecord } from '../history.js';
import { encodeText } from '../text.js';
import { CACHED_NAMESPACE, COUNTER_KEY, STRICT_NAMESPACE } from '../traffic.js';
import { World } from '../world.js';
import { checkAccessFences } from './access-fence-checker.js';
import { checkCacheContent } from './cache-content-checker.js';
import { checkDecisions } from './decision-checker.js';
import { checkExactlyOnce } from './exactly-once-checker.js';
import { judge } from './judge.js';
import { checkKeyLinearizability } from './key-linearizability-checker.js';
import { checkLinearizability } from './linearizability-checker.js';
import { checkLostWrites } from './lost-write-checker.js';
import type { CommittedEntry } from './member-view.js';
import { checkOutcomes } from './outcome-checker.js';
import { checkPhantomWrites } from './phantom-write-checker.js';
import { checkSessions } from './session-checker.js';
import { checkStaleness } from './staleness-checker.js';
import { tellStory, type Story } from './story.js';
import { checkNoStrictCacheReads } from './strict-cache-checker.js';

const none = { type: 'none' } as const;
const put = (namespace: string, key: string, value: string, fence: number | null = null): Operation => ({
  type: 'put',
  namespace,
  key,
  value: encodeText(value),
  condition: none,
  ifNamespaceRevision: fence === null ? null : revision(fence),
});
const remove = (namespace: string, key: string): Operation => ({
  type: 'delete',
  namespace,
  key,
  condition: none,
  ifNamespaceRevision: null,
});

/**
 * Revisions 1 and 2 make the two namespaces; the operations follow from 3 on. One each millisecond, at 10
 * times its revision.
 */
function logOf(...operations: Operation[]): CommittedEntry[] {
  const all: Operation[] = [
    { type: 'createNamespace', namespace: STRICT_NAMESPACE, kind: 'strict' },
    { type: 'createNamespace', namespace: CACHED_NAMESPACE, kind: 'cached' },
    ...operations,
  ];
  return all.map((operation, at) => ({
    entry: {
      index: logIndex(at + 1),
      term: term(1),
      kind: 'command',
      payload: encodeCommand({
        timeMs: 1,
        registration: null,
        idempotency: null,
        body: { type: 'operation', operation },
      }),
    },
    inTerm: 1,
    atMs: 10 * (at + 1),
  }));
}

type Asked = Partial<ClientOperation> & Pick<ClientOperation, 'kind'>;
type Parts = {
  readonly log?: CommittedEntry[];
  readonly asked?: readonly Asked[];
  readonly reads?: readonly CacheReadRecord[];
  readonly decisions?: readonly DecisionRecord[];
};

/** Operations one after the other, done unless told otherwise. */
function story({ log = [], asked = [], reads = [], decisions = [] }: Parts): Story {
  const world = new World(1);
  const history = new History(world);
  for (const { kind, namespace = STRICT_NAMESPACE, key = 'k', value = null, ...rest } of asked) {
    const operation = history.invoke({ client: 'c1', kind, namespace, key, value, expected: rest.expected });
    history.complete(operation, { outcome: 'done', ...rest });
    Object.assign(operation, rest);
  }
  history.decisions.push(...decisions);
  return tellStory(world, { history, chronicle: new Chronicle(log), cacheReads: reads });
}

function cacheRead(changes: Partial<CacheReadRecord> & { readonly hit?: object } = {}): CacheReadRecord {
  const { hit, ...others } = changes;
  return {
    gateway: 'g1',
    process: 1,
    namespace: CACHED_NAMESPACE,
    key: 'k',
    level: { type: 'eventual' },
    minRevision: null,
    invokedMs: 1_000,
    answeredMs: 1_000,
    clockRate: 1,
    outcome: {
      type: 'hit',
      entry: null,
      revision: revision(2),
      epoch: 1,
      stalenessMs: null,
      lag: 0,
      quorum: true,
      level: 'eventual',
      filled: false,
      ...hit,
    },
    value: null,
    ...others,
  };
}

const wrote = (value: string, at: number, more: Partial<ClientOperation> = {}): Asked => ({
  kind: 'put',
  value,
  revision: at,
  created: at === 3,
  ...more,
});
const saw = (value: string | null, entryRevision: number | null, head: number): Asked => ({
  kind: 'get',
  seen: { value, entryRevision, head },
});

describe('what a whole story shows: one wrong history convicts, a right one does not', () => {
  const a = put(STRICT_NAMESPACE, 'k', '"a"');
  const b = put(STRICT_NAMESPACE, 'k', '"b"');

  it('no phantom write', () => {
    expect(() => checkPhantomWrites(story({ log: logOf(a), asked: [wrote('"a"', 3)] }))).not.toThrow();
    expect(() => checkPhantomWrites(story({ log: logOf(a) }))).toThrow('nothing from nowhere');
    const elsewhere = wrote('"a"', 3, { key: 'other' });
    expect(() => checkPhantomWrites(story({ log: logOf(a), asked: [elsewhere] }))).toThrow(
      'nothing from nowhere',
    );
  });

  it('no lost write', () => {
    const check = (log: CommittedEntry[], ...asked: Asked[]): void => checkLostWrites(story({ log, asked }));
    expect(() => check(logOf(a, b), wrote('"a"', 3), wrote('"b"', 4))).not.toThrow();
    expect(() => check(logOf(a), wrote('"a"', 3), wrote('"b"', 4))).toThrow('no acknowledged write is lost');
    expect(() => check(logOf(a, b), wrote('"a"', 4))).toThrow('no acknowledged write is lost');
    const deleted = { kind: 'delete', revision: 4 } as const;
    expect(() => check(logOf(a, remove(STRICT_NAMESPACE, 'k')), deleted, deleted)).toThrow('one revision');
  });

  it('exactly once: puts, deletions, counters', () => {
    const check = (log: CommittedEntry[], ...asked: Asked[]): void => checkExactlyOnce(story({ log, asked }));
    expect(() => check(logOf(a, b), wrote('"a"', 3), wrote('"b"', 4))).not.toThrow();
    expect(() => check(logOf(a, b, a), wrote('"a"', 3))).toThrow('none applied twice');
    const gone = remove(STRICT_NAMESPACE, 'k');
    const unsure = { kind: 'delete', outcome: 'unknown' } as const;
    expect(() => check(logOf(a, gone), unsure)).not.toThrow();
    expect(() => check(logOf(a, gone, b, gone), unsure)).toThrow('none applied twice');
    expect(() => check(logOf(a, gone), { kind: 'delete', outcome: 'none' })).toThrow('none applied twice');
    const count = (to: number): Operation =>
      put(STRICT_NAMESPACE, COUNTER_KEY, `{"count":${to},"by":"${to}"}`);
    expect(() => check(logOf(count(1), count(2)))).not.toThrow();
    expect(() => check(logOf(count(1), count(3)))).toThrow('counters count');
  });

  it('outcomes are honest', () => {
    const check = (outcome: ClientOperation['outcome']): void =>
      checkOutcomes(story({ log: logOf(a), asked: [wrote('"a"', 3, { outcome })] }));
    for (const honest of ['done', 'unknown', 'open'] as const) expect(() => check(honest)).not.toThrow();
    expect(() => check('none')).toThrow('outcomes are honest');
  });

  it('linearizability, by revisions and by key', () => {
    const log = logOf(a, b);
    const writes = [wrote('"a"', 3), wrote('"b"', 4)];
    for (const [check, name] of [
      [checkLinearizability, 'linearizability'],
      [checkKeyLinearizability, 'linearizability by key'],
    ] as const) {
      expect(() => check(story({ log, asked: [...writes, saw('"b"', 4, 4)] }))).not.toThrow();
      expect(() => check(story({ log, asked: [...writes, saw('"a"', 3, 3)] }))).toThrow(name);
      expect(() => check(story({ log, asked: [...writes, saw(null, null, 4)] }))).toThrow(name);
    }
  });

  it('strict data is never cached', () => {
    const check = (read: CacheReadRecord): void => checkNoStrictCacheReads(story({ reads: [read] }));
    expect(() => check(cacheRead())).not.toThrow();
    expect(() =>
      check(cacheRead({ namespace: STRICT_NAMESPACE, outcome: { type: 'strict' } })),
    ).not.toThrow();
    expect(() => check(cacheRead({ namespace: STRICT_NAMESPACE }))).toThrow('strict data is never cached');
  });

  it('a cache shows the state of one revision', () => {
    const log = logOf(put(CACHED_NAMESPACE, 'k', '"a"'), put(CACHED_NAMESPACE, 'k', '"b"'));
    const check = (at: number, entryAt: number | null, value: string | null): void => {
      const entry = entryAt === null ? null : { revision: entryAt };
      checkCacheContent(story({ log, reads: [cacheRead({ value, hit: { revision: at, entry } })] }));
    };
    expect(() => check(2, null, null)).not.toThrow();
    expect(() => check(3, 3, '"a"')).not.toThrow();
    expect(() => check(4, 4, '"b"')).not.toThrow();
    expect(() => check(4, 3, '"a"')).toThrow('a cache shows what was');
    expect(() => check(3, 4, '"b"')).toThrow('a cache shows what was');
    expect(() => check(4, null, null)).toThrow('a cache shows what was');
  });

  it('staleness is never understated, against acknowledgements and true commit times', () => {
    // Revision 3 is committed at 30 ms, and acknowledged at 50 ms.
    const log = logOf(put(CACHED_NAMESPACE, 'k', '"a"'));
    const asked = [wrote('"a"', 3, { namespace: CACHED_NAMESPACE, completedMs: 50 })];
    const check = (read: CacheReadRecord): void => checkStaleness(story({ log, asked, reads: [read] }));
    const behind = (answeredMs: number, stalenessMs: number, clockRate = 1): CacheReadRecord =>
      cacheRead({ answeredMs, clockRate, hit: { stalenessMs } });
    expect(() => check(behind(100, 70))).not.toThrow();
    expect(() => check(behind(100, 69))).toThrow('committed before');
    expect(() => check(behind(100, 40))).toThrow('staleness is never understated');
    // Measured by a clock that runs twice as fast.
    expect(() => check(behind(100, 140, 2))).not.toThrow();
    expect(() => check(behind(100, 100, 2))).toThrow('staleness is never understated');
    expect(() => check(cacheRead({ answeredMs: 100, hit: { stalenessMs: 0, revision: 3 } }))).not.toThrow();
    const bounded = { level: { type: 'bounded', boundMs: 80 } } as const;
    expect(() => check({ ...behind(100, 80), ...bounded })).not.toThrow();
    expect(() => check({ ...behind(100, 81), ...bounded })).toThrow('a bound is kept');
    expect(() => check(cacheRead(bounded))).toThrow('a bound is kept');
    const now = { level: { type: 'linearizable' } } as const;
    expect(() => check(cacheRead({ ...now, invokedMs: 30 }))).not.toThrow();
    expect(() => check(cacheRead({ ...now, invokedMs: 31 }))).toThrow('linearizable means now');
  });

  it('sessions and gateways never go back', () => {
    const check = (...reads: CacheReadRecord[]): void => checkSessions(story({ reads }));
    expect(() => check(cacheRead({ minRevision: 2 }))).not.toThrow();
    expect(() => check(cacheRead({ minRevision: 3 }))).toThrow('a session never goes back');
    const earlier = cacheRead({ hit: { revision: 1 } });
    expect(() => check(earlier, cacheRead())).not.toThrow();
    expect(() => check(cacheRead(), earlier)).toThrow('a cache never goes back');
    expect(() => check(cacheRead(), { ...earlier, process: 2 })).not.toThrow();
    expect(() => check(cacheRead(), { ...earlier, gateway: 'g2' })).not.toThrow();
  });
});

describe('access', () => {
  let serial = 0;
  const foundation = accessFoundation(() => `n${(serial += 1)}`);
  const person = (...groups: string[]): Operation =>
    put(
      ACCESS_NAMESPACE,
      'entities/User/ada',
      JSON.stringify({ attrs: {}, parents: groups.map((id) => ({ type: 'Group', id })) }),
    );
  /** Policies and the door at 3, 4 and 5; ada is of the staff at 6, barred at 7, and neither at 8. */
  const log = logOf(
    ...foundation.map(({ key, value }) => put(ACCESS_NAMESPACE, key, value ?? '')),
    person('staff'),
    person('staff', 'barred'),
    person(),
    put(STRICT_NAMESPACE, 'k', '"later"'),
  );
  const check: CheckRequest = {
    principal: { type: 'User', id: 'ada' },
    action: 'open',
    resource: { type: 'Door', id: 'front' },
    context: {},
  };
  const decide = (
    at: number,
    policies: string[],
    more: { readonly head?: number; readonly invokedMs?: number; readonly allowed?: boolean } = {},
  ): void => {
    const { head = at, invokedMs = 10 * at, allowed = policies.includes('staff') } = more;
    const told = { type: 'decided', allowed, revision: at, policies, reason: '', head } as const;
    checkDecisions(story({ log, decisions: [{ client: 'c1', check, invokedMs, told }] }));
  };

  it('a decision follows from the policies at the revision that it names', () => {
    expect(() => decide(5, [])).not.toThrow();
    expect(() => decide(6, ['staff'])).not.toThrow();
    expect(() => decide(7, ['barred'])).not.toThrow();
    expect(() => decide(8, [], { head: 9 })).not.toThrow();
    expect(() => decide(6, [])).toThrow('decisions follow from the policies');
    expect(() => decide(6, [], { allowed: true })).toThrow('decisions follow from the policies');
    expect(() => decide(7, ['staff'])).toThrow('decisions follow from the policies');
    expect(() => decide(8, ['staff'])).toThrow('decisions follow from the policies');
  });

  it('a right that was taken away before the question opens no door', () => {
    // Revision 7 is committed at 70 ms.
    expect(() => decide(6, ['staff'], { invokedMs: 70 })).not.toThrow();
    expect(() => decide(6, ['staff'], { invokedMs: 71 })).toThrow('decisions are never older than they say');
    expect(() => decide(6, ['staff'], { head: 7 })).toThrow('decisions are never older than they say');
  });

  it('without a quorum there is no decision', () => {
    const refuse = (code: string): void =>
      checkDecisions(
        story({ log, decisions: [{ client: 'c1', check, invokedMs: 0, told: { type: 'refused', code } }] }),
      );
    expect(() => refuse('NO_QUORUM')).not.toThrow();
    expect(() => refuse('FORBIDDEN')).toThrow('a check is decided or put off');
  });

  it('changes are fenced', () => {
    const fenced = (...fences: (number | null)[]): Story =>
      story({
        log: logOf(...fences.map((fence, at) => put(ACCESS_NAMESPACE, 'policies/p', `"${at}"`, fence))),
      });
    expect(() => checkAccessFences(fenced(0, 3, 4))).not.toThrow();
    expect(() => checkAccessFences(fenced(0, null))).toThrow('access changes are fenced');
  });

  it('the list judges a whole story', () => {
    const good = {
      log: logOf(put(STRICT_NAMESPACE, 'k', '"a"')),
      asked: [wrote('"a"', 3), saw('"a"', 3, 3)],
      reads: [cacheRead()],
    };
    expect(() => judge(story(good))).not.toThrow();
    expect(() => judge(story({ ...good, asked: [] }))).toThrow('nothing from nowhere');
    expect(() => judge(story({ ...good, reads: [cacheRead({ minRevision: 9 })] }))).toThrow('session');
  });
});
