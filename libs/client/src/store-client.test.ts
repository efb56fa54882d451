import { AssertionError } from 'node:assert/strict';
import { type StoreRequest, type StoreResponse, failure } from '@quorate/api';
import { revision } from '@quorate/kv';
import { describe, expect, it } from 'vitest';
import type { Connection, LostResponse } from './connection.js';
import type { Clock } from './environment.js';
import { StoreClient, type StoreWrite } from './store-client.js';

class FakeClock implements Clock {
  nowMs = 0;
  #timers: { atMs: number; order: number; task: () => void }[] = [];
  #order = 0;

  monotonicMs(): number {
    return this.nowMs;
  }

  wallMs(): number {
    return this.nowMs;
  }

  setTimer(delayMs: number, task: () => void): () => void {
    const timer = { atMs: this.nowMs + delayMs, order: (this.#order += 1), task };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  get timers(): number {
    return this.#timers.length;
  }

  advance(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const [next] = this.#timers
        .filter(({ atMs }) => atMs <= endMs)
        .sort((left, right) => left.atMs - right.atMs || left.order - right.order);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.task();
    }
    this.nowMs = endMs;
  }
}

type Reply = StoreResponse | LostResponse | null;
type Handler = (request: StoreRequest) => Reply;

/** A member that answers one millisecond later, as its handler says; null: never. */
class FakeConnection implements Connection {
  readonly member: number;
  readonly #clock: FakeClock;
  readonly received: StoreRequest[] = [];
  readonly #listeners = new Set<() => void>();
  #waiting: ((response: StoreResponse | LostResponse) => void)[] = [];
  open = true;
  sinceMs = 5;
  tried = true;
  handler: Handler = () => null;

  constructor(member: number, clock: FakeClock) {
    this.member = member;
    this.#clock = clock;
  }

  request(
    request: StoreRequest,
    _deadlineMs: number,
    callback: (response: StoreResponse | LostResponse) => void,
  ): void {
    this.received.push(request);
    const reply = this.handler(request);
    let answered = false;
    const answer = (response: StoreResponse | LostResponse): void => {
      if (answered) return;
      answered = true;
      callback(response);
    };
    this.#waiting.push(answer);
    if (reply !== null) this.#clock.setTimer(1, () => answer(reply));
  }

  onOpenChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  setOpen(open: boolean): void {
    this.open = open;
    for (const listener of this.#listeners) listener();
    if (open) return;
    for (const answer of this.#waiting.splice(0)) answer({ type: 'lost' });
  }
}

const written: StoreResponse = {
  type: 'written',
  revision: revision(1),
  created: true,
  version: 1,
  createRevision: revision(1),
  head: revision(1),
};
const entry: StoreResponse = { type: 'entry', entry: null, kind: 'strict', head: revision(1) };
const get = { type: 'get', token: 't', namespace: 'n', key: 'k' } as const;
const write: StoreWrite = {
  token: 't',
  operation: { type: 'createNamespace', namespace: 'n', kind: 'cached' },
  idempotencyKey: null,
};
const notLeader = (leader: number | null): StoreResponse => failure('NOT_LEADER', undefined, { leader });
const noQuorum = (member: number): StoreResponse =>
  failure('NO_QUORUM', undefined, {
    members: [1, 2, 3].map((id) => ({ id, reachable: id === member, sinceMs: 700 + id })),
  });

/** A leader that registers clients 101, 102, ... and lets `onWrite` answer the rest. */
function leader(onWrite: Handler): Handler {
  let clientId = 100;
  return (request) =>
    request.type === 'register' ? { type: 'registered', clientId: (clientId += 1) } : onWrite(request);
}

function stampsOf(
  connection: FakeConnection,
): { clientId: number; sequence: number; completedThrough: number }[] {
  return connection.received.flatMap((request) => (request.type === 'write' ? [request.registration] : []));
}

function setup(): {
  clock: FakeClock;
  one: FakeConnection;
  two: FakeConnection;
  three: FakeConnection;
  client: StoreClient;
  answers: StoreResponse[];
  keep: (response: StoreResponse) => void;
} {
  const clock = new FakeClock();
  const [one, two, three] = [1, 2, 3].map((member) => new FakeConnection(member, clock));
  if (one === undefined || two === undefined || three === undefined) throw new Error('three were made');
  // 0: the first candidate, and the shortest pause.
  const client = new StoreClient({ connections: [one, two, three], clock, random: () => 0 });
  clock.advance(200);
  const answers: StoreResponse[] = [];
  return { clock, one, two, three, client, answers, keep: (response) => answers.push(response) };
}

describe('finding the leader', () => {
  it('follows the hint of a follower and remembers who answered', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    one.handler = () => notLeader(3);
    three.handler = () => entry;
    client.read(get, 2_000, keep);
    clock.advance(10);
    client.read(get, 2_000, keep);
    clock.advance(10);
    expect(answers).toEqual([entry, entry]);
    expect([one, two, three].map(({ received }) => received.length)).toEqual([1, 0, 2]);
    expect(client.leader).toBe(3);
  });

  it('asks the others when the hint is unknown, stale or unreachable', () => {
    for (const hint of [null, 1, 2, 9]) {
      const { clock, one, two, three, client, answers, keep } = setup();
      one.handler = () => notLeader(hint);
      two.setOpen(false);
      three.handler = () => entry;
      client.read(get, 2_000, keep);
      clock.advance(10);
      expect(answers).toEqual([entry]);
    }
  });

  it('waits between rounds during an election, until there is a leader', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    for (const connection of [one, two, three]) connection.handler = () => notLeader(null);
    client.read(get, 2_000, keep);
    clock.advance(500);
    expect(answers).toEqual([]);
    // 12.5 ms and three answers of 1 ms make a round: far from a busy loop.
    expect(one.received.length).toBeGreaterThan(10);
    expect(one.received.length).toBeLessThan(45);
    two.handler = () => entry;
    clock.advance(50);
    expect(answers).toEqual([entry]);
  });

  it('lets only a few calls search in each round, and all go once one found the leader', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    for (const connection of [one, two, three]) connection.handler = () => notLeader(null);
    for (let count = 0; count < 1_000; count += 1) client.read(get, 2_000, keep);
    clock.advance(5);
    const before = one.received.length;
    clock.advance(16);
    expect(one.received.length - before).toBeLessThanOrEqual(2 * 64);
    three.handler = () => entry;
    clock.advance(60);
    expect(answers).toHaveLength(1_000);
    expect(new Set(answers)).toEqual(new Set([entry]));
  });

  it('repeats a read elsewhere when its link is lost', () => {
    const { clock, one, two, client, answers, keep } = setup();
    two.handler = () => entry;
    client.read(get, 2_000, keep);
    one.setOpen(false);
    clock.advance(10);
    expect(answers).toEqual([entry]);
  });

  it('asks another member when one has not caught up, and stays with the one that answered', () => {
    const { clock, one, two, client, answers, keep } = setup();
    const filled: StoreResponse = { type: 'filled', epoch: 1, revision: revision(3), entry: null };
    const fill = { type: 'fill', namespace: 'n', key: 'k', minRevision: revision(3) } as const;
    one.handler = () => failure('NOT_CAUGHT_UP');
    two.handler = () => filled;
    client.request(fill, 2_000, keep);
    clock.advance(5);
    client.request(fill, 2_000, keep);
    clock.advance(5);
    expect(answers).toEqual([filled, filled]);
    expect(one.received).toHaveLength(1);
    expect(client.leader).toBeNull();
  });
});

