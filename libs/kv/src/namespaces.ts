import assert from 'node:assert/strict';
import type { OrderedMap } from './ordered-map.js';
import { orderedMap } from './ordered-map.js';
import { encodeRow } from './rows.js';
import { RowSum, rowHash } from './state-hash.js';
import type { Entry, NamespaceRecord, Revision } from './types.js';

interface KeptEntry {
  readonly entry: Entry;
  readonly hash: bigint;
}

interface NamespaceState {
  record: NamespaceRecord;
  newest: Revision;
  /** Of the namespace's own row. */
  hash: bigint;
  entries: OrderedMap<KeptEntry>;
  /** Of the rows of the entries. Kept apart, so that dropping a namespace costs no hashing. */
  entrySum: RowSum;
}

/** One namespace of a snapshot, as it was when the snapshot began. */
export interface CapturedNamespace {
  readonly record: NamespaceRecord;
  readonly newest: Revision;
  readonly entries: OrderedMap<KeptEntry>;
}

/** All namespaces, their entries and the hash of both. Knows nothing of commands. */
export class Namespaces {
  readonly #states = new Map<string, NamespaceState>();
  readonly #sum = new RowSum();
  #entryCount = 0;

  /** Names ever used, tombstones too. */
  get count(): number {
    return this.#states.size;
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  get sum(): bigint {
    return this.#sum.value;
  }

  record(name: string): NamespaceRecord | undefined {
    return this.#states.get(name)?.record;
  }

  newest(name: string): Revision | undefined {
    return this.#states.get(name)?.newest;
  }

  /** All records, tombstones too, in order of name. Names are ASCII: the default order is that of their bytes. */
  records(): NamespaceRecord[] {
    return this.#sortedNames().map((name) => this.#state(name).record);
  }

  entry(namespace: string, key: string): Entry | undefined {
    return this.#states.get(namespace)?.entries.get(key)?.entry;
  }

  /** Entries whose key begins with the prefix, in order. */
  list(namespace: string, prefix: string, limit: number): { entries: Entry[]; truncated: boolean } {
    const entries: Entry[] = [];
    const state = this.#states.get(namespace);
    if (state === undefined) return { entries, truncated: false };
    // All keys with a prefix stand together, right from the prefix on.
    for (const [key, kept] of state.entries.entries(prefix)) {
      if (!key.startsWith(prefix)) break;
      if (entries.length === limit) return { entries, truncated: true };
      entries.push(kept.entry);
    }
    return { entries, truncated: false };
  }

  /** Sets an entry. `newest`: of the namespace from now on; in a snapshot a deletion may have come after this entry. */
  put(entry: Entry, newest: Revision): void {
    const state = this.#state(entry.namespace);
    const hash = rowHash(encodeRow({ type: 'entry', entry }));
    this.#subtractEntry(state, state.entries.get(entry.key));
    state.entries.set(entry.key, { entry, hash });
    state.entrySum.add(hash);
    this.#sum.add(hash);
    this.#entryCount += 1;
    if (newest !== state.newest) this.#setRow(state, state.record, newest);
  }

  delete(namespace: string, key: string, revision: Revision): void {
    const state = this.#state(namespace);
    this.#subtractEntry(state, state.entries.get(key));
    assert(state.entries.delete(key), 'the entry is there');
    this.#setRow(state, state.record, revision);
  }

  /** Sets a record. A deleted one drops its entries. */
  setRecord(record: NamespaceRecord, newest: Revision): void {
    let state = this.#states.get(record.name);
    if (state === undefined) {
      state = { record, newest, hash: 0n, entries: orderedMap(), entrySum: new RowSum() };
      this.#states.set(record.name, state);
    } else if (record.deleted) {
      this.#sum.subtract(state.entrySum.value);
      this.#entryCount -= state.entries.size;
      state.entries = orderedMap();
      state.entrySum = new RowSum();
    }
    this.#setRow(state, record, newest);
  }

  /** A consistent view for a snapshot, in order of name: the maps are copied when they next change. */
  capture(): CapturedNamespace[] {
    return this.#sortedNames().map((name) => {
      const { record, newest, entries } = this.#state(name);
      return { record, newest, entries: entries.clone() };
    });
  }

  #subtractEntry(state: NamespaceState, kept: KeptEntry | undefined): void {
    if (kept === undefined) return;
    state.entrySum.subtract(kept.hash);
    this.#sum.subtract(kept.hash);
    this.#entryCount -= 1;
  }

  #setRow(state: NamespaceState, record: NamespaceRecord, newest: Revision): void {
    this.#sum.subtract(state.hash);
    state.record = record;
    state.newest = newest;
    state.hash = rowHash(encodeRow({ type: 'namespace', record, newest }));
    this.#sum.add(state.hash);
  }

  #state(name: string): NamespaceState {
    const state = this.#states.get(name);
    assert(state !== undefined, `namespace ${name} is there`);
    return state;
  }

  #sortedNames(): string[] {
    return [...this.#states.keys()].sort();
  }
}
