import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY, TestCluster, TestMember, logOf } from './cluster.testing.js';
import { RaftLog } from './log.js';
import { Raft } from './raft.js';
import { quorumIndex, quorumSize, voteResult } from './quorum.js';
import { logIndex, memberId, term, type Message } from './types.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const texts = (entries: readonly { payload: Uint8Array }[]): string[] =>
  entries.map((entry) => new TextDecoder().decode(entry.payload)).filter((text) => text !== '');

function appendTo(
  to: number,
  from: number,
  t: number,
  previous: [number, number],
  terms: number[],
  commit: number,
): Message {
  const [previousIndex, previousTerm] = previous;
  return {
    type: 'appendRequest',
    from: memberId(from),
    to: memberId(to),
    term: term(t),
    previousIndex: logIndex(previousIndex),
    previousTerm: term(previousTerm),
    entries: terms.map((entryTerm, i) => ({
      index: logIndex(previousIndex + 1 + i),
      term: term(entryTerm),
      kind: 'command',
      payload: bytes(`e${previousIndex + 1 + i}.${entryTerm}`),
    })),
    commit: logIndex(commit),
  };
}
function preVoteGrant(to: number, t: number): Message {
  return { type: 'preVoteResponse', from: memberId(1), to: memberId(to), term: term(t), granted: true };
}
function acknowledgement(from: number, t: number, matchIndex: number): Message {
  return {
    type: 'appendResponse',
    recovery: 0,
    from: memberId(from),
    to: memberId(1),
    term: term(t),
    accepted: true,
    matchIndex: logIndex(matchIndex),
    rejectedIndex: logIndex(0),
    hintIndex: logIndex(0),
    hintTerm: term(0),
  };
}
const termsOf = (raft: Raft): number[] =>
  Array.from({ length: raft.lastIndex }, (_, i) => Number(raft.termAt(i + 1)));

