import { AssertionError } from 'node:assert/strict';
import type { LogEntry, Message } from './types.js';
import {
  SmallMember,
  Violation,
  contentOf,
  entryCode,
  fingerprint,
  memberViolation,
  messageKey,
  renamedCode,
  wipedDisk,
  type DiskContent,
  type Input,
  type MemberScope,
} from './small-scope-member.testing.js';

/** What the invariants over several members look at. */
export interface MemberView {
  readonly term: number;
  readonly role: string;
  readonly commit: number;
  /** The log in memory and the one on disk, as entry codes, from the first entry on, also where only a snapshot stands for them. */
  readonly log: readonly number[];
  readonly stored: readonly number[];
  readonly trustsLeader: boolean;
  readonly believesLeader: boolean;
  readonly hasReady: boolean;
  readonly unfinishedWrites: number;
  readonly self: number;
  readonly storedTerm: number;
  /** A snapshot waits for being installed; `isStored`: its file is on the disk. */
  readonly hasOffer: boolean;
  readonly isStored: boolean;
  /** There are applied entries that it could give up. */
  readonly canCompact: boolean;
  /** Requests that it sent in this life for reads that still wait. */
  readonly readRequests: number;
  /** Rounds that this leader began. */
  readonly readRounds: number;
  /** Its disk says that it recovers. */
  readonly recovers: boolean;
  /** What this leader knows of the others' recoveries; nobody who is not in it recovers. */
  readonly recoveries: ReadonlyMap<number, number>;
}

/** A member's state, found once and known by its fingerprint. */
interface MemberState {
  readonly key: string;
  /** How to get there: from a disk, or by an input from another state. Null: only the name of a renamed state. */
  origin: { disk: DiskContent; self: number } | { from: number; input: Input } | null;
  view: MemberView | null;
  /** A member in this state that nobody has used up yet. */
  spare: SmallMember | null;
  readonly steps: Map<number, MemberStep>;
  readonly renamed: number[];
}

/** What one input does to one member. */
export interface MemberStep {
  readonly next: number;
  readonly sent: readonly number[];
  readonly violation: string | null;
}

/** A set with one message more. `twoVotes`: its sender contradicts itself, which is a fault unless it forgot. `violation`: any other contradiction. */
interface Addition {
  readonly set: number;
  readonly violation: string | null;
  readonly twoVotes: string | null;
}

/** A set of messages that were sent at some time: each of them can arrive now, again, or never. */
interface MessageSet {
  readonly ids: readonly number[];
  /** By receiver, from 1. */
  readonly to: readonly (readonly number[])[];
  readonly added: Map<number, Addition>;
  readonly renamed: number[];
  /** Bit i: message i is in it. */
  readonly bits: readonly number[];
  /** The set without what is spent for a member in this state. */
  readonly unspent: Map<number, number>;
}

const same = (id: number): number => id;

/**
 * The parts of worlds, each stored once under a number: member states, messages, sets of messages. A member's step depends on nothing but its
 * own state and the input (U1), so each (state, input) runs on the real core once, however many worlds it occurs in.
 */
export class SmallSpace {
  readonly permutations: readonly (readonly number[])[];
  readonly messages: Message[] = [];
  readonly inputs: Input[] = [];
  coreSteps = 0;
  /** Called when another path leads to a known state: `member` came by it and may be used up. */
  onMerge: ((state: number, member: SmallMember) => void) | null = null;
  readonly #scope: MemberScope;
  readonly #states: MemberState[] = [];
  readonly #stateByKey = new Map<string, number>();
  readonly #messageByKey = new Map<string, number>();
  readonly #messageRenamed: number[][] = [];
  readonly #inputByKey = new Map<string, number>();
  readonly #sets: MessageSet[] = [];
  readonly #setByKey = new Map<string, number>();

  constructor(scope: MemberScope) {
    this.#scope = scope;
    this.permutations = permutationsOf(scope.memberCount);
    this.#internSet([]);
  }

  get memberStates(): number {
    return this.#states.filter((state) => state.view !== null).length;
  }

  /** The set without messages. */
  get nothingSent(): number {
    return 0;
  }

