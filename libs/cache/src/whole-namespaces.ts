import assert from 'node:assert/strict';
import { compareKeys, LIST_BYTES_MAX, listBytesOf } from '@quorate/kv';
import type { Entry, NamespaceRecord, Revision } from '@quorate/kv';
import { heldBytes } from './held-entries.js';

/** One page of a namespace's content: everything there is in it from behind `after` on, as of `revision`. */
export interface ContentPage {
  readonly revision: Revision;
  /** In the order of keys. */
  readonly entries: readonly Entry[];
  /** The namespace goes on behind the last of them. */
  readonly more: boolean;
}

/** The page to ask for next. */
export interface NextPage {
  readonly namespace: string;
  /** Behind this key; empty: from the start. */
  readonly after: string;
}

/** All entries of one namespace at the watermark, or the part of them that has come. */
class Whole {
  readonly #entries = new Map<string, Entry>();
  /** The same keys in order: a list reads from here. */
  readonly #keys: string[] = [];
  /** While it loads: keys that were deleted since it began. A page that was read before brings them again. */
  readonly #deleted = new Map<string, Revision>();
  /** The next page begins behind this key. Null: nothing is missing. */
  after: string | null;
  bytes = 0;

  constructor(after: string | null) {
    this.after = after;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  put(entry: Entry): void {
    const before = this.#entries.get(entry.key);
    if (before === undefined) this.#keys.splice(this.#placeOf(entry.key), 0, entry.key);
    else this.bytes -= heldBytes(entry.key, before);
    this.#entries.set(entry.key, entry);
    this.bytes += heldBytes(entry.key, entry);
    this.#forget(entry.key);
  }

  delete(key: string, at: Revision): void {
    const before = this.#entries.get(key);
    if (before !== undefined) {
      this.#entries.delete(key);
      this.#keys.splice(this.#placeOf(key), 1);
      this.bytes -= heldBytes(key, before);
    }
    if (this.after === null) return;
    this.#forget(key);
    this.#deleted.set(key, at);
    this.bytes += heldBytes(key, null);
  }

  /** What the feed brought since the page was read is newer, put or deleted: it stays. */
  merge(page: ContentPage): void {
    for (const entry of page.entries) {
      const known = this.#entries.get(entry.key)?.revision ?? this.#deleted.get(entry.key) ?? 0;
      if (entry.revision > known) this.put(entry);
    }
    this.after = page.more ? (page.entries.at(-1)?.key ?? null) : null;
    if (this.after !== null) return;
    for (const key of [...this.#deleted.keys()]) this.#forget(key);
  }

  list(prefix: string, limit: number, bytesMax = LIST_BYTES_MAX): { entries: Entry[]; truncated: boolean } {
    const entries: Entry[] = [];
    let bytes = 0;
    for (let at = this.#placeOf(prefix); at < this.#keys.length; at += 1) {
      const key = this.#keys[at] ?? '';
      if (!key.startsWith(prefix)) break;
      if (entries.length === limit) return { entries, truncated: true };
      const entry = this.#entries.get(key);
      assert(entry !== undefined, 'each key has its entry');
      bytes += listBytesOf(entry);
      if (bytes > bytesMax && entries.length > 0) return { entries, truncated: true };
      entries.push(entry);
    }
    return { entries, truncated: false };
  }

  #forget(key: string): void {
    if (this.#deleted.delete(key)) this.bytes -= heldBytes(key, null);
  }

  /** Of the first key that is not before this one. */
  #placeOf(key: string): number {
    let [low, high] = [0, this.#keys.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareKeys(this.#keys[middle] ?? '', key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * The namespaces that are held whole: of those the view knows that an entry is not there, and can list them. They are loaded page by page, one after the
 * other, while the feed goes on changing them. One that is too large is left to the entries that are held by demand.
 */
export class WholeNamespaces {
  readonly #always: string;
  readonly #namespaceBytesMax: number;
  readonly #bytesMax: number;
  readonly #wholes = new Map<string, Whole>();
  /** Names to load, in this order. The first is being loaded. */
  #queue: string[] = [];
  #bytes = 0;
  #tooLarge = 0;

  /**
   * `namespaceBytesMax`: of one, 0: none is held whole; `bytesMax`: of all. `always`: a namespace that is loaded before the others, and held
   * whole whatever it takes; what bounds it is not here.
   */
  constructor(always: string, namespaceBytesMax: number, bytesMax: number) {
    this.#always = always;
    this.#namespaceBytesMax = namespaceBytesMax;
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Namespaces given up because they were too large. */
  get tooLarge(): number {
    return this.#tooLarge;
  }

  /** How many are complete. */
  get count(): number {
    return this.#wholes.size - this.#queue.length;
  }

  isComplete(namespace: string): boolean {
    return this.#wholes.get(namespace)?.after === null;
  }

  /** Undefined: it is not complete. */
  find(namespace: string): { get(key: string): Entry | undefined } | undefined {
    const whole = this.#wholes.get(namespace);
    return whole?.after === null ? whole : undefined;
  }

  /** Null: it is not there. Only of a namespace that is complete. */
  get(namespace: string, key: string): Entry | null {
    return this.#complete(namespace).get(key) ?? null;
  }

  /** In the order of keys. Only of a namespace that is complete. */
  list(namespace: string, prefix: string, limit: number): { entries: Entry[]; truncated: boolean } {
    return this.#complete(namespace).list(prefix, limit);
  }

  /** All that are complete, with all that is in them. */
  complete(): { namespace: string; entries: readonly Entry[] }[] {
    return [...this.#wholes]
      .filter(([, { after }]) => after === null)
      .map(([namespace, whole]) => ({ namespace, entries: whole.list('', Infinity, Infinity).entries }));
  }

  /** What to ask for; null: nothing is missing. */
  get next(): NextPage | null {
    const [namespace] = this.#queue;
    if (namespace === undefined) return null;
    const { after } = this.#whole(namespace);
    assert(after !== null, 'what is in the queue is not complete');
    return { namespace, after };
  }

  clear(): void {
    this.#wholes.clear();
    this.#queue = [];
    this.#bytes = 0;
  }

  /** A namespace whose content is not known is to be loaded. */
  want(namespace: string): void {
    assert(!this.#wholes.has(namespace), 'wanted once');
    if (!this.#mayHold(namespace)) return;
    this.#wholes.set(namespace, new Whole(''));
    if (namespace === this.#always) this.#queue.unshift(namespace);
    else this.#queue.push(namespace);
  }

  /** A namespace record came by the feed: its content is gone with the old one, and a new one has none yet. */
  replace(record: NamespaceRecord): void {
    this.#drop(record.name);
    const isHeld = this.#mayHold(record.name) && record.kind === 'cached' && !record.deleted;
    if (isHeld) this.#wholes.set(record.name, new Whole(null));
  }

  /** One change of an entry, in the order of the chain. `entry` null: it was deleted. */
  apply(namespace: string, key: string, entry: Entry | null, at: Revision): void {
    const whole = this.#wholes.get(namespace);
    if (whole === undefined) return;
    this.#change(namespace, whole, () => {
      if (entry === null) whole.delete(key, at);
      else whole.put(entry);
    });
  }

  /** The page that was asked for, once the watermark is there. True: the namespace is complete. */
  merge(namespace: string, page: ContentPage): boolean {
    const whole = this.#whole(namespace);
    this.#change(namespace, whole, () => whole.merge(page));
    if (!this.isComplete(namespace)) return false;
    this.#queue = this.#queue.filter((name) => name !== namespace);
    return true;
  }

  /** All of a namespace that is wanted, if it is. */
  fill(namespace: string, page: ContentPage): void {
    if (this.#wholes.has(namespace) && !this.isComplete(namespace)) this.merge(namespace, page);
  }

  /** It cannot be had: its entries are held by demand. */
  giveUp(namespace: string): void {
    this.#drop(namespace);
  }

  /** The next one first, this one last: a namespace that nobody gives must not keep all others waiting. */
  postpone(namespace: string): void {
    this.#queue = [...this.#queue.filter((name) => name !== namespace), namespace];
  }

  #change(namespace: string, whole: Whole, change: () => void): void {
    const before = whole.bytes;
    change();
    if (namespace === this.#always) return;
    this.#bytes += whole.bytes - before;
    if (whole.bytes <= this.#namespaceBytesMax && this.#bytes <= this.#bytesMax) return;
    // mark: a namespace is too large to be held whole
    this.#tooLarge += 1;
    this.#drop(namespace);
  }

  #mayHold(namespace: string): boolean {
    return this.#namespaceBytesMax > 0 || namespace === this.#always;
  }

  #drop(namespace: string): void {
    if (namespace !== this.#always) this.#bytes -= this.#wholes.get(namespace)?.bytes ?? 0;
    this.#wholes.delete(namespace);
    this.#queue = this.#queue.filter((name) => name !== namespace);
  }

  #whole(namespace: string): Whole {
    const whole = this.#wholes.get(namespace);
    assert(whole !== undefined, `${namespace} is held or being loaded`);
    return whole;
  }

  #complete(namespace: string): Whole {
    const whole = this.#whole(namespace);
    assert(whole.after === null, `${namespace} is complete`);
    return whole;
  }
}
