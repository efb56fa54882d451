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

function assertTerm(value: number): asserts value is Term {
  assert(Number.isSafeInteger(value) && value >= 0, `not a term: ${value}`);
}
function assertLogIndex(value: number): asserts value is LogIndex {
  assert(Number.isSafeInteger(value) && value >= 0, `not a log index: ${value}`);
}
function assertMemberId(value: number): asserts value is MemberId {
  assert(Number.isSafeInteger(value) && value >= 1 && value <= 0xffff, `not a member id: ${value}`);
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
}
export interface VoteResponse extends Envelope {
  readonly type: 'voteResponse';
  readonly granted: boolean;
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
}
export interface HeartbeatRequest extends Envelope {
  readonly type: 'heartbeatRequest';
  /** min(leader's commit, what this follower is known to match): P8. */
  readonly commit: LogIndex;
  /** The leader's own commit index, uncapped: for knowing how far behind one is, never for committing. 0 while it may lag (P2). */
  readonly leaderCommit: LogIndex;
  /** The newest read round: an answer confirms all rounds up to it. */
  readonly readRound: number;
}
export interface HeartbeatResponse extends Envelope {
  readonly type: 'heartbeatResponse';
  readonly readRound: number;
}

export type Message =
  | PreVoteRequest
  | PreVoteResponse
  | VoteRequest
  | VoteResponse
  | AppendRequest
  | AppendResponse
  | HeartbeatRequest
  | HeartbeatResponse;

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

/** A read that may be answered once everything up to `index` has been applied. */
export interface ConfirmedRead {
  readonly id: number;
  readonly index: LogIndex;
}

/**
 * What one turn of the state machine asks of its driver. The driver must
 * (1) hand `hardState` and `entries` to storage, in the order of the Readys;
 * (2) send `messages` whenever it likes;
 * (3) send `messagesAfterSync` only when (1) is durable, then call `persisted(number)`;
 * (4) apply `committed` in order. They are already durable here (P40).
 */
export interface Ready {
  /** Counts up from 1. */
  readonly number: number;
  readonly hardState: HardState | null;
  /** Entries to append. If `entries[0].index` is not after the end of the log, it and all after it are replaced. */
  readonly entries: readonly LogEntry[];
  /** True when the term, the vote or entries changed: an fsync is owed before `persisted`. */
  readonly mustSync: boolean;
  readonly messages: readonly Message[];
  readonly messagesAfterSync: readonly Message[];
  readonly committed: readonly LogEntry[];
  readonly readsConfirmed: readonly ConfirmedRead[];
  /** Reads that lost their leader: surely not answered, may be tried elsewhere. */
  readonly readsRejected: readonly number[];
}
