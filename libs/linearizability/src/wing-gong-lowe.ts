import assert from 'node:assert/strict';
import { isOpenDeletion, type RegisterModel, type RegisterState, type Task } from './register.js';

/*
 * The search of Wing and Gong ("Testing and verifying concurrent objects", JPDC 17, 1993) with the memory of Lowe ("Testing for
 * linearizability", Concurrency and Computation 29(4), 2017): walk a list of calls and returns in time order; where a call's
 * operation may take effect, let it, take it out of the list, and start again from the front; at a return, the operation that
 * returns has not been placed, so take back the latest choice. Never enter one combination of (operations placed, state) twice.
 *
 * Here it runs over one window of the operations of one key, from a given configuration, and collects every configuration in
 * which the window can end, instead of the first: that is what the next window starts from.
 */

/** A call or a return, of the task with this index. */
export interface WindowEvent {
  readonly task: number;
  readonly isReturn: boolean;
}

/** Where an order of operations may stand at a cut: the state, and which tasks of the window that have not returned are in it. */
export interface Configuration {
  readonly state: RegisterState;
  readonly placed: readonly number[];
}

/** The order that came furthest, and the task that it could not place before its return. */
export interface Obstacle {
  readonly task: number;
  readonly state: RegisterState;
  readonly returnsLeft: number;
}

interface ListEntry {
  readonly task: number;
  /** Of a call: its return, if that is within the window. */
  readonly match: ListEntry | null;
  readonly isReturn: boolean;
  previous: ListEntry | null;
  next: ListEntry | null;
}

interface Choice {
  readonly call: ListEntry;
  readonly stateBefore: RegisterState;
  /** A read that changed nothing: there is no use in placing it later instead. */
  readonly final: boolean;
}

export class WindowSearch {
  readonly #model: RegisterModel;
  readonly #tasks: readonly Task[];
  readonly #events: readonly WindowEvent[];
  readonly #memoEntriesMax: number;
  /** Of two optional tasks that do the same, the later one waits for the earlier one: the index of that, or -1. */
  readonly #twins: readonly number[];
  /** One bit per task: it is in the order. */
  readonly #placed: Uint16Array;
  /** Tasks that do not return within the window. */
  readonly #crossing: readonly number[];
  readonly #memo = new Set<string>();
  readonly #ends = new Map<string, Configuration>();
  #obstacle: Obstacle | null = null;

  constructor(
    model: RegisterModel,
    tasks: readonly Task[],
    events: readonly WindowEvent[],
    memoEntriesMax: number,
  ) {
    this.#model = model;
    this.#tasks = tasks;
    this.#events = events;
    this.#memoEntriesMax = memoEntriesMax;
    this.#placed = new Uint16Array(Math.ceil(tasks.length / 16));
    this.#twins = twinsOf(tasks);
    const returning = new Set(events.filter(({ isReturn }) => isReturn).map(({ task }) => task));
    this.#crossing = [...tasks.keys()].filter((task) => !returning.has(task));
  }

  get memoEntries(): number {
    return this.#memo.size;
  }

  get obstacle(): Obstacle | null {
    return this.#obstacle;
  }