  start(self: number, disk: DiskContent): number {
    const member = new SmallMember(self, this.#scope, disk);
    const whole = member.raft.inspect();
    return this.#intern(member, { disk, self }, fingerprint(member, same, whole), whole);
  }

  view(state: number): MemberView {
    const { view } = this.#state(state);
    if (view === null) throw new Error('a renamed state has no view');
    return view;
  }

  keyOf(state: number): string {
    return this.#state(state).key;
  }

  /** A member in this state, to be used up by the caller. */
  build(state: number): SmallMember {
    const found = this.#state(state);
    if (found.spare !== null) {
      const member = found.spare;
      found.spare = null;
      return member;
    }
    const inputs: Input[] = [];
    let at = found;
    for (;;) {
      const { origin } = at;
      if (origin === null) throw new Error('a renamed state has no history');
      if ('disk' in origin) {
        const member = new SmallMember(origin.self, this.#scope, origin.disk);
        for (const input of inputs.toReversed()) {
          member.apply(input);
          member.takeSent();
        }
        return member;
      }
      inputs.push(origin.input);
      at = this.#state(origin.from);
    }
  }

  input(input: Input): number {
    const key = input.type === 'deliver' ? `m${this.message(input.message)}` : JSON.stringify(input);
    const known = this.#inputByKey.get(key);
    if (known !== undefined) return known;
    this.inputs.push(input);
    this.#inputByKey.set(key, this.inputs.length - 1);
    return this.inputs.length - 1;
  }

  step(state: number, inputNumber: number): MemberStep {
    const { steps } = this.#state(state);
    const known = steps.get(inputNumber);
    if (known !== undefined) return known;
    const input = this.inputs[inputNumber];
    if (input === undefined) throw new Error(`no input ${inputNumber}`);
    const step = this.#run(state, input);
    steps.set(inputNumber, step);
    return step;
  }

  #run(state: number, input: Input): MemberStep {
    const before = this.build(state);
    this.coreSteps += 1;
    let member = before;
    let origin: MemberState['origin'] = { from: state, input };
    try {
      if (input.type === 'crash' || input.type === 'wipe') {
        const disk = input.type === 'wipe' ? wipedDisk(input.recovery) : before.afterCrash(input.count);
        this.#state(state).spare = before; // a crash uses nothing up
        origin = { disk, self: before.self };
        member = new SmallMember(before.self, this.#scope, disk);
      } else {
        const { term, vote, commitIndex } = before.raft;
        member.apply(input);
        const broken = goesBack(member, term, vote, commitIndex);
        if (broken !== null) throw new Violation(broken);
      }
      const whole = member.raft.inspect();
      const key = fingerprint(member, same, whole);
      // What is known was looked at when it was new.
      const broken = this.#stateByKey.has(key) ? null : memberViolation(member, whole);
      if (broken !== null) throw new Violation(broken);
      const sent = [...new Set(member.takeSent().map((message) => this.message(message)))];
      return { next: this.#intern(member, origin, key, whole), sent, violation: null };
    } catch (error) {
      if (error instanceof Violation) return { next: state, sent: [], violation: error.message };
      if (!(error instanceof AssertionError)) throw error;
      return { next: state, sent: [], violation: `Assertion of the core: ${error.message}` };
    }
  }

  #intern(
    member: SmallMember,
    origin: MemberState['origin'],
    key: string,
    whole: ReturnType<SmallMember['raft']['inspect']>,
  ): number {
    const number = this.#internKey(key);
    const state = this.#state(number);
    if (state.view !== null) {
      this.onMerge?.(number, member);
      return number;
    }
    state.origin = origin;
    state.spare = member;
    state.view = viewOf(member);
    this.permutations.forEach((names, i) => {
      state.renamed[i] = this.#internKey(fingerprint(member, (id) => names[id] ?? 0, whole));
    });
    return number;
  }

  #internKey(key: string): number {
    const known = this.#stateByKey.get(key);
    if (known !== undefined) return known;
    this.#states.push({ key, origin: null, view: null, spare: null, steps: new Map(), renamed: [] });
    this.#stateByKey.set(key, this.#states.length - 1);
    return this.#states.length - 1;
  }

  /** The number of `state` with the members renamed by the permutation with this number. */
  renamedState(state: number, permutation: number): number {
    return this.#state(state).renamed[permutation] ?? 0;
  }

  message(message: Message): number {
    const key = messageKey(message, same);
    const known = this.#messageByKey.get(key);
    if (known !== undefined) return known;
    this.messages.push(message);
    this.#messageByKey.set(key, this.messages.length - 1);
    return this.messages.length - 1;
  }

  receivedBy(set: number, member: number): readonly number[] {
    return this.#set(set).to[member] ?? [];
  }

  /** `set` with the message, and the rules that this breaks, if any. */
  add(set: number, message: number): Addition {
    const from = this.#set(set);
    const known = from.added.get(message);
    if (known !== undefined) return known;
    const ids = [...from.ids, message].toSorted((a, b) => a - b);
    const addition = from.ids.includes(message)
      ? { set, violation: null, twoVotes: null }
      : {
          set: this.#internSet(ids),
          ...contradictions(
            from.ids.map((id) => this.#message(id)),
            this.#message(message),
          ),
        };
    from.added.set(message, addition);
    return addition;
  }

  renamedSet(set: number, permutation: number): number {
    const { ids, renamed } = this.#set(set);
    const known = renamed[permutation];
    if (known !== undefined) return known;
    const other = ids.map((id) => this.#renamedMessage(id, permutation)).toSorted((a, b) => a - b);
    const number = this.#internSet(other);
    renamed[permutation] = number;
    return number;
  }

  /** Is every message of `part` in `whole`? */
  includes(whole: number, part: number): boolean {
    if (whole === part) return true;
    const { bits } = this.#set(whole);
    return this.#set(part).bits.every((word, i) => (word & ~(bits[i] ?? 0)) === 0);
  }

  /** `set` without the messages that a member in this state, and whatever becomes of it, ignores. */
  withoutSpent(set: number, member: number, state: number): number {
    const { ids, unspent } = this.#set(set);
    const { storedTerm, role } = this.view(state);
    const epoch = (member * 100 + storedTerm) * 2 + (role === 'follower' ? 1 : 0);
    const known = unspent.get(epoch);
    if (known !== undefined) return known;
    const rest = this.#internSet(ids.filter((id) => !this.#isSpent(id, member, state)));
    unspent.set(epoch, rest);
    return rest;
  }

  /**
   * Answers to an earlier self: of a term before the one on disk, or of that one when the member no longer leads or campaigns in it (and never will
   * again). So are requests of an earlier term when their refusals are lost. They are left out of the set of messages, unless the member may still be wiped, and then
   * know of no term. That they do nothing is not taken on trust: `effectOfSpent`.
   */
  #isSpent(id: number, member: number, state: number): boolean {
    const message = this.#message(id);
    if (message.to !== member || message.type.startsWith('preVote')) return false;
    const { storedTerm, role } = this.view(state);
    if (message.type === 'timeoutNow' || message.type === 'readIndexResponse')
      return message.term < storedTerm;
    if (message.type === 'snapshotOffer')
      return this.#scope.refusalsLost === true && message.term < storedTerm;
    if (message.type.endsWith('Request'))
      return this.#scope.refusalsLost === true && message.term < storedTerm;
    return message.term < storedTerm || (message.term === storedTerm && role === 'follower');
  }

  /** Delivers every spent message to every member state that was reached: a rule is broken if one does anything. */
  effectOfSpent(): string | null {
    for (const [state, { view }] of this.#states.entries()) {
      if (view === null) continue;
      for (const [id, message] of this.messages.entries()) {
        if (message.to !== view.self || !this.#isSpent(id, view.self, state)) continue;
        const step = this.step(state, this.input({ type: 'deliver', message }));
        if (step.violation !== null || step.next !== state || step.sent.length > 0)
          return `Answers To An Earlier Self: ${messageKey(message, same)} still does something to member ${view.self} in term ${view.term}`;
      }
    }
    return null;
  }

  #renamedMessage(id: number, permutation: number): number {
    const known = this.#messageRenamed[id]?.[permutation];
    if (known !== undefined) return known;
    const names = this.permutations[permutation] ?? [];
    const number = this.message(renamedMessage(this.#message(id), names));
    (this.#messageRenamed[id] ??= [])[permutation] = number;
    return number;
  }

  #internSet(ids: readonly number[]): number {
    const key = String.fromCharCode(...ids);
    const known = this.#setByKey.get(key);
    if (known !== undefined) return known;
    const to = Array.from({ length: this.#scope.memberCount + 1 }, (_, member) =>
      ids.filter((id) => this.#message(id).to === member),
    );
    const bits: number[] = [];
    for (const id of ids) bits[id >>> 5] = (bits[id >>> 5] ?? 0) | (1 << (id & 31));
    this.#sets.push({
      ids,
      to,
      added: new Map(),
      renamed: [],
      bits: Array.from(bits, (word) => word ?? 0),
      unspent: new Map(),
    });
    this.#setByKey.set(key, this.#sets.length - 1);
    return this.#sets.length - 1;
  }

  #state(number: number): MemberState {
    const found = this.#states[number];
    if (found === undefined) throw new Error(`no member state ${number}`);
    return found;
  }
  #set(number: number): MessageSet {
    const found = this.#sets[number];
    if (found === undefined) throw new Error(`no message set ${number}`);
    return found;
  }
  #message(number: number): Message {
    const found = this.messages[number];
    if (found === undefined) throw new Error(`no message ${number}`);
    return found;
  }
}

function viewOf(member: SmallMember): MemberView {
  const { raft, disk } = member;
  const codes = (entries: readonly LogEntry[]): number[] => entries.map((entry) => entryCode(entry, same));
  const { followerReads, reads, progress } = raft.inspect();
  const stored = [...disk.before, ...codes(disk.entries)];
  const { snapshot } = disk;
  // What a start from this disk would find: see `RaftRestored.snapshot`.
  const found = snapshot === null || isPrefix(snapshot.content, stored) ? stored : snapshot.content;
  return {
    term: raft.term,
    role: raft.role,
    commit: raft.commitIndex,
    log: member.codes(),
    stored: found,
    trustsLeader: member.trustsLeader,
    believesLeader: raft.role === 'follower' && raft.leader !== null,
    hasReady: raft.hasReady(),
    unfinishedWrites: member.writes.length,
    self: member.self,
    storedTerm: member.disk.hardState.term,
    hasOffer: member.offered !== null,
    isStored: (disk.snapshot?.point.index ?? 0) >= (member.offered?.point.index ?? 0),
    canCompact: raft.appliedIndex >= raft.firstIndex,
    readRounds: reads.number,
    recovers: disk.hardState.recovery !== 0,
    recoveries: new Map(
      progress.flatMap(({ member: other, recovery }) => (recovery === 0 ? [] : [[other, recovery]])),
    ),
    readRequests:
      followerReads.asked.length === 0
        ? 0
        : (followerReads.readId ?? 0) - (followerReads.asked[0]?.readId ?? 0) + 1,
  };
}

function isPrefix(part: readonly number[], whole: readonly number[]): boolean {
  return part.every((code, i) => whole[i] === code);
}

/** Monotonic Term, Vote and Commit, within one life of a member; across a crash the promises and the committed history are checked. */
function goesBack(member: SmallMember, term: number, vote: number | null, commit: number): string | null {
  const { raft } = member;
  if (raft.term < term) return `Monotonic Term: member ${member.self} goes from ${term} to ${raft.term}`;
  if (raft.term === term && vote !== null && raft.vote !== vote)
    return `Monotonic Vote: member ${member.self} voted for ${vote} in term ${term} and now for ${raft.vote}`;
  if (raft.commitIndex < commit)
    return `Monotonic Commit: member ${member.self} goes from ${commit} to ${raft.commitIndex}`;
  return null;
}

const LEADERS_SAY: ReadonlySet<Message['type']> = new Set([
  'appendRequest',
  'heartbeatRequest',
  'snapshotOffer',
  'timeoutNow',
  'readIndexResponse',
]);

/** Two messages that no sound cluster sends, whenever it was: the set forgets none. */
function contradictions(sent: readonly Message[], message: Message): Omit<Addition, 'set'> {
  let twoVotes: string | null = null;
  const leads = ({ type }: Message): boolean => LEADERS_SAY.has(type);
  const votesFor = (one: Message): number | null =>
    one.type === 'voteRequest' ? one.from : one.type === 'voteResponse' && one.granted ? one.to : null;
  for (const other of sent) {
    if (other.term !== message.term) continue;
    if (leads(other) && leads(message) && other.from !== message.from)
      return {
        violation: `Election Safety: members ${other.from} and ${message.from} both lead in term ${message.term}`,
        twoVotes,
      };
    const votes = [votesFor(other), votesFor(message)];
    if (other.from === message.from && !votes.includes(null) && votes[0] !== votes[1])
      twoVotes = `One Vote: member ${message.from} votes for ${votes[0]} and for ${votes[1]} in term ${message.term}`;
  }
  return { violation: null, twoVotes };
}

function renamedMessage(message: Message, names: readonly number[]): Message {
  const rename = <Id extends number>(id: Id): Id => (names[id] ?? id) as Id;
  const moved = { ...message, from: rename(message.from), to: rename(message.to) };
  const content = contentOf(moved);
  if (content !== null)
    return Object.assign(moved, { content: content.map((code) => renamedCode(code, rename)) });
  if (moved.type !== 'appendRequest') return moved;
  const entries = moved.entries.map((entry) => ({ ...entry, payload: entry.payload.map(rename) }));
  return { ...moved, entries };
}

/** Each permutation as a table: `names[id]` is the new name; 0 (nobody) stays. The first is the identity. */
function permutationsOf(count: number): number[][] {
  let all: number[][] = [[]];
  for (let place = 1; place <= count; place++) {
    all = all.flatMap((names) =>
      Array.from({ length: count }, (_, i) => i + 1)
        .filter((id) => !names.includes(id))
        .map((id) => [...names, id]),
    );
  }
  return all.map((names) => [0, ...names]);
}
