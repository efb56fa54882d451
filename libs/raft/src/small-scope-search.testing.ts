import { diskOf, type DiskContent, type Input, type MemberScope } from './small-scope-member.testing.js';
import { SmallSpace, type MemberView } from './small-scope-space.testing.js';
import type { Message } from './types.js';

/**
 * A small world, all of whose behaviours are searched. In every state each of these can happen next: any message that was ever sent arrives
 * (again; so loss, delay, reordering and any number of duplicates need no actions of their own), a member's timer ends, it gives up its leader,
 * its oldest writes end, it loses power with any number of unfinished writes kept, a leader beats, a client proposes or reads.
 */
export interface SmallWorld extends MemberScope {
  readonly name: string;
  readonly termMax: number;
  readonly proposals?: number;
  readonly reads?: number;
  readonly crashes?: number;
  /** How often a member's disk is lost. */
  readonly wipes?: number;
  /** Whose disk may be lost; anybody's by default. */
  readonly forgetful?: readonly number[];
  /** Half of the members or more may recover at a time. (Nothing goes on then.) */
  readonly mostMayForget?: boolean;
  /** A leader whose log has so many entries hears of no further recovery: each costs an entry. */
  readonly recoveryEntriesMax?: number;
  readonly heartbeats?: number;
  /** How often members take a snapshot and give up their logs. */
  readonly compactions?: number;
  readonly transfers?: number;
  /** A client may read at followers, too. They ask again at most so often for a read that waits; 1: never again. */
  readonly followerReadRequestsMax?: number;
  /** Rounds that a leader begins for its followers; 1 unless said. */
  readonly readRoundsMax?: number;
  /** Who may campaign; all by default. */
  readonly campaigners?: readonly number[];
  /** A member may also be told that its leader is gone (V9), not only find it silent. */
  readonly forgetsLeader?: boolean;
  /** Writes that a member's disk may be behind. More make no new promise, only a larger space. */
  readonly writesMax?: number;
  /** Where it starts: empty disks by default, then these steps (see `Script`). */
  readonly disks?: readonly DiskContent[];
  readonly script?: readonly string[];
  /** When the space is larger than this, only its first so many states (in order of their distance) are seen. */
  readonly statesMax: number;
}

export interface SmallSearch {
  readonly world: string;
  /** The rule that is broken and a short way there, a step a line; null when all is well. */
  readonly violation: string | null;
  readonly states: number;
  /** Steps tried; those on the real core are `coreSteps`. */
  readonly steps: number;
  readonly coreSteps: number;
  readonly memberStates: number;
  /** Every reachable state was visited. */
  readonly complete: boolean;
  /** How many steps the last state that was visited is from the start. */
  readonly depth: number;
}

/** What was ever committed, in order, and in which term: by it what is committed may never change. */
interface Committed {
  readonly entries: readonly number[];
  readonly inTerm: readonly number[];
  readonly renamed: number[];
}

interface State {
  readonly members: readonly number[];
  readonly sent: number;
  readonly committed: number;
  /** What is left of proposals, reads, crashes, heartbeats, compactions, transfers and wipes. */
  readonly budget: readonly number[];
  /** Bit m: member m was wiped. */
  readonly wiped: number;
}

interface Visited {
  readonly state: State;
  readonly from: number;
  readonly member: number;
  readonly input: number;
  readonly depth: number;
}

const PROPOSALS = 0;
const READS = 1;
const CRASHES = 2;
const HEARTBEATS = 3;
const COMPACTIONS = 4;
const TRANSFERS = 5;
const WIPES = 6;

const RECOVERY_ENTRIES_MAX = 4;

/** Breadth first, so that a violation comes with a short way (what is superseded is not followed: not always the shortest). Stops at the first one. */
export class SmallScopeSearch {
  readonly space: SmallSpace;
  readonly #world: SmallWorld;
  readonly #committed: Committed[] = [];
  readonly #committedByKey = new Map<string, number>();
  readonly #symmetries: readonly number[];
  readonly #visited: Visited[] = [];
  /** By everything but the messages: the largest message sets that were met with it, and with which state. */
  readonly #met = new Map<string, { sent: number; at: number }[]>();
  #superseded = new Set<number>();
  #steps = 0;

