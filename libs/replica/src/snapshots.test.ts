import type { StoreRequest, StoreResponse } from '@quorate/api';
import { StateMachine } from '@quorate/kv';
import { memberId, type Message } from '@quorate/raft';
import { describe, expect, it } from 'vitest';
import { World, get, put, started, write } from './replica.testing.js';

/** A snapshot every few entries. */
const OFTEN = { snapshots: { snapshotLogBytes: 500, snapshotLogShare: 0 } };

function writeMany(world: World, client: number, count: number, prefix = 'k'): void {
  for (let i = 0; i < count; i += 1) world.ask(1, write(put(`${prefix}${i}`, `value ${i}`), client));
}

function states(world: World): Set<string> {
  return new Set(world.members.map(({ replica }) => replica.machine.stateHash()));
}

function isLane(message: Message): boolean {
  return message.type === 'snapshotChunk';
}

describe('taking snapshots', () => {
  it('compacts the log behind them, in memory and on the disk, and a restart goes on from there', () => {
    const { world, client } = started(3, OFTEN);
    writeMany(world, client, 100);
    world.pass(1_000);
    for (const { replica, disk } of world.members) {
      expect(replica.raft.firstIndex).toBeGreaterThan(50);
      expect(replica.status().snapshotIndex).toBeGreaterThan(50);
      const names = disk.files().map(({ path }) => path);
      expect(names).not.toContain('/data/00000001.wal');
      expect(names.filter((name) => name.includes('snapshot')).length).toBe(1);
    }
    const before = world.members[1]!.replica.machine.stateHash();
    world.restart(2);
    expect(world.members[1]!.replica.machine.appliedIndex).toBeGreaterThan(50);
    world.pass(2_000);
    expect(world.members[1]!.replica.machine.stateHash()).toBe(before);
    expect(states(world).size).toBe(1);
    expect(world.ask(1, get('k99')).answer).toMatchObject({ type: 'entry', entry: { key: 'k99' } });
  });

  it('a leader keeps the log since the snapshot before for a follower that was away, the others only the end of it', () => {
    const { world, client } = started(3, { snapshots: { snapshotLogBytes: 4_000, snapshotLogShare: 0 } });
    const leaderId = world.members.findIndex(({ replica }) => replica.raft.role === 'leader') + 1;
    const awayId = leaderId === 3 ? 2 : 3;
    const there = world.members.filter((_, at) => at + 1 !== awayId).map(({ replica }) => replica);
    const leader = there.find(({ raft }) => raft.role === 'leader')!;
    const follower = there.find(({ raft }) => raft.role !== 'leader')!;
    const taken = (): number[] => there.map(({ raft }) => raft.snapshotPoint?.index ?? 0);
    const writeUntilTaken = (behind: number): void => {
      while (Math.min(...taken()) <= behind) writeMany(world, client, 1, `l${leader.raft.lastIndex}`);
    };
    writeUntilTaken(0);
    world.cut.add(memberId(awayId));
    const needs = world.members[awayId - 1]!.replica.raft.lastIndex + 1;
    writeUntilTaken(Math.max(...taken()));
    world.pass(200);
    expect(leader.raft.firstIndex).toBeLessThanOrEqual(needs);
    expect(follower.raft.firstIndex).toBeGreaterThan(needs + 5);
    expect(follower.raft.firstIndex).toBeLessThan(follower.raft.snapshotPoint!.index);
  });

  it('all members at once restart from their snapshots', () => {
    const { world, client } = started(3, OFTEN);
    writeMany(world, client, 60);
    for (const id of world.ids) world.restart(id);
    world.pass(4_000);
    expect(states(world).size).toBe(1);
    const leader = world.members.findIndex(({ replica }) => replica.raft.role === 'leader') + 1;
    expect(world.ask(leader, get('k59')).answer).toMatchObject({ type: 'entry', entry: { key: 'k59' } });
  });

  it('by command: once for the same state, and durable when it is told', () => {
    const { world, client } = started();
    writeMany(world, client, 3);
    const snapshot = { type: 'snapshot', token: 'right' } as const;
    const first = world.ask(2, snapshot).answer;
    expect(first).toMatchObject({ type: 'snapshotTaken', taken: true, revision: 4 });
    expect(world.ask(2, snapshot).answer).toMatchObject({ ...first, taken: false });
    expect(world.ask(2, { ...snapshot, token: 'wrong' }).answer).toMatchObject({ code: 'UNAUTHENTICATED' });
    world.restart(2);
    expect(world.members[1]!.replica.machine.head).toBe(4);
  });

  it('an older one that was kept for whoever fetched it is gone after a restart, and asking for it ends nobody', () => {
    const { world, client } = started();
    const snapshot = { type: 'snapshot', token: 'right' } as const;
    const first = world.ask(1, snapshot).answer;
    if (first?.type !== 'snapshotTaken') throw new Error(JSON.stringify(first));
    const backup = { type: 'backup', token: 'right', index: first.index, chunk: 0 } as const;
    expect(world.ask(1, backup).answer).toMatchObject({ type: 'backupChunk' });
    writeMany(world, client, 3);
    world.ask(1, snapshot);
    expect(world.ask(1, backup).answer).toMatchObject({ type: 'backupChunk' });
    world.restart(1);
    world.pass(3_000);
    expect(world.ask(1, backup).answer).toMatchObject({ code: 'SNAPSHOT_GONE' });
  });

  it('there is no room for one: the member goes on, and who asked for it is told in time', () => {
    const { world, client } = started();
    world.members[1]!.disk.nextWriteFault = 'ENOSPC';
    const answers: StoreResponse[] = [];
    world.members[1]!.handler.handle('client', { type: 'snapshot', token: 'right' }, 500, (r) => {
      answers.push(r);
    });
    world.settle();
    world.pass(100);
    expect(world.fatal).toBeNull();
    writeMany(world, client, 3);
    world.pass(1_000);
    expect(answers).toHaveLength(1);
    expect(states(world).size).toBe(1);
  });

  it('a backup holds everything acknowledged before it, and restores to the same state', () => {
    const { world, client } = started();
    writeMany(world, client, 20);
    const chunks: Uint8Array[] = [];
    let index: number | null = null;
    for (let chunkCount = 1; chunks.length < chunkCount;) {
      const request: StoreRequest = { type: 'backup', token: 'right', index, chunk: chunks.length };
      const answer: StoreResponse | null = world.ask(1, request, 'client').answer;
      if (answer?.type !== 'backupChunk') throw new Error(JSON.stringify(answer));
      ({ index, chunkCount } = answer);
      chunks.push(answer.data);
      world.ask(1, write(put('meanwhile', String(chunks.length)), client));
    }
    const machine = StateMachine.restore(chunks);
    expect(machine.get('limits', 'k19')).toBeDefined();
    expect(machine.appliedIndex).toBe(index);
    expect(world.ask(1, { type: 'backup', token: 'right', index: 7, chunk: 0 }).answer).toMatchObject({
      code: 'SNAPSHOT_GONE',
    });
  });
});

