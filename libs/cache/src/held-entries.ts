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

/**
 * The least recently used entries within a budget of bytes. Eviction loses work, never an order: floors live
 * elsewhere.
 */
export class HeldEntries {
  readonly #entries: LRUCache<string, Held>;
  #evictions = 0;

  constructor(bytesMax: number) {
    this.#entries = new LRUCache<string, Held>({
      maxSize: bytesMax,
      dispose: (_held, _id, reason) => {
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

  get(id: string): Held | undefined {
    return this.#entries.get(id);
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  /** Holds it, or nothing at all for the id when it alone is over the budget: never what was held before. */
  set(id: string, held: Held): void {
    this.#entries.set(id, held, { size: heldBytes(id, held.entry) });
  }

  dropNamespace(namespace: string): void {
    const ids = [...this.#entries.entries()].filter(([, held]) => held.namespace === namespace);
    for (const [id] of ids) this.#entries.delete(id);
  }

  clear(): void {
    this.#entries.clear();
  }
}
