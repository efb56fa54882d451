import assert from 'node:assert/strict';
import { TestMember } from './cluster.testing.js';
import { LOG_START, entryBytes } from './log.js';
import type { RaftConfig } from './raft.js';
import { logIndex, memberId, term, type Message, type SnapshotPoint } from './types.js';

/** What a random run met, so that a test can ask that it met everything. */
export type Met = Record<
  | 'elections'
  | 'transferred'
  | 'applied'
  | 'offers'
  | 'kept'
  | 'reset'
  | 'ignored'
  | 'crashesInInstall'
  | 'followerReads'
  | 'leaderReads'
  | 'readsRejected'
  | 'wiped'
  | 'recovered',
  number
>;

interface Driven {
  readonly member: TestMember;
  /** Snapshots on their way to it, that may be installed at any time, in any order. */
  fetched: SnapshotPoint[];
  applied: number;
  /** Reads that wait, and what was committed anywhere when they were asked. */
  readonly reads: Map<number, { committed: number; asFollower: boolean }>;
  wasLeader: boolean;
  lastTransfer: number;
}

/**
 * Members whose messages are lost, doubled and reordered, whose disks are slow, that crash, take snapshots, give up their logs, fetch snapshots, hand
 * leadership around and serve reads everywhere, all by one seed. What is checked: one history of committed entries, promises kept on disk,
 * no stale read, no leader without what is committed, and that all is well in the end.
 */
export class RandomCluster {
  readonly met: Met = {
    elections: 0,
    transferred: 0,
    applied: 0,
    offers: 0,
    kept: 0,
    reset: 0,
    ignored: 0,
    crashesInInstall: 0,
    followerReads: 0,
    leaderReads: 0,
    readsRejected: 0,
    wiped: 0,
    recovered: 0,
  };
  readonly #members: Driven[];
  #network: Message[] = [];
  /** Terms of all that was ever applied anywhere, by index. */
  readonly #history: number[] = [0];
  #state: number;
  #nextRead = 1;
  #cut = new Set<string>();

