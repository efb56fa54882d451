import assert from 'node:assert/strict';
import { failure, type MemberStatus, type PeerState, type StoreFailure } from '@quorate/api';
import {
  encodeCommand,
  type ApplyResult,
  type Command,
  type StateMachine,
  type StateMachineOptions,
} from '@quorate/kv';
import {
  Raft,
  logIndex,
  quorumSize,
  type LogEntry,
  type LogIndex,
  type MemberId,
  type Message,
  type RaftLimits,
  type RaftLoad,
  type Ready,
  type Term,
} from '@quorate/raft';
import type { SnapshotFiles, Wal, WalRecovered } from '@quorate/wal';
import { TICK_MS } from './elapsed-ticks.js';
import { restoreState } from './restore-state.js';
import { Snapshots, type SnapshotPolicy, type TakenSnapshot } from './snapshots.js';
import { HASH_EVERY_ENTRIES, StateHashes, type Divergence } from './state-hashes.js';
import { Transfers, type TransferOutcome } from './transfers.js';

export interface ReplicaConfig {
  readonly self: MemberId;
  readonly members: readonly MemberId[];
  readonly clusterId: string;
  readonly epoch: number;
  /** A follower campaigns after this to twice this many ticks without a leader. Default 10. */
  readonly electionTimeoutTicks?: number;
  /** Default 1. */
  readonly heartbeatTicks?: number;
  /** Proposals and reads that may wait at a time; beyond it they are refused as OVERLOADED. `WAITING_MAX` unless told otherwise. */
  readonly waitingMax?: number;
  /** Windows and bounds of the core, where they are not to be its own defaults. */
  readonly raft?: Partial<RaftLimits>;
  /** Most of them must be the same on all members. */
  readonly stateMachine?: StateMachineOptions;
  /** Of two members that could lead the one with the higher number is handed leadership. All the same where nothing is said. */
  readonly priorityOf?: (member: MemberId) => number;
  /** When a snapshot is due; `SNAPSHOT_POLICY` where nothing is said. */
  readonly snapshots?: Partial<SnapshotPolicy>;
  /** State hashes are compared at each multiple of this index; all members must say the same. `HASH_EVERY_ENTRIES` unless told otherwise. */
  readonly hashEveryEntries?: number;
}

/** What waits in a member, for metrics and for checkers. */
export interface ReplicaLoad {
  /** At most `waitingMax`. */
  readonly proposals: number;
  /** At most `waitingMax`. */
  readonly reads: number;
  /** Confirmed, but not yet applied up to: at most `waitingMax`, and those of one read round. */
  readonly readsToApply: number;
  /** Readys that are not durable yet. */
  readonly readys: number;
  /** Proposals that wait for the end of a transfer: at most `waitingMax`. */
  readonly held: number;
  readonly raft: RaftLoad;
}

/** What `openWal` found on the disk. */
export interface ReplicaStorage {
  readonly wal: Wal;
  readonly recovered: WalRecovered;
  readonly snapshots: SnapshotFiles;
  /** An earlier process of this member found its state to differ from the majority's: it never serves from that again. */
  readonly divergence?: Divergence | null;
}

/** What a replica needs of the world. The store gives it sockets and clocks, the simulator its own. */
export interface ReplicaEnvironment {
  /** Fire and forget: Raft repeats what matters. */
  send(message: Message): void;
  /** Which peers a link is open to: a hint that saves clients waiting, never a proof. Without self. */
  peers(): readonly PeerState[];
  /** Runs the task once, soon, after the event in progress: all that arrived in one turn shares one flush. */
  defer(task: () => void): void;
  /** Uniform in [0, 1). */
  random(): number;
  wallClockMs(): number;
  monotonicMs(): number;
  /** The member cannot go on (storage failed): the process ends. Nothing is called on this replica afterwards. */
  fatal(error: Error): void;
}

