import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import type { Disk, DiskFile } from './disk.js';

export interface SimulatedDiskOptions {
  /** Uniform in [0, 1): decides what a crash keeps. */
  readonly random: () => number;
  /** Runs a task later, in simulated time: the end of each asynchronous sync. */
  readonly schedule: (task: () => void) => void;
}

export type WriteFault = 'short' | 'EIO' | 'ENOSPC';

export interface SimulatedFileInfo {
  readonly path: string;
  /** Bytes, unsynced writes included. */
  readonly size: number;
  /** Writes and truncations that a power loss may take. */
  readonly unsynced: number;
}

const SECTOR_BYTES = 512;

type PendingChange =
  | { readonly type: 'write'; readonly position: number; readonly bytes: Uint8Array }
  | { readonly type: 'truncate'; readonly size: number };

type NameChange = { readonly directory: string; apply(names: Map<string, Inode>): void };

/** Bytes that grow; what lies between two writes is zero. */
class Content {
  #bytes = new Uint8Array(0);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  write(bytes: Uint8Array, position: number): void {
    this.#grow(position + bytes.length);
    this.#bytes.set(bytes, position);
  }

  resize(size: number): void {
    if (size < this.#size) this.#bytes.fill(0, size, this.#size);
    this.#grow(size);
    this.#size = size;
  }

  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#size);
  }

  flipBit(offset: number, bit: number): void {
    if (offset < this.#size) this.#bytes[offset] = (this.#bytes[offset] ?? 0) ^ (1 << bit);
  }

  #grow(size: number): void {
    if (size > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(size, this.#bytes.length * 2, 256));
      larger.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = larger;
    }
    this.#size = Math.max(this.#size, size);
  }
}

class Inode {
  readonly durable = new Content();
  readonly cache = new Content();
  pending: PendingChange[] = [];
}

function applyChange(content: Content, change: PendingChange): void {
  if (change.type === 'write') content.write(change.bytes, change.position);
  else content.resize(change.size);
}

/**
 * A disk in memory that tells the page cache from the platter, for wal's own tests and for the simulator. Deterministic:
 * the same calls with the same `random` and `schedule` give the same disk.
 *
 * `crash()` is a power loss: each unsynced write is, by itself, kept, lost, torn at a sector boundary, or kept as zeros;
 * each name that was created, renamed or removed without `syncDirectory` is kept or lost. `kill()` is the death of the
 * process alone: the page cache stays. After either, handles of before throw and their callbacks never come.
 */
export class SimulatedDisk implements Disk {
  /** Called before each call that changes the disk, and before an asynchronous sync ends; may throw to stop the machine there. */
  onOperation: ((operation: string, path: string) => void) | null = null;
  /** While true, asynchronous syncs never end (P22). */
  hangSyncs = false;
  /** The next write, whichever file: takes only a part, or throws. Then back to null. */
  nextWriteFault: WriteFault | null = null;
  /** The next sync of a file, of either sort, fails; each unsynced write may or may not have reached the disk. Then back to false. */
  nextSyncFails = false;

  readonly #options: SimulatedDiskOptions;
  readonly #directories = new Set<string>();
  #durableNames = new Map<string, Inode>();
  #names = new Map<string, Inode>();
  #pendingNames: NameChange[] = [];
  #incarnation = 0;

  constructor(options: SimulatedDiskOptions) {
    this.#options = options;
  }

  makeDirectory(path: string): void {
    this.#announce('makeDirectory', path);
    this.#directories.add(path);
  }

