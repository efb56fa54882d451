import { encodeCommand, type Operation } from '@quorate/kv';
import {
  logIndex,
  memberId,
  term,
  type HardState,
  type LogEntry,
  type Message,
  type Raft,
  type SnapshotPoint,
} from '@quorate/raft';
import type { ReplicaLoad } from '@quorate/replica';
import type { WalBatch, WalRecovered } from '@quorate/wal';
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../limits.js';
import { World } from '../world.js';
import { BoundedMemoryChecker } from './bounded-memory-checker.js';
import { Checkers } from './checkers.js';
import { CommittedLogChecker } from './committed-log-checker.js';
import { CommittedOnQuorumChecker } from './committed-on-quorum-checker.js';
import { DurabilityChecker } from './durability-checker.js';
import { DurableLogs } from './durable-logs.js';
import { ElectionChecker } from './election-checker.js';
import { IndexChainChecker } from './index-chain-checker.js';
import { LeaderCompletenessChecker } from './leader-completeness-checker.js';
import { LogMatchingChecker } from './log-matching-checker.js';
import type { MemberView } from './member-view.js';
import { MonotonicChecker } from './monotonic-checker.js';
import { PromiseChecker } from './promise-checker.js';
import { StateHashChecker } from './state-hash-checker.js';
import { VoteChecker } from './vote-checker.js';

interface Facts {
  readonly role?: Raft['role'];
  readonly term?: number;
  readonly vote?: number | null;
  readonly commit?: number;
  readonly durable?: number;
  readonly last?: number;
  readonly applied?: number;
  readonly hash?: string;
  /** Terms of the entries 1, 2, ... */
  readonly log?: readonly number[];
  readonly firstIndex?: number;
  readonly snapshot?: { readonly index: number; readonly term: number };
}

const QUIET: ReplicaLoad = {
  proposals: 0,
  reads: 0,
  readsToApply: 0,
  readys: 0,
  held: 0,
  raft: { uncommittedBytes: 0, readsWaiting: 0, inflightMessages: 0, inflightBytes: 0, writesPending: 0 },
};
const EMPTY = {
  registrations: 0,
  answersPerClient: 0,
  idempotencyKeys: 0,
  retainedChanges: 0,
  retainedBytes: 0,
  namespaces: 0,
};

function member(id: number, process: number, facts: Facts, load: ReplicaLoad = QUIET): MemberView {
  const log = facts.log ?? [];
  const raft = {
    role: facts.role ?? 'follower',
    term: facts.term ?? 1,
    vote: facts.vote ?? null,
    commitIndex: facts.commit ?? 0,
    durableIndex: facts.durable ?? facts.commit ?? 0,
    lastIndex: facts.last ?? facts.durable ?? facts.commit ?? 0,
    termAt: (index: number) => log[index - 1] ?? null,
    firstIndex: facts.firstIndex ?? 1,
    snapshotPoint: facts.snapshot ?? null,
  };
  const machine = {
    appliedIndex: facts.applied ?? 0,
    stateHash: () => facts.hash ?? '',
    load: EMPTY,
  };
  // Checkers look at a few facts only; a whole replica is not needed to show them a wrong one.
  return { id, process, raft, machine, replica: { load } } as unknown as MemberView;
}

function entry(index: number, inTerm: number, text = `${index}@${inTerm}`): LogEntry {
  const operation: Operation = {
    type: 'put',
    namespace: 'n',
    key: 'k',
    value: new TextEncoder().encode(text),
    condition: { type: 'none' },
    ifNamespaceRevision: null,
  };
  const body = { type: 'operation', operation } as const;
  const payload = encodeCommand({
    timeMs: 1,
    registration: null,
    idempotency: null,
    ifTokensRevision: null,
    body,
  });
  return { index: logIndex(index), term: term(inTerm), kind: 'command', payload };
}

function hardState(inTerm: number, vote: number | null = null, commit = 0): HardState {
  return {
    term: term(inTerm),
    vote: vote === null ? null : memberId(vote),
    commit: logIndex(commit),
    recovery: 0,
  };
}
function batch(entries: LogEntry[], state: HardState | null = null): WalBatch {
  return { hardState: state, entries };
}
function found(
  entries: LogEntry[],
  state: HardState = hardState(1),
  snapshotAt: SnapshotPoint | null = null,
): WalRecovered {
  const identity = { clusterId: '', epoch: 1, memberId: memberId(1), incarnation: '' };
  const base = snapshotAt ?? point(0, 0);
  const snapshot = snapshotAt === null ? null : { ...snapshotAt, chunkCount: 1, payloadBytes: 1, digest: 0 };
  return { identity, hardState: state, base, entries, snapshot, damagedSnapshots: [], tornBytes: 0 };
}
function point(index: number, inTerm: number): SnapshotPoint {
  return { index: logIndex(index), term: term(inTerm) };
}
const voteOf = (to: number, inTerm = 2): Message => ({
  type: 'voteResponse',
  from: memberId(1),
  to: memberId(to),
  term: term(inTerm),
  granted: true,
  lastIndex: logIndex(0),
  lastTerm: term(0),
});

