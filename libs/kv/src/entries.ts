import type { IsBefore } from './entry-order.js';
import { EntryOrder } from './entry-order.js';
import type { StoredEntry } from './entry-slabs.js';
import { EntrySlabs } from './entry-slabs.js';
import { EntryPlaces } from './entry-places.js';
import type { KeyHashSeed } from './key-hash.js';
import { keyHash } from './key-hash.js';
import { KeyIndex } from './key-index.js';
import type { Entry } from './types.js';
import { KEY_BYTES_MAX } from './types.js';

const encoder = new TextEncoder();
// The key that is searched for, in UTF-8: one for all searches, for each ends before the next begins.
const soughtBytes = new Uint8Array(KEY_BYTES_MAX);
let soughtLength = 0;

/**
 * The entries of one namespace. Each key has a number, which stays for as long as the entry is there; where its row is now stands under that
 * number. So a change of a value, or a row that is moved, touches neither the index of numbers nor their order. The key itself is in the row alone.
 */
export class Entries {
  readonly #seed: KeyHashSeed;
  /** Numbers in the order of keys. */
  readonly #order: EntryOrder;
  /** The same numbers: a search in their order costs as much as all the rest of a write. Only whoever goes on writing has it. */
  readonly #index: KeyIndex;
  readonly #places: EntryPlaces;
  /** Where the rows are. Not read by a snapshot, which has the rows themselves. */
  readonly #slabs: EntrySlabs;
  readonly #isSought = (number: number): boolean =>
    this.#places.get(number).isOfKey(soughtBytes, soughtLength);

  constructor(
    seed: KeyHashSeed,
    order = new EntryOrder(),
    index = new KeyIndex(),
    places = new EntryPlaces(),
    slabs = new EntrySlabs(),
  ) {
    this.#seed = seed;
    this.#order = order;
    this.#index = index;
    this.#places = places;
    this.#slabs = slabs;
  }

  get size(): number {
    return this.#order.size;
  }

  get(key: string): StoredEntry | undefined {
    if (!seek(key)) return undefined;
    const hash = keyHash(soughtBytes, 0, soughtLength, this.#seed);
    const number = this.#index.find(hash, this.#isSought);
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
      this.#order.insert(number, this.#isBefore(entry.key));
      this.#index.add(stored.keyHash(this.#seed), number);
    }
    this.#compact();
    return stored;
  }

  /** Takes an entry, of whose row a copy is kept, behind all that are here: they come in the order of their keys. */
  append(row: Uint8Array): StoredEntry {
    const number = this.#places.take();
    const stored = this.#slabs.addRow(row, number);
    this.#places.set(stored);
    this.#order.append(number);
    this.#index.add(stored.keyHash(this.#seed), number);
    return stored;
  }

  /** `before`: what `get` says of the key. */
  delete(key: string, before: StoredEntry): void {
    this.#order.delete(before.number, this.#isBefore(key));
    this.#index.delete(before.keyHash(this.#seed), before.number);
    this.#slabs.remove(before);
    this.#places.giveBack(before.number);
    this.#compact();
  }

  *values(): Generator<StoredEntry, void> {
    for (const number of this.#order.values()) yield this.#places.get(number);
  }

  /** Entries in the order of their keys, from the first whose key is not before `key`. */
  *from(key: string): Generator<StoredEntry, void> {
    for (const number of this.#order.from(this.#isBefore(key))) yield this.#places.get(number);
  }

  /**
   * What goes on in place of this one, of which from now on only `values` and `size` are asked. In O(1) but for a word for each thousand
   * entries.
   */
  clone(): Entries {
    return new Entries(this.#seed, this.#order.clone(), this.#index, this.#places.clone(), this.#slabs);
  }

  #isBefore(key: string): IsBefore {
    const bytes = encoder.encode(key);
    return (number) => this.#places.get(number).isKeyBefore(bytes);
  }

  /** Moves what is left in a slab of which much was removed. The entries stay the same, so no hash changes. */
  #compact(): void {
    this.#slabs.compact((copy) => this.#places.set(copy));
  }
}

/** Makes a key the one that is searched for; false when no entry can have it. */
function seek(key: string): boolean {
  if (key.length > KEY_BYTES_MAX) return false;
  // Most keys are ASCII and short: the loop is faster than a call of the encoder.
  for (let at = 0; at < key.length; at += 1) {
    const unit = key.charCodeAt(at);
    if (unit > 0x7f) return seekEncoded(key);
    soughtBytes[at] = unit;
  }
  soughtLength = key.length;
  return true;
}

function seekEncoded(key: string): boolean {
  // The encoder would write U+FFFD for a lone surrogate, and find the entry of another key.
  if (!key.isWellFormed()) return false;
  const { read, written } = encoder.encodeInto(key, soughtBytes);
  soughtLength = written;
  return read === key.length;
}
