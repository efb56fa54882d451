import assert from 'node:assert/strict';
import { LOG_START, entryBytes } from './log.js';
import { Raft, type RaftConfig } from './raft.js';
import {
  logIndex,
  memberId,
  term,
  type HardState,
  type LogEntry,
  type Message,
  type SnapshotPoint,
} from './types.js';

/** A snapshot and the state in it: the codes of all entries up to its point. */
export interface StoredSnapshot {
  readonly point: SnapshotPoint;
  readonly content: readonly number[];
}

/** What a crash leaves of a member. */
export interface DiskContent {
  readonly hardState: HardState;
  /** The log begins behind it. `before` are the codes of what is compacted away: nobody has them, but invariants are over whole logs. */
  readonly base: SnapshotPoint;
  readonly before: readonly number[];
  readonly entries: readonly LogEntry[];
  readonly snapshot: StoredSnapshot | null;
}

/** A write that storage has not finished, and the messages that wait for it. */
interface UnfinishedWrite {
  /** The last Ready that this write's end makes durable: Readys behind it that write nothing end with it. */
  lastReady: number;
  readonly hardState: HardState | null;
  readonly reset: SnapshotPoint | null;
  readonly entries: readonly LogEntry[];
  readonly release: Message[];
}

/**
 * Everything that can happen to one member. `count`: that many of its oldest writes. `compact`: it takes a snapshot of what it applied, and gives up
 * its log. `store`: the snapshot that it was offered is on its disk; `install`: and its core is told. `wipe`: its disk is lost, and an empty one takes its place.
 */
export type Input =
  | {
      readonly type:
        | 'timeout'
        | 'silence'
        | 'forget'
        | 'heartbeat'
        | 'propose'
        | 'process'
        | 'compact'
        | 'store'
        | 'install';
    }
  | { readonly type: 'transfer'; readonly to: number }
  | { readonly type: 'read'; readonly committedBefore: number }
  | { readonly type: 'finishWrites' | 'crash'; readonly count: number }
  | { readonly type: 'wipe'; readonly recovery: number }
  | { readonly type: 'deliver'; readonly message: Message };

export interface MemberScope {
  readonly memberCount: number;
  /** True: the driver takes a Ready only as an action of its own, so that several inputs can meet in one Ready. */
  readonly lazyReady?: boolean;
  /** True: an append carries one entry, so that logs are compared and acknowledged entry by entry. */
  readonly oneEntryPerMessage?: boolean;
  /** Members whose writes end when the search says so. Those of the others end at once. */
  readonly slowDisks?: readonly number[];
  /**
   * False: every pre-vote is granted out of hand, unasked. More elections start than could; no promise depends on a pre-vote.
   * True: they are asked for by messages.
   */
  readonly preVotes?: boolean;
  /**
   * False: members never trust their leader for longer than an instant. What trust forbids (V4) looks to all others like a lost message, so nothing can
   * happen with trust that cannot happen without. True: only the input `silence` ends trust.
   */
  readonly trust?: boolean;
  /** True: refused votes and answers to requests of an earlier term are all lost. They only make somebody give up, or catch up with a term. */
  readonly refusalsLost?: boolean;
}

/** Small, so that few ticks matter: a leader is forgotten after 2 ticks of silence, and the 3rd starts a campaign. */
const ELECTION_TIMEOUT_TICKS = 2;
/** What goes unanswered for so long is asked again. */
const PATIENCE_TICKS = 3;
const NEVER_AS_MANY_READYS = 20;

/**
 * One member of a world: the real core, its disk and its driver. The driver does what `Ready` asks for, but a write ends
 * only by the input `finishWrites`: everything between a write's start and its end can be reached.
 */
export class SmallMember {
  readonly raft: Raft;
  disk: DiskContent;
  /** The codes of what is compacted away in memory. */
  before: readonly number[];
  /** A snapshot that its leader offered, and that it has fetched. (Fetching takes as long as until `install`.) */
  offered: StoredSnapshot | null = null;
  /** The contents of offers that the core was given, until it says which of them to fetch. */
  readonly #contents = new Map<number, readonly number[]>();
  readonly writes: UnfinishedWrite[] = [];
  /** Messages that left since `takeSent`. */
  readonly #sent: Message[] = [];
  readonly #scope: MemberScope;

