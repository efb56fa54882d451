import assert from 'node:assert/strict';
import { ByteReader, ByteWriter } from './bytes.js';
import { EncodedEntry } from './codec.js';
import type { KeyHashSeed } from './key-hash.js';
import { keyHash } from './key-hash.js';
import type { RowHash } from './state-hash.js';
import { HASH_WORDS, rowHash } from './state-hash.js';
import { readRow, writeRow } from './rows.js';
import type { Entry, Revision } from './types.js';
import { revision } from './types.js';

/** A slab of a small namespace; it doubles until the next. */
const SLAB_BYTES_MIN = 1024;
export const SLAB_BYTES_MAX = 64 * 1024;
/** A row above this part of a slab gets a slab of its own: so no more than this is lost at a slab's end. */
const OWN_SLAB_PART = 4;
/** Below the smallest: a number, a hash, a length, and an entry with the shortest names and no value. */
const ROW_BYTES_MIN = 48;
const ENTRY_NUMBER_BYTES = 4;
const LENGTH_BYTES = 4;
const HASH_AT = ENTRY_NUMBER_BYTES;
const LENGTH_AT = HASH_AT + HASH_WORDS * 4;
const ROW_AT = LENGTH_AT + LENGTH_BYTES;
const NUMBER_BYTES = 8;
const ROW_TYPE_BYTES = 1;
const TWO_TO_32 = 0x1_0000_0000;

// A hash on its way from a slab into a sum.
const hashWords = new Uint32Array(HASH_WORDS);

/**
 * Rows one behind the other, each behind the u32 number of its entry, by which its owner finds it, its hash, and its u32 length. Length and row
 * are as they stand in a snapshot. The hash is zero until it is taken; beside it nothing is written twice.
 */
export class Slab {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Rows end here. What is written once is never written over. */
  usedBytes = 0;
  /** Of rows that were not removed. */
  liveBytes = 0;
  /** A bit for each row: no two rows begin within the same ROW_BYTES_MIN bytes. */
  readonly #removed: Uint8Array;

  constructor(capacityBytes: number) {
    // Not filled with zeros: nothing is read behind `usedBytes`.
    const bytes = Buffer.allocUnsafeSlow(capacityBytes);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
    this.#removed = new Uint8Array(Math.ceil(capacityBytes / ROW_BYTES_MIN / 8));
  }