describe('elections', () => {
  it('[V1] a pre-vote that cannot win changes no term and no vote', () => {
    const cluster = new TestCluster(3, {}, { 1: [1], 2: [1, 2], 3: [1, 2] });
    cluster.raft(1).campaign();
    cluster.stabilize();
    expect(cluster.members.map((m) => m.raft.term)).toEqual([2, 2, 2]);
    expect(cluster.members.map((m) => m.raft.vote)).toEqual([null, null, null]);
    expect(cluster.members.every((m) => m.raft.role !== 'leader')).toBe(true);
  });

  it('[V1] [V7] one campaign elects one leader', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    expect(cluster.members.map((m) => m.raft.role)).toEqual(['leader', 'follower', 'follower']);
    expect(cluster.members.map((m) => m.raft.term)).toEqual([1, 1, 1]);
  });

  it('[V2] a member votes once in a term, and again for the same candidate', () => {
    const { members } = new TestCluster(3);
    const voter = members[2]!;
    const ask = (from: number): Message => ({
      type: 'voteRequest',
      from: memberId(from),
      to: memberId(3),
      term: term(1),
      lastIndex: logIndex(0),
      lastTerm: term(0),
      transfer: false,
    });
    for (const from of [1, 2, 1]) voter.raft.step(ask(from));
    voter.process();
    const answers = voter.sync().map((m) => m.type === 'voteResponse' && [m.to, m.granted]);
    expect(answers).toEqual([
      [1, true],
      [2, false],
      [1, true],
    ]);
  });

  it('[V2] [D4] a restart does not free the vote', () => {
    const { members } = new TestCluster(3);
    const voter = members[2]!;
    const ask = (from: number): Message => ({
      type: 'voteRequest',
      from: memberId(from),
      to: memberId(3),
      term: term(1),
      lastIndex: logIndex(0),
      lastTerm: term(0),
      transfer: false,
    });
    voter.raft.step(ask(1));
    voter.process();
    voter.sync();
    voter.restart();
    voter.raft.step(ask(2));
    const sent = [...(voter.process()?.sent ?? []), ...voter.sync()];
    expect(sent).toMatchObject([{ type: 'voteResponse', to: 2, granted: false }]);
  });

  it('[V3] P25: a log is newer by last term, then by last index: every small pair against a plain second version', () => {
    for (let t1 = 0; t1 < 4; t1++)
      for (let i1 = t1 === 0 ? 0 : 1; i1 < 4; i1++)
        for (let t2 = 0; t2 < 4; t2++)
          for (let i2 = t2 === 0 ? 0 : 1; i2 < 4; i2++) {
            const log = new RaftLog(logOf(Array.from({ length: t1 === 0 ? 0 : i1 }, () => t1)), logIndex(0));
            const theirs = [t2, t2 === 0 ? 0 : i2].join('.');
            const ours = [t1, t1 === 0 ? 0 : i1].join('.');
            expect(log.isUpToDate(logIndex(t2 === 0 ? 0 : i2), term(t2))).toBe(theirs >= ours);
          }
  });

  it('[V4] P4: a member that rejoins with pre-votes or a higher term a hundred times deposes nobody', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    for (let round = 0; round < 100; round++) {
      for (let tick = 0; tick < 25; tick++) cluster.raft(3).tick(); // cut off: it campaigns again and again
      cluster.tickAll(1);
      cluster.raft(2).step({
        type: 'voteRequest',
        from: memberId(3),
        to: memberId(2),
        term: term(9),
        lastIndex: logIndex(9),
        lastTerm: term(8),
        transfer: false,
      });
      cluster.stabilize();
    }
    expect(cluster.raft(1).role).toBe('leader');
    expect(cluster.members.map((m) => m.raft.term)).toEqual([1, 1, 1]);
  });

  it('[V5] P5: a member with a higher term and a short log is heard, and the cluster elects a leader again', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    cluster.raft(1).propose(bytes('x'));
    cluster.stabilize();
    const stuck = cluster.member(3);
    stuck.durable = { hardState: { ...EMPTY, term: term(7) }, entries: [] };
    stuck.restart();
    cluster.tickAll(60);
    const leaders = cluster.members.filter((m) => m.raft.role === 'leader');
    expect(leaders).toHaveLength(1);
    expect(leaders[0]!.raft.term).toBeGreaterThan(7);
    expect(texts(stuck.applied)).toEqual(['x']);
  });

  it('[V5] P5: a pre-candidate of a lower term is refused with the higher term, not ignored', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    cluster.raft(2).step({
      type: 'preVoteRequest',
      from: memberId(3),
      to: memberId(2),
      term: term(0),
      lastIndex: logIndex(9),
      lastTerm: term(0),
    });
    const sent = [...(cluster.member(2).process()?.sent ?? [])];
    expect(sent).toMatchObject([{ type: 'preVoteResponse', to: 3, term: 1, granted: false }]);
  });

  it('[V6] a leader that hears no majority steps down, and rejects what waits', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    cluster.raft(1).readIndex(7);
    for (let tick = 0; tick < 11; tick++) cluster.raft(1).tick();
    cluster.member(1).process();
    expect(cluster.raft(1).role).toBe('follower');
    expect(cluster.raft(1).lostQuorum).toBe(true);
    expect(cluster.member(1).rejected).toEqual([7]);
  });
});

describe('roles and timeouts', () => {
  const appendOfTwo = (t: number): Message => appendTo(3, 2, t, [0, 0], [], 0);

  it.each(['preCandidate', 'candidate'] as const)('[V11] a %s follows the leader of its own term', (role) => {
    const { raft } = new TestCluster(3).member(3);
    raft.campaign();
    if (role === 'candidate') raft.step(preVoteGrant(3, 1));
    expect(raft.role).toBe(role);
    raft.step(appendOfTwo(raft.term));
    expect([raft.role, raft.leader]).toEqual(['follower', 2]);
  });

  it('[V12] an election timeout is between one and two times the configured one, and each is drawn anew', () => {
    let draw = 0.5;
    const member = new TestCluster(3, { random: () => draw }).member(1);
    const campaigns: number[] = [];
    for (let tick = 1; tick <= 60; tick++) {
      member.raft.tick();
      if (member.process() === null) continue;
      campaigns.push(tick);
      draw = 0.999; // the timeout after next: this campaign has drawn already
    }
    expect(campaigns).toEqual([15, 30, 49]);
  });

  it('[V12] a granted vote starts the timeout again, a refused one does not', () => {
    for (const [lastIndex, expected] of [
      [1, 'follower'],
      [0, 'preCandidate'],
    ] as const) {
      const { raft } = new TestCluster(3, {}, { 3: [1] }).member(3);
      for (let tick = 0; tick < 9; tick++) raft.tick();
      raft.step({
        type: 'voteRequest',
        from: memberId(2),
        to: memberId(3),
        term: term(1),
        lastIndex: logIndex(lastIndex),
        lastTerm: term(lastIndex),
        transfer: false,
      });
      raft.tick();
      expect(raft.role).toBe(expected);
    }
  });
});