  constructor(world: SmallWorld) {
    this.#world = world;
    this.space = new SmallSpace(world);
    this.#internCommitted([], []);
    // Members are interchangeable: of the states that differ only in names one is followed. Names that the world itself sets apart stay.
    const special = [world.campaigners ?? [], world.slowDisks ?? [], world.forgetful ?? []];
    this.#symmetries = this.space.permutations.flatMap((names, i) =>
      special.every((ids) => ids.every((id) => ids.includes(names[id] ?? 0))) ? [i] : [],
    );
  }

  run(): SmallSearch {
    const { violation, state } = this.#start();
    if (violation !== null) return this.#result(`${violation}\n(in the start state)`, false);
    this.#visit(state, -1, 0, 0, 0);
    for (let at = 0; at < this.#visited.length; at++) {
      const from = this.#visited[at];
      if (from === undefined) break;
      if (this.#superseded.delete(at)) continue;
      for (let member = 1; member <= this.#world.memberCount; member++) {
        for (const input of this.#inputsOf(from.state, member)) {
          this.#steps += 1;
          const after = this.after(from.state, member, input);
          if (after === null) continue;
          if (after.violation !== null)
            return this.#result(this.#explain(at, member, input, after.violation), false);
          this.#visit(after.state, at, member, input, from.depth + 1);
        }
      }
      if (this.#visited.length >= this.#world.statesMax) return this.#result(null, false);
    }
    return this.#result(this.space.effectOfSpent(), true);
  }

  /** What `input` makes of the world. Null when nothing changes. */
  after(state: State, member: number, input: number): { state: State; violation: string | null } | null {
    const before = state.members[member - 1] ?? 0;
    const step = this.space.step(before, input);
    if (step.violation !== null) return { state, violation: step.violation };
    let { sent } = state;
    let violation: string | null = null;
    for (const message of step.sent) {
      const added = this.space.add(sent, message);
      sent = added.set;
      violation ??= added.violation;
      // Who was wiped has forgotten the other vote. That the two of them elect nobody wrong is what the other invariants ask.
      if (((state.wiped >>> member) & 1) === 0) violation ??= added.twoVotes;
    }
    const { type } = this.space.inputs[input] ?? { type: 'process' };
    const spent = BUDGET_OF[type];
    if (step.next === before && sent === state.sent && spent === undefined) return null;
    const next: State = {
      members: state.members.with(member - 1, step.next),
      sent,
      committed: state.committed,
      budget: spent === undefined ? state.budget : state.budget.with(spent, (state.budget[spent] ?? 0) - 1),
      wiped: type === 'wipe' ? state.wiped | (1 << member) : state.wiped,
    };
    if (violation !== null) return { state: next, violation };
    const committed = this.#commit(next, member);
    if (typeof committed === 'string') return { state: next, violation: committed };
    for (const [i, one] of next.members.entries()) {
      // Who may be wiped may yet hear of each term as for the first time.
      if (!this.#mayForget(next, i + 1)) sent = this.space.withoutSpent(sent, i + 1, one);
    }
    const complete = { ...next, sent, committed };
    return { state: complete, violation: this.#violationOf(complete) };
  }

  /**
   * Notes a state, unless one was met that can do all that it can: the same members' states, history and budget with at least the same messages. (A
   * message can always stay under way, so a world with more of them has all the futures of one with fewer.)
   */
  #visit(state: State, from: number, member: number, input: number, depth: number): void {
    let key = '';
    let chosen = 0;
    for (const symmetry of this.#symmetries) {
      const other = this.#keyOf(state, symmetry);
      if (key !== '' && other >= key) continue;
      key = other;
      chosen = symmetry;
    }
    const sent = this.space.renamedSet(state.sent, chosen);
    const met = this.#met.get(key) ?? [];
    if (met.some((one) => this.space.includes(one.sent, sent))) return;
    const kept = met.filter((one) => {
      const superseded = this.space.includes(sent, one.sent);
      if (superseded) this.#superseded.add(one.at);
      return !superseded;
    });
    kept.push({ sent, at: this.#visited.length });
    this.#met.set(key, kept);
    this.#visited.push({ state, from, member, input, depth });
  }

  #keyOf(state: State, symmetry: number): string {
    const names = this.space.permutations[symmetry] ?? [];
    const numbers: number[] = [];
    for (let i = 0; i < state.members.length; i++)
      numbers[(names[i + 1] ?? 0) - 1] = this.space.renamedState(state.members[i] ?? 0, symmetry);
    numbers.push(this.#renamedCommitted(state.committed, symmetry));
    let key = '';
    for (const number of numbers) key += String.fromCharCode(number & 0x7fff, number >>> 15);
    let wiped = 0;
    for (let member = 1; state.wiped >>> member > 0; member++)
      if (((state.wiped >>> member) & 1) === 1) wiped |= 1 << (names[member] ?? 0);
    return key + String.fromCharCode(...state.budget, wiped);
  }

  // --- what can happen ---------------------------------------------------------------------------------------------

  *#inputsOf(state: State, member: number): Generator<number> {
    const view = this.space.view(state.members[member - 1] ?? 0);
    const writes = view.unfinishedWrites;
    if (writes < (this.#world.writesMax ?? 2)) {
      for (const input of this.#ownInputs(view, state, member)) yield this.space.input(input);
      for (const message of this.space.receivedBy(state.sent, member))
        if (!this.#isOneRoundTooMany(view, message) && !this.#isOneRecoveryTooMany(view, message))
          yield this.#delivery(message);
    }
    for (let count = 1; count <= writes; count++) yield this.space.input({ type: 'finishWrites', count });
    if ((state.budget[CRASHES] ?? 0) > 0)
      for (let count = 0; count <= writes; count++) yield this.space.input({ type: 'crash', count });
    // A number that no other wipe has: what is left of the budget.
    if (
      this.#mayForget(state, member) &&
      (this.#world.mostMayForget === true || this.#mostRemember(state, member))
    )
      yield this.space.input({ type: 'wipe', recovery: state.budget[WIPES] ?? 0 });
  }

  #mayForget({ budget }: State, member: number): boolean {
    return (budget[WIPES] ?? 0) > 0 && this.#world.forgetful?.includes(member) !== false;
  }

  /** Also when this member forgets. */
  #mostRemember({ members }: State, member: number): boolean {
    const forgetful = members.filter((state, i) => i + 1 === member || this.space.view(state).recovers);
    return 2 * forgetful.length < members.length;
  }

  *#ownInputs(view: MemberView, state: State, member: number): Generator<Input> {
    const { termMax, campaigners, forgetsLeader, lazyReady, followerReadRequestsMax, memberCount } =
      this.#world;
    if (lazyReady === true && view.hasReady) yield { type: 'process' };
    if (view.role !== 'leader' && view.term < termMax && campaigners?.includes(member) !== false)
      yield { type: 'timeout' };
    // Time passes for a follower only so: it bounds how often one asks.
    if (view.trustsLeader && view.readRequests < (followerReadRequestsMax ?? 1)) yield { type: 'silence' };
    if (forgetsLeader === true && view.believesLeader) yield { type: 'forget' };
    if (view.hasOffer) {
      yield { type: 'install' };
      if (!view.isStored && (state.budget[CRASHES] ?? 0) > 0) yield { type: 'store' };
    }
    if (view.canCompact && (state.budget[COMPACTIONS] ?? 0) > 0) yield { type: 'compact' };
    const canRead = view.role === 'leader' || (followerReadRequestsMax !== undefined && view.believesLeader);
    if (canRead && (state.budget[READS] ?? 0) > 0)
      yield { type: 'read', committedBefore: this.#committedOf(state.committed).entries.length };
    if (view.role !== 'leader') return;
    if ((state.budget[PROPOSALS] ?? 0) > 0) yield { type: 'propose' };
    if ((state.budget[HEARTBEATS] ?? 0) > 0) yield { type: 'heartbeat' };
    if ((state.budget[TRANSFERS] ?? 0) > 0 && view.term < termMax)
      for (let to = 1; to <= memberCount; to++) if (to !== member) yield { type: 'transfer', to };
  }

  /** A follower's request can arrive again and again, and each time a round begins: without a bound there would be no end of states. */
  #isOneRoundTooMany({ readRounds }: MemberView, message: number): boolean {
    return (
      this.#message(message).type === 'readIndexRequest' && readRounds >= (this.#world.readRoundsMax ?? 1)
    );
  }

  /** Messages of several lives of a member, heard in turns, cost its leader an entry each time: there would be no end of states. */
  #isOneRecoveryTooMany({ role, log, recoveries }: MemberView, number: number): boolean {
    const message = this.#message(number);
    if (role !== 'leader' || (message.type !== 'appendResponse' && message.type !== 'heartbeatResponse'))
      return false;
    const { from, recovery } = message;
    if (recovery === 0 || recoveries.get(from) === recovery) return false;
    return log.length >= (this.#world.recoveryEntriesMax ?? RECOVERY_ENTRIES_MAX);
  }

  readonly #deliveries: number[] = [];
  #delivery(message: number): number {
    return (this.#deliveries[message] ??= this.space.input({
      type: 'deliver',
      message: this.#message(message),
    }));
  }

  // --- invariants --------------------------------------------------------------------------------------------------

  /** State Machine Safety (Committed Immutable, LogInv): what anybody commits at an index is what everybody ever did. */
  #commit(state: State, member: number): number | string {
    const { entries, inTerm } = this.#committedOf(state.committed);
    const view = this.space.view(state.members[member - 1] ?? 0);
    for (let i = 0; i < Math.min(view.commit, entries.length); i++) {
      if (view.log[i] !== entries[i])
        return `State Machine Safety: entry ${i + 1} was committed as ${described(entries[i])}, member ${member} commits ${described(view.log[i])}`;
    }
    if (view.commit <= entries.length) return state.committed;
    const news = view.log.slice(entries.length, view.commit);
    return this.#internCommitted([...entries, ...news], [...inTerm, ...news.map(() => view.term)]);
  }

  #violationOf(state: State): string | null {
    const views = state.members.map((member) => this.space.view(member));
    const { entries, inTerm } = this.#committedOf(state.committed);
    // CommittedOnQuorum (QuorumLogInv, CommittedIsDurableInv): a majority of disks holds all that is committed. The
    // check is for the whole prefix: whoever holds its end holds the rest, or Log Matching fails. Who recovers elects nobody, so it
    // counts among them: the others are too few to win without an entry.
    const holders = views.filter(
      (view) => view.recovers || entries.every((entry, i) => view.stored[i] === entry),
    );
    if (2 * holders.length <= views.length)
      return `Committed On Quorum: ${entries.length} entries are committed, and ${holders.length} of ${views.length} disks hold them, or recover`;
    for (const [i, view] of views.entries()) {
      for (const [j, other] of views.entries()) {
        if (i === j) continue;
        if (view.role === 'leader' && other.role === 'leader' && view.term === other.term && i < j)
          return `Election Safety: members ${i + 1} and ${j + 1} both lead in term ${view.term}`;
        if (i < j && !matching(view.log, other.log))
          return `Log Matching: members ${i + 1} and ${j + 1} share the term of an entry and not what is before it`;
        if (
          isNewer(view.log, other.log) &&
          other.log.slice(0, other.commit).some((entry, at) => view.log[at] !== entry)
        )
          return `MoreUpToDateCorrect: the log of member ${i + 1} is as new as that of ${j + 1} and lacks what that one committed`;
      }
      if (view.role !== 'leader') continue;
      const missing = entries.findIndex(
        (entry, at) => (inTerm[at] ?? 0) < view.term && view.log[at] !== entry,
      );
      if (missing !== -1)
        return `Leader Completeness: member ${i + 1} leads in term ${view.term} without entry ${missing + 1}, committed in term ${inTerm[missing]}`;
    }
    return null;
  }

  #committedOf(number: number): Committed {
    const found = this.#committed[number];
    if (found === undefined) throw new Error(`no history ${number}`);
    return found;
  }

  #internCommitted(entries: readonly number[], inTerm: readonly number[]): number {
    const key = `${entries.join()}|${inTerm.join()}`;
    const known = this.#committedByKey.get(key);
    if (known !== undefined) return known;
    this.#committed.push({ entries, inTerm, renamed: [] });
    this.#committedByKey.set(key, this.#committed.length - 1);
    return this.#committed.length - 1;
  }

  #renamedCommitted(number: number, symmetry: number): number {
    const { entries, inTerm, renamed } = this.#committedOf(number);
    const names = this.space.permutations[symmetry] ?? [];
    return (renamed[symmetry] ??= this.#internCommitted(
      entries.map((code) => code - (code % 10) + (names[code % 10] ?? code % 10)),
      inTerm,
    ));
  }

  // --- where it starts ---------------------------------------------------------------------------------------------

  /**
   * The start state. Its script is made of steps `timeout 1`, `silence 2`, `propose 1`, `heartbeat 1`, `wipe 1`, `finish 1` (all its writes), `deliver 1>2 voteRequest` (all such
   * messages), `settle 1 2` (these exchange all they have to say and finish their writes), `lose` (whatever is under way), `keep 1>2 voteRequest`
   * (and lose whatever else is under way).
   */
  #start(): { state: State; violation: string | null } {
    const { memberCount, disks, proposals = 0, reads = 0, crashes = 0, heartbeats = 0 } = this.#world;
    const { compactions = 0, transfers = 0, wipes } = this.#world;
    const members = Array.from({ length: memberCount }, (_, i) =>
      this.space.start(i + 1, disks?.[i] ?? diskOf(0, null, [])),
    );
    let state: State = {
      members,
      sent: this.space.nothingSent,
      committed: 0,
      budget: [9, 9, 9, 9, 9, 9, wipes === undefined ? 0 : 9],
      wiped: 0,
    };
    const act = (member: number, input: Input): boolean => {
      const after = this.after(state, member, this.space.input(input));
      if (typeof after?.violation === 'string') throw new Error(after.violation);
      const moved =
        after !== null && (after.state.sent !== state.sent || after.state.members !== state.members);
      if (after !== null) state = after.state;
      return moved;
    };
    try {
      for (const line of this.#world.script ?? []) {
        const [word = '', ...rest] = line.split(' ');
        const [from, to = 0] = (rest[0] ?? '').split('>').map(Number);
        const chosen = this.space.receivedBy(state.sent, to).filter((id) => {
          const message = this.#message(id);
          return message.from === from && message.type === rest[1];
        });
        if (word === 'lose' || word === 'keep') {
          let sent = this.space.nothingSent;
          for (const id of chosen) sent = this.space.add(sent, id).set;
          state = { ...state, sent };
        } else if (word === 'settle') this.#settle(rest.map(Number), () => state, act);
        else if (word === 'deliver')
          for (const id of chosen) act(to, { type: 'deliver', message: this.#message(id) });
        else {
          const member = Number(rest[0]);
          const count = this.space.view(state.members[member - 1] ?? 0).unfinishedWrites;
          if (word === 'finish') act(member, { type: 'finishWrites', count });
          else if (word === 'wipe') act(member, { type: 'wipe', recovery: state.budget[WIPES] ?? 0 });
          else act(member, { type: word } as Input);
        }
      }
    } catch (error) {
      return { state, violation: error instanceof Error ? error.message : String(error) };
    }
    return {
      state: {
        ...state,
        budget: [proposals, reads, crashes, heartbeats, compactions, transfers, wipes ?? 0],
      },
      violation: null,
    };
  }

  #settle(among: readonly number[], now: () => State, act: (member: number, input: Input) => boolean): void {
    const delivered = new Set<number>();
    for (let moved = true; moved;) {
      moved = false;
      for (const member of among) {
        const count = this.space.view(now().members[member - 1] ?? 0).unfinishedWrites;
        if (count > 0) moved = act(member, { type: 'finishWrites', count }) || moved;
        for (const id of this.space.receivedBy(now().sent, member)) {
          const message = this.#message(id);
          if (delivered.has(id) || !among.includes(message.from)) continue;
          delivered.add(id);
          act(member, { type: 'deliver', message });
          moved = true;
        }
      }
    }
  }

  // --- telling -----------------------------------------------------------------------------------------------------

  #message(number: number): Message {
    const found = this.space.messages[number];
    if (found === undefined) throw new Error(`no message ${number}`);
    return found;
  }

  #explain(at: number, member: number, input: number, violation: string): string {
    const lines = [this.#sentence(member, input)];
    for (let i = at; i > 0;) {
      const step = this.#visited[i];
      if (step === undefined) break;
      lines.push(this.#sentence(step.member, step.input));
      i = step.from;
    }
    const script = this.#world.script ?? [];
    const before = script.length > 0 ? [`First, to get to the start: ${script.join(', ')}.`] : [];
    return [...before, ...lines.toReversed(), violation].join('\n');
  }

  #sentence(member: number, number: number): string {
    const input = this.space.inputs[number];
    if (input === undefined) return '';
    switch (input.type) {
      case 'deliver': {
        const { type, from, to: _, ...fields } = input.message;
        return `Member ${member} receives from ${from} ${type} ${JSON.stringify(fields, shortened)}.`;
      }
      case 'finishWrites':
        return `The oldest ${input.count} writes of member ${member} are on disk.`;
      case 'crash':
        return `Member ${member} loses power and starts again; ${input.count} of its unfinished writes were on disk.`;
      case 'wipe':
        return `Member ${member} loses its disk and starts again with an empty one, under recovery ${input.recovery}.`;
      case 'transfer':
        return `Member ${member} is asked to hand its leadership to ${input.to}.`;
      case 'read':
        return `A client asks member ${member} for a read that must see ${input.committedBefore} entries.`;
      default:
        return `Member ${member}: ${SENTENCES[input.type]}.`;
    }
  }

  #result(violation: string | null, complete: boolean): SmallSearch {
    return {
      world: this.#world.name,
      violation,
      states: this.#visited.length,
      steps: this.#steps,
      coreSteps: this.space.coreSteps,
      memberStates: this.space.memberStates,
      complete,
      depth: this.#visited.at(-1)?.depth ?? 0,
    };
  }
}

