import { describe, expect, it } from 'vitest';
import { TestCluster, TestMember, logOf, type TestDisk } from './cluster.testing.js';
import { LOG_START } from './log.js';
import { logIndex, memberId, term, type Message, type SnapshotPoint } from './types.js';

const point = (index: number, pointTerm: number): SnapshotPoint => ({
  index: logIndex(index),
  term: term(pointTerm),
});
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const indexes = (entries: readonly { index: number }[]): number[] => entries.map((entry) => entry.index);

/** Member 3 of three, started from this disk. */
function startedFrom(disk: TestDisk): TestMember {
  const member = new TestCluster(3).member(3);
  member.durable = disk;
  member.restart();
  return member;
}
const hardState = (t: number, commit = 0): TestDisk['hardState'] => ({
  term: term(t),
  vote: null,
  commit: logIndex(commit),
  recovery: 0,
});
function append(t: number, previous: [number, number], terms: number[], commit: number): Message {
  return {
    type: 'appendRequest',
    from: memberId(1),
    to: memberId(3),
    term: term(t),
    previousIndex: logIndex(previous[0]),
    previousTerm: term(previous[1]),
    entries: logOf(terms, previous[0]),
    commit: logIndex(commit),
  };
}
function offer(t: number, index: number, pointTerm: number): Message {
  return {
    type: 'snapshotOffer',
    from: memberId(1),
    to: memberId(3),
    term: term(t),
    snapshotIndex: logIndex(index),
    snapshotTerm: term(pointTerm),
  };
}
/** What the member says when everything is on its disk. */
function said(member: TestMember): Message[] {
  return [...(member.process()?.sent ?? []), ...member.sync()];
}
/** A leader of two that gave up its log up to entry 4, and member 3 that has nothing. */
function leaderWithoutOldEntries(): TestCluster {
  const cluster = new TestCluster(3);
  cluster.elect(1, [1, 2]);
  for (const text of ['a', 'b', 'c']) cluster.raft(1).propose(bytes(text));
  cluster.stabilize(undefined, [1, 2]);
  cluster.member(1).snapshot();
  cluster.member(1).compact(4);
  return cluster;
}

describe('giving up entries', () => {
  it('[S2] a member that gave up entries goes on like one that did not', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    for (let i = 0; i < 5; i++) cluster.raft(1).propose(bytes(`p${i}`));
    cluster.stabilize();
    for (const member of cluster.members) {
      expect(member.snapshot()).toEqual(point(6, 1));
      member.compact(6);
    }
    expect([cluster.raft(1).firstIndex, cluster.raft(1).lastIndex, cluster.raft(1).logBytes]).toEqual([
      7, 6, 0,
    ]);
    cluster.raft(1).propose(bytes('next'));
    cluster.stabilize();
    expect(indexes(cluster.member(3).applied).at(-1)).toBe(7);
    cluster.elect(2); // refused: the leader is heard
    for (const id of [2, 3]) cluster.raft(id).forgetLeader(memberId(1));
    cluster.elect(2);
    expect(cluster.raft(2).role).toBe('leader');
    expect(cluster.members.map(({ raft }) => raft.commitIndex)).toEqual([8, 8, 8]);
  });

  it('[S1] the size of the log is what is held', () => {
    const cluster = new TestCluster(1);
    cluster.elect(1);
    const { raft } = cluster.member(1);
    expect(raft.logBytes).toBe(32);
    raft.propose(new Uint8Array(100));
    expect(raft.logBytes).toBe(32 + 132);
    cluster.stabilize();
    cluster.member(1).snapshot();
    expect(raft.snapshotPoint).toEqual(point(2, 1));
    raft.compact(logIndex(1));
    expect([raft.logBytes, raft.firstIndex]).toEqual([132, 2]);
  });
});