describe('what operators ask for', () => {
  const transferTo = (to: number | null) => ({ type: 'transfer', token: 't', to }) as const;
  const transferred: StoreResponse = { type: 'transferred', leader: 2, moved: true };
  const backup = (index: number | null, chunk: number) =>
    ({ type: 'backup', token: 't', index, chunk }) as const;
  const chunkOf = (chunk: number): StoreResponse => ({
    type: 'backupChunk',
    clusterId: 'c0ffee00c0ffee00',
    epoch: 1,
    index: 9,
    term: 2,
    revision: revision(4),
    chunk,
    chunkCount: 3,
    digest: 5,
    data: new Uint8Array([chunk]),
  });

  it('a transfer goes to the leader, and the next request to the new one', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    one.handler = () => notLeader(3);
    three.handler = (request) => (request.type === 'transfer' ? transferred : notLeader(2));
    two.handler = () => entry;
    client.request(transferTo(2), 2_000, keep);
    clock.advance(10);
    client.read(get, 2_000, keep);
    clock.advance(10);
    expect(answers).toEqual([transferred, entry]);
    expect([one, two, three].map(({ received }) => received.length)).toEqual([1, 1, 1]);
  });

  it('a transfer to a named member is repeated when its link is lost, one to the nearest is not', () => {
    for (const to of [2, null]) {
      const { clock, one, two, client, answers, keep } = setup();
      two.handler = () => ({ type: 'transferred', leader: 2, moved: false });
      client.request(transferTo(to), 2_000, keep);
      one.setOpen(false);
      clock.advance(10);
      expect(answers).toMatchObject([to === null ? { code: 'TRANSFER_FAILED' } : { moved: false }]);
      expect(two.received).toHaveLength(to === null ? 0 : 1);
    }
  });

  it('a transfer whose answer does not come in time has failed, and does not claim that nothing happened', () => {
    const { clock, client, answers, keep } = setup();
    client.request(transferTo(2), 2_000, keep);
    clock.advance(2_000);
    expect(answers).toMatchObject([{ code: 'TRANSFER_FAILED' }]);
  });

  it('a refused transfer is not repeated', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    for (const connection of [one, two, three]) connection.handler = () => failure('TRANSFER_FAILED');
    client.request(transferTo(null), 2_000, keep);
    clock.advance(10);
    expect(answers).toMatchObject([{ code: 'TRANSFER_FAILED' }]);
    expect(one.received.length + two.received.length + three.received.length).toBe(1);
  });

  it('a backup begins at the leader and stays with the member that holds the snapshot', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    one.handler = () => notLeader(2);
    two.handler = (request) => (request.type === 'backup' ? chunkOf(request.chunk) : notLeader(3));
    three.handler = () => entry;
    client.request(backup(null, 0), 2_000, keep);
    clock.advance(10);
    // Another member leads from now on, and has no such snapshot.
    client.read(get, 2_000, keep);
    clock.advance(10);
    client.request(backup(9, 1), 2_000, keep);
    client.request(backup(9, 2), 2_000, keep);
    clock.advance(10);
    expect(answers).toEqual([chunkOf(0), entry, chunkOf(1), chunkOf(2)]);
    expect(three.received).toHaveLength(1);
    expect(client.leader).toBe(3);
  });

  it('a chunk is asked of the others when a member does not hold the snapshot or is gone', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    one.setOpen(false);
    two.handler = () => failure('SNAPSHOT_GONE');
    three.handler = () => chunkOf(1);
    client.request(backup(9, 1), 2_000, keep);
    clock.advance(10);
    expect(answers).toEqual([chunkOf(1)]);
  });

  it('a backup whose snapshot nobody holds any more ends at once; with a member away, at its deadline', () => {
    for (const away of [false, true]) {
      const { clock, one, two, three, client, answers, keep } = setup();
      for (const connection of [one, two, three]) connection.handler = () => failure('SNAPSHOT_GONE');
      if (away) two.setOpen(false);
      client.request(backup(9, 1), 2_000, keep);
      clock.advance(20);
      expect(answers).toMatchObject(away ? [] : [{ code: 'SNAPSHOT_GONE' }]);
      clock.advance(2_000);
      expect(answers).toMatchObject([{ code: 'SNAPSHOT_GONE' }]);
    }
  });

  it('a member that has diverged is not asked again in the round', () => {
    const { clock, one, two, client, answers, keep } = setup();
    one.handler = () => failure('DIVERGED');
    two.handler = () => entry;
    client.read(get, 2_000, keep);
    clock.advance(10);
    expect(answers).toEqual([entry]);
    two.handler = () => failure('DIVERGED');
    client.read(get, 500, keep);
    clock.advance(600);
    expect(answers[1]).toMatchObject({ code: 'DIVERGED' });
  });
});