  constructor(
    readonly self: number,
    scope: MemberScope,
    disk: DiskContent,
  ) {
    this.disk = disk;
    this.#scope = scope;
    const config: RaftConfig = {
      self: memberId(self),
      members: Array.from({ length: scope.memberCount }, (_, i) => memberId(i + 1)),
      electionTimeoutTicks: ELECTION_TIMEOUT_TICKS,
      heartbeatTicks: 1,
      // The longest wait there is: silence can pass without a campaign. When a campaign starts is chosen by the search.
      random: () => 0.99,
      ...(scope.oneEntryPerMessage === true ? { appendBytesMax: 1 } : {}),
    };
    const { hardState, base, entries, snapshot } = disk;
    this.raft = new Raft(config, { hardState, base, entries, snapshot: snapshot?.point ?? null });
    // It begins behind its log's base, or, if it finishes an installation, behind the snapshot.
    const first = this.raft.firstIndex;
    this.before = first === base.index + 1 ? disk.before : (snapshot?.content ?? []);
    this.#drain();
    this.#sent.length = 0;
  }

  takeSent(): Message[] {
    return this.#sent.splice(0);
  }

  /** True when a leader is believed in, and its silence would not yet let this member vote for another. */
  get trustsLeader(): boolean {
    return (
      this.raft.role === 'follower' &&
      this.raft.leader !== null &&
      this.raft.ticksSinceLeader < ELECTION_TIMEOUT_TICKS
    );
  }

  /** Is this message always lost in this world? */
  loses(message: Message): boolean {
    if (message.type === 'preVoteRequest') return this.#scope.preVotes !== true;
    return this.#scope.refusalsLost === true && isRefusal(message);
  }

  /** Any input but a crash or a wipe, which make another member of what the disk holds: `afterCrash`, `wipedDisk`. */
  apply(input: Input): void {
    switch (input.type) {
      case 'timeout':
        // The only ticks of a member that does not lead run until it campaigns, or (silence) until it stops trusting its
        // leader: how many have passed in between never decides anything.
        for (let ticks = 1; ; ticks++) {
          this.raft.tick();
          if (this.raft.inspect().electionElapsed === 0) break; // a campaign starts the timer anew
          assert(ticks < 2 * ELECTION_TIMEOUT_TICKS);
        }
        if (this.#scope.preVotes !== true) this.#grantPreVotes();
        break;
      case 'silence':
        while (this.trustsLeader) this.raft.tick();
        break;
      case 'forget':
        if (this.raft.leader !== null) this.raft.forgetLeader(this.raft.leader);
        break;
      case 'heartbeat':
        this.raft.tick();
        break;
      case 'propose':
        // The payload names the proposer: two leaders of one term would not write the same.
        this.raft.propose(Uint8Array.of(this.self));
        break;
      case 'read':
        // The read's id is what it must see: the number of entries that were committed anywhere when it was asked.
        this.raft.readIndex(input.committedBefore);
        break;
      case 'deliver':
        this.#receive(input.message);
        break;
      case 'compact':
        this.#compact();
        break;
      case 'store':
        this.#store();
        break;
      case 'install':
        this.#install();
        break;
      case 'transfer':
        this.raft.transfer(memberId(input.to));
        break;
      case 'finishWrites':
        this.#finishWrites(input.count);
        break;
      case 'process':
        this.#process();
        break;
      case 'crash':
      case 'wipe':
        throw new Error('that makes another member');
    }
    this.#drain();
    if (this.#scope.trust !== true) while (this.trustsLeader) this.raft.tick();
  }

  /** All of the log, also what nobody has any more. */
  codes(): readonly number[] {
    return [...this.before, ...this.raft.inspect().log.entries.map((entry) => entryCode(entry, (id) => id))];
  }

  #compact(): void {
    const { appliedIndex, firstIndex } = this.raft;
    if (appliedIndex < firstIndex) return;
    const point = { index: appliedIndex, term: this.raft.termAt(appliedIndex) ?? term(0) };
    const codes = this.codes();
    if (appliedIndex > (this.disk.snapshot?.point.index ?? 0))
      this.disk = { ...this.disk, snapshot: { point, content: codes.slice(0, appliedIndex) } };
    this.raft.snapshotStored(point);
    this.raft.compact(appliedIndex);
    this.before = codes.slice(0, this.raft.firstIndex - 1);
    this.disk = withoutEntries(this.disk, this.raft.firstIndex - 1);
  }

  #store(): void {
    const { offered, disk } = this;
    if (offered !== null && offered.point.index > (disk.snapshot?.point.index ?? 0))
      this.disk = { ...disk, snapshot: offered };
  }

