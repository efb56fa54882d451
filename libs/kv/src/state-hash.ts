import { hash } from 'node:crypto';

const HASH_BITS = 128;
const HEX_DIGITS = HASH_BITS / 4;

/** The first 128 bits of the SHA-256 of one encoded row. */
export function rowHash(row: Uint8Array): bigint {
  return BigInt(`0x${hash('sha256', row, 'hex').slice(0, HEX_DIGITS)}`);
}

/**
 * Sum modulo 2^128 of row hashes. A sum can be kept as rows come and go, and does not depend on their order: two
 * members that have the same rows have the same sum, whatever way they got there.
 */
export class RowSum {
  #value = 0n;

  get value(): bigint {
    return this.#value;
  }

  add(rowHashOrSum: bigint): void {
    this.#value = BigInt.asUintN(HASH_BITS, this.#value + rowHashOrSum);
  }

  subtract(rowHashOrSum: bigint): void {
    this.#value = BigInt.asUintN(HASH_BITS, this.#value - rowHashOrSum);
  }

  /** 32 lowercase hex digits. */
  toHex(): string {
    return this.#value.toString(16).padStart(HEX_DIGITS, '0');
  }
}
