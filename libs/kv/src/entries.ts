import assert from 'node:assert/strict';
import type { StoredEntry } from './entry-slabs.js';
import { EntrySlabs } from './entry-slabs.js';
import { EntryPlaces } from './entry-places.js';
import type { OrderedMap } from './ordered-map.js';
import { orderedMap } from './ordered-map.js';
import type { Entry } from './types.js';

/**
 * The entries of one namespace. Each key has a number, which stays for as long as the entry is there; where its row is now stands under that
 * number. So a change of a value, or a row that is moved, touches neither the map of numbers nor the tree, which has them in the order of keys.
 */
export class Entries {
  readonly #ordered: OrderedMap<string, number>;
  /** The same numbers: a search in the tree costs as much as all the rest of a write. Only whoever goes on writing has it. */
  readonly #numbers: Map<string, number>;
  readonly #places: EntryPlaces;
  /** Where the rows are. Not read by a snapshot, which has the rows themselves. */
  readonly #slabs: EntrySlabs;

  constructor(
    ordered = orderedMap<number>(),
    numbers = new Map<string, number>(),
    places = new EntryPlaces(),
    slabs = new EntrySlabs(),
  ) {
    this.#ordered = ordered;
    this.#numbers = numbers;
    this.#places = places;
    this.#slabs = slabs;
  }

  get size(): number {
    return this.#ordered.size;
  }

  get(key: string): StoredEntry | undefined {
    const number = this.#numbers.get(key);
    return number === undefined ? undefined : this.#places.get(number);
  }

  /** The entry that has this number now. */
  numbered(number: number): StoredEntry | undefined {
    return this.#places.find(number);
  }

  /** Sets an entry, of which a copy is kept. `before`: what `get` says of its key. */
  put(entry: Entry, before: StoredEntry | undefined): StoredEntry {
    if (before !== undefined) this.#slabs.remove(before);
    const number = before?.number ?? this.#places.take();
    const stored = this.#slabs.add(entry, number);
    this.#places.set(stored);
    if (before === undefined) {
      assert(this.#ordered.set(entry.key, number), 'what was there is replaced');
      this.#numbers.set(entry.key, number);
    }
    this.#compact();
    return stored;
  }

  /** `before`: what `get` says of the key. */
  delete(key: string, before: StoredEntry): void {
    this.#slabs.remove(before);
    this.#places.giveBack(before.number);
    assert(this.#ordered.delete(key) && this.#numbers.delete(key), 'the entry is there');
    this.#compact();
  }

  *values(): Generator<StoredEntry, void> {
    for (const number of this.#ordered.values()) yield this.#places.get(number);
  }

  /** Keys and entries in order, from the first key that is not before `key`. */
  *from(key: string): Generator<[string, StoredEntry], void> {
    for (const [at, number] of this.#ordered.entries(key)) yield [at, this.#places.get(number)];
  }

  /**
   * What goes on in place of this one, of which from now on only `values` and `size` are asked. In O(1) but for a word for each thousand
   * entries.
   */
  clone(): Entries {
    return new Entries(this.#ordered.clone(), this.#numbers, this.#places.clone(), this.#slabs);
  }

  /** Moves what is left in a slab of which much was removed. The entries stay the same, so no hash changes. */
  #compact(): void {
    this.#slabs.compact((copy) => this.#places.set(copy));
  }
}