  #install(): void {
    const { offered } = this;
    if (offered === null) return;
    this.#store();
    this.offered = null;
    const before = this.raft.commitIndex;
    const result = this.raft.installSnapshot(offered.point);
    if (result === 'reset') this.before = offered.content;
    if ((result === 'ignored') !== (offered.point.index <= before || this.raft.role === 'leader'))
      throw new Violation(
        `Install What Is News: member ${this.self} with commit ${before} says ${result} to ${offered.point.index}`,
      );
  }

  #receive(message: Message): void {
    if (message.type === 'snapshotOffer') this.#contents.set(message.snapshotIndex, contentOf(message) ?? []);
    const { term: before, commitIndex } = this.raft;
    const trusts = this.trustsLeader;
    const lastTerm = this.raft.termAt(this.raft.lastIndex) ?? 0;
    this.raft.step(message);
    if (message.type === 'appendRequest') {
      // What follows the entries of this message may be another leader's (P8): the message says nothing of it.
      const proved = Math.min(message.commit, message.previousIndex + message.entries.length);
      if (this.raft.commitIndex > Math.max(commitIndex, proved))
        throw new Violation(
          `Commit Only What Is Proved: member ${this.self} commits up to ${this.raft.commitIndex} by a message that speaks of ${proved}`,
        );
    }
    if (message.type !== 'voteRequest') return;
    if (this.disk.hardState.recovery !== 0) {
      if (this.raft.term !== before || this.raft.vote !== null)
        throw new Violation(`Who Recovers Takes No Part: a candidate moves member ${this.self}`); // F1
      return;
    }
    if (message.term <= before || (trusts && !message.transfer)) return;
    // A vote that is free in a new term goes to a log that is as new, and only to one: by a second way to compare (P25).
    const [theirs, ours] = [
      message.lastTerm * 1000 + message.lastIndex,
      lastTerm * 1000 + this.raft.lastIndex,
    ];
    if (this.raft.role !== 'leader' && (this.raft.vote === message.from) !== theirs >= ours)
      throw new Violation(
        `Up To Date: member ${this.self} with a log up to ${this.raft.lastIndex} of term ${lastTerm} ${this.raft.vote === null ? 'refuses' : 'grants'} its vote to one up to ${message.lastIndex} of term ${message.lastTerm}`,
      );
  }

  #grantPreVotes(): void {
    for (let from = 1; this.raft.role === 'preCandidate'; from++) {
      assert(from <= this.#scope.memberCount);
      this.raft.step({
        type: 'preVoteResponse',
        from: memberId(from),
        to: memberId(this.self),
        term: term(this.raft.term + 1),
        granted: true,
      });
    }
  }

  /** Power is lost: the oldest `kept` unfinished writes made it to the disk all the same, the others did not. */
  afterCrash(kept: number): DiskContent {
    return this.writes.slice(0, kept).reduce(written, this.disk);
  }

  #drain(): void {
    const slow = this.#scope.slowDisks?.includes(this.self) === true;
    for (let count = 0; count < NEVER_AS_MANY_READYS; count++) {
      if (!slow) this.#finishWrites(this.writes.length);
      if (this.#scope.lazyReady === true || !this.#process()) return;
    }
    assert.fail('there is always another Ready');
  }

  #process(): boolean {
    const ready = this.raft.ready();
    if (ready === null) return false;
    const released = ready.messagesAfterSync.filter((message) => !this.loses(message));
    this.#send(ready.messages);
    for (const { id, index } of ready.readsConfirmed) {
      if (index < id)
        throw new Violation(
          `Read Safety: a read is confirmed at index ${index}, and ${id} entries were committed before it was asked`,
        );
    }
    if (ready.snapshotOffered !== null) {
      const { point } = ready.snapshotOffered;
      this.offered = { point, content: this.#contents.get(point.index) ?? [] };
    }
    this.#contents.clear();
    const last = this.writes.at(-1);
    if (ready.mustSync || ready.hardState !== null) {
      const { number: lastReady, hardState, reset, entries } = ready;
      this.writes.push({ lastReady, hardState, reset, entries, release: released });
    } else if (last === undefined) {
      this.raft.persisted(ready.number);
      this.#send(released);
    } else {
      last.lastReady = ready.number;
      last.release.push(...released);
    }
    return true;
  }

  #withContent(message: Message & { type: 'snapshotOffer' }): Message {
    const content = this.disk.snapshot?.content.slice(0, message.snapshotIndex);
    if (content?.length !== message.snapshotIndex)
      throw new Violation(
        `Durable Means Durable: member ${this.self} offers a snapshot that its disk does not hold`,
      );
    return Object.assign({ ...message }, { content });
  }

  #finishWrites(count: number): void {
    for (const write of this.writes.splice(0, count)) {
      this.disk = written(this.disk, write);
      this.raft.persisted(write.lastReady);
      this.#send(write.release);
    }
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) {
      if (this.loses(message)) continue;
      const broken = brokenPromise(this, message);
      if (broken !== null) throw new Violation(broken);
      this.#sent.push(message.type === 'snapshotOffer' ? this.#withContent(message) : message);
    }
  }
}