describe('starting again', () => {
  it('[S7] from a snapshot and the log behind it', () => {
    const member = startedFrom({
      hardState: hardState(3, 5),
      base: point(4, 2),
      entries: logOf([2, 3, 3], 4),
      snapshot: point(5, 2),
    });
    const { raft } = member;
    expect([raft.appliedIndex, raft.commitIndex, raft.durableIndex, raft.firstIndex]).toEqual([5, 5, 7, 5]);
    expect(raft.hasReady()).toBe(false);
    raft.step(append(3, [7, 3], [], 6));
    member.process();
    expect(indexes(member.applied)).toEqual([6]);
  });

  it.each([
    ['a log that ends before it', hardState(3, 2), [1, 1, 1]],
    ['a log that differs', hardState(3, 2), [1, 1, 1, 1, 1, 1]],
    ['a log whose last entries were lost with their write', hardState(3, 5), [1, 1, 2]],
    ['no log', hardState(3), []],
  ] as const)('[S7] P10: from a snapshot that was stored and not installed, with %s', (_, hard, terms) => {
    const member = startedFrom({ hardState: hard, entries: logOf(terms), snapshot: point(5, 2) });
    const { raft } = member;
    expect([raft.appliedIndex, raft.commitIndex, raft.durableIndex, raft.lastIndex]).toEqual([5, 5, 5, 5]);
    const { ready } = member.process()!;
    expect(ready).toMatchObject({ reset: point(5, 2), entries: [], mustSync: true, committed: [] });
    member.sync();
    expect(member.durable).toMatchObject({ base: point(5, 2), entries: [] });
    member.restart();
    expect(raft.lastIndex).toBe(5);
    expect(member.raft.hasReady()).toBe(false);
    member.raft.step(append(3, [5, 2], [3], 6));
    expect(said(member)).toMatchObject([{ accepted: true, matchIndex: 6 }]);
  });

  it('[S7] from a snapshot of a leader whose term did not reach the disk: the term is taken over', () => {
    const member = startedFrom({
      hardState: { ...hardState(1), vote: memberId(2) },
      entries: [],
      snapshot: point(5, 4),
    });
    expect([member.raft.term, member.raft.vote]).toEqual([4, null]);
    member.raft.step({
      type: 'heartbeatRequest',
      recovery: 0,
      recoveryIndex: logIndex(0),
      from: memberId(1),
      to: memberId(3),
      term: term(4),
      commit: logIndex(0),
      leaderCommit: logIndex(0),
      readRound: 0,
    });
    const { ready, sent } = member.process()!;
    expect(ready.hardState).toMatchObject({ term: 4, vote: null });
    expect(sent).toEqual([]); // the term is not on the disk yet
    expect(member.sync()).toMatchObject([{ type: 'heartbeatResponse', term: 4 }]);
  });

  it('[S1] not from a log that begins behind its snapshot, nor from a snapshot that contradicts what is committed', () => {
    const disk = { hardState: hardState(3, 3), entries: logOf([3], 5), base: point(5, 2) };
    expect(() => startedFrom(disk)).toThrow('no snapshot stands for');
    expect(() => startedFrom({ ...disk, snapshot: point(4, 2) })).toThrow('no snapshot stands for');
    const other = { hardState: hardState(3, 3), entries: logOf([1, 1, 1]), snapshot: point(3, 2) };
    expect(() => startedFrom(other)).toThrow('contradicts');
  });
});

