import assert from 'node:assert/strict';
import { changeRevision } from './codec.js';
import { Slab, StoredEntry } from './entry-slabs.js';
import type { Change, Revision } from './types.js';

export interface RetentionLimits {
  /** So many newest changes are kept however old they are. */
  readonly retainedChangesMin: number;
  /** A change younger than this is kept however many there are, in milliseconds of the log's own time. */
  readonly retainedMs: number;
  /** Above this many bytes the oldest go, whatever the other two say. */
  readonly retainedBytesMax: number;
}

type ChangeWithoutEntry = Exclude<Change, { readonly type: 'put' }>;

/** A change as it is retained: a put is the entry's own row, and no copy of it. */
export type RetainedChange = StoredEntry | ChangeWithoutEntry;

/** All changes of one revision. */
interface RetainedRevision {
  readonly revision: Revision;
  readonly count: number;
  readonly bytes: number;
}

// What a change costs beside its row or its texts, roughly.
const CHANGE_OVERHEAD_BYTES = 128;

/** The newest published changes, for consumers that fell behind. Whole revisions only. */
export class RetainedChanges {
  readonly #limits: RetentionLimits;
  // A queue of changes: the live part begins at #first, the dead part before it is cut off when it is the larger. Of a put it has the slab
  // and the offset of its row. Three arrays, for half a million objects would cost more, and the garbage collector walks them.
  #changes: (Slab | ChangeWithoutEntry | undefined)[] = [];
  #offsets: number[] = [];
  #timesMs: number[] = [];
  #first = 0;
  #byteCount = 0;
  #floor: Revision;
  #newest: Revision;

  /** Nothing published up to and including `floor` is retained. */
  constructor(limits: RetentionLimits, floor: Revision) {
    this.#limits = limits;
    this.#floor = floor;
    this.#newest = floor;
  }

  /** A consumer that has applied this revision, or a newer one, misses nothing that is not retained. */
  get floor(): Revision {
    return this.#floor;
  }

  get changeCount(): number {
    return this.#changes.length - this.#first;
  }

  get byteCount(): number {
    return this.#byteCount;
  }

  /** Takes the published changes of one revision, newer than all before, and drops what is too old or too much. */
  append(revision: Revision, timeMs: number, changes: readonly RetainedChange[]): void {
    assert(revision > this.#newest, 'revisions only grow');
    assert(changes.length > 0, 'a published revision has changes');
    this.#newest = revision;
    for (const change of changes) {
      const isPut = change instanceof StoredEntry;
      this.#changes.push(isPut ? change.slab : change);
      this.#offsets.push(isPut ? change.offset : 0);
      this.#timesMs.push(timeMs);
      this.#byteCount += changeBytes(change);
    }
    this.#trim(timeMs);
  }

  /** The changes after a revision (not below the floor): whole revisions, at least one if there is any, then up to `bytesMax`. */
  after(after: Revision, bytesMax: number): { changes: Change[]; last: Revision | null } {
    assert(after >= this.#floor, `${after} is below the floor ${this.#floor}`);
    const changes: Change[] = [];
    let last: Revision | null = null;
    let bytes = 0;
    for (let index = this.#indexAfter(after); index < this.#changes.length;) {
      const retained = this.#revisionAt(index);
      bytes += retained.bytes;
      if (last !== null && bytes > bytesMax) break;
      for (const end = index + retained.count; index < end; index += 1)
        changes.push(handOut(this.#at(index)));
      last = retained.revision;
    }
    return { changes, last };
  }

  #trim(nowMs: number): void {
    const { retainedChangesMin, retainedMs, retainedBytesMax } = this.#limits;
    while (this.#first < this.#changes.length) {
      const old = nowMs - (this.#timesMs[this.#first] ?? 0) > retainedMs;
      // Mostly so. The change itself is not looked at: it is old, so it lies far away in memory.
      if (!old && this.#byteCount <= retainedBytesMax) break;
      const oldest = this.#revisionAt(this.#first);
      const spare = this.changeCount - oldest.count >= retainedChangesMin;
      if (!(spare && old) && this.#byteCount <= retainedBytesMax) break;
      this.#byteCount -= oldest.bytes;
      this.#floor = oldest.revision;
      this.#changes.fill(undefined, this.#first, this.#first + oldest.count);
      this.#first += oldest.count;
    }
    if (this.#first > this.#changes.length - this.#first) {
      this.#changes = this.#changes.slice(this.#first);
      this.#offsets = this.#offsets.slice(this.#first);
      this.#timesMs = this.#timesMs.slice(this.#first);
      this.#first = 0;
    }
  }

  /** The revision whose first change is at this position. */
  #revisionAt(first: number): RetainedRevision {
    const revision = revisionOf(this.#at(first));
    let end = first;
    let bytes = 0;
    for (; end < this.#changes.length && revisionOf(this.#at(end)) === revision; end += 1) {
      bytes += changeBytes(this.#at(end));
    }
    return { revision, count: end - first, bytes };
  }

  #at(index: number): RetainedChange {
    const change = this.#changes[index];
    const offset = this.#offsets[index];
    assert(change !== undefined && offset !== undefined && index >= this.#first, 'within the queue');
    return change instanceof Slab ? new StoredEntry(change, offset) : change;
  }

  /** Binary search: the first position whose revision is above `after`. */
  #indexAfter(after: Revision): number {
    let low = this.#first;
    let high = this.#changes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (revisionOf(this.#at(middle)) > after) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function revisionOf(change: RetainedChange): Revision {
  return change instanceof StoredEntry ? change.revision : changeRevision(change);
}

function handOut(change: RetainedChange): Change {
  return change instanceof StoredEntry ? { type: 'put', entry: change.entry() } : change;
}

function changeBytes(change: RetainedChange): number {
  if (change instanceof StoredEntry) return CHANGE_OVERHEAD_BYTES + change.byteLength;
  if (change.type === 'delete')
    return CHANGE_OVERHEAD_BYTES + 2 * (change.namespace.length + change.key.length);
  const { name, readers } = change.record;
  const readersLength = (readers ?? []).reduce((sum, reader) => sum + reader.length, 0);
  return CHANGE_OVERHEAD_BYTES + 2 * (name.length + readersLength);
}