  constructor(seed: number, count: number, limits: Partial<RaftConfig> = {}) {
    this.#state = Math.imul(seed, 2_654_435_761) >>> 0 || 1;
    const ids = Array.from({ length: count }, (_, i) => memberId(i + 1));
    this.#members = ids.map((self) => ({
      member: new TestMember(
        {
          self,
          members: ids,
          electionTimeoutTicks: 10,
          heartbeatTicks: 1,
          random: () => this.#random(),
          ...limits,
        },
        { hardState: { term: term(0), vote: null, commit: logIndex(0), recovery: 0 }, entries: [] },
      ),
      fetched: [],
      applied: 0,
      reads: new Map(),
      wasLeader: false,
      lastTransfer: -1,
    }));
  }

  run(steps: number): void {
    for (let step = 0; step < steps; step++) this.#step();
    this.#settle();
  }

  // xorshift32: small, and good enough to choose with.
  #random(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state / 2 ** 32;
  }
  #below(max: number): number {
    return Math.floor(this.#random() * max);
  }
  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  #step(): void {
    const one = this.#members[this.#below(this.#members.length)];
    assert(one !== undefined);
    const { member } = one;
    const { raft } = member;
    const kind = this.#below(1_000);
    if (kind < 400) for (let count = this.#below(6); count >= 0; count--) this.#deliverOne();
    else if (kind < 600) this.#process(one);
    else if (kind < 700) this.#release(member.sync(1 + this.#below(2)), one);
    else if (kind < 760) for (let count = this.#below(5); count >= 0; count--) raft.tick();
    else if (kind < 850) raft.propose(new TextEncoder().encode('p'.repeat(1 + this.#below(20))));
    else if (kind < 900) this.#read(one);
    else if (kind < 940) this.#compact(one);
    else if (kind < 980) this.#install(one);
    else if (kind < 983) this.#crash(one);
    else if (kind < 984) this.#wipe(one);
    else if (kind < 987) this.#transfer(one);
    else if (kind < 994) this.#cutOrHeal();
    else if (kind < 998) raft.storageStalled = this.#chance(0.2);
    else if (raft.leader !== null) raft.forgetLeader(raft.leader);
    this.#check(one);
  }

  #deliverOne(): void {
    if (this.#network.length === 0) return;
    // Mostly in order, so that something comes of it.
    const at = this.#chance(0.7) ? 0 : this.#below(this.#network.length);
    const message = this.#chance(0.05) ? this.#network[at] : this.#network.splice(at, 1)[0];
    assert(message !== undefined);
    if (this.#chance(0.04) || this.#cut.has(`${message.from}>${message.to}`)) return;
    const to = this.#of(message.to);
    to.member.raft.step(message);
    this.#check(to);
    if (this.#chance(0.5)) this.#process(to);
    if (this.#chance(0.5)) this.#release(to.member.sync(1), to);
  }

  #of(id: number): Driven {
    const found = this.#members[id - 1];
    assert(found !== undefined);
    return found;
  }

  #process(one: Driven): void {
    const processed = one.member.process();
    if (processed === null) return;
    const { ready, sent } = processed;
    if (ready.hardState !== null && ready.hardState.recovery !== one.member.durable.hardState.recovery)
      this.met.recovered += 1;
    for (const entry of ready.committed) {
      assert.equal(entry.index, one.applied + 1, 'applied in order, each once');
      one.applied = entry.index;
      this.met.applied += 1;
      this.#history[entry.index] ??= entry.term;
      assert.equal(entry.term, this.#history[entry.index], `two histories at ${entry.index}`);
    }
    for (const { id, index } of ready.readsConfirmed) {
      const read = one.reads.get(id);
      one.reads.delete(id);
      assert(read !== undefined, `read ${id} was not asked here, or was answered before`);
      assert(index >= read.committed, `stale read: ${index} when ${read.committed} was committed`);
      this.met[read.asFollower ? 'followerReads' : 'leaderReads'] += 1;
    }
    for (const id of ready.readsRejected) {
      assert(one.reads.delete(id), `read ${id} was not asked here, or was answered before`);
      this.met.readsRejected += 1;
    }
    if (ready.snapshotOffered !== null) {
      const { from, point } = ready.snapshotOffered;
      this.met.offers += 1;
      assert.equal(from, one.member.raft.leader, 'an offer of somebody else');
      assert.equal(point.term, this.#history[point.index], 'a snapshot of what was never committed');
      one.fetched.push(point);
    }
    this.#release(sent, one);
  }

  /** What a message promises must be on its sender's disk. */
  #release(messages: readonly Message[], { member }: Driven): void {
    const { hardState, base = LOG_START, entries, snapshot } = member.durable;
    for (const message of messages) {
      if (message.type === 'appendResponse' || message.type === 'heartbeatResponse')
        assert(message.recovery !== 0 || hardState.recovery === 0, 'promises what its disk says it may not');
      if (message.type.endsWith('oteResponse'))
        assert.equal(hardState.recovery, 0, 'takes part in an election while it recovers');
      if (!message.type.startsWith('preVote'))
        assert(hardState.term >= message.term, 'speaks in a term that is not on its disk');
      if (message.type === 'appendResponse' && message.accepted)
        assert(
          Math.max(base.index + entries.length, snapshot?.index ?? 0) >= message.matchIndex,
          'acknowledges what is not on its disk',
        );
      if (message.type === 'voteResponse' && message.granted)
        assert(hardState.vote === message.to || hardState.term > message.term, 'its vote is not on its disk');
    }
    this.#network.push(...messages);
  }

  #read(one: Driven): void {
    const { raft } = one.member;
    const id = this.#nextRead++;
    // Whatever was applied anywhere was, or could be, acknowledged to somebody.
    const committed = this.#history.length - 1;
    if (raft.readIndex(id) === 'waiting')
      one.reads.set(id, { committed, asFollower: raft.role !== 'leader' });
  }

  #compact({ member }: Driven): void {
    if (member.raft.appliedIndex === 0) return;
    if (this.#chance(0.7)) member.snapshot();
    const { snapshotPoint } = member.raft;
    if (snapshotPoint !== null) member.compact(Math.max(0, snapshotPoint.index - this.#below(3)));
  }

  #install(one: Driven): void {
    const [offered] = one.fetched.splice(this.#below(one.fetched.length), 1);
    const point = offered ?? this.#fetchedLongAgo(one);
    if (point === undefined || point === null) return;
    if (this.#chance(0.1)) one.fetched.push(point); // and once more later
    if (this.#chance(0.04)) {
      one.member.storeFile(point);
      this.met.crashesInInstall += 1;
      return this.#crash(one);
    }
    const result = one.member.install(point);
    this.met[result] += 1;
    if (result !== 'ignored') one.applied = point.index;
  }

  /** What any member stored can have been offered to any other that has heard of that term, and arrive at any time. */
  #fetchedLongAgo({ member }: Driven): SnapshotPoint | null {
    const { snapshot } = this.#of(1 + this.#below(this.#members.length)).member.durable;
    return snapshot !== undefined && snapshot !== null && snapshot.term <= member.raft.term ? snapshot : null;
  }

  #crash(one: Driven): void {
    const { member } = one;
    // What was being written may have reached the disk, from the oldest on.
    this.#loseAfter(member.sync(this.#below(member.pending.length + 1)));
    member.restart();
    one.applied = member.raft.appliedIndex;
    one.fetched = [];
    one.reads.clear();
    one.wasLeader = false;
  }

  /** Its folder is lost. A majority always remembers: without one nothing would ever go on. */
  #wipe(one: Driven): void {
    const forgetful = this.#members.filter(
      (other) => other !== one && other.member.durable.hardState.recovery !== 0,
    );
    if ((forgetful.length + 1) * 2 >= this.#members.length) return;
    this.#crash(one);
    one.member.wipe(1 + this.#below(1_000_000_000));
    one.applied = 0;
    this.met.wiped += 1;
  }

  /** They left before the power did, or not. */
  #loseAfter(messages: readonly Message[]): void {
    if (this.#chance(0.5)) this.#network.push(...messages);
  }

  #transfer(one: Driven): void {
    const { raft } = one.member;
    const to = raft.bestTransferTarget();
    if (to !== null && raft.transfer(to) === 'started') {
      assert.equal(raft.propose(new Uint8Array(1)).type, 'transferring');
      one.lastTransfer = raft.term;
    }
  }

  #cutOrHeal(): void {
    this.#cut = new Set();
    if (this.#chance(0.6)) return;
    const alone = 1 + this.#below(this.#members.length);
    for (const { member } of this.#members) {
      if (this.#chance(0.8)) this.#cut.add(`${alone}>${member.config.self}`);
      if (this.#chance(0.8)) this.#cut.add(`${member.config.self}>${alone}`);
    }
  }

  #check(one: Driven): void {
    const { raft } = one.member;
    const { log, progress } = raft.inspect();
    assert.equal(
      raft.logBytes,
      log.entries.reduce((sum, entry) => sum + entryBytes(entry), 0),
    );
    const isLeader = raft.role === 'leader';
    if (isLeader) {
      const uncommitted = log.entries.filter(({ index }) => index > log.committed);
      assert.equal(
        raft.load.uncommittedBytes,
        uncommitted.reduce((sum, entry) => sum + entryBytes(entry), 0),
      );
      for (const { state, nextIndex } of progress)
        assert(state !== 'snapshot' || nextIndex < raft.firstIndex, 'a snapshot for one that needs none');
      if (!one.wasLeader) {
        this.met.elections += 1;
        if (this.#members.some((other) => other.lastTransfer === raft.term - 1)) this.met.transferred += 1;
        for (let index = raft.firstIndex - 1; index < this.#history.length; index++)
          assert.equal(raft.termAt(index), this.#history[index], `a leader without entry ${index}`);
      }
    }
    one.wasLeader = isLeader;
  }

  /** The faults end: there is one leader, all members have everything, and nobody waits. */
  #settle(): void {
    this.#cut.clear();
    for (const { member } of this.#members) member.raft.storageStalled = false;
    for (let round = 0; round < 120; round++) {
      for (const one of this.#members) one.member.raft.tick();
      for (let quiet = false; !quiet;) {
        quiet = true;
        for (const one of this.#members) {
          while (one.member.raft.hasReady() || one.member.pending.length > 0) {
            quiet = false;
            this.#process(one);
            this.#release(one.member.sync(), one);
            this.#check(one);
          }
          for (const point of one.fetched.splice(0)) {
            quiet = false;
            const result = one.member.install(point);
            this.met[result] += 1;
            if (result !== 'ignored') one.applied = point.index;
          }
        }
        for (const message of this.#network.splice(0)) {
          quiet = false;
          this.#of(message.to).member.raft.step(message);
        }
      }
      if (round === 60) this.#leader()?.propose(new Uint8Array(1));
    }
    const leader = this.#leader();
    assert(leader !== null, 'no leader in the end');
    assert.equal(leader.transferTarget, null);
    for (const { member, applied, reads } of this.#members) {
      assert.equal(applied, leader.lastIndex, `member ${member.config.self} did not catch up`);
      assert.equal(reads.size, 0, `member ${member.config.self} has reads that nobody answered`);
    }
  }

  #leader() {
    return this.#members.find(({ member }) => member.raft.role === 'leader')?.member.raft ?? null;
  }
}
