import assert from 'node:assert/strict';

declare const termBrand: unique symbol;
declare const logIndexBrand: unique symbol;
declare const memberIdBrand: unique symbol;

/** A Raft term (election period). Starts at 0: no election yet. */
export type Term = number & { readonly [termBrand]: true };
/** Position of an entry in the replicated log. The first entry has index 1; 0 is "before the log". */
export type LogIndex = number & { readonly [logIndexBrand]: true };
/** A member's number, from 1. It is never reused for another machine within one cluster. */
export type MemberId = number & { readonly [memberIdBrand]: true };

// These are called for every message and entry: the text of a failure is made only when there is one.
function assertTerm(value: number): asserts value is Term {
  if (!(Number.isSafeInteger(value) && value >= 0)) assert.fail(`not a term: ${value}`);
}
function assertLogIndex(value: number): asserts value is LogIndex {
  if (!(Number.isSafeInteger(value) && value >= 0)) assert.fail(`not a log index: ${value}`);
}
function assertMemberId(value: number): asserts value is MemberId {
  if (!(Number.isSafeInteger(value) && value >= 1 && value <= 0xffff))
    assert.fail(`not a member id: ${value}`);
}

/** Brands a number as a term; anything but a safe integer >= 0 is a programmer error. */
export function term(value: number): Term {
  assertTerm(value);
  return value;
}
/** Brands a number as a log index; anything but a safe integer >= 0 is a programmer error. */
export function logIndex(value: number): LogIndex {
  assertLogIndex(value);
  return value;
}
/** Brands a number as a member id (1 to 65,535). */
export function memberId(value: number): MemberId {
  assertMemberId(value);
  return value;
}

/** `noop` is what a new leader writes to commit its predecessors' entries; it changes no state. */
export type LogEntryKind = 'noop' | 'command';

export interface LogEntry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: LogEntryKind;
  /** Opaque to Raft. Empty for a noop. */
  readonly payload: Uint8Array;
}

/** What must survive a crash besides the log. `commit` is a hint: it may lag, never lead. */
export interface HardState {
  readonly term: Term;
  readonly vote: MemberId | null;
  readonly commit: LogIndex;
  /**
   * 0, or a number drawn when the folder was formatted for a member that lost what it had: it has forgotten votes and acknowledgements, so it
   * neither votes nor acknowledges until its log holds what was committed without it since (SPEC.md, rules F). A safe integer.
   */
  readonly recovery: number;
}

/** A snapshot stands for all entries up to and including this one. `{ 0, 0 }`: before the log. */
export interface SnapshotPoint {
  readonly index: LogIndex;
  readonly term: Term;
}

interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  /** The sender's term; for a pre-vote request, the term it would campaign in. */
  readonly term: Term;
}

export interface PreVoteRequest extends Envelope {
  readonly type: 'preVoteRequest';
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
}
export interface PreVoteResponse extends Envelope {
  readonly type: 'preVoteResponse';
  readonly granted: boolean;
}
export interface VoteRequest extends Envelope {
  readonly type: 'voteRequest';
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** The leader itself asked for this campaign: who hears that leader need not refuse (P4), all else holds. */
  readonly transfer: boolean;
}
export interface VoteResponse extends Envelope {
  readonly type: 'voteResponse';
  readonly granted: boolean;
  /** The end of the log that the vote was asked for with: a candidate that has forgotten its campaign may begin another one in the same term [F6]. */
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
}
export interface AppendRequest extends Envelope {
  readonly type: 'appendRequest';
  readonly previousIndex: LogIndex;
  readonly previousTerm: Term;
  readonly entries: readonly LogEntry[];
  readonly commit: LogIndex;
}
export interface AppendResponse extends Envelope {
  readonly type: 'appendResponse';
  /** True: the follower holds, durably, the leader's log up to `matchIndex`. */
  readonly accepted: boolean;
  readonly matchIndex: LogIndex;
  /** When not accepted: the refused previousIndex, and where the leader may try next. */
  readonly rejectedIndex: LogIndex;
  readonly hintIndex: LogIndex;
  readonly hintTerm: Term;
  /** The sender's `HardState.recovery`: what a member says that has forgotten its promises counts for replication only [F2]. */
  readonly recovery: number;
}
export interface HeartbeatRequest extends Envelope {
  readonly type: 'heartbeatRequest';
  /** min(leader's commit, what this follower is known to match): P8. */
  readonly commit: LogIndex;
  /** The leader's own commit index, uncapped: for knowing how far behind one is, never for committing. 0 while it may lag (P2). */
  readonly leaderCommit: LogIndex;
  /** The newest read round: an answer confirms all rounds up to it. */
  readonly readRound: number;
  /** The recovery that the receiver last spoke of to this leader, 0 for none; it is over when the receiver has committed `recoveryIndex` [F4]. */
  readonly recovery: number;
  readonly recoveryIndex: LogIndex;
}
export interface HeartbeatResponse extends Envelope {
  readonly type: 'heartbeatResponse';
  readonly readRound: number;
  /** As in an appendResponse. */
  readonly recovery: number;
}

