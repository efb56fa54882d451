import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { NodeDisk, WalDamagedError, WalLockedError, lockFolder, openWal, readIdentity } from '@quorate/wal';
import type { Disk, DiskFile } from '@quorate/wal';
import { errorText } from '../configuration/cluster-file.js';
import { StartError } from '../configuration/configuration.js';

/** Takes every write and forgets it: a log can be read through it exactly as a start would, and stays as it is. */
class ReadingDisk extends NodeDisk implements Disk {
  override makeDirectory(): void {}
  override openFile(path: string, { create }: { readonly create: boolean }): DiskFile {
    return new ForgetfulFile(create ? null : openSync(path, 'r'));
  }
  override rename(): void {}
  override remove(): void {}
  override syncDirectory(): void {}
}

class ForgetfulFile implements DiskFile {
  /** Null: a file that would have been made. */
  readonly #descriptor: number | null;

  constructor(descriptor: number | null) {
    this.#descriptor = descriptor;
  }

  get size(): number {
    return this.#descriptor === null ? 0 : fstatSync(this.#descriptor).size;
  }

  read(position: number, length: number): Uint8Array {
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, this.size - position)));
    if (this.#descriptor === null || bytes.length === 0) return bytes;
    return bytes.subarray(0, readSync(this.#descriptor, bytes, 0, bytes.length, position));
  }

  write(chunks: readonly Uint8Array[]): number {
    return chunks.reduce((bytes, chunk) => bytes + chunk.length, 0);
  }
  sync(callback: (error: Error | null) => void): void {
    setImmediate(callback, null);
  }
  syncNow(): void {}
  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
  }
}

/**
 * Lists what the log of a stopped member holds: identity, hard state, torn bytes, the newest snapshot, one line for each of the
 * last `last` entries. Changes nothing. Throws StartError.
 */
export async function inspectFolder(directory: string, last: number): Promise<readonly string[]> {
  const disk = new ReadingDisk();
  try {
    if (readIdentity(disk, directory) === null) throw new StartError(`There is no log in ${directory}.`);
    const lock = await lockFolder(directory);
    try {
      const { recovered, snapshots } = openWal(disk, directory);
      const { identity, hardState, entries, tornBytes } = recovered;
      const snapshot = snapshots.newest;
      const first = entries[0];
      const newest = entries.at(-1);
      const bytes = entries.reduce((sum, entry) => sum + entry.payload.length, 0);
      return [
        `cluster ${identity.clusterId}, epoch ${identity.epoch}, member ${identity.memberId}, incarnation ${identity.incarnation}`,
        `term ${hardState.term}, vote ${hardState.vote ?? 'none'}, commit ${hardState.commit}${hardState.recovery === 0 ? '' : `, recovery ${hardState.recovery}`}`,
        first === undefined || newest === undefined
          ? 'no entries'
          : `entries ${first.index} to ${newest.index}, ${bytes} bytes of payload`,
        `torn bytes at the end: ${tornBytes}${tornBytes === 0 ? '' : ' (an unfinished write; the next start erases them)'}`,
        snapshot === null
          ? 'no snapshot'
          : `snapshot at index ${snapshot.index} term ${snapshot.term}, ${snapshot.payloadBytes} bytes`,
        ...entries
          .slice(Math.max(0, entries.length - last))
          .map((entry) => `${entry.index} term ${entry.term} ${entry.kind} ${entry.payload.length} bytes`),
      ];
    } finally {
      await lock.release();
    }
  } catch (error) {
    if (error instanceof WalLockedError) {
      throw new StartError(`The data folder ${directory} is in use: stop the member first.`);
    }
    if (error instanceof WalDamagedError) {
      throw new StartError(`The log is damaged: ${error.file} at byte ${error.offset}: ${error.reason}.`);
    }
    if (error instanceof StartError) throw error;
    throw new StartError(`The data folder ${directory} cannot be read: ${errorText(error)}.`);
  }
}
