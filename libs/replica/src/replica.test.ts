import { revision } from '@quorate/kv';
import { logIndex, memberId, term, type Message } from '@quorate/raft';
import type { StoreFailure, StoreRequest, StoreResponse } from '@quorate/api';
import { describe, expect, it } from 'vitest';
import { World, changes, get, put, started, write } from './replica.testing.js';

describe('requests', () => {
  it('writes, reads back linearizably, and all members hold the same state', () => {
    const { world, client } = started();
    expect(world.ask(1, write(put('a'), client)).answer).toMatchObject({
      type: 'written',
      created: true,
      version: 1,
    });
    expect(world.ask(1, get('a')).answer).toMatchObject({
      type: 'entry',
      kind: 'strict',
      entry: { key: 'a' },
    });
    world.pass(200);
    expect(new Set(world.members.map((m) => m.replica.machine.stateHash())).size).toBe(1);
  });

  it('verifies the token in the member for every request of a caller', () => {
    const { world, client } = started();
    const requests: StoreRequest[] = [
      write(put('a'), client, 'wrong'),
      get('a', 'wrong'),
      { type: 'list', token: 'wrong', namespace: 'limits', prefix: '', limit: 10 },
      { type: 'namespace', token: 'wrong', namespace: 'limits' },
      { type: 'namespaces', token: 'wrong' },
      {
        type: 'check',
        token: 'wrong',
        check: {
          principal: { type: 'U', id: 'a' },
          action: 'x',
          resource: { type: 'R', id: 'b' },
          context: {},
        },
      },
    ];
    for (const request of requests)
      expect(world.ask(1, request).answer).toMatchObject({ type: 'failed', code: 'UNAUTHENTICATED' });
  });

  it('gives published data only to gateways, and strict data to no cache', () => {
    const { world } = started();
    const requests: StoreRequest[] = [
      { type: 'changes', after: revision(0), minRevision: revision(0), bytesMax: 1000 },
      { type: 'resync' },
      { type: 'fill', namespace: 'limits', key: 'a', minRevision: revision(0) },
      { type: 'content', namespace: 'limits', after: '', minRevision: revision(0), bytesMax: 1000 },
      { type: 'feedKey' },
    ];
    for (const request of requests)
      expect(world.ask(1, request, 'client').answer).toMatchObject({ code: 'FORBIDDEN' });
    expect(world.ask(1, requests[2]!).answer).toMatchObject({ code: 'FORBIDDEN' });
    expect(world.ask(1, requests[3]!).answer).toMatchObject({ code: 'FORBIDDEN' });
    expect(world.ask(1, requests[1]!).answer).toMatchObject({ type: 'resynced' });
  });

  it('a follower names the leader; a member behind the cache says NOT_CAUGHT_UP', () => {
    const { world, client } = started();
    expect(world.ask(2, write(put('a'), client)).answer).toMatchObject({
      code: 'NOT_LEADER',
      details: { leader: 1 },
    });
    expect(world.ask(2, changes(10_000, 0)).answer).toMatchObject({
      code: 'NOT_CAUGHT_UP',
    });
    // It has nothing after 1 although the cache knows of 50: the cache must not come back here.
    expect(world.ask(2, changes(1, 50)).answer).toMatchObject({ code: 'NOT_CAUGHT_UP' });
    expect(world.ask(2, changes(0, 50)).answer).toMatchObject({ type: 'changes', published: 1 });
    const fresh = new World(3);
    expect(fresh.ask(1, { type: 'resync' }).answer).toMatchObject({ code: 'NOT_CAUGHT_UP' });
  });

  it('changes of the access namespace are validated at the leader and guarded by its revision', () => {
    const { world, client } = started();
    expect(world.ask(1, write(put('policies/p', '', 'access'), client)).answer).toMatchObject({
      code: 'INVALID_POLICY',
    });
    expect(world.ask(1, write(put('policies/p', '"permit"', 'access'), client)).answer).toMatchObject({
      type: 'written',
    });
    // Two that were validated against the same state: the second one must not slip in.
    const boxes = [1, 2].map((n) => {
      const box: { answer: StoreResponse | null } = { answer: null };
      const request = write(put(`policies/q${n}`, '"permit"', 'access'), client);
      world.members[0]!.handler.handle('gateway', request, 2000, (response) => void (box.answer = response));
      return box;
    });
    world.settle();
    expect(boxes.map((box) => (box.answer as StoreFailure | null)?.code)).toEqual([
      undefined,
      'ACCESS_CHANGED',
    ]);
  });

  it('an idempotency key answers a repeated request without doing it again, and refuses another', () => {
    const { world, client } = started();
    const first = world.ask(1, write(put('i'), client, 'right', 'key-1')).answer;
    expect(world.ask(1, write(put('i'), client, 'right', 'key-1')).answer).toEqual(first);
    expect(world.ask(1, write(put('i', 'other'), client, 'right', 'key-1')).answer).toMatchObject({
      code: 'IDEMPOTENCY_KEY_REUSED',
    });
  });
});