const SENTENCES = {
  timeout: 'its election timer ends, it campaigns',
  silence: 'its leader has been silent for an election timeout',
  forget: 'it is told that its leader is gone',
  heartbeat: 'a tick passes for this leader',
  propose: 'a client proposes a command',
  process: 'its driver takes a Ready',
  compact: 'it takes a snapshot and gives up its log',
  store: 'the snapshot that it was offered is on its disk',
  install: 'the snapshot that it was offered is on its disk, and installed',
} as const;

const BUDGET_OF: Partial<Record<Input['type'], number>> = {
  propose: PROPOSALS,
  read: READS,
  crash: CRASHES,
  heartbeat: HEARTBEATS,
  compact: COMPACTIONS,
  transfer: TRANSFERS,
  wipe: WIPES,
};

function shortened(name: string, value: unknown): unknown {
  return name === 'payload' ? undefined : value;
}

function described(code: number | undefined): string {
  if (code === undefined) return 'nothing';
  const what = code % 10 === 9 ? 'a noop' : `a command of member ${code % 10}`;
  return `${what} of term ${Math.floor(code / 10)}`;
}

const termOf = (code: number | undefined): number => Math.floor((code ?? 0) / 10);

/** Log Matching: two logs that share an entry's index and term are equal up to there. */
function matching(a: readonly number[], b: readonly number[]): boolean {
  for (let i = Math.min(a.length, b.length) - 1; i >= 0; i--) {
    if (termOf(a[i]) === termOf(b[i])) return a.slice(0, i + 1).every((entry, at) => entry === b[at]);
  }
  return true;
}

/** Newer in Raft's sense, or as new: by last term first, then by length. */
function isNewer(a: readonly number[], b: readonly number[]): boolean {
  const [termA, termB] = [termOf(a.at(-1)), termOf(b.at(-1))];
  return termA > termB || (termA === termB && a.length >= b.length);
}
