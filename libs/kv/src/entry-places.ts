import assert from 'node:assert/strict';
import type { Slab } from './entry-slabs.js';
import { StoredEntry } from './entry-slabs.js';

const PAGE_PLACES = 1024;

interface Page {
  /** Whose it is: a later one copies it before it writes. A number, for a reference would keep all that the earlier ones ever held. */
  readonly generation: number;
  /** Two arrays instead of a million objects: the garbage collector walks objects, and stands still for them. */
  readonly slabs: (Slab | undefined)[];
  readonly offsets: number[];
}

/** Where the row of each entry is, by a number that the entry keeps for as long as it is there. */
export class EntryPlaces {
  readonly #pages: Page[];
  /** Numbers of entries that are gone. Only whoever goes on writing reads it, so a clone has the same. */
  readonly #free: number[];
  #taken: number;
  readonly #generation: number;

  constructor(pages: Page[] = [], free: number[] = [], taken = 0, generation = 0) {
    this.#pages = pages;
    this.#free = free;
    this.#taken = taken;
    this.#generation = generation;
  }

  get(number: number): StoredEntry {
    const page = this.#page(number);
    const slab = page.slabs[number % PAGE_PLACES];
    const offset = page.offsets[number % PAGE_PLACES];
    if (slab === undefined || offset === undefined) assert.fail(`entry ${number} is there`);
    return new StoredEntry(slab, offset);
  }

  /** The same, or undefined when no entry has this number now. */
  find(number: number): StoredEntry | undefined {
    const page = this.#pages[Math.floor(number / PAGE_PLACES)];
    const slab = page?.slabs[number % PAGE_PLACES];
    return slab === undefined ? undefined : new StoredEntry(slab, page?.offsets[number % PAGE_PLACES] ?? 0);
  }

  /** A number for a new entry. */
  take(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    this.#taken += 1;
    return this.#taken - 1;
  }

  /** The entry is gone; its number may be another's. */
  giveBack(number: number): void {
    this.#writable(number).slabs[number % PAGE_PLACES] = undefined;
    this.#free.push(number);
  }

  /** The row of the entry with this number is here now. */
  set({ number, slab, offset }: StoredEntry): void {
    const page = this.#writable(number);
    page.slabs[number % PAGE_PLACES] = slab;
    page.offsets[number % PAGE_PLACES] = offset;
  }

  /** What goes on in place of this one, which from now on is only read: pages are copied when they are next written. */
  clone(): EntryPlaces {
    return new EntryPlaces(this.#pages.slice(), this.#free, this.#taken, this.#generation + 1);
  }

  #page(number: number): Page {
    const page = this.#pages[Math.floor(number / PAGE_PLACES)];
    if (page === undefined) assert.fail(`entry ${number} has a page`);
    return page;
  }

  #writable(number: number): Page {
    const index = Math.floor(number / PAGE_PLACES);
    const page = this.#pages[index];
    if (page?.generation === this.#generation) return page;
    const own = {
      generation: this.#generation,
      slabs: page?.slabs.slice() ?? [],
      offsets: page?.offsets.slice() ?? [],
    };
    this.#pages[index] = own;
    return own;
  }
}
