import { describe, expect, it } from 'vitest';
import { TestCluster } from './cluster.testing.js';
import { logIndex, memberId, term, type Message } from './types.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Three members with leader 1, and what is sent from here on. */
function ledBy1(limits = {}): { cluster: TestCluster; seen: Message[]; all: () => boolean } {
  const cluster = new TestCluster(3, limits);
  cluster.elect(1);
  const seen: Message[] = [];
  const all = (): boolean => {
    cluster.stabilize((message) => {
      seen.push(message);
      return false;
    });
    return true;
  };
  return { cluster, seen, all };
}
const timeoutNow = (from: number, t: number): Message => ({
  type: 'timeoutNow',
  from: memberId(from),
  to: memberId(2),
  term: term(t),
});

describe('handing over the leadership', () => {
  it('[T2] [T3] the target leads at once, without a pre-vote, although the leader is heard', () => {
    const { cluster, seen, all } = ledBy1();
    expect(cluster.raft(1).transfer(memberId(2))).toBe('started');
    expect(cluster.raft(1).transferTarget).toBe(2);
    all();
    expect(cluster.members.map(({ raft }) => [raft.role, raft.term])).toEqual([
      ['follower', 2],
      ['leader', 2],
      ['follower', 2],
    ]);
    expect(seen.filter(({ type }) => type === 'preVoteRequest')).toEqual([]);
    expect(seen.filter(({ type }) => type === 'voteRequest')).toMatchObject([
      { transfer: true },
      { transfer: true },
    ]);
    expect(cluster.raft(1).transferTarget).toBeNull();
  });

  it('[T1] proposals are refused meanwhile, and reads are served', () => {
    const { cluster } = ledBy1();
    cluster.raft(1).propose(bytes('before'));
    cluster.raft(1).transfer(memberId(2));
    expect(cluster.raft(1).propose(bytes('x'))).toEqual({ type: 'transferring' });
    expect(cluster.raft(1).lastIndex).toBe(2);
    expect(cluster.raft(1).readIndex(1)).toBe('waiting');
    cluster.stabilize(({ type }) => type === 'timeoutNow');
    expect(cluster.member(1).confirmed).toMatchObject([{ id: 1 }]);
  });

  it('[T1] [R3] reads that wait at the old leader are rejected when it is deposed', () => {
    const { cluster } = ledBy1();
    cluster.raft(1).transfer(memberId(2));
    cluster.raft(1).readIndex(1);
    cluster.stabilize(({ type }) => type === 'heartbeatResponse');
    expect([cluster.member(1).rejected, cluster.member(1).confirmed]).toEqual([[1], []]);
  });

  it('[T2] the target is told only when it holds everything', () => {
    const { cluster, seen } = ledBy1();
    cluster.raft(1).propose(bytes('x'));
    cluster.raft(1).transfer(memberId(2));
    cluster.stabilize((message) => {
      seen.push(message);
      return message.to === 2 && message.type === 'appendRequest';
    });
    expect(seen.filter(({ type }) => type === 'timeoutNow')).toEqual([]);
    expect(cluster.raft(1).role).toBe('leader');
    cluster.tickAll(5);
    expect(cluster.raft(2).role).toBe('leader');
    expect(cluster.raft(2).lastIndex).toBe(3);
  });

  it('[T2] it is told again with each heartbeat, once', () => {
    const { cluster } = ledBy1();
    cluster.raft(1).transfer(memberId(2));
    let told = 0;
    const lost = (message: Message): boolean => {
      if (message.type === 'timeoutNow') told += 1;
      return message.type === 'timeoutNow';
    };
    cluster.stabilize(lost);
    for (let read = 0; read < 5; read++) {
      cluster.raft(1).readIndex(read); // rounds are no heartbeats
      cluster.stabilize(lost);
    }
    expect(told).toBe(1);
    cluster.tickAll(3, lost);
    expect(told).toBe(4);
  });

  it('[T5] P29: without success it ends after an election timeout, and proposals go on', () => {
    const { cluster } = ledBy1();
    cluster.raft(1).transfer(memberId(2));
    const lost = ({ type }: Message): boolean => type === 'timeoutNow';
    cluster.tickAll(9, lost);
    expect(cluster.raft(1).transfer(memberId(2))).toBe('started'); // the same one: its time goes on
    expect(cluster.raft(1).propose(bytes('x')).type).toBe('transferring');
    cluster.tickAll(1, lost);
    expect(cluster.raft(1).transferTarget).toBeNull();
    expect(cluster.raft(1).propose(bytes('x')).type).toBe('proposed');
  });

  it('[T5] another target takes the place of the first, with a time of its own', () => {
    const { cluster } = ledBy1();
    const lost = ({ type, to }: Message): boolean => type === 'timeoutNow' && to === 2;
    cluster.raft(1).transfer(memberId(2));
    cluster.tickAll(9, lost);
    expect(cluster.raft(1).transfer(memberId(3))).toBe('started');
    cluster.tickAll(1, lost);
    expect(cluster.raft(3).role).toBe('leader');
  });

  it('[T5] with a target that is not heard, or needs a snapshot, it does not begin, and ends', () => {
    const silent = ledBy1().cluster;
    silent.tickAll(11, ({ from }) => from === 3);
    expect(silent.raft(1).transfer(memberId(3))).toBe('notReady');
    expect(silent.raft(1).propose(bytes('x')).type).toBe('proposed');

    const fades = ledBy1().cluster;
    fades.tickAll(5, ({ from }) => from === 3);
    expect(fades.raft(1).transfer(memberId(3))).toBe('started');
    fades.tickAll(5, ({ from }) => from === 3);
    expect(fades.raft(1).transferTarget).toBe(3);
    fades.tickAll(1, ({ from }) => from === 3);
    expect(fades.raft(1).transferTarget).toBeNull();

    const far = new TestCluster(3);
    far.elect(1, [1, 2]);
    far.member(1).snapshot();
    far.member(1).compact(1);
    far.tickAll(4);
    expect(far.member(3).offered).not.toBeNull();
    expect(far.raft(1).transfer(memberId(3))).toBe('notReady');
    expect(far.raft(1).bestTransferTarget()).toBe(2);
    expect(far.raft(1).propose(bytes('x')).type).toBe('proposed');
  });

  it('[T6] whom it may be handed to', () => {
    const { cluster } = ledBy1();
    expect(cluster.raft(1).transfer(memberId(1))).toBe('self');
    expect(cluster.raft(1).transfer(memberId(7))).toBe('unknownMember');
    expect(cluster.raft(2).transfer(memberId(3))).toBe('notLeader');
    expect([cluster.raft(1).bestTransferTarget(), cluster.raft(2).bestTransferTarget()]).toEqual([2, null]);
    cluster.raft(1).propose(bytes('x'));
    cluster.stabilize(({ to, type }) => to === 2 && type === 'appendRequest');
    expect(cluster.raft(1).bestTransferTarget()).toBe(3);
    for (let tick = 0; tick < 11; tick++) {
      cluster.raft(1).tick();
      cluster.stabilize(({ from }) => from === 3); // heard nothing of 3 since
    }
    expect(cluster.raft(1).bestTransferTarget()).toBe(2);
    expect(new TestCluster(1).raft(1).bestTransferTarget()).toBeNull();
  });
});

