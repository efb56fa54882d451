import assert from 'node:assert/strict';
import { LRUCache } from 'lru-cache';
import type { Entry, Revision } from '@quorate/kv';

/** What the view holds for a key: the entry, or that there is none (R8: absence has a revision too). */
export interface Held {
  readonly namespace: string;
  readonly entry: Entry | null;
  /** Of the entry; of an absence, a revision at which it was known to be absent. */
  readonly revision: Revision;
}

// Of the map node, the entry object and the texts' headers, roughly.
const HELD_OVERHEAD_BYTES = 256;

/** What it takes to hold an entry, or its absence, under a text; bytes, roughly. */
export function heldBytes(text: string, entry: Entry | null): number {
  return HELD_OVERHEAD_BYTES + 2 * text.length + (entry?.value.length ?? 0);
}

/** One id for (namespace, key): a namespace has no NUL. */
export function entryId(namespace: string, key: string): string {
  return `${namespace}\u0000${key}`;
}

/** An entry with what finds it, and what keeps it. */
interface Slot extends Held {
  readonly id: string;
  readonly key: string;
  /** The period in which it was last moved to the end of the least recently used. */
  usedIn: number;
}

/**
 * The least recently used entries within a budget of bytes. Eviction loses work, never an order: floors live
 * elsewhere.
 */
export class HeldEntries {
  readonly #entries: LRUCache<string, Slot>;
  // By namespace, by key: no text is made to look an entry up. Always holds the same slots as the cache.
  readonly #index = new Map<string, Map<string, Slot>>();
  #indexed = 0;
  #evictions = 0;
  #period = 0;

  constructor(bytesMax: number) {
    this.#entries = new LRUCache<string, Slot>({
      maxSize: bytesMax,
      dispose: (slot, _id, reason) => {
        this.#forget(slot);
        if (reason === 'evict') {
          // mark: a cache evicts an entry
          this.#evictions += 1;
        }
      },
    });
  }

  get evictions(): number {
    return this.#evictions;
  }

  get count(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  /** Those that exist. */
  present(): Entry[] {
    return [...this.#entries.values()].flatMap(({ entry }) => entry ?? []);
  }

  /** What is held, if anything; it counts as used. */
  get(namespace: string, key: string): Held | undefined {
    const slot = this.#index.get(namespace)?.get(key);
    if (slot === undefined || slot.usedIn === this.#period) return slot;
    // Moving an entry costs more than finding it: once a period is often enough to tell used ones from others.
    slot.usedIn = this.#period;
    this.#entries.get(slot.id);
    return slot;
  }

  /** Entries that are used from now on are kept before those that were used until now. */
  beginPeriod(): void {
    this.#period += 1;
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  /** Holds it, or nothing at all for the id when it alone is over the budget: never what was held before. */
  set(id: string, held: Held): void {
    // A part of a text is slower to compare than a text of its own, which an entry has.
    const key = held.entry?.key ?? id.slice(held.namespace.length + 1);
    const { namespace, entry, revision } = held;
    // Field by field: with a spread each look at the slot took five times as long.
    const slot: Slot = { namespace, entry, revision, id, key, usedIn: this.#period };
    this.#entries.set(id, slot, { size: heldBytes(id, held.entry) });
    // Too large for the budget: then it is not held.
    if (this.#entries.has(id)) this.#enter(slot);
    this.#assertIndexed();
  }

  #enter(slot: Slot): void {
    const { namespace, key } = slot;
    const keys = this.#index.get(namespace);
    if (keys === undefined) this.#index.set(namespace, new Map([[key, slot]]));
    else keys.set(key, slot);
    this.#indexed += 1;
  }

  dropNamespace(namespace: string): void {
    const slots = [...(this.#index.get(namespace)?.values() ?? [])];
    for (const { id } of slots) this.#entries.delete(id);
    this.#assertIndexed();
  }

  clear(): void {
    this.#entries.clear();
    this.#assertIndexed();
  }

  #forget(slot: Slot): void {
    const keys = this.#index.get(slot.namespace);
    if (keys?.get(slot.key) !== slot) return;
    keys.delete(slot.key);
    this.#indexed -= 1;
    if (keys.size === 0) this.#index.delete(slot.namespace);
  }

  /** What was found and is not held would no longer follow the feed. */
  #assertIndexed(): void {
    if (this.#indexed !== this.#entries.size) assert.fail('the index holds what the cache holds');
  }
}
