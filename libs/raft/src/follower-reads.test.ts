import { describe, expect, it } from 'vitest';
import { TestCluster } from './cluster.testing.js';
import { FollowerReads } from './follower-reads.js';
import { logIndex, memberId, term, type Message } from './types.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const request = (from: number, readId: number, t = 1): Message => ({
  type: 'readIndexRequest',
  from: memberId(from),
  to: memberId(1),
  term: term(t),
  readId,
});
const answer = (to: number, readId: number, index: number, t = 1, from = 1): Message => ({
  type: 'readIndexResponse',
  from: memberId(from),
  to: memberId(to),
  term: term(t),
  readId,
  index: logIndex(index),
});
const requestsOf = (cluster: TestCluster, id: number): Message[] =>
  (cluster.member(id).process()?.sent ?? []).filter(({ type }) => type === 'readIndexRequest');

describe('reads at a follower', () => {
  it('[R7] are confirmed by the leader, at an index that holds all that was committed before', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    cluster.raft(1).propose(bytes('x'));
    cluster.stabilize();
    expect(cluster.raft(3).readIndex(7)).toBe('waiting');
    cluster.stabilize();
    expect(cluster.member(3).confirmed).toEqual([{ id: 7, index: 2 }]);
    expect(cluster.member(1).confirmed).toEqual([]);
  });

  it('[R7] one request is out at a time, and the reads that arrive meanwhile share the next', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    const { raft } = cluster.member(3);
    raft.readIndex(1);
    expect(requestsOf(cluster, 3)).toMatchObject([{ readId: 1 }]);
    for (const id of [2, 3]) raft.readIndex(id);
    expect(requestsOf(cluster, 3)).toEqual([]);
    raft.step(answer(3, 1, 1));
    expect(requestsOf(cluster, 3)).toMatchObject([{ readId: 2 }]);
    expect(cluster.member(3).confirmed).toEqual([{ id: 1, index: 1 }]);
    raft.step(answer(3, 2, 1));
    cluster.member(3).process();
    expect(cluster.member(3).confirmed.map(({ id }) => id)).toEqual([1, 2, 3]);
  });

  it('[R9] without an answer for three heartbeat intervals it asks again, under a new number', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    const { raft } = cluster.member(3);
    raft.readIndex(1);
    const sent: Message[][] = [];
    for (let tick = 0; tick < 7; tick++) {
      sent.push(requestsOf(cluster, 3));
      raft.tick();
    }
    expect(sent.map((messages) => messages.map((m) => m.type === 'readIndexRequest' && m.readId))).toEqual([
      [1],
      [],
      [],
      [2],
      [],
      [],
      [3],
    ]);
  });

  it('[R9] a late answer confirms what waited when its request was sent, and nothing that came later', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    const { raft } = cluster.member(3);
    raft.readIndex(1);
    requestsOf(cluster, 3);
    raft.readIndex(2);
    for (let tick = 0; tick < 3; tick++) raft.tick();
    expect(requestsOf(cluster, 3)).toMatchObject([{ readId: 2 }]);
    raft.step(answer(3, 1, 1)); // to the first request: says nothing of read 2
    cluster.member(3).process();
    expect(cluster.member(3).confirmed).toEqual([{ id: 1, index: 1 }]);
    raft.step(answer(3, 1, 1));
    raft.step(answer(3, 9, 1)); // to nothing that was asked
    raft.step(answer(3, 0, 1));
    cluster.member(3).process();
    expect(cluster.member(3).confirmed).toHaveLength(1);
    raft.step(answer(3, 2, 4));
    cluster.member(3).process();
    expect(cluster.member(3).confirmed.at(-1)).toEqual({ id: 2, index: 4 });
  });

  it('[R9] a newer answer confirms what older requests asked for', () => {
    const reads = new FollowerReads();
    reads.add(1);
    expect(reads.send(0, () => 0)).toBe(1);
    reads.add(2);
    expect(reads.send(3, () => 0.9)).toBe(2); // the begin is drawn once
    reads.add(3);
    expect(reads.waiting).toBe(3);
    expect(reads.answered(2, logIndex(5)).map(({ id }) => id)).toEqual([1, 2]);
    expect(reads.isDue(3, 3)).toBe(true);
    expect(reads.rejectAll()).toEqual([3]);
    expect(reads.isDue(99, 3)).toBe(false);
  });

  it('[R9] P14: numbers begin anywhere, so that an answer to an earlier life is not one to this', () => {
    const numbers = [0, 0.25, 0.9999].map((random) => {
      const reads = new FollowerReads();
      reads.add(1);
      return reads.send(0, () => random);
    });
    expect(numbers).toEqual([1, 2 ** 50 + 1, Math.floor(0.9999 * 2 ** 52) + 1]);
  });

  it.each([
    ['another term', (): Message => ({ ...request(2, 1, 5), to: memberId(3) })],
    [
      'another leader',
      (): Message => ({
        ...answer(3, 1, 1, 4, 2),
        type: 'heartbeatRequest',
        recovery: 0,
        recoveryIndex: logIndex(0),
        commit: logIndex(0),
        leaderCommit: logIndex(0),
        readRound: 0,
      }),
    ],
  ])('[R3] P3: are rejected with %s', (_, message) => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    cluster.raft(3).readIndex(1);
    requestsOf(cluster, 3);
    cluster.raft(3).readIndex(2);
    cluster.raft(3).step(message());
    cluster.member(3).process();
    expect(cluster.member(3).rejected).toEqual([1, 2]);
    cluster.raft(3).step(answer(3, 1, 1));
    expect(cluster.member(3).confirmed).toEqual([]);
  });

  it('[R3] P3: are rejected when the member campaigns, or is told that its leader is gone', () => {
    for (const end of ['campaign', 'forget'] as const) {
      const cluster = new TestCluster(3);
      cluster.elect(1);
      cluster.raft(3).readIndex(1);
      requestsOf(cluster, 3);
      if (end === 'campaign') cluster.raft(3).campaign();
      else cluster.raft(3).forgetLeader(memberId(1));
      expect(cluster.raft(3).readIndex(2)).toBe('notLeader');
      cluster.member(3).process();
      expect(cluster.member(3).rejected).toEqual([1]);
      cluster.tickAll(1); // the leader is heard again, in the same term
      cluster.raft(3).readIndex(3);
      expect(requestsOf(cluster, 3)).toMatchObject([{ readId: 2 }]);
      cluster.raft(3).step(answer(3, 1, 1)); // of before
      cluster.member(3).process();
      expect(cluster.member(3).confirmed).toEqual([]);
    }
  });

  it('[R4] are bounded, and one that was confirmed makes room', () => {
    const cluster = new TestCluster(3, { readsWaitingMax: 2 });
    cluster.elect(1);
    const { raft } = cluster.member(3);
    expect([1, 2, 3].map((id) => raft.readIndex(id))).toEqual(['waiting', 'waiting', 'overloaded']);
    expect(raft.load.readsWaiting).toBe(2);
    cluster.stabilize();
    expect(raft.readIndex(4)).toBe('waiting');
  });

  it('[D7] [R7] a request waits for its term to be durable, and for nothing else', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    const { raft } = cluster.member(3);
    raft.step({
      type: 'heartbeatRequest',
      recovery: 0,
      recoveryIndex: logIndex(0),
      from: memberId(2),
      to: memberId(3),
      term: term(2),
      commit: logIndex(0),
      leaderCommit: logIndex(0),
      readRound: 0,
    });
    raft.readIndex(1);
    expect(requestsOf(cluster, 3)).toEqual([]);
    expect(cluster.member(3).sync()).toMatchObject([
      { type: 'heartbeatResponse' },
      { type: 'readIndexRequest', to: 2 },
    ]);
  });
});

