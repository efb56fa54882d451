import assert from 'node:assert/strict';
import { join } from 'node:path';
import { logIndex, term } from '@quorate/raft';
import type { HardState, LogEntry, LogIndex, SnapshotPoint } from '@quorate/raft';
import type { Disk, DiskFile } from './disk.js';
import { WalFailedError } from './errors.js';
import {
  entryRecordBytes,
  HARD_STATE_RECORD_BYTES,
  RecordWriter,
  START_RECORDS_BYTES,
  SYNC_MARK_RECORD_BYTES,
} from './record.js';
import { connect, mayFollow, readLog } from './recovery.js';
import type { Connected, LeftSegment, LogContents } from './recovery.js';
import { createSegment, segmentName, writeFully, SEGMENT_START_BYTES } from './segment.js';
import type { WalIdentity } from './segment.js';
import { findSnapshots, infoOf, SnapshotFiles } from './snapshot-files.js';
import { SNAPSHOT_CHUNK_BYTES } from './snapshot-layout.js';
import type { SnapshotInfo } from './snapshot-layout.js';

export interface WalOptions {
  /** A batch that would make a segment larger starts a new one. Bytes; 64 MiB unless told otherwise, 1 GiB at most. */
  readonly segmentBytesMax?: number;
  /**
   * A segment's file grows by so many bytes at a time, with zeros ahead of the records: an fsync of a file that keeps its size costs
   * the disk much less. 256 KiB unless told otherwise, 1 MiB at most; 8 for a file that always ends with its records.
   */
  readonly allocationBytes?: number;
  /** Payload of each chunk but the last of the snapshots that are written. 256 KiB unless told otherwise, and at most. */
  readonly snapshotChunkBytes?: number;
}

export interface WalRecovered {
  readonly identity: WalIdentity;
  /** Term 0, no vote, commit 0 if nothing was ever recorded. `commit` never leads `entries`. */
  readonly hardState: HardState;
  /** What precedes the first entry; index and term 0 for a log from its beginning. */
  readonly base: SnapshotPoint;
  /** From `base.index + 1`, contiguous. All of it is durable. */
  readonly entries: readonly LogEntry[];
  /** The newest one. `base.index` <= its index <= the last index, and the log holds its term there. Null only if base.index is 0. */
  readonly snapshot: SnapshotInfo | null;
  /** Names of snapshot files that were damaged and not needed, and are removed now. */
  readonly damagedSnapshots: readonly string[];
  /** Bytes of a torn tail that were erased, up to its last one that is not zero: a write that a crash interrupted and that was never reported durable. */
  readonly tornBytes: number;
}

export interface WalBatch {
  readonly hardState: HardState | null;
  /**
   * The whole log is dropped and goes on behind this point, before `entries` are appended. A durable snapshot of exactly this
   * point must be the newest (P10), and its term must not be above that of the hard state.
   */
  readonly reset?: SnapshotPoint | null;
  /** If the first is not after the end of the log, it and all after it are replaced. */
  readonly entries: readonly LogEntry[];
  /** False only when nothing but `commit` moved (raft's `mustSync`): no fsync is owed. True if absent. */
  readonly sync?: boolean;
}

export interface WalStats {
  readonly segmentNumber: number;
  /** Segments present. */
  readonly segments: number;
  /** Of the records in all segments present. The files may be longer: zeros are written ahead. */
  readonly logBytes: number;
  /** Of the newest durable snapshot; 0 if there is none. */
  readonly snapshotIndex: number;
  /** Since opening. */
  readonly bytesWritten: number;
  /** Group fsyncs that succeeded since opening. */
  readonly syncs: number;
  readonly syncInFlight: boolean;
  /** Batches whose `onDurable` is still owed. */
  readonly waiting: number;
  readonly failed: boolean;
}

const SEGMENT_BYTES_MAX_DEFAULT = 64 * 1024 * 1024;
/** Offsets are 32-bit numbers in the format. */
const SEGMENT_BYTES_MAX_LIMIT = 1024 * 1024 * 1024;
const BATCH_BYTES_MAX = 256 * 1024 * 1024;
const ALLOCATION_BYTES_DEFAULT = 256 * 1024;
const ALLOCATION_BYTES_LIMIT = 1024 * 1024;
const ZEROS = Buffer.alloc(ALLOCATION_BYTES_LIMIT);
/** The member stops when its storage hangs (P22), long before this many batches wait. */
const WAITING_MAX = 1_000_000;