  isRemoved(offset: number): boolean {
    const bit = Math.floor(offset / ROW_BYTES_MIN);
    return (((this.#removed[bit >>> 3] ?? 0) >>> (bit & 7)) & 1) === 1;
  }

  /** Returns where the bytes begin. */
  append(bytes: Uint8Array): number {
    const offset = this.usedBytes;
    this.bytes.set(bytes, offset);
    this.usedBytes += bytes.length;
    this.liveBytes += bytes.length;
    return offset;
  }

  remove(offset: number, bytes: number): void {
    assert(!this.isRemoved(offset), 'a row is removed once');
    const bit = Math.floor(offset / ROW_BYTES_MIN);
    this.#removed[bit >>> 3] = (this.#removed[bit >>> 3] ?? 0) | (1 << (bit & 7));
    this.liveBytes -= bytes;
  }

  get isSparse(): boolean {
    return this.liveBytes * 4 < this.usedBytes * 3;
  }
}

/**
 * An entry as its encoded row in a slab. Made when it is looked at; what is kept are the slab and the offset. It is valid for as long
 * as anybody holds it, for a slab is never reused: the garbage collector frees it behind the last who holds it.
 */
export class StoredEntry {
  readonly slab: Slab;
  readonly offset: number;

  constructor(slab: Slab, offset: number) {
    this.slab = slab;
    this.offset = offset;
  }

  /** The same for as long as the entry is there, whatever it is changed to. */
  get number(): number {
    return this.slab.view.getUint32(this.offset, true);
  }

  /** Of the row, and what stands before it. */
  get byteLength(): number {
    return ROW_AT + this.slab.view.getUint32(this.offset + LENGTH_AT, true);
  }

  /** All of it, not copied. */
  get bytes(): Uint8Array {
    return this.slab.bytes.subarray(this.offset, this.offset + this.byteLength);
  }

  /** The row behind its length, not copied: what a snapshot has of it. Never mutate it. */
  get rowBehindLength(): Uint8Array {
    return this.slab.bytes.subarray(this.offset + LENGTH_AT, this.offset + this.byteLength);
  }

  /** The row alone, not copied. */
  get row(): Uint8Array {
    return this.slab.bytes.subarray(this.offset + ROW_AT, this.offset + this.byteLength);
  }

  /** Whether its hash was taken. One that is all zeros counts as not taken: it changes no sum. */
  get isHashed(): boolean {
    const { view } = this.slab;
    for (let word = 0; word < HASH_WORDS; word += 1)
      if (view.getUint32(this.offset + HASH_AT + word * 4, true) !== 0) return true;
    return false;
  }

  /** As it was taken. It holds until the next one is read. */
  get hash(): RowHash {
    const { view } = this.slab;
    for (let word = 0; word < HASH_WORDS; word += 1)
      hashWords[word] = view.getUint32(this.offset + HASH_AT + word * 4, true);
    return hashWords;
  }

  /** Takes the hash of the row, and keeps it beside it: to be subtracted when the row goes. */
  takeHash(): RowHash {
    const taken = rowHash(this.row);
    for (const [word, value] of taken.entries())
      this.slab.view.setUint32(this.offset + HASH_AT + word * 4, value, true);
    return taken;
  }

  /** Whether its key is the one in the first `length` bytes, in UTF-8. */
  isOfKey(key: Uint8Array, length: number): boolean {
    const { bytes } = this.slab;
    const lengthAt = this.#keyLengthAt;
    if (this.slab.view.getUint32(lengthAt, true) !== length) return false;
    const at = lengthAt + LENGTH_BYTES;
    for (let index = 0; index < length; index += 1) if (bytes[at + index] !== key[index]) return false;
    return true;
  }

  keyHash(seed: KeyHashSeed): number {
    const lengthAt = this.#keyLengthAt;
    return keyHash(this.slab.bytes, lengthAt + LENGTH_BYTES, this.slab.view.getUint32(lengthAt, true), seed);
  }

  /** Whether its key stands before another, given in UTF-8: by bytes, which is the order of keys. */
  isKeyBefore(key: Uint8Array): boolean {
    const { bytes } = this.slab;
    const lengthAt = this.#keyLengthAt;
    const length = this.slab.view.getUint32(lengthAt, true);
    const at = lengthAt + LENGTH_BYTES;
    const shared = Math.min(length, key.length);
    for (let index = 0; index < shared; index += 1) {
      const difference = (bytes[at + index] ?? 0) - (key[index] ?? 0);
      if (difference !== 0) return difference < 0;
    }
    return length < key.length;
  }

  get revision(): Revision {
    return revision(this.#number(0));
  }

  get version(): number {
    return this.#number(1);
  }

  get createRevision(): Revision {
    return revision(this.#number(2));
  }

  /** The same entry as it stands in the slab: nothing is copied or decoded. */
  get encodedEntry(): EncodedEntry {
    const from = this.offset + ROW_AT + ROW_TYPE_BYTES;
    return new EncodedEntry(this.slab.bytes.subarray(from, this.offset + this.byteLength));
  }

  /** A copy of everything: whoever has it keeps no slab alive and can change none. */
  entry(): Entry {
    const row = readRow(new ByteReader(this.row));
    assert(row.type === 'entry', 'a slab has rows of entries');
    return { ...row.entry, value: new Uint8Array(row.entry.value) };
  }

  get #keyLengthAt(): number {
    const namespaceAt = this.offset + ROW_AT + ROW_TYPE_BYTES;
    return namespaceAt + LENGTH_BYTES + this.slab.view.getUint32(namespaceAt, true);
  }

  /** The first, second or third of the numbers behind the namespace and the key. */
  #number(index: number): number {
    const { view } = this.slab;
    const keyAt = this.#keyLengthAt;
    const at = keyAt + LENGTH_BYTES + view.getUint32(keyAt, true) + index * NUMBER_BYTES;
    return view.getUint32(at + LENGTH_BYTES, true) * TWO_TO_32 + view.getUint32(at, true);
  }
}

const scratch = new ByteWriter();
const NO_HASH = new Uint8Array(HASH_WORDS * 4);

/** Where rows are appended. */
interface Shelf {
  open: Slab;
}

/**
 * The entries of one namespace, off the heap: a million small values as objects of their own cost more in headers than
 * in bytes, and seconds of garbage collection. Rows are appended and never written over, so that snapshots and retained
 * changes may share them. A slab of which more than a quarter was removed is emptied: its owner sets the live rows anew. So
 * live rows take at least three quarters of the slabs, and a removed byte costs at most three that are moved.
 */
export class EntrySlabs {
  // What was moved once is old, and likely to stay: apart from it, new rows are removed, and dropped, together.
  readonly #added: Shelf = { open: new Slab(0) };
  readonly #moved: Shelf = { open: new Slab(0) };
  /** Slabs to be emptied. */
  readonly #sparse: Slab[] = [];
  #liveBytes = 0;

  /** Bytes of rows that were not removed. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Encodes an entry and keeps the row. */
  add(entry: Entry, number: number): StoredEntry {
    scratch.clear();
    scratch.u32(number);
    scratch.raw(NO_HASH);
    scratch.u32(0);
    writeRow(scratch, { type: 'entry', entry });
    scratch.patchU32(LENGTH_AT, scratch.length - ROW_AT);
    return this.#append(scratch.view(), this.#added);
  }

  /** Keeps a copy of an entry's row as it is: that of an entry that was decoded, for each has one encoding only. */
  addRow(row: Uint8Array, number: number): StoredEntry {
    scratch.clear();
    scratch.u32(number);
    scratch.raw(NO_HASH);
    scratch.u32(row.length);
    scratch.raw(row);
    return this.#append(scratch.view(), this.#added);
  }

  /** The row is not needed here any more. Whoever else holds it can go on reading it. */
  remove(stored: StoredEntry): void {
    const { slab, offset, byteLength } = stored;
    const wasSparse = slab.isSparse;
    slab.remove(offset, byteLength);
    this.#liveBytes -= byteLength;
    if (!wasSparse && slab !== this.#added.open && slab !== this.#moved.open) this.#noteIfSparse(slab);
  }

  /**
   * Empties one sparse slab, if there is any: calls `moved` for each of its live rows with the copy that takes its place.
   * Called after each change, it has little to do each time: at most a slab.
   */
  compact(moved: (copy: StoredEntry) => void): void {
    const slab = this.#sparse.pop();
    if (slab === undefined) return;
    for (let offset = 0; slab.liveBytes > 0;) {
      const stored = new StoredEntry(slab, offset);
      const { byteLength } = stored;
      if (!slab.isRemoved(offset)) {
        moved(this.#append(stored.bytes, this.#moved));
        slab.remove(offset, byteLength);
        this.#liveBytes -= byteLength;
      }
      offset += byteLength;
    }
  }

  #append(bytes: Uint8Array, shelf: Shelf): StoredEntry {
    const slab = this.#slabFor(bytes.length, shelf);
    const offset = slab.append(bytes);
    this.#liveBytes += bytes.length;
    return new StoredEntry(slab, offset);
  }

  #slabFor(bytes: number, shelf: Shelf): Slab {
    const full = shelf.open;
    if (full.usedBytes + bytes <= full.bytes.length) return full;
    const grown = 2 ** Math.ceil(Math.log2(this.#liveBytes + bytes));
    const capacity = Math.min(SLAB_BYTES_MAX, Math.max(SLAB_BYTES_MIN, grown));
    if (bytes * OWN_SLAB_PART > capacity) return new Slab(bytes);
    shelf.open = new Slab(capacity);
    this.#noteIfSparse(full);
    return shelf.open;
  }

  #noteIfSparse(slab: Slab): void {
    // One without a live row is gone as soon as nobody else reads it.
    if (slab.liveBytes > 0 && slab.isSparse) this.#sparse.push(slab);
  }
}
