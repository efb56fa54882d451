import assert from 'node:assert/strict';

const SLOTS_MIN = 8;
/** A fuller table is split, not grown: no change moves more numbers than these, however many there are, so none makes a heartbeat wait. */
const SLOTS_MAX = 32 * 1024;
/** Tables are split by so many bits of the hash at most, which is enough for a thousand million keys: beyond, they grow. */
const DEPTH_MAX = 16;
const HASH_BITS = 32;

/** Whether this is the number that is searched for: called for numbers with the right hash, almost always once. */
type IsSought = (number: number) => boolean;

/**
 * Finds the number of an entry by the hash of its key, which it never sees: whoever asks compares. Tables by the first bits of the hash, as many as are
 * needed (extendible hashing: Fagin, Nievergelt, Pippenger and Strong, 1979). Sixteen bytes or so for an entry and nothing for the garbage collector to
 * walk, where a map would keep each key as a string once more.
 */
export class KeyIndex {
  /** By the first `#depth` bits. A table that is split less often stands at several places, one behind the other. */
  #tables: Table[] = [new Table(0, SLOTS_MIN)];
  #depth = 0;

  find(hash: number, isSought: IsSought): number | undefined {
    return this.#table(hash).find(hash, isSought);
  }

  /** Adds a number that is not there. */
  add(hash: number, number: number): void {
    let table = this.#table(hash);
    while (table.isFull && table.slots === SLOTS_MAX && table.depth < DEPTH_MAX) {
      this.#split(hash, table);
      table = this.#table(hash);
    }
    if (table.isFull) table.grow();
    table.add(hash, number);
  }

  /** Takes out a number that is there with this hash. */
  delete(hash: number, number: number): void {
    this.#table(hash).delete(hash, number);
  }

  #table(hash: number): Table {
    const table = this.#tables[this.#placeOf(hash)];
    if (table === undefined) assert.fail('every place has a table');
    return table;
  }

  #placeOf(hash: number): number {
    // A shift by 32 is one by 0.
    return this.#depth === 0 ? 0 : hash >>> (HASH_BITS - this.#depth);
  }

  /** `hash`: one that belongs into this table. */
  #split(hash: number, table: Table): void {
    if (table.depth === this.#depth) {
      this.#tables = this.#tables.flatMap((each) => [each, each]);
      this.#depth += 1;
    }
    const halves = table.split();
    const placesOfHalf = 2 ** (this.#depth - table.depth - 1);
    const first = Math.floor(this.#placeOf(hash) / (2 * placesOfHalf)) * 2 * placesOfHalf;
    this.#tables.fill(halves[0], first, first + placesOfHalf);
    this.#tables.fill(halves[1], first + placesOfHalf, first + 2 * placesOfHalf);
  }
}

/** Numbers whose hashes have the same first bits: open addressing in two typed arrays. */
class Table {
  /** How many bits those are. */
  readonly depth: number;
  /** By slot; one more than the number, 0 where the slot is free. */
  #numbers: Uint32Array;
  #hashes: Uint32Array;
  #size = 0;

  constructor(depth: number, slots: number) {
    this.depth = depth;
    this.#numbers = new Uint32Array(slots);
    this.#hashes = new Uint32Array(slots);
  }

  get slots(): number {
    return this.#numbers.length;
  }

  /** A quarter stays free: every search ends, and after a few slots. */
  get isFull(): boolean {
    return (this.#size + 1) * 4 > this.#numbers.length * 3;
  }

  find(hash: number, isSought: IsSought): number | undefined {
    const mask = this.#numbers.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const taken = this.#numbers[slot] ?? 0;
      if (taken === 0) return undefined;
      if (this.#hashes[slot] === hash && isSought(taken - 1)) return taken - 1;
    }
  }

  /** Not when it is full. */
  add(hash: number, number: number): void {
    const mask = this.#numbers.length - 1;
    let slot = hash & mask;
    while (this.#numbers[slot] !== 0) slot = (slot + 1) & mask;
    this.#numbers[slot] = number + 1;
    this.#hashes[slot] = hash;
    this.#size += 1;
  }

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

  grow(): void {
    const larger = new Table(this.depth, this.slots * 2);
    this.#addTo(() => larger);
    this.#numbers = larger.#numbers;
    this.#hashes = larger.#hashes;
  }

  /** Two tables in place of this one, by the next bit of the hash: those without it, and those with it. */
  split(): [Table, Table] {
    const [without, having] = [new Table(this.depth + 1, this.slots), new Table(this.depth + 1, this.slots)];
    const bit = 2 ** (HASH_BITS - 1 - this.depth);
    this.#addTo((hash) => ((hash & bit) === 0 ? without : having));
    return [without, having];
  }

  #addTo(tableOf: (hash: number) => Table): void {
    for (let slot = 0; slot < this.slots; slot += 1) {
      const taken = this.#numbers[slot] ?? 0;
      if (taken === 0) continue;
      const hash = this.#hashes[slot] ?? 0;
      tableOf(hash).add(hash, taken - 1);
    }
  }
}