interface Waiting {
  readonly sequence: number;
  readonly sync: boolean;
  readonly onDurable: (error: Error | null) => void;
}

/**
 * Opens the log of a formatted folder: reads it, refuses damage with nothing changed, erases a torn tail, finishes the
 * installation of a snapshot, and makes all that it returns durable. Whatever it does may be cut short by a crash and is done
 * again the next time. Throws `WalNotFormattedError`, `WalDamagedError`, or what the disk throws.
 */
export function openWal(
  disk: Disk,
  directory: string,
  options: WalOptions = {},
): { wal: Wal; recovered: WalRecovered; snapshots: SnapshotFiles } {
  const contents = readLog(disk, directory);
  const found = findSnapshots(disk, directory, contents.identity);
  const connected = connect(contents, found);
  const { lastSegment, validEnd, tornEnd, knownDurable } = contents;
  const tornBytes = tornEnd - validEnd;
  const file = disk.openFile(join(directory, segmentName(contents.segmentNumber)), { create: false });
  try {
    if (tornBytes > 0) {
      // mark: a torn tail is cut off
      // P17: stale bytes behind the end must never come back to life between later records.
      lastSegment.fill(0, validEnd, tornEnd);
    }
    // P20: after a failed fsync the system may count pages as clean that never reached the disk. What is not known durable is
    // written again, so that the fsync below really covers it: the zeros behind the end too, for they may be those of an earlier
    // try to erase a torn tail.
    const unsure = lastSegment.subarray(knownDurable);
    if (unsure.length > 0) writeFully(file, unsure, knownDurable);
    file.syncNow();
    const damaged = found.damaged.map(({ name }) => name);
    const useless = [...contents.unfinished, ...found.unfinished, ...contents.leftover, ...damaged];
    for (const name of useless) disk.remove(join(directory, name));
    // P19: also the last segment's name, or a snapshot's, may so far be only in the page cache.
    disk.syncDirectory(directory);
    // P10: only now does the snapshot surely outlive what the log says of it.
    if (connected.isChanged) writeLogStart(file, contents, connected);
  } catch (error) {
    file.close();
    throw error;
  }
  const { base, entries, hardState, snapshot } = connected;
  const recovered: WalRecovered = {
    identity: contents.identity,
    hardState,
    base,
    entries: [...entries],
    snapshot: snapshot === null ? null : infoOf(snapshot),
    damagedSnapshots: found.damaged.map(({ name }) => name),
    tornBytes,
  };
  const chunkBytes = options.snapshotChunkBytes ?? SNAPSHOT_CHUNK_BYTES;
  const snapshots = new SnapshotFiles(disk, directory, contents.identity, chunkBytes, found.whole);
  const wal = new Wal(disk, directory, options, contents, connected, file, snapshots);
  return { wal, recovered, snapshots };
}

/** Torn, it is an unfinished write like any other, and the next opening writes it again. */
function writeLogStart(file: DiskFile, { segmentChecksum, validEnd }: LogContents, log: Connected): void {
  const writer = new RecordWriter(START_RECORDS_BYTES, segmentChecksum, validEnd, validEnd);
  writer.start({ hardState: log.hardState, logEnd: lastOf(log) });
  writeFully(file, writer.finish(), validEnd);
  file.syncNow();
}

function lastOf({ base, entries }: Connected): SnapshotPoint {
  const last = entries.at(-1);
  return last === undefined ? base : { index: last.index, term: last.term };
}

/**
 * The write-ahead log of one member. One writer, no reader: the entries live in memory, the log is read once, on opening.
 * Programmer errors (a gap, a term or vote that goes back, use after close) are assertions; an error of the disk ends the
 * log for good (P20).
 */
export class Wal {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #segmentBytesMax: number;
  readonly #allocationBytes: number;
  readonly #identity: WalIdentity;

