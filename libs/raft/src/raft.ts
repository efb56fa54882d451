import assert from 'node:assert/strict';
import { RaftLog, entryBytes } from './log.js';
import { Progress } from './progress.js';
import { quorumIndex, quorumSize, voteResult } from './quorum.js';
import { ReadRounds } from './read-rounds.js';
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
  type Ready,
  type Role,
  type Term,
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
  readonly entries: readonly LogEntry[];
}

/** What this member holds in memory for others, for metrics and for checkers: each is bounded by `RaftConfig`. */
export interface RaftLoad {
  /** Appended by this leader and not committed: at most `uncommittedBytesMax` and one entry. */
  readonly uncommittedBytes: number;
  /** At most `readsWaitingMax`. */
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
  | { readonly type: 'overloaded' };

/** A write handed to storage and not yet known to be durable. */
interface PendingWrite {
  readonly number: number;
  readonly firstIndex: number | null;
  readonly hardState: HardState | null;
}

/**
 * Raft as a state machine without I/O, time or randomness of its own: messages, ticks and proposals in, `Ready` out.
 * The same inputs give the same outputs. See SPEC.md for the rules (V: votes, A: append, C: commit, R: reads, D: durability).
 *
 * Source: D. Ongaro, "Consensus: Bridging Theory and Practice" (2014): chapter 3 (core), 6.4 (ReadIndex), 9.6 (pre-vote),
 * 10.2.1 (the leader writes to its disk in parallel).
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
  #uncommittedBytes = 0;

  #messages: Message[] = [];
  #messagesAfterSync: Message[] = [];
  #readsConfirmed: ConfirmedRead[] = [];
  #readsRejected: number[] = [];
  #readyNumber = 0;
  #pending: PendingWrite[] = [];
  #handedHardState: HardState;
  #durableTerm: Term;
  #durableVote: MemberId | null;

  constructor(config: RaftConfig, restored: RaftRestored) {
    assert(config.members.includes(config.self), 'a member must be in its own member list');
    assert.equal(new Set(config.members).size, config.members.length);
    assert(config.electionTimeoutTicks > config.heartbeatTicks && config.heartbeatTicks >= 1);
    this.#config = { ...RAFT_LIMITS, ...config };
    this.self = config.self;
    this.#peers = config.members.filter((member) => member !== config.self);
    this.#log = new RaftLog(restored.entries, restored.hardState.commit);
    this.#term = restored.hardState.term;
    this.#vote = restored.hardState.vote;
    assert(this.#term >= this.#log.lastTerm, 'the log is ahead of the stored term');
    this.#handedHardState = restored.hardState;
    this.#durableTerm = this.#term;
    this.#durableVote = this.#vote;
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
  /** The term of the log's entry at `index`, 0 before the log, null behind it: for checkers and status. */
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
      readsWaiting: this.#reads.waiting,
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
    if (this.#peers.length === 0) {
      this.#becomeCandidate();
      return;
    }
    this.#role = 'preCandidate';
    this.#leader = null;
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
    this.#leader = null;
    return true;
  }

  /** Handles one message. A message that is not for this member, or from a stranger, is ignored. */
  step(message: Message): void {
    if (message.to !== this.self || !this.#peers.includes(message.from)) return;
    if (this.#stepTerm(message)) this.#stepCurrentTerm(message);
    this.#assertInvariants();
  }

  /** Appends a command to the log, if this member leads. */
  propose(payload: Uint8Array): ProposeResult {
    if (this.#role !== 'leader') return { type: 'notLeader' };
    if (this.#uncommittedBytes >= this.#config.uncommittedBytesMax) return { type: 'overloaded' };
    const index = this.#appendOwn('command', payload);
    return { type: 'proposed', index, term: this.#term };
  }

  /**
   * Asks for a linearizable read [R1]. The answer comes as a confirmed (or rejected) read with this id in a Ready.
   * When this member does not lead, or too many reads wait, nothing else happens.
   */
  readIndex(id: number): 'waiting' | 'notLeader' | 'overloaded' {
    if (this.#role !== 'leader') return 'notLeader';
    if (this.#reads.waiting >= this.#config.readsWaitingMax) return 'overloaded';
    this.#reads.add(id);
    return 'waiting';
  }

  hasReady(): boolean {
    return (
      this.#messages.length > 0 ||
      this.#messagesAfterSync.length > 0 ||
      this.#log.hasUnpersisted ||
      this.#log.hasCommittedToApply ||
      this.#readsConfirmed.length > 0 ||
      this.#readsRejected.length > 0 ||
      this.#hardStateMoved() ||
      (this.#role === 'leader' &&
        ((this.#reads.canStart && this.committedInOwnTerm) || this.#hasAppendsToSend()))
    );
  }

  /** Takes what has to be done now (see `Ready` for the driver's duties), or null. */
  ready(): Ready | null {
    if (!this.hasReady()) return null;
    if (this.#role === 'leader') {
      this.#startReadRound();
      for (const peer of this.#peers) this.#sendAppends(peer);
    }
    const entries = this.#log.takeUnpersisted();
    const termOrVoteMoved = this.#hardStateMoved();
    const hardState: HardState | null =
      termOrVoteMoved || (entries.length > 0 && this.#durableCommit() > this.#handedHardState.commit)
        ? { term: this.#term, vote: this.#vote, commit: this.#durableCommit() }
        : null;
    if (hardState !== null) this.#handedHardState = hardState;
    this.#readyNumber += 1;
    // What asks nothing of storage is not waited for: a member whose disk hangs goes on answering heartbeats for ever.
    if (entries.length > 0 || hardState !== null)
      this.#pending.push({ number: this.#readyNumber, firstIndex: entries[0]?.index ?? null, hardState });
    const ready: Ready = {
      number: this.#readyNumber,
      hardState,
      entries,
      mustSync: entries.length > 0 || termOrVoteMoved,
      messages: this.#messages,
      messagesAfterSync: this.#messagesAfterSync,
      committed: this.#log.takeCommitted(this.#config.applyBytesMax),
      readsConfirmed: this.#readsConfirmed,
      readsRejected: this.#readsRejected,
    };
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
      readyNumber: this.#readyNumber,
      pending: [...this.#pending],
      handedHardState: this.#handedHardState,
      durableTerm: this.#durableTerm,
      durableVote: this.#durableVote,
    };
  }

  // --- terms -------------------------------------------------------------------------------------------------------

  /** Compares the message's term with ours. Returns whether the message is to be handled further. */
  #stepTerm(message: Message): boolean {
    if (message.term > this.#term) return this.#stepHigherTerm(message);
    if (message.term < this.#term) {
      this.#answerLowerTerm(message);
      return false;
    }
    return true;
  }

  #stepHigherTerm(message: Message): boolean {
    switch (message.type) {
      case 'preVoteRequest':
        return true; // a question about a term, not a claim of one
      case 'preVoteResponse':
        if (message.granted) return true; // it carries the term that was asked about
        this.#becomeFollower(message.term, null);
        return false;
      case 'voteRequest':
        // A member that still hears its leader ignores campaigns: a rejoining or removed member must not
        // depose a healthy leader (P4) [V4]. The term stays, too.
        if (this.#hearsLeader()) {
          // mark: a campaign with a higher term is ignored because the leader is heard
          return false;
        }
        this.#becomeFollower(message.term, null);
        return true;
      case 'appendRequest':
      case 'heartbeatRequest':
        this.#becomeFollower(message.term, message.from);
        return true;
      case 'voteResponse':
      case 'appendResponse':
      case 'heartbeatResponse':
        this.#becomeFollower(message.term, null);
        return false;
    }
  }

  /**
   * P5: with pre-vote and check-quorum a member that got stuck with a higher term would never be heard again if stale leaders and
   * pre-candidates were simply ignored. They are answered with the higher term [V5].
   */
  #answerLowerTerm(message: Message): void {
    switch (message.type) {
      case 'appendRequest':
      case 'heartbeatRequest':
        // mark: a leader of an older term is told the newer one
        this.#messagesAfterSync.push(this.#appendRefusal(message.from, logIndex(0)));
        return;
      case 'preVoteRequest':
        this.#messagesAfterSync.push(this.#preVoteResponse(message.from, this.#term, false));
        return;
      case 'voteRequest':
        this.#messagesAfterSync.push(this.#voteResponse(message.from, false));
        return;
      default:
        return; // late answers to an earlier self
    }
  }

  #stepCurrentTerm(message: Message): void {
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
    this.#role = 'follower';
    this.#leader = leader;
    if (leader !== null) this.#heardLeader();
    this.#resetElectionTimer();
  }

  /** Everything that only a leader may promise ends here (P3). */
  #leaveLeadership(): void {
    for (const id of this.#reads.rejectAll()) this.#readsRejected.push(id);
    this.#progress = new Map();
    this.#uncommittedBytes = 0;
    this.#ticksSinceLeader = 0;
  }

  #becomeCandidate(): void {
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
    this.#uncommittedBytes = 0;
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
    if (this.#heartbeatElapsed >= this.#config.heartbeatTicks) this.#broadcastHeartbeat();
  }

  #hearsQuorum(): boolean {
    let heard = 1;
    for (const progress of this.#progress.values()) {
      if (this.#nowTick - progress.lastHeardTick <= this.#config.electionTimeoutTicks) heard += 1;
    }
    return heard >= quorumSize(this.#config.members.length);
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
    if (result === 'won') this.#becomeCandidate();
    else if (result === 'lost') this.#becomeFollower(this.#term, null);
  }

  #onVoteRequest(message: VoteRequest): void {
    const free = this.#vote === message.from || (this.#vote === null && this.#leader === null);
    const granted = free && this.#log.isUpToDate(message.lastIndex, message.lastTerm);
    if (granted) {
      this.#vote = message.from;
      this.#electionElapsed = 0;
    }
    this.#messagesAfterSync.push(this.#voteResponse(message.from, granted)); // P11 [D1]
  }

  #onVoteResponse(message: VoteResponse): void {
    if (this.#role !== 'candidate') return;
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
  #voteResponse(to: MemberId, granted: boolean): VoteResponse {
    return { type: 'voteResponse', from: this.self, to, term: this.#term, granted };
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
    this.#log.merge(entries);
    const matchIndex = logIndex(previousIndex + entries.length);
    // Only the prefix that this message proved equal may be committed by it (P8) [C3].
    this.#log.commitTo(logIndex(Math.min(message.commit, matchIndex)));
    this.#messagesAfterSync.push({
      type: 'appendResponse',
      from: this.self,
      to: message.from,
      term: this.#term,
      accepted: true,
      matchIndex,
      rejectedIndex: logIndex(0),
      hintIndex: logIndex(0),
      hintTerm: toTerm(0),
    });
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
    };
  }

  #onHeartbeatRequest(message: HeartbeatRequest): void {
    this.#followLeader(message.from);
    this.#log.commitTo(message.commit);
    const answer: HeartbeatResponse = {
      type: 'heartbeatResponse',
      from: this.self,
      to: message.from,
      term: this.#term,
      readRound: message.readRound,
    };
    // It promises nothing but "I am in your term": it waits for the disk only when that is not yet durable.
    if (this.#durableTerm === this.#term) this.#messages.push(answer);
    else this.#messagesAfterSync.push(answer);
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
    if (progress.state === 'probe') return !progress.probeSent;
    if (progress.windowIsFull(this.#config.inflightMessagesMax, this.#config.inflightBytesMax)) return false;
    return progress.nextIndex <= this.#log.lastIndex || progress.sentCommit < this.#log.committed;
  }

  /** W4: the leader's own disk write and these messages run in parallel (thesis 10.2.1). */
  #sendAppends(to: MemberId): void {
    const progress = this.#progress.get(to);
    assert(progress !== undefined);
    while (this.#wantsAppend(progress)) {
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
    progress.lastHeardTick = this.#nowTick;
    if (message.accepted) {
      assert(message.matchIndex <= this.#log.lastIndex, 'a follower acknowledged what was never sent');
      if (progress.acknowledged(message.matchIndex, this.#nowTick)) this.#advanceCommit();
      return;
    }
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

  #advanceCommit(): void {
    assert.equal(this.#role, 'leader');
    const indexes = [this.#log.durableIndex]; // its own disk counts like any other member's (P12)
    for (const progress of this.#progress.values()) indexes.push(progress.matchIndex);
    const index = quorumIndex(indexes);
    // Only an entry of the own term is committed by counting; older ones follow with it (P6, figure 8) [C1].
    if (index <= this.#log.committed || this.#log.termAt(index) !== this.#term) return;
    this.#uncommittedBytes = Math.max(
      0,
      this.#uncommittedBytes - this.#log.bytesOfTerm(this.#log.committed, index, this.#term),
    );
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
      });
    }
  }

  #onHeartbeatResponse(message: HeartbeatResponse): void {
    const progress = this.#progress.get(message.from);
    if (this.#role !== 'leader' || progress === undefined) return;
    progress.lastHeardTick = this.#nowTick;
    const othersNeeded = quorumSize(this.#config.members.length) - 1;
    for (const read of this.#reads.acknowledge(message.from, message.readRound, othersNeeded))
      this.#readsConfirmed.push(read);
    if (progress.state === 'probe') {
      // The probe or its answer may have been lost; or the follower's disk is slow, and then asking again helps nobody.
      if (this.#nowTick - progress.lastProgressTick >= 3 * this.#config.heartbeatTicks) {
        // mark: a probe is sent again
        progress.probeSent = false;
      }
    } else if (
      progress.matchIndex < progress.nextIndex - 1 &&
      this.#nowTick - progress.lastProgressTick >= 3 * this.#config.heartbeatTicks
    ) {
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
      this.#readsConfirmed.push(read);
    }
    if (this.#peers.length > 0) this.#broadcastHeartbeat();
  }

  // --- durable state -----------------------------------------------------------------------------------------------

  #hardStateMoved(): boolean {
    return this.#term !== this.#handedHardState.term || this.#vote !== this.#handedHardState.vote;
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
  }
}
