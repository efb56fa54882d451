import assert from 'node:assert/strict';
import type { ConfirmedRead, LogIndex } from './types.js';

/** Reads that were asked for by the request with this number, and by none before it. */
interface Asked {
  readonly readId: number;
  readonly ids: readonly number[];
}

/** Numbers begin anywhere below this and count up; 2^52 more are left. */
const FIRST_READ_ID_MAX = 2 ** 52;

/**
 * Reads that wait at a follower for its leader's commit index (ReadIndex, Raft thesis, section 6.4). One request is out, all reads that arrive
 * meanwhile collect for the next [R7].
 *
 * Each request has a number of its own, also when it asks again. An answer speaks of the time after its request was sent, so it confirms the reads that were
 * asked for by that request or by an earlier one, and none that came later [R9]. (Answers to earlier requests must count: else a
 * round trip longer than the patience would never end.)
 */
export class FollowerReads {
  #collecting: number[] = [];
  /** Oldest first. */
  #asked: Asked[] = [];
  /** The number of the request that is out, or was last; null before the first. */
  #readId: number | null = null;
  #isOut = false;
  /** When the request was sent, in ticks. */
  #sentTick = 0;

  get waiting(): number {
    return this.#asked.reduce((sum, { ids }) => sum + ids.length, this.#collecting.length);
  }

  add(id: number): void {
    this.#collecting.push(id);
  }

  /** Is a request due? Again, when nothing came for `patienceTicks`. */
  isDue(nowTick: number, patienceTicks: number): boolean {
    return this.#isOut ? nowTick - this.#sentTick >= patienceTicks : this.#collecting.length > 0;
  }

  /**
   * The number of the request that is now sent. `random`, in [0, 1), is drawn once: an answer to an earlier life of this member, in the same
   * term, must not be taken for one to this life, and nothing of those numbers was stored.
   */
  send(nowTick: number, random: () => number): number {
    this.#readId = (this.#readId ?? Math.floor(random() * FIRST_READ_ID_MAX)) + 1;
    assert(Number.isSafeInteger(this.#readId));
    if (this.#collecting.length > 0) this.#asked.push({ readId: this.#readId, ids: this.#collecting });
    this.#collecting = [];
    this.#isOut = true;
    this.#sentTick = nowTick;
    return this.#readId;
  }

  /** The leader's answer to request `readId`. Returns the reads that are now confirmed. */
  answered(readId: number, index: LogIndex): ConfirmedRead[] {
    if (this.#readId === null || readId > this.#readId) return []; // not asked by this life
    const confirmed: ConfirmedRead[] = [];
    while (this.#asked[0] !== undefined && this.#asked[0].readId <= readId) {
      for (const id of this.#asked[0].ids) confirmed.push({ id, index });
      this.#asked.shift();
    }
    if (this.#asked.length === 0) this.#isOut = false;
    return confirmed;
  }

  /** The leader is lost (P3). Answers that are still on their way are to older requests than any that follows. */
  rejectAll(): number[] {
    const ids = [...this.#asked.flatMap((one) => one.ids), ...this.#collecting];
    this.#collecting = [];
    this.#asked = [];
    this.#isOut = false;
    return ids;
  }

  /** All of it, for `Raft.inspect`. */
  inspect() {
    return {
      collecting: [...this.#collecting],
      asked: this.#asked.map(({ readId, ids }) => ({ readId, ids: [...ids] })),
      readId: this.#readId,
      isOut: this.#isOut,
      sentTick: this.#sentTick,
    };
  }
}