/** The content that an offer stands for, as the chunks would bring it. */
export function contentOf(message: Message): readonly number[] | null {
  return 'content' in message ? (message.content as readonly number[]) : null;
}

/** The answer to a request of an earlier term refuses index 0, which nobody else refuses. */
function isRefusal(message: Message): boolean {
  if (message.type === 'voteResponse') return !message.granted;
  return message.type === 'appendResponse' && !message.accepted && message.rejectedIndex === 0;
}

/** A rule that the search found broken; its text names the rule. */
export class Violation extends Error {}

function written(disk: DiskContent, write: UnfinishedWrite): DiskContent {
  const { reset } = write;
  const begin =
    reset === null
      ? disk
      : { ...disk, base: reset, before: (disk.snapshot?.content ?? []).slice(0, reset.index), entries: [] };
  const first = write.entries[0];
  const kept =
    first === undefined ? begin.entries : begin.entries.filter((entry) => entry.index < first.index);
  return {
    ...begin,
    hardState: write.hardState ?? disk.hardState,
    entries: [...kept, ...write.entries.filter((entry) => entry.index > begin.base.index)],
  };
}

/** Entries up to `index` are given up, as far as the disk has them. */
function withoutEntries(disk: DiskContent, index: number): DiskContent {
  const gone = disk.entries.filter((entry) => entry.index <= index);
  const last = gone.at(-1);
  if (last === undefined) return disk;
  return {
    ...disk,
    base: { index: last.index, term: last.term },
    before: [...disk.before, ...gone.map((entry) => entryCode(entry, (id) => id))],
    entries: disk.entries.slice(gone.length),
  };
}