describe('three outcomes of a write', () => {
  it('registers once, numbers writes and reports the lowest outstanding', () => {
    const { clock, one, client, answers, keep } = setup();
    let answerFirst = true;
    one.handler = leader(() => {
      const reply = answerFirst ? null : written;
      answerFirst = false;
      return reply;
    });
    for (let count = 0; count < 3; count += 1) client.write(write, keep);
    clock.advance(10);
    expect(answers).toHaveLength(2);
    client.write(write, keep);
    clock.advance(10);
    expect(one.received.filter(({ type }) => type === 'register')).toHaveLength(1);
    expect(stampsOf(one)).toEqual(
      [1, 2, 3, 4].map((sequence) => ({ clientId: 101, sequence, completedThrough: 0 })),
    );
    // The first is given up at its deadline: from then on it counts as completed, and its late duplicate is refused.
    clock.advance(2_000);
    expect(answers.at(-1)).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    client.write(write, keep);
    clock.advance(10);
    expect(stampsOf(one).at(-1)).toEqual({ clientId: 101, sequence: 5, completedThrough: 4 });
  });

  it('repeats a write of unknown outcome under the same number only', () => {
    for (const reply of [{ type: 'lost' } as const, failure('OUTCOME_UNKNOWN')]) {
      const { clock, one, two, client, answers, keep } = setup();
      one.handler = leader(() => reply);
      two.handler = leader(() => written);
      client.write(write, keep);
      clock.advance(20);
      expect(answers).toEqual([written]);
      expect(stampsOf(two)).toEqual([{ clientId: 101, sequence: 1, completedThrough: 0 }]);
      expect(stampsOf(one)).toEqual(stampsOf(two));
    }
  });

  it('says OUTCOME_UNKNOWN at the deadline when an attempt may have arrived', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    one.handler = leader(() => ({ type: 'lost' }));
    two.handler = () => noQuorum(2);
    three.handler = () => noQuorum(3);
    client.write(write, keep);
    clock.advance(1_999);
    expect(answers).toEqual([]);
    clock.advance(1);
    expect(answers).toMatchObject([{ code: 'OUTCOME_UNKNOWN' }]);
    expect(new Set(stampsOf(one).map(({ sequence }) => sequence))).toEqual(new Set([1]));
  });

  it('says OUTCOME_UNKNOWN when the deadline passes while the only attempt is under way', () => {
    const { clock, one, client, answers, keep } = setup();
    one.handler = leader(() => null);
    client.write({ ...write, deadlineMs: 300 }, keep);
    clock.advance(301);
    expect(answers).toMatchObject([{ code: 'OUTCOME_UNKNOWN' }]);
  });

  it('says "no effect" at the deadline when every attempt surely had none', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    one.handler = leader(() => notLeader(null));
    two.handler = () => notLeader(null);
    three.handler = () => notLeader(null);
    client.write(write, keep);
    clock.advance(2_001);
    expect(answers).toMatchObject([{ code: 'TIMED_OUT' }]);
  });

  it("believes the state machine's own answer to a repeated write, and no other refusal", () => {
    for (const [code, answered] of [
      ['PRECONDITION_FAILED', 'PRECONDITION_FAILED'],
      ['FORBIDDEN', 'OUTCOME_UNKNOWN'],
      ['UNAUTHENTICATED', 'OUTCOME_UNKNOWN'],
      ['INTERNAL', 'OUTCOME_UNKNOWN'],
    ] as const) {
      const { clock, one, two, client, answers, keep } = setup();
      one.handler = leader(() => ({ type: 'lost' }));
      two.handler = () => failure(code);
      client.write(write, keep);
      clock.advance(20);
      expect(answers).toMatchObject([{ code: answered }]);
    }
    const { clock, one, client, answers, keep } = setup();
    one.handler = leader(() => failure('FORBIDDEN'));
    client.write(write, keep);
    clock.advance(20);
    expect(answers).toMatchObject([{ code: 'FORBIDDEN' }]);
  });

  it('registers anew and tries once more when the registration had expired before the first attempt', () => {
    const { clock, one, client, answers, keep } = setup();
    one.handler = leader((request) =>
      request.type === 'write' && request.registration.clientId === 101
        ? failure('REGISTRATION_EXPIRED')
        : written,
    );
    client.write(write, keep);
    clock.advance(20);
    expect(answers).toEqual([written]);
    expect(stampsOf(one).map(({ clientId, sequence }) => [clientId, sequence])).toEqual([
      [101, 1],
      [102, 1],
    ]);
  });

  it('gives up when the new registration expires at once as well', () => {
    const { clock, one, client, answers, keep } = setup();
    one.handler = leader(() => failure('REGISTRATION_EXPIRED'));
    client.write(write, keep);
    clock.advance(50);
    expect(answers).toMatchObject([{ code: 'OVERLOADED' }]);
    expect(stampsOf(one)).toHaveLength(2);
  });

  it('never sends a write that may have happened under a new number: expired means unknown', () => {
    for (const reply of [{ type: 'lost' } as const, failure('OUTCOME_UNKNOWN')]) {
      const { clock, one, two, client, answers, keep } = setup();
      one.handler = leader(() => reply);
      two.handler = leader(() => failure('REGISTRATION_EXPIRED'));
      client.write(write, keep);
      clock.advance(50);
      expect(answers).toMatchObject([{ code: 'OUTCOME_UNKNOWN' }]);
      expect(stampsOf(two)).toHaveLength(1);
    }
  });

  it('asks on after a write that may have happened, however it is refused', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    one.handler = leader(() => ({ type: 'lost' }));
    two.handler = () => failure('OVERLOADED');
    three.handler = () => written;
    client.write(write, keep);
    clock.advance(20);
    expect(answers).toEqual([written]);
  });

  it('does not say NO_QUORUM or STORE_UNREACHABLE of a write that may have happened', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    one.handler = leader(() => ({ type: 'lost' }));
    two.handler = () => noQuorum(2);
    three.handler = () => noQuorum(3);
    client.write(write, keep);
    clock.advance(3);
    one.handler = () => noQuorum(1);
    clock.advance(1_000);
    for (const connection of [one, two, three]) connection.setOpen(false);
    clock.advance(900);
    expect(answers).toEqual([]);
    clock.advance(200);
    expect(answers).toMatchObject([{ code: 'OUTCOME_UNKNOWN' }]);
    expect(client.outstanding).toBe(0);
  });

  it('refuses an overloaded write at once, unless it may have happened before', () => {
    const { clock, one, client, answers, keep } = setup();
    one.handler = leader(() => failure('OVERLOADED'));
    client.write(write, keep);
    clock.advance(10);
    expect(answers).toMatchObject([{ code: 'OVERLOADED' }]);
    expect(stampsOf(one)).toHaveLength(1);
  });

  it('survives a failover: the new leader gets the same number and its answer counts', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    one.handler = leader(() => null);
    two.handler = () => notLeader(1);
    three.handler = () => notLeader(1);
    client.write(write, keep);
    clock.advance(10);
    one.setOpen(false);
    clock.advance(300);
    expect(answers).toEqual([]);
    three.handler = leader(() => written);
    clock.advance(60);
    expect(answers).toEqual([written]);
    expect(stampsOf(three).at(-1)).toEqual({ clientId: 101, sequence: 1, completedThrough: 0 });
  });

  it('answers every call exactly once when it is closed', () => {
    const { clock, one, client, answers, keep } = setup();
    one.handler = leader(() => null);
    client.write(write, keep);
    clock.advance(10);
    client.read(get, 2_000, keep);
    client.close();
    client.write(write, keep);
    clock.advance(5_000);
    expect(answers).toMatchObject([
      { code: 'OUTCOME_UNKNOWN' },
      { code: 'STORE_UNREACHABLE' },
      { code: 'STORE_UNREACHABLE' },
    ]);
    expect(client.outstanding).toBe(0);
  });
});