  #file: DiskFile;
  #segmentNumber: number;
  #segmentChecksum: number;
  /** End of the current segment's records. */
  #offset: number;
  /** The current segment's file is at least so long; zeros lie between `#offset` and this. */
  #allocatedEnd: number;
  /** The current segment is known durable up to here. */
  #syncedOffset: number;
  /** The syncedOffset that the newest record carries: when it is behind, a mark is owed. */
  #markedOffset: number;

  #hardState: HardState;
  /** What `#terms` begins behind. */
  #base: { readonly index: number; readonly term: number };
  /** Terms of the entries behind the base: what is needed to check the next batch. */
  #terms: number[];

  /** Oldest first. */
  readonly #left: LeftSegment[];
  /** As `LeftSegment.indexMax`, of the current segment. */
  #indexMax: number;
  readonly #snapshots: SnapshotFiles;

  #sequence = 0;
  #waiting: Waiting[] = [];
  #syncInFlight = false;
  /** Callbacks are running; a close asked for by one of them waits for the others. */
  #delivering = false;
  #failure: WalFailedError | null = null;
  #onClosed: ((error: Error | null) => void) | null = null;
  #closed = false;
  #bytesWritten = 0;
  #syncs = 0;

  /** For `openWal`. */
  constructor(
    disk: Disk,
    directory: string,
    options: WalOptions,
    contents: LogContents,
    log: Connected,
    file: DiskFile,
    snapshots: SnapshotFiles,
  ) {
    this.#disk = disk;
    this.#directory = directory;
    this.#segmentBytesMax = options.segmentBytesMax ?? SEGMENT_BYTES_MAX_DEFAULT;
    assert(this.#segmentBytesMax > SEGMENT_START_BYTES && this.#segmentBytesMax <= SEGMENT_BYTES_MAX_LIMIT);
    this.#allocationBytes = options.allocationBytes ?? ALLOCATION_BYTES_DEFAULT;
    assert(this.#allocationBytes >= 8 && this.#allocationBytes <= ALLOCATION_BYTES_LIMIT);
    this.#identity = contents.identity;
    this.#file = file;
    this.#segmentNumber = contents.segmentNumber;
    this.#segmentChecksum = contents.segmentChecksum;
    const end = contents.validEnd + (log.isChanged ? START_RECORDS_BYTES : 0);
    this.#offset = end;
    this.#allocatedEnd = Math.max(end, contents.lastSegment.length);
    this.#syncedOffset = end;
    this.#markedOffset = log.isChanged ? contents.validEnd : contents.vouchedEnd;
    this.#hardState = log.hardState;
    this.#base = log.base;
    this.#terms = log.entries.map((entry) => entry.term);
    this.#left = [...contents.left];
    this.#indexMax = log.isChanged ? Math.max(contents.indexMax, lastOf(log).index) : contents.indexMax;
    this.#snapshots = snapshots;
    this.#writeSyncMark();
  }

  get stats(): WalStats {
    return {
      segmentNumber: this.#segmentNumber,
      segments: this.#left.length + 1,
      logBytes: this.#left.reduce((sum, { bytes }) => sum + bytes, this.#offset),
      snapshotIndex: this.#snapshots.newest?.index ?? 0,
      bytesWritten: this.#bytesWritten,
      syncs: this.#syncs,
      syncInFlight: this.#syncInFlight,
      waiting: this.#waiting.length,
      failed: this.#failure !== null,
    };
  }

  /**
   * Writes a batch and calls back when it, and all before it, is durable. Callbacks come in the order of the appends. One
   * fsync is in flight at a time; all that is appended meanwhile shares the next. The callback comes from inside this call
   * only if the log has failed (with the error), or if `sync` is false and nothing waits before it.
   */
  append(batch: WalBatch, onDurable: (error: Error | null) => void): void {
    assert(!this.#closed && this.#onClosed === null, 'append after close');
    assert(this.#waiting.length < WAITING_MAX, 'too many batches wait for the disk');
    if (this.#failure !== null) {
      onDurable(this.#failure);
      return;
    }
    this.#checkReset(batch);
    this.#checkEntries(batch);
    const lastIndex = batch.reset?.index ?? this.#lastIndex;
    this.#checkHardState(batch.hardState, batch.entries.at(-1)?.index ?? lastIndex);
    this.#sequence += 1;
    this.#waiting.push({ sequence: this.#sequence, sync: batch.sync ?? true, onDurable });
    this.#write(batch);
    if (this.#failure !== null) return;
    this.#take(batch);
    this.#releaseUnsynced();
    this.#startSync();
  }

  /** Waits for what is owed, makes everything durable and closes the file. Calls back with the failure if there is one. */
  close(callback: (error: Error | null) => void): void {
    assert(!this.#closed && this.#onClosed === null, 'closed twice');
    this.#onClosed = callback;
    this.#finishClose();
  }

  /**
   * Removes the oldest segments, as long as no entry above `through` was ever written in them; never the current one. `through`
   * must not be above the newest durable snapshot. One fsync of the folder if anything goes, else next to nothing. An error of
   * the disk ends the log, as one of a write does: the batches that wait hear of it from inside this call.
   */
  compact(through: LogIndex): void {
    assert(!this.#closed && this.#onClosed === null, 'compact after close');
    const snapshotIndex = this.#snapshots.newest?.index ?? 0;
    assert(
      through <= snapshotIndex,
      `entries up to ${through} may not go: the snapshot ends at ${snapshotIndex}`,
    );
    if (this.#failure !== null) return;
    this.#forgetTerms(through);
    const kept = this.#left.findIndex(({ indexMax }) => indexMax > through);
    const removed = this.#left.splice(0, kept === -1 ? this.#left.length : kept);
    if (removed.length === 0) return;
    try {
      for (const { number } of removed) this.#disk.remove(join(this.#directory, segmentName(number)));
      this.#disk.syncDirectory(this.#directory);
    } catch (error) {
      this.#fail('compact', error);
    }
  }

  get #lastIndex(): number {
    return this.#base.index + this.#terms.length;
  }

  #termAt(index: number): number {
    return index === this.#base.index ? this.#base.term : (this.#terms[index - this.#base.index - 1] ?? 0);
  }

  #forgetTerms(through: number): void {
    const index = Math.min(through, this.#lastIndex);
    if (index <= this.#base.index) return;
    const base = { index, term: this.#termAt(index) };
    this.#terms = this.#terms.slice(index - this.#base.index);
    this.#base = base;
  }

  #checkReset({ reset, hardState, sync }: WalBatch): void {
    if (reset === undefined || reset === null) return;
    const newest = this.#snapshots.newest;
    const isHeld = newest !== null && newest.index === reset.index && newest.term === reset.term;
    assert(
      isHeld,
      `reset to ${reset.index} of term ${reset.term}, and the newest snapshot is ${newest?.index}`,
    );
    assert(sync !== false, 'a reset owes an fsync');
    const after = hardState ?? this.#hardState;
    assert(reset.term <= after.term, `reset to a point of term ${reset.term} in term ${after.term}`);
    const { commit } = this.#hardState;
    assert(reset.index >= commit, `reset to ${reset.index} behind the commit index ${commit}`);
  }

  #checkHardState(next: HardState | null, lastIndex: number): void {
    if (next === null) return;
    const last = this.#hardState;
    assert(next.term >= last.term, `term goes back from ${last.term} to ${next.term}`);
    const voteKept = next.term > last.term || last.vote === null || next.vote === last.vote;
    assert(voteKept, `vote of term ${next.term} changes from ${last.vote} to ${next.vote}`);
    const isRecoveryKept = mayFollow(next.recovery, last.recovery);
    assert(isRecoveryKept, `recovery changes from ${last.recovery} to ${next.recovery}`);
    assert(next.commit >= last.commit, `commit goes back from ${last.commit} to ${next.commit}`);
    assert(next.commit <= lastIndex, `commit ${next.commit} leads the log, which ends at ${lastIndex}`);
  }

  #checkEntries({ entries, reset }: WalBatch): void {
    const first = entries[0];
    if (first === undefined) return;
    const lastIndex = reset?.index ?? this.#lastIndex;
    assert(first.index >= 1 && first.index <= lastIndex + 1, `entry ${first.index} leaves a gap`);
    const fixed = Math.max(this.#hardState.commit, reset?.index ?? this.#base.index);
    assert(first.index > fixed, `entry ${first.index} is committed and may not be replaced`);
    let previousTerm = reset?.term ?? this.#termAt(first.index - 1);
    for (const [position, entry] of entries.entries()) {
      if (entry.index !== first.index + position) assert.fail(`entry ${entry.index} leaves a gap`);
      if (entry.term < previousTerm) assert.fail(`term of entry ${entry.index} goes back to ${entry.term}`);
      previousTerm = entry.term;
    }
  }

  #take(batch: WalBatch): void {
    if (batch.reset !== undefined && batch.reset !== null) {
      this.#base = batch.reset;
      this.#terms = [];
      this.#indexMax = Math.max(this.#indexMax, batch.reset.index);
    }
    const first = batch.entries[0];
    if (first !== undefined) this.#terms.length = first.index - 1 - this.#base.index;
    for (const entry of batch.entries) this.#terms.push(entry.term);
    this.#indexMax = Math.max(this.#indexMax, batch.entries.at(-1)?.index ?? 0);
    this.#hardState = batch.hardState ?? this.#hardState;
  }

  #write(batch: WalBatch): void {
    const reset = batch.reset ?? null;
    let bytesTotal = batch.hardState === null ? 0 : HARD_STATE_RECORD_BYTES;
    if (reset !== null) bytesTotal += START_RECORDS_BYTES;
    for (const entry of batch.entries) bytesTotal += entryRecordBytes(entry);
    assert(bytesTotal <= BATCH_BYTES_MAX, `batch too large: ${bytesTotal} bytes`);
    if (bytesTotal === 0) return;
    try {
      // P20: an error is reported to one fsync only. Beside one in flight the rotation's own could hide its failure, so that
      // waits for its end; the segment may outgrow its bound meanwhile.
      const isFull = this.#offset > SEGMENT_START_BYTES && this.#offset + bytesTotal > this.#segmentBytesMax;
      if (isFull && !this.#syncInFlight) this.#startSegment();
      const writer = new RecordWriter(bytesTotal, this.#segmentChecksum, this.#offset, this.#syncedOffset);
      // With a hard state of its own in front, whatever that repeats: it is the pair that also begins a segment.
      if (reset !== null) writer.start({ hardState: batch.hardState ?? this.#hardState, logEnd: reset });
      // The term comes before the entries of that term: a log must never recover with entries from its future.
      if (batch.hardState !== null) writer.hardState(batch.hardState);
      for (const entry of batch.entries) writer.entry(entry);
      this.#writeRecords(writer.finish());
    } catch (error) {
      this.#fail('write', error);
    }
  }

  /**
   * Where the file would grow, it grows by more than the records need. Nobody relies on the zeros: if the disk is nearly full and takes
   * only a part, the log goes on as long as the records are in that part. If it takes nothing, the log fails, as it would without them a moment
   * later; after an error nothing is tried again (P20).
   */
  #writeRecords(bytes: Buffer): void {
    const end = this.#offset + bytes.length;
    const zerosBytes = end > this.#allocatedEnd ? this.#fileEndFor(end) - end : 0;
    const taken = zerosBytes > 0 ? this.#file.write([bytes, ZEROS.subarray(0, zerosBytes)], this.#offset) : 0;
    if (taken < bytes.length) writeFully(this.#file, bytes.subarray(taken), this.#offset + taken);
    this.#allocatedEnd = Math.max(this.#allocatedEnd, end, this.#offset + taken);
    this.#offset = end;
    this.#bytesWritten += bytes.length;
    this.#markedOffset = this.#syncedOffset;
  }

  /** How long the file is to be when records up to `end` no longer fit: no longer than a segment, unless the records are. */
  #fileEndFor(end: number): number {
    const rounded = Math.ceil(end / this.#allocationBytes) * this.#allocationBytes;
    return Math.max(end, Math.min(rounded, this.#segmentBytesMax));
  }

  /**
   * Blocks for an fsync or two, once per segment: what is in the old segment must be durable before the new one exists, because
   * recovery takes a bad record in any but the last segment for damage (P17).
   */
  #startSegment(): void {
    if (this.#syncedOffset < this.#offset) this.#file.syncNow();
    const next = this.#segmentNumber + 1;
    const logEnd = { index: logIndex(this.#lastIndex), term: term(this.#termAt(this.#lastIndex)) };
    const start = { hardState: this.#hardState, logEnd };
    const created = createSegment(this.#disk, this.#directory, this.#identity, next, this.#offset, start);
    this.#file.close();
    this.#left.push({ number: this.#segmentNumber, bytes: this.#offset, indexMax: this.#indexMax });
    this.#indexMax = 0;
    this.#file = created.file;
    this.#segmentNumber = next;
    this.#segmentChecksum = created.checksum;
    this.#offset = SEGMENT_START_BYTES;
    this.#allocatedEnd = SEGMENT_START_BYTES;
    this.#syncedOffset = SEGMENT_START_BYTES;
    this.#markedOffset = SEGMENT_START_BYTES;
  }

  #rotateIfFull(): void {
    if (this.#offset < this.#segmentBytesMax) return;
    try {
      this.#startSegment();
    } catch (error) {
      this.#fail('write', error);
    }
  }

  #startSync(): void {
    if (this.#syncInFlight || this.#failure !== null) return;
    if (!this.#waiting.some((batch) => batch.sync)) return;
    const sequence = this.#sequence;
    const segmentNumber = this.#segmentNumber;
    const offset = this.#offset;
    this.#syncInFlight = true;
    try {
      this.#file.sync((error) => {
        this.#syncInFlight = false;
        if (error !== null) this.#fail('fsync', error);
        else this.#synced(sequence, segmentNumber, offset);
        this.#finishClose();
      });
    } catch (error) {
      this.#syncInFlight = false;
      this.#fail('fsync', error);
    }
  }

  #synced(sequence: number, segmentNumber: number, offset: number): void {
    if (this.#failure !== null) return;
    this.#syncs += 1;
    // A segment that was left meanwhile was synced as a whole when it was left.
    if (segmentNumber === this.#segmentNumber) this.#syncedOffset = offset;
    const covered = this.#waiting.findIndex((batch) => batch.sequence > sequence);
    const durable = this.#waiting.splice(0, covered === -1 ? this.#waiting.length : covered);
    this.#rotateIfFull();
    // The next fsync starts before the callbacks run: the disk works while the caller does.
    this.#startSync();
    this.#delivering = true;
    for (const batch of durable) batch.onDurable(null);
    this.#releaseUnsynced();
    this.#delivering = false;
    if (this.#waiting.length === 0 && this.#failure === null && this.#onClosed === null)
      this.#writeSyncMark();
  }

  /** Batches that owe no fsync still wait for those before them: durability is reported in order. */
  #releaseUnsynced(): void {
    while (this.#waiting[0]?.sync === false) this.#waiting.shift()?.onDurable(null);
  }

  /**
   * P17: without a later record, nothing on the disk would tell an acknowledged last record that rotted from a torn write.
   * The mark needs no fsync of its own: it vouches for the past, and nobody waits for it.
   */
  #writeSyncMark(): void {
    if (this.#markedOffset >= this.#syncedOffset) return;
    const vouchesForAll = this.#syncedOffset === this.#offset;
    try {
      const writer = new RecordWriter(
        SYNC_MARK_RECORD_BYTES,
        this.#segmentChecksum,
        this.#offset,
        this.#syncedOffset,
      );
      writer.syncMark();
      this.#writeRecords(writer.finish());
      // A mark for the mark would tell nothing.
      if (vouchesForAll) this.#markedOffset = this.#offset;
    } catch (error) {
      this.#fail('write', error);
    }
  }

  /** P20: for good. A second fsync could succeed without having written what the first one lost. */
  #fail(operation: string, cause: unknown): void {
    // An assertion is a programmer error, not a disk's.
    if (cause instanceof assert.AssertionError) throw cause;
    if (this.#failure !== null) return;
    this.#failure = new WalFailedError(operation, cause);
    const failed = this.#waiting;
    this.#waiting = [];
    for (const batch of failed) batch.onDurable(this.#failure);
  }

  #finishClose(): void {
    const callback = this.#onClosed;
    if (callback === null || this.#closed || this.#syncInFlight) return;
    if (this.#delivering || this.#waiting.length > 0) return;
    this.#closed = true;
    if (this.#failure === null) {
      try {
        this.#file.syncNow();
        this.#syncedOffset = this.#offset;
        this.#writeSyncMark();
        this.#file.syncNow();
      } catch (error) {
        this.#fail('close', error);
      }
    }
    this.#file.close();
    callback(this.#failure);
  }
}