describe('members that are behind', () => {
  it('a member restarted far behind gives nothing to a cache before it has caught up with the leader', () => {
    const { world, client } = started();
    world.ask(1, write({ type: 'createNamespace', namespace: 'content', kind: 'cached' }, client));
    world.cut.add(3);
    for (let i = 0; i < 20; i++) world.ask(1, write(put(`k${i}`, 'v', 'content'), client));
    world.restart(3);
    world.cut.clear();
    // It hears the leader, whose heartbeat says how far the log really goes, before it has the entries.
    const appends = world.hold((message) => message.to === 3 && message.type === 'appendRequest');
    world.pass(300);
    const fill: StoreRequest = { type: 'fill', namespace: 'content', key: 'k19', minRevision: revision(0) };
    expect(world.ask(3, fill).answer).toMatchObject({ code: 'NOT_CAUGHT_UP' });
    appends.release();
    world.pass(2000);
    expect(world.ask(3, fill).answer).toMatchObject({ type: 'filled', entry: { key: 'k19' } });
  });

  it('gives the content of a cached namespace page by page, as of a revision that was asked for or a later one', () => {
    const { world, client } = started();
    world.ask(1, write({ type: 'createNamespace', namespace: 'content', kind: 'cached' }, client));
    for (const key of ['a', 'b']) world.ask(1, write(put(key, 'v', 'content'), client));
    const page = (after: string, minRevision: number, bytesMax = 1): StoreRequest => ({
      type: 'content',
      namespace: 'content',
      after,
      minRevision: revision(minRevision),
      bytesMax,
    });
    expect(world.ask(1, page('', 4)).answer).toMatchObject({
      type: 'content',
      revision: 4,
      entries: [{ key: 'a' }],
      more: true,
    });
    expect(world.ask(1, page('a', 0)).answer).toMatchObject({ entries: [{ key: 'b' }], more: false });
    expect(world.ask(1, page('', 0, 0xffff_ffff)).answer).toMatchObject({ more: false });
    expect(world.ask(1, page('', 5)).answer).toMatchObject({ code: 'NOT_CAUGHT_UP' });
    world.ask(1, write({ type: 'deleteNamespace', namespace: 'content' }, client));
    expect(world.ask(1, page('', 0)).answer).toMatchObject({ code: 'NAMESPACE_NOT_FOUND' });
  });

  it('a leader that lost its quorum still fills caches: it had caught up', () => {
    const { world, client } = started();
    world.ask(1, write({ type: 'createNamespace', namespace: 'content', kind: 'cached' }, client));
    world.ask(1, write(put('page', 'v', 'content'), client));
    world.cut.add(2).add(3);
    world.pass(2000);
    expect(world.members[0]!.replica.raft.role).not.toBe('leader');
    const fill: StoreRequest = { type: 'fill', namespace: 'content', key: 'page', minRevision: revision(3) };
    expect(world.ask(1, fill).answer).toMatchObject({ type: 'filled', entry: { key: 'page' } });
    expect(world.ask(1, { type: 'resync' }).answer).toMatchObject({ type: 'resynced' });
  });

  it('a limit outside 1 to 1,000 is refused, not asserted', () => {
    const { world } = started();
    for (const limit of [0, 1001, 5000]) {
      const list: StoreRequest = { type: 'list', token: 'right', namespace: 'limits', prefix: '', limit };
      expect(world.ask(1, list).answer).toMatchObject({
        code: 'INVALID_REQUEST',
        details: { field: 'limit' },
      });
    }
  });

  it('P22: a leader whose disk hangs steps down; the others go on', () => {
    const { world, client } = started();
    world.members[0]!.disk.hangSyncs = true;
    world.members[0]!.handler.handle('gateway', write(put('x'), client), 2000, () => {});
    world.settle();
    world.pass(6000);
    expect(world.members[0]!.replica.raft.role).not.toBe('leader');
    expect(world.members.filter((m) => m.replica.raft.role === 'leader')).toHaveLength(1);
  });
});