describe('a leader that is gone', () => {
  it('[V9] followers that are told so elect another at once; a follower alone in the belief elects nobody', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    expect(cluster.raft(3).forgetLeader(memberId(1))).toBe(true);
    cluster.raft(3).campaign();
    cluster.stabilize();
    expect(cluster.raft(1).role).toBe('leader');
    cluster.tickAll(1);
    expect(cluster.raft(3).leader).toBe(1); // a heartbeat of the leader sets it right

    for (const id of [2, 3]) cluster.raft(id).forgetLeader(memberId(1));
    cluster.elect(2, [2, 3]);
    expect(cluster.raft(2).role).toBe('leader');
    expect(cluster.raft(2).term).toBe(2);
    expect(cluster.raft(2).forgetLeader(memberId(2))).toBe(false);
  });
});

describe('storage that stands still', () => {
  it('[V8] P22: a leader steps down, and nobody in that state campaigns', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    cluster.raft(1).storageStalled = true;
    cluster.raft(1).tick();
    expect(cluster.raft(1).role).toBe('follower');
    for (let tick = 0; tick < 50; tick++) cluster.raft(1).tick();
    expect(cluster.raft(1).role).toBe('follower');
    cluster.raft(1).storageStalled = false;
    for (let tick = 0; tick < 20; tick++) cluster.raft(1).tick();
    expect(cluster.raft(1).role).toBe('preCandidate');
  });

  it('[A6] read rounds do not make a probed follower a target of repeated entries', () => {
    const cluster = new TestCluster(3, {}, { 1: [1, 1], 2: [1, 1], 3: [] });
    cluster.raft(1).campaign();
    cluster.stabilize((m) => m.to === 3 && m.type === 'appendRequest');
    let appends = 0;
    for (let round = 0; round < 100; round++) {
      cluster.raft(1).readIndex(round);
      cluster.stabilize((m) => {
        if (m.type === 'appendRequest' && m.to === 3) appends += 1;
        return m.type === 'appendRequest' && m.to === 3;
      });
    }
    expect(cluster.member(1).confirmed).toHaveLength(100);
    expect(appends).toBeLessThanOrEqual(1);
  });
});

