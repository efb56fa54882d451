import assert from 'node:assert/strict';

const CAPACITY_MIN = 8;

/** Whether this is the number that is searched for: called for numbers with the right hash, almost always once. */
type IsSought = (number: number) => boolean;

/**
 * Finds the number of an entry by the hash of its key, which it never sees: whoever asks compares. Open addressing in two typed arrays: sixteen
 * bytes or so for an entry and nothing for the garbage collector to walk, where a map would keep each key as a string once more.
 */
export class KeyIndex {
  /** By slot; one more than the number, 0 where the slot is free. */
  #numbers = new Uint32Array(CAPACITY_MIN);
  #hashes = new Uint32Array(CAPACITY_MIN);
  #size = 0;

  find(hash: number, isSought: IsSought): number | undefined {
    const mask = this.#numbers.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const taken = this.#numbers[slot] ?? 0;
      if (taken === 0) return undefined;
      if (this.#hashes[slot] === hash && isSought(taken - 1)) return taken - 1;
    }
  }

  /** Adds a number that is not there. */
  add(hash: number, number: number): void {
    // A quarter stays free: every search ends, and after a few slots.
    if ((this.#size + 1) * 4 > this.#numbers.length * 3) this.#grow();
    this.#size += 1;
    this.#set(hash, number + 1);
  }

  /** Takes out a number that is there with this hash. */
  delete(hash: number, number: number): void {
    const mask = this.#numbers.length - 1;
    let slot = hash & mask;
    while (this.#numbers[slot] !== number + 1) {
      assert(this.#numbers[slot] !== 0, `entry ${number} is in the index`);
      slot = (slot + 1) & mask;
    }
    this.#size -= 1;
    // No slot between a number and where its hash points may be free: those behind move up.
    for (let next = (slot + 1) & mask; this.#numbers[next] !== 0; next = (next + 1) & mask) {
      const home = (this.#hashes[next] ?? 0) & mask;
      if (((next - home) & mask) < ((next - slot) & mask)) continue;
      this.#numbers[slot] = this.#numbers[next] ?? 0;
      this.#hashes[slot] = this.#hashes[next] ?? 0;
      slot = next;
    }
    this.#numbers[slot] = 0;
  }

  #grow(): void {
    const [numbers, hashes] = [this.#numbers, this.#hashes];
    this.#numbers = new Uint32Array(numbers.length * 2);
    this.#hashes = new Uint32Array(numbers.length * 2);
    for (let slot = 0; slot < numbers.length; slot += 1) {
      const taken = numbers[slot] ?? 0;
      if (taken !== 0) this.#set(hashes[slot] ?? 0, taken);
    }
  }

  #set(hash: number, taken: number): void {
    const mask = this.#numbers.length - 1;
    let slot = hash & mask;
    while (this.#numbers[slot] !== 0) slot = (slot + 1) & mask;
    this.#numbers[slot] = taken;
    this.#hashes[slot] = hash;
  }
}
