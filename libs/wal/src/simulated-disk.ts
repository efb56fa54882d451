import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import type { Disk, DiskFile } from './disk.js';
import { Content, drawFate, fatesOf, Inode, sectorsAround, sectorStarts } from './simulated-inode.js';
import type { Fate, MisdirectedChange, PendingChange, WriteChange } from './simulated-inode.js';

export interface SimulatedDiskOptions {
  /** Uniform in [0, 1): decides what a crash keeps. */
  readonly random: () => number;
  /** Runs a task later, in simulated time: the end of each asynchronous sync. */
  readonly schedule: (task: () => void) => void;
}

/**
 * `lost`, `misdirected`: the caller is told of success, and the page cache shows the write in its place, but a sync brings it
 * nowhere, or to other sectors (of any file; drawn by `random`). With a place given, exactly there. Nobody notices before a
 * power loss has emptied the page cache.
 */
export type WriteFault =
  | 'short'
  | 'EIO'
  | 'ENOSPC'
  | 'lost'
  | 'misdirected'
  | { readonly path: string; readonly position: number };

export interface SimulatedFileInfo {
  readonly path: string;
  /** Bytes, unsynced writes included. */
  readonly size: number;
  /** Writes that a power loss may take. */
  readonly unsynced: number;
}

const OUTCOMES_MAX = 4096;

type NameOperation =
  | { readonly type: 'create'; readonly inode: Inode }
  | { readonly type: 'rename'; readonly from: string; readonly inode: Inode }
  | { readonly type: 'remove' };

interface NameChange {
  readonly path: string;
  readonly operation: NameOperation;
}

/**
 * One outcome of a power loss: for each unsynced name change 1 (kept) or 0 (lost), then for each unsynced change of a file
 * the number of its fate. Only `crashOutcomes` of the same disk makes sense of it.
 */
export type CrashChoice = readonly number[];

export interface CrashOutcomes {
  readonly choices: readonly CrashChoice[];
  /** True if these are all there are; false if a sample was taken. */
  readonly exhaustive: boolean;
}

/**
 * A disk in memory that tells the page cache from the platter, for wal's own tests and for the simulator. Deterministic:
 * the same calls with the same `random` and `schedule` give the same disk.
 *
 * `crash()` is a power loss: each unsynced write is, by itself, kept, lost, torn at sector boundaries, or kept
 * as zeros, so a later one may be there and an earlier one not. Of two kept ones that overlap, the later is on top: the page
 * holds both before it is written, and a page that is being written is not written twice at a time.
 *
 * Names: a creation, rename or removal that no `syncDirectory` followed is kept or lost. Those of unrelated names are
 * independent of each other (some file systems reorder them: Pillai et al., "All File Systems Are Not Created Equal", OSDI
 * 2014), but one that touches a name of an earlier one is kept only with that: a rename can be no older than what it renames.
 * Names and bytes are independent: a name may be kept without the file's unsynced bytes.
 *
 * `kill()` is the death of the process alone: the page cache stays. After either, handles of before throw and their
 * callbacks never come.
 */