describe('priority', () => {
  const prefers3 = (member: number): number => (member === 3 ? 1 : 0);

  it('[T6] is looked at among those that lack few entries, before who holds most', () => {
    const { cluster } = ledBy1();
    const { raft } = cluster.member(1);
    for (let count = 0; count < 5; count += 1) raft.propose(bytes('x'));
    cluster.stabilize(({ to, type }) => to === 3 && type === 'appendRequest');
    expect([raft.bestTransferTarget(), raft.bestTransferTarget(prefers3)]).toEqual([2, 3]);
  });

  it('[T6] is no reason to wait for one that lacks many', () => {
    const { cluster } = ledBy1();
    const { raft } = cluster.member(1);
    for (let count = 0; count < 1_100; count += 1) {
      raft.propose(bytes('x'));
      cluster.stabilize(({ to, type }) => to === 3 && type === 'appendRequest');
    }
    expect(raft.bestTransferTarget(prefers3)).toBe(2);
  });

  it('[T6] does not make one a target that could not lead soon', () => {
    const { cluster } = ledBy1();
    const { raft } = cluster.member(1);
    for (let tick = 0; tick < 11; tick += 1) {
      raft.tick();
      cluster.stabilize(({ from }) => from === 3);
    }
    expect(raft.bestTransferTarget(prefers3)).toBe(2);
  });
});

