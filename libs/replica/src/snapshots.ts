import assert from 'node:assert/strict';
import { StateMachine, type Revision, type StateMachineOptions } from '@quorate/kv';
import {
  logIndex,
  type LogIndex,
  type MemberId,
  type Message,
  type Raft,
  type SnapshotPoint,
} from '@quorate/raft';
import { WalFailedError, type SnapshotFiles, type SnapshotInfo, type Wal } from '@quorate/wal';
import { SnapshotReceiver, type ReceivedSnapshot } from './snapshot-receiver.js';
import { SnapshotTaker } from './snapshot-taker.js';
import { restoreState } from './restore-state.js';

export interface SnapshotPolicy {
  /** A snapshot is due when so many bytes of log were applied since the newest one. */
  readonly snapshotLogBytes: number;
  /** And not before the log since then is this part of the newest snapshot: a large state is not written again for every small change. */
  readonly snapshotLogShare: number;
}

export const SNAPSHOT_POLICY: SnapshotPolicy = { snapshotLogBytes: 64 * 1024 * 1024, snapshotLogShare: 0.25 };

/** What the snapshots of a member need of the replica around them. */
export interface SnapshotsContext {
  readonly raft: Raft;
  readonly wal: Wal;
  readonly files: SnapshotFiles;
  /** All members but this one. */
  readonly peers: readonly MemberId[];
  machine(): StateMachine;
  readonly stateMachine: StateMachineOptions;
  send(message: Message): void;
  defer(task: () => void): void;
  /** The machine is to be replaced by the received one: `raft.installSnapshot` took it. */
  installed(machine: StateMachine): void;
  fatal(error: Error): void;
}

/** A finished snapshot as requests are told of it. */
export interface TakenSnapshot {
  readonly info: SnapshotInfo;
  readonly revision: Revision;
  /** False: it was there already. */
  readonly taken: boolean;
}

interface Waiter {
  /** The snapshot must hold everything up to here. */
  readonly minIndex: number;
  readonly expiresTick: number;
  readonly callback: (snapshot: TakenSnapshot | null) => void;
}

/** A snapshot that somebody fetched a chunk of within so many ticks is not removed. */
const FETCHED_TICKS_MAX = 100;
/** So many are kept for those who fetch from them. */
const FETCHED_SNAPSHOTS_MAX = 4;
/** Log is kept for a member that fetches a snapshot up to so many times what makes a snapshot due. */
const KEPT_LOGS_MAX = 8;
/** A member that does not lead keeps this part of the log that makes a snapshot due, for those who were away for a moment when it leads. */
const KEPT_LOG_SHARE = 0.25;
/** Requests for a snapshot that may wait at a time. */
const WAITERS_MAX = 64;

/**
 * The snapshots of one member: when one is taken, how the log is compacted behind it, and how one comes from the leader to a follower
 * that needs entries which are gone. The bytes themselves are the business of `SnapshotTaker`, `SnapshotReceiver` and the files.
 */
export class Snapshots {
  readonly #context: SnapshotsContext;
  readonly #policy: SnapshotPolicy;
  readonly #taker: SnapshotTaker;
  readonly #receiver: SnapshotReceiver;
  /** Bytes of log applied since the newest snapshot. */
  #bytesSince = 0;
  /** The point before the newest: followers that are no further behind are served from the leader's log. */
  #previousIndex: LogIndex;
  /** The log of a member that does not lead begins here: not as far back, for no one is waiting for it. */
  #keptIndex: LogIndex;
  #waiters: Waiter[] = [];
  #ticks = 0;
  /** When a chunk of the snapshot was last given to anybody, and to a member. */
  readonly #fetchedAtTick = new Map<number, number>();
  readonly #memberFetchedAtTick = new Map<number, number>();
  readonly #revisions = new Map<number, Revision>();
  #stopped = false;

