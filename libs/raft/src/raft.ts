import assert from 'node:assert/strict';
import { FollowerReads } from './follower-reads.js';
import { RaftLog, entryBytes } from './log.js';
import { Progress } from './progress.js';
import { quorumIndex, quorumSize, voteResult } from './quorum.js';
import { ReadRounds, type RoundRead } from './read-rounds.js';
import {
  logIndex,
  term as toTerm,
  type AppendRequest,
  type AppendResponse,
  type ConfirmedRead,
  type HardState,
  type HeartbeatRequest,
  type HeartbeatResponse,
  type LogEntry,
  type LogIndex,
  type MemberId,
  type Message,
  type PreVoteRequest,
  type PreVoteResponse,
  type ReadIndexRequest,
  type ReadIndexResponse,
  type Ready,
  type Role,
  type SnapshotChunk,
  type SnapshotChunkRequest,
  type SnapshotOffer,
  type SnapshotOffered,
  type SnapshotPoint,
  type StateHashReport,
  type Term,
  type TimeoutNow,
  type VoteRequest,
  type VoteResponse,
} from './types.js';

/** Limits that are not given are `RAFT_LIMITS`. */
export interface RaftConfig extends Partial<RaftLimits> {
  readonly self: MemberId;
  /** All voters, `self` among them. */
  readonly members: readonly MemberId[];
  /** A follower campaigns after a random time between this and twice this without a leader. */
  readonly electionTimeoutTicks: number;
  readonly heartbeatTicks: number;
  /** Uniform in [0, 1). The core has no randomness of its own. */
  readonly random: () => number;
}

/** What a member sends, keeps and hands out at a time. */
export interface RaftLimits {
  readonly appendBytesMax: number;
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Proposals are refused while this much is appended and not committed. */
  readonly uncommittedBytesMax: number;
  readonly applyBytesMax: number;
  /** Reads that may wait for a round at a time. */
  readonly readsWaitingMax: number;
}

export const RAFT_LIMITS: RaftLimits = {
  appendBytesMax: 512 * 1024,
  inflightMessagesMax: 64,
  inflightBytesMax: 8 * 1024 * 1024,
  uncommittedBytesMax: 64 * 1024 * 1024,
  applyBytesMax: 4 * 1024 * 1024,
  readsWaitingMax: 65_536,
};

/** What was recovered from disk. */
export interface RaftRestored {
  readonly hardState: HardState;
  /** The entries up to here are compacted away; { 0, 0 } for a log from the start. Never beyond `snapshot`. */
  readonly base: SnapshotPoint;
  /** From `base.index + 1`, without a gap. */
  readonly entries: readonly LogEntry[];
  /**
   * The newest durable snapshot; the driver has restored its state from it. When the log does not contain it (a crash came between storing a leader's
   * snapshot and resetting the log, P10), the first Ready asks for the reset.
   */
  readonly snapshot: SnapshotPoint | null;
}

/** What this member holds in memory for others, for metrics and for checkers: each is bounded by `RaftConfig`. */
export interface RaftLoad {
  /** In this leader's log and not committed: at most `uncommittedBytesMax`, one entry, and the noops of leaders since. */
  readonly uncommittedBytes: number;
  /** At most `readsWaitingMax`, for a leader or for a follower that asks its leader. */
  readonly readsWaiting: number;
  /** Of the follower that has most: at most `inflightMessagesMax`. */
  readonly inflightMessages: number;
  /** Of the follower that has most: at most `inflightBytesMax`, and one message. */
  readonly inflightBytes: number;
  /** Writes that storage has not confirmed. */
  readonly writesPending: number;
}

export type ProposeResult =
  | { readonly type: 'proposed'; readonly index: LogIndex; readonly term: Term }
  | { readonly type: 'notLeader' }
  | { readonly type: 'overloaded' }
  /** The leadership is being handed over: surely not proposed. */
  | { readonly type: 'transferring' };

export type TransferResult = 'started' | 'notLeader' | 'unknownMember' | 'self' | 'notReady';

/**
 * `ignored`: this member has all of it already, or leads. `kept`: the log goes on behind the point. `reset`: the log was dropped and begins behind the point.
 * Unless it was ignored, the state machine must now be the snapshot's.
 */
export type InstallResult = 'ignored' | 'kept' | 'reset';

/** A leadership on its way to another member. */
interface Transfer {
  readonly to: MemberId;
  readonly startedTick: number;
  /** The target was told to campaign, since the last heartbeat. */
  told: boolean;
}

/** Messages from driver to driver. */
type CarriedMessage = SnapshotChunkRequest | SnapshotChunk | StateHashReport;
type CoreMessage = Exclude<Message, CarriedMessage>;

/** What goes unanswered for so many heartbeat intervals is asked again. */
const PATIENCE_HEARTBEATS = 3;
/** A follower that lacks no more has them within a moment. */
const NEAR_ENTRIES = 1_024;

/** A write handed to storage and not yet known to be durable. */
interface PendingWrite {
  readonly number: number;
  readonly firstIndex: number | null;
  readonly hardState: HardState | null;
}

/**
 * Raft as a state machine without I/O, time or randomness of its own: messages, ticks and proposals in, `Ready` out.
 * The same inputs give the same outputs. See SPEC.md for the rules (V: votes, A: append, C: commit, R: reads, D: durability, S: snapshots, T: transfer, F: members that forgot).
 *
 * Source: D. Ongaro, "Consensus: Bridging Theory and Practice" (2014): chapter 3 (core), 6.4 (ReadIndex), 9.6 (pre-vote),
 * 10.2.1 (the leader writes to its disk in parallel), 5 (log compaction), 3.10 (leadership transfer).
 */
export class Raft {
  readonly self: MemberId;
  readonly #config: Required<RaftConfig>;
  readonly #peers: readonly MemberId[];
  readonly #log: RaftLog;
  #term: Term;
  #vote: MemberId | null;
  #role: Role = 'follower';
  #leader: MemberId | null = null;

  #nowTick = 0;
  #electionElapsed = 0;
  #electionTimeout = 0;
  #heartbeatElapsed = 0;
  #ticksSinceLeader = 0;
  #lostQuorum = false;
  #storageStalled = false;

  #votes = new Map<MemberId, boolean>();
  #progress = new Map<MemberId, Progress>();
  #reads = new ReadRounds();
  #followerReads = new FollowerReads();
  #uncommittedBytes = 0;
  #transfer: Transfer | null = null;

  #messages: Message[] = [];
  #messagesAfterSync: Message[] = [];
  #readsConfirmed: ConfirmedRead[] = [];
  #readsRejected: number[] = [];
  #snapshotOffered: SnapshotOffered | null = null;
  #reset: SnapshotPoint | null = null;
  #readyNumber = 0;
  #pending: PendingWrite[] = [];
  #handedHardState: HardState;
  #durableTerm: Term;
  #durableVote: MemberId | null;
  #recovery: number;
  #durableRecovery: number;