/** "Your next entry is compacted away here: there is a snapshot." The follower's driver fetches it in chunks. */
export interface SnapshotOffer extends Envelope {
  readonly type: 'snapshotOffer';
  readonly snapshotIndex: LogIndex;
  readonly snapshotTerm: Term;
}
/** From driver to driver: the core only carries it. One is outstanding at a time, so heartbeats never wait (P24). */
export interface SnapshotChunkRequest extends Envelope {
  readonly type: 'snapshotChunkRequest';
  readonly snapshotIndex: LogIndex;
  readonly snapshotTerm: Term;
  /** Counts from 0. */
  readonly chunk: number;
}
/** From driver to driver: the core only carries it. */
export interface SnapshotChunk extends Envelope {
  readonly type: 'snapshotChunk';
  readonly snapshotIndex: LogIndex;
  readonly snapshotTerm: Term;
  /** Counts from 0, below `chunkCount`. */
  readonly chunk: number;
  readonly chunkCount: number;
  /** crc32 of the whole payload, unsigned. */
  readonly digest: number;
  readonly data: Uint8Array;
}
/** "Campaign at once": from a leader that hands its leadership over. */
export interface TimeoutNow extends Envelope {
  readonly type: 'timeoutNow';
}
/** A follower asks for a commit index that a quorum round confirms, begun after this arrived. */
export interface ReadIndexRequest extends Envelope {
  readonly type: 'readIndexRequest';
  /** The follower's own counter: an answer speaks only of the reads that waited when this number was sent. */
  readonly readId: number;
}
export interface ReadIndexResponse extends Envelope {
  readonly type: 'readIndexResponse';
  readonly readId: number;
  readonly index: LogIndex;
}
/** From driver to driver, to find members whose states differ: the core only carries it. */
export interface StateHashReport extends Envelope {
  readonly type: 'stateHashReport';
  readonly index: LogIndex;
  readonly revision: number;
  /** 32 hexadecimal digits, lower case. */
  readonly stateHash: string;
}

export type Message =
  | PreVoteRequest
  | PreVoteResponse
  | VoteRequest
  | VoteResponse
  | AppendRequest
  | AppendResponse
  | HeartbeatRequest
  | HeartbeatResponse
  | SnapshotOffer
  | SnapshotChunkRequest
  | SnapshotChunk
  | TimeoutNow
  | ReadIndexRequest
  | ReadIndexResponse
  | StateHashReport;

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

/** A read that may be answered once everything up to `index` has been applied. */
export interface ConfirmedRead {
  readonly id: number;
  readonly index: LogIndex;
}

/** A leader has a snapshot that this member needs, because the entries before it are gone there. */
export interface SnapshotOffered {
  readonly from: MemberId;
  readonly point: SnapshotPoint;
}

/**
 * What one turn of the state machine asks of its driver. The driver must
 * (1) hand `reset`, then `hardState` and `entries` to storage, in the order of the Readys;
 * (2) send `messages` whenever it likes;
 * (3) send `messagesAfterSync` only when (1) is durable, then call `persisted(number)`;
 * (4) apply `committed` in order. They are already durable here (P40).
 */
export interface Ready {
  /** Counts up from 1. */
  readonly number: number;
  readonly hardState: HardState | null;
  /**
   * Not null: the whole log is dropped and begins behind this point, before `entries` are appended. An installed snapshot (durable already)
   * stands for everything up to it.
   */
  readonly reset: SnapshotPoint | null;
  /** Entries to append. If `entries[0].index` is not after the end of the log, it and all after it are replaced. */
  readonly entries: readonly LogEntry[];
  /** True when the term, the vote, entries or the log's begin by `reset` changed: an fsync is owed before `persisted`. */
  readonly mustSync: boolean;
  readonly messages: readonly Message[];
  readonly messagesAfterSync: readonly Message[];
  readonly committed: readonly LogEntry[];
  readonly readsConfirmed: readonly ConfirmedRead[];
  /** Reads that lost their leader: surely not answered, may be tried elsewhere. */
  readonly readsRejected: readonly number[];
  /** A snapshot to fetch. Offers are repeated: the driver knows whether it is fetching already. */
  readonly snapshotOffered: SnapshotOffered | null;
}
