import assert from 'node:assert/strict';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { LogIndex, SnapshotPoint } from '@quorate/raft';
import type { Disk, DiskFile } from './disk.js';
import { WalDamagedError } from './errors.js';
import { toBuffer, writeFully } from './segment.js';
import type { WalIdentity } from './segment.js';
import {
  CHUNK_PREFIX_BYTES,
  chunkCountOf,
  decodeFooter,
  decodeSnapshotHeader,
  encodeFooter,
  encodeSnapshotHeader,
  fileBytesOf,
  headerChecksum,
  indexOfName,
  isUnfinishedSnapshot,
  openChunk,
  placeOfChunk,
  sealChunk,
  SNAPSHOT_CHUNK_BYTES,
  SNAPSHOT_FOOTER_BYTES,
  SNAPSHOT_HEADER_BYTES,
  snapshotName,
} from './snapshot-layout.js';
import type { SnapshotFile, SnapshotInfo } from './snapshot-layout.js';

/** A file with a snapshot's name that is none any more. */
export interface DamagedSnapshot {
  readonly name: string;
  /** From its name. */
  readonly index: LogIndex;
  readonly reason: string;
}

export interface FoundSnapshots {
  /** Ascending. */
  readonly whole: readonly SnapshotFile[];
  /** Ascending. */
  readonly damaged: readonly DamagedSnapshot[];
  readonly unfinished: readonly string[];
}

/**
 * Looks at both ends of each snapshot file: header, footer and size. Chunks are verified when they are read. Reading changes
 * nothing on the disk. Throws `WalDamagedError` for a sound file that is not this member's, or what the disk throws.
 */
export function findSnapshots(disk: Disk, directory: string, identity: WalIdentity): FoundSnapshots {
  const names = disk.list(directory).toSorted();
  const whole: SnapshotFile[] = [];
  const damaged: DamagedSnapshot[] = [];
  for (const name of names) {
    const index = indexOfName(name);
    if (index === null) continue;
    const found = inspect(disk, directory, name, identity);
    if (typeof found === 'string') damaged.push({ name, index, reason: found });
    else whole.push(found);
  }
  return { whole, damaged, unfinished: names.filter((name) => isUnfinishedSnapshot(name)) };
}

/** A name came only after everything in the file was durable (P10), so whatever is wrong with it is never a torn write. */
function inspect(disk: Disk, directory: string, name: string, identity: WalIdentity): SnapshotFile | string {
  const file = disk.openFile(join(directory, name), { create: false });
  try {
    const { size } = file;
    const header = toBuffer(file.read(0, SNAPSHOT_HEADER_BYTES));
    const decoded = decodeSnapshotHeader(header, name, identity);
    if (typeof decoded === 'string') return decoded;
    const footerStart = Math.max(0, size - SNAPSHOT_FOOTER_BYTES);
    const footer = toBuffer(file.read(footerStart, SNAPSHOT_FOOTER_BYTES));
    const found = decodeFooter(footer, decoded);
    if (found === null) return 'no valid footer at its end';
    const expected = fileBytesOf(found);
    if (size !== expected) return `it has ${size} bytes and not ${expected}`;
    return found;
  } finally {
    file.close();
  }
}

/** The bytes of one snapshot file in the making: header, chunks, footer. Holds one chunk in memory. */
class SnapshotOutput {
  readonly checksum: number;
  readonly #file: DiskFile;
  readonly #point: SnapshotPoint;
  readonly #chunkBytes: number;
  /** One frame, with room behind it for the footer: the end of the file is one write. */
  readonly #frame: Buffer;
  #framePayloadBytes = 0;
  #chunksWritten = 0;
  #payloadBytes = 0;
  #digest = 0;
  /** Bytes handed to the disk. */
  written = 0;

  constructor(file: DiskFile, identity: WalIdentity, point: SnapshotPoint, chunkBytes: number) {
    this.#file = file;
    this.#point = point;
    this.#chunkBytes = chunkBytes;
    this.#frame = Buffer.allocUnsafe(CHUNK_PREFIX_BYTES + chunkBytes + SNAPSHOT_FOOTER_BYTES);
    const header = encodeSnapshotHeader(identity, point, chunkBytes);
    this.checksum = headerChecksum(header);
    this.#write(header);
  }