  constructor(context: SnapshotsContext, policy: Partial<SnapshotPolicy> = {}) {
    this.#context = context;
    this.#policy = { ...SNAPSHOT_POLICY, ...policy };
    const { files, raft } = context;
    this.#taker = new SnapshotTaker(files, {
      defer: (task) => context.defer(task),
      taken: (info) => this.#taken(info),
      failed: (error) => this.#failed(error),
      // Tried again when as much log has come again; whoever asked for one is told when their time is over.
      noRoom: () => {},
    });
    this.#receiver = new SnapshotReceiver(files, {
      self: raft.self,
      term: () => raft.term,
      commitIndex: () => raft.commitIndex,
      send: (message) => context.send(message),
      restorer: () => StateMachine.restorer(context.stateMachine),
      received: (snapshot) => this.#received(snapshot),
      failed: (error) => this.#failed(error),
    });
    this.#previousIndex = logIndex(raft.firstIndex - 1);
    this.#keptIndex = this.#previousIndex;
    const { newest } = files;
    if (newest !== null) this.#revisions.set(newest.index, context.machine().head);
    this.#onDisk(() => files.prune([]));
  }

  get newest(): SnapshotInfo | null {
    return this.#context.files.newest;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /** Bytes of log were applied. */
  applied(bytes: number): void {
    this.#bytesSince += bytes;
    if (this.#bytesSince >= this.#dueBytes()) this.#start();
  }

  tick(): void {
    this.#ticks += 1;
    this.#receiver.tick();
    this.#compact();
    this.#expire();
    // What they waited for may have been given up for a snapshot of the leader.
    this.#serveWaiters();
  }

  /**
   * Takes a snapshot that holds at least all that is applied now; calls back with it, or with null when there is none in time, or the
   * member stops before.
   */
  take(deadlineTicks: number, callback: (snapshot: TakenSnapshot | null) => void): 'started' | 'overloaded' {
    const { appliedIndex } = this.#context.machine();
    const { newest } = this;
    if (newest !== null && newest.index >= appliedIndex) {
      callback({ info: newest, revision: this.#revisionOf(newest.index), taken: false });
      return 'started';
    }
    if (this.#waiters.length >= WAITERS_MAX) return 'overloaded';
    this.#waiters.push({ minIndex: appliedIndex, expiresTick: this.#ticks + deadlineTicks, callback });
    this.#start();
    return 'started';
  }

  /** One chunk of a snapshot that is still held, or null. Who fetches one chunk is given time to fetch the next. */
  chunk(index: LogIndex, chunk: number): { info: SnapshotInfo; revision: Revision; data: Uint8Array } | null {
    const info = this.#context.files.info(index);
    const revision = this.#revisions.get(index);
    if (info === null || revision === undefined || chunk >= info.chunkCount) return null;
    this.#fetchedAtTick.set(index, this.#ticks);
    // P18: what rotted on this disk is never handed on; a member that cannot read what it promised to keep ends.
    const data = this.#onDisk(() => this.#context.files.readChunk(index, chunk));
    return data === null ? null : { info, revision, data };
  }

  /** The leader offers a snapshot, because the entries that this member needs next are gone there. */
  offered(from: MemberId, point: SnapshotPoint): void {
    // Only one file is written at a time, and what comes is newer than what is being taken.
    this.#taker.abandon();
    const { newest } = this;
    if (newest === null || newest.index < point.index) return this.#receiver.begin(from, point);
    this.#receiver.abandon();
    this.#installFromDisk(newest);
  }

  /** Messages of the snapshot lane: the core only counts them as signs of life. */
  receive(message: Message): void {
    if (message.type === 'snapshotChunkRequest') this.#serve(message);
    else if (message.type === 'snapshotChunk') this.#receiver.receive(message);
  }

  stop(): void {
    this.#stopped = true;
    this.#taker.abandon();
    this.#receiver.abandon();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { callback } of waiters) callback(null);
  }

  /** P20: of a disk that failed at a snapshot nothing is known either. */
  #failed(error: Error): void {
    this.#context.fatal(new WalFailedError('snapshot', error));
  }

  /** Null when the disk failed, and the member ends. */
  #onDisk<Result>(task: () => Result): Result | null {
    try {
      return task();
    } catch (error) {
      if (error instanceof assert.AssertionError || !(error instanceof Error)) throw error;
      this.#failed(error);
      return null;
    }
  }

  // --- taking --------------------------------------------------------------------------------------------------------

  #start(): void {
    const { raft, files } = this.#context;
    const machine = this.#context.machine();
    if (this.#stopped || this.#taker.isBusy || this.#receiver.isBusy) return;
    const index = logIndex(machine.appliedIndex);
    if (files.newest !== null && files.newest.index >= index) return;
    const term = raft.termAt(index);
    assert(term !== null, 'the applied entry is in the log, or the log begins behind it');
    // mark: a snapshot is taken
    this.#bytesSince = 0;
    this.#revisions.set(index, machine.head);
    this.#taker.start(machine.snapshot(files.chunkBytes), { index, term });
  }

  #taken(info: SnapshotInfo): void {
    if (this.#stopped) return;
    const { raft } = this.#context;
    this.#previousIndex = raft.snapshotPoint?.index ?? logIndex(raft.firstIndex - 1);
    this.#keptIndex = raft.indexBefore(info.index, this.#dueBytes() * KEPT_LOG_SHARE);
    raft.snapshotStored({ index: info.index, term: info.term });
    this.#prune(info.index);
    this.#compact();
    this.#serveWaiters();
  }

  #serveWaiters(): void {
    if (this.#waiters.length === 0) return;
    const info = this.newest;
    const index = info?.index ?? 0;
    const served = this.#waiters.filter(({ minIndex }) => minIndex <= index);
    this.#waiters = this.#waiters.filter(({ minIndex }) => minIndex > index);
    for (const { callback } of served)
      callback(info === null ? null : { info, revision: this.#revisionOf(index), taken: true });
    if (this.#waiters.length > 0) this.#start();
  }

  #expire(): void {
    const expired = this.#waiters.filter(({ expiresTick }) => expiresTick <= this.#ticks);
    if (expired.length === 0) return;
    this.#waiters = this.#waiters.filter(({ expiresTick }) => expiresTick > this.#ticks);
    for (const { callback } of expired) callback(null);
  }

  /** Who fetches from an older one is not left in the middle. */
  #prune(newest: LogIndex): void {
    const keep: LogIndex[] = [];
    for (const [index, tick] of this.#fetchedAtTick) {
      if (this.#ticks - tick > FETCHED_TICKS_MAX) this.#fetchedAtTick.delete(index);
      else keep.push(logIndex(index));
    }
    this.#onDisk(() => this.#context.files.prune(keep.slice(-FETCHED_SNAPSHOTS_MAX)));
    for (const index of this.#revisions.keys())
      if (index !== newest && this.#context.files.info(logIndex(index)) === null)
        this.#revisions.delete(index);
  }

  /**
   * Gives up log that a durable snapshot covers. What lies between the last two snapshots stays at a leader for followers that were away
   * for a moment, until all have it; the others keep the end of it. A follower that is silent or further behind gets the snapshot.
   */
  #compact(): void {
    const { raft, wal } = this.#context;
    const snapshot = raft.snapshotPoint;
    if (snapshot === null) return;
    const matched = this.#context.peers.map((peer) => raft.matchIndexOf(peer) ?? 0);
    const kept = raft.role === 'leader' ? this.#previousIndex : this.#keptIndex;
    const allowed = Math.max(kept, Math.min(snapshot.index, ...matched));
    // Who fetches a snapshot needs the log behind it next, or it would need the next snapshot then, and so on.
    const through = Math.min(allowed, this.#fetchedByMember(allowed));
    if (through < raft.firstIndex) return;
    // mark: the log is compacted
    raft.compact(logIndex(through));
    wal.compact(logIndex(through));
  }

  /** The lowest snapshot that a member fetches, unless what lies behind it has grown too large to be kept for that. */
  #fetchedByMember(otherwise: number): number {
    const { raft } = this.#context;
    for (const [index, tick] of this.#memberFetchedAtTick)
      if (this.#ticks - tick > FETCHED_TICKS_MAX) this.#memberFetchedAtTick.delete(index);
    if (raft.logBytes > KEPT_LOGS_MAX * this.#dueBytes()) return otherwise;
    return Math.min(otherwise, ...this.#memberFetchedAtTick.keys());
  }

  #dueBytes(): number {
    const { snapshotLogBytes, snapshotLogShare } = this.#policy;
    return Math.max(snapshotLogBytes, (this.newest?.payloadBytes ?? 0) * snapshotLogShare);
  }

  #revisionOf(index: number): Revision {
    const known = this.#revisions.get(index);
    assert(known !== undefined, `the revision of snapshot ${index} is known`);
    return known;
  }

  // --- handing over --------------------------------------------------------------------------------------------------

  #serve(message: Message & { type: 'snapshotChunkRequest' }): void {
    const { raft } = this.#context;
    if (raft.role !== 'leader' || message.term !== raft.term) return;
    const { snapshotIndex, snapshotTerm, chunk } = message;
    const found = this.chunk(snapshotIndex, chunk);
    // Another snapshot than the one that is asked for: the core offers the newest one when no progress is made.
    if (found === null || found.info.term !== snapshotTerm) return;
    this.#memberFetchedAtTick.set(snapshotIndex, this.#ticks);
    raft.snapshotProgress(message.from);
    this.#context.send({
      type: 'snapshotChunk',
      from: raft.self,
      to: message.from,
      term: raft.term,
      snapshotIndex,
      snapshotTerm,
      chunk,
      chunkCount: found.info.chunkCount,
      digest: found.info.digest,
      data: found.data,
    });
  }

  /** P10: the file is durable, the machine is whole; now the core may forget the log that led there. */
  #received({ info, machine }: ReceivedSnapshot): void {
    if (this.#stopped) return;
    this.#revisions.set(info.index, machine.head);
    this.#install(info, machine);
  }

  #installFromDisk(info: SnapshotInfo): void {
    // Taken here or received before, and not installed because it was not needed then: it holds committed state only.
    if (info.index <= this.#context.raft.commitIndex) return;
    const { files, stateMachine } = this.#context;
    const machine = this.#onDisk(() => restoreState(files, info, stateMachine));
    if (machine !== null) this.#install(info, machine);
  }

  #install(info: SnapshotInfo, machine: StateMachine): void {
    const { raft } = this.#context;
    if (raft.installSnapshot({ index: info.index, term: info.term }) === 'ignored') {
      return;
    }
    // mark: a snapshot from the leader is installed
    this.#bytesSince = 0;
    this.#previousIndex = info.index;
    this.#keptIndex = info.index;
    this.#prune(info.index);
    this.#context.installed(machine);
  }
}