/** A disk that holds a log of these terms (commands of member 0, which is nobody: older than the world). */
export function diskOf(
  hardTerm: number,
  vote: number | null,
  logTerms: readonly number[],
  commit = 0,
): DiskContent {
  return {
    hardState: {
      term: term(hardTerm),
      vote: vote === null ? null : memberId(vote),
      commit: logIndex(commit),
      recovery: 0,
    },
    base: LOG_START,
    before: [],
    snapshot: null,
    entries: logTerms.map((entryTerm, i) => ({
      index: logIndex(i + 1),
      term: term(entryTerm),
      kind: 'command',
      payload: Uint8Array.of(0),
    })),
  };
}

/** The disk that a member gets whose own was lost. */
export function wipedDisk(recovery: number): DiskContent {
  const empty = diskOf(0, null, []);
  return { ...empty, hardState: { ...empty.hardState, recovery } };
}

/** The same disk after a snapshot of its first `count` entries, which are given up. */
export function compactedDisk(disk: DiskContent, count: number): DiskContent {
  const compacted = withoutEntries(disk, count);
  const { base, before, hardState } = compacted;
  return {
    ...compacted,
    hardState: { ...hardState, commit: logIndex(Math.max(hardState.commit, count)) },
    snapshot: { point: base, content: before },
  };
}

type Rename = (id: number) => number;

/** An entry's code with the members renamed. */
export function renamedCode(code: number, rename: Rename): number {
  const who = code % 10;
  return code - who + (who === 9 ? 9 : rename(who));
}

/** An entry's identity: its term, and whether it is a noop (9) or whose command. */
export function entryCode(entry: LogEntry, rename: Rename): number {
  return entry.term * 10 + (entry.kind === 'noop' ? 9 : rename(entry.payload[0] ?? 0));
}

/** A message in a canonical form, with the members renamed. */
export function messageKey(message: Message, rename: Rename): string {
  const { type, from, to, term: messageTerm, ...rest } = message;
  const parts: unknown[] = [type, rename(from), rename(to), messageTerm];
  for (const [name, value] of Object.entries(rest)) {
    parts.push(
      name === 'entries'
        ? (value as readonly LogEntry[]).map((entry) => entryCode(entry, rename))
        : name === 'content'
          ? (value as readonly number[]).map((code) => renamedCode(code, rename))
          : value,
    );
  }
  return JSON.stringify(parts);
}

/**
 * Everything that decides what a member will do, with the members renamed; two members with the same fingerprint behave alike. Left out or
 * made relative, because no future step can tell:
 * - the count of ticks: only the ages of a leader's knowledge matter, and none beyond the longest that is compared;
 * - how far the election timer has run: the ticks of a member that does not lead run until they have their effect (`apply`), and of a leader's
 *   heartbeat every tick is one;
 * - votes of an election that is over, progress knowledge and ticks that belong to another role, and the status flag `lostQuorum`;
 * - the numbers of Readys (only how far back each write lies), and Readys that write nothing: they end with the write before them;
 * - the order and number of equal messages: the network is a set.
 */