describe('outcomes', () => {
  it('without a quorum: the proposed write is unknown, later requests are refused with effect none', () => {
    const { world, client } = started();
    world.cut.add(2).add(3);
    const refusedAtOnce = world.ask(1, write(put('x'), client)).answer;
    expect(refusedAtOnce).toMatchObject({
      code: 'NO_QUORUM',
      details: { members: [{ id: 1 }, { id: 2 }, { id: 3 }] },
    });
    world.pass(2000);
    expect(world.members[0]!.replica.raft.role).not.toBe('leader');
    expect(world.ask(1, get('x')).answer).toMatchObject({ code: 'NO_QUORUM' });
    world.cut.clear();
    world.pass(4000);
    expect(world.members.some((m) => m.replica.raft.role === 'leader')).toBe(true);
  });

  it('a write proposed before the cut ends as OUTCOME_UNKNOWN when leadership is lost', () => {
    const { world, client } = started();
    const box: { answer: StoreResponse | null } = { answer: null };
    world.members[0]!.handler.handle(
      'gateway',
      write(put('x'), client),
      5000,
      (response) => void (box.answer = response),
    );
    world.cut.add(1);
    world.settle();
    expect(box.answer).toBeNull();
    world.pass(2000);
    expect(box.answer).toMatchObject({ type: 'failed', code: 'OUTCOME_UNKNOWN' });
  });

  it('a write proposed by a leader that won and lost within one turn ends at once, as OUTCOME_UNKNOWN', () => {
    const world = new World(3);
    const member = world.members[0]!;
    const { replica } = member;
    replica.campaignWithoutLeader();
    world.settleUntil(() => replica.raft.role === 'leader');
    const answers: StoreResponse[] = [];
    member.handler.handle('client', { type: 'register' }, 2_000, (answer) => answers.push(answer));
    const newer = term(replica.raft.term + 1);
    const [from, to] = [memberId(2), memberId(1)];
    const commit = logIndex(0);
    const heartbeat = { type: 'heartbeatRequest', from, to, term: newer, commit } as const;
    replica.receive({ ...heartbeat, leaderCommit: commit, readRound: 0, recovery: 0, recoveryIndex: commit });
    world.settle();
    expect(answers).toMatchObject([{ type: 'failed', code: 'OUTCOME_UNKNOWN' }]);
  });

  it('a write that waits longer than its deadline ends as OUTCOME_UNKNOWN, a read as refused', () => {
    const { world, client } = started();
    world.holdSyncs = true;
    const answers: (StoreResponse | null)[] = [null, null];
    world.members[0]!.handler.handle(
      'gateway',
      write(put('slow'), client),
      500,
      (r) => void (answers[0] = r),
    );
    world.settle();
    world.pass(700);
    expect(answers[0]).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
  });

  it('W4: no acknowledgement and no vote leaves a member before its fsync ended', () => {
    const { world, client } = started();
    world.holdSyncs = true;
    for (const member of world.members) member.sent.length = 0;
    world.members[0]!.handler.handle('gateway', write(put('w4'), client), 5000, () => {});
    world.settle();
    const promises = (m: Message): boolean => m.type === 'appendResponse' || m.type === 'voteResponse';
    expect(world.members.flatMap((m) => m.sent.filter(promises))).toEqual([]);
    expect(world.members[0]!.sent.some((m) => m.type === 'appendRequest')).toBe(true);
    world.holdSyncs = false;
    world.tasks.push(...world.heldSyncs.splice(0));
    world.settle();
    expect(world.members.flatMap((m) => m.sent.filter(promises)).length).toBeGreaterThan(0);
  });

  it('P20: a failed fsync ends the member, and nothing is said or sent afterwards', () => {
    const { world, client } = started();
    world.members[0]!.disk.nextSyncFails = true;
    const box: { answer: StoreResponse | null } = { answer: null };
    world.members[0]!.handler.handle(
      'gateway',
      write(put('x'), client),
      2000,
      (response) => void (box.answer = response),
    );
    world.settle();
    expect(world.fatal).toBeInstanceOf(Error);
    world.members[0]!.sent.length = 0;
    world.members[0]!.replica.tick();
    world.settle();
    expect(world.members[0]!.sent).toEqual([]);
    expect(box.answer).toBeNull();
  });

  it('stop answers what waits', () => {
    const { world, client } = started();
    world.holdSyncs = true;
    const answers: StoreResponse[] = [];
    world.members[0]!.handler.handle('gateway', write(put('x'), client), 5000, (r) => void answers.push(r));
    world.cut.add(1);
    world.members[0]!.replica.readBarrier(5000, (failure) => failure !== null && answers.push(failure));
    world.members[0]!.replica.stop();
    expect(answers.map((answer) => answer.type === 'failed' && answer.code).sort()).toContain(
      'OUTCOME_UNKNOWN',
    );
  });

  it('P22: a follower whose disk hangs does not collect what it says meanwhile', () => {
    const { world, client } = started();
    world.holdSyncs = true;
    world.members[0]!.handler.handle('gateway', write(put('x'), client), 5000, () => {});
    world.settle();
    world.holdSyncs = false;
    // The second member's fsync never ends; the others go on.
    const [ofLeader, , ofThird] = world.heldSyncs;
    world.tasks.push(...[ofLeader, ofThird].filter((task) => task !== undefined));
    world.settle();
    const { replica } = world.members[1]!;
    // Two minutes of heartbeats, ten a second, and of repeated appends.
    world.pass(120_000);
    expect(replica.load.readys).toBeGreaterThan(0);
    expect(replica.load.readys).toBeLessThanOrEqual(300);
    expect(replica.load.raft.writesPending).toBeLessThan(10);
    expect(replica.raft.leader).toBe(1);
    // And it catches up when the disk moves again.
    world.tasks.push(...world.heldSyncs.splice(0));
    world.pass(1_000);
    expect(replica.load).toMatchObject({ readys: 0, raft: { writesPending: 0 } });
    expect(replica.machine.head).toBe(world.members[0]!.replica.machine.head);
  });
});
