import assert from 'node:assert/strict';
import { describeOperation } from './describe.js';
import type { HistoryOperation } from './history.js';
import { RegisterModel, isOpenDeletion, type RevisionMeaning, type Task } from './register.js';
import { Relevance } from './relevance.js';
import { WindowSearch, type Configuration, type Obstacle, type WindowEvent } from './wing-gong-lowe.js';

export interface KeyCheckOptions {
  /** How many operations are invoked in a window before it is cut, at most. */
  readonly windowOperationsMax: number;
  /** How many combinations of (operations placed, state) a window may remember before it is given up as undecided. */
  readonly memoEntriesMax: number;
  /** How many configurations may cross a cut before the window is given up as undecided. */
  readonly configurationsMax: number;
  readonly revisions: RevisionMeaning;
}

export const KEY_CHECK_DEFAULTS: KeyCheckOptions = {
  windowOperationsMax: 64,
  memoEntriesMax: 500_000,
  configurationsMax: 10_000,
  revisions: 'opaque',
};

export interface KeyCheckCounts {
  readonly operations: number;
  readonly keys: number;
  readonly windows: number;
  /** Given up for want of memory. What comes after each was still checked, with "anything may be there". */
  readonly undecidedWindows: number;
  /** The largest numbers of any window: how near the limits it came. */
  readonly memoEntriesMost: number;
  readonly configurationsMost: number;
}

export type KeyVerdict =
  | { readonly outcome: 'linearizable'; readonly counts: KeyCheckCounts }
  | { readonly outcome: 'undecided'; readonly counts: KeyCheckCounts; readonly keys: readonly string[] }
  | {
      readonly outcome: 'violation';
      readonly counts: KeyCheckCounts;
      readonly key: string;
      /** One sentence for a person. */
      readonly reason: string;
      /** Ids: the operation that no order can place, and the write that the order which came furthest stands at. */
      readonly offending: readonly number[];
    };

interface Counts {
  operations: number;
  keys: number;
  windows: number;
  undecidedWindows: number;
  memoEntriesMost: number;
  configurationsMost: number;
}

/**
 * Is the history of each key, taken alone, that of a register? A history is linearizable exactly if that of each object is
 * (Herlihy and Wing 1990; Lowe calls it P-compositionality), so the search never looks at two keys at once.
 *
 * Unlike the sweep over revisions it is told nothing about the order of operations, and it does not need values to be unique. It
 * checks values, revisions of entries, conditions, absences, refused writes (never happened) and open writes (may have). What it
 * cannot see: that the revisions of two keys agree, and, with `opaque`, heads.
 */
export function checkByKey(
  history: readonly HistoryOperation[],
  options: Partial<KeyCheckOptions> = {},
): KeyVerdict {
  const limits = { ...KEY_CHECK_DEFAULTS, ...options };
  assert(limits.windowOperationsMax >= 1 && limits.windowOperationsMax <= 1 << 16);
  const counts: Counts = {
    operations: history.length,
    keys: 0,
    windows: 0,
    undecidedWindows: 0,
    memoEntriesMost: 0,
    configurationsMost: 0,
  };
  const undecided: string[] = [];
  for (const [key, operations] of byKey(history)) {
    counts.keys += 1;
    const undecidedBefore = counts.undecidedWindows;
    const check = new KeyCheck(operations, limits, counts);
    const violation = check.run();
    if (violation !== null) return { outcome: 'violation', counts, key, ...violation };
    if (counts.undecidedWindows > undecidedBefore) undecided.push(key);
  }
  if (undecided.length > 0) return { outcome: 'undecided', counts, keys: undecided };
  return { outcome: 'linearizable', counts };
}

interface Event extends WindowEvent {
  readonly at: number;
}

/**
 * One key, window by window. A cut is a moment. What was invoked before it and had not returned crosses it: it may be before the
 * cut in the order, or after. So all that the past means for the future is a *configuration*: the state of the register, and which
 * of the crossing operations are in the order already. The windows hand on the set of all configurations that can be reached; the
 * history is legal exactly if the set is not empty at the end. That holds wherever the cut is made; at a moment when nothing is
 * under way, the set is smallest, because only writes with unknown outcome cross it.
 *
 * A configuration with fewer open writes spent is at least as good as another with the same state: open writes need not happen.
 * Hence the worse one is dropped.
 */
class KeyCheck {
  readonly #limits: KeyCheckOptions;
  readonly #counts: Counts;
  readonly #model: RegisterModel;
  readonly #tasks: Task[];
  readonly #events: readonly Event[];
  readonly #relevance: Relevance;
  /** By task: the position in `#events` of its return; Infinity: never. */
  readonly #returnsAt: readonly number[];
  /** By position: how many operations are under way after that event, without those that stay open for ever. */
  readonly #underWay: readonly number[];
  /** Tasks that were invoked and may still take effect, in the order of their calls. */
  #carried: number[] = [];
  /** `placed` holds tasks here, where it holds indexes of the window's tasks within the search. */
  #configurations: readonly Configuration[];