export function fingerprint(
  member: SmallMember,
  rename: Rename,
  whole: ReturnType<Raft['inspect']> = member.raft.inspect(),
): string {
  const { role, log } = whole;
  const campaigns = role === 'candidate' || role === 'preCandidate';
  const vote = (id: number | null): number => (id === null ? 0 : rename(id));
  const hard = (state: HardState | null): unknown =>
    state === null
      ? 0
      : [state.term, vote(state.vote), state.commit, ...(state.recovery === 0 ? [] : [state.recovery])];
  const codes = (entries: readonly LogEntry[]): number[] => entries.map((entry) => entryCode(entry, rename));
  const renamed = (content: readonly number[]): number[] => content.map((code) => renamedCode(code, rename));
  const point = (at: SnapshotPoint | null): unknown => (at === null ? 0 : [at.index, at.term]);
  const snapshot = (one: StoredSnapshot | null): unknown =>
    one === null ? 0 : [point(one.point), renamed(one.content)];
  const set = (messages: readonly Message[]): string[] =>
    [
      ...new Set(
        messages.filter((message) => !member.loses(message)).map((message) => messageKey(message, rename)),
      ),
    ].toSorted();
  const age = (tick: number, max: number): number => Math.min(whole.nowTick - tick, max);
  const byMember = (a: readonly unknown[], b: readonly unknown[]): number => Number(a[0]) - Number(b[0]);
  return JSON.stringify([
    rename(whole.self),
    role,
    whole.term,
    vote(whole.vote),
    vote(whole.leader),
    [codes(log.entries), log.durable, log.nextToPersist, log.committed, log.applied],
    // Most worlds know of no snapshots: a shorter key is a faster search.
    log.snapshot === null && member.offered === null
      ? 0
      : [point(log.compacted), point(log.snapshot), renamed(member.before), snapshot(member.offered)],
    whole.snapshotOffered === null ? 0 : point(whole.snapshotOffered.point),
    point(whole.reset),
    whole.transfer === null
      ? 0
      : [
          rename(whole.transfer.to),
          age(whole.transfer.startedTick, ELECTION_TIMEOUT_TICKS),
          whole.transfer.told,
        ],
    whole.followerReads.readId === null && whole.followerReads.collecting.length === 0
      ? 0
      : [
          whole.followerReads.collecting,
          whole.followerReads.asked,
          whole.followerReads.readId,
          whole.followerReads.isOut ? age(whole.followerReads.sentTick, PATIENCE_TICKS) : -1,
        ],
    campaigns ? whole.votes.map(([id, granted]) => [rename(id), granted]).toSorted(byMember) : 0,
    whole.progress
      .map(({ member: id, lastHeardTick, lastProgressTick, ...rest }) => [
        rename(id),
        age(lastHeardTick, ELECTION_TIMEOUT_TICKS + 1),
        age(lastProgressTick, PATIENCE_TICKS),
        rest,
      ])
      .toSorted(byMember),
    whole.reads.collecting,
    whole.reads.collectingRemote.map(([id, readId]) => [rename(id), readId]).toSorted(byMember),
    whole.reads.number,
    whole.reads.inFlight === null
      ? 0
      : [
          whole.reads.inFlight.number,
          whole.reads.inFlight.index,
          whole.reads.inFlight.ids,
          whole.reads.inFlight.remote.map(([id, readId]) => [rename(id), readId]).toSorted(byMember),
          whole.reads.inFlight.acknowledgedBy.map(rename).toSorted(),
        ],
    whole.uncommittedBytes,
    role === 'follower' && whole.leader !== null
      ? Math.min(whole.ticksSinceLeader, ELECTION_TIMEOUT_TICKS)
      : 0,
    whole.storageStalled,
    [set(whole.messages), set(whole.messagesAfterSync), whole.readsConfirmed, whole.readsRejected],
    whole.pending
      .filter((write) => write.firstIndex !== null || write.hardState !== null)
      .map((write) => [write.firstIndex, hard(write.hardState)]),
    hard(whole.handedHardState),
    whole.durableTerm,
    vote(whole.durableVote),
    whole.durableRecovery === 0 ? 0 : [whole.recovery, whole.durableRecovery],
    [
      hard(member.disk.hardState),
      codes(member.disk.entries),
      member.disk.snapshot === null
        ? 0
        : [point(member.disk.base), renamed(member.disk.before), snapshot(member.disk.snapshot)],
    ],
    member.writes.map((write) => [
      hard(write.hardState),
      point(write.reset),
      codes(write.entries),
      set(write.release),
    ]),
  ]);
}