describe('fast refusal', () => {
  it('says NO_QUORUM at once when every member is unreachable or says so, and merges who is cut off', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    one.handler = () => noQuorum(1);
    two.setOpen(false);
    three.setOpen(false);
    client.read(get, 2_000, keep);
    client.write(write, keep);
    clock.advance(5);
    expect(answers).toMatchObject([{ code: 'NO_QUORUM' }, { code: 'NO_QUORUM' }]);
    expect(answers[0]).toMatchObject({
      details: {
        members: [
          { id: 1, reachable: true, sinceMs: 5 },
          { id: 2, reachable: false, sinceMs: 702 },
          { id: 3, reachable: false, sinceMs: 703 },
        ],
      },
    });
  });

  it('does not believe one member: another may have the quorum', () => {
    const { clock, one, two, client, answers, keep } = setup();
    one.handler = () => noQuorum(1);
    two.handler = () => entry;
    client.read(get, 2_000, keep);
    clock.advance(5);
    expect(answers).toEqual([entry]);
  });

  it('waits for links whose first dial has not ended, however long that takes, and refuses once all have failed', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    for (const connection of [one, two, three]) connection.setOpen(false);
    three.tried = false;
    client.read(get, 2_000, keep);
    clock.advance(700);
    expect(answers).toEqual([]);
    three.handler = () => entry;
    three.tried = true;
    three.setOpen(true);
    clock.advance(50);
    expect(answers).toEqual([entry]);
    three.setOpen(false);
    three.tried = false;
    client.read(get, 2_000, keep);
    clock.advance(100);
    three.tried = true;
    clock.advance(50);
    expect(answers[1]).toMatchObject({ code: 'STORE_UNREACHABLE' });
  });

  it('says STORE_UNREACHABLE at once when no link is open, with no effect, later than the call itself', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    for (const connection of [one, two, three]) connection.setOpen(false);
    client.read(get, 2_000, keep);
    client.write(write, keep);
    expect(answers).toEqual([]);
    clock.advance(0);
    expect(answers).toMatchObject([{ code: 'STORE_UNREACHABLE' }, { code: 'STORE_UNREACHABLE' }]);
  });

  it('does not refuse when a member without quorum was lost meanwhile and one that is left did not say so', () => {
    const { clock, one, two, three, client, answers, keep } = setup();
    one.handler = () => noQuorum(1);
    two.handler = () => {
      one.setOpen(false);
      return noQuorum(2);
    };
    three.handler = () => notLeader(null);
    client.read(get, 2_000, keep);
    clock.advance(10);
    expect(three.received).toHaveLength(1);
    expect(answers).toEqual([]);
    three.handler = () => entry;
    clock.advance(50);
    expect(answers).toEqual([entry]);
  });

  it('waits for links right after the start', () => {
    const clock = new FakeClock();
    const one = new FakeConnection(1, clock);
    one.open = false;
    one.handler = () => entry;
    const answers: StoreResponse[] = [];
    const client = new StoreClient({ connections: [one], clock, random: () => 0.5 });
    client.read(get, 2_000, (response) => answers.push(response));
    clock.advance(40);
    one.setOpen(true);
    clock.advance(2);
    expect(answers).toEqual([entry]);

    const alone = new StoreClient({ connections: [new FakeConnection(2, clock)], clock, random: () => 0.5 });
    alone.read(get, 60, (response) => answers.push(response));
    clock.advance(61);
    expect(answers.at(-1)).toMatchObject({ code: 'TIMED_OUT' });
  });
});

