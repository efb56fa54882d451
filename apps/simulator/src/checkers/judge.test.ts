import { hashToken, type CheckRequest } from '@quorate/api';
import { ACCESS_NAMESPACE, TOKENS_NAMESPACE, encodeCommand, revision, type Operation } from '@quorate/kv';
import { logIndex, term } from '@quorate/raft';
import { describe, expect, it } from 'vitest';
import { accessFoundation } from '../access-world.js';
import { Chronicle } from '../chronicle.js';
import type { CacheReadRecord } from '../gateway.js';
import { History, type ClientOperation, type DecisionRecord, type ListRecord } from '../history.js';
import { encodeText } from '../text.js';
import { CACHED_NAMESPACE, PASSING_NAMESPACE, STRICT_NAMESPACE } from '../namespaces.js';
import { COUNTER_KEY } from '../traffic.js';
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
import { checkRefusals } from './refusal-checker.js';
import { checkSessions } from './session-checker.js';
import { checkSnapshotReads } from './snapshot-read-checker.js';
import { checkStaleness } from './staleness-checker.js';
import { tellStory, type Story } from './story.js';
import { checkNoStrictCacheReads } from './strict-cache-checker.js';
import { checkReaders } from './reader-checker.js';
import { checkTokenFences } from './token-fence-checker.js';

const none = { type: 'none' } as const;
const put = (namespace: string, key: string, value: string, fence: number | null = null): Operation => ({
  type: 'put',
  namespace,
  key,
  value: encodeText(value),
  condition: none,
  ifNamespaceRevision: fence === null ? null : revision(fence),
});
const create: Operation = { type: 'createNamespace', namespace: PASSING_NAMESPACE, kind: 'cached' };
const drop: Operation = { type: 'deleteNamespace', namespace: PASSING_NAMESPACE };
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
        ifTokensRevision: null,
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
  readonly lists?: readonly ListRecord[];
};

