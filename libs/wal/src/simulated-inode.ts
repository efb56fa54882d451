/**
 * What the simulated disk knows of one file: the bytes on the platter, the bytes in the page cache, and the changes that lie
 * between them. Which states a power loss may leave is decided here, change by change.
 */

/** What a disk writes as a whole or not at all. */
const SECTOR_BYTES = 512;
/** Of a write over more sectors than this, only some boundaries are tried. */
const BOUNDARIES_MAX = 8;

export interface WriteChange {
  readonly type: 'write';
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** A write that the disk puts elsewhere, or nowhere, while it reports success and while the page cache shows it in its place. */
export interface MisdirectedChange {
  readonly type: 'misdirected';
  /** Where the file was to end: its size is the file system's own business and comes out right. */
  readonly end: number;
  readonly bytes: Uint8Array;
  readonly target: { readonly inode: Inode; readonly position: number } | null;
}

export type Change = WriteChange | MisdirectedChange;

/** What a power loss made of one change. `head`, `tail`: so many bytes of a torn write; `sectors`: every other one, from the first or the second. */
export type Fate =
  | { readonly type: 'kept' | 'lost' | 'zeros' }
  | { readonly type: 'head' | 'tail'; readonly bytes: number }
  | { readonly type: 'sectors'; readonly first: 0 | 1 };

/** `unsure`: a failed sync covered it; it counts as clean, and nobody knows whether it reached the platter (P20). */
export interface PendingChange {
  readonly change: Change;
  state: 'dirty' | 'unsure' | 'synced';
}

/** Bytes that grow; what lies between two writes is zero. */
export class Content {
  #bytes: Uint8Array = new Uint8Array(0);
  #size = 0;
  /** Another content may hold the same array: searches copy disks far more often than they change the copies. */
  #isShared = false;

  get size(): number {
    return this.#size;
  }

  write(bytes: Uint8Array, position: number): void {
    this.growTo(position + bytes.length);
    this.#own().set(bytes, position);
  }

  /** Writes what fits into the present size: a misdirected write changes blocks, not a file's size. */
  overwrite(bytes: Uint8Array, position: number): void {
    if (position < this.#size) this.#own().set(bytes.subarray(0, this.#size - position), position);
  }

  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#size);
  }

  slice(from: number, to: number): Uint8Array {
    return this.#bytes.slice(Math.min(from, this.#size), Math.min(to, this.#size));
  }

  become(other: Content): void {
    this.#bytes = other.#bytes;
    this.#size = other.#size;
    this.#isShared = true;
    other.#isShared = true;
  }

  flipBit(offset: number, bit: number): void {
    if (offset >= this.#size) return;
    const bytes = this.#own();
    bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit);
  }

  /** For changing it in place. */
  #own(): Uint8Array {
    if (this.#isShared) this.#bytes = this.#bytes.slice();
    this.#isShared = false;
    return this.#bytes;
  }

  /** With zeros; never smaller. */
  growTo(size: number): void {
    if (size > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(size, this.#bytes.length * 2, 256));
      larger.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = larger;
      this.#isShared = false;
    }
    this.#size = Math.max(this.#size, size);
  }
}

export class Inode {
  readonly durable = new Content();
  readonly cache = new Content();
  /** Oldest first. Starts with a change that is not synced: what is synced behind it must be applied after it. */
  pending: PendingChange[] = [];

  change(change: Change, cached: Change = change): void {
    applyChange(this.cache, cached);
    this.pending.push({ change, state: 'dirty' });
  }

  /** A sync of everything up to `last` has ended, well or badly. What a sync in between has already covered stays as it is. */
  synced(last: PendingChange | undefined, state: 'synced' | 'unsure'): void {
    const covered = last === undefined ? 0 : this.pending.indexOf(last) + 1;
    for (const pending of this.pending.slice(0, covered)) {
      if (pending.state === 'dirty') pending.state = state;
    }
    this.pending = this.pending.filter(
      (pending, position) => pending.state !== 'unsure' || !this.#isOverwritten(pending.change, position),
    );
    while (this.pending[0]?.state === 'synced') {
      const first = this.pending.shift();
      if (first !== undefined) applyChange(this.durable, first.change);
    }
  }

  /** Changes whose fate a power loss decides, oldest first. */
  undecided(): PendingChange[] {
    return this.pending.filter((pending) => pending.state !== 'synced');
  }

  /** A power loss, on the platter. `fateOf` is asked for each undecided change, oldest first. */
  settle(fateOf: (change: Change) => Fate): void {
    for (const { change, state } of this.pending) {
      applyFate(this.durable, change, state === 'synced' ? { type: 'kept' } : fateOf(change));
    }
    this.pending = [];
  }