/** Logs of three members that hold entries of term 1 durably, as far as `lengths` says. */
function durableLogs(...lengths: number[]): DurableLogs {
  const committed = Array.from({ length: 5 }, (_, at) => ({ entry: entry(at + 1, 1), inTerm: 1, atMs: 0 }));
  const logs = new DurableLogs({ committed });
  for (const [at, length] of lengths.entries()) {
    const entries = Array.from({ length }, (_, index) => entry(index + 1, 1));
    const written = batch(entries, hardState(1, 1));
    logs.stored(at + 1, written);
    logs.durable(at + 1, written);
  }
  return logs;
}

/** What is committed, in the terms given, seen from a member in `inTerm`. */
function committedLog(world: World, terms: readonly number[], inTerm: number): CommittedLogChecker {
  const entries = new LogMatchingChecker(world);
  entries.stored(1, batch(terms.map((each, at) => entry(at + 1, each))), 0);
  const checker = new CommittedLogChecker(world, entries);
  checker.observe(member(1, 1, { term: inTerm, commit: terms.length, log: terms }));
  return checker;
}

describe('what holds at every step: one wrong state convicts, a right one does not', () => {
  it('one leader per term', () => {
    const checker = new ElectionChecker(new World(1));
    checker.observe(member(1, 1, { role: 'leader', term: 3 }));
    checker.observe(member(1, 1, { role: 'leader', term: 3 }));
    checker.observe(member(2, 1, { role: 'leader', term: 4 }));
    expect(checker.elections).toBe(2);
    expect(() => checker.observe(member(2, 1, { role: 'leader', term: 3 }))).toThrow('one leader per term');
    const again = new ElectionChecker(new World(1));
    again.observe(member(1, 1, { role: 'leader', term: 3 }));
    again.observe(member(2, 1, { role: 'leader', term: 4 }));
    again.observe(member(1, 2, { role: 'leader', term: 5 }));
    expect(() => again.observe(member(2, 2, { role: 'leader', term: 4 }))).not.toThrow();
  });

  it('one vote per term', () => {
    const checker = new VoteChecker(new World(1));
    checker.sent(1, voteOf(2));
    checker.sent(1, voteOf(2));
    checker.sent(1, voteOf(3, 3));
    expect(() => checker.sent(1, voteOf(3))).toThrow('one vote per term');
  });

  it('term, vote, commit and applied do not go back, in a life or over a crash', () => {
    const seen = { term: 2, vote: 1, commit: 2, applied: 2 };
    const look = (process: number, facts: Facts): void => {
      const checker = new MonotonicChecker(new World(1));
      checker.observe(member(1, 1, seen));
      checker.observe(member(1, process, facts));
    };
    expect(() => look(1, { ...seen, commit: 3 })).not.toThrow();
    expect(() => look(1, { ...seen, term: 3, vote: null })).not.toThrow();
    for (const wrong of [{ term: 1 }, { vote: 3 }, { commit: 1 }, { applied: 1 }]) {
      expect(() => look(1, { ...seen, ...wrong })).toThrow('nothing goes back');
    }
    // A new process starts from what is on disk.
    expect(() => look(2, { ...seen, commit: 1, applied: 0 })).not.toThrow();
    const checker = new MonotonicChecker(new World(1));
    checker.sent(1, voteOf(2, 5));
    checker.recovered(1, found([], hardState(5)));
    expect(() => checker.recovered(1, found([], hardState(4)))).toThrow('terms never go back');
    expect(() => checker.sent(1, voteOf(2, 4))).toThrow('terms never go back');
  });

  it('nothing is promised before it is durable', () => {
    const acknowledge = (matchIndex: number): Message => ({
      type: 'appendResponse',
      from: memberId(1),
      to: memberId(2),
      term: term(1),
      accepted: true,
      matchIndex: logIndex(matchIndex),
      rejectedIndex: logIndex(0),
      hintIndex: logIndex(0),
      hintTerm: term(0),
      recovery: 0,
    });
    const checker = new PromiseChecker(new World(1), durableLogs(2));
    expect(() => checker.sent(1, acknowledge(2))).not.toThrow();
    expect(() => checker.sent(1, acknowledge(3))).toThrow('durable before promised');
    expect(() => checker.sent(1, voteOf(1, 1))).not.toThrow();
    expect(() => checker.sent(1, voteOf(2, 1))).toThrow('durable before promised');
    expect(() => checker.sent(1, voteOf(2, 2))).toThrow('durable before promised');
  });

  it('what is durable is there after a crash; what was on its way may be', () => {
    const restart = (entries: LogEntry[], state = hardState(1, 1)): void => {
      const logs = durableLogs(3);
      // Replaces entry 3, and is not durable yet.
      logs.stored(1, batch([entry(3, 2), entry(4, 2)], hardState(2)));
      new DurabilityChecker(new World(1), logs).recovered(1, found(entries, state));
    };
    const kept = [entry(1, 1), entry(2, 1)];
    for (const tail of [[entry(3, 1)], [], [entry(3, 2)], [entry(3, 2), entry(4, 2)]]) {
      expect(() => restart([...kept, ...tail])).not.toThrow();
    }
    expect(() => restart([entry(1, 1)])).toThrow('what is durable stays');
    expect(() => restart([...kept, entry(3, 3)])).toThrow('what is durable stays');
    expect(() => restart(kept, hardState(0))).toThrow('what is durable stays');
    expect(() => restart(kept, hardState(1, 2))).toThrow('what is durable stays');
  });

  it('a durable snapshot stands for the entries up to its point, and is not lost again', () => {
    const restart = (entries: LogEntry[], snapshot: SnapshotPoint | null): void => {
      const logs = durableLogs(3);
      logs.snapshotDurable(1, point(2, 1));
      new DurabilityChecker(new World(1), logs).recovered(1, found(entries, hardState(1, 1), snapshot));
    };
    expect(() => restart([entry(3, 1)], point(2, 1))).not.toThrow();
    expect(() => restart([], point(3, 1))).not.toThrow();
    expect(() => restart([], point(2, 1))).toThrow('what is durable stays');
    expect(() => restart([entry(1, 1), entry(2, 1), entry(3, 1)], null)).toThrow('what is durable stays');
  });

  it('a snapshot of another term at its index takes the tail behind it along', () => {
    const logs = durableLogs(4);
    logs.snapshotDurable(1, point(2, 2));
    expect(logs.holds(1, 3, 1)).toBe(false);
    const kept = durableLogs(4);
    kept.snapshotDurable(1, point(2, 1));
    expect(kept.holds(1, 3, 1)).toBe(true);
  });

  it('log matching: content, and what lies before', () => {
    const store = (entries: LogEntry[], previousTerm: number): void => {
      const checker = new LogMatchingChecker(new World(1));
      checker.stored(1, batch([entry(1, 1, 'a'), entry(2, 2, 'b')]), 0);
      checker.stored(2, batch(entries), previousTerm);
    };
    expect(() => store([entry(2, 2, 'b')], 1)).not.toThrow();
    expect(() => store([entry(2, 3, 'c')], 1)).not.toThrow();
    expect(() => store([entry(2, 2, 'c')], 1)).toThrow('log matching');
    expect(() => store([entry(2, 2, 'b')], 2)).toThrow('log matching');
  });

  it('what is committed stays, over a crash too', () => {
    const checker = committedLog(new World(1), [1, 1], 1);
    checker.observe(member(2, 1, { commit: 2, log: [1, 1] }));
    expect(checker.committed).toHaveLength(2);
    expect(() => checker.observe(member(3, 1, { commit: 2, log: [1, 2] }))).toThrow('state machine safety');
    expect(() => checker.recovered(1, found([entry(1, 1)], hardState(1, null, 1)))).not.toThrow();
    expect(() => checker.recovered(1, found([entry(1, 2)], hardState(2, null, 1)))).toThrow(
      'state machine safety',
    );
    expect(() => checker.observe(member(3, 2, { commit: 3, log: [1, 1, 7] }))).toThrow('nobody stored');
  });

  it('committed means on a majority of disks', () => {
    const commit = (logs: DurableLogs): void => {
      const world = new World(1);
      new CommittedOnQuorumChecker(world, committedLog(world, [1, 1], 1), logs, 3).observe();
    };
    expect(() => commit(durableLogs(2, 2, 0))).not.toThrow();
    expect(() => commit(durableLogs(2, 1, 1))).toThrow('committed on a quorum of disks');
    // Handed to the disk is not on it, and nor is what an earlier write could still replace.
    const logs = durableLogs(2, 1, 0);
    const [first, second] = [batch([entry(2, 1)]), batch([entry(3, 1)])];
    logs.stored(2, first);
    logs.stored(2, second);
    logs.durable(2, second);
    expect(() => commit(logs)).toThrow('committed on a quorum of disks');
    logs.durable(2, first);
    expect(() => commit(logs)).not.toThrow();
  });

  it('a new leader has everything that was committed in earlier terms', () => {
    const elect = (facts: Facts): void => {
      const world = new World(1);
      const checker = new LeaderCompletenessChecker(world, committedLog(world, [1, 2, 2], 2));
      checker.observe(member(2, 1, { role: 'leader', ...facts }));
    };
    expect(() => elect({ term: 3, log: [1, 2, 2, 3] })).not.toThrow();
    expect(() => elect({ term: 3, log: [1, 2] })).toThrow('leader completeness');
    expect(() => elect({ term: 3, log: [1, 1, 1] })).toThrow('leader completeness');
    // Elected late: what a later term committed is not its business.
    expect(() => elect({ term: 2, log: [1] })).not.toThrow();
  });

  it('the order of indexes', () => {
    const checker = new IndexChainChecker(new World(1));
    const facts = { commit: 2, durable: 3, last: 4, applied: 2 };
    expect(() => checker.observe(member(1, 1, facts))).not.toThrow();
    expect(() => checker.observe(member(1, 1, { ...facts, applied: 3 }))).toThrow('order of indexes');
    expect(() => checker.observe(member(1, 1, { ...facts, durable: 1 }))).toThrow('order of indexes');
    expect(() => checker.observe(member(1, 1, { ...facts, durable: 5 }))).toThrow('order of indexes');
    expect(() => checker.observe(member(1, 1, { ...facts, commit: 5, durable: 4 }))).toThrow(
      'order of indexes',
    );
  });

  it('equal states at equal indexes', () => {
    const checker = new StateHashChecker(new World(1));
    checker.observe(member(1, 1, { applied: 1, hash: 'a' }));
    checker.observe(member(2, 1, { applied: 1, hash: 'a' }));
    checker.observe(member(2, 1, { applied: 2, hash: 'b' }));
    expect(checker.compared).toBe(1);
    expect(() => checker.observe(member(1, 1, { applied: 2, hash: 'c' }))).toThrow('equal states');
  });

  it('bounds are kept, by members and by caches, and nothing is left over', () => {
    const checker = new BoundedMemoryChecker(new World(1), { ...DEFAULT_LIMITS, waitingMax: 2 }, {});
    const waiting = (load: Partial<ReplicaLoad>): MemberView => member(1, 1, {}, { ...QUIET, ...load });
    expect(() => checker.look(waiting({ proposals: 2, reads: 2 }))).not.toThrow();
    expect(() => checker.look(waiting({ proposals: 3 }))).toThrow('bounded memory');
    const raft = { ...QUIET.raft, inflightMessages: 65 };
    expect(() => checker.look(waiting({ raft }))).toThrow('bounded memory');
    const cache = {
      waitingReads: 0,
      listedReads: 0,
      fills: 0,
      floors: 0,
      unconfirmedProbes: 0,
      namespaces: 0,
      wholeNamespaces: 0,
      wholeBytes: 0,
    };
    const bounds = { bytesMax: 100, wholeBytesMax: 100 };
    expect(() => checker.lookAtCache('g1', cache, 100, bounds)).not.toThrow();
    expect(() => checker.lookAtCache('g1', cache, 101, bounds)).toThrow('bounded memory');
    expect(() => checker.lookAtCache('g1', { ...cache, fills: 257 }, 0, bounds)).toThrow('bounded memory');
    expect(() => checker.lookAtCache('g1', { ...cache, wholeBytes: 101 }, 0, bounds)).toThrow(
      'bounded memory',
    );
    expect(() => checker.nothingLeft('c1', 'requests', 0)).not.toThrow();
    expect(() => checker.nothingLeft('c1', 'requests', 1)).toThrow('nothing is left over');
  });

  it('the list shows each step to every checker', () => {
    const checkers = new Checkers(new World(1), { memberCount: 1 });
    checkers.recovered(1, found([], hardState(0)));
    const written = batch([entry(1, 1)], hardState(1, 1));
    checkers.stored(1, written, 0);
    const committed = member(1, 1, { term: 1, vote: 1, commit: 1, log: [1] });
    expect(() => checkers.observe(committed)).toThrow('committed on a quorum of disks');
    const again = new Checkers(new World(1), { memberCount: 1 });
    again.stored(1, written, 0);
    again.durable(1, written);
    expect(() => again.observe(committed)).not.toThrow();
    expect(() => again.sent(1, voteOf(2, 2))).toThrow('durable before promised');
  });
});