describe('offering a snapshot', () => {
  const offersTo3 = (cluster: TestCluster): Message[] =>
    (cluster.member(1).process()?.sent ?? []).filter((m) => m.type === 'snapshotOffer' && m.to === 3);

  it('[S4] a follower that needs entries which are gone is offered the newest snapshot, and gets no appends', () => {
    const cluster = leaderWithoutOldEntries();
    cluster.raft(1).tick();
    const seen: Message[] = [];
    for (let tick = 0; tick < 3; tick++) {
      for (const id of [1, 2, 3]) cluster.raft(id).tick();
      cluster.stabilize((message) => {
        if (message.to === 3) seen.push(message);
        return false;
      });
    }
    expect(seen.filter(({ type }) => type === 'snapshotOffer')).toMatchObject([
      { snapshotIndex: 4, snapshotTerm: 1 },
    ]);
    expect(cluster.member(3).offered).toEqual({ from: 1, point: point(4, 1) });
    const after = seen.slice(seen.findIndex(({ type }) => type === 'snapshotOffer'));
    expect(after.filter(({ type }) => type === 'appendRequest')).toEqual([]);
    expect(cluster.member(3).install(point(4, 1))).toBe('reset');
    cluster.raft(1).propose(bytes('d'));
    cluster.stabilize();
    expect(cluster.raft(3).lastIndex).toBe(5);
    expect(indexes(cluster.member(3).applied)).toEqual([5]);
    expect(cluster.raft(1).inspect().progress.at(-1)).toMatchObject({ state: 'replicate', matchIndex: 5 });
  });

  it('[S4] the offer is repeated after three heartbeat intervals without a sign of progress; a chunk is one', () => {
    const cluster = leaderWithoutOldEntries();
    cluster.tickAll(4);
    const beat = (): number => {
      for (const id of [1, 2, 3]) cluster.raft(id).tick();
      let offers = 0;
      cluster.stabilize((message) => {
        if (message.type === 'snapshotOffer') offers += 1;
        return false;
      });
      return offers;
    };
    const counts = Array.from({ length: 6 }, beat);
    expect(counts.reduce((sum, count) => sum + count)).toBe(2);
    for (let i = 0; i < 6; i++) {
      cluster.raft(1).snapshotProgress(memberId(3));
      expect(beat()).toBe(0);
    }
  });

  it('[S4] [V6] chunk requests are signs of life', () => {
    const cluster = leaderWithoutOldEntries();
    for (let tick = 0; tick < 30; tick++) {
      cluster.raft(1).snapshotProgress(memberId(3));
      cluster.raft(1).tick();
    }
    expect(cluster.raft(1).role).toBe('leader');
    cluster.raft(2).snapshotProgress(memberId(3)); // not a leader: nothing to count
    expect(cluster.raft(2).hasReady()).toBe(false);
  });

  it('[S4] an offer that is repeated names the newest snapshot', () => {
    const cluster = leaderWithoutOldEntries();
    cluster.tickAll(4);
    cluster.raft(1).propose(bytes('d'));
    cluster.stabilize();
    cluster.member(1).snapshot();
    cluster.tickAll(4);
    expect(cluster.member(3).offered?.point).toEqual(point(5, 1));
  });

  it('[S9] a follower that took a snapshot which is compacted away meanwhile is offered the next one at once', () => {
    const cluster = leaderWithoutOldEntries();
    cluster.tickAll(4);
    cluster.member(3).install(point(4, 1));
    const answers = said(cluster.member(3));
    cluster.raft(1).propose(bytes('d'));
    cluster.stabilize(undefined, [1, 2]);
    cluster.member(1).snapshot();
    cluster.member(1).compact(5);
    for (const answer of answers) cluster.raft(1).step(answer);
    expect(offersTo3(cluster)).toMatchObject([{ snapshotIndex: 5 }]);
    for (const answer of answers) cluster.raft(1).step(answer); // once more
    expect(cluster.raft(1).matchIndexOf(memberId(3))).toBe(4);
  });

  it('[S9] late acknowledgements and refusals end nothing', () => {
    const cluster = leaderWithoutOldEntries();
    cluster.tickAll(4);
    const late = {
      from: memberId(3),
      to: memberId(1),
      term: term(1),
      hintIndex: logIndex(0),
      hintTerm: term(0),
    };
    cluster.raft(1).step({
      type: 'appendResponse',
      recovery: 0,
      ...late,
      accepted: false,
      matchIndex: logIndex(0),
      rejectedIndex: logIndex(2),
    });
    cluster.raft(1).step({
      type: 'appendResponse',
      recovery: 0,
      ...late,
      accepted: true,
      matchIndex: logIndex(1),
      rejectedIndex: logIndex(0),
    });
    expect(cluster.raft(1).inspect().progress.at(-1)).toMatchObject({ state: 'snapshot', matchIndex: 1 });
    expect(offersTo3(cluster)).toEqual([]);
  });

  it('[S4] what was sent is compacted away while its window is full: a snapshot is offered, not silence', () => {
    const cluster = new TestCluster(3, { inflightMessagesMax: 1 });
    cluster.elect(1);
    const lost = (message: Message): boolean => message.to === 3 && message.type === 'appendRequest';
    cluster.raft(1).propose(bytes('a'));
    cluster.stabilize(lost);
    cluster.raft(1).propose(bytes('b'));
    cluster.raft(1).propose(bytes('c'));
    cluster.stabilize(lost);
    cluster.member(1).snapshot();
    cluster.member(1).compact(4);
    cluster.tickAll(8, lost);
    expect(cluster.member(3).offered?.point).toEqual(point(4, 1));
  });
});

