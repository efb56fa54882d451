import assert from 'node:assert/strict';

/** A full leaf is cut in two. A change moves no more than these within a leaf, and a word for each leaf when one comes or goes. */
const LEAF_NUMBERS_MAX = 512;
/** Neighbours that are together below this become one: so leaves are a third full on average at least, whatever was deleted. */
const MERGED_NUMBERS_MAX = 256;

interface Leaf {
  /** Whose it is: a later one copies it before it writes, as with the pages of places. */
  readonly generation: number;
  /** Never empty. */
  readonly numbers: number[];
}

/** Whether the entry with this number stands before what is searched for: true for all up to some place, and false from there on. */
export type IsBefore = (number: number) => boolean;

/**
 * The numbers of entries in the order of their keys, which it never sees: whoever asks compares. Two levels do for tens of millions, and unlike
 * a tree of keys it keeps eight bytes for an entry and nothing for the garbage collector to walk.
 */
export class EntryOrder {
  readonly #leaves: Leaf[];
  #size: number;
  readonly #generation: number;

  constructor(leaves: Leaf[] = [], size = 0, generation = 0) {
    this.#leaves = leaves;
    this.#size = size;
    this.#generation = generation;
  }

  get size(): number {
    return this.#size;
  }

  /** Puts a number right behind all that are before it. */
  insert(number: number, isBefore: IsBefore): void {
    const at = this.#leafOf(isBefore);
    if (at === this.#leaves.length) return this.append(number);
    const { numbers } = this.#writable(at);
    numbers.splice(placeIn(numbers, isBefore), 0, number);
    this.#size += 1;
    if (numbers.length <= LEAF_NUMBERS_MAX) return;
    const upper = numbers.splice(numbers.length >> 1);
    this.#leaves.splice(at + 1, 0, { generation: this.#generation, numbers: upper });
  }

  /** Puts a number behind all others. */
  append(number: number): void {
    this.#size += 1;
    const last = this.#leaves.length - 1;
    const isFull = (this.#leaves[last]?.numbers.length ?? LEAF_NUMBERS_MAX) >= LEAF_NUMBERS_MAX;
    if (isFull) this.#leaves.push({ generation: this.#generation, numbers: [number] });
    else this.#writable(last).numbers.push(number);
  }

  /** Takes a number out, which is the first that is not before what is searched for. */
  delete(number: number, isBefore: IsBefore): void {
    const at = this.#leafOf(isBefore);
    const { numbers } = this.#writable(at);
    const place = placeIn(numbers, isBefore);
    assert(numbers[place] === number, 'the number is where its key belongs');
    numbers.splice(place, 1);
    this.#size -= 1;
    this.#merge(at);
  }

  *values(): Generator<number, void> {
    for (const { numbers } of this.#leaves) yield* numbers;
  }

  /** All from the first that is not before what is searched for. */
  *from(isBefore: IsBefore): Generator<number, void> {
    const first = this.#leafOf(isBefore);
    for (let at = first; at < this.#leaves.length; at += 1) {
      const { numbers } = this.#leaf(at);
      for (let place = at === first ? placeIn(numbers, isBefore) : 0; place < numbers.length; place += 1)
        yield numberAt(numbers, place);
    }
  }

  /** What goes on in place of this one, which from now on is only read: leaves are copied when they are next written. */
  clone(): EntryOrder {
    return new EntryOrder(this.#leaves.slice(), this.#size, this.#generation + 1);
  }

  /** The first leaf that does not end before what is searched for; as many as there are when all do. */
  #leafOf(isBefore: IsBefore): number {
    let [low, high] = [0, this.#leaves.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { numbers } = this.#leaf(middle);
      if (isBefore(numberAt(numbers, numbers.length - 1))) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** A leaf that lost a number: it goes when it is empty, or into the next one when both have room in one. */
  #merge(at: number): void {
    const { length } = this.#leaf(at).numbers;
    if (length === 0) this.#leaves.splice(at, 1);
    else if (at + 1 < this.#leaves.length) {
      const next = this.#leaf(at + 1).numbers;
      if (length + next.length > MERGED_NUMBERS_MAX) return;
      this.#writable(at).numbers.push(...next);
      this.#leaves.splice(at + 1, 1);
    }
  }

  #leaf(at: number): Leaf {
    const leaf = this.#leaves[at];
    if (leaf === undefined) assert.fail(`leaf ${at} is there`);
    return leaf;
  }

  #writable(at: number): Leaf {
    const leaf = this.#leaf(at);
    if (leaf.generation === this.#generation) return leaf;
    const own = { generation: this.#generation, numbers: leaf.numbers.slice() };
    this.#leaves[at] = own;
    return own;
  }
}

/** The first place in a leaf whose number is not before what is searched for. */
function placeIn(numbers: readonly number[], isBefore: IsBefore): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(numberAt(numbers, middle))) low = middle + 1;
    else high = middle;
  }
  return low;
}

function numberAt(numbers: readonly number[], place: number): number {
  const number = numbers[place];
  if (number === undefined) assert.fail(`place ${place} is in the leaf`);
  return number;
}