/** Operations one after the other, done unless told otherwise. */
function story({ log = [], asked = [], reads = [], decisions = [], lists = [] }: Parts): Story {
  const world = new World(1);
  const history = new History(world);
  for (const { kind, namespace = STRICT_NAMESPACE, key = 'k', value = null, ...rest } of asked) {
    const operation = history.invoke({ client: 'c1', kind, namespace, key, value, expected: rest.expected });
    history.complete(operation, { outcome: 'done', ...rest });
    Object.assign(operation, rest);
  }
  history.decisions.push(...decisions);
  history.lists.push(...lists);
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
    token: null,
    ownRevision: 0,
    watermark: 2,
    invokedMs: 1_000,
    answeredMs: 1_000,
    clockRate: 1,
    outcome: {
      type: 'hit',
      entry: null,
      revision: revision(2),
      epoch: 1,
      stalenessMs: null,
      ageMs: null,
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
    const created = { kind: 'createNamespace', namespace: PASSING_NAMESPACE, key: '', revision: 3 } as const;
    const dropped = { ...created, kind: 'deleteNamespace', revision: 4 } as const;
    expect(() => check(logOf(create, drop), created, dropped)).not.toThrow();
    expect(() => check(logOf(create, drop, create), created, dropped)).toThrow('none applied twice');
    expect(() => check(logOf(create, drop), created)).toThrow('none applied twice');
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
    expect(() => check(cacheRead({ namespace: PASSING_NAMESPACE }))).not.toThrow();
  });

  it('cached data is read from the cache, once the view knows its namespace', () => {
    const check = (changes: Partial<CacheReadRecord>): void => {
      const read = cacheRead({ outcome: { type: 'strict' }, ...changes });
      checkNoStrictCacheReads(story({ log: logOf(create), reads: [read] }));
    };
    expect(() => check({ watermark: null })).not.toThrow();
    expect(() => check({ watermark: 1 })).not.toThrow();
    expect(() => check({ watermark: 2 })).toThrow('cached data is read from the cache');
    // A fill may know that it is gone already.
    expect(() => check({ watermark: 3, namespace: PASSING_NAMESPACE })).not.toThrow();
  });

  it('refusals have a reason, and what must be refused is refused', () => {
    const check = (changes: Partial<Asked>): void =>
      checkRefusals(story({ asked: [{ kind: 'get', outcome: 'none', ...changes }] }));
    const wrong = 'refusals have a reason';
    expect(() => check({ code: 'NO_QUORUM' })).not.toThrow();
    expect(() => check({ code: 'OUTCOME_UNKNOWN' })).toThrow(wrong);
    expect(() => check({ code: 'NAMESPACE_NOT_FOUND' })).toThrow(wrong);
    expect(() => check({ code: 'NAMESPACE_NOT_FOUND', namespace: PASSING_NAMESPACE })).not.toThrow();
    expect(() => check({ kind: 'put', code: 'OUTCOME_UNKNOWN' })).not.toThrow();
    expect(() => check({ kind: 'put', code: 'PRECONDITION_FAILED' })).toThrow(wrong);
    expect(() => check({ kind: 'put', code: 'PRECONDITION_FAILED', expected: 3 })).not.toThrow();
    expect(() => check({ kind: 'put', code: 'ENTRY_NOT_FOUND' })).toThrow(wrong);
    expect(() => check({ kind: 'delete', code: 'ENTRY_NOT_FOUND' })).not.toThrow();
    expect(() => check({ kind: 'put', code: 'ACCESS_CHANGED' })).toThrow(wrong);
    expect(() => check({ kind: 'put', code: 'ACCESS_CHANGED', namespace: ACCESS_NAMESPACE })).not.toThrow();
    const reuse = { kind: 'put', reusesKey: true } as const;
    expect(() => check({ ...reuse, code: 'IDEMPOTENCY_KEY_REUSED' })).not.toThrow();
    expect(() => check({ kind: 'put', code: 'IDEMPOTENCY_KEY_REUSED' })).toThrow(wrong);
    expect(() => check({ ...reuse, outcome: 'done' })).toThrow('what must be refused is refused');
    const create = { kind: 'createNamespace', namespace: PASSING_NAMESPACE, key: '' } as const;
    expect(() => check({ ...create, code: 'NAMESPACE_KIND_CONFLICT' })).toThrow(wrong);
    expect(() => check({ ...create, changesKind: true, code: 'NAMESPACE_KIND_CONFLICT' })).not.toThrow();
    expect(() => check({ ...create, changesKind: true, outcome: 'done' })).toThrow('what must be refused');
  });

  describe('a strict read shows one state, and no old one', () => {
    const drafts = PASSING_NAMESPACE;
    /** Created at 3, "x" and "y" at 4 and 5, gone at 6, there again at 7. */
    const log = logOf(create, put(drafts, 'k', '"x"'), put(drafts, 'l', '"y"'), drop, create);
    // After the commit of revision 3 and before that of 4.
    const early = { invokedMs: 31 } as const;
    const torn = 'a strict read shows one state';
    const stale = 'a strict read is never stale';

    it('of an entry', () => {
      const check = (seen: ClientOperation['seen'], invokedMs = 31): void =>
        checkSnapshotReads(story({ log, asked: [{ kind: 'get', namespace: drafts, seen, invokedMs }] }));
      expect(() => check({ value: null, entryRevision: null, head: 3 })).not.toThrow();
      expect(() => check({ value: '"x"', entryRevision: 4, head: 5 })).not.toThrow();
      expect(() => check({ value: '"x"', entryRevision: 4, head: 3 })).toThrow(torn);
      expect(() => check({ value: null, entryRevision: null, head: 4 })).toThrow(torn);
      expect(() => check({ value: null, entryRevision: null, head: 6 })).toThrow(torn);
      expect(() => check({ value: '"x"', entryRevision: 4, head: 7 })).toThrow(torn);
      expect(() => check({ value: null, entryRevision: null, head: 7 }, 71)).not.toThrow();
      expect(() => check({ value: '"x"', entryRevision: 4, head: 4 }, 51)).toThrow(stale);
    });

    it('of a namespace', () => {
      const check = (exists: boolean, head: number, invokedMs = 31): void => {
        const asked = { kind: 'get', namespace: drafts, outcome: 'none', invokedMs } as const;
        checkSnapshotReads(story({ log, asked: [{ ...asked, namespaceSeen: { exists, head } }] }));
      };
      expect(() => check(false, 6)).not.toThrow();
      expect(() => check(true, 7)).not.toThrow();
      expect(() => check(false, 5)).toThrow(torn);
      expect(() => check(true, 6)).toThrow(torn);
      expect(() => check(false, 2)).toThrow(stale);
      expect(() => check(false, 6, 71)).toThrow(stale);
    });

    it('of a list', () => {
      const x = { key: 'k', value: '"x"', revision: 4 };
      const y = { key: 'l', value: '"y"', revision: 5 };
      const check = (
        entries: object[],
        head: number,
        more: Partial<ListRecord> & { cut?: boolean } = {},
      ): void => {
        const { cut: truncated = false, ...others } = more;
        const told = { type: 'listed', entries: entries as (typeof x)[], truncated, head } as const;
        const list = { client: 'c1', namespace: drafts, prefix: '', limit: 9, ...early, told, ...others };
        checkSnapshotReads(story({ log, lists: [list] }));
      };
      expect(() => check([x, y], 5)).not.toThrow();
      expect(() => check([x], 4)).not.toThrow();
      expect(() => check([], 7)).not.toThrow();
      expect(() => check([y], 5, { prefix: 'l' })).not.toThrow();
      expect(() => check([x], 5, { limit: 1, cut: true })).not.toThrow();
      expect(() => check([x], 5, { limit: 1 })).toThrow(torn);
      expect(() => check([y, x], 5)).toThrow(torn);
      expect(() => check([x], 5)).toThrow(torn);
      expect(() => check([x, y], 7)).toThrow(torn);
      expect(() => check([x, { ...y, revision: 4 }], 5)).toThrow(torn);
      expect(() => check([x], 4, { invokedMs: 51 })).toThrow(stale);
      expect(() => check([], 6)).toThrow(torn);
    });
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
    const passing = logOf(create, put(PASSING_NAMESPACE, 'k', '"a"'), drop, create);
    const shown = (at: number): void => {
      const hit = { revision: at, entry: { revision: 4 } };
      const read = cacheRead({ namespace: PASSING_NAMESPACE, value: '"a"', hit });
      checkCacheContent(story({ log: passing, reads: [read] }));
    };
    expect(() => shown(4)).not.toThrow();
    expect(() => shown(5)).toThrow('a cache shows what was');
    expect(() => shown(6)).toThrow('a cache shows what was');
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
    expect(() => check(cacheRead({ ownRevision: 2 }))).not.toThrow();
    expect(() => check(cacheRead({ ownRevision: 3 }))).toThrow('own writes are read');
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

  it('writes by tokens take effect while their tokens are known', () => {
    const token = `quorate_${'a'.repeat(43)}`;
    const key = hashToken(token);
    const [made, gone] = [put(TOKENS_NAMESPACE, key, '"t"'), remove(TOKENS_NAMESPACE, key)];
    const write = put(STRICT_NAMESPACE, 'k', '"a"');
    const told = (log: Operation[], changes: Partial<ClientOperation> = {}): Story =>
      story({ log: logOf(...log), asked: [{ kind: 'put', value: '"a"', token, ...changes }] });
    expect(() => checkTokenFences(told([made, write, gone]))).not.toThrow();
    expect(() => checkTokenFences(told([made, gone], { outcome: 'none' }))).not.toThrow();
    expect(() => checkTokenFences(told([made, gone, write]))).toThrow('behind a revocation');
    expect(() => checkTokenFences(told([write, made]))).toThrow('behind a revocation');
    expect(() => checkTokenFences(told([made, gone], { tokenIs: 'revoked' }))).toThrow('is refused');
    const refused = { outcome: 'none', code: 'UNAUTHENTICATED' } as const;
    expect(() => checkTokenFences(told([made], { ...refused, tokenIs: 'known' }))).toThrow('is not refused');
    expect(() => checkTokenFences(told([made], { ...refused, tokenIs: 'ending' }))).not.toThrow();
  });
  it('readers are shown what they may read, and refused when they are not known', () => {
    const token = `quorate_${'a'.repeat(43)}`;
    const key = hashToken(token);
    const [made, gone] = [put(TOKENS_NAMESPACE, key, '"t"'), remove(TOKENS_NAMESPACE, key)];
    // The namespaces are at 1 and 2, the token is made at 3 and gone at 4.
    const told = (read: Parameters<typeof cacheRead>[0]): void =>
      checkReaders(story({ log: logOf(made, gone), reads: [cacheRead({ token, ...read })] }));
    expect(() => told({ hit: { revision: revision(3) } })).not.toThrow();
    expect(() => told({ hit: { revision: revision(2) } })).toThrow('after his revocation');
    expect(() => told({ hit: { revision: revision(4) } })).toThrow('after his revocation');
    expect(() => told({ token: null, hit: { revision: revision(4) } })).not.toThrow();
    const denied = { type: 'denied', code: 'UNAUTHENTICATED', message: '' } as const;
    expect(() => told({ outcome: denied, watermark: 2 })).not.toThrow();
    expect(() => told({ outcome: denied, watermark: 3, answeredMs: 1_000 })).not.toThrow();
    expect(() => told({ outcome: denied, watermark: 3, answeredMs: 1 })).toThrow(
      'who is known is not refused',
    );
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