  /** Another disk's copy of this file. `copyOf` gives the copies of other files. */
  copyTo(copy: Inode, copyOf: (inode: Inode) => Inode): void {
    copy.durable.become(this.durable);
    copy.cache.become(this.cache);
    copy.pending = this.pending.map(({ change, state }) => {
      if (change.type !== 'misdirected' || change.target === null) return { change, state };
      const target = { ...change.target, inode: copyOf(change.target.inode) };
      return { change: { ...change, target }, state };
    });
  }

  /** Nobody will ever see whether an unsure change was done, since synced ones came over it. */
  #isOverwritten(change: Change, position: number): boolean {
    if (change.type === 'misdirected') return false;
    let from = change.position;
    let to = from + change.bytes.length;
    for (const { change: later, state } of this.pending.slice(position + 1)) {
      if (state !== 'synced' || later.type === 'misdirected') continue;
      const end = later.position + later.bytes.length;
      if (later.position <= from) from = Math.max(from, end);
      else if (end >= to) to = Math.min(to, later.position);
    }
    return from >= to;
  }
}

function applyChange(content: Content, change: Change): void {
  if (change.type === 'write') content.write(change.bytes, change.position);
  else {
    content.growTo(change.end);
    change.target?.inode.durable.overwrite(change.bytes, change.target.position);
  }
}

/**
 * What may become of a change that no sync covered. A write: there, gone, zeros (the file grew, its blocks were never
 * written), or torn at any sector boundary. More than a real disk could do: it would never tear inside a sector, so two small writes
 * into one sector can only be lost from the last; here each is lost by itself.
 */
export function fatesOf(change: Change): Fate[] {
  const fates: Fate[] = [{ type: 'kept' }, { type: 'lost' }];
  if (change.type === 'misdirected') return fates;
  fates.push({ type: 'zeros' });
  const boundaries = sectorBoundaries(change);
  const step = Math.ceil(boundaries.length / BOUNDARIES_MAX);
  for (let at = 0; at < boundaries.length; at += step) {
    const bytes = (boundaries[at] ?? 0) - change.position;
    fates.push({ type: 'head', bytes }, { type: 'tail', bytes: change.bytes.length - bytes });
  }
  if (boundaries.length > 1) fates.push({ type: 'sectors', first: 0 }, { type: 'sectors', first: 1 });
  return fates;
}

/** The same fates as `fatesOf`, at random: whole ones most of the time. */
export function drawFate(change: Change, random: () => number): Fate {
  const drawn = random();
  if (drawn < 0.35) return { type: 'kept' };
  if (drawn < 0.7) return { type: 'lost' };
  const others = fatesOf(change).filter(({ type }) => type !== 'kept' && type !== 'lost');
  const torn = others.filter(({ type }) => type !== 'zeros');
  if (torn.length > 0 && drawn < 0.95) return torn[Math.floor(random() * torn.length)] ?? { type: 'lost' };
  return { type: others.length > 0 && drawn >= 0.95 ? 'zeros' : 'lost' };
}

function sectorBoundaries(change: WriteChange): number[] {
  const boundaries: number[] = [];
  const end = change.position + change.bytes.length;
  let boundary = (Math.floor(change.position / SECTOR_BYTES) + 1) * SECTOR_BYTES;
  for (; boundary < end; boundary += SECTOR_BYTES) boundaries.push(boundary);
  return boundaries;
}

function applyFate(durable: Content, change: Change, fate: Fate): void {
  if (fate.type === 'lost') return;
  if (fate.type === 'kept' || change.type === 'misdirected') return applyChange(durable, change);
  const { position, bytes } = change;
  const end = position + bytes.length;
  if (fate.type === 'zeros') durable.growTo(end);
  else if (fate.type === 'head') durable.write(bytes.subarray(0, fate.bytes), position);
  else if (fate.type === 'tail') durable.write(bytes.subarray(bytes.length - fate.bytes), end - fate.bytes);
  else if (fate.type === 'sectors') {
    const cuts = [position, ...sectorBoundaries(change), end];
    for (let sector = fate.first; sector < cuts.length - 1; sector += 2) {
      const from = cuts[sector] ?? end;
      durable.write(bytes.subarray(from - position, (cuts[sector + 1] ?? end) - position), from);
    }
  }
}

/** The sectors that a write touched, as the page cache holds them now: what a disk moves as a whole. */
export function sectorsAround(
  content: Content,
  position: number,
  length: number,
): { from: number; bytes: Uint8Array } {
  const from = Math.floor(position / SECTOR_BYTES) * SECTOR_BYTES;
  return { from, bytes: content.slice(from, Math.ceil((position + length) / SECTOR_BYTES) * SECTOR_BYTES) };
}

/** Where the sectors of a file start. */
export function sectorStarts(content: Content): number[] {
  return Array.from({ length: Math.ceil(content.size / SECTOR_BYTES) }, (_, sector) => sector * SECTOR_BYTES);
}