describe('appending', () => {
  it('[A1] entries behind an unshared one are refused, and nothing changes', () => {
    const { members } = new TestCluster(3, {}, { 3: [1, 1, 2] });
    const follower = members[2]!;
    follower.raft.step(appendTo(3, 1, 3, [3, 3], [3], 0));
    expect(termsOf(follower.raft)).toEqual([1, 1, 2]);
    const refusals = [...(follower.process()?.sent ?? []), ...follower.sync()];
    expect(refusals).toMatchObject([{ accepted: false, rejectedIndex: 3, hintIndex: 3, hintTerm: 2 }]);
  });

  it('[A2] P7: a duplicate and a stale prefix cut nothing', () => {
    const { members } = new TestCluster(3);
    const { raft } = members[2]!;
    raft.step(appendTo(3, 1, 1, [0, 0], [1, 1, 1], 0));
    raft.step(appendTo(3, 1, 1, [0, 0], [1], 0));
    raft.step(appendTo(3, 1, 1, [1, 1], [], 0));
    expect(termsOf(raft)).toEqual([1, 1, 1]);
  });

  it('[A2] P7: a conflict cuts from the first entry that differs', () => {
    const { members } = new TestCluster(3, {}, { 3: [1, 1, 2, 2] });
    const { raft } = members[2]!;
    raft.step(appendTo(3, 1, 3, [1, 1], [1, 3], 0));
    expect(termsOf(raft)).toEqual([1, 1, 3]);
  });

  it('[A3] P7: late appends below the commit index leave it alone and are acknowledged', () => {
    const { members } = new TestCluster(3);
    const follower = members[2]!;
    follower.raft.step(appendTo(3, 1, 2, [0, 0], [1, 1, 2], 3));
    follower.raft.step(appendTo(3, 1, 2, [0, 0], [1], 1));
    expect(follower.raft.commitIndex).toBe(3);
    follower.process();
    expect(follower.sync().map((m) => m.type === 'appendResponse' && m.matchIndex)).toEqual([3, 3]);
  });

  it('[A4] a divergence of hundreds of entries is found in a few round trips', () => {
    const common = Array.from({ length: 50 }, () => 1);
    const cluster = new TestCluster(
      3,
      {},
      {
        1: [...common, ...Array.from({ length: 300 }, () => 5)],
        2: [...common, ...Array.from({ length: 300 }, () => 5)],
        3: [...common, ...Array.from({ length: 400 }, () => 4)],
      },
    );
    let refusals = 0;
    cluster.raft(1).campaign();
    cluster.stabilize((m) => {
      if (m.type === 'appendResponse' && !m.accepted) refusals += 1;
      return false;
    });
    expect(cluster.raft(1).role).toBe('leader');
    expect(termsOf(cluster.raft(3))).toEqual(termsOf(cluster.raft(1)));
    expect(refusals).toBeLessThanOrEqual(3);
  });

  it('[A5] a late refusal moves nothing back', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    cluster.raft(1).propose(bytes('a'));
    cluster.stabilize();
    const match = cluster.raft(1).matchIndexOf(memberId(2));
    cluster.raft(1).step({
      type: 'appendResponse',
      recovery: 0,
      from: memberId(2),
      to: memberId(1),
      term: term(1),
      accepted: false,
      matchIndex: logIndex(0),
      rejectedIndex: logIndex(1),
      hintIndex: logIndex(0),
      hintTerm: term(0),
    });
    expect(cluster.raft(1).matchIndexOf(memberId(2))).toBe(match);
    expect(cluster.member(1).process()).toBeNull();
  });

  it('[A6] the window bounds what is in flight, in messages and in bytes', () => {
    const cluster = new TestCluster(2, {
      inflightMessagesMax: 4,
      appendBytesMax: 64,
      inflightBytesMax: 1 << 20,
    });
    cluster.elect(1);
    cluster.raft(1).propose(bytes('first'));
    cluster.stabilize();
    for (let i = 0; i < 20; i++) cluster.raft(1).propose(new Uint8Array(64));
    const sent = cluster
      .member(1)
      .process()!
      .sent.filter((m) => m.type === 'appendRequest');
    expect(sent).toHaveLength(4);
    const byBytes = new TestCluster(2, { inflightBytesMax: 200, appendBytesMax: 64 });
    byBytes.elect(1);
    for (let i = 0; i < 20; i++) byBytes.raft(1).propose(new Uint8Array(64));
    expect(
      byBytes
        .member(1)
        .process()!
        .sent.filter((m) => m.type === 'appendRequest').length,
    ).toBeLessThanOrEqual(3);
  });

  it('[A6] lost appends at the end of a burst are found without a new proposal', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    cluster.raft(1).propose(bytes('lost'));
    cluster.stabilize((m) => m.type === 'appendRequest' && m.to === 3 && m.entries.length > 0);
    expect(texts(cluster.member(3).applied)).toEqual([]);
    cluster.tickAll(6);
    expect(texts(cluster.member(3).applied)).toEqual(['lost']);
  });
});

describe('acknowledgements and proposals', () => {
  it('[A7] late and repeated acknowledgements take nothing back', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    for (const text of ['a', 'b', 'c']) cluster.raft(1).propose(bytes(text));
    cluster.stabilize();
    for (const matchIndex of [2, 1, 4, 3, 0]) {
      cluster.raft(1).step(acknowledgement(2, 1, matchIndex));
      expect(cluster.raft(1).matchIndexOf(memberId(2))).toBe(4);
    }
    expect(cluster.raft(1).commitIndex).toBe(4);
    expect(cluster.member(1).process()).toBeNull();
  });

  it('[A8] an acknowledgement beyond the log stops the leader', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    expect(() => cluster.raft(1).step(acknowledgement(2, 1, 2))).toThrow('never sent');
  });

  it('[A9] followers, pre-candidates and candidates refuse proposals and reads and keep their logs', () => {
    const { raft } = new TestCluster(3).member(3);
    const refuses = (): void => {
      expect(raft.propose(bytes('x'))).toEqual({ type: 'notLeader' });
      expect(raft.readIndex(1)).toBe('notLeader');
      expect(raft.lastIndex).toBe(0);
    };
    refuses();
    raft.campaign();
    refuses();
    raft.step(preVoteGrant(3, 1));
    expect(raft.role).toBe('candidate');
    refuses();
  });
});