  list(path: string): string[] {
    return [...this.#names.keys()]
      .filter((name) => dirname(name) === path)
      .map((name) => name.slice(path.length + 1));
  }

  readFile(path: string): Uint8Array {
    return this.#inode(path).cache.copy();
  }

  openFile(path: string, options: { readonly create: boolean }): DiskFile {
    if (!options.create) return this.#handle(path, this.#inode(path));
    this.#announce('create', path);
    assert(this.#directories.has(dirname(path)), `no folder for ${path}`);
    if (this.#names.has(path)) throw diskError('EEXIST', path);
    const inode = new Inode();
    this.#changeNames({ directory: dirname(path), apply: (names) => names.set(path, inode) });
    return this.#handle(path, inode);
  }

  rename(from: string, to: string): void {
    this.#announce('rename', to);
    assert(dirname(from) === dirname(to), 'a rename stays within its folder');
    const inode = this.#inode(from);
    this.#changeNames({
      directory: dirname(to),
      apply: (names) => {
        names.delete(from);
        names.set(to, inode);
      },
    });
  }

  remove(path: string): void {
    this.#announce('remove', path);
    this.#inode(path);
    this.#changeNames({ directory: dirname(path), apply: (names) => names.delete(path) });
  }

  syncDirectory(path: string): void {
    this.#announce('syncDirectory', path);
    for (const change of this.#pendingNames) if (change.directory === path) change.apply(this.#durableNames);
    this.#pendingNames = this.#pendingNames.filter((change) => change.directory !== path);
  }

  /** Power loss. What was synced survives; of the rest, `random` decides. */
  crash(): void {
    for (const change of this.#pendingNames)
      if (this.#options.random() < 0.5) change.apply(this.#durableNames);
    this.#pendingNames = [];
    for (const inode of new Set(this.#durableNames.values())) {
      for (const change of inode.pending) this.#settle(inode, change);
      inode.pending = [];
      inode.cache.resize(0);
      inode.cache.write(inode.durable.copy(), 0);
    }
    this.#names = new Map(this.#durableNames);
    this.kill();
  }

  /** The process dies, the machine does not: nothing is lost, handles and callbacks are. Faults are switched off. */
  kill(): void {
    this.#incarnation += 1;
    this.hangSyncs = false;
    this.nextWriteFault = null;
    this.nextSyncFails = false;
  }

  /** Flips one bit on the platter and in the page cache: what a disk does behind everybody's back. */
  flipBit(path: string, offset: number, bit = 0): void {
    const inode = this.#inode(path);
    inode.durable.flipBit(offset, bit);
    inode.cache.flipBit(offset, bit);
  }

  /** Puts a file there, durably, whatever was there before. */
  plant(path: string, bytes: Uint8Array): void {
    this.#directories.add(dirname(path));
    const inode = new Inode();
    inode.durable.write(bytes, 0);
    inode.cache.write(bytes, 0);
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  files(): SimulatedFileInfo[] {
    return [...this.#names].map(([path, inode]) => ({
      path,
      size: inode.cache.size,
      unsynced: inode.pending.length,
    }));
  }

  #handle(path: string, inode: Inode): DiskFile {
    const born = this.#incarnation;
    let open = true;
    const use = (operation: string): void => {
      if (born !== this.#incarnation || !open) throw diskError('EBADF', path);
      this.#announce(operation, path);
    };
    return {
      get size(): number {
        return inode.cache.size;
      },
      write: (chunks, position) => {
        use('write');
        return this.#write(path, inode, Buffer.concat(chunks), position);
      },
      sync: (callback) => {
        use('sync');
        const last = inode.pending.at(-1);
        if (this.hangSyncs) return;
        this.#options.schedule(() => {
          if (born !== this.#incarnation) return;
          this.#announce('synced', path);
          callback(this.#sync(path, inode, last));
        });
      },
      syncNow: () => {
        use('syncNow');
        const error = this.#sync(path, inode, inode.pending.at(-1));
        if (error !== null) throw error;
      },
      truncate: (size) => {
        use('truncate');
        this.#change(inode, { type: 'truncate', size });
      },
      close: () => {
        open = false;
      },
    };
  }

  #write(path: string, inode: Inode, bytes: Buffer, position: number): number {
    const fault = this.nextWriteFault;
    this.nextWriteFault = null;
    if (fault === 'EIO' || fault === 'ENOSPC') throw diskError(fault, path);
    const taken =
      fault === 'short' ? Math.max(1, Math.floor(this.#options.random() * bytes.length)) : bytes.length;
    this.#change(inode, { type: 'write', position, bytes: new Uint8Array(bytes.subarray(0, taken)) });
    return taken;
  }

  #change(inode: Inode, change: PendingChange): void {
    applyChange(inode.cache, change);
    inode.pending.push(change);
  }

  #changeNames(change: NameChange): void {
    change.apply(this.#names);
    this.#pendingNames.push(change);
  }

  /** Ends a sync of the pending changes up to `last`. If a syncNow in between has written them, nothing is left to do. */
  #sync(path: string, inode: Inode, last: PendingChange | undefined): Error | null {
    const covered = last === undefined ? 0 : inode.pending.indexOf(last) + 1;
    const fails = this.nextSyncFails;
    this.nextSyncFails = false;
    for (const change of inode.pending.splice(0, covered)) {
      // P20: after a failed sync the pages count as clean. No later sync writes them, and reading still shows them.
      if (fails) this.#settle(inode, change);
      else applyChange(inode.durable, change);
    }
    return fails ? diskError('EIO', path) : null;
  }

  /** Decides what became of a change that no sync covered. */
  #settle(inode: Inode, change: PendingChange): void {
    const fate = this.#options.random();
    if (fate < 0.35) applyChange(inode.durable, change);
    if (fate < 0.7 || change.type === 'truncate') return;
    const { position, bytes } = change;
    const end = position + bytes.length;
    const firstBoundary = (Math.floor(position / SECTOR_BYTES) + 1) * SECTOR_BYTES;
    const boundaries = Math.max(0, Math.ceil((end - firstBoundary) / SECTOR_BYTES));
    if (fate >= 0.95) {
      // The file grew, its blocks were never written.
      if (end > inode.durable.size) inode.durable.resize(end);
    } else if (boundaries > 0) {
      const cut = firstBoundary + SECTOR_BYTES * Math.floor(this.#options.random() * boundaries) - position;
      if (this.#options.random() < 0.7) inode.durable.write(bytes.subarray(0, cut), position);
      else inode.durable.write(bytes.subarray(cut), position + cut);
    }
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw diskError('ENOENT', path);
    return inode;
  }

  #announce(operation: string, path: string): void {
    this.onOperation?.(operation, path);
  }
}

function diskError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${path}`), { code });
}
