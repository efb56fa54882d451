import assert from 'node:assert/strict';
import type { EncodedEntry } from './codec.js';
import { Entries } from './entries.js';
import type { StoredEntry } from './entry-slabs.js';
import type { KeyHashSeed } from './key-hash.js';
import { readersBytes } from './names.js';
import type { OrderedMap } from './ordered-map.js';
import { orderedMap } from './ordered-map.js';
import type { NamespaceRow } from './rows.js';
import { hashOfRow } from './rows.js';
import type { RowHash } from './state-hash.js';
import { LazyRowSum, RowSum, type SummedRow, UNHASHED_MAX } from './state-hash.js';
import type { Entry, NamespaceKind, NamespaceRecord, Revision } from './types.js';
import { revision } from './types.js';

interface NamespaceState extends SummedRow {
  record: NamespaceRecord;
  newest: Revision;
  entries: Entries;
  /** Of the entries' rows that are hashed. Kept apart, so that dropping a namespace costs no hashing. */
  entrySum: RowSum;
  /** Frozen when it is below the table's generation: a snapshot still reads it. */
  readonly generation: number;
}

/** One namespace of a snapshot, as it was when the snapshot began. */
export interface CapturedNamespace {
  readonly record: NamespaceRecord;
  readonly newest: Revision;
  readonly entries: Entries;
}

/** All namespaces, their entries and the hash of both. Knows nothing of commands. */
export class Namespaces {
  readonly #states = new Map<string, NamespaceState>();
  // The same states in order of name: a snapshot and a list need the order, all else is faster without it.
  readonly #ordered = orderedMap<NamespaceState>();
  /** Of the rows of all entries but those not hashed yet. */
  readonly #entrySum = new RowSum();
  // Entries whose rows are to be hashed when the sum is asked for: most change again before. Names and numbers; what is gone since is passed over.
  #unhashedNames: string[] = [];
  #unhashedNumbers: number[] = [];
  // Each change of an entry changes its namespace's own row.
  readonly #rowSum = new LazyRowSum<NamespaceState>((state) => hashOfRow(namespaceRow(state)));
  readonly #seed: KeyHashSeed;
  #entryCount = 0;
  #readersBytes = 0;
  #generation = 0;

  constructor(seed: KeyHashSeed) {
    this.#seed = seed;
  }