describe('committing', () => {
  it('[C1] P6: figure 8: an older term is not committed by counting', () => {
    // Member 1 led term 2 and replicated entry 2 to member 2; now it leads term 4 with that entry on a majority.
    const cluster = new TestCluster(3, {}, { 1: [1, 2], 2: [1, 2], 3: [1] });
    const lead = cluster.member(1);
    lead.raft.campaign();
    cluster.stabilize((m) => m.type === 'appendRequest'); // elected, nothing replicated
    expect(lead.raft.role).toBe('leader');
    const ack = (index: number): Message => ({
      type: 'appendResponse',
      recovery: 0,
      from: memberId(2),
      to: memberId(1),
      term: lead.raft.term,
      accepted: true,
      matchIndex: logIndex(index),
      rejectedIndex: logIndex(0),
      hintIndex: logIndex(0),
      hintTerm: term(0),
    });
    lead.raft.step(ack(2));
    expect(lead.raft.commitIndex).toBe(0);
    lead.raft.step(ack(3)); // its own noop
    expect(lead.raft.commitIndex).toBe(3);
  });

  it('[C2] a new leader commits its predecessors entries without a client', () => {
    const cluster = new TestCluster(3, {}, { 1: [1, 1], 2: [1, 1], 3: [1] });
    cluster.elect(1);
    expect(cluster.members.map((m) => m.raft.commitIndex)).toEqual([3, 3, 3]);
  });

  it('[C3] P8: a commit index beyond the proved prefix is cut to it', () => {
    const { members } = new TestCluster(3, {}, { 3: [1, 1, 1] });
    const { raft } = members[2]!;
    raft.step(appendTo(3, 1, 2, [1, 1], [], 3)); // entries 2 and 3 may differ from the leader's
    expect(raft.commitIndex).toBe(1);
  });

  it('[C3] P8: heartbeats carry no more than what the follower is known to hold', () => {
    const cluster = new TestCluster(3, {}, { 1: [1, 1], 2: [1, 1], 3: [] });
    cluster.raft(1).campaign();
    cluster.stabilize((m) => m.to === 3 && m.type === 'appendRequest');
    for (let i = 0; i < 3; i++) cluster.raft(1).tick();
    const beats = cluster
      .member(1)
      .process()!
      .sent.filter((m) => m.type === 'heartbeatRequest');
    expect(beats.filter((m) => m.to === 3).map((m) => m.type === 'heartbeatRequest' && m.commit)).toEqual([
      0, 0, 0,
    ]);
  });

  it('[C4] P40: a leader whose own disk lags commits by its followers, and applies only after its own fsync', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    const leader = cluster.member(1);
    leader.raft.propose(bytes('w'));
    const { sent } = leader.process()!;
    for (const message of sent) cluster.raft(message.to).step(message);
    for (const id of [2, 3]) {
      cluster.member(id).process();
      for (const answer of cluster.member(id).sync()) leader.raft.step(answer);
    }
    expect(leader.raft.commitIndex).toBe(2);
    leader.process();
    expect(texts(leader.applied)).toEqual([]);
    leader.sync();
    leader.process();
    expect(texts(leader.applied)).toEqual(['w']);
  });
});

describe('reads', () => {
  it('[R1] one round after their arrival confirms all waiting reads', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    for (const id of [1, 2, 3]) cluster.raft(1).readIndex(id);
    let beats = 0;
    cluster.stabilize((m) => {
      if (m.type === 'heartbeatRequest') beats += 1;
      return false;
    });
    expect(beats).toBe(2);
    expect(cluster.member(1).confirmed.map((r) => r.id)).toEqual([1, 2, 3]);
  });

  it('[R1] the answer to an earlier round confirms nothing', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    cluster.raft(1).readIndex(1);
    cluster.member(1).process();
    cluster.raft(1).step({
      type: 'heartbeatResponse',
      recovery: 0,
      from: memberId(2),
      to: memberId(1),
      term: term(1),
      readRound: 0,
    });
    expect(cluster.member(1).process()).toBeNull();
    expect(cluster.member(1).confirmed).toEqual([]);
  });

  it('[R2] P2: a new leader answers no read before its own entry is committed', () => {
    const cluster = new TestCluster(3, {}, { 1: [1], 2: [1], 3: [1] });
    cluster.raft(1).campaign();
    cluster.stabilize((m) => m.type === 'appendResponse');
    expect(cluster.raft(1).role).toBe('leader');
    cluster.raft(1).readIndex(5);
    cluster.stabilize((m) => m.type === 'appendResponse');
    expect(cluster.member(1).confirmed).toEqual([]);
    cluster.tickAll(5);
    expect(cluster.member(1).confirmed).toMatchObject([{ id: 5, index: 2 }]);
  });

  it('[R4] waiting reads are bounded, and a great many of them are rejected without harm', () => {
    const cluster = new TestCluster(3, { readsWaitingMax: 200_000 });
    cluster.elect(1);
    for (let id = 0; id < 200_000; id++) expect(cluster.raft(1).readIndex(id)).toBe('waiting');
    expect(cluster.raft(1).readIndex(200_000)).toBe('overloaded');
    cluster.raft(1).step(appendTo(1, 2, 5, [0, 0], [], 0));
    expect(cluster.member(1).process()!.ready.readsRejected).toHaveLength(200_000);
  });

  it('[R3] P3: a leader that is deposed rejects its waiting reads', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    cluster.raft(1).readIndex(9);
    cluster.raft(1).step(appendTo(1, 2, 5, [0, 0], [], 0));
    cluster.member(1).process();
    expect(cluster.member(1).rejected).toEqual([9]);
    expect(cluster.member(1).confirmed).toEqual([]);
    expect(cluster.raft(1).readIndex(10)).toBe('waiting'); // it follows another, and asks that one
    expect(cluster.member(1).process()!.sent).toEqual([]); // not before its new term is durable
    expect(
      cluster
        .member(1)
        .sync()
        .filter(({ type }) => type === 'readIndexRequest'),
    ).toMatchObject([{ to: 2, term: 5 }]);
  });
});

