import assert from 'node:assert/strict';
import type { Change, Revision } from './types.js';

export interface RetentionLimits {
  /** So many newest changes are kept however old they are. */
  readonly retainedChangesMin: number;
  /** A change younger than this is kept however many there are, in milliseconds of the log's own time. */
  readonly retainedMs: number;
  /** Above this many bytes the oldest go, whatever the other two say. */
  readonly retainedBytesMax: number;
}

interface RetainedRevision {
  readonly revision: Revision;
  readonly timeMs: number;
  readonly bytes: number;
  readonly changes: readonly Change[];
}

// What a change costs beside its texts and its value, roughly.
const CHANGE_OVERHEAD_BYTES = 128;

/** The newest published changes, for consumers that fell behind. Whole revisions only. */
export class RetainedChanges {
  readonly #limits: RetentionLimits;
  // A queue: the live part begins at #first, the dead part before it is cut off when it is the larger.
  #revisions: (RetainedRevision | undefined)[] = [];
  #first = 0;
  #changeCount = 0;
  #byteCount = 0;
  #floor: Revision;

  /** Nothing published up to and including `floor` is retained. */
  constructor(limits: RetentionLimits, floor: Revision) {
    this.#limits = limits;
    this.#floor = floor;
  }

  /** A consumer that has applied this revision, or a newer one, misses nothing that is not retained. */
  get floor(): Revision {
    return this.#floor;
  }

  get changeCount(): number {
    return this.#changeCount;
  }

  get byteCount(): number {
    return this.#byteCount;
  }

  /** Takes the published changes of one revision, newer than all before, and drops what is too old or too much. */
  append(revision: Revision, timeMs: number, changes: readonly Change[]): void {
    const last = this.#revisions.at(-1);
    assert(revision > this.#floor && (last === undefined || revision > last.revision), 'revisions only grow');
    assert(changes.length > 0, 'a published revision has changes');
    const bytes = changes.reduce((sum, change) => sum + changeBytes(change), 0);
    this.#revisions.push({ revision, timeMs, bytes, changes });
    this.#changeCount += changes.length;
    this.#byteCount += bytes;
    this.#trim(timeMs);
  }

  /** The changes after a revision (not below the floor): whole revisions, at least one if there is any, then up to `bytesMax`. */
  after(after: Revision, bytesMax: number): { changes: Change[]; last: Revision | null } {
    assert(after >= this.#floor, `${after} is below the floor ${this.#floor}`);
    const changes: Change[] = [];
    let last: Revision | null = null;
    let bytes = 0;
    for (let index = this.#indexAfter(after); index < this.#revisions.length; index += 1) {
      const retained = this.#at(index);
      bytes += retained.bytes;
      if (last !== null && bytes > bytesMax) break;
      changes.push(...retained.changes);
      last = retained.revision;
    }
    return { changes, last };
  }

  #trim(nowMs: number): void {
    const { retainedChangesMin, retainedMs, retainedBytesMax } = this.#limits;
    while (this.#first < this.#revisions.length) {
      const oldest = this.#at(this.#first);
      const spare = this.#changeCount - oldest.changes.length >= retainedChangesMin;
      const old = nowMs - oldest.timeMs > retainedMs;
      if (!(spare && old) && this.#byteCount <= retainedBytesMax) break;
      this.#changeCount -= oldest.changes.length;
      this.#byteCount -= oldest.bytes;
      this.#floor = oldest.revision;
      this.#revisions[this.#first] = undefined;
      this.#first += 1;
    }
    if (this.#first > this.#revisions.length - this.#first) {
      this.#revisions = this.#revisions.slice(this.#first);
      this.#first = 0;
    }
  }

  #at(index: number): RetainedRevision {
    const retained = this.#revisions[index];
    assert(retained !== undefined && index >= this.#first, 'within the queue');
    return retained;
  }

  /** Binary search: the first position whose revision is above `after`. */
  #indexAfter(after: Revision): number {
    let low = this.#first;
    let high = this.#revisions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#at(middle).revision > after) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function changeBytes(change: Change): number {
  switch (change.type) {
    case 'put': {
      const { namespace, key, value } = change.entry;
      return CHANGE_OVERHEAD_BYTES + 2 * (namespace.length + key.length) + value.length;
    }
    case 'delete':
      return CHANGE_OVERHEAD_BYTES + 2 * (change.namespace.length + change.key.length);
    case 'namespace':
      return CHANGE_OVERHEAD_BYTES + 2 * change.record.name.length;
  }
}