describe('deadlines', () => {
  it('ends each call at its own deadline, whatever the order in which they were made', () => {
    const { clock, client } = setup();
    const startMs = clock.nowMs;
    const endedMs: Record<number, number> = {};
    for (const deadlineMs of [500, 20, 300, 300.5, 10, 700]) {
      client.read(get, deadlineMs, () => {
        endedMs[deadlineMs] = clock.nowMs - startMs;
      });
    }
    clock.advance(1_000);
    expect(endedMs).toEqual({ 10: 10, 20: 20, 300: 300, 300.5: 301, 500: 500, 700: 700 });
    expect(client.outstanding).toBe(0);
  });

  it('serves many calls with one timer, and keeps none when they are over or the client is closed', () => {
    const { clock, one, client, answers, keep } = setup();
    one.handler = () => entry;
    for (let count = 0; count < 100; count += 1) client.read(get, 2_000, keep);
    clock.advance(1_000);
    expect(answers).toHaveLength(100);
    expect(clock.timers).toBe(1);
    clock.advance(1_000);
    expect(clock.timers).toBe(0);
    client.read(get, 2_000, keep);
    client.close();
    client.read(get, 2_000, keep);
    clock.advance(1);
    expect([answers.length, clock.timers]).toEqual([102, 0]);
  });

  it('a timer that fires early ends nothing before its deadline', () => {
    const { clock, client, answers, keep } = setup();
    const monotonicMs = clock.monotonicMs.bind(clock);
    clock.monotonicMs = () => monotonicMs() - (clock.nowMs > 300 ? 0.25 : 0);
    client.read(get, 500, keep);
    clock.advance(500);
    expect(answers).toEqual([]);
    clock.advance(1);
    expect(answers).toMatchObject([{ code: 'TIMED_OUT' }]);
  });

  it('a callback that throws does not keep the others from ending', () => {
    const { clock, client, answers, keep } = setup();
    client.read(get, 500, () => {
      throw new Error('from the caller');
    });
    client.read(get, 500, keep);
    client.read(get, 600, keep);
    expect(() => clock.advance(500)).toThrow('from the caller');
    clock.advance(1);
    expect(answers).toHaveLength(1);
    clock.advance(100);
    expect(answers).toHaveLength(2);
  });

  it('takes a deadline beyond any timer, and none that is no number', () => {
    const { clock, client, answers, keep } = setup();
    const delaysMs: number[] = [];
    const setTimer = clock.setTimer.bind(clock);
    clock.setTimer = (delayMs, task) => {
      delaysMs.push(delayMs);
      return setTimer(delayMs, task);
    };
    client.read(get, Infinity, keep);
    client.read(get, 2 ** 40, keep);
    expect(() => client.read(get, NaN, keep)).toThrow(AssertionError);
    expect([client.outstanding, delaysMs]).toEqual([2, [2 ** 31 - 1]]);
    clock.advance(100_000);
    client.read(get, 100, keep);
    clock.advance(100);
    expect(answers).toMatchObject([{ code: 'TIMED_OUT' }]);
  });
});

