import assert from 'node:assert/strict';
import type { HistoryOperation } from './history.js';

/**
 * `opaque`: the revision of an entry is a name and nothing more. `rising`: also, revisions and heads never fall from one
 * operation of the key to the next one in the order, which is what one store with one counter promises.
 */
export type RevisionMeaning = 'opaque' | 'rising';

/**
 * What one key may hold. Undefined is "not determined yet": an open write nobody told the revision of, or, after a window that was
 * given up, anything at all. The first operation that sees the entry determines it. So a state stands for a set of registers.
 */
export interface RegisterState {
  /** Its place in the table of states: equal states are the same object. */
  readonly id: number;
  /** Null: nothing there. */
  readonly value: string | null | undefined;
  readonly revision: number | null | undefined;
  /** `rising`: the revision of the store is at least this. Always 0 if `opaque`. */
  readonly floor: number;
  /** Made by an optional operation, and nobody has seen it yet. */
  readonly unseen: boolean;
}

/** An operation as the search sees it. */
export interface Task {
  readonly operation: HistoryOperation;
  /** A write with unknown outcome, of which no trace was found: it may be left out of the order. */
  readonly optional: boolean;
}

/** A deletion that may be left out, and of which nothing is known but its condition. */
export function isOpenDeletion({ operation, optional }: Task): boolean {
  return optional && operation.type === 'write' && operation.value === null && operation.revision === null;
}

/** The sequential specification: what one operation does to the register of its key, or that it cannot stand there. */
export class RegisterModel {
  readonly #rising: boolean;
  readonly #mayOwn: (value: string, revision: number) => boolean;
  readonly #states: RegisterState[] = [];
  readonly #byName = new Map<string, RegisterState>();

  /** `mayOwn`: what the whole history tells of an entry of which nobody was told the revision. */
  constructor(meaning: RevisionMeaning, mayOwn: (value: string, revision: number) => boolean) {
    this.#rising = meaning === 'rising';
    this.#mayOwn = mayOwn;
  }

  get absent(): RegisterState {
    return this.#intern(null, null, 0, false);
  }

  /** Every state at once: what is known after a window that could not be decided. */
  get anything(): RegisterState {
    return this.#intern(undefined, undefined, 0, false);
  }

  state(id: number): RegisterState {
    const state = this.#states[id];
    assert(state !== undefined, `no state ${id}`);
    return state;
  }

  /** The state after the task, or null if it cannot take effect in this state. */
  step(state: RegisterState, task: Task): RegisterState | null {
    return task.operation.type === 'read' ? this.#read(state, task) : this.#write(state, task);
  }

  #read(state: RegisterState, { operation }: Task): RegisterState | null {
    if (operation.type !== 'read') return null;
    const { entryRevision: revision, head } = operation;
    const value = revision === null ? (operation.value ?? null) : operation.value;
    if (value !== undefined && (value === null) !== (revision === null)) return null;
    if (!this.#holds(state, revision)) return null;
    if (value !== undefined && state.value !== undefined && state.value !== value) return null;
    let floor = 0;
    if (this.#rising) {
      if (head < state.floor || head < (revision ?? 0)) return null;
      floor = head;
    }
    return this.#intern(value === undefined ? state.value : value, revision, floor, false);
  }

  #write(state: RegisterState, { operation, optional }: Task): RegisterState | null {
    if (operation.type !== 'write') return null;
    const { value, replaced } = operation;
    if (replaced !== undefined) {
      if (!this.#holds(state, replaced)) return null;
    } else if (state.unseen) {
      // Without the write that nobody saw everything after it is still legal, and that write still to be had.
      return null;
    }
    // An optional write that changes nothing is better kept for later.
    if (optional && value === null && state.value === null) return null;
    const told = operation.revision ?? undefined;
    let floor = 0;
    if (this.#rising) {
      const lowest = Math.max(state.floor, replaced ?? 0) + 1;
      floor = told ?? lowest;
      if (floor < lowest) return null;
    }
    return this.#intern(value, value === null ? null : told, floor, optional);
  }

  /** May the entry have this revision (null: may there be none)? */
  #holds(state: RegisterState, revision: number | null): boolean {
    if (state.revision !== undefined) return state.revision === revision;
    if (state.value === undefined) return true;
    // An entry is there, of an open write: its revision was never told, but taken after all that stands before it.
    return revision !== null && revision >= state.floor && this.#mayOwn(state.value ?? '', revision);
  }

  #intern(
    value: string | null | undefined,
    revision: number | null | undefined,
    floor: number,
    unseen: boolean,
  ): RegisterState {
    const tag = value === undefined ? '?' : value === null ? '-' : `=${value}`;
    const name = `${revision} ${floor} ${unseen} ${tag}`;
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const state = { id: this.#states.length, value, revision, floor, unseen };
    this.#states.push(state);
    this.#byName.set(name, state);
    return state;
  }
}