describe('being told to lead', () => {
  it('[T4] only by the leader that is followed, in its term', () => {
    const { cluster } = ledBy1();
    const { raft } = cluster.member(2);
    for (const message of [timeoutNow(3, 1), timeoutNow(1, 0)]) raft.step(message);
    expect([raft.role, raft.term]).toEqual(['follower', 1]);
    raft.forgetLeader(memberId(1));
    raft.step(timeoutNow(1, 1));
    expect(raft.role).toBe('follower');
    cluster.member(2).restart(); // knows no leader
    cluster.raft(2).step(timeoutNow(1, 1));
    expect(cluster.raft(2).role).toBe('follower');
  });

  it('[T4] [V7] a leader of a newer term is followed, so its word counts', () => {
    const { cluster } = ledBy1();
    cluster.raft(2).step(timeoutNow(3, 4));
    expect([cluster.raft(2).role, cluster.raft(2).term]).toEqual(['candidate', 5]);
  });

  it('[T4] [V8] not with a disk that stands still', () => {
    const { cluster } = ledBy1();
    cluster.raft(2).storageStalled = true;
    cluster.raft(2).step(timeoutNow(1, 1));
    expect([cluster.raft(2).role, cluster.raft(2).leader]).toEqual(['follower', 1]);
  });

  it('[T4] a campaign that runs is not begun again', () => {
    const { cluster } = ledBy1();
    cluster.raft(2).step(timeoutNow(1, 1));
    cluster.raft(2).step(timeoutNow(1, 1));
    expect([cluster.raft(2).role, cluster.raft(2).term]).toEqual(['candidate', 2]);
  });

  it('[T3] [V3] [V2] a vote is given to a log that is as new, and once, whoever asked for the campaign', () => {
    const { cluster } = ledBy1();
    const ask = (from: number, lastIndex: number): Message => ({
      type: 'voteRequest',
      from: memberId(from),
      to: memberId(3),
      term: term(2),
      lastIndex: logIndex(lastIndex),
      lastTerm: term(lastIndex),
      transfer: true,
    });
    const voter = cluster.member(3);
    voter.raft.step(ask(2, 0));
    voter.raft.step(ask(2, 1));
    voter.raft.step(ask(1, 1));
    expect(voter.process()!.sent).toEqual([]); // not before it is on disk
    expect(voter.sync()).toMatchObject([{ granted: false }, { granted: true }, { granted: false }]);
  });

  it('[T3] [D1] it asks for votes only when its own is on disk', () => {
    const { cluster } = ledBy1();
    cluster.raft(2).step(timeoutNow(1, 1));
    expect(cluster.member(2).process()!.sent).toEqual([]);
    expect(cluster.member(2).sync()).toMatchObject([{ type: 'voteRequest' }, { type: 'voteRequest' }]);
  });

  it('[T3] [V1] the campaign after a lost one begins with a pre-vote again', () => {
    const { cluster } = ledBy1();
    cluster.raft(2).step(timeoutNow(1, 1));
    cluster.member(2).process();
    cluster.member(2).sync();
    for (let tick = 0; tick < 20 && cluster.raft(2).role === 'candidate'; tick++) cluster.raft(2).tick();
    expect(cluster.member(2).process()!.sent).toMatchObject([
      { type: 'preVoteRequest' },
      { type: 'preVoteRequest' },
    ]);
  });
});

describe('what a new leader inherits', () => {
  it('[U2] counts for the bound, and commits all the same', () => {
    const cluster = new TestCluster(3, { uncommittedBytesMax: 150 }, { 1: [1, 1, 1, 1, 1], 2: [1], 3: [1] });
    cluster.raft(1).campaign();
    cluster.stabilize(({ type }) => type === 'appendRequest');
    const { raft } = cluster.member(1);
    expect(raft.role).toBe('leader');
    expect(raft.load.uncommittedBytes).toBe(5 * 36 + 32);
    expect(raft.propose(bytes('x')).type).toBe('overloaded');
    cluster.tickAll(4);
    expect([raft.commitIndex, raft.load.uncommittedBytes]).toEqual([6, 0]);
    expect(raft.propose(bytes('x')).type).toBe('proposed');
  });
});