describe('what heartbeats say', () => {
  const beatsOf = (cluster: TestCluster): Message[] =>
    (cluster.member(1).process()?.sent ?? []).filter((m) => m.type === 'heartbeatRequest');

  it('[R5] P2: the head is told only when an entry of the own term is committed', () => {
    const cluster = new TestCluster(3, {}, { 1: [1], 2: [1], 3: [1] });
    cluster.raft(1).campaign();
    cluster.stabilize((m) => m.type === 'appendResponse');
    cluster.raft(1).tick();
    expect(beatsOf(cluster)).toMatchObject([{ leaderCommit: 0 }, { leaderCommit: 0 }]);
    cluster.raft(1).step(acknowledgement(2, 2, 2));
    cluster.raft(1).tick();
    expect(beatsOf(cluster)).toMatchObject([{ leaderCommit: 2 }, { leaderCommit: 2 }]);
  });

  it('[R6] a round whose messages are lost goes out again with the next heartbeat', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    cluster.raft(1).readIndex(4);
    cluster.stabilize((m) => m.type === 'heartbeatRequest');
    expect(cluster.member(1).confirmed).toEqual([]);
    cluster.raft(1).tick();
    cluster.stabilize();
    expect(cluster.member(1).confirmed).toMatchObject([{ id: 4, index: 1 }]);
  });
});

