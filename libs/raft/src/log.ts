import assert from 'node:assert/strict';
import { logIndex, term, type LogEntry, type LogIndex, type SnapshotPoint, type Term } from './types.js';

/** Before the first entry of every log. */
export const LOG_START: SnapshotPoint = { index: logIndex(0), term: term(0) };

/**
 * The replicated log as one member sees it, in memory, with the cursors that order its life [S1]:
 *
 *     compacted <= snapshot <= applied <= min(committed, durable) <= last      and      durable < nextToPersist <= last + 1
 *
 * Entries up to `compacted` are gone: the durable `snapshot` stands for them. `nextToPersist` is the first entry that no Ready has carried yet;
 * `durable` is what surely survives a crash, in the log on disk or in the snapshot. Only a snapshot can make durable what no Ready has carried.
 */
export class RaftLog {
  /** The first is the one behind `compacted`. */
  #entries: LogEntry[];
  #bytes = 0;
  #compacted: SnapshotPoint;
  #snapshot: SnapshotPoint | null;
  #durable: LogIndex;
  #nextToPersist: number;
  #committed: LogIndex;
  #applied: LogIndex;

  /**
   * `entries` are those recovered from disk (all durable), from `base.index + 1` without a gap. What `snapshot` stands for counts as applied: the driver
   * has restored its state from it. It must be part of this log; one that is not is installed with `reset`.
   */
  constructor(
    entries: readonly LogEntry[],
    committed: LogIndex,
    base: SnapshotPoint = LOG_START,
    snapshot: SnapshotPoint | null = null,
  ) {
    this.#entries = [...entries];
    this.#compacted = base;
    this.#snapshot = snapshot;
    for (const [i, entry] of entries.entries()) {
      assert.equal(entry.index, base.index + i + 1, 'the log has a gap');
      this.#bytes += entryBytes(entry);
    }
    this.#durable = this.lastIndex;
    this.#nextToPersist = this.lastIndex + 1;
    const applied = snapshot?.index ?? 0;
    assert(base.index <= applied, 'the log begins behind the snapshot');
    if (snapshot !== null)
      assert.equal(this.termAt(snapshot.index), snapshot.term, 'not a snapshot of this log');
    // The stored commit index is a hint that never leads the entries stored with it.
    assert(committed <= this.lastIndex, `commit ${committed} is beyond the recovered log ${this.lastIndex}`);
    this.#committed = logIndex(Math.max(committed, applied));
    this.#applied = logIndex(applied);
  }