export class SimulatedDisk implements Disk {
  /** Called before each call that changes the disk, and before an asynchronous sync ends; may throw to stop the machine there. */
  onOperation: ((operation: string, path: string) => void) | null = null;
  /** While true, asynchronous syncs never end (P22). */
  hangSyncs = false;
  /** The next write, whichever file: takes only a part, throws, or goes astray. Then back to null. */
  nextWriteFault: WriteFault | null = null;
  /**
   * The next sync of a file, of either sort, fails; each unsynced write may or may not have reached the disk. Then back to
   * false. If it is set when an asynchronous sync starts, the pages count as clean at once, while the error comes at the end:
   * another sync meanwhile hears of nothing (P20: an error is reported once).
   */
  nextSyncFails = false;
  /** The next `readFile` or `read` throws EIO. Then back to false. */
  nextReadFails = false;

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
    const inode = this.#inode(path);
    this.#failReadIfAsked(path);
    return inode.cache.copy();
  }

  openFile(path: string, options: { readonly create: boolean }): DiskFile {
    if (!options.create) return this.#handle(path, this.#inode(path));
    this.#announce('create', path);
    assert(this.#directories.has(dirname(path)), `no folder for ${path}`);
    if (this.#names.has(path)) throw diskError('EEXIST', path);
    const inode = new Inode();
    this.#changeNames({ path, operation: { type: 'create', inode } });
    return this.#handle(path, inode);
  }

  rename(from: string, to: string): void {
    this.#announce('rename', to);
    assert(dirname(from) === dirname(to), 'a rename stays within its folder');
    this.#changeNames({ path: to, operation: { type: 'rename', from, inode: this.#inode(from) } });
  }

  remove(path: string): void {
    this.#announce('remove', path);
    this.#inode(path);
    this.#changeNames({ path, operation: { type: 'remove' } });
  }

  syncDirectory(path: string): void {
    this.#announce('syncDirectory', path);
    for (const change of this.#pendingNames)
      if (dirname(change.path) === path) applyName(this.#durableNames, change);
    this.#pendingNames = this.#pendingNames.filter((change) => dirname(change.path) !== path);
  }

  /** Power loss. What was synced survives; of the rest, `choice` decides, or else `random`. */
  crash(choice?: CrashChoice): void {
    const inodes = this.#inodes();
    const { random } = this.#options;
    const kept: NameChange[] = [];
    const lost: NameChange[] = [];
    for (const [position, change] of this.#pendingNames.entries()) {
      const isWanted = choice === undefined ? random() < 0.5 : choice[position] === 1;
      (isWanted && !lost.some((earlier) => dependsOn(change, earlier)) ? kept : lost).push(change);
    }
    let next = this.#pendingNames.length;
    for (const inode of inodes) {
      inode.settle((change) => {
        const fate: Fate | undefined =
          choice === undefined ? drawFate(change, random) : fatesOf(change)[choice[next] ?? -1];
        next += 1;
        assert(fate !== undefined, 'not a choice of this disk');
        return fate;
      });
    }
    for (const inode of inodes) inode.cache.become(inode.durable);
    for (const change of kept) applyName(this.#durableNames, change);
    this.#pendingNames = [];
    this.#names = new Map(this.#durableNames);
    this.kill();
  }

  /**
   * All outcomes of a power loss at this moment, if they are at most `outcomesMax`; else a sample that is always the same:
   * everything kept, everything lost, each single change that differs from all the others, and a spread of the rest.
   */
  crashOutcomes(outcomesMax = OUTCOMES_MAX): CrashOutcomes {
    const radices = this.#pendingNames.map(() => 2);
    const keptDigits = this.#pendingNames.map(() => 1);
    for (const inode of this.#inodes()) {
      for (const { change } of inode.undecided()) {
        radices.push(fatesOf(change).length);
        keptDigits.push(0);
      }
    }
    const total = radices.reduce((product, radix) => product * radix, 1);
    const isPossible = (choice: CrashChoice): boolean => this.#isPossible(choice);
    if (total <= outcomesMax) {
      const choices = Array.from({ length: total }, (_, number) => digitsOf(number, radices));
      return { choices: choices.filter(isPossible), exhaustive: true };
    }
    const lostDigits = radices.map((_, position) => (position < this.#pendingNames.length ? 0 : 1));
    const sample = [keptDigits, lostDigits];
    for (const [position, radix] of radices.entries()) {
      for (let digit = 0; digit < radix; digit += 1)
        for (const base of [keptDigits, lostDigits])
          if (sample.length < outcomesMax && base[position] !== digit)
            sample.push(base.with(position, digit));
    }
    let state = 1;
    while (sample.length < outcomesMax) {
      sample.push(
        radices.map((radix) => {
          // The multiplier of a well-known linear congruential generator; its high bits are good enough to spread.
          state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
          return Math.floor((state / 0x1_0000_0000) * radix);
        }),
      );
    }
    return { choices: sample.filter(isPossible), exhaustive: false };
  }

  /** A copy that shares nothing with this disk: page cache, platter and what lies between. No handle, sync or fault goes with it. */
  fork(options: SimulatedDiskOptions = this.#options): SimulatedDisk {
    const copy = new SimulatedDisk(options);
    const copies = new Map<Inode, Inode>();
    const copyOf = (inode: Inode): Inode => {
      const known = copies.get(inode);
      if (known !== undefined) return known;
      const made = new Inode();
      copies.set(inode, made);
      inode.copyTo(made, copyOf);
      return made;
    };
    for (const directory of this.#directories) copy.#directories.add(directory);
    for (const [path, inode] of this.#durableNames) copy.#durableNames.set(path, copyOf(inode));
    for (const [path, inode] of this.#names) copy.#names.set(path, copyOf(inode));
    copy.#pendingNames = this.#pendingNames.map(({ path, operation }) => ({
      path,
      operation: operation.type === 'remove' ? operation : { ...operation, inode: copyOf(operation.inode) },
    }));
    return copy;
  }

  /** The process dies, the machine does not: nothing is lost, handles and callbacks are. Faults are switched off. */
  kill(): void {
    this.#incarnation += 1;
    this.hangSyncs = false;
    this.nextWriteFault = null;
    this.nextSyncFails = false;
    this.nextReadFails = false;
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
      unsynced: inode.undecided().length,
    }));
  }

  #handle(path: string, inode: Inode): DiskFile {
    const born = this.#incarnation;
    let open = true;
    const assertOpen = (): void => {
      if (born !== this.#incarnation || !open) throw diskError('EBADF', path);
    };
    const use = (operation: string): void => {
      assertOpen();
      this.#announce(operation, path);
    };
    return {
      get size(): number {
        return inode.cache.size;
      },
      read: (position, length) => {
        assertOpen();
        this.#failReadIfAsked(path);
        return inode.cache.slice(position, position + length);
      },
      write: (chunks, position) => {
        use('write');
        return this.#write(path, inode, Buffer.concat(chunks), position);
      },
      sync: (callback) => {
        use('sync');
        if (this.hangSyncs) return;
        const last = inode.pending.at(-1);
        const failed = this.nextSyncFails ? this.#sync(path, inode, last) : null;
        this.#options.schedule(() => {
          if (born !== this.#incarnation) return;
          this.#announce('synced', path);
          callback(failed ?? this.#sync(path, inode, last));
        });
      },
      syncNow: () => {
        use('syncNow');
        const error = this.#sync(path, inode, inode.pending.at(-1));
        if (error !== null) throw error;
      },
      close: () => {
        open = false;
      },
    };
  }

  #failReadIfAsked(path: string): void {
    if (!this.nextReadFails) return;
    this.nextReadFails = false;
    throw diskError('EIO', path);
  }

  #write(path: string, inode: Inode, bytes: Buffer, position: number): number {
    const fault = this.nextWriteFault;
    this.nextWriteFault = null;
    if (fault === 'EIO' || fault === 'ENOSPC') throw diskError(fault, path);
    const taken =
      fault === 'short' ? Math.max(1, Math.floor(this.#options.random() * bytes.length)) : bytes.length;
    const written = { type: 'write', position, bytes: new Uint8Array(bytes.subarray(0, taken)) } as const;
    if (fault === null || fault === 'short') inode.change(written);
    else this.#strayWrite(inode, written, fault);
    return taken;
  }

  /** The page cache is right; what reaches the platter is not. */
  #strayWrite(inode: Inode, written: WriteChange, fault: WriteFault): void {
    const end = written.position + written.bytes.length;
    const stray = (bytes: Uint8Array, target: MisdirectedChange['target']): void =>
      inode.change({ type: 'misdirected', end, bytes, target }, written);
    if (typeof fault === 'object') {
      return stray(written.bytes, { inode: this.#inode(fault.path), position: fault.position });
    }
    if (fault === 'lost') return stray(written.bytes, null);
    // Below the file system whole sectors go astray, with what else the page cache holds of them.
    const cache = new Content();
    cache.become(inode.cache);
    cache.write(written.bytes, written.position);
    const { from, bytes } = sectorsAround(cache, written.position, written.bytes.length);
    const targets = [...new Set(this.#names.values())].flatMap((other) =>
      sectorStarts(other.cache).flatMap((position) => {
        const isItself = other === inode && position >= from && position < end;
        return isItself ? [] : [{ inode: other, position }];
      }),
    );
    stray(bytes, targets[Math.floor(this.#options.random() * targets.length)] ?? null);
  }

  #changeNames(change: NameChange): void {
    applyName(this.#names, change);
    this.#pendingNames.push(change);
  }

  /** Ends a sync of the pending changes up to `last`. If a syncNow in between has written them, nothing is left to do. */
  #sync(path: string, inode: Inode, last: PendingChange | undefined): Error | null {
    const fails = this.nextSyncFails;
    this.nextSyncFails = false;
    // P20: after a failed sync the pages count as clean. No later sync writes them, and reading still shows them.
    inode.synced(last, fails ? 'unsure' : 'synced');
    return fails ? diskError('EIO', path) : null;
  }

  /** Every file that a name leads to, or may lead to after a power loss, always in the same order. */
  #inodes(): Set<Inode> {
    const inodes = new Set(this.#durableNames.values());
    for (const { operation } of this.#pendingNames)
      if (operation.type !== 'remove') inodes.add(operation.inode);
    return inodes;
  }

  #isPossible(choice: CrashChoice): boolean {
    return this.#pendingNames.every(
      (change, position) =>
        choice[position] !== 1 ||
        this.#pendingNames.every(
          (earlier, before) => before >= position || choice[before] === 1 || !dependsOn(change, earlier),
        ),
    );
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

function applyName(names: Map<string, Inode>, { path, operation }: NameChange): void {
  if (operation.type === 'rename') names.delete(operation.from);
  if (operation.type === 'remove') names.delete(path);
  else names.set(path, operation.inode);
}

/** Two changes of one name happen in their order, or the later not at all. */
function dependsOn(later: NameChange, earlier: NameChange): boolean {
  const names = touchedNames(later);
  return touchedNames(earlier).some((name) => names.includes(name));
}

function touchedNames({ path, operation }: NameChange): string[] {
  return operation.type === 'rename' ? [path, operation.from] : [path];
}

function digitsOf(number: number, radices: readonly number[]): number[] {
  let rest = number;
  return radices.map((radix) => {
    const digit = rest % radix;
    rest = (rest - digit) / radix;
    return digit;
  });
}
