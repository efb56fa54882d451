import { encodeRow, FINGERPRINT_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, PRINCIPAL_BYTES_MAX } from './rows.js';
import type { IdempotencyRow } from './rows.js';
import { RowSum, rowHash } from './state-hash.js';
import type { ApplyResult, IdempotencyStamp } from './types.js';

interface KeptRow {
  readonly row: IdempotencyRow;
  readonly hash: bigint;
}

export type IdempotencyLookup =
  | { readonly type: 'new' }
  | { readonly type: 'answered'; readonly result: ApplyResult }
  | { readonly type: 'reused' };

/** True when a stamp keeps the size limits of its parts. */
export function isIdempotencyStampPossible(stamp: IdempotencyStamp): boolean {
  return (
    isWithin(Buffer.byteLength(stamp.principal, 'utf8'), PRINCIPAL_BYTES_MAX) &&
    isWithin(Buffer.byteLength(stamp.key, 'utf8'), IDEMPOTENCY_KEY_BYTES_MAX) &&
    isWithin(stamp.fingerprint.length, FINGERPRINT_BYTES_MAX)
  );
}

function isWithin(length: number, max: number): boolean {
  return length >= 1 && length <= max;
}

/** Exactly once, second layer: what an end client's Idempotency-Key was answered with. */
export class IdempotencyKeys {
  readonly #keysMax: number;
  // In log order of the first answer, which is the order of eviction.
  readonly #rows = new Map<string, KeptRow>();
  readonly #sum = new RowSum();

  constructor(keysMax: number) {
    this.#keysMax = keysMax;
  }

  get size(): number {
    return this.#rows.size;
  }

  get sum(): bigint {
    return this.#sum.value;
  }

  lookup(stamp: IdempotencyStamp): IdempotencyLookup {
    const kept = this.#rows.get(mapKey(stamp));
    if (kept === undefined) return { type: 'new' };
    if (!bytesEqual(kept.row.fingerprint, stamp.fingerprint)) return { type: 'reused' };
    return { type: 'answered', result: kept.row.result };
  }

  /** Keeps the answer of a stamp that `lookup` called new, and evicts the oldest in log order. */
  record(stamp: IdempotencyStamp, index: number, result: ApplyResult): void {
    const { principal, key, fingerprint } = stamp;
    this.#insert({ type: 'idempotency', principal, key, fingerprint, index, result });
    for (const [oldestKey, oldest] of this.#rows) {
      if (this.#rows.size <= this.#keysMax) break;
      this.#rows.delete(oldestKey);
      this.#sum.subtract(oldest.hash);
    }
  }

  /** A consistent view for a snapshot, oldest first: rows never change. */
  capture(): IdempotencyRow[] {
    return Array.from(this.#rows.values(), (kept) => kept.row);
  }

  /** Takes a row from a snapshot, in log order. False: it is out of place. */
  restoreRow(row: IdempotencyRow, indexPrevious: number): boolean {
    if (row.index <= indexPrevious || this.#rows.has(mapKey(row))) return false;
    this.#insert(row);
    return true;
  }

  #insert(row: IdempotencyRow): void {
    const hash = rowHash(encodeRow(row));
    this.#rows.set(mapKey(row), { row, hash });
    this.#sum.add(hash);
  }
}

// The length keeps ("ab", "c") and ("a", "bc") apart.
function mapKey(stamp: { readonly principal: string; readonly key: string }): string {
  return `${stamp.principal.length}:${stamp.principal}${stamp.key}`;
}

function bytesEqual(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