describe('being offered a snapshot', () => {
  it('[S5] P9: one at or below the commit index is not needed; the answer says how far the log is committed', () => {
    const member = startedFrom({ hardState: hardState(1), entries: logOf([1, 1, 1]) });
    member.raft.step(append(1, [3, 1], [], 2));
    said(member);
    for (const index of [1, 2]) {
      member.raft.step(offer(1, index, 1));
      const { ready } = member.process()!;
      expect(ready.snapshotOffered).toBeNull();
      expect(ready.messagesAfterSync).toMatchObject([
        { type: 'appendResponse', accepted: true, matchIndex: 2 },
      ]);
    }
    member.raft.step(offer(1, 3, 1));
    expect(member.process()!.ready).toMatchObject({ snapshotOffered: { from: 1, point: point(3, 1) } });
  });

  it('[D1] [S5] the answer waits for the write of what it speaks of', () => {
    const member = startedFrom({ hardState: hardState(1), entries: [] });
    member.raft.step(append(1, [0, 0], [1, 1], 2));
    member.process();
    member.raft.step(offer(1, 1, 1));
    expect(member.process()!.sent).toEqual([]);
    expect(member.sync()).toMatchObject([{ matchIndex: 2 }, { matchIndex: 2 }]);
  });

  it('[S4] [S10] the newest of several wins, each is told again, and one of a leader that is gone is dropped', () => {
    const member = startedFrom({ hardState: hardState(1), entries: [] });
    for (const index of [4, 6, 5]) member.raft.step(offer(1, index, 1));
    expect(member.process()!.ready.snapshotOffered?.point.index).toBe(6);
    member.raft.step(offer(1, 6, 1));
    expect(member.process()!.ready.snapshotOffered?.point.index).toBe(6);
    member.raft.step(offer(1, 7, 1));
    member.raft.step({ ...offer(2, 3, 1), from: memberId(2) });
    // [S10] Its term has to be on disk first.
    expect(member.process()!.ready.snapshotOffered).toBeNull();
    member.sync();
    expect(member.process()!.ready.snapshotOffered).toEqual({ from: 2, point: point(3, 1) });
    member.raft.step({ ...offer(2, 9, 1), from: memberId(2) });
    member.raft.forgetLeader(memberId(2));
    expect(member.process()).toBeNull();
  });

  it('[V4] [V5] it counts as hearing the leader, and a leader of an older term is told the newer one', () => {
    const member = startedFrom({ hardState: hardState(2), entries: [] });
    for (let tick = 0; tick < 100; tick++) {
      member.raft.step(offer(2, 9, 2));
      member.raft.tick();
      member.process();
      member.sync();
    }
    expect([member.raft.role, member.raft.leader]).toEqual(['follower', 1]);
    member.raft.step(offer(1, 9, 1));
    expect(said(member)).toMatchObject([{ type: 'appendResponse', accepted: false, term: 2 }]);
  });

  it('[S5] an offer from a term that its leader cannot know is ignored', () => {
    const member = startedFrom({ hardState: hardState(2), entries: [] });
    member.raft.step(offer(2, 9, 3));
    expect(member.process()).toBeNull();
  });
});