  append(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      // A full chunk is written only when more comes: the last one is written together with the footer.
      if (this.#framePayloadBytes === this.#chunkBytes) this.#writeChunk();
      const part = bytes.subarray(done, done + this.#chunkBytes - this.#framePayloadBytes);
      this.#frame.set(part, CHUNK_PREFIX_BYTES + this.#framePayloadBytes);
      this.#framePayloadBytes += part.length;
      done += part.length;
    }
    this.#payloadBytes += bytes.length;
    this.#digest = crc32(bytes, this.#digest);
  }

  end(): SnapshotFile {
    const frame = this.#sealed();
    const info: SnapshotInfo = {
      index: this.#point.index,
      term: this.#point.term,
      chunkCount: this.#chunksWritten + 1,
      payloadBytes: this.#payloadBytes,
      digest: this.#digest,
    };
    const chunkCount = chunkCountOf(this.#payloadBytes, this.#chunkBytes);
    assert(info.chunkCount === chunkCount && chunkCount < 0xffff_ffff);
    const end = frame.length + SNAPSHOT_FOOTER_BYTES;
    this.#frame.set(encodeFooter(info, this.checksum), frame.length);
    this.#write(this.#frame.subarray(0, end));
    return { ...info, checksum: this.checksum, chunkBytes: this.#chunkBytes };
  }

  #writeChunk(): void {
    this.#write(this.#sealed());
    this.#chunksWritten += 1;
    this.#framePayloadBytes = 0;
  }

  #sealed(): Buffer {
    const frame = this.#frame.subarray(0, CHUNK_PREFIX_BYTES + this.#framePayloadBytes);
    sealChunk(frame, this.checksum, this.#chunksWritten);
    return frame;
  }

  #write(bytes: Uint8Array): void {
    writeFully(this.#file, bytes, this.written);
    this.written += bytes.length;
  }
}

/** A new file under its temporary name; the remains of an earlier try go. */
function createUnfinished(disk: Disk, directory: string, name: string): DiskFile {
  if (disk.list(directory).includes(name)) disk.remove(join(directory, name));
  return disk.openFile(join(directory, name), { create: true });
}

/**
 * Writes a snapshot into a folder that is being formatted, blocking: for a restore without a member. When it returns, the
 * snapshot survives a power loss, and `openWal` begins the log behind it. Throws what the disk throws.
 */
export function writeSnapshotNow(
  disk: Disk,
  directory: string,
  identity: WalIdentity,
  point: SnapshotPoint,
  payload: Iterable<Uint8Array>,
): SnapshotInfo {
  const name = snapshotName(point.index);
  const file = createUnfinished(disk, directory, `${name}.tmp`);
  try {
    const output = new SnapshotOutput(file, identity, point, SNAPSHOT_CHUNK_BYTES);
    for (const bytes of payload) output.append(bytes);
    const info = infoOf(output.end());
    file.syncNow();
    disk.rename(join(directory, `${name}.tmp`), join(directory, name));
    disk.syncDirectory(directory);
    return info;
  } finally {
    file.close();
  }
}

/** Without what only a reader of the file needs. */
export function infoOf({ index, term, chunkCount, payloadBytes, digest }: SnapshotInfo): SnapshotInfo {
  return { index, term, chunkCount, payloadBytes, digest };
}

/** The snapshot files of one member, beside its log. */
export class SnapshotFiles {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #identity: WalIdentity;
  /** Payload of each chunk but the last, in files that are written now. Those that are there may have others. */
  readonly chunkBytes: number;
  /** Durable ones, ascending. */
  readonly #files: SnapshotFile[];
  #writer: SnapshotWriter | null = null;

  /** For `openWal`. */
  constructor(
    disk: Disk,
    directory: string,
    identity: WalIdentity,
    chunkBytes: number,
    files: readonly SnapshotFile[],
  ) {
    const isSize = Number.isInteger(chunkBytes) && chunkBytes >= 1 && chunkBytes <= SNAPSHOT_CHUNK_BYTES;
    assert(isSize, `chunks of ${chunkBytes} bytes`);
    this.chunkBytes = chunkBytes;
    this.#disk = disk;
    this.#directory = directory;
    this.#identity = identity;
    this.#files = [...files];
  }

  /** The newest that is durable. */
  get newest(): SnapshotInfo | null {
    const newest = this.#files.at(-1);
    return newest === undefined ? null : infoOf(newest);
  }

  /** Null if there is no such snapshot, or no more. */
  info(index: LogIndex): SnapshotInfo | null {
    const found = this.#find(index);
    return found === null ? null : infoOf(found);
  }

  /**
   * Begins a snapshot that stands for everything up to `point`, which lies above `newest`. One may be under way at a time.
   * Throws what the disk throws; nothing is under way then.
   */
  create(point: SnapshotPoint): SnapshotWriter {
    assert(this.#writer === null, 'a snapshot is under way already');
    const newest = this.#files.at(-1)?.index ?? 0;
    assert(point.index > newest, `snapshot ${point.index} after snapshot ${newest}`);
    const name = snapshotName(point.index);
    const file = createUnfinished(this.#disk, this.#directory, `${name}.tmp`);
    try {
      const output = new SnapshotOutput(file, this.#identity, point, this.chunkBytes);
      const writer = new SnapshotWriter(this.#disk, this.#directory, name, file, output, (finished) => {
        this.#writer = null;
        if (finished !== null) this.#files.push(finished);
      });
      this.#writer = writer;
      return writer;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * One whole chunk's payload, its checksum verified. `info(index)` must be there and `chunk`, from 0, below its chunkCount.
   * Throws `WalDamagedError`, or what the disk throws.
   */
  readChunk(index: LogIndex, chunk: number): Uint8Array {
    const info = this.#find(index);
    assert(info !== null, `no snapshot ${index}`);
    const name = snapshotName(index);
    const { position, length } = placeOfChunk(info, chunk);
    const file = this.#disk.openFile(join(this.#directory, name), { create: false });
    try {
      const frame = toBuffer(file.read(position, CHUNK_PREFIX_BYTES + length));
      const isWhole = frame.length === CHUNK_PREFIX_BYTES + length;
      const payload = isWhole ? openChunk(frame, info.checksum, chunk) : null;
      if (payload === null) throw new WalDamagedError(name, position, `chunk ${chunk} has a wrong checksum`);
      return payload;
    } finally {
      file.close();
    }
  }

  /**
   * Removes all but the newest and those in `keep`. Needs no fsync: one that a power loss brings back is older than the newest
   * and does no harm. Throws what the disk throws.
   */
  prune(keep: readonly LogIndex[]): void {
    const newest = this.#files.at(-1);
    for (const file of this.#files.filter((one) => one !== newest && !keep.includes(one.index))) {
      this.#files.splice(this.#files.indexOf(file), 1);
      this.#disk.remove(join(this.#directory, snapshotName(file.index)));
    }
  }

  #find(index: LogIndex): SnapshotFile | null {
    return this.#files.find((file) => file.index === index) ?? null;
  }
}

/**
 * One snapshot in the making. After any error only `abandon` makes sense (P20: a second fsync could succeed without having
 * written what the first one lost); a new try begins with a new file.
 */
export class SnapshotWriter {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #name: string;
  readonly #file: DiskFile;
  readonly #output: SnapshotOutput;
  readonly #onEnd: (finished: SnapshotFile | null) => void;
  #state: 'open' | 'finishing' | 'ended' = 'open';
  #isNamed = false;
  #syncedBytes = 0;
  #syncInFlight = false;
  #failure: Error | null = null;
  #afterSync: (() => void) | null = null;

  /** For `SnapshotFiles`. */
  constructor(
    disk: Disk,
    directory: string,
    name: string,
    file: DiskFile,
    output: SnapshotOutput,
    onEnd: (finished: SnapshotFile | null) => void,
  ) {
    this.#disk = disk;
    this.#directory = directory;
    this.#name = name;
    this.#file = file;
    this.#output = output;
    this.#onEnd = onEnd;
  }

  /** Any number of bytes; whole chunks go into the page cache. Throws what the disk throws. */
  append(bytes: Uint8Array): void {
    assert(this.#state === 'open', 'append to a snapshot that has ended');
    if (this.#failure !== null) throw this.#failure;
    try {
      this.#output.append(bytes);
    } catch (error) {
      this.#failure = asError(error);
      throw error;
    }
  }

  /** Bytes of the file that lie in the page cache and that no fsync has covered. */
  get unsyncedBytes(): number {
    return this.#output.written - this.#syncedBytes;
  }

  /**
   * Asynchronous fsync of what is in the page cache so far, one at a time: so that the last one is not one of a gigabyte, in
   * front of the log's own. The callback comes from inside this call only with an error, and not after `abandon`.
   */
  sync(callback: (error: Error | null) => void): void {
    assert(this.#state === 'open', 'sync of a snapshot that has ended');
    assert(!this.#syncInFlight, 'an fsync of the snapshot is in flight already');
    this.#startSync(callback);
  }

  /**
   * P10: footer, fsync, the final name, fsync of the folder; only then is the snapshot `newest` and may the log rely on it. The
   * callback comes from inside this call only with an error, and not after `abandon`. After an error the temporary file is gone.
   */
  finish(callback: (error: Error | null, info: SnapshotInfo | null) => void): void {
    assert(this.#state === 'open', 'a snapshot finished twice');
    this.#state = 'finishing';
    const fail = (error: Error): void => {
      this.#failure = error;
      this.abandon();
      callback(error, null);
    };
    const finishNow = (): void => {
      if (this.#state !== 'finishing') return;
      if (this.#failure !== null) return fail(this.#failure);
      let finished: SnapshotFile;
      try {
        finished = this.#output.end();
      } catch (error) {
        return fail(asError(error));
      }
      this.#startSync((error) => {
        const failure = error ?? this.#giveName();
        if (failure !== null) return fail(failure);
        this.#state = 'ended';
        this.#file.close();
        this.#onEnd(finished);
        callback(null, infoOf(finished));
      });
    };
    // P20: an error is reported to one fsync only. Beside one in flight this one could hide its failure.
    if (this.#syncInFlight) this.#afterSync = finishNow;
    else finishNow();
  }

  /** Gives the snapshot up: closes and removes the temporary file. Harmless after the end. */
  abandon(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#file.close();
    this.#onEnd(null);
    if (this.#isNamed) return;
    try {
      this.#disk.remove(join(this.#directory, `${this.#name}.tmp`));
    } catch {
      // The remains go when the folder is opened next.
    }
  }

  /** Both are quick: no bytes of the file are left to write. */
  #giveName(): Error | null {
    try {
      this.#disk.rename(join(this.#directory, `${this.#name}.tmp`), join(this.#directory, this.#name));
      this.#isNamed = true;
      this.#disk.syncDirectory(this.#directory);
      return null;
    } catch (error) {
      return asError(error);
    }
  }

  #startSync(callback: (error: Error | null) => void): void {
    if (this.#failure !== null) return callback(this.#failure);
    const covered = this.#output.written;
    this.#syncInFlight = true;
    try {
      this.#file.sync((error) => {
        this.#syncInFlight = false;
        if (this.#state === 'ended') return;
        this.#failure = error;
        if (error === null) this.#syncedBytes = covered;
        callback(error);
        const next = this.#afterSync;
        this.#afterSync = null;
        next?.();
      });
    } catch (error) {
      this.#syncInFlight = false;
      this.#failure = asError(error);
      callback(this.#failure);
    }
  }
}

function asError(error: unknown): Error {
  // An assertion is a programmer error, not a disk's.
  if (error instanceof assert.AssertionError) throw error;
  return error instanceof Error ? error : new Error(String(error));
}