  get lastIndex(): LogIndex {
    return logIndex(this.#compacted.index + this.#entries.length);
  }
  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? this.#compacted.term;
  }
  /** The first entry that is held: the one behind the compacted point. */
  get firstIndex(): LogIndex {
    return logIndex(this.#compacted.index + 1);
  }
  /** The newest durable snapshot. */
  get snapshot(): SnapshotPoint | null {
    return this.#snapshot;
  }
  /** The sum of `entryBytes` of the entries that are held. */
  get bytes(): number {
    return this.#bytes;
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

  /** The term of the entry at `index`, also when it is the last of the compacted ones; 0 before the first; null where that is not known, or beyond the end. */
  termAt(index: number): Term | null {
    if (index === this.#compacted.index) return this.#compacted.term;
    return this.#at(index)?.term ?? null;
  }

  #at(index: number): LogEntry | undefined {
    return this.#entries[index - this.#compacted.index - 1];
  }

  /** Entries from `from` on, at most `bytesMax` of payload in all, but at least one when there is one. */
  slice(from: number, bytesMax: number): LogEntry[] {
    const out: LogEntry[] = [];
    let bytes = 0;
    if (from <= this.#compacted.index) assert.fail(`entry ${from} is compacted away`);
    for (let index = from; index <= this.lastIndex; index++) {
      const entry = this.#at(index);
      assert(entry !== undefined);
      bytes += entryBytes(entry);
      if (out.length > 0 && bytes > bytesMax) break;
      out.push(entry);
    }
    return out;
  }

  /** Size of the entries in (after, upTo]. */
  bytesIn(after: LogIndex, upTo: LogIndex): number {
    let bytes = 0;
    for (let index = after + 1; index <= upTo; index++) {
      const entry = this.#at(index);
      assert(entry !== undefined);
      bytes += entryBytes(entry);
    }
    return bytes;
  }

  /** The index behind which the entries up to `upTo` have at most so many bytes, as far back as entries are held. */
  indexBefore(upTo: LogIndex, bytesMax: number): LogIndex {
    let bytes = 0;
    for (let index: number = upTo; index > this.#compacted.index; index--) {
      const entry = this.#at(index);
      assert(entry !== undefined);
      bytes += entryBytes(entry);
      if (bytes > bytesMax) return logIndex(index);
    }
    return this.#compacted.index;
  }

  /** A leader's own append: always behind the last entry. */
  append(entry: LogEntry): void {
    assert.equal(entry.index, this.lastIndex + 1);
    assert(entry.term >= this.lastTerm, 'terms never go back along the log');
    this.#entries.push(entry);
    this.#bytes += entryBytes(entry);
  }

  /**
   * A follower's append of entries that follow an entry both logs share (P7): an entry that is there already is left
   * alone, and the log is cut only from the first entry that differs, never at or below the commit index. Returns from where it was cut, or null.
   */
  merge(entries: readonly LogEntry[]): LogIndex | null {
    for (const [i, entry] of entries.entries()) {
      const present = this.termAt(entry.index);
      if (present === entry.term) continue;
      if (present !== null) {
        // mark: entries that differ from the leader's are cut off
        this.#truncateFrom(entry.index);
      }
      for (const rest of entries.slice(i)) this.append(rest);
      return present === null ? null : entry.index;
    }
    return null;
  }

  #truncateFrom(index: LogIndex): void {
    assert(index > this.#committed, `would cut committed entry ${index} (commit ${this.#committed})`);
    assert(index > this.#applied);
    this.#bytes -= this.bytesIn(logIndex(index - 1), this.lastIndex);
    this.#entries.length = index - 1 - this.#compacted.index;
    this.#nextToPersist = Math.min(this.#nextToPersist, index);
    this.#durable = logIndex(Math.min(this.#durable, index - 1));
  }

  /** The entries that no Ready has carried yet; from now on they count as handed to storage. */
  takeUnpersisted(): LogEntry[] {
    const out = this.#entries.slice(this.#nextToPersist - this.firstIndex);
    this.#nextToPersist = this.lastIndex + 1;
    return out;
  }
  get hasUnpersisted(): boolean {
    return this.#nextToPersist <= this.lastIndex;
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
      const entry = this.#at(this.#applied + 1);
      assert(entry !== undefined);
      out.push(entry);
      bytes += entryBytes(entry);
      this.#applied = entry.index;
    }
    return out;
  }

  /** The driver holds a durable snapshot of what was applied here. An older one than is known already changes nothing. */
  snapshotStored(point: SnapshotPoint): void {
    if (point.index <= (this.#snapshot?.index ?? 0)) return;
    assert(point.index <= this.#applied, 'a snapshot of what was not applied');
    assert.equal(this.termAt(point.index), point.term, 'not a snapshot of this log');
    this.#snapshot = point;
  }

  /**
   * Gives up the entries up to `index`, which a durable snapshot must stand for [S2]. Those that no Ready has carried yet stay until one has: storage
   * would find a hole before the next ones.
   */
  compactTo(index: number): void {
    assert(index <= (this.#snapshot?.index ?? 0), `no snapshot stands for entry ${index}`);
    const upTo = Math.min(index, this.#nextToPersist - 1);
    if (upTo <= this.#compacted.index) return;
    const last = this.#at(upTo);
    assert(last !== undefined);
    const count = upTo - this.#compacted.index;
    for (const entry of this.#entries.slice(0, count)) this.#bytes -= entryBytes(entry);
    this.#entries = this.#entries.slice(count);
    this.#compacted = { index: last.index, term: last.term };
  }

  /**
   * A durable snapshot of entries that this log has (P9): they count as committed, applied and durable without ever being handed out. They need not be
   * durable in the log itself, nor even handed to storage: after a crash the snapshot stands for them.
   */
  skipTo(point: SnapshotPoint): void {
    assert.equal(this.termAt(point.index), point.term, 'not a snapshot of this log');
    assert(point.index > this.#committed);
    this.#snapshot = point;
    this.#committed = point.index;
    this.#applied = point.index;
    this.#durable = logIndex(Math.max(this.#durable, point.index));
  }

  /** A durable snapshot of entries that this log lacks, or has otherwise: nothing of the log is of use (P9). */
  reset(point: SnapshotPoint): void {
    assert(point.index > this.#committed, `would drop committed entries up to ${this.#committed}`);
    this.#entries = [];
    this.#bytes = 0;
    this.#compacted = point;
    this.#snapshot = point;
    this.#committed = point.index;
    this.#applied = point.index;
    // The snapshot is on disk, so this much survives. Entries behind it begin anew: writes of the dropped ones that are still on their way are
    // before the reset in storage, so as long as they are, nothing behind the point counts (`advanceDurable`, P13).
    this.#durable = point.index;
    this.#nextToPersist = point.index + 1;
  }

  /** Is a log that ends at (lastTerm, lastIndex) at least as new as this one? Lexicographic, term first (P25). */
  isUpToDate(lastIndex: LogIndex, lastTerm: Term): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex);
  }

  /**
   * The largest index <= `from` whose term is <= `atMost`: where two logs may still agree. 0 when that lies before the compacted point: what is
   * there is not known any more.
   */
  lastIndexWithTermAtMost(from: number, atMost: Term): LogIndex {
    let index = Math.min(from, this.lastIndex);
    while (index >= this.#compacted.index) {
      const here = this.termAt(index);
      assert(here !== null);
      if (here <= atMost) return logIndex(index);
      index -= 1;
    }
    return logIndex(0);
  }

  /** All of it, for `Raft.inspect`. */
  inspect() {
    return {
      entries: [...this.#entries],
      bytes: this.#bytes,
      compacted: this.#compacted,
      snapshot: this.#snapshot,
      durable: this.#durable,
      nextToPersist: this.#nextToPersist,
      committed: this.#committed,
      applied: this.#applied,
    };
  }

  assertInvariants(): void {
    const snapshot = this.#snapshot?.index ?? 0;
    assert(this.#compacted.index <= snapshot, 'compacted beyond the durable snapshot');
    assert(snapshot <= this.#applied, 'a snapshot beyond applied');
    assert(this.#applied <= Math.min(this.#committed, this.#durable), 'applied beyond committed or durable');
    assert(this.#committed <= this.lastIndex, 'committed beyond the log');
    assert(this.#durable < this.#nextToPersist || this.#durable === snapshot);
    assert(this.#durable <= this.lastIndex && this.#nextToPersist <= this.lastIndex + 1);
    assert(this.#compacted.index < this.#nextToPersist, 'compacted what storage never got');
  }
}

/** What an entry counts for in windows and limits: its payload plus a flat overhead. */
export function entryBytes(entry: LogEntry): number {
  return entry.payload.length + 32;
}