describe('durability', () => {
  it('[D6] P32: a member that is told to commit what it lost stops', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    const wiped = cluster.member(3);
    wiped.durable = { hardState: { ...EMPTY, term: term(1) }, entries: [] };
    wiped.restart();
    cluster.raft(1).tick();
    expect(() => cluster.stabilize()).toThrow('lost entries it had acknowledged');
  });

  it('[D7] a heartbeat is answered at once while entries wait for the disk, but not before its term is durable', () => {
    const follower = new TestCluster(3).member(3);
    const beat: Message = {
      type: 'heartbeatRequest',
      recovery: 0,
      recoveryIndex: logIndex(0),
      from: memberId(1),
      to: memberId(3),
      term: term(1),
      commit: logIndex(0),
      leaderCommit: logIndex(0),
      readRound: 1,
    };
    follower.raft.step(beat);
    expect(follower.process()!.sent).toEqual([]);
    expect(follower.sync()).toMatchObject([{ type: 'heartbeatResponse', readRound: 1 }]);
    follower.raft.step(appendTo(3, 1, 1, [0, 0], [1], 0));
    follower.process();
    follower.raft.step({ ...beat, readRound: 2 });
    expect(follower.process()!.sent).toMatchObject([{ type: 'heartbeatResponse', readRound: 2 }]);
  });

  it('[D1] P11: a vote leaves only when it is durable', () => {
    const voter = new TestCluster(3).member(3);
    voter.raft.step({
      type: 'voteRequest',
      from: memberId(1),
      to: memberId(3),
      term: term(1),
      lastIndex: logIndex(0),
      lastTerm: term(0),
      transfer: false,
    });
    expect(voter.process()!.sent).toEqual([]);
    expect(voter.durable.hardState.vote).toBeNull();
    expect(voter.sync()).toMatchObject([{ type: 'voteResponse', granted: true }]);
    expect(voter.durable.hardState.vote).toBe(1);
  });

  it('[D1] an acknowledgement of entries that are still being written waits with them', () => {
    const follower = new TestCluster(3).member(3);
    follower.raft.step(appendTo(3, 1, 1, [0, 0], [1], 0));
    expect(follower.process()!.sent).toEqual([]);
    follower.raft.step(appendTo(3, 1, 1, [0, 0], [1], 0)); // a duplicate: nothing new to write
    expect(follower.process()!.sent).toEqual([]);
    expect(follower.sync()).toHaveLength(2);
  });

  it('[D2] P12: one member alone is not leader and commits nothing before its own fsync', () => {
    const only = new TestCluster(1).member(1);
    only.raft.campaign();
    only.process();
    expect(only.raft.role).toBe('candidate');
    only.sync();
    expect(only.raft.role).toBe('leader');
    only.raft.propose(bytes('solo'));
    only.process();
    expect(only.raft.commitIndex).toBe(0);
    only.sync();
    only.process();
    expect(texts(only.applied)).toEqual(['solo']);
  });

  it('[D2] P12: a leader counts itself only after its own fsync', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    const leader = cluster.member(1);
    leader.raft.propose(bytes('w'));
    const { sent } = leader.process()!;
    for (const message of sent.filter((m) => m.to === 2)) cluster.raft(2).step(message);
    cluster.member(2).process();
    for (const answer of cluster.member(2).sync()) leader.raft.step(answer);
    expect(leader.raft.commitIndex).toBe(1); // only member 2 holds it durably
    leader.sync();
    expect(leader.raft.commitIndex).toBe(2);
  });

  it('[D3] P13: the late end of a replaced write does not make its successor durable (ABA)', () => {
    const follower = new TestCluster(3).member(3);
    const { raft } = follower;
    raft.step(appendTo(3, 1, 2, [0, 0], [2], 0));
    follower.process(); // write 1: entry 1 of term 2
    raft.step(appendTo(3, 2, 3, [0, 0], [3], 0));
    follower.process(); // write 2 replaces it
    raft.step(appendTo(3, 1, 4, [0, 0], [2], 0));
    follower.process(); // write 3: the same index and term as write 1
    follower.sync(1);
    expect(raft.durableIndex).toBe(0);
    follower.sync(1);
    expect(raft.durableIndex).toBe(0);
    follower.sync(1);
    expect(raft.durableIndex).toBe(1);
  });

  it('[D4] a restarted member has what was durable, and no more', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    cluster.raft(1).propose(bytes('kept'));
    cluster.stabilize();
    cluster.raft(1).propose(bytes('unsynced'));
    cluster.member(1).process();
    cluster.member(1).restart();
    expect(texts(cluster.member(1).durable.entries)).toEqual(['kept']);
    expect(cluster.raft(1).term).toBe(1);
    expect(cluster.raft(1).vote).toBe(1);
    expect(cluster.raft(1).role).toBe('follower');
  });

  it('[D5] the stored commit index stays within the stored entries', () => {
    const follower = new TestCluster(3).member(3);
    follower.raft.step(appendTo(3, 1, 1, [0, 0], [1, 1], 2));
    const ready = follower.process()!.ready;
    expect(ready.hardState?.commit).toBe(0);
    expect(follower.raft.commitIndex).toBe(2);
  });
});