/** A member's status but for the state hash, which costs the more the longer nobody asked for it. */
export type MemberCondition = Omit<MemberStatus, 'stateHash'>;

/** Roles and terms as they change, for logs, metrics and the feed publisher. */
export interface ReplicaObserver {
  roleChanged?(condition: MemberCondition): void;
  /** Called after entries were applied. */
  applied?(appliedIndex: number): void;
  /** The state is another one now, taken from a snapshot of the leader. */
  installed?(appliedIndex: number): void;
  /** This member's state is not what the majority's is: it has stopped serving. */
  diverged?(divergence: Divergence): void;
}

interface WaitingProposal {
  readonly term: Term;
  readonly expiresMs: number;
  readonly callback: (outcome: ApplyResult | StoreFailure) => void;
}
interface WaitingRead {
  readonly expiresMs: number;
  readonly callback: (failure: StoreFailure | null) => void;
}
interface WrittenReady {
  readonly ready: Ready;
  /** When it was handed to storage. */
  readonly tick: number;
  durable: boolean;
}

/** Longer without a leader than any election should take, in election timeouts. */
const NO_LEADER_TIMEOUTS_MAX = 2.5;

/** Proposals, and reads, that wait at a time. */
export const WAITING_MAX = 16_384;
/** With so many Readys behind a disk that hangs, what only answers somebody is dropped: Raft repeats what matters. */
const READYS_WAITING_MAX = 256;

/**
 * Drives one member: it alone orders disk, network and state machine (`#handle`). Everything is single-threaded and
 * callback-driven, so that the simulator runs this very code.
 */
export class Replica {
  readonly config: ReplicaConfig;
  readonly raft: Raft;
  #machine: StateMachine;
  readonly #snapshots: Snapshots;
  readonly #transfers: Transfers;
  readonly #stateHashes: StateHashes;
  readonly #hashEveryEntries: number;
  #divergence: Divergence | null;
  readonly #environment: ReplicaEnvironment;
  readonly #wal: Wal;
  readonly #observer: ReplicaObserver;
  readonly #waitingMax: number;

  readonly #electionTimeoutTicks: number;
  #ticks = 0;
  #flushDeferred = false;
  #stopped = false;
  /** Readys handed to storage, oldest first: their messages go out in this order. */
  readonly #written: WrittenReady[] = [];
  readonly #proposals = new Map<number, WaitingProposal>();
  readonly #reads = new Map<number, WaitingRead>();
  /** Confirmed reads whose index is not applied yet, in index order. */
  readonly #readsToApply: { index: LogIndex; id: number }[] = [];
  #nextReadId = 1;
  /** To anybody, since the last leader was found to be gone. */
  #grantedPreVote = false;
  #observedTerm: Term;
  #observedRole: string;
  #observedLeader: MemberId | null = null;
  /** The commit index first heard of from a leader since the start: see `caughtUp`. */
  #catchUpIndex: LogIndex | null = null;
  #caughtUp = false;