/** What must hold of one member in every state, whatever the others do. Null when it does. */
export function memberViolation(member: SmallMember, whole: ReturnType<Raft['inspect']>): string | null {
  const { raft, disk } = member;
  const { log, reads, followerReads, role, leader, uncommittedBytes } = whole;
  const name = `member ${member.self}`;
  const end = Math.min(log.committed, log.durable);
  const [compacted, snapshot] = [log.compacted.index, log.snapshot?.index ?? 0];
  if (compacted > snapshot || snapshot > log.applied || log.applied > end || log.committed > raft.lastIndex)
    return `State Ordering: compacted ${compacted} <= snapshot ${snapshot} <= applied ${log.applied} <= min(committed ${log.committed}, durable ${log.durable}) <= last ${raft.lastIndex} fails for ${name}`;
  if (member.before.length !== compacted || disk.before.length !== disk.base.index)
    return `State Ordering: ${name} gave up ${compacted} entries, and ${member.before.length} are missing`;
  const stored = disk.snapshot?.point.index ?? 0;
  if (snapshot > stored)
    return `Durable Means Durable: the snapshot ${snapshot} of ${name} is not on its disk`;
  const same: Rename = (id) => id;
  for (const entry of log.entries) {
    // What a snapshot on the disk stands for needs no entry.
    if (entry.index > log.durable || entry.index <= stored) continue;
    const there = disk.entries[entry.index - disk.base.index - 1];
    if (there === undefined || entryCode(there, same) !== entryCode(entry, same))
      return `Durable Means Durable: ${name} counts entry ${entry.index} of term ${entry.term} as durable, and its disk does not hold it`;
  }
  if (disk.hardState.commit > heldBy(disk))
    return `State Ordering: the stored commit ${disk.hardState.commit} of ${name} leads its stored log`;
  if (
    role !== 'leader' &&
    (reads.collecting.length + reads.collectingRemote.length > 0 || reads.inFlight !== null)
  )
    return `Reads End With Leadership: ${name} is ${role} and keeps reads waiting`;
  if (
    (role !== 'follower' || leader === null) &&
    followerReads.collecting.length + followerReads.asked.length > 0
  )
    return `Reads End With Leadership: ${name} knows no leader and keeps reads waiting`;
  const size = (entries: readonly LogEntry[]): number =>
    entries.reduce((sum, entry) => sum + entryBytes(entry), 0);
  if (raft.logBytes !== size(log.entries)) return `Sizes: ${name} counts its log wrong`;
  if (
    role === 'leader' &&
    uncommittedBytes !== size(log.entries.filter(({ index }) => index > log.committed))
  )
    return `Sizes: ${name} counts what is not committed wrong`;
  return null;
}

/** How far a disk holds the log, in entries or in a snapshot. */
function heldBy({ base, entries, snapshot }: DiskContent): number {
  return Math.max(base.index + entries.length, snapshot?.point.index ?? 0);
}

/** What a message promises must be on its sender's disk when it leaves. Null when it is. */
function brokenPromise(member: SmallMember, message: Message): string | null {
  const { hardState } = member.disk;
  const name = `member ${member.self}`;
  if (hardState.recovery !== 0) {
    // As long as its disk says that it recovers it takes no part [F1], and what it says counts for nothing [F2].
    if (/^(preV|v)ote/.test(message.type))
      return `Who Recovers Takes No Part: ${name} sends ${message.type} while it recovers`;
    if ((message.type === 'appendResponse' || message.type === 'heartbeatResponse') && message.recovery === 0)
      return `Who Recovers Takes No Part: the ${message.type} of ${name} counts, and its disk says that it recovers`;
  }
  if (message.type === 'voteResponse' && message.granted) {
    if (hardState.term !== message.term || hardState.vote !== message.to)
      return `Votes Are Durable: ${name} sends its vote of term ${message.term} before it is on disk`;
  } else if (message.type === 'voteRequest') {
    if (hardState.term !== message.term || hardState.vote !== message.from)
      return `Votes Are Durable: ${name} campaigns in term ${message.term} before its own vote is on disk`;
  } else if (message.type === 'appendResponse' && message.accepted) {
    if (heldBy(member.disk) < message.matchIndex)
      return `Acknowledgements Are Durable: ${name} acknowledges ${message.matchIndex} entries with ${heldBy(member.disk)} on its disk`;
  }
  if (
    message.type !== 'preVoteRequest' &&
    message.type !== 'preVoteResponse' &&
    hardState.term < message.term
  )
    return `Terms Are Durable: ${name} speaks in term ${message.term} with term ${hardState.term} on disk`;
  return null;
}