describe('purity and bounds', () => {
  it('[U1] P34: the same inputs give the same outputs, byte for byte', () => {
    const run = (): string => {
      let state = 7;
      const random = (): number => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
      const cluster = new TestCluster(5, { random });
      const trace: unknown[] = [];
      for (let i = 0; i < 400; i++) {
        if (i % 7 === 0) for (const m of cluster.members) m.raft.propose(bytes(`p${i}`));
        cluster.tickAll(1, (m) => {
          trace.push(m);
          return random() < 0.2;
        });
      }
      return JSON.stringify(trace, (_, v: unknown) => (v instanceof Uint8Array ? [...v] : v));
    };
    const first = run();
    expect(first.length).toBeGreaterThan(10_000);
    expect(run()).toBe(first);
  });

  it('[U2] proposals beyond the uncommitted limit are refused, and accepted again after a commit', () => {
    const cluster = new TestCluster(3, { uncommittedBytesMax: 1000 });
    cluster.elect(1);
    let accepted = 0;
    while (cluster.raft(1).propose(new Uint8Array(100)).type === 'proposed') accepted += 1;
    expect(accepted).toBeLessThan(10);
    cluster.stabilize();
    expect(cluster.raft(1).propose(new Uint8Array(100)).type).toBe('proposed');
  });

  it('[U2] what is held for others can be seen', () => {
    const cluster = new TestCluster(3, { inflightMessagesMax: 2 });
    cluster.elect(1);
    for (let i = 0; i < 3; i++) {
      cluster.raft(1).propose(new Uint8Array(68));
      cluster.raft(1).readIndex(i);
      cluster.member(1).process();
    }
    expect(cluster.raft(1).load).toEqual({
      uncommittedBytes: 300,
      readsWaiting: 3,
      inflightMessages: 2,
      inflightBytes: 200,
      writesPending: 3,
    });
    cluster.raft(1).step(acknowledgement(2, 1, 1));
    cluster.tickAll(9);
    expect(cluster.raft(1).load).toMatchObject({ uncommittedBytes: 0, readsWaiting: 0, writesPending: 0 });
  });

  it('[U1] looking at a member changes nothing, and equal members look equal', () => {
    const [one, other] = [new TestCluster(3), new TestCluster(3)];
    for (const cluster of [one, other]) {
      cluster.elect(1);
      cluster.raft(1).propose(bytes('x'));
      cluster.raft(1).readIndex(1);
      cluster.member(1).process();
    }
    const seen = one.raft(1).inspect();
    expect([seen.reads.inFlight?.ids, one.raft(2).inspect().reads.inFlight]).toEqual([[1], null]);
    expect(seen).toEqual(one.raft(1).inspect());
    expect(seen).toEqual(other.raft(1).inspect());
    other.raft(1).tick();
    expect(seen).not.toEqual(other.raft(1).inspect());
    one.tickAll(1);
    expect(one.member(1).confirmed).toMatchObject([{ id: 1 }]);
  });

  it('[V4] ticks without a leader are counted, and not by the leader', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    for (const id of [1, 2]) for (let tick = 0; tick < 4; tick++) cluster.raft(id).tick();
    expect([1, 2, 3].map((id) => cluster.raft(id).ticksSinceLeader)).toEqual([0, 4, 0]);
    expect(cluster.raft(2).matchIndexOf(memberId(3))).toBeNull();
    cluster.stabilize();
    expect(cluster.raft(2).ticksSinceLeader).toBe(0);
  });

  it('[V10] messages for others and from strangers are ignored', () => {
    const { members } = new TestCluster(3);
    const member = members[0]!;
    member.raft.step(appendTo(2, 3, 9, [0, 0], [9], 1));
    member.raft.step(appendTo(1, 8, 9, [0, 0], [9], 1));
    expect(member.raft.term).toBe(0);
    expect(member.raft.hasReady()).toBe(false);
  });
});

describe('quorums', () => {
  it('[C1] the quorum index equals a deliberately plain count', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50), { minLength: 1, maxLength: 7 }), (indexes) => {
        const plain = Math.max(
          ...[0, ...indexes].filter(
            (i) => indexes.filter((j) => j >= i).length >= Math.floor(indexes.length / 2) + 1,
          ),
        );
        expect(quorumIndex(indexes.map((i) => logIndex(i)))).toBe(plain);
      }),
      { numRuns: 2000 },
    );
  });
  it('[V1] an election is won by a majority and lost when none is possible', () => {
    for (let members = 1; members <= 7; members++)
      for (let yes = 0; yes <= members; yes++)
        for (let no = 0; yes + no <= members; no++) {
          const votes = new Map(Array.from({ length: yes + no }, (_, i) => [i, i < yes]));
          const expected = yes * 2 > members ? 'won' : (members - no) * 2 <= members ? 'lost' : 'pending';
          expect(voteResult(members, votes)).toBe(expected);
        }
    expect([1, 2, 3, 4, 5].map(quorumSize)).toEqual([1, 2, 2, 3, 3]);
  });
  it('[D4] a test member starts from what it is given', () => {
    const ids = [memberId(1), memberId(2)];
    const config = {
      self: ids[0]!,
      members: ids,
      electionTimeoutTicks: 10,
      heartbeatTicks: 1,
      random: () => 0,
    };
    const member = new TestMember(config, { hardState: { ...EMPTY, term: term(3) }, entries: logOf([1, 3]) });
    expect([member.raft.term, member.raft.lastIndex, member.raft.durableIndex]).toEqual([3, 2, 2]);
  });
});