describe('reads for a follower', () => {
  it('[R8] a round begins after the request arrived; one in flight confirms nothing for it', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    const leader = cluster.member(1);
    leader.raft.readIndex(1);
    const before = leader.process()!.sent; // round 1 is out
    leader.raft.step(request(3, 40));
    const heard = (readRound: number): void =>
      leader.raft.step({
        type: 'heartbeatResponse',
        recovery: 0,
        from: memberId(2),
        to: memberId(1),
        term: term(1),
        readRound,
      });
    expect(before).toHaveLength(2);
    heard(1);
    const { sent } = leader.process()!;
    expect(leader.confirmed).toMatchObject([{ id: 1 }]);
    expect(sent.map(({ type }) => type)).toEqual(['heartbeatRequest', 'heartbeatRequest']);
    heard(2);
    expect(leader.process()!.sent).toMatchObject([
      { type: 'readIndexResponse', to: 3, readId: 40, index: 1 },
    ]);
  });

  it('[R8] [R2] it waits for an entry of the own term', () => {
    const cluster = new TestCluster(3, {}, { 1: [1], 2: [1], 3: [1] });
    cluster.raft(1).campaign();
    cluster.stabilize(({ type }) => type === 'appendResponse');
    cluster.raft(1).step(request(3, 40, 2));
    expect(cluster.member(1).process()).toBeNull();
    cluster.tickAll(4);
    expect(cluster.raft(1).commitIndex).toBe(2);
    expect(cluster.raft(1).inspect().reads.collectingRemote).toEqual([]);
  });

  it('[R8] [R4] one request of each follower waits: the newest', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    const leader = cluster.member(1);
    for (let readId = 1; readId <= 1_000; readId++) leader.raft.step(request(3, readId));
    leader.raft.step(request(2, 5));
    expect(leader.raft.inspect().reads.collectingRemote).toEqual([
      [3, 1_000],
      [2, 5],
    ]);
    expect(leader.raft.load.readsWaiting).toBe(0);
    const answers: Message[] = [];
    cluster.stabilize((message) => {
      if (message.type === 'readIndexResponse') answers.push(message);
      return false;
    });
    expect(answers).toMatchObject([
      { to: 3, readId: 1_000 },
      { to: 2, readId: 5 },
    ]);
  });

  it('[R3] P3: a leader that is deposed answers none', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    const leader = cluster.member(1);
    leader.raft.step(request(3, 40));
    leader.process();
    leader.raft.step(request(2, 41));
    leader.raft.step({
      ...answer(1, 0, 0, 7, 2),
      type: 'voteResponse',
      granted: false,
      lastIndex: logIndex(0),
      lastTerm: term(0),
    });
    expect(leader.raft.role).toBe('follower');
    leader.raft.step({ ...answer(1, 0, 0, 1, 2), type: 'heartbeatResponse', recovery: 0, readRound: 9 });
    const sent = [...(leader.process()?.sent ?? []), ...leader.sync()];
    expect(sent.filter(({ type }) => type === 'readIndexResponse')).toEqual([]);
    expect(leader.rejected).toEqual([]);
  });

  it('[R8] [V6] requests are signs of life; those to a member that does not lead are ignored', () => {
    const cluster = new TestCluster(3);
    cluster.elect(1);
    for (let tick = 0; tick < 30; tick++) {
      cluster.raft(1).step(request(3, tick));
      cluster.raft(1).tick();
    }
    expect(cluster.raft(1).role).toBe('leader');
    cluster.raft(2).step({ ...request(3, 1), to: memberId(2) });
    cluster.raft(2).step(answer(2, 1, 1, 1, 3));
    expect(cluster.member(2).process()).toBeNull();
  });
});