describe('bounds', () => {
  it('sends at most 1,000 numbers beyond the lowest outstanding one, queues 10,000, then refuses', () => {
    const { clock, one, client, answers, keep } = setup();
    let first = true;
    one.handler = leader(() => {
      const reply = first ? null : written;
      first = false;
      return reply;
    });
    for (let count = 0; count < 2_000; count += 1) client.write({ ...write, deadlineMs: 60_000 }, keep);
    clock.advance(50);
    // Number 1 has no answer: the state machine must keep all answers after it, so the window stands still.
    expect(answers).toHaveLength(999);
    expect(Math.max(...stampsOf(one).map(({ sequence }) => sequence))).toBe(1_000);
    for (let count = 0; count < 9_000; count += 1) client.write({ ...write, deadlineMs: 60_000 }, keep);
    clock.advance(1);
    expect(answers).toHaveLength(999);
    client.write(write, keep);
    clock.advance(0);
    expect(answers.at(-1)).toMatchObject({ code: 'OVERLOADED' });
  });

  it('refuses reads beyond 10,000, and none is left behind after the deadline', () => {
    const { clock, client, answers, keep } = setup();
    for (let count = 0; count < 10_001; count += 1) client.read(get, 100, keep);
    clock.advance(0);
    expect(answers).toMatchObject([{ code: 'OVERLOADED' }]);
    client.close();
    expect(client.outstanding).toBe(0);
  });

  it('refuses to send a write or a subscription as a plain request', () => {
    const { clock, client, answers, keep } = setup();
    client.request({ type: 'register' }, 100, keep);
    client.request({ type: 'feedSubscribe' }, 100, keep);
    clock.advance(0);
    expect(answers).toMatchObject([{ code: 'INVALID_REQUEST' }, { code: 'INVALID_REQUEST' }]);
  });
});