describe('a follower that was away for long', () => {
  function leftBehind(): { world: World; client: number } {
    const { world, client } = started(3, OFTEN);
    world.cut.add(3);
    writeMany(world, client, 100);
    expect(world.members[0]!.replica.raft.firstIndex).toBeGreaterThan(
      world.members[2]!.replica.raft.lastIndex + 1,
    );
    return { world, client };
  }

  it('comes back by snapshot and log, and is no burden to elections', () => {
    const { world, client } = leftBehind();
    const { term } = world.members[0]!.replica.raft;
    world.cut.clear();
    world.pass(1_000);
    writeMany(world, client, 3, 'later');
    world.pass(500);
    expect(states(world).size).toBe(1);
    expect(world.members[0]!.replica.raft.term).toBe(term);
    world.restart(3);
    world.pass(1_000);
    expect(states(world).size).toBe(1);
  });

  it('requests for a snapshot of the member that is receiving one are answered when that is over', () => {
    const { world } = leftBehind();
    const lane = world.hold(isLane);
    world.cut.clear();
    world.pass(300);
    const answers: StoreResponse[] = [];
    for (let i = 0; i < 70; i += 1)
      world.members[2]!.handler.handle('client', { type: 'snapshot', token: 'right' }, 10_000, (r) => {
        answers.push(r);
      });
    world.settle();
    expect(answers).toHaveLength(6);
    lane.release();
    world.pass(2_000);
    expect(answers.filter(({ type }) => type === 'snapshotTaken')).toHaveLength(64);
    expect(world.ask(3, { type: 'snapshot', token: 'right' }).answer).toMatchObject({
      type: 'snapshotTaken',
    });
  });

  it('P24: asks again when a chunk is lost, one chunk at a time', () => {
    const { world } = leftBehind();
    const lane = world.hold(isLane);
    world.cut.clear();
    world.pass(1_000);
    const requests = world.members[2]!.sent.filter(({ type }) => type === 'snapshotChunkRequest');
    expect(requests.length).toBeGreaterThan(1);
    expect(requests.length).toBeLessThan(10);
    expect(states(world).size).toBe(2);
    lane.release();
    world.pass(1_000);
    expect(states(world).size).toBe(1);
  });

  it('P10: a crash in the middle of the transfer leaves it where it was, and it begins again', () => {
    const { world } = leftBehind();
    const lane = world.hold(isLane);
    world.cut.clear();
    world.pass(300);
    world.restart(3);
    lane.release();
    world.pass(2_000);
    expect(states(world).size).toBe(1);
    const names = world.members[2]!.disk.files().map(({ path }) => path);
    expect(names.filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  /** Three members, the third cut off, and a state of several chunks with the same snapshot at the other two. */
  function ofSeveralChunks(): { world: World; index: number } {
    const { world, client } = started(3);
    world.cut.add(3);
    for (let i = 0; i < 12; i += 1) world.ask(1, write(put(`large-${i}`, 'x'.repeat(100_000) + i), client));
    world.pass(200);
    for (const id of [1, 2]) {
      // Twice: entries behind the first one stay in the log, which is compacted up to it.
      world.ask(id, { type: 'snapshot', token: 'right' });
    }
    world.ask(1, write(put('last', 'one'), client));
    world.pass(200);
    for (const id of [1, 2]) world.ask(id, { type: 'snapshot', token: 'right' });
    world.pass(200);
    const index = world.members[0]!.replica.status().snapshotIndex;
    expect(world.members[1]!.replica.status().snapshotIndex).toBe(index);
    return { world, index };
  }

  function chunksAsked(world: World): number[] {
    return world.members[2]!.sent.flatMap((message) =>
      message.type === 'snapshotChunkRequest' ? [message.chunk] : [],
    );
  }

  it('P24: a large one goes chunk by chunk, and goes on with another leader where the first one stopped', () => {
    const { world } = ofSeveralChunks();
    const lane = world.hold((message) => message.type === 'snapshotChunk' && message.chunk >= 2);
    world.cut.clear();
    world.pass(500);
    expect(chunksAsked(world).slice(0, 3)).toEqual([0, 1, 2]);
    world.members[2]!.sent.length = 0;
    world.cut.add(1);
    world.pass(4_000);
    expect(world.members[1]!.replica.raft.role).toBe('leader');
    lane.release();
    world.pass(2_000);
    expect(Math.min(...chunksAsked(world))).toBe(2);
    expect(world.members[2]!.replica.machine.stateHash()).toBe(world.members[1]!.replica.machine.stateHash());
  });

  it('a snapshot of other bytes under the same point begins anew', () => {
    const { world } = ofSeveralChunks();
    let spoiled = 0;
    const lane = world.hold((message) => {
      if (message.type !== 'snapshotChunk' || message.chunk !== 2 || spoiled > 0) return false;
      spoiled += 1;
      Object.assign(message, { digest: message.digest ^ 1 });
      return false;
    });
    world.cut.clear();
    world.pass(2_000);
    lane.release();
    expect(spoiled).toBe(1);
    expect(chunksAsked(world).filter((chunk) => chunk === 0)).toHaveLength(2);
    expect(new Set(world.members.map(({ replica }) => replica.machine.stateHash())).size).toBe(1);
  });

  it('snapshots that are taken faster than one is fetched do not begin it anew each time', () => {
    const { world } = ofSeveralChunks();
    const { client } = { client: world.ask(1, { type: 'register' }).answer };
    if (client?.type !== 'registered') throw new Error('not registered');
    // Each third answer of a chunk is lost, and a snapshot is taken in every three ticks.
    let chunks = 0;
    world.hold((message) => message.type === 'snapshotChunk' && (chunks += 1) % 2 === 0);
    world.cut.clear();
    for (let round = 0; round < 20; round += 1) {
      world.pass(300);
      world.ask(1, write(put('meanwhile', String(round)), client.clientId));
      world.ask(1, { type: 'snapshot', token: 'right' });
    }
    world.pass(1_000);
    expect(new Set(world.members.map(({ replica }) => replica.machine.stateHash())).size).toBe(1);
    expect(chunksAsked(world).filter((chunk) => chunk === 0).length).toBeLessThan(4);
  });

  it('a transfer that nobody answers any more is given up, and its file removed', () => {
    const { world } = ofSeveralChunks();
    world.hold((message) => message.type === 'snapshotChunk' && message.chunk >= 2);
    world.cut.clear();
    world.pass(500);
    const unfinished = (): string[] =>
      world.members[2]!.disk.files().flatMap(({ path }) => (path.endsWith('.tmp') ? [path] : []));
    expect(unfinished()).toHaveLength(1);
    world.cut.add(3);
    world.pass(70_000);
    expect(unfinished()).toEqual([]);
  });

  it('a snapshot that is not what it says is not taken', () => {
    const { world } = leftBehind();
    const before = world.members[2]!.replica.machine.appliedIndex;
    // One bit of the payload flips on the way, each time: the lane carries no checksum that the state hash does not cover.
    const lane = world.hold((message) => {
      if (message.type === 'snapshotChunk') message.data[message.data.length - 20]! ^= 1;
      return false;
    });
    world.cut.clear();
    world.pass(1_500);
    expect(world.members[2]!.replica.machine.appliedIndex).toBe(before);
    expect(world.fatal).toBeNull();
    lane.release();
    world.pass(2_000);
    expect(states(world).size).toBe(1);
  });
});

describe('moving leadership', () => {
  const leaderOf = (world: World): number =>
    world.members.findIndex(({ replica }) => replica.raft.role === 'leader') + 1;

  it('P29: by command, and writes that come meanwhile are told the new leader, none is lost', () => {
    const { world, client } = started();
    writeMany(world, client, 5);
    const box: { answer: StoreResponse | null } = { answer: null };
    const leader = world.members[0]!;
    leader.handler.handle(
      'client',
      { type: 'transfer', token: 'right', to: 2 },
      2_000,
      (r) => void (box.answer = r),
    );
    const answers: StoreResponse[] = [];
    for (let i = 0; i < 10; i += 1)
      leader.handler.handle('client', write(put(`m${i}`), client), 2_000, (r) => void answers.push(r));
    world.settle();
    expect(box.answer).toMatchObject({ type: 'transferred', leader: 2, moved: true });
    expect(leaderOf(world)).toBe(2);
    expect(answers).toHaveLength(10);
    expect(answers[0]).toMatchObject({ code: 'NOT_LEADER', details: { leader: 2 } });
    expect(world.ask(2, { type: 'transfer', token: 'right', to: 2 }).answer).toMatchObject({ moved: false });
    expect(world.ask(2, get('k4')).answer).toMatchObject({ entry: { key: 'k4' } });
  });

  it('P29: a target that does not answer ends it, and this member proposes after all', () => {
    const { world, client } = started();
    world.cut.add(3);
    const box: { answer: StoreResponse | null } = { answer: null };
    const leader = world.members[0]!;
    leader.handler.handle(
      'client',
      { type: 'transfer', token: 'right', to: 3 },
      3_000,
      (r) => void (box.answer = r),
    );
    const answers: StoreResponse[] = [];
    leader.handler.handle('client', write(put('held'), client), 3_000, (r) => void answers.push(r));
    world.settle();
    world.pass(2_500);
    expect(box.answer).toMatchObject({ code: 'TRANSFER_FAILED' });
    expect(leaderOf(world)).toBe(1);
    expect(answers).toMatchObject([{ type: 'written' }]);
  });

  it('P29: a target that is not heard yet is waited for, and no write waits with it; then it leads', () => {
    const { world, client } = started();
    world.cut.add(3);
    world.pass(1_500);
    const answers: StoreResponse[] = [];
    const leader = world.members[0]!;
    const transfer = { type: 'transfer', token: 'right', to: 3 } as const;
    leader.handler.handle('client', transfer, 4_000, (r) => void answers.push(r));
    world.settle();
    expect(world.ask(1, write(put('meanwhile'), client)).answer).toMatchObject({ type: 'written' });
    expect(answers).toEqual([]);
    world.cut.delete(3);
    world.pass(1_000);
    expect(answers).toMatchObject([{ type: 'transferred', leader: 3, moved: true }]);

    world.cut.add(1);
    world.pass(1_500);
    world.members[2]!.handler.handle('client', { ...transfer, to: 1 }, 2_000, (r) => void answers.push(r));
    world.pass(900);
    expect(answers).toHaveLength(1);
    world.pass(200);
    expect(answers[1]).toMatchObject({
      code: 'TRANSFER_FAILED',
      message: expect.stringContaining('not heard'),
    });
    expect(leaderOf(world)).toBe(3);
  });

  it('a write that waits longer than its deadline was surely not proposed', () => {
    const { world, client } = started();
    world.cut.add(3);
    const leader = world.members[0]!;
    leader.handler.handle('client', { type: 'transfer', token: 'right', to: 3 }, 3_000, () => {});
    const answers: StoreResponse[] = [];
    leader.handler.handle('client', write(put('held'), client), 200, (r) => void answers.push(r));
    world.settle();
    world.pass(300);
    expect(answers).toMatchObject([{ code: 'TIMED_OUT' }]);
    world.pass(2_500);
    const leads = leaderOf(world);
    expect(world.ask(leads, get('held')).answer).toMatchObject({ entry: null });
  });

  it('fast failover: who has granted a pre-vote since does not campaign against it, and a lost one delays nobody for ever', () => {
    const { world } = started();
    world.cut.add(1);
    const [, second, third] = world.members.map(({ replica }) => replica);
    expect(second!.peerGone(memberId(1))).toBe(true);
    expect(third!.peerGone(memberId(1))).toBe(true);
    for (const { sent } of world.members) sent.length = 0;
    second!.campaignWithoutLeader();
    // The third has heard the question; what becomes of the vote is on its way.
    world.settleUntil(() => world.members[2]!.sent.some(({ type }) => type === 'preVoteResponse'));
    third!.campaignWithoutLeader();
    expect(third!.raft.role).toBe('follower');
    world.settle();
    expect(second!.raft.role).toBe('leader');
    // The one who was first vanishes: the other one needs an election timeout, no more.
    expect(third!.peerGone(memberId(2))).toBe(true);
    world.cut.clear();
    world.cut.add(2);
    world.pass(4_000);
    expect([1, 3]).toContain(leaderOf(world));
  });

  it('a stop, and a transfer to nobody in particular, prefer the member of the highest priority', () => {
    for (const [preferred, expected] of [
      [0, 2],
      [3, 3],
    ]) {
      const { world } = started(3, { priorityOf: (id) => (id === preferred ? 1 : 0) });
      world.pass(500);
      world.members[0]!.replica.handOver(1_000, () => {});
      world.pass(300);
      expect(world.members[1]!.replica.raft.leader).toBe(expected);
    }
  });

  it('before it stops a leader hands over to whoever is nearest', () => {
    const { world } = started();
    let done = false;
    world.members[0]!.replica.handOver(1_000, () => (done = true));
    world.settle();
    expect(done).toBe(true);
    expect([2, 3]).toContain(leaderOf(world));
    world.members[0]!.replica.handOver(1_000, () => (done = false));
    expect(done).toBe(false);
  });
});

describe('reads at a follower', () => {
  it('R1: are as new as every write acknowledged before them', () => {
    const { world, client } = started();
    for (let i = 0; i < 20; i += 1) {
      world.ask(1, write(put('counter', String(i)), client));
      const answer = world.ask(2 + (i % 2), get('counter')).answer;
      if (answer?.type !== 'entry') throw new Error(JSON.stringify(answer));
      expect(new TextDecoder().decode(answer.entry?.value)).toBe(String(i));
    }
  });

  it('P3: are refused when the leader is gone', () => {
    const { world } = started();
    const answers: StoreResponse[] = [];
    world.cut.add(1);
    world.members[1]!.handler.handle('client', get('a'), 500, (r) => void answers.push(r));
    world.settle();
    expect(answers).toEqual([]);
    world.pass(700);
    expect(answers).toMatchObject([{ type: 'failed' }]);
  });
});

describe('comparing states', () => {
  function diverging(id: number): { world: World; client: number } {
    const { world, client } = started(3, { hashEveryEntries: 10 });
    const { machine } = world.members[id - 1]!.replica;
    const apply = machine.apply.bind(machine);
    // As if a bit of its memory had flipped: one entry is another one here.
    let flipped = false;
    machine.apply = (index, payload) => {
      const wrong = new Uint8Array(payload);
      const isPut = index > 4 && !flipped;
      if (isPut) wrong[wrong.length - 2]! ^= 1;
      flipped ||= isPut;
      return apply(index, wrong);
    };
    return { world, client };
  }

  it('a follower that is the odd one stops serving, names the place, and does not lead', () => {
    const { world, client } = diverging(3);
    writeMany(world, client, 30);
    world.pass(300);
    expect(world.divergences).toHaveLength(1);
    expect(world.members[2]!.replica.status().diverged).toBe(true);
    expect(world.ask(3, get('k1')).answer).toMatchObject({ code: 'DIVERGED' });
    expect(world.ask(3, { type: 'resync' }).answer).toMatchObject({ code: 'DIVERGED' });
    expect(world.ask(3, { type: 'snapshot', token: 'right' }).answer).toMatchObject({ code: 'DIVERGED' });
    expect(world.ask(1, get('k1')).answer).toMatchObject({ type: 'entry' });
    // Without the leader the other healthy member must win, never this one.
    world.cut.add(1);
    world.pass(6_000);
    expect(world.members[2]!.replica.raft.role).not.toBe('leader');
    expect(world.members[1]!.replica.raft.role).toBe('leader');
  });

  it('one that differs stays out when it is started again: it serves nothing, fetches nothing and does not lead', () => {
    const { world, client } = diverging(3);
    writeMany(world, client, 30);
    world.pass(300);
    expect(world.divergenceOf.get(memberId(3))).toMatchObject({ index: 10 });
    world.restart(3);
    expect(world.members[2]!.replica.status().diverged).toBe(true);
    expect(world.ask(3, get('k1')).answer).toMatchObject({ code: 'DIVERGED' });
    world.pass(2_000);
    expect(world.ask(3, get('k1')).answer).toMatchObject({ code: 'DIVERGED' });
    expect(world.ask(3, { type: 'snapshot', token: 'right' }).answer).toMatchObject({ code: 'DIVERGED' });
    // It is told once, by the process that found it out.
    expect(world.divergences).toHaveLength(1);
    world.cut.add(3);
    writeMany(world, client, 5, 'later');
    for (let round = 0; round < 2; round += 1) {
      world.ask(1, { type: 'snapshot', token: 'right' });
      writeMany(world, client, 5, `round ${round} `);
    }
    world.members[2]!.sent.length = 0;
    world.cut.clear();
    world.pass(1_500);
    expect(world.members[2]!.sent.some(({ type }) => type === 'snapshotChunkRequest')).toBe(false);
    world.cut.add(1);
    world.pass(6_000);
    expect(world.members[2]!.replica.raft.role).not.toBe('leader');
    expect(world.members[1]!.replica.raft.role).toBe('leader');
  });

  it('what waits at the moment when it finds out is not answered from its state', () => {
    const { world, client } = diverging(3);
    world.hold((message) => message.type === 'readIndexResponse');
    const answers: StoreResponse[] = [];
    world.members[2]!.handler.handle('client', get('k1'), 60_000, (r) => void answers.push(r));
    writeMany(world, client, 30);
    world.pass(300);
    expect(answers).toMatchObject([{ code: 'DIVERGED' }]);
    const backup = { type: 'backup', token: 'right', index: 1, chunk: 0 } as const;
    expect(world.ask(3, backup).answer).toMatchObject({ code: 'SNAPSHOT_GONE' });
  });

  it('a leader that is the odd one steps down', () => {
    const { world, client } = diverging(1);
    writeMany(world, client, 30);
    world.pass(4_000);
    expect(world.members[0]!.replica.raft.role).not.toBe('leader');
    expect(world.members.some(({ replica }) => replica.raft.role === 'leader')).toBe(true);
    expect(world.divergences[0]).toMatchObject({ index: 10 });
  });
});