  get ends(): readonly Configuration[] {
    return [...this.#ends.values()];
  }

  /**
   * Adds all configurations in which the window can end if it starts in this one. With `firstOnly` one is enough. False: the memory
   * did not suffice, and nothing follows.
   */
  explore(start: Configuration, firstOnly: boolean): boolean {
    this.#placed.fill(0);
    for (const task of start.placed) this.#mark(task, true);
    const { head, returns } = this.#link();
    const choices: Choice[] = [];
    let { state } = start;
    let returnsLeft = returns;
    let entry = head.next;
    for (;;) {
      const next = entry === null || entry.isReturn || returnsLeft === 0 ? null : this.#try(entry, state);
      if (entry !== null && next !== null) {
        const final = next === state && this.#task(entry.task).operation.type === 'read';
        if (final || this.#remember(entry.task, next)) {
          if (this.#memo.size > this.#memoEntriesMax) return false;
          choices.push({ call: entry, stateBefore: state, final });
          this.#mark(entry.task, true);
          lift(entry);
          if (entry.match !== null) returnsLeft -= 1;
          state = next;
          entry = head.next;
          continue;
        }
      }
      if (returnsLeft > 0 && entry !== null && !entry.isReturn) {
        entry = entry.next;
        continue;
      }
      if (returnsLeft === 0) {
        this.#addEnd(state);
        if (firstOnly) return true;
      } else {
        assert(entry !== null, 'a return that is left is in the list');
        this.#noteObstacle({ task: entry.task, state, returnsLeft });
      }
      let choice = choices.pop();
      for (; choice !== undefined; choice = choices.pop()) {
        unlift(choice.call);
        this.#mark(choice.call.task, false);
        if (choice.call.match !== null) returnsLeft += 1;
        state = choice.stateBefore;
        if (!choice.final) break;
      }
      if (choice === undefined) return true;
      entry = choice.call.next;
    }
  }

  #task(index: number): Task {
    const task = this.#tasks[index];
    assert(task !== undefined, `no task ${index}`);
    return task;
  }

  #isPlaced(task: number): boolean {
    return ((this.#placed[task >>> 4] ?? 0) & (1 << (task & 15))) !== 0;
  }

  #mark(task: number, placed: boolean): void {
    const word = this.#placed[task >>> 4] ?? 0;
    const bit = 1 << (task & 15);
    this.#placed[task >>> 4] = placed ? word | bit : word & ~bit;
  }

  #try(call: ListEntry, state: RegisterState): RegisterState | null {
    const twin = this.#twins[call.task] ?? -1;
    if (twin >= 0 && !this.#isPlaced(twin)) return null;
    return this.#model.step(state, this.#task(call.task));
  }

  /** True if nobody has been here: with these tasks placed, and this one, in this state. The key is exact, not a hash. */
  #remember(task: number, state: RegisterState): boolean {
    this.#mark(task, true);
    const key = this.#key(state);
    this.#mark(task, false);
    const before = this.#memo.size;
    this.#memo.add(key);
    return this.#memo.size > before;
  }

  #key(state: RegisterState): string {
    return String.fromCharCode(state.id & 0xffff, state.id >>> 16, ...this.#placed);
  }

  #addEnd(state: RegisterState): void {
    const placed = this.#crossing.filter((task) => this.#isPlaced(task));
    this.#ends.set(this.#key(state), { state, placed });
  }

  #noteObstacle(obstacle: Obstacle): void {
    if (this.#obstacle === null || obstacle.returnsLeft < this.#obstacle.returnsLeft) {
      this.#obstacle = obstacle;
    }
  }

  /** The list of the window without what is placed already. Calls without a return in the window stay to be taken or left. */
  #link(): { head: ListEntry; returns: number } {
    const matches = new Map<number, ListEntry>();
    let next: ListEntry | null = null;
    let returns = 0;
    for (const { task, isReturn } of this.#events.toReversed()) {
      if (this.#isPlaced(task)) continue;
      const match = isReturn ? null : (matches.get(task) ?? null);
      const entry: ListEntry = { task, match, isReturn, previous: null, next };
      if (next !== null) next.previous = entry;
      if (isReturn) {
        matches.set(task, entry);
        returns += 1;
      }
      next = entry;
    }
    const head: ListEntry = { task: -1, match: null, isReturn: false, previous: null, next };
    if (next !== null) next.previous = head;
    return { head, returns };
  }
}

/** Takes a call and its return out of the list. They keep their neighbours, so that they can be put back in reverse order. */
function lift(call: ListEntry): void {
  unhook(call);
  if (call.match !== null) unhook(call.match);
}

function unlift(call: ListEntry): void {
  if (call.match !== null) rehook(call.match);
  rehook(call);
}

function unhook(entry: ListEntry): void {
  if (entry.previous !== null) entry.previous.next = entry.next;
  if (entry.next !== null) entry.next.previous = entry.previous;
}

function rehook(entry: ListEntry): void {
  if (entry.previous !== null) entry.previous.next = entry;
  if (entry.next !== null) entry.next.previous = entry;
}

/** Deletions that may be left out and have the same condition do the same: which of them it was makes no difference. */
function twinsOf(tasks: readonly Task[]): number[] {
  const latest = new Map<number | null | undefined, number>();
  return tasks.map((task, index) => {
    if (!isOpenDeletion(task) || task.operation.type !== 'write') return -1;
    const { replaced } = task.operation;
    const twin = latest.get(replaced) ?? -1;
    latest.set(replaced, index);
    return twin;
  });
}
