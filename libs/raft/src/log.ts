import assert from 'node:assert/strict';
import { logIndex, term, type LogEntry, type LogIndex, type Term } from './types.js';

/**
 * The replicated log as one member sees it, in memory, with the cursors that order its life:
 *
 *     applied <= min(committed, durable) <= last      and      durable < nextToPersist <= last + 1
 *
 * `nextToPersist` is the first entry that no Ready has carried yet; `durable` is what surely survives a crash.
 */
export class RaftLog {
  readonly #entries: LogEntry[];
  #durable: LogIndex;
  #nextToPersist: number;
  #committed: LogIndex;
  #applied: LogIndex = logIndex(0);

  /** `entries` are those recovered from disk (all durable), from index 1 without a gap. */
  constructor(entries: readonly LogEntry[], committed: LogIndex) {
    this.#entries = [...entries];
    for (let i = 0; i < entries.length; i++) assert.equal(entries[i]?.index, i + 1, 'the log has a gap');
    this.#durable = logIndex(entries.length);
    this.#nextToPersist = entries.length + 1;
    // The stored commit index is a hint that never leads the entries stored with it.
    assert(committed <= entries.length, `commit ${committed} is beyond the recovered log ${entries.length}`);
    this.#committed = committed;
  }

  get lastIndex(): LogIndex {
    return logIndex(this.#entries.length);
  }
  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? term(0);
  }
  get durableIndex(): LogIndex {
    return this.#durable;
  }
  get committed(): LogIndex {
    return this.#committed;
  }
  get applied(): LogIndex {
    return this.#applied;
  }

  /** The term of the entry at `index`; 0 before the log; null beyond its end. */
  termAt(index: number): Term | null {
    if (index === 0) return term(0);
    return this.#entries[index - 1]?.term ?? null;
  }

  /** Entries from `from` on, at most `bytesMax` of payload in all, but at least one when there is one. */
  slice(from: number, bytesMax: number): LogEntry[] {
    const out: LogEntry[] = [];
    let bytes = 0;
    for (let i = from - 1; i < this.#entries.length; i++) {
      const entry = this.#entries[i];
      assert(entry !== undefined);
      bytes += entryBytes(entry);
      if (out.length > 0 && bytes > bytesMax) break;
      out.push(entry);
    }
    return out;
  }

  /** Size of the entries of one term in (after, upTo]. */
  bytesOfTerm(after: LogIndex, upTo: LogIndex, ofTerm: Term): number {
    let bytes = 0;
    for (let index: number = after; index < upTo; index++) {
      const entry = this.#entries[index];
      assert(entry !== undefined);
      if (entry.term === ofTerm) bytes += entryBytes(entry);
    }
    return bytes;
  }

  /** A leader's own append: always behind the last entry. */
  append(entry: LogEntry): void {
    assert.equal(entry.index, this.#entries.length + 1);
    assert(entry.term >= this.lastTerm, 'terms never go back along the log');
    this.#entries.push(entry);
  }

  /**
   * A follower's append of entries that follow an entry both logs share (P7): an entry that is there already is left
   * alone, and the log is cut only from the first entry that differs, never at or below the commit index.
   */
  merge(entries: readonly LogEntry[]): void {
    for (const [i, entry] of entries.entries()) {
      const present = this.termAt(entry.index);
      if (present === entry.term) continue;
      if (present !== null) {
        // mark: entries that differ from the leader's are cut off
        this.#truncateFrom(entry.index);
      }
      for (const rest of entries.slice(i)) this.append(rest);
      return;
    }
  }

  #truncateFrom(index: LogIndex): void {
    assert(index > this.#committed, `would cut committed entry ${index} (commit ${this.#committed})`);
    assert(index > this.#applied);
    this.#entries.length = index - 1;
    this.#nextToPersist = Math.min(this.#nextToPersist, index);
    this.#durable = logIndex(Math.min(this.#durable, index - 1));
  }

  /** The entries that no Ready has carried yet; from now on they count as handed to storage. */
  takeUnpersisted(): LogEntry[] {
    const out = this.#entries.slice(this.#nextToPersist - 1);
    this.#nextToPersist = this.#entries.length + 1;
    return out;
  }
  get hasUnpersisted(): boolean {
    return this.#nextToPersist <= this.#entries.length;
  }

  /**
   * Storage finished writing. `pendingFrom` is the lowest first index among the writes still on their way, if any: such a
   * write may or may not be on disk, so nothing from there on is sure, whatever an earlier write said of it (P13: the same index and term may
   * have been written, replaced and written again; only the last write's end makes it durable).
   */
  advanceDurable(pendingFrom: number | null): void {
    const sure = Math.min(this.#nextToPersist, pendingFrom ?? Number.MAX_SAFE_INTEGER) - 1;
    if (sure > this.#durable) this.#durable = logIndex(sure);
  }

  /** Moves the commit index forward; never back, never beyond the log. */
  commitTo(index: LogIndex): void {
    if (index <= this.#committed) return;
    assert(
      index <= this.lastIndex,
      `commit ${index} is beyond the log ${this.lastIndex}: it lost entries it had acknowledged`,
    );
    this.#committed = index;
  }

  get hasCommittedToApply(): boolean {
    return this.#applied < Math.min(this.#committed, this.#durable);
  }

  /** Committed and locally durable entries (P40), in order, each exactly once, about `bytesMax` at a time. */
  takeCommitted(bytesMax: number): LogEntry[] {
    const end = Math.min(this.#committed, this.#durable);
    const out: LogEntry[] = [];
    let bytes = 0;
    while (this.#applied < end && (out.length === 0 || bytes < bytesMax)) {
      const entry = this.#entries[this.#applied];
      assert(entry !== undefined);
      out.push(entry);
      bytes += entryBytes(entry);
      this.#applied = entry.index;
    }
    return out;
  }

  /** Is a log that ends at (lastTerm, lastIndex) at least as new as this one? Lexicographic, term first (P25). */
  isUpToDate(lastIndex: LogIndex, lastTerm: Term): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex);
  }

  /** The largest index <= `from` whose term is <= `atMost`: where two logs may still agree. */
  lastIndexWithTermAtMost(from: number, atMost: Term): LogIndex {
    let index = Math.min(from, this.#entries.length);
    while (index > 0) {
      const here = this.termAt(index);
      assert(here !== null);
      if (here <= atMost) break;
      index -= 1;
    }
    return logIndex(index);
  }

  /** All of it, for `Raft.inspect`. */
  inspect() {
    return {
      entries: [...this.#entries],
      durable: this.#durable,
      nextToPersist: this.#nextToPersist,
      committed: this.#committed,
      applied: this.#applied,
    };
  }

  assertInvariants(): void {
    assert(this.#applied <= Math.min(this.#committed, this.#durable), 'applied beyond committed or durable');
    assert(this.#committed <= this.#entries.length, 'committed beyond the log');
    assert(this.#durable < this.#nextToPersist && this.#nextToPersist <= this.#entries.length + 1);
  }
}

/** What an entry counts for in windows and limits: its payload plus a flat overhead. */
export function entryBytes(entry: LogEntry): number {
  return entry.payload.length + 32;
}