  constructor(operations: readonly HistoryOperation[], limits: KeyCheckOptions, counts: Counts) {
    this.#limits = limits;
    this.#counts = counts;
    const relevance = new Relevance(operations);
    this.#relevance = relevance;
    this.#model = new RegisterModel(limits.revisions, (value, revision) => relevance.mayOwn(value, revision));
    this.#tasks = operations
      .filter((operation) => operation.type === 'read' || operation.outcome !== 'none')
      .map((operation) => ({ operation, optional: isOptional(operation) }))
      .filter((task) => this.#relevance.everMatters(task));
    this.#events = eventsOf(this.#tasks);
    ({ returnsAt: this.#returnsAt, underWay: this.#underWay } = spansOf(this.#tasks, this.#events));
    this.#configurations = [{ state: this.#model.absent, placed: [] }];
  }

  run(): { reason: string; offending: number[] } | null {
    for (let from = 0; from < this.#events.length;) {
      const to = this.#nextCut(from);
      this.#counts.windows += 1;
      const obstacle = this.#window(from, to);
      if (obstacle !== null) return this.#explain(obstacle);
      from = to;
    }
    return null;
  }

  /**
   * Where the window that begins here ends: as far on as allowed at a moment when nothing is under way; without such a moment,
   * where least is under way in the second half.
   */
  #nextCut(from: number): number {
    const max = this.#limits.windowOperationsMax;
    let calls = 0;
    let least = Infinity;
    let best = from;
    for (let position = from; position < this.#events.length; position += 1) {
      const event = this.#events[position];
      assert(event !== undefined);
      if (!event.isReturn && calls === max) return best;
      if (!event.isReturn) calls += 1;
      const underWay = this.#underWay[position] ?? 0;
      if (underWay === 0 || (least > 0 && 2 * calls >= max && underWay <= least)) {
        least = underWay;
        best = position + 1;
      }
    }
    return this.#events.length;
  }

  #window(from: number, to: number): Obstacle | null {
    const isLast = to === this.#events.length;
    const fresh = this.#events.slice(from, to);
    const invoked = fresh.filter(({ isReturn }) => !isReturn).map(({ task }) => task);
    const available = [...this.#available(invoked.length), ...invoked];
    const indexOf = new Map(available.map((task, index) => [task, index]));
    const events: WindowEvent[] = available
      .slice(0, available.length - invoked.length)
      .map((_, task) => ({ task, isReturn: false }));
    for (const { task, isReturn } of fresh) {
      const index = indexOf.get(task);
      if (index !== undefined && !(isReturn && this.#isLeftOpen(task)))
        events.push({ task: index, isReturn });
    }
    const tasks = available.map((task) => this.#task(task));
    const search = new WindowSearch(this.#model, tasks, events, this.#limits.memoEntriesMax);
    const decided = this.#exploreAll(search, indexOf, isLast);
    this.#counts.memoEntriesMost = Math.max(this.#counts.memoEntriesMost, search.memoEntries);
    if (decided && search.ends.length === 0) {
      const { obstacle } = search;
      assert(obstacle !== null, 'a search that ends nowhere met an obstacle');
      return { ...obstacle, task: available[obstacle.task] ?? -1 };
    }
    const crossing = [...this.#carried, ...invoked].filter(
      (task) => (this.#returnsAt[task] ?? 0) >= to || this.#task(task).optional,
    );
    const ends = search.ends.map(({ state, placed }) => ({
      state,
      placed: placed.map((index) => available[index] ?? -1),
    }));
    if (decided && this.#carryOver(ends, crossing, to)) return null;
    this.#counts.undecidedWindows += 1;
    this.#giveUp(crossing);
    return null;
  }

  #exploreAll(search: WindowSearch, indexOf: ReadonlyMap<number, number>, firstOnly: boolean): boolean {
    for (const { state, placed } of this.#configurations) {
      const indexes = placed.flatMap((task) => indexOf.get(task) ?? []);
      if (!search.explore({ state, placed: indexes }, firstOnly)) return false;
      if (firstOnly && search.ends.length > 0) return true;
    }
    return true;
  }

  /** The set of configurations for the next window, without the worse ones. False: they are too many. */
  #carryOver(ends: readonly Configuration[], crossing: readonly number[], to: number): boolean {
    const now = this.#events[to]?.at ?? Infinity;
    const kept = new Set(crossing.filter((task) => this.#relevance.stillMatters(this.#task(task), now)));
    const best = new Map<string, Configuration[]>();
    for (const end of ends.toSorted((left, right) => left.placed.length - right.placed.length)) {
      const placed = end.placed.filter((task) => kept.has(task));
      const required = placed.filter((task) => !this.#task(task).optional);
      const name = `${end.state.id}:${required.join(',')}`;
      const rivals = best.get(name) ?? [];
      best.set(name, rivals);
      if (rivals.some((rival) => isSubset(rival.placed, placed))) continue;
      rivals.push({ state: end.state, placed });
    }
    const configurations = [...best.values()].flat();
    this.#counts.configurationsMost = Math.max(this.#counts.configurationsMost, configurations.length);
    if (configurations.length > this.#limits.configurationsMax) return false;
    this.#configurations = configurations;
    const states = configurations.map(({ state }) => state);
    this.#carried = [...kept].filter((task) => {
      // What every order has placed is of no more interest to any.
      if (configurations.every(({ placed }) => placed.includes(task))) return false;
      return !this.#relevance.isHopeless(this.#task(task), now, states);
    });
    return true;
  }

  /** Nothing is known any more: what crosses the cut may have taken effect or not, and anything may be there. */
  #giveUp(crossing: readonly number[]): void {
    this.#carried = crossing.filter((task) => this.#task(task).operation.type === 'write');
    for (const task of this.#carried) this.#tasks[task] = { ...this.#task(task), optional: true };
    this.#configurations = [{ state: this.#model.anything, placed: [] }];
  }

  /** Its return no longer demands that it be placed. */
  #isLeftOpen(task: number): boolean {
    return this.#task(task).optional;
  }

  /**
   * What is carried into a window. Of open deletions that do the same, no more can be spent in it than there are writes that make
   * something to delete, and one more for what is there at its beginning; the later ones wait.
   */
  #available(invoked: number): number[] {
    const puts = invoked + this.#carried.filter((task) => !isOpenDeletion(this.#task(task))).length;
    const unplaced = new Map<number | null | undefined, number>();
    return this.#carried.filter((index) => {
      const task = this.#task(index);
      if (task.operation.type !== 'write' || !isOpenDeletion(task)) return true;
      if (this.#configurations.some(({ placed }) => placed.includes(index))) return true;
      const { replaced } = task.operation;
      const count = (unplaced.get(replaced) ?? 0) + 1;
      unplaced.set(replaced, count);
      return count <= puts + 1;
    });
  }

  #task(index: number): Task {
    const task = this.#tasks[index];
    assert(task !== undefined, `no task ${index}`);
    return task;
  }

  #explain({ task, state }: Obstacle): { reason: string; offending: number[] } {
    const { operation } = this.#task(task);
    const writer = this.#tasks.find(
      (other) =>
        other.operation.type === 'write' &&
        other.operation.value === state.value &&
        (state.value !== null || other.operation.revision === state.revision) &&
        other.operation !== operation,
    )?.operation;
    const held =
      state.value === null
        ? 'there was nothing'
        : `the newest value was ${state.value ?? 'not known'} (revision ${state.revision ?? 'not told'}` +
          `${writer === undefined ? '' : `, operation ${writer.id}`})`;
    return {
      reason:
        `${describeOperation(operation)}, but no order of the operations on ${operation.key} allows it: ` +
        `in the one that came furthest ${held}`,
      offending: writer === undefined ? [operation.id] : [writer.id, operation.id],
    };
  }
}

function byKey(history: readonly HistoryOperation[]): Map<string, HistoryOperation[]> {
  const groups = new Map<string, HistoryOperation[]>();
  for (const operation of history) {
    const group = groups.get(operation.key);
    if (group === undefined) groups.set(operation.key, [operation]);
    else group.push(operation);
  }
  return groups;
}

function isOptional(operation: HistoryOperation): boolean {
  return operation.type === 'write' && operation.outcome === 'unknown' && operation.revision === null;
}

/** Infinity: it stays open for ever. If it is known to have happened, that is only demanded at the very end. */
function completionOf(operation: HistoryOperation): number {
  if (operation.type === 'read') return operation.completedAt;
  return operation.outcome === 'done' ? (operation.completedAt ?? Infinity) : Infinity;
}

/** In time order; at equal times calls come first, because operations that touch overlap. */
function eventsOf(tasks: readonly Task[]): Event[] {
  const events: Event[] = [];
  for (const [task, { operation, optional }] of tasks.entries()) {
    const completedAt = completionOf(operation);
    assert(completedAt >= operation.invokedAt, `operation ${operation.id} completed before it was invoked`);
    events.push({ task, isReturn: false, at: operation.invokedAt });
    if (!optional) events.push({ task, isReturn: true, at: completedAt });
  }
  return events.sort(
    (left, right) =>
      // Two infinite times differ by NaN.
      (left.at === right.at ? 0 : left.at - right.at) || Number(left.isReturn) - Number(right.isReturn),
  );
}

function spansOf(
  tasks: readonly Task[],
  events: readonly Event[],
): { returnsAt: number[]; underWay: number[] } {
  const returnsAt = tasks.map(() => Infinity);
  for (const [position, { task, isReturn }] of events.entries()) if (isReturn) returnsAt[task] = position;
  let count = 0;
  const underWay = events.map(({ task, isReturn }) => {
    const operation = tasks[task]?.operation;
    if (operation !== undefined && completionOf(operation) < Infinity) count += isReturn ? -1 : 1;
    return count;
  });
  return { returnsAt, underWay };
}

/** Both are short and in ascending order of invocation. */
function isSubset(few: readonly number[], many: readonly number[]): boolean {
  return few.every((task) => many.includes(task));
}