describe('installing a snapshot', () => {
  it('[S5] P9: a log that lacks the entry is dropped, and goes on behind the point', () => {
    const member = startedFrom({ hardState: hardState(2), entries: logOf([1, 1]) });
    member.raft.step(append(2, [2, 1], [], 1));
    said(member);
    expect(member.install(point(5, 2))).toBe('reset');
    const { ready, sent } = member.process()!;
    expect(ready).toMatchObject({ reset: point(5, 2), mustSync: true, entries: [], committed: [] });
    expect(ready.hardState).toMatchObject({ term: 2, commit: 5 });
    expect(sent).toEqual([]);
    expect(member.sync()).toMatchObject([{ accepted: true, matchIndex: 5, to: 1 }]);
    expect(member.durable).toMatchObject({ base: point(5, 2), entries: [] });
  });

  it('[S5] P9: a tail behind an equal entry stays (hashicorp/raft 697: a conflicting one does not)', () => {
    for (const [tail, result, last] of [
      [2, 'kept', 6],
      [1, 'reset', 4],
    ] as const) {
      const member = startedFrom({ hardState: hardState(2), entries: logOf([1, 1, tail, tail, tail, tail]) });
      expect(member.install(point(4, 2))).toBe(result);
      const { raft } = member;
      expect([raft.appliedIndex, raft.commitIndex, raft.lastIndex]).toEqual([4, 4, last]);
      expect(member.process()?.ready.committed ?? []).toEqual([]);
      member.sync();
      raft.step(append(2, [last, 2], [2], last + 1));
      said(member);
      member.process();
      expect(indexes(member.applied)).toEqual(Array.from({ length: last - 3 }, (_, i) => 5 + i));
    }
  });

  it('[S5] twice, late or out of order: what is committed already is ignored, and nothing is said', () => {
    const member = startedFrom({ hardState: hardState(2), entries: [] });
    member.raft.step(append(2, [0, 0], [], 0));
    said(member);
    expect(member.install(point(5, 2))).toBe('reset');
    for (const index of [5, 3]) expect(member.install(point(index, 2))).toBe('ignored');
    expect(said(member)).toHaveLength(1);
    expect(member.install(point(7, 2))).toBe('reset');
    expect(member.process()!.ready.reset).toEqual(point(7, 2));
  });

  it('[S6] a leader installs nothing', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    expect(cluster.raft(1).installSnapshot(point(9, 1))).toBe('ignored');
    expect(cluster.raft(1).lastIndex).toBe(1);
  });

  it.each(['preCandidate', 'candidate'] as const)('[S6] it ends the campaign of a %s', (role) => {
    const member = startedFrom({ hardState: hardState(1), entries: logOf([1, 1, 1]) });
    member.raft.campaign();
    if (role === 'candidate')
      member.raft.step({
        type: 'preVoteResponse',
        from: memberId(1),
        to: memberId(3),
        term: term(2),
        granted: true,
      });
    expect(member.raft.role).toBe(role);
    expect(member.install(point(2, 1))).toBe('kept');
    expect(member.raft.role).toBe('follower');
    const { term: now } = member.raft;
    member.process();
    member.sync();
    for (const from of [1, 2])
      member.raft.step({
        type: role === 'candidate' ? 'voteResponse' : 'preVoteResponse',
        from: memberId(from),
        to: memberId(3),
        term: now,
        granted: true,
        lastIndex: logIndex(3),
        lastTerm: term(1),
      });
    expect([member.raft.role, member.raft.term]).toEqual(['follower', now]);
  });

  it('[S5] without a leader nobody is told', () => {
    const member = startedFrom({ hardState: hardState(2), entries: [] });
    expect(member.install(point(5, 2))).toBe('reset');
    expect(said(member)).toEqual([]);
    expect(member.raft.leader).toBeNull();
  });

  it('[S8] P13: the end of a write of the dropped log proves nothing of the new one', () => {
    const member = startedFrom({ hardState: hardState(2), entries: [] });
    const { raft } = member;
    raft.step(append(2, [0, 0], [1, 1, 1, 1, 1, 1], 0));
    member.process(); // write 1: entries 1..6 of term 1
    member.install(point(3, 2));
    member.process(); // write 2: the reset
    raft.step(append(2, [3, 2], [2, 2, 2], 0));
    member.process(); // write 3: entries 4..6 of term 2
    for (const durable of [3, 3, 6]) {
      member.sync(1);
      expect(raft.durableIndex).toBe(durable);
    }
    expect(member.durable.entries.map((entry) => Number(entry.term))).toEqual([2, 2, 2]);
  });

  it('[S8] entries that no write has carried are dropped with the log, and never written', () => {
    const member = startedFrom({ hardState: hardState(2), entries: [] });
    member.raft.step(append(2, [0, 0], [1, 1, 1, 1], 0));
    member.install(point(3, 2));
    member.raft.step(append(2, [3, 2], [2], 4));
    const { ready } = member.process()!;
    expect(ready).toMatchObject({ reset: point(3, 2), entries: [{ index: 4, term: 2 }], committed: [] });
    member.sync();
    member.process();
    expect(indexes(member.applied)).toEqual([4]);
    expect(member.durable).toMatchObject({ base: point(3, 2), entries: [{ index: 4 }] });
  });

  it('[S8] [S7] a power loss before the reset is on disk leaves the snapshot and the old log, and ends the same', () => {
    const member = startedFrom({ hardState: hardState(2, 1), entries: logOf([1, 1, 1, 1]) });
    member.install(point(3, 2));
    member.process();
    member.restart();
    expect(member.process()!.ready.reset).toEqual(point(3, 2));
    expect([member.raft.lastIndex, member.raft.appliedIndex]).toEqual([3, 3]);
  });

  it('[S5] [S2] equal entries that are still being written are skipped, and written all the same', () => {
    const member = startedFrom({ hardState: hardState(2), entries: [] });
    const { raft } = member;
    raft.step(append(2, [0, 0], [1, 1], 0));
    member.process(); // entries 1 and 2 are being written
    raft.step(append(2, [2, 1], [2, 2], 0)); // entries 3 and 4 are not yet
    expect(member.install(point(3, 2))).toBe('kept');
    expect([raft.appliedIndex, raft.durableIndex]).toEqual([3, 3]);
    raft.compact(logIndex(3));
    expect(raft.firstIndex).toBe(3); // storage would find a hole
    expect(indexes(member.process()!.ready.entries)).toEqual([3, 4]);
    raft.compact(logIndex(3));
    expect(raft.firstIndex).toBe(4);
    member.restart(); // nothing of it reached the disk, and the snapshot stands for it
    expect(member.raft.lastIndex).toBe(3);
    expect(member.process()!.ready.reset).toEqual(point(3, 2));
  });

  it('[S5] [D5] a member that was just installed takes votes and appends by the point', () => {
    const member = startedFrom({ hardState: hardState(3), entries: logOf([1]) });
    member.install(point(5, 2));
    const ask = (lastIndex: number, lastTerm: number): Message => ({
      type: 'voteRequest',
      from: memberId(2),
      to: memberId(3),
      term: term(4),
      lastIndex: logIndex(lastIndex),
      lastTerm: term(lastTerm),
      transfer: false,
    });
    member.raft.step(ask(4, 2));
    member.raft.step(ask(5, 2));
    expect(said(member)).toMatchObject([{ granted: false }, { granted: true }]);
    member.raft.step(append(4, [4, 2], [2, 4], 0));
    member.raft.step(append(4, [6, 4], [4], 0));
    expect(said(member)).toMatchObject([
      { accepted: true, matchIndex: 6 },
      { accepted: true, matchIndex: 7 },
    ]);
  });
});

describe('what drivers say to each other', () => {
  it('[V10] [U1] chunks and state hashes change nothing in the core, whatever their term', () => {
    const member = startedFrom({ hardState: hardState(1), entries: [] });
    const before = member.raft.inspect();
    const envelope = { from: memberId(1), to: memberId(3), term: term(9) };
    const at = { snapshotIndex: logIndex(4), snapshotTerm: term(1), chunk: 0 };
    member.raft.step({ type: 'snapshotChunkRequest', ...envelope, ...at });
    member.raft.step({
      type: 'snapshotChunk',
      ...envelope,
      ...at,
      chunkCount: 1,
      digest: 0,
      data: new Uint8Array(1),
    });
    member.raft.step({
      type: 'stateHashReport',
      ...envelope,
      index: logIndex(4),
      revision: 2,
      stateHash: '0'.repeat(32),
    });
    expect(member.raft.inspect()).toEqual(before);
    expect(LOG_START).toEqual(point(0, 0));
  });
});