  /**
   * Rebuilds the state: from the newest snapshot now, from the log behind it once a leader says what is committed. Throws WalDamagedError
   * or DecodeError for a snapshot that is not whole.
   */
  constructor(
    config: ReplicaConfig,
    environment: ReplicaEnvironment,
    storage: ReplicaStorage,
    observer: ReplicaObserver = {},
  ) {
    const { wal, recovered, snapshots } = storage;
    this.#divergence = storage.divergence ?? null;
    assert.equal(recovered.identity.clusterId, config.clusterId);
    assert.equal(recovered.identity.memberId, config.self);
    this.config = config;
    this.#environment = environment;
    this.#wal = wal;
    this.#machine = restoreState(snapshots, recovered.snapshot, config.stateMachine ?? {});
    // P31: the applied index is a part of the state, so of its snapshot; the rest comes from the log.
    assert.equal(this.#machine.appliedIndex, recovered.snapshot?.index ?? 0);
    this.#observer = observer;
    this.#waitingMax = config.waitingMax ?? WAITING_MAX;
    this.#electionTimeoutTicks = config.electionTimeoutTicks ?? 10;
    this.#hashEveryEntries = config.hashEveryEntries ?? HASH_EVERY_ENTRIES;
    this.raft = new Raft(
      {
        self: config.self,
        members: config.members,
        electionTimeoutTicks: this.#electionTimeoutTicks,
        heartbeatTicks: config.heartbeatTicks ?? 1,
        random: () => environment.random(),
        ...config.raft,
      },
      recovered,
    );
    this.raft.storageStalled = this.#divergence !== null;
    this.#snapshots = new Snapshots(
      {
        raft: this.raft,
        wal,
        files: snapshots,
        peers: config.members.filter((member) => member !== config.self),
        machine: () => this.#machine,
        stateMachine: config.stateMachine ?? {},
        send: (message) => environment.send(message),
        defer: (task) => environment.defer(() => this.#running(task)),
        installed: (installed) => this.#installed(installed),
        fatal: (error) => this.#fatal(error),
      },
      config.snapshots,
    );
    this.#transfers = new Transfers(this.raft, () => environment.monotonicMs());
    this.#stateHashes = new StateHashes(config.self, config.members.length);
    this.#observedTerm = this.raft.term;
    this.#observedRole = this.raft.role;
    if (config.members.length === 1) this.raft.campaign(); // nobody else could
    this.#deferFlush();
  }

  /** The instant for what expires, in milliseconds since 1970: this member's clock, and never before the newest time of the log. */
  get nowMs(): number {
    return Math.max(this.#environment.wallClockMs(), this.#machine.timeMs);
  }

  /** For deadlines. */
  get monotonicMs(): number {
    return this.#environment.monotonicMs();
  }

  /** Why no write can be proposed here now, or null. */
  get proposalRefusal(): StoreFailure | null {
    return this.#refusal() ?? this.#notLeading();
  }

  /** The replicated state. Another object after a snapshot of the leader was installed: never to be kept. */
  get machine(): StateMachine {
    return this.#machine;
  }

  /** To be called every 100 ms. */
  tick(): void {
    if (this.#stopped) return;
    this.#ticks += 1;
    // Who must not be asked for the state must not lead either: the others are right, and one of them does.
    this.raft.storageStalled = this.diskStalled || this.#divergence !== null;
    this.raft.tick();
    this.#snapshots.tick();
    this.#expire();
    this.#deferFlush();
  }

  /** A message from a peer whose identity the link has proved. */
  receive(message: Message): void {
    if (this.#stopped) return;
    this.raft.step(message);
    // What only concerns the drivers of two members; that the sender is alive is all the core takes from it.
    if (message.type === 'snapshotChunk' || message.type === 'snapshotChunkRequest')
      this.#receiveSnapshotLane(message);
    if (message.type === 'stateHashReport')
      this.#compareHash(message.from, message.index, message.revision, message.stateHash);
    if (
      this.#catchUpIndex === null &&
      message.type === 'heartbeatRequest' &&
      message.leaderCommit > 0 &&
      message.term === this.raft.term &&
      message.from === this.raft.leader
    ) {
      this.#catchUpIndex = message.leaderCommit;
    }
    this.#deferFlush();
  }

  /**
   * The link to a peer was lost and an immediate reconnect was refused: its process is gone. Returns true when that peer was
   * the leader; then call `campaignWithoutLeader` after a short random delay, so that not all followers campaign at once.
   */
  peerGone(peer: MemberId): boolean {
    this.#grantedPreVote = false;
    return !this.#stopped && this.raft.forgetLeader(peer);
  }

  /**
   * Asks for an election, unless a leader is known meanwhile, or somebody was faster: two that both pass the pre-vote would split the votes,
   * and then everybody waits for an election timeout.
   */
  campaignWithoutLeader(): void {
    if (this.#stopped || this.raft.role !== 'follower' || this.raft.leader !== null) return;
    if (this.#grantedPreVote) return;
    this.raft.campaign();
    this.#deferFlush();
  }

  /**
   * W2: proposes a command. The callback gets the state machine's result once the command is committed and applied here, or a failure:
   * effect none (surely not proposed) or OUTCOME_UNKNOWN (proposed; may still commit).
   */
  propose(
    command: Omit<Command, 'timeMs'>,
    deadlineMs: number,
    callback: (outcome: ApplyResult | StoreFailure) => void,
  ): void {
    const refusal = this.proposalRefusal;
    if (refusal !== null) return callback(refusal);
    if (this.#proposals.size >= this.#waitingMax) return callback(overloaded());
    const { registration, idempotency, ifTokensRevision, body } = command;
    const timeMs = Math.max(0, Math.floor(this.#environment.wallClockMs()));
    const payload = encodeCommand({ timeMs, registration, idempotency, ifTokensRevision, body });
    const result = this.raft.propose(payload);
    if (result.type === 'notLeader') return callback(this.#notLeader());
    if (result.type === 'overloaded') return callback(overloaded());
    if (result.type === 'transferring') return this.#hold(command, deadlineMs, callback);
    this.#proposals.set(result.index, {
      term: result.term,
      expiresMs: this.#environment.monotonicMs() + deadlineMs,
      callback,
    });
    this.#deferFlush();
  }

  /**
   * P29: leadership is on its way to another member, and nothing is proposed meanwhile. Its end is a matter of milliseconds: then the
   * caller is told the new leader, or, when the transfer failed, this member proposes after all.
   */
  #hold(
    command: Omit<Command, 'timeMs'>,
    deadlineMs: number,
    callback: (outcome: ApplyResult | StoreFailure) => void,
  ): void {
    if (this.#transfers.held >= this.#waitingMax) return callback(overloaded());
    const startedMs = this.#environment.monotonicMs();
    // mark: a proposal waits for the end of a transfer
    this.#transfers.hold(startedMs + deadlineMs, (outcome) => {
      if (outcome === 'ended') {
        const leftMs = startedMs + deadlineMs - this.#environment.monotonicMs();
        return this.propose(command, leftMs, callback);
      }
      callback(
        outcome === 'stopped'
          ? failure('NOT_LEADER', 'This member is stopping.', { leader: this.raft.leader })
          : failure('TIMED_OUT', 'The leadership was being handed over; nothing was proposed.'),
      );
    });
  }

  /**
   * Hands leadership to a follower: to `to`, as soon as it is ready, or to the one that is nearest. Calls back once this member follows
   * `to` (or when that led already), or with why not. Nothing is lost meanwhile: proposals wait.
   */
  transfer(
    to: MemberId | null,
    deadlineMs: number,
    callback: (outcome: { readonly moved: boolean } | StoreFailure) => void,
  ): void {
    const refusal = this.#refusal() ?? this.#notLeading();
    if (refusal !== null) return callback(refusal);
    if (to === this.config.self) return callback({ moved: false });
    const target = to ?? this.raft.bestTransferTarget(this.config.priorityOf);
    if (target === null)
      return callback(failure('TRANSFER_FAILED', 'No other member was heard from of late.'));
    this.#transfers.begin(target, deadlineMs, (outcome) => callback(this.#transferred(target, outcome)));
    this.#deferFlush();
  }

  #transferred(to: MemberId, outcome: TransferOutcome): { readonly moved: boolean } | StoreFailure {
    const details = { leader: this.raft.leader };
    switch (outcome) {
      case 'moved':
        return { moved: true };
      case 'failed':
        return failure('TRANSFER_FAILED', `Member ${to} did not become leader in time.`, details);
      case 'notReady':
        return failure('TRANSFER_FAILED', `Member ${to} is not heard, or has yet to catch up.`, details);
      case 'unknownMember':
        return failure('INVALID_REQUEST', `There is no member ${to}.`, { field: 'to' });
    }
  }

  /** Before it stops, a leader hands over to whoever is nearest; `done` is called when that is over, one way or the other. */
  handOver(deadlineMs: number, done: () => void): void {
    if (this.#stopped || this.raft.role !== 'leader') return done();
    this.transfer(null, deadlineMs, () => done());
  }

  /** Takes a snapshot of all that is applied now, unless there is one. Calls back when it is durable. */
  takeSnapshot(deadlineMs: number, callback: (outcome: TakenSnapshot | StoreFailure) => void): void {
    if (this.#stopped) return callback(failure('TIMED_OUT', 'This member is stopping.'));
    const { divergedFailure } = this;
    if (divergedFailure !== null) return callback(divergedFailure);
    if (this.machine.appliedIndex === 0)
      return callback(failure('NOT_CAUGHT_UP', 'Nothing has been applied here yet.'));
    const started = this.#snapshots.take(Math.ceil(deadlineMs / TICK_MS), (snapshot) =>
      callback(snapshot ?? failure('TIMED_OUT', 'No snapshot was finished in time.')),
    );
    if (started === 'overloaded') callback(overloaded());
  }

  /** A chunk of a durable snapshot of this member; null when it is not held any more. */
  snapshotChunk(index: number, chunk: number): ReturnType<Snapshots['chunk']> {
    return this.#divergence === null ? this.#snapshots.chunk(logIndex(index), chunk) : null;
  }

  /** Has storage made no progress for an election timeout? Then this member does not lead (P22). */
  get diskStalled(): boolean {
    const oldest = this.#written[0];
    return oldest !== undefined && this.#ticks - oldest.tick >= this.#electionTimeoutTicks;
  }

  /** Not null: this member's state is not the majority's, and nothing is answered from it. */
  get divergedFailure(): StoreFailure | null {
    if (this.#divergence === null) return null;
    const { index, revision } = this.#divergence;
    return failure(
      'DIVERGED',
      `The state of member ${this.config.self} differs from the majority's at log index ${index}, revision ${revision}. It has stopped serving.`,
    );
  }

  /**
   * Calls back with null when the state machine is at least as new as any write acknowledged before this call, proven by
   * a quorum round that began after it; or with why that could not be had (effect none). A follower asks its leader for the round.
   */
  readBarrier(deadlineMs: number, callback: (failure: StoreFailure | null) => void): void {
    const refusal = this.#refusal();
    if (refusal !== null) return callback(refusal);
    if (Math.max(this.#reads.size, this.#readsToApply.length) >= this.#waitingMax)
      return callback(overloaded());
    const id = this.#nextReadId++;
    const result = this.raft.readIndex(id);
    if (result !== 'waiting') return callback(result === 'overloaded' ? overloaded() : this.#notLeader());
    this.#reads.set(id, { expiresMs: this.#environment.monotonicMs() + deadlineMs, callback });
    this.#deferFlush();
  }

  /**
   * Has this member, since its own start, at any time applied all that a leader had committed? A member that has not
   * must not say "does not exist" to a cache: it may just have been restarted far behind.
   */
  get caughtUp(): boolean {
    return this.#caughtUp;
  }

  #noteCaughtUp(): void {
    if (this.#caughtUp) return;
    // The leader has, once it has applied an entry of its own term: all older ones are below it (P2).
    this.#caughtUp =
      this.raft.role === 'leader'
        ? this.raft.termAt(this.raft.appliedIndex) === this.raft.term
        : this.#catchUpIndex !== null && this.raft.appliedIndex >= this.#catchUpIndex;
  }

  get load(): ReplicaLoad {
    return {
      proposals: this.#proposals.size,
      reads: this.#reads.size,
      readsToApply: this.#readsToApply.length,
      readys: this.#written.length,
      held: this.#transfers.held,
      raft: this.raft.load,
    };
  }

  /** All that can be said without looking at the state as a whole. */
  condition(): MemberCondition {
    const { raft, machine, config } = this;
    return {
      id: config.self,
      clusterId: config.clusterId,
      epoch: config.epoch,
      role: raft.role === 'preCandidate' ? 'candidate' : raft.role,
      term: raft.term,
      leader: raft.leader,
      quorum: !this.#withoutQuorum(),
      commitIndex: raft.commitIndex,
      appliedIndex: machine.appliedIndex,
      lastIndex: raft.lastIndex,
      revision: machine.head,
      entries: machine.entryCount,
      firstIndex: raft.firstIndex,
      snapshotIndex: raft.snapshotPoint?.index ?? 0,
      logBytes: this.#wal.stats.logBytes,
      diskStalled: this.diskStalled,
      diverged: this.#divergence !== null,
      recovering: raft.recovery !== 0,
      peers: this.#environment.peers(),
    };
  }

  /** With the state hash: whatever changed since it was last asked for is hashed now. */
  status(): MemberStatus {
    return { ...this.condition(), stateHash: this.machine.stateHash() };
  }

  /** Ends this replica: what waits is answered honestly, nothing is sent or written any more. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#snapshots.stop();
    this.#transfers.stop();
    this.#failProposals();
    for (const read of this.#takeReads()) read.callback(failure('NOT_LEADER', 'This member is stopping.'));
  }

  // --- the order of disk, network and state machine ------------------------------------------------------------------

  #deferFlush(): void {
    if (this.#flushDeferred || this.#stopped) return;
    this.#flushDeferred = true;
    this.#environment.defer(() => {
      this.#flushDeferred = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#stopped) return;
    // W3. Bounded: what one Ready leaves over (a long catch-up) waits for the next turn of the event loop.
    const ready = this.raft.ready();
    if (ready !== null) this.#handle(ready);
    this.#noteCaughtUp();
    this.#observe();
    this.#transfers.look();
    if (this.raft.hasReady()) this.#deferFlush();
  }

  /**
   * W4, the one place where disk and network are ordered: what promises something about this member's term, vote or
   * log goes out only when that is on disk; a leader's appends to others run in parallel with its own write (W5).
   */
  #handle(ready: Ready): void {
    const written: WrittenReady = { ready, tick: this.#ticks, durable: false };
    const owesDisk = ready.entries.length > 0 || ready.hardState !== null || ready.reset !== null;
    // A disk that hangs for hours must not make a list of the answers that it holds up.
    const held = this.#written.length;
    const isSpare = held > 0 && (ready.messagesAfterSync.length === 0 || held >= READYS_WAITING_MAX);
    if (owesDisk || !isSpare) this.#written.push(written);
    if (owesDisk) {
      const { reset, hardState, entries } = ready;
      const batch = { reset, hardState, entries, sync: ready.mustSync };
      this.#wal.append(batch, (error) => this.#onWritten(written, error));
    } else {
      written.durable = true;
    }
    if (this.#stopped) return; // storage failed at once
    for (const message of ready.messages) {
      if (message.type === 'preVoteResponse' && message.granted) this.#grantedPreVote = true;
      this.#environment.send(message);
    }
    this.#releaseDurable();
    this.#apply(ready.committed);
    this.#answerReads(ready);
    // Who diverged fetches nothing either: it would take room at both ends, and it never serves from it.
    if (ready.snapshotOffered !== null && this.#divergence === null)
      this.#snapshots.offered(ready.snapshotOffered.from, ready.snapshotOffered.point);
  }

  #onWritten(written: WrittenReady, error: Error | null): void {
    if (this.#stopped) return;
    if (error !== null) {
      // P20: after a failed write or fsync nothing is known of the disk; going on would be a guess.
      // mark: a member ends because its storage failed
      return this.#fatal(error);
    }
    written.durable = true;
    this.#releaseDurable();
    this.#deferFlush();
  }

  #fatal(error: Error): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#environment.fatal(error);
  }

  #running(task: () => void): void {
    if (!this.#stopped) task();
  }

  /** In order: a Ready counts as durable only when all before it are. */
  #releaseDurable(): void {
    while (this.#written[0]?.durable === true) {
      const { ready } = this.#written[0];
      this.#written.shift();
      this.raft.persisted(ready.number);
      for (const message of ready.messagesAfterSync) this.#environment.send(message);
    }
  }

  /** W6: committed and durable here, so apply; then answer whoever proposed it here. */
  #apply(entries: readonly LogEntry[]): void {
    let bytes = 0;
    for (const entry of entries) {
      bytes += entry.payload.length;
      const result = entry.kind === 'noop' ? null : this.machine.apply(entry.index, entry.payload);
      if (result === null) this.machine.applyNoop(entry.index);
      if (entry.index % this.#hashEveryEntries === 0) this.#reportHash(entry.index);
      const waiting = this.#proposals.get(entry.index);
      if (waiting === undefined) continue;
      this.#proposals.delete(entry.index);
      if (waiting.term === entry.term && result !== null) waiting.callback(result);
      // Another leader's entry took the index: ours can never commit. Surely not done.
      else waiting.callback(this.#notLeader());
    }
    if (entries.length === 0) return;
    this.#observer.applied?.(this.machine.appliedIndex);
    if (this.#divergence === null) this.#snapshots.applied(bytes);
  }

  /** The core has taken the snapshot: what it stands for is applied, and the next entry is the one behind it. */
  #installed(machine: StateMachine): void {
    assert.equal(machine.appliedIndex, this.raft.appliedIndex, 'the snapshot is where the core goes on');
    this.#machine = machine;
    this.#observer.installed?.(machine.appliedIndex);
    this.#deferFlush();
  }

  /** A state that differs from the majority's goes nowhere. */
  #receiveSnapshotLane(message: Message): void {
    if (this.#divergence === null) this.#snapshots.receive(message);
  }

  // --- comparing states ------------------------------------------------------------------------------------------------

  #reportHash(index: LogIndex): void {
    const { head } = this.machine;
    const stateHash = this.machine.stateHash();
    for (const to of this.config.members) {
      if (to === this.config.self) continue;
      const { self: from } = this.config;
      this.#environment.send({
        type: 'stateHashReport',
        from,
        to,
        term: this.raft.term,
        index,
        revision: head,
        stateHash,
      });
    }
    this.#compareHash(this.config.self, index, head, stateHash);
  }

  /** Equal logs give equal states. Whoever is alone with another one stops serving, and does not lead. */
  #compareHash(member: MemberId, index: number, revision: number, stateHash: string): void {
    if (this.#divergence !== null) return;
    this.#divergence = this.#stateHashes.take(member, index, revision, stateHash);
    if (this.#divergence === null) return;
    this.raft.storageStalled = true;
    // What waits would be answered from the wrong state. A write may be committed all the same.
    const { divergedFailure } = this;
    for (const read of this.#takeReads()) if (divergedFailure !== null) read.callback(divergedFailure);
    for (const [index, { callback }] of this.#proposals) {
      this.#proposals.delete(index);
      callback(failure('OUTCOME_UNKNOWN', 'This member found its state to differ from the majority.'));
    }
    this.#observer.diverged?.(this.#divergence);
  }

  #answerReads(ready: Ready): void {
    for (const id of ready.readsRejected) {
      const read = this.#takeRead(id);
      read?.callback(this.#refusal() ?? this.#notLeader());
    }
    for (const { index, id } of ready.readsConfirmed) {
      // Whoever gave up meanwhile is told already; a follower far behind would collect them.
      if (this.#reads.has(id)) this.#readsToApply.push({ index, id });
    }
    let answered = 0;
    for (const { index, id } of this.#readsToApply) {
      if (index > this.machine.appliedIndex) break;
      answered += 1;
      this.#takeRead(id)?.callback(null);
    }
    this.#readsToApply.splice(0, answered);
  }

  #takeRead(id: number): WaitingRead | undefined {
    const read = this.#reads.get(id);
    this.#reads.delete(id);
    return read;
  }
  #takeReads(): WaitingRead[] {
    const reads = [...this.#reads.values()];
    this.#reads.clear();
    return reads;
  }

  // --- what can be said when it cannot be done -------------------------------------------------------------------------

  #observe(): void {
    const { role, term, leader } = this.raft;
    const changed =
      role !== this.#observedRole || term !== this.#observedTerm || leader !== this.#observedLeader;
    this.#observedRole = role;
    this.#observedTerm = term;
    this.#observedLeader = leader;
    // Also when it won, took proposals and lost within one turn: then it was never seen to lead.
    if (changed) this.#failProposals();
    if (changed) this.#observer.roleChanged?.(this.condition());
  }

  /** Leadership is lost: the entries may still be committed by the next leader. The client asks again under the same sequence. */
  #failProposals(): void {
    const stillLeads = this.raft.role === 'leader' && !this.#stopped;
    for (const [index, { term, callback }] of this.#proposals) {
      if (stillLeads && term === this.raft.term) continue; // proposed after it won again
      // mark: a proposal waits when leadership is lost
      this.#proposals.delete(index);
      callback(failure('OUTCOME_UNKNOWN', 'The leader changed before the write was confirmed.'));
    }
  }

  #expire(): void {
    const now = this.#environment.monotonicMs();
    this.#transfers.look();
    for (const [index, { expiresMs, callback }] of this.#proposals) {
      if (expiresMs > now) continue;
      // mark: a proposal is not confirmed in time
      this.#proposals.delete(index);
      callback(failure('OUTCOME_UNKNOWN', 'The write was proposed but not confirmed in time.'));
    }
    for (const [id, { expiresMs, callback }] of this.#reads) {
      if (expiresMs > now) continue;
      // mark: a read is not confirmed in time
      this.#reads.delete(id);
      callback(
        this.#withoutQuorum()
          ? this.#noQuorum()
          : failure('TIMED_OUT', 'No quorum confirmed the read in time.'),
      );
    }
  }

  /** Why nothing new can be accepted here, or null. Whatever it says, nothing was proposed. */
  #refusal(): StoreFailure | null {
    if (this.#stopped) return failure('NOT_LEADER', 'This member is stopping.', { leader: null });
    if (this.#divergence !== null) return this.divergedFailure;
    return this.#withoutQuorum() ? this.#noQuorum() : null;
  }

  /** What only a leader can do. */
  #notLeading(): StoreFailure | null {
    return this.raft.role === 'leader' ? null : this.#notLeader();
  }

  #withoutQuorum(): boolean {
    const { raft } = this;
    const reachable = this.#environment.peers().filter((peer) => peer.reachable);
    // A follower that can reach its leader leaves the judgement to it.
    if (raft.role !== 'leader' && reachable.some((peer) => peer.id === raft.leader)) return false;
    if (reachable.length + 1 < quorumSize(this.config.members.length)) return true;
    if (raft.leader !== null) return false;
    return raft.lostQuorum || raft.ticksSinceLeader >= NO_LEADER_TIMEOUTS_MAX * this.#electionTimeoutTicks;
  }

  #noQuorum(): StoreFailure {
    const members = [
      { id: this.config.self, reachable: true, sinceMs: 0 },
      ...this.#environment.peers().map(({ id, reachable, sinceMs }) => ({ id, reachable, sinceMs })),
    ];
    return failure('NO_QUORUM', undefined, { members, leader: null, retryAfterMs: 1000 });
  }

  #notLeader(): StoreFailure {
    return failure('NOT_LEADER', undefined, { leader: this.raft.leader });
  }
}

function overloaded(): StoreFailure {
  return failure('OVERLOADED', undefined, { retryAfterMs: 100 });
}