  constructor(config: RaftConfig, restored: RaftRestored) {
    assert(config.members.includes(config.self), 'a member must be in its own member list');
    assert.equal(new Set(config.members).size, config.members.length);
    assert(config.electionTimeoutTicks > config.heartbeatTicks && config.heartbeatTicks >= 1);
    this.#config = { ...RAFT_LIMITS, ...config };
    this.self = config.self;
    this.#peers = config.members.filter((member) => member !== config.self);
    const { hardState, base, entries, snapshot } = restored;
    assert(base.index <= (snapshot?.index ?? 0), 'entries are gone that no snapshot stands for');
    this.#term = hardState.term;
    this.#vote = hardState.vote;
    this.#recovery = hardState.recovery;
    if (snapshot === null || containsPoint(restored, snapshot)) {
      this.#log = new RaftLog(entries, hardState.commit, base, snapshot);
    } else {
      // The snapshot is of committed entries. A log that does not contain it is older, or differs from it where nothing was ever committed [S7].
      assert(
        hardState.commit < snapshot.index || base.index + entries.length < snapshot.index,
        'the snapshot contradicts committed entries',
      );
      this.#log = new RaftLog([], snapshot.index, snapshot, snapshot);
      this.#reset = snapshot;
      if (snapshot.term > this.#term) {
        // The term of the leader that offered it did not reach the disk. In terms that it does not know of this member cannot have voted (P11).
        this.#term = snapshot.term;
        this.#vote = null;
      }
    }
    assert(this.#term >= this.#log.lastTerm, 'the log is ahead of the stored term');
    this.#handedHardState = hardState;
    this.#durableTerm = hardState.term;
    this.#durableVote = hardState.vote;
    this.#durableRecovery = hardState.recovery;
    this.#resetElectionTimer();
  }

  get role(): Role {
    return this.#role;
  }
  get term(): Term {
    return this.#term;
  }
  get vote(): MemberId | null {
    return this.#vote;
  }
  get leader(): MemberId | null {
    return this.#leader;
  }
  /** Not 0: this member lost what it had, and neither votes nor acknowledges until it is brought up to date [F1]. */
  get recovery(): number {
    return this.#recovery;
  }
  get commitIndex(): LogIndex {
    return this.#log.committed;
  }
  get appliedIndex(): LogIndex {
    return this.#log.applied;
  }
  get durableIndex(): LogIndex {
    return this.#log.durableIndex;
  }
  get lastIndex(): LogIndex {
    return this.#log.lastIndex;
  }
  /** The first entry that the log holds; those before it are compacted away. */
  get firstIndex(): LogIndex {
    return this.#log.firstIndex;
  }
  /** The newest durable snapshot that the core was told of. */
  get snapshotPoint(): SnapshotPoint | null {
    return this.#log.snapshot;
  }
  /** The size of the entries that are held in memory, as limits count it. */
  get logBytes(): number {
    return this.#log.bytes;
  }
  /** The index behind which the entries up to `upTo`, which must be held, have at most so many bytes, as far back as entries are held. */
  indexBefore(upTo: LogIndex, bytesMax: number): LogIndex {
    return this.#log.indexBefore(upTo, bytesMax);
  }
  /** Who is to lead next, while a transfer runs. */
  get transferTarget(): MemberId | null {
    return this.#transfer?.to ?? null;
  }
  /**
   * The term of the log's entry at `index`, also of the last compacted one; 0 before the first; null where that is compacted away, or behind the end: for
   * checkers and status.
   */
  termAt(index: number): Term | null {
    return this.#log.termAt(index);
  }
  /** Ticks since this member was leader or heard from one. */
  get ticksSinceLeader(): number {
    return this.#role === 'leader' ? 0 : this.#ticksSinceLeader;
  }
  /** True after stepping down for want of a quorum (check-quorum), until a leader is known again. */
  get lostQuorum(): boolean {
    return this.#lostQuorum;
  }
  /** Has an entry of the leader's own term been committed? Before that its commit index may lag (P2). */
  get committedInOwnTerm(): boolean {
    return this.#log.termAt(this.#log.committed) === this.#term;
  }
  /** What the leader knows of a follower: the durable prefix they share. Null when not leader. */
  matchIndexOf(member: MemberId): LogIndex | null {
    return this.#progress.get(member)?.matchIndex ?? null;
  }

  get load(): RaftLoad {
    let [inflightMessages, inflightBytes] = [0, 0];
    for (const progress of this.#progress.values()) {
      inflightMessages = Math.max(inflightMessages, progress.inflightMessages);
      inflightBytes = Math.max(inflightBytes, progress.inflightBytes);
    }
    return {
      uncommittedBytes: this.#uncommittedBytes,
      readsWaiting: this.#reads.waiting + this.#followerReads.waiting,
      inflightMessages,
      inflightBytes,
      writesPending: this.#pending.length,
    };
  }

  /** One tick of the driver's clock passed. */
  tick(): void {
    this.#nowTick += 1;
    if (this.#role === 'leader') {
      this.#tickLeader();
    } else {
      this.#ticksSinceLeader += 1;
      this.#electionElapsed += 1;
      if (this.#electionElapsed >= this.#electionTimeout) this.campaign();
    }
    this.#assertInvariants();
  }

  /**
   * The driver says whether this member's storage stands still (P22). A leader whose disk hangs would go on committing by its followers and never
   * apply or answer: it steps down. Nobody whose own vote could not become durable campaigns [V8].
   */
  set storageStalled(stalled: boolean) {
    this.#storageStalled = stalled;
  }

  /** Asks for an election now: with a pre-vote, so that a member that cannot win disturbs nobody [V1]. */
  campaign(): void {
    if (this.#role === 'leader' || this.#storageStalled) return;
    this.#leaveLeader();
    if (this.#durableRecovery !== 0) {
      // It may hold less than what it once acknowledged: an election won with its own vote could undo that [F1].
      this.#resetElectionTimer();
      return;
    }
    if (this.#peers.length === 0) {
      this.#becomeCandidate(false);
      return;
    }
    this.#role = 'preCandidate';
    this.#resetElectionTimer();
    this.#votes = new Map([[this.self, true]]);
    for (const to of this.#peers) {
      this.#messages.push({
        type: 'preVoteRequest',
        from: this.self,
        to,
        term: toTerm(this.#term + 1),
        lastIndex: this.#log.lastIndex,
        lastTerm: this.#log.lastTerm,
      });
    }
  }

  /**
   * The driver has evidence that the leader's process is gone: pre-votes and votes need not wait for the election timeout [V9]. Only the
   * refusal of V4 is given up, so a wrong hint elects nobody: the others still refuse. Never to be combined with leases.
   * Returns whether that was the leader.
   */
  forgetLeader(leader: MemberId): boolean {
    if (this.#role !== 'follower' || this.#leader !== leader) return false;
    this.#leaveLeader();
    return true;
  }

  /** Handles one message. A message that is not for this member, or from a stranger, is ignored; so is what drivers say to each other. */
  step(message: Message): void {
    if (message.to !== this.self || !this.#peers.includes(message.from) || isCarried(message)) return;
    if (this.#durableRecovery !== 0 && isElectoral(message)) {
      // mark: a member that recovers is asked to take part in an election
      return; // not even its term may move by this: only a leader's word moves it [F1]
    }
    if (this.#stepTerm(message)) this.#stepCurrentTerm(message);
    this.#assertInvariants();
  }

  /** Appends a command to the log, if this member leads. */
  propose(payload: Uint8Array): ProposeResult {
    if (this.#role !== 'leader') return { type: 'notLeader' };
    if (this.#transfer !== null) return { type: 'transferring' };
    if (this.#uncommittedBytes >= this.#config.uncommittedBytesMax) return { type: 'overloaded' };
    const index = this.#appendOwn('command', payload);
    return { type: 'proposed', index, term: this.#term };
  }

  /**
   * Asks for a linearizable read [R1]. The answer comes as a confirmed (or rejected) read with this id in a Ready. A follower asks the leader that
   * it knows [R7]. When none is known, or too many reads wait, nothing else happens.
   */
  readIndex(id: number): 'waiting' | 'notLeader' | 'overloaded' {
    if (this.#leader === null) return 'notLeader';
    const reads = this.#role === 'leader' ? this.#reads : this.#followerReads;
    if (reads.waiting >= this.#config.readsWaitingMax) return 'overloaded';
    reads.add(id);
    return 'waiting';
  }

  /** The driver has stored a snapshot of what was applied up to `point` durably. An older one than is known changes nothing. */
  snapshotStored(point: SnapshotPoint): void {
    this.#log.snapshotStored(point);
    this.#assertInvariants();
  }

  /**
   * Entries up to `index` are given up, in memory; the driver does the same on disk. Not beyond `snapshotPoint` [S2]. A follower that still needs one of them
   * will need a snapshot.
   */
  compact(index: LogIndex): void {
    this.#log.compactTo(index);
    this.#assertInvariants();
  }

  /** The driver serves a chunk of a snapshot to this follower: it is alive, and its offer need not be repeated. Only for requests of the current term. */
  snapshotProgress(from: MemberId): void {
    const progress = this.#progress.get(from);
    if (progress === undefined) return;
    progress.lastHeardTick = this.#nowTick;
    if (progress.state === 'snapshot') progress.lastProgressTick = this.#nowTick;
  }

  /**
   * The driver holds a snapshot that a leader offered: its file is durable, and its state machine is the snapshot's, or will be before the next call. Safe in
   * every role. Nothing up to the point is handed out in `committed` from here on [S5].
   */
  installSnapshot(point: SnapshotPoint): InstallResult {
    assert(point.term <= this.#term, 'a snapshot of a later term than any that was heard of');
    if (point.index <= this.#log.committed) {
      return 'ignored';
    }
    // A leader's log has all that is committed (thesis 3.6.3): it needs nobody's snapshot.
    if (this.#role === 'leader') return 'ignored';
    // A campaign asks for votes by the end of the log. After a reset that claim may be false: it ends here, and its votes come too late [S6].
    if (this.#role !== 'follower') this.#becomeFollower(this.#term, null);
    let result: InstallResult;
    if (this.#log.termAt(point.index) === point.term) {
      this.#log.skipTo(point);
      result = 'kept';
    } else {
      // mark: a snapshot is installed and the log is dropped
      this.#log.reset(point);
      this.#reset = point;
      this.#withdrawAcceptances(point.index + 1);
      result = 'reset';
    }
    if (this.#leader !== null) this.#messagesAfterSync.push(this.#acceptance(this.#leader, point.index));
    this.#assertInvariants();
    return result;
  }

  /**
   * Hands the leadership to another member (thesis 3.10): it is brought up to date, meanwhile proposals are refused, then told to campaign at once. Ends
   * with another leader, or after an election timeout, and then proposals go on [T1] [T5]. Asking again for the same target changes nothing. `notReady`:
   * the target could not lead soon, nothing has begun, proposals go on.
   */
  transfer(to: MemberId): TransferResult {
    if (this.#role !== 'leader') return 'notLeader';
    if (to === this.self) return 'self';
    if (!this.#peers.includes(to)) return 'unknownMember';
    if (!this.#couldLeadSoon(to)) return 'notReady';
    if (this.#transfer?.to !== to) this.#transfer = { to, startedTick: this.#nowTick, told: false };
    return 'started';
  }

  /**
   * The follower to hand leadership to: of those that could lead soon and lack few entries the one of the highest priority, of several the one that holds
   * most, of several the one with the lowest id. When none is so near: without regard to priority. A hint alone: nobody leads, or stops, because of it [T6].
   */
  bestTransferTarget(priorityOf: (member: MemberId) => number = () => 0): MemberId | null {
    const order = ([member, { matchIndex }]: readonly [MemberId, Progress]): readonly number[] => {
      const isNear = this.#log.lastIndex - matchIndex <= NEAR_ENTRIES;
      return [isNear ? 1 : 0, isNear ? priorityOf(member) : 0, matchIndex, 0 - member];
    };
    let best: readonly [MemberId, Progress] | null = null;
    for (const candidate of this.#progress) {
      if (!this.#couldLeadSoon(candidate[0])) continue;
      if (best === null || isAbove(order(candidate), order(best))) best = candidate;
    }
    return best === null ? null : best[0];
  }

  hasReady(): boolean {
    return (
      this.#messages.length > 0 ||
      this.#messagesAfterSync.length > 0 ||
      this.#log.hasUnpersisted ||
      this.#log.hasCommittedToApply ||
      this.#readsConfirmed.length > 0 ||
      this.#readsRejected.length > 0 ||
      this.#offerToFetch() !== null ||
      this.#reset !== null ||
      this.#hardStateMoved() ||
      (this.#role === 'leader' &&
        ((this.#reads.canStart && this.committedInOwnTerm) ||
          this.#hasAppendsToSend() ||
          this.#canTellTransferTarget())) ||
      (this.#role === 'follower' && this.#readRequestIsDue())
    );
  }

  /** Takes what has to be done now (see `Ready` for the driver's duties), or null. */
  ready(): Ready | null {
    if (!this.hasReady()) return null;
    if (this.#role === 'leader') {
      this.#startReadRound();
      for (const peer of this.#peers) this.#sendAppends(peer);
      this.#tellTransferTarget();
    } else {
      this.#sendReadRequest();
    }
    const reset = this.#reset;
    const entries = this.#log.takeUnpersisted();
    const termOrVoteMoved = this.#hardStateMoved();
    const hardState: HardState | null =
      termOrVoteMoved ||
      ((entries.length > 0 || reset !== null) && this.#durableCommit() > this.#handedHardState.commit)
        ? {
            term: this.#term,
            vote: this.#vote,
            commit: this.#durableCommit(),
            recovery: this.#recovery,
          }
        : null;
    if (hardState !== null) this.#handedHardState = hardState;
    this.#readyNumber += 1;
    // What asks nothing of storage is not waited for: a member whose disk hangs goes on answering heartbeats for ever.
    if (entries.length > 0 || hardState !== null || reset !== null) {
      // A reset is a write of everything behind its point (P13).
      const firstIndex = entries[0]?.index ?? (reset === null ? null : reset.index + 1);
      this.#pending.push({ number: this.#readyNumber, firstIndex, hardState });
    }
    const ready: Ready = {
      number: this.#readyNumber,
      hardState,
      reset,
      entries,
      mustSync: entries.length > 0 || termOrVoteMoved || reset !== null,
      messages: this.#messages,
      messagesAfterSync: this.#messagesAfterSync,
      committed: this.#log.takeCommitted(this.#config.applyBytesMax),
      readsConfirmed: this.#readsConfirmed,
      readsRejected: this.#readsRejected,
      snapshotOffered: this.#offerToFetch(),
    };
    this.#reset = null;
    if (ready.snapshotOffered !== null) this.#snapshotOffered = null;
    this.#messages = [];
    this.#messagesAfterSync = [];
    this.#readsConfirmed = [];
    this.#readsRejected = [];
    this.#assertInvariants();
    return ready;
  }

  /** All Readys up to `number` are durable. Their `messagesAfterSync` may go out. */
  persisted(number: number): void {
    assert(number <= this.#readyNumber);
    while (this.#pending.length > 0) {
      const write = this.#pending[0];
      assert(write !== undefined);
      if (write.number > number) break;
      this.#pending.shift();
      if (write.hardState !== null) {
        this.#durableTerm = write.hardState.term;
        this.#durableVote = write.hardState.vote;
        this.#durableRecovery = write.hardState.recovery;
      }
    }
    let pendingFrom: number | null = null;
    for (const write of this.#pending) {
      if (write.firstIndex !== null)
        pendingFrom = Math.min(pendingFrom ?? write.firstIndex, write.firstIndex);
    }
    this.#log.advanceDurable(pendingFrom);
    // The member's own vote and its own acknowledgement count only now that they are durable (P11, P12) [D2].
    if (this.#role === 'candidate' && this.#durableTerm === this.#term && this.#durableVote === this.self) {
      this.#recordVote(this.self, true);
    }
    if (this.#role === 'leader') this.#advanceCommit();
    this.#assertInvariants();
  }

  /**
   * The whole state as plain data, with nothing left out: an exhaustive search tells two states apart by it, and what it left out would be
   * states that are never visited. It changes nothing.
   */
  inspect() {
    return {
      self: this.self,
      term: this.#term,
      vote: this.#vote,
      role: this.#role,
      leader: this.#leader,
      log: this.#log.inspect(),
      votes: [...this.#votes],
      progress: [...this.#progress].map(([member, progress]) => ({ member, ...progress.inspect() })),
      reads: this.#reads.inspect(),
      followerReads: this.#followerReads.inspect(),
      transfer: this.#transfer === null ? null : { ...this.#transfer },
      uncommittedBytes: this.#uncommittedBytes,
      nowTick: this.#nowTick,
      electionElapsed: this.#electionElapsed,
      electionTimeout: this.#electionTimeout,
      heartbeatElapsed: this.#heartbeatElapsed,
      ticksSinceLeader: this.#ticksSinceLeader,
      lostQuorum: this.#lostQuorum,
      storageStalled: this.#storageStalled,
      messages: [...this.#messages],
      messagesAfterSync: [...this.#messagesAfterSync],
      readsConfirmed: [...this.#readsConfirmed],
      readsRejected: [...this.#readsRejected],
      snapshotOffered: this.#snapshotOffered,
      reset: this.#reset,
      readyNumber: this.#readyNumber,
      pending: [...this.#pending],
      handedHardState: this.#handedHardState,
      durableTerm: this.#durableTerm,
      durableVote: this.#durableVote,
      recovery: this.#recovery,
      durableRecovery: this.#durableRecovery,
    };
  }

  // --- terms -------------------------------------------------------------------------------------------------------

  /** Compares the message's term with ours. Returns whether the message is to be handled further. */
  #stepTerm(message: CoreMessage): boolean {
    if (message.term > this.#term) return this.#stepHigherTerm(message);
    if (message.term < this.#term) {
      this.#answerLowerTerm(message);
      return false;
    }
    return true;
  }

  #stepHigherTerm(message: CoreMessage): boolean {
    switch (message.type) {
      case 'preVoteRequest':
        return true; // a question about a term, not a claim of one
      case 'preVoteResponse':
        if (message.granted) return true; // it carries the term that was asked about
        this.#becomeFollower(message.term, null);
        return false;
      case 'voteRequest':
        // A member that still hears its leader ignores campaigns: a rejoining or removed member must not
        // depose a healthy leader (P4) [V4]. The term stays, too. Unless that leader asked for it [T3].
        if (this.#hearsLeader() && !message.transfer) {
          // mark: a campaign with a higher term is ignored because the leader is heard
          return false;
        }
        this.#becomeFollower(message.term, null);
        return true;
      case 'appendRequest':
      case 'heartbeatRequest':
      case 'snapshotOffer':
      case 'timeoutNow':
        this.#becomeFollower(message.term, message.from);
        return true;
      case 'voteResponse':
      case 'appendResponse':
      case 'heartbeatResponse':
      case 'readIndexRequest':
      case 'readIndexResponse':
        this.#becomeFollower(message.term, null);
        return false;
    }
  }

  /**
   * P5: with pre-vote and check-quorum a member that got stuck with a higher term would never be heard again if stale leaders and
   * pre-candidates were simply ignored. They are answered with the higher term [V5].
   */
  #answerLowerTerm(message: CoreMessage): void {
    switch (message.type) {
      case 'appendRequest':
      case 'heartbeatRequest':
      case 'snapshotOffer':
        // mark: a leader of an older term is told the newer one
        this.#messagesAfterSync.push(this.#appendRefusal(message.from, logIndex(0)));
        return;
      case 'preVoteRequest':
        this.#messagesAfterSync.push(this.#preVoteResponse(message.from, this.#term, false));
        return;
      case 'voteRequest':
        this.#messagesAfterSync.push(this.#voteResponse(message, false));
        return;
      default:
        return; // late answers to an earlier self
    }
  }

  #stepCurrentTerm(message: CoreMessage): void {
    switch (message.type) {
      case 'preVoteRequest':
        return this.#onPreVoteRequest(message);
      case 'preVoteResponse':
        return this.#onPreVoteResponse(message);
      case 'voteRequest':
        return this.#onVoteRequest(message);
      case 'voteResponse':
        return this.#onVoteResponse(message);
      case 'appendRequest':
        return this.#onAppendRequest(message);
      case 'appendResponse':
        return this.#onAppendResponse(message);
      case 'heartbeatRequest':
        return this.#onHeartbeatRequest(message);
      case 'heartbeatResponse':
        return this.#onHeartbeatResponse(message);
      case 'snapshotOffer':
        return this.#onSnapshotOffer(message);
      case 'timeoutNow':
        return this.#onTimeoutNow(message);
      case 'readIndexRequest':
        return this.#onReadIndexRequest(message);
      case 'readIndexResponse':
        return this.#onReadIndexResponse(message);
    }
  }

  // --- roles -------------------------------------------------------------------------------------------------------

  #becomeFollower(newTerm: Term, leader: MemberId | null): void {
    assert(newTerm >= this.#term, 'a term never goes back');
    if (newTerm > this.#term) {
      this.#term = newTerm;
      this.#vote = null;
    }
    if (this.#role === 'leader') {
      // mark: a leader is deposed
      this.#leaveLeadership();
    }
    this.#leaveLeader();
    this.#role = 'follower';
    this.#leader = leader;
    if (leader !== null) this.#heardLeader();
    this.#resetElectionTimer();
  }

  /** Everything that only a leader may promise ends here (P3). */
  #leaveLeadership(): void {
    for (const id of this.#reads.rejectAll()) this.#readsRejected.push(id);
    this.#progress = new Map();
    this.#transfer = null;
    this.#uncommittedBytes = 0;
    this.#ticksSinceLeader = 0;
  }

  /** Nobody is followed, or another: what this member asked of its leader ends here (P3), and so does what that one offered. */
  #leaveLeader(): void {
    this.#leader = null;
    for (const id of this.#followerReads.rejectAll()) this.#readsRejected.push(id);
    this.#snapshotOffered = null;
  }

  #becomeCandidate(transfer: boolean): void {
    this.#role = 'candidate';
    this.#leader = null;
    this.#term = toTerm(this.#term + 1);
    this.#vote = this.self;
    this.#votes = new Map();
    this.#resetElectionTimer();
    for (const to of this.#peers) {
      this.#messagesAfterSync.push({
        type: 'voteRequest',
        from: this.self,
        to,
        term: this.#term,
        lastIndex: this.#log.lastIndex,
        lastTerm: this.#log.lastTerm,
        transfer,
      });
    }
  }

  #becomeLeader(): void {
    assert.equal(this.#role, 'candidate');
    assert(
      this.#durableTerm === this.#term && this.#durableVote === this.self,
      'leads before its own vote is durable',
    );
    this.#role = 'leader';
    this.#leader = this.self;
    this.#lostQuorum = false;
    this.#heartbeatElapsed = 0;
    this.#progress = new Map(
      this.#peers.map((peer) => [peer, new Progress(this.#log.lastIndex + 1, this.#nowTick)]),
    );
    // What earlier leaders left counts, too: the bound is on the log, not on a reign. The noop is appended all the same, else nothing
    // would ever commit [U2].
    this.#uncommittedBytes = this.#log.bytesIn(this.#log.committed, this.#log.lastIndex);
    // An entry of the own term: only it lets older entries be committed (P6) and reads be answered (P2) [C2].
    this.#appendOwn('noop', new Uint8Array(0));
    this.#advanceCommit();
  }

  #tickLeader(): void {
    this.#heartbeatElapsed += 1;
    if (this.#storageStalled && this.#peers.length > 0) {
      // mark: a leader whose disk stands still steps down
      this.#becomeFollower(this.#term, null);
      return;
    }
    if (!this.#hearsQuorum()) {
      // Check-quorum [V6]: a leader cut off from the majority must stop answering as one.
      // mark: a leader that hears no majority steps down
      this.#lostQuorum = true;
      this.#becomeFollower(this.#term, null);
      return;
    }
    this.#tickTransfer();
    if (this.#heartbeatElapsed >= this.#config.heartbeatTicks) this.#broadcastHeartbeat();
  }

  #hearsQuorum(): boolean {
    let heard = 1;
    for (const progress of this.#progress.values()) {
      if (this.#hears(progress) && progress.recovery === 0) heard += 1;
    }
    return heard >= quorumSize(this.#config.members.length);
  }

  #hears(progress: Progress): boolean {
    return this.#nowTick - progress.lastHeardTick <= this.#config.electionTimeoutTicks;
  }

  #hearsLeader(): boolean {
    if (this.#role === 'leader') return true;
    return this.#leader !== null && this.#ticksSinceLeader < this.#config.electionTimeoutTicks;
  }

  #heardLeader(): void {
    this.#ticksSinceLeader = 0;
    this.#electionElapsed = 0;
    this.#lostQuorum = false;
  }

  #resetElectionTimer(): void {
    const { electionTimeoutTicks, random } = this.#config;
    const spread = Math.floor(random() * electionTimeoutTicks);
    assert(spread >= 0 && spread < electionTimeoutTicks);
    this.#electionElapsed = 0;
    this.#electionTimeout = electionTimeoutTicks + spread;
  }

  // --- elections ---------------------------------------------------------------------------------------------------

  #onPreVoteRequest(message: PreVoteRequest): void {
    const granted =
      message.term > this.#term &&
      !this.#hearsLeader() &&
      this.#log.isUpToDate(message.lastIndex, message.lastTerm);
    this.#messages.push(this.#preVoteResponse(message.from, granted ? message.term : this.#term, granted));
  }

  #onPreVoteResponse(message: PreVoteResponse): void {
    // A granted answer must be about the campaign that is running: the next term.
    if (this.#role !== 'preCandidate') return;
    if (message.granted && message.term !== this.#term + 1) return;
    this.#votes.set(message.from, message.granted);
    const result = voteResult(this.#config.members.length, this.#votes);
    if (result === 'won') this.#becomeCandidate(false);
    else if (result === 'lost') this.#becomeFollower(this.#term, null);
  }

  #onVoteRequest(message: VoteRequest): void {
    const free = this.#vote === message.from || (this.#vote === null && this.#leader === null);
    const granted = free && this.#log.isUpToDate(message.lastIndex, message.lastTerm);
    if (granted) {
      this.#vote = message.from;
      this.#electionElapsed = 0;
    }
    this.#messagesAfterSync.push(this.#voteResponse(message, granted)); // P11 [D1]
  }

  #onVoteResponse(message: VoteResponse): void {
    if (this.#role !== 'candidate') return;
    // Of a campaign of its former self in the same term: the voter may have forgotten it, too, and acknowledged entries since. What this log holds since
    // its recovery that campaign did not claim, so the ends differ [F6].
    if (message.lastIndex !== this.#log.lastIndex || message.lastTerm !== this.#log.lastTerm) return;
    this.#recordVote(message.from, message.granted);
  }

  #recordVote(from: MemberId, granted: boolean): void {
    assert.equal(this.#role, 'candidate');
    if (!this.#votes.has(from)) this.#votes.set(from, granted);
    const result = voteResult(this.#config.members.length, this.#votes);
    // Other members' votes may win the election before the own vote is on disk; leading must wait for it [D2].
    if (result === 'won' && this.#votes.has(this.self)) this.#becomeLeader();
    else if (result === 'lost') this.#becomeFollower(this.#term, null);
  }

  #preVoteResponse(to: MemberId, answerTerm: Term, granted: boolean): PreVoteResponse {
    return { type: 'preVoteResponse', from: this.self, to, term: answerTerm, granted };
  }
  #voteResponse({ from: to, lastIndex, lastTerm }: VoteRequest, granted: boolean): VoteResponse {
    return { type: 'voteResponse', from: this.self, to, term: this.#term, granted, lastIndex, lastTerm };
  }

  // --- following ---------------------------------------------------------------------------------------------------

  #followLeader(from: MemberId): void {
    assert.notEqual(this.#role, 'leader', `two leaders in term ${this.#term}: ${this.self} and ${from}`);
    if (this.#role !== 'follower' || this.#leader === null) this.#becomeFollower(this.#term, from);
    assert.equal(this.#leader, from, `two leaders in term ${this.#term}: ${this.#leader} and ${from}`);
    this.#heardLeader();
  }

  #onAppendRequest(message: AppendRequest): void {
    this.#followLeader(message.from);
    let { previousIndex, entries } = message;
    let previousTerm: Term | null = message.previousTerm;
    if (previousIndex < this.#log.committed) {
      // mark: an append begins below the commit index
      // Committed entries are equal everywhere: only what follows them can be news (a late duplicate, P7) [A3].
      entries = entries.filter((entry) => entry.index > this.#log.committed);
      previousIndex = this.#log.committed;
      previousTerm = this.#log.termAt(previousIndex);
    }
    if (this.#log.termAt(previousIndex) !== previousTerm) {
      // mark: an append does not fit and is refused
      this.#messagesAfterSync.push(this.#appendRefusal(message.from, previousIndex, message.previousTerm));
      return;
    }
    const cutFrom = this.#log.merge(entries);
    if (cutFrom !== null) this.#withdrawAcceptances(cutFrom);
    const matchIndex = logIndex(previousIndex + entries.length);
    // Only the prefix that this message proved equal may be committed by it (P8) [C3].
    this.#log.commitTo(logIndex(Math.min(message.commit, matchIndex)));
    this.#messagesAfterSync.push(this.#acceptance(message.from, matchIndex));
  }

  /**
   * Entries from `index` on are dropped, some of them perhaps before any write carried them (a burst of messages shares one): what waits to be sent
   * must not promise what no disk ever held (P11) [D1].
   */
  #withdrawAcceptances(index: number): void {
    this.#messagesAfterSync = this.#messagesAfterSync.filter(
      (message) => message.type !== 'appendResponse' || !message.accepted || message.matchIndex < index,
    );
  }

  #acceptance(to: MemberId, matchIndex: LogIndex): AppendResponse {
    return {
      type: 'appendResponse',
      from: this.self,
      to,
      term: this.#term,
      accepted: true,
      matchIndex,
      rejectedIndex: logIndex(0),
      hintIndex: logIndex(0),
      hintTerm: toTerm(0),
      recovery: this.#recovery,
    };
  }

  /** "Not from there": with the last index that may still be common, so that the leader need not go back one by one [A4]. */
  #appendRefusal(to: MemberId, rejectedIndex: LogIndex, previousTerm: Term = toTerm(0)): AppendResponse {
    const hintIndex = this.#log.lastIndexWithTermAtMost(rejectedIndex, previousTerm);
    return {
      type: 'appendResponse',
      from: this.self,
      to,
      term: this.#term,
      accepted: false,
      matchIndex: logIndex(0),
      rejectedIndex,
      hintIndex,
      hintTerm: this.#log.termAt(hintIndex) ?? toTerm(0),
      recovery: this.#recovery,
    };
  }

  /** The entries that this member needs next are gone at the leader [S4]. */
  #onSnapshotOffer(message: SnapshotOffer): void {
    this.#followLeader(message.from);
    const point: SnapshotPoint = { index: message.snapshotIndex, term: message.snapshotTerm };
    if (point.index <= this.#log.committed) {
      // mark: an offered snapshot is not needed
      // Committed entries are equal everywhere, so this is true of the leader's log; and it lets the leader go on with appends (P9).
      this.#messagesAfterSync.push(this.#acceptance(message.from, this.#log.committed));
      return;
    }
    if (point.term > this.#term) return; // no leader has entries of a later term than its own
    if (this.#snapshotOffered !== null && this.#snapshotOffered.point.index > point.index) return; // out of order
    this.#snapshotOffered = { from: message.from, point };
  }

  /**
   * Not before the term is on disk in which it was offered: a snapshot that outlives that term commits this member to what an older leader does not
   * know of [S10].
   */
  #offerToFetch(): SnapshotOffered | null {
    return this.#durableTerm === this.#term ? this.#snapshotOffered : null;
  }

  #onHeartbeatRequest(message: HeartbeatRequest): void {
    this.#followLeader(message.from);
    // A leader that does not know of the recovery speaks of what this member's former self held [F5].
    if (this.#recovery === 0 || message.recovery === this.#recovery) this.#log.commitTo(message.commit);
    this.#recoverBy(message);
    const answer: HeartbeatResponse = {
      type: 'heartbeatResponse',
      from: this.self,
      to: message.from,
      term: this.#term,
      readRound: message.readRound,
      recovery: this.#durableRecovery,
    };
    this.#pushPromisingTerm(answer);
  }

  /**
   * F4: it holds an entry that was appended after its recovery was heard of, and that was committed without it. Whoever commits or wins
   * from here on knows of nothing less; so what it forgot (votes for who cannot win any more, acknowledgements of what this log holds) is made good.
   */
  #recoverBy(message: HeartbeatRequest): void {
    if (this.#recovery === 0 || message.recovery !== this.#recovery) return;
    // By the leader's word, not by the own commit index: that may come from a later term, with a snapshot, and this term not be on disk any more.
    if (message.recoveryIndex === 0 || message.commit < message.recoveryIndex) return;
    // mark: a member that lost its log takes part again
    this.#recovery = 0;
  }

  /** It promises nothing but "I am in your term": it waits for the disk only when that is not yet durable. */
  #pushPromisingTerm(message: Message): void {
    if (this.#durableTerm === this.#term) this.#messages.push(message);
    else this.#messagesAfterSync.push(message);
  }

  #readRequestIsDue(): boolean {
    return (
      this.#leader !== null &&
      this.#followerReads.isDue(this.#nowTick, PATIENCE_HEARTBEATS * this.#config.heartbeatTicks)
    );
  }

  /** One request for all reads that wait; again, under a new number, when no answer came [R7] [R9]. */
  #sendReadRequest(): void {
    if (this.#leader === null || !this.#readRequestIsDue()) return;
    const readId = this.#followerReads.send(this.#nowTick, this.#config.random);
    this.#pushPromisingTerm({
      type: 'readIndexRequest',
      from: this.self,
      to: this.#leader,
      term: this.#term,
      readId,
    });
  }

  #onReadIndexResponse(message: ReadIndexResponse): void {
    if (this.#role !== 'follower' || this.#leader !== message.from) return;
    for (const read of this.#followerReads.answered(message.readId, message.index))
      this.#readsConfirmed.push(read);
  }

  /** T4: the leader says that this log is complete, so nobody need be asked whether a campaign makes sense. */
  #onTimeoutNow(message: TimeoutNow): void {
    if (this.#role !== 'follower' || this.#leader !== message.from || this.#storageStalled) return;
    // mark: a member campaigns because its leader asked it to
    this.#leaveLeader();
    this.#becomeCandidate(true);
  }

  // --- leading -----------------------------------------------------------------------------------------------------

  #appendOwn(kind: LogEntry['kind'], payload: Uint8Array): LogIndex {
    assert.equal(this.#role, 'leader');
    const entry: LogEntry = { index: logIndex(this.#log.lastIndex + 1), term: this.#term, kind, payload };
    this.#log.append(entry);
    this.#uncommittedBytes += entryBytes(entry);
    return entry.index;
  }

  #hasAppendsToSend(): boolean {
    for (const progress of this.#progress.values()) if (this.#wantsAppend(progress)) return true;
    return false;
  }

  #wantsAppend(progress: Progress): boolean {
    if (progress.state !== 'replicate') return !progress.probeSent;
    if (progress.windowIsFull(this.#config.inflightMessagesMax, this.#config.inflightBytesMax)) return false;
    return progress.nextIndex <= this.#log.lastIndex || progress.sentCommit < this.#log.committed;
  }

  /** W4: the leader's own disk write and these messages run in parallel (thesis 10.2.1). */
  #sendAppends(to: MemberId): void {
    const progress = this.#progress.get(to);
    assert(progress !== undefined);
    while (this.#wantsAppend(progress)) {
      if (progress.nextIndex < this.#log.firstIndex) {
        this.#offerSnapshot(to, progress);
        return;
      }
      const entries = this.#log.slice(progress.nextIndex, this.#config.appendBytesMax);
      this.#pushAppend(to, progress, entries);
      if (progress.state === 'probe') {
        progress.probeSent = true;
        progress.lastProgressTick = this.#nowTick;
        return;
      }
      const last = entries.at(-1);
      if (last === undefined) return;
      progress.sent(
        last.index,
        entries.reduce((sum, entry) => sum + entryBytes(entry), 0),
        this.#nowTick,
      );
    }
  }

  /** S4: the entry before the next one is compacted away, so nothing could be appended behind it. */
  #offerSnapshot(to: MemberId, progress: Progress): void {
    const point = this.#log.snapshot;
    assert(point !== null && point.index >= this.#log.firstIndex - 1);
    assert.equal(this.#durableTerm, this.#term);
    // mark: a follower is offered a snapshot
    if (progress.state !== 'snapshot') progress.becomeSnapshot();
    progress.offered(point.index, this.#nowTick);
    this.#messages.push({
      type: 'snapshotOffer',
      from: this.self,
      to,
      term: this.#term,
      snapshotIndex: point.index,
      snapshotTerm: point.term,
    });
  }

  #pushAppend(to: MemberId, progress: Progress, entries: readonly LogEntry[]): void {
    assert.equal(this.#durableTerm, this.#term);
    const previousIndex = logIndex(progress.nextIndex - 1);
    const previousTerm = this.#log.termAt(previousIndex);
    assert(previousTerm !== null);
    progress.sentCommit = this.#log.committed;
    this.#messages.push({
      type: 'appendRequest',
      from: this.self,
      to,
      term: this.#term,
      previousIndex,
      previousTerm,
      entries,
      commit: this.#log.committed,
    });
  }

  #onAppendResponse(message: AppendResponse): void {
    const progress = this.#progress.get(message.from);
    if (this.#role !== 'leader' || progress === undefined) return;
    this.#hearRecovery(progress, message);
    if (message.accepted) {
      assert(message.matchIndex <= this.#log.lastIndex, 'a follower acknowledged what was never sent');
      progress.acknowledged(message.matchIndex, this.#nowTick, this.#log.firstIndex);
      if (message.recovery === 0 && message.matchIndex > progress.countedIndex) {
        progress.countedIndex = message.matchIndex;
        this.#advanceCommit();
      }
      return;
    }
    if (progress.state === 'snapshot') return; // nothing that could be refused was sent since
    // A late refusal: of something acknowledged since, or not of the probe that is out [A5].
    if (message.rejectedIndex <= progress.matchIndex) {
      // mark: a refusal comes after the acknowledgement of the same entries
      return;
    }
    if (progress.state === 'probe' && message.rejectedIndex !== progress.nextIndex - 1) {
      // mark: a refusal is not of the probe that is out
      return;
    }
    const common = this.#log.lastIndexWithTermAtMost(
      Math.min(message.hintIndex, message.rejectedIndex - 1),
      message.hintTerm,
    );
    progress.becomeProbe(common + 1);
  }

  /**
   * Not 0: the follower has forgotten what it promised. It is replicated to, and nothing that it says counts. An entry appended from here on
   * is committed by a majority without it, and that is what it waits for [F3]. Late messages from before may turn this forth and back: each turn
   * costs an entry, and an answer about another recovery than its own is ignored by the follower.
   */
  #hearRecovery(progress: Progress, { recovery }: AppendResponse | HeartbeatResponse): void {
    progress.lastHeardTick = this.#nowTick;
    if (progress.recovery === recovery) return;
    progress.recovery = recovery;
    if (recovery === 0) {
      // What it holds was acknowledged while that did not count: it is asked again, else nobody might speak of it any more.
      progress.becomeProbe(progress.matchIndex + 1);
      return;
    }
    // mark: a leader hears of a member that lost its log
    // What its former self held, and what was sent to that one, says nothing of this one [F3].
    progress.startAnew(this.#log.lastIndex + 1);
    progress.recoveryIndex = this.#appendOwn('noop', new Uint8Array(0));
  }

  #advanceCommit(): void {
    assert.equal(this.#role, 'leader');
    const indexes = [this.#log.durableIndex]; // its own disk counts like any other member's (P12)
    for (const progress of this.#progress.values()) indexes.push(progress.countedIndex);
    const index = quorumIndex(indexes);
    // Only an entry of the own term is committed by counting; older ones follow with it (P6, figure 8) [C1].
    if (index <= this.#log.committed || this.#log.termAt(index) !== this.#term) return;
    this.#uncommittedBytes -= this.#log.bytesIn(this.#log.committed, index);
    assert(this.#uncommittedBytes >= 0);
    this.#log.commitTo(index);
  }

  // --- heartbeats and reads ----------------------------------------------------------------------------------------

  #broadcastHeartbeat(): void {
    this.#heartbeatElapsed = 0;
    for (const to of this.#peers) {
      const progress = this.#progress.get(to);
      assert(progress !== undefined);
      this.#messages.push({
        type: 'heartbeatRequest',
        from: this.self,
        to,
        term: this.#term,
        commit: logIndex(Math.min(this.#log.committed, progress.matchIndex)), // P8
        leaderCommit: this.committedInOwnTerm ? this.#log.committed : logIndex(0),
        readRound: this.#reads.number,
        recovery: progress.recovery,
        recoveryIndex: progress.recoveryIndex,
      });
    }
  }

  #onHeartbeatResponse(message: HeartbeatResponse): void {
    const progress = this.#progress.get(message.from);
    if (this.#role !== 'leader' || progress === undefined) return;
    this.#hearRecovery(progress, message);
    if (message.recovery === 0) {
      const othersNeeded = quorumSize(this.#config.members.length) - 1;
      for (const read of this.#reads.acknowledge(message.from, message.readRound, othersNeeded))
        this.#confirmRead(read);
    }
    const isPatient =
      this.#nowTick - progress.lastProgressTick < PATIENCE_HEARTBEATS * this.#config.heartbeatTicks;
    if (progress.state !== 'replicate') {
      // The probe (or offer) or its answer may have been lost; or the follower's disk is slow, and then asking again helps nobody.
      if (!isPatient) {
        // mark: a probe is sent again
        progress.probeSent = false;
      }
    } else if (!isPatient && progress.nextIndex < this.#log.firstIndex) {
      // What was sent is compacted away meanwhile, and its window is full: nothing would ever be sent again.
      this.#offerSnapshot(message.from, progress);
    } else if (!isPatient && progress.matchIndex < progress.nextIndex - 1) {
      // Messages or answers may be lost, or the follower's disk is slow: an empty append at the end of what was sent
      // finds out without sending anything twice [A6].
      // mark: what was sent and not acknowledged is asked after
      progress.lastProgressTick = this.#nowTick;
      this.#pushAppend(message.from, progress, []);
    }
  }

  #startReadRound(): void {
    if (!this.#reads.canStart || !this.committedInOwnTerm) return; // P2: the commit index may lag before that [R2]
    this.#reads.start(this.#log.committed);
    for (const read of this.#reads.confirmIf(quorumSize(this.#config.members.length) - 1)) {
      this.#confirmRead(read);
    }
    if (this.#peers.length > 0) this.#broadcastHeartbeat();
  }

  /** A read of this member, or a follower's request for one. */
  #confirmRead({ id, from, index }: RoundRead): void {
    if (from === null) {
      this.#readsConfirmed.push({ id, index });
      return;
    }
    this.#messages.push({
      type: 'readIndexResponse',
      from: this.self,
      to: from,
      term: this.#term,
      readId: id,
      index,
    });
  }

  /** R8: it joins the next round, so that the round begins after this arrived. */
  #onReadIndexRequest(message: ReadIndexRequest): void {
    const progress = this.#progress.get(message.from);
    if (this.#role !== 'leader' || progress === undefined) return;
    progress.lastHeardTick = this.#nowTick;
    this.#reads.addRemote(message.from, message.readId);
  }

  // --- handing the leadership over -----------------------------------------------------------------------------------

  /** Whether a follower takes part, is heard, and lacks nothing but entries that the log holds [T5]. */
  #couldLeadSoon(member: MemberId): boolean {
    const progress = this.#progress.get(member);
    assert(progress !== undefined);
    return this.#hears(progress) && progress.recovery === 0 && progress.state !== 'snapshot';
  }

  /** P29: it ends by itself. A target that cannot be brought up to date soon is not waited for. */
  #tickTransfer(): void {
    if (this.#transfer === null) return;
    const isOver = this.#nowTick - this.#transfer.startedTick >= this.#config.electionTimeoutTicks;
    if (isOver || !this.#couldLeadSoon(this.#transfer.to)) {
      // mark: a leadership transfer is given up
      this.#transfer = null;
      return;
    }
    // The message may be lost, or the campaign: the target is told again.
    if (this.#heartbeatElapsed >= this.#config.heartbeatTicks) this.#transfer.told = false;
  }

  #canTellTransferTarget(): boolean {
    const { to, told } = this.#transfer ?? {};
    // Only who holds everything can win [T2].
    return told === false && to !== undefined && this.matchIndexOf(to) === this.#log.lastIndex;
  }

  #tellTransferTarget(): void {
    if (this.#transfer === null || !this.#canTellTransferTarget()) return;
    this.#transfer.told = true;
    this.#messages.push({ type: 'timeoutNow', from: this.self, to: this.#transfer.to, term: this.#term });
  }

  // --- durable state -----------------------------------------------------------------------------------------------

  #hardStateMoved(): boolean {
    const handed = this.#handedHardState;
    return this.#term !== handed.term || this.#vote !== handed.vote || this.#recovery !== handed.recovery;
  }

  /** The commit index that may be stored: never beyond what is surely stored with it. */
  #durableCommit(): LogIndex {
    return logIndex(Math.min(this.#log.committed, this.#log.durableIndex));
  }

  #assertInvariants(): void {
    this.#log.assertInvariants();
    assert(this.#term >= this.#log.lastTerm);
    assert(this.#durableTerm <= this.#term);
    assert((this.#role === 'leader') === (this.#leader === this.self));
    if (this.#role === 'leader') assert(this.#vote === this.self);
    assert(this.#recovery === 0 || this.#recovery === this.#durableRecovery);
    assert(this.#durableRecovery === 0 || this.#role === 'follower');
    assert(this.#recovery === 0 || this.#vote === null);
  }
}

/** Is the entry at `point` in the restored log, or its base? */
function containsPoint({ base, entries }: RaftRestored, point: SnapshotPoint): boolean {
  const here = point.index === base.index ? base.term : entries[point.index - base.index - 1]?.term;
  return here === point.term;
}

/** Which of two lists of equal length is above in the first place where they differ. */
function isAbove(one: readonly number[], other: readonly number[]): boolean {
  const at = one.findIndex((value, place) => value !== other[place]);
  return at >= 0 && (one[at] ?? 0) > (other[at] ?? 0);
}

/** Asks for a vote, for an opinion on one, or for a campaign. */
function isElectoral(message: CoreMessage): boolean {
  return message.type === 'preVoteRequest' || message.type === 'voteRequest' || message.type === 'timeoutNow';
}

function isCarried(message: Message): message is CarriedMessage {
  switch (message.type) {
    case 'snapshotChunkRequest':
    case 'snapshotChunk':
    case 'stateHashReport':
      return true;
    default:
      return false;
  }
}