  /** Names ever used, tombstones too. */
  get count(): number {
    return this.#states.size;
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  get sum(): RowHash {
    this.#hashEntries();
    const sum = new RowSum(this.#entrySum.value);
    sum.add(this.#rowSum.value);
    return sum.value;
  }

  /** Of the readers of all namespaces together, as `readersBytes` counts them. */
  get readersBytes(): number {
    return this.#readersBytes;
  }

  /** Entries of one namespace; 0 of one that is not there. */
  entryCountOf(name: string): number {
    return this.#states.get(name)?.entries.size ?? 0;
  }

  record(name: string): NamespaceRecord | undefined {
    return this.#states.get(name)?.record;
  }

  newest(name: string): Revision | undefined {
    return this.#states.get(name)?.newest;
  }

  /** All records, tombstones too, in order of name. */
  records(): NamespaceRecord[] {
    return Array.from(this.#ordered.values(), (state) => state.record);
  }

  stored(namespace: string, key: string): StoredEntry | undefined {
    return this.#states.get(namespace)?.entries.get(key);
  }

  /** Entries whose key begins with the prefix, in order. */
  list(namespace: string, prefix: string, limit: number): { entries: Entry[]; truncated: boolean } {
    const entries: Entry[] = [];
    const state = this.#states.get(namespace);
    if (state === undefined) return { entries, truncated: false };
    // All keys with a prefix stand together, right from the prefix on.
    for (const stored of state.entries.from(prefix)) {
      const entry = stored.entry();
      if (!entry.key.startsWith(prefix)) break;
      if (entries.length === limit) return { entries, truncated: true };
      entries.push(entry);
    }
    return { entries, truncated: false };
  }

  /** Entries behind a key (empty: from the start), in order: those that fit into `bytesMax`, but at least one. */
  page(namespace: string, after: string, bytesMax: number): { entries: EncodedEntry[]; more: boolean } {
    const entries: EncodedEntry[] = [];
    const state = this.#states.get(namespace);
    if (state === undefined) return { entries, more: false };
    let bytes = 0;
    for (const stored of state.entries.from(after)) {
      const entry = stored.encodedEntry;
      if (entry.key === after) continue;
      bytes += entry.bytes.length;
      if (bytes > bytesMax && entries.length > 0) return { entries, more: true };
      entries.push(entry);
    }
    return { entries, more: false };
  }

  /** Sets an entry, of which a copy is kept. `before`: what `stored` says of its key. */
  put(entry: Entry, before: StoredEntry | undefined): StoredEntry {
    const state = this.#writable(entry.namespace);
    const isNoted = before !== undefined && !before.isHashed;
    if (before === undefined) this.#entryCount += 1;
    else this.#subtractEntry(state, before);
    const stored = state.entries.put(entry, before);
    if (!isNoted) this.#noteUnhashed(entry.namespace, stored.number);
    this.#setRow(state, state.record, entry.revision);
    return stored;
  }

  /** Takes an entry of a snapshot, of whose row a copy is kept, behind all of its namespace: in a snapshot they come in order. */
  append(namespace: string, row: Uint8Array): void {
    const stored = this.#writable(namespace).entries.append(row);
    this.#entryCount += 1;
    this.#noteUnhashed(namespace, stored.number);
  }

  /** `before`: what `stored` says of the key. */
  delete(namespace: string, key: string, before: StoredEntry, revision: Revision): void {
    const state = this.#writable(namespace);
    this.#subtractEntry(state, before);
    this.#entryCount -= 1;
    state.entries.delete(key, before);
    this.#setRow(state, state.record, revision);
  }

  /** Sets a record. A deleted one drops its entries. */
  setRecord(record: NamespaceRecord, newest: Revision): void {
    this.#readersBytes += readersBytes(record.readers);
    if (!this.#states.has(record.name)) return this.#create(record, newest);
    const state = this.#writable(record.name);
    this.#readersBytes -= readersBytes(state.record.readers);
    if (record.deleted) {
      this.#entrySum.subtract(state.entrySum.value);
      this.#entryCount -= state.entries.size;
      state.entries = new Entries(this.#seed);
      state.entrySum = new RowSum();
    }
    this.#setRow(state, record, newest);
  }

  /** A namespace that is there from the start, at revision 0 (K5). */
  addBuiltIn(name: string, kind: NamespaceKind): void {
    const zero = revision(0);
    this.setRecord({ name, kind, deleted: false, revision: zero, createRevision: zero, readers: null }, zero);
  }

  /** A consistent view for a snapshot, in order of name, in O(1): what it shares is copied when it next changes. */
  capture(): OrderedMap<string, CapturedNamespace> {
    this.#generation += 1;
    return this.#ordered.clone();
  }

  #create(record: NamespaceRecord, newest: Revision): void {
    const generation = this.#generation;
    const [entries, entrySum] = [new Entries(this.#seed), new RowSum()];
    const state = { record, newest, entries, entrySum, generation, hash: null, isGone: false };
    this.#keep(state);
    this.#rowSum.add(state);
  }

  #keep(state: NamespaceState): void {
    this.#states.set(state.record.name, state);
    this.#ordered.set(state.record.name, state);
  }

  /** The state of a namespace, to be changed: a copy takes its place when a snapshot still reads it. */
  #writable(name: string): NamespaceState {
    const state = this.#state(name);
    if (state.generation === this.#generation) return state;
    const entries = state.entries.clone();
    const entrySum = new RowSum(state.entrySum.value);
    const generation = this.#generation;
    const copy = { ...state, entries, entrySum, generation, hash: null, isGone: false };
    this.#keep(copy);
    this.#rowSum.remove(state);
    this.#rowSum.add(copy);
    return copy;
  }

  #subtractEntry(state: NamespaceState, stored: StoredEntry): void {
    if (!stored.isHashed) return;
    state.entrySum.subtract(stored.hash);
    this.#entrySum.subtract(stored.hash);
  }

  #noteUnhashed(name: string, number: number): void {
    this.#unhashedNames.push(name);
    this.#unhashedNumbers.push(number);
    if (this.#unhashedNames.length >= UNHASHED_MAX) this.#hashEntries();
  }

  #hashEntries(): void {
    for (const [at, name] of this.#unhashedNames.entries()) {
      const state = this.#state(name);
      const stored = state.entries.numbered(this.#unhashedNumbers[at] ?? 0);
      if (stored === undefined || stored.isHashed) continue;
      const hash = stored.takeHash();
      state.entrySum.add(hash);
      this.#entrySum.add(hash);
    }
    this.#unhashedNames = [];
    this.#unhashedNumbers = [];
  }

  #setRow(state: NamespaceState, record: NamespaceRecord, newest: Revision): void {
    state.record = record;
    state.newest = newest;
    this.#rowSum.change(state);
  }

  #state(name: string): NamespaceState {
    const state = this.#states.get(name);
    if (state === undefined) assert.fail(`namespace ${name} is there`);
    return state;
  }
}

/** The namespace's own row, without its entries. */
export function namespaceRow({ record, newest }: CapturedNamespace): NamespaceRow {
  return { type: 'namespace', record, newest };
}
