import assert from 'node:assert/strict';
import type { OrderedMap } from './ordered-map.js';
import { numberedMap } from './ordered-map.js';
import { FINGERPRINT_BYTES_MAX, hashOfRow, IDEMPOTENCY_KEY_BYTES_MAX, PRINCIPAL_BYTES_MAX } from './rows.js';
import type { IdempotencyRow } from './rows.js';
import type { RowHash } from './state-hash.js';
import { RowSum } from './state-hash.js';
import type { ApplyResult, IdempotencyStamp } from './types.js';

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
  readonly #rows = new Map<string, IdempotencyRow>();
  // By the log index of the first answer, which is the order of eviction. A row never changes.
  readonly #byIndex = numberedMap<IdempotencyRow>();
  readonly #sum = new RowSum();

  constructor(keysMax: number) {
    this.#keysMax = keysMax;
  }

  get size(): number {
    return this.#rows.size;
  }

  get sum(): RowHash {
    return this.#sum.value;
  }

  lookup(stamp: IdempotencyStamp): IdempotencyLookup {
    const row = this.#rows.get(mapKey(stamp));
    if (row === undefined) return { type: 'new' };
    if (!bytesEqual(row.fingerprint, stamp.fingerprint)) return { type: 'reused' };
    return { type: 'answered', result: row.result };
  }

  /** Keeps the answer of a stamp that `lookup` called new, and evicts the oldest in log order. */
  record(stamp: IdempotencyStamp, index: number, result: ApplyResult): void {
    const { principal, key, fingerprint } = stamp;
    this.#insert({ type: 'idempotency', principal, key, fingerprint, index, result });
    while (this.#rows.size > this.#keysMax) this.#removeOldest();
  }

  /** A consistent view for a snapshot, oldest first, in O(1): its nodes are copied when they next change. */
  capture(): OrderedMap<number, IdempotencyRow> {
    return this.#byIndex.clone();
  }

  /** Takes a row from a snapshot, in log order. False: it is out of place. */
  restoreRow(row: IdempotencyRow, indexPrevious: number): boolean {
    if (row.index <= indexPrevious || this.#rows.has(mapKey(row))) return false;
    this.#insert(row);
    return true;
  }

  #insert(row: IdempotencyRow): void {
    this.#rows.set(mapKey(row), row);
    assert(this.#byIndex.set(row.index, row), 'a command is answered once');
    this.#sum.add(hashOfRow(row));
  }

  #removeOldest(): void {
    const index = this.#byIndex.minKey();
    const row = index === undefined ? undefined : this.#byIndex.get(index);
    assert(row !== undefined, 'both maps have the same rows');
    this.#byIndex.delete(row.index);
    this.#rows.delete(mapKey(row));
    this.#sum.subtract(hashOfRow(row));
  }
}

// The length keeps ("ab", "c") and ("a", "bc") apart.
function mapKey(stamp: { readonly principal: string; readonly key: string }): string {
  return `${stamp.principal.length}:${stamp.principal}${stamp.key}`;
}

function bytesEqual(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
