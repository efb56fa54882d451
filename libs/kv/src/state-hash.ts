import { hash } from 'node:crypto';

/** 32 bits each. */
export const HASH_WORDS = 4;
const BYTES_PER_WORD = 4;
const HEX_DIGITS_PER_WORD = 8;
const TWO_TO_32 = 0x1_0000_0000;

/** 128 bits, the most significant word first. */
export type RowHash = Uint32Array;

/** The first 128 bits of the SHA-256 of one encoded row, read as one big-endian number. */
export function rowHash(row: Uint8Array): RowHash {
  // `binary` is one character a byte. A Buffer, or digits to be parsed into a bigint, would cost more than the hash.
  const digest = hash('sha256', row, 'binary');
  const words = new Uint32Array(HASH_WORDS);
  for (let index = 0; index < HASH_WORDS; index += 1) {
    const at = index * BYTES_PER_WORD;
    words[index] =
      (digest.charCodeAt(at) << 24) |
      (digest.charCodeAt(at + 1) << 16) |
      (digest.charCodeAt(at + 2) << 8) |
      digest.charCodeAt(at + 3);
  }
  return words;
}

/**
 * Sum modulo 2^128 of row hashes. A sum can be kept as rows come and go, and does not depend on their order: two
 * members that have the same rows have the same sum, whatever way they got there.
 */
export class RowSum {
  readonly #words: Uint32Array;

  constructor(words: RowHash = new Uint32Array(HASH_WORDS)) {
    this.#words = words.slice();
  }

  /** Not a copy: it changes with the sum. */
  get value(): RowHash {
    return this.#words;
  }

  add(rowHashOrSum: RowHash): void {
    let carry = 0;
    for (let index = HASH_WORDS - 1; index >= 0; index -= 1) {
      const total = (this.#words[index] ?? 0) + (rowHashOrSum[index] ?? 0) + carry;
      // A word of the array keeps the value modulo 2^32.
      this.#words[index] = total;
      carry = total >= TWO_TO_32 ? 1 : 0;
    }
  }

  subtract(rowHashOrSum: RowHash): void {
    let borrow = 0;
    for (let index = HASH_WORDS - 1; index >= 0; index -= 1) {
      const total = (this.#words[index] ?? 0) - (rowHashOrSum[index] ?? 0) - borrow;
      this.#words[index] = total;
      borrow = total < 0 ? 1 : 0;
    }
  }

  /** 32 lowercase hex digits. */
  toHex(): string {
    return Array.from(this.#words, (word) => word.toString(16).padStart(HEX_DIGITS_PER_WORD, '0')).join('');
  }
}

/** So many rows are hashed at once at most. Members ask for the hash each thousand commands; a machine that restores is not asked before its end. */
export const UNHASHED_MAX = 2048;

/** A row of a LazyRowSum. Both fields are that sum's own. */
export interface SummedRow {
  /** As it stands in the sum; null: it does not, for it is to be hashed first. */
  hash: RowHash | null;
  isGone: boolean;
}

/**
 * A sum of rows that come, change and go far more often than anybody asks for it: their hashes are taken when it is asked for. A row that came
 * and went, or changed a hundred times meanwhile, is hashed once or not at all. Each row is an object that knows its hash, so nothing is searched for.
 */
export class LazyRowSum<Row extends SummedRow> {
  readonly #hashOf: (row: Row) => RowHash;
  readonly #sum = new RowSum();
  /** Each once; some of them gone since. */
  #unhashed: Row[] = [];

  constructor(hashOf: (row: Row) => RowHash) {
    this.#hashOf = hashOf;
  }

  /** Not a copy. */
  get value(): RowHash {
    this.#hash();
    return this.#sum.value;
  }

  /** Takes a row that was in no sum before. */
  add(row: Row): void {
    this.#unhashed.push(row);
    if (this.#unhashed.length >= UNHASHED_MAX) this.#hash();
  }

  /** The row has changed. Not to be called before: it may be hashed in here. */
  change(row: Row): void {
    if (row.hash === null) return;
    this.#sum.subtract(row.hash);
    row.hash = null;
    this.add(row);
  }

  /** The row is gone for good. */
  remove(row: Row): void {
    row.isGone = true;
    if (row.hash !== null) this.#sum.subtract(row.hash);
  }

  #hash(): void {
    for (const row of this.#unhashed) {
      if (row.isGone) continue;
      row.hash = this.#hashOf(row);
      this.#sum.add(row.hash);
    }
    this.#unhashed = [];
  }
}
