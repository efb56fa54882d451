import type { HistoryOperation } from './history.js';
import { isOpenDeletion, type RegisterState, type Task } from './register.js';

/**
 * What the whole history of a key gives away before the search: which revision belongs to which value, and with it which open writes
 * can matter at all. An open write that nobody saw can be left out of any order in which it stands, and the order stays legal:
 * whoever came after it either did not look, or would have seen it. So the search need not carry it.
 */
export class Relevance {
  /** By revision: the value that was written or seen with it. Undefined: several, because somebody lies. */
  readonly #owners = new Map<number, string | undefined>();
  /** By value: when the last read that saw it completed. */
  readonly #lastReadAt = new Map<string, number>();
  /** By revision: when the acknowledged write of that revision completed. */
  readonly #writtenAt = new Map<number, number>();
  /** When the last operation completed that names, without a value, a revision of which nobody tells the value. */
  readonly #lastUnknownAt: number;

  constructor(operations: readonly HistoryOperation[]) {
    const named: { revision: number; until: number }[] = [];
    for (const operation of operations) {
      if (operation.type === 'write') {
        const { outcome, revision, replaced, value } = operation;
        if (outcome === 'none') continue;
        const until = outcome === 'done' ? (operation.completedAt ?? Infinity) : Infinity;
        if (typeof replaced === 'number') named.push({ revision: replaced, until });
        if (revision === null) continue;
        this.#own(revision, value);
        this.#writtenAt.set(revision, until);
        continue;
      }
      const { value, entryRevision: revision, completedAt: until } = operation;
      if (revision === null) continue;
      if (typeof value === 'string') {
        this.#own(revision, value);
        this.#lastReadAt.set(value, Math.max(this.#lastReadAt.get(value) ?? -Infinity, until));
      } else {
        named.push({ revision, until });
      }
    }
    const unknown = named.filter(({ revision }) => !this.#owners.has(revision));
    this.#lastUnknownAt = unknown.reduce((latest, { until }) => Math.max(latest, until), -Infinity);
  }

  #own(revision: number, value: string | null): void {
    if (value === null) return;
    const isOther = this.#owners.has(revision) && this.#owners.get(revision) !== value;
    this.#owners.set(revision, isOther ? undefined : value);
  }

  /** Can an entry with this value, of which nobody was told the revision, have this one? */
  mayOwn(value: string, revision: number): boolean {
    return (this.#owners.get(revision) ?? value) === value;
  }

  everMatters(task: Task): boolean {
    return this.stillMatters(task, -Infinity);
  }

  /** Can it matter to what happens from now on, if it has not taken effect so far? */
  stillMatters({ operation, optional }: Task, now: number): boolean {
    if (!optional || operation.type !== 'write' || operation.revision !== null) return true;
    // It would have deleted nothing.
    if (operation.value === null) return operation.replaced !== null;
    const until = Math.max(this.#lastReadAt.get(operation.value) ?? -Infinity, this.#lastUnknownAt);
    return until > -Infinity && until >= now;
  }

  /** An open deletion of one entry only, which has been there, and is no more in any of the states. */
  isHopeless(task: Task, now: number, states: readonly RegisterState[]): boolean {
    const { operation } = task;
    if (!isOpenDeletion(task) || operation.type !== 'write') return false;
    if (typeof operation.replaced !== 'number') return false;
    if ((this.#writtenAt.get(operation.replaced) ?? Infinity) >= now) return false;
    return states.every(({ revision }) => revision !== undefined && revision !== operation.replaced);
  }
}
