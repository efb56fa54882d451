import assert from 'node:assert/strict';
import { failure, type MemberStatus, type PeerState, type StoreFailure } from '@quorate/api';
import { encodeCommand, type ApplyResult, type Command, type StateMachine } from '@quorate/kv';
import {
  Raft,
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
import type { Wal, WalRecovered } from '@quorate/wal';

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
  readonly raft: RaftLoad;
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

/** Roles and terms as they change, for logs, metrics and the feed publisher. */
export interface ReplicaObserver {
  roleChanged?(status: MemberStatus): void;
  /** Called after entries were applied. */
  applied?(appliedIndex: number): void;
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
  readonly machine: StateMachine;
  readonly raft: Raft;
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
  #observedTerm: Term;
  #observedRole: string;
  #observedLeader: MemberId | null = null;
  /** The commit index first heard of from a leader since the start: see `caughtUp`. */
  #catchUpIndex: LogIndex | null = null;
  #caughtUp = false;

  constructor(
    config: ReplicaConfig,
    environment: ReplicaEnvironment,
    wal: Wal,
    recovered: WalRecovered,
    machine: StateMachine,
    observer: ReplicaObserver = {},
  ) {
    assert.equal(recovered.identity.clusterId, config.clusterId);
    assert.equal(recovered.identity.memberId, config.self);
    assert.equal(machine.appliedIndex, 0, 'the state is rebuilt from the log');
    this.config = config;
    this.#environment = environment;
    this.#wal = wal;
    this.machine = machine;
    this.#observer = observer;
    this.#waitingMax = config.waitingMax ?? WAITING_MAX;
    this.#electionTimeoutTicks = config.electionTimeoutTicks ?? 10;
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
    this.#observedTerm = this.raft.term;
    this.#observedRole = this.raft.role;
    if (config.members.length === 1) this.raft.campaign(); // nobody else could
    this.#deferFlush();
  }

  /** To be called every 100 ms. */
  tick(): void {
    if (this.#stopped) return;
    this.#ticks += 1;
    const oldest = this.#written[0];
    this.raft.storageStalled =
      oldest !== undefined && this.#ticks - oldest.tick >= this.#electionTimeoutTicks;
    this.raft.tick();
    this.#expire();
    this.#deferFlush();
  }

  /** A message from a peer whose identity the link has proved. */
  receive(message: Message): void {
    if (this.#stopped) return;
    this.raft.step(message);
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
    return !this.#stopped && this.raft.forgetLeader(peer);
  }

  /** Asks for an election, unless a leader is known meanwhile. */
  campaignWithoutLeader(): void {
    if (this.#stopped || this.raft.role !== 'follower' || this.raft.leader !== null) return;
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
    const refusal = this.#refusal();
    if (refusal !== null) return callback(refusal);
    if (this.#proposals.size >= this.#waitingMax) return callback(overloaded());
    const payload = encodeCommand({
      ...command,
      timeMs: Math.max(0, Math.floor(this.#environment.wallClockMs())),
    });
    const result = this.raft.propose(payload);
    if (result.type === 'notLeader') return callback(this.#notLeader());
    if (result.type === 'overloaded') return callback(overloaded());
    this.#proposals.set(result.index, {
      term: result.term,
      expiresMs: this.#environment.monotonicMs() + deadlineMs,
      callback,
    });
    this.#deferFlush();
  }

  /**
   * Calls back with null when the state machine is at least as new as any write acknowledged before this call, proven by
   * a quorum round that began after it; or with why that could not be had (effect none).
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
      raft: this.raft.load,
    };
  }

  status(): MemberStatus {
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
      stateHash: machine.stateHash(),
      entries: machine.entryCount,
      peers: this.#environment.peers(),
    };
  }

  /** Ends this replica: what waits is answered honestly, nothing is sent or written any more. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
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
    if (this.raft.hasReady()) this.#deferFlush();
  }

  /**
   * W4, the one place where disk and network are ordered: what promises something about this member's term, vote or
   * log goes out only when that is on disk; a leader's appends to others run in parallel with its own write (W5).
   */
  #handle(ready: Ready): void {
    const written: WrittenReady = { ready, tick: this.#ticks, durable: false };
    const owesDisk = ready.entries.length > 0 || ready.hardState !== null;
    // A disk that hangs for hours must not make a list of the answers that it holds up.
    const held = this.#written.length;
    const isSpare = held > 0 && (ready.messagesAfterSync.length === 0 || held >= READYS_WAITING_MAX);
    if (owesDisk || !isSpare) this.#written.push(written);
    if (owesDisk) {
      const batch = { hardState: ready.hardState, entries: ready.entries, sync: ready.mustSync };
      this.#wal.append(batch, (error) => this.#onWritten(written, error));
    } else {
      written.durable = true;
    }
    if (this.#stopped) return; // storage failed at once
    for (const message of ready.messages) this.#environment.send(message);
    this.#releaseDurable();
    this.#apply(ready.committed);
    this.#answerReads(ready);
  }

  #onWritten(written: WrittenReady, error: Error | null): void {
    if (this.#stopped) return;
    if (error !== null) {
      // P20: after a failed write or fsync nothing is known of the disk; going on would be a guess.
      // mark: a member ends because its storage failed
      this.#stopped = true;
      this.#environment.fatal(error);
      return;
    }
    written.durable = true;
    this.#releaseDurable();
    this.#deferFlush();
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
    for (const entry of entries) {
      const result = entry.kind === 'noop' ? null : this.machine.apply(entry.index, entry.payload);
      if (result === null) this.machine.applyNoop(entry.index);
      const waiting = this.#proposals.get(entry.index);
      if (waiting === undefined) continue;
      this.#proposals.delete(entry.index);
      if (waiting.term === entry.term && result !== null) waiting.callback(result);
      // Another leader's entry took the index: ours can never commit. Surely not done.
      else waiting.callback(this.#notLeader());
    }
    if (entries.length > 0) this.#observer.applied?.(this.machine.appliedIndex);
  }

  #answerReads(ready: Ready): void {
    for (const id of ready.readsRejected) {
      const read = this.#takeRead(id);
      read?.callback(this.#refusal() ?? this.#notLeader());
    }
    for (const read of ready.readsConfirmed) this.#readsToApply.push({ index: read.index, id: read.id });
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
    if (changed) this.#observer.roleChanged?.(this.status());
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
    if (this.#withoutQuorum()) return this.#noQuorum();
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
