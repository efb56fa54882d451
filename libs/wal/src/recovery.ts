import { join } from 'node:path';
import { logIndex, term } from '@quorate/raft';
import type { HardState, LogEntry, SnapshotPoint } from '@quorate/raft';
import type { Disk } from './disk.js';
import { WalDamagedError, WalNotFormattedError } from './errors.js';
import { decodeRecord } from './record.js';
import type { LogStart, WalRecord } from './record.js';
import {
  decodeHeader,
  isSameIdentity,
  listSegments,
  segmentName,
  toBuffer,
  SEGMENT_HEADER_BYTES,
  SEGMENT_START_BYTES,
} from './segment.js';
import type { WalIdentity } from './segment.js';
import type { FoundSnapshots } from './snapshot-files.js';
import type { SnapshotInfo } from './snapshot-layout.js';

/** A segment that takes no more. */
export interface LeftSegment {
  readonly number: number;
  /** Where its records end. */
  readonly bytes: number;
  /** Highest index that was ever written in it, replaced or not; 0 if none was. */
  readonly indexMax: number;
}

/** What the folder holds, and where the last segment goes on. Reading changes nothing on the disk. */
export interface LogContents {
  readonly identity: WalIdentity;
  readonly replay: Replay;
  /** All but the last. */
  readonly left: readonly LeftSegment[];
  readonly segmentNumber: number;
  /** As `LeftSegment.indexMax`, of the last segment. */
  readonly indexMax: number;
  readonly segmentChecksum: number;
  /** The last segment's bytes. Those from `validEnd` to `tornEnd` are a torn tail, and zeros follow, written ahead of the records. */
  readonly lastSegment: Buffer;
  readonly validEnd: number;
  readonly tornEnd: number;
  /** The last segment is known durable up to here; what follows may be only in the page cache. */
  readonly knownDurable: number;
  /** Up to here a later record, or a mark, vouches for the last segment (P17). */
  readonly vouchedEnd: number;
  readonly unfinished: readonly string[];
  /** Segments before a hole: a power loss kept a later removal and lost an earlier one. They count for nothing. */
  readonly leftover: readonly string[];
}

/**
 * Reads every segment from the last back to the first hole. Removed names may come back in any order, so a hole alone is no
 * damage; `connect` refuses what a hole took and no snapshot holds. Throws `WalNotFormattedError` or `WalDamagedError`. */
export function readLog(disk: Disk, directory: string): LogContents {
  const { segments, unfinished } = listSegments(disk, directory);
  const last = segments.at(-1);
  if (last === undefined) throw new WalNotFormattedError(directory);
  const first = segments.findLast((segmentNumber) => !segments.includes(segmentNumber - 1)) ?? last;
  const counting = segments.filter((segmentNumber) => segmentNumber >= first);
  const leftover = segments.filter((segmentNumber) => segmentNumber < first).map(segmentName);
  const replay = new Replay();
  const left: LeftSegment[] = [];
  let identity: WalIdentity | null = null;
  let previous: { readonly name: string; readonly validEnd: number } | null = null;
  for (const segmentNumber of counting) {
    const name = segmentName(segmentNumber);
    const bytes = toBuffer(disk.readFile(join(directory, name)));
    const header = decodeHeader(bytes, name);
    identity ??= header.identity;
    assertSameIdentity(identity, header.identity, name);
    if (previous !== null)
      refuseOtherEnd(previous.name, previous.validEnd, name, header.previousSegmentBytes);
    const { validEnd, knownDurable, vouchedEnd } = replaySegment(replay, bytes, name, header.checksum);
    previous = { name, validEnd };
    const indexMax = replay.takeIndexMax();
    if (segmentNumber !== last) {
      left.push({ number: segmentNumber, bytes: validEnd, indexMax });
      continue;
    }
    const tornEnd = endOfData(bytes, validEnd);
    refuseDamage(bytes, name, header.checksum, validEnd, tornEnd);
    return {
      identity,
      replay,
      left,
      segmentNumber,
      indexMax,
      segmentChecksum: header.checksum,
      lastSegment: bytes,
      validEnd,
      tornEnd,
      knownDurable,
      vouchedEnd,
      unfinished,
      leftover,
    };
  }
  throw new WalNotFormattedError(directory);
}

/**
 * In a segment that has a successor everything was durable before the successor was created, so there each bad record is damage
 * (P17). Cut off between two records it would look whole, and a vote could be missing; so the successor says where they ended. What
 * lies behind that counts for nothing.
 */
function refuseOtherEnd(previous: string, validEnd: number, name: string, leftWith: number): void {
  if (validEnd === leftWith) return;
  const what = `its valid records end at byte ${validEnd}, and ${name} says that it was left with ${leftWith} bytes of them`;
  throw new WalDamagedError(previous, Math.min(validEnd, leftWith), what);
}

/** Behind the last byte, from `from` on, that is not zero. */
function endOfData(bytes: Buffer, from: number): number {
  let end = bytes.length;
  while (end > from && bytes[end - 1] === 0) end -= 1;
  return end;
}

function assertSameIdentity(first: WalIdentity, other: WalIdentity, name: string): void {
  if (!isSameIdentity(first, other))
    throw new WalDamagedError(name, 16, 'the segment belongs to another member, epoch or incarnation');
}

function replaySegment(
  replay: Replay,
  bytes: Buffer,
  name: string,
  checksum: number,
): { validEnd: number; knownDurable: number; vouchedEnd: number } {
  takeStart(replay, bytes, name, checksum);
  let offset = SEGMENT_START_BYTES;
  let knownDurable = SEGMENT_START_BYTES;
  let vouchedEnd = SEGMENT_START_BYTES;
  while (offset < bytes.length) {
    const decoded = decodeRecord(bytes, checksum, offset);
    if (decoded === null) break;
    const wrong = replay.take(decoded.record);
    if (wrong !== null) throw new WalDamagedError(name, offset, wrong);
    knownDurable = Math.max(knownDurable, decoded.syncedOffset);
    // A mark at the end vouches for all before it; another mark for the mark would tell nothing.
    const isFinalMark = decoded.record.type === 'syncMark' && decoded.syncedOffset === offset;
    vouchedEnd = isFinalMark ? decoded.end : Math.max(vouchedEnd, decoded.syncedOffset);
    offset = decoded.end;
  }
  return { validEnd: offset, knownDurable, vouchedEnd };
}

/** The start was durable before its file got this name (P19), so a bad one is never a torn write: it is damage. */
function takeStart(replay: Replay, bytes: Buffer, name: string, checksum: number): void {
  const first = decodeRecord(bytes, checksum, SEGMENT_HEADER_BYTES);
  if (first?.record.type !== 'hardState') {
    throw new WalDamagedError(name, SEGMENT_HEADER_BYTES, 'the segment does not begin with a hard state');
  }
  const second = decodeRecord(bytes, checksum, first.end);
  if (second?.record.type !== 'logEnd') {
    throw new WalDamagedError(name, first.end, 'the segment does not begin with where the log ended');
  }
  const wrong = replay.start({ hardState: first.record.hardState, logEnd: second.record.point });
  if (wrong !== null) throw new WalDamagedError(name, SEGMENT_HEADER_BYTES, wrong);
}

/**
 * P17: a bad record is the torn tail of a crash only if nothing proves that it was once durable. The proof is a later valid
 * record whose syncedOffset lies beyond it. Zeros alone prove nothing: they were written ahead of the records.
 */
function refuseDamage(bytes: Buffer, name: string, checksum: number, bad: number, tornEnd: number): void {
  for (let offset = bad - (bad % 8) + 8; offset < tornEnd; offset += 8) {
    const later = decodeRecord(bytes, checksum, offset);
    if (later === null || later.syncedOffset <= bad) continue;
    const proof = `the valid record at byte ${offset} was written when bytes up to ${later.syncedOffset} were durable`;
    throw new WalDamagedError(name, bad, `no valid record here, but ${proof}`);
  }
}

/**
 * Within one log a recovery ends once and never begins: a number was drawn when the folder was formatted, and 0 says for good that
 * the member votes and acknowledges again.
 */
export function mayFollow(recovery: number, last: number): boolean {
  return recovery === last || recovery === 0;
}

/** The log as the records tell it, one after the other. */
export class Replay {
  /** What precedes `entries[0]`. The term is null when only a segment that is gone could tell it. */
  base: { readonly index: number; readonly term: number | null } = { index: 0, term: 0 };
  entries: LogEntry[] = [];
  #hardState: HardState = { term: term(0), vote: null, commit: logIndex(0), recovery: 0 };
  #isStarted = false;
  /** The base comes from the first segment's start: what it stands for was written in segments that are gone. */
  #isBaseRemembered = false;
  #indexMax = 0;

  /** The start of a segment: the first one gives the log's base, each other says again what came before it. */
  start({ hardState, logEnd }: LogStart): string | null {
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.#isBaseRemembered = logEnd.index > 0;
      this.base = logEnd;
      this.#hardState = hardState;
      return null;
    }
    if (logEnd.index !== this.lastIndex || logEnd.term !== this.termAt(this.lastIndex)) {
      return `the log before it ends at ${this.lastIndex}, and it begins behind ${logEnd.index} of term ${logEnd.term}`;
    }
    const last = this.#hardState;
    const isSame = hardState.term === last.term && hardState.vote === last.vote;
    if (!isSame || hardState.recovery !== last.recovery) {
      return 'term, vote and recovery before it are not those that it begins with';
    }
    this.#hardState = hardState;
    return null;
  }

  /** Takes a record, or says what is wrong with it in its place. */
  take(record: WalRecord): string | null {
    if (record.type === 'hardState') return this.#takeHardState(record.hardState);
    if (record.type === 'entry') return this.#takeEntry(record.entry);
    if (record.type === 'logEnd') this.#takeLogEnd(record.point);
    return null;
  }

  get lastIndex(): number {
    return this.base.index + this.entries.length;
  }

  /** Null if the log does not tell. */
  termAt(index: number): number | null {
    if (index === this.base.index) return this.base.term;
    return this.entries[index - this.base.index - 1]?.term ?? null;
  }

  /** The recorded commit may be ahead of a log that lost an unsynced tail; it is a hint that never leads. */
  hardState(): HardState {
    return { ...this.#hardState, commit: logIndex(Math.min(this.#hardState.commit, this.lastIndex)) };
  }

  /** The highest index taken since the last call. */
  takeIndexMax(): number {
    const max = this.#indexMax;
    this.#indexMax = 0;
    return max;
  }

  #takeHardState(next: HardState): string | null {
    const last = this.#hardState;
    if (next.term < last.term) return `term ${next.term} follows term ${last.term}`;
    if (next.term === last.term && last.vote !== null && next.vote !== last.vote) {
      return `the vote of term ${next.term} changed`;
    }
    if (!mayFollow(next.recovery, last.recovery)) {
      return `recovery ${next.recovery} follows recovery ${last.recovery}`;
    }
    this.#hardState = next;
    return null;
  }

  #takeEntry(entry: LogEntry): string | null {
    this.#indexMax = Math.max(this.#indexMax, entry.index);
    if (this.#isBaseRemembered && entry.index >= 1 && entry.index <= this.base.index) {
      // It replaced entries of a segment that is gone, and what it follows was there too.
      this.base = { index: entry.index - 1, term: entry.index === 1 ? 0 : null };
      this.entries = [entry];
      return null;
    }
    if (entry.index <= this.base.index || entry.index > this.lastIndex + 1) {
      return `entry ${entry.index} follows entry ${this.lastIndex}`;
    }
    const previousTerm = this.termAt(entry.index - 1) ?? 0;
    if (entry.term < previousTerm) {
      return `entry ${entry.index} has term ${entry.term} after term ${previousTerm}`;
    }
    this.entries.length = entry.index - this.base.index - 1;
    this.entries.push(entry);
    return null;
  }

  #takeLogEnd(point: SnapshotPoint): void {
    this.#indexMax = Math.max(this.#indexMax, point.index);
    this.#isBaseRemembered = false;
    if (this.termAt(point.index) === point.term) {
      this.entries.length = point.index - this.base.index;
      return;
    }
    this.entries = [];
    this.base = point;
  }
}

/** Log and snapshots brought together. */
export interface Connected {
  readonly base: SnapshotPoint;
  readonly entries: readonly LogEntry[];
  readonly hardState: HardState;
  readonly snapshot: SnapshotInfo | null;
  /** The log on the disk tells something else: hard state and end must be written, durably, before anything relies on them. */
  readonly isChanged: boolean;
}

/**
 * Brings the log together with the newest snapshot that is whole, or throws `WalDamagedError`: either the two hold everything
 * between them, or nothing may start.
 */
export function connect(log: LogContents, { whole, damaged }: FoundSnapshots): Connected {
  const snapshot = whole.at(-1) ?? null;
  const { replay } = log;
  const covered = snapshot?.index ?? 0;
  const first = log.left[0]?.number ?? log.segmentNumber;
  const worst = damaged.findLast(({ index }) => index > covered);
  const refuse = (missing: string): never => {
    if (worst !== undefined) {
      throw new WalDamagedError(worst.name, 0, `${worst.reason}, and without it ${missing}`);
    }
    if (first === 1) throw new WalDamagedError(segmentName(first), 0, missing);
    throw new WalDamagedError(
      segmentName(first - 1),
      0,
      `missing, but ${segmentName(first)} exists: ${missing}`,
    );
  };
  if (replay.base.index > covered) {
    const place = `the log begins with entry ${replay.base.index + 1}`;
    const holder =
      snapshot === null ? 'there is no snapshot' : `the newest snapshot ends with entry ${covered}`;
    refuse(`entries ${covered + 1} to ${replay.base.index} are missing: ${place}, and ${holder}`);
  }
  // The log went on behind it with nothing lost, but only a snapshot lets a segment be removed.
  if (first > 1 && whole.length + damaged.length === 0) refuse('there is no snapshot');
  const connected = snapshot === null ? joined(replay, null) : behind(replay, snapshot);
  const lastIndex = connected.base.index + connected.entries.length;
  if (worst !== undefined && worst.index > lastIndex) {
    refuse(`entries ${lastIndex + 1} to ${worst.index} are missing: the log ends with entry ${lastIndex}`);
  }
  return connected;
}

function joined(replay: Replay, snapshot: SnapshotInfo | null): Connected {
  const [first, ...rest] = replay.entries;
  const { index, term: baseTerm } = replay.base;
  const hardState = replay.hardState();
  if (baseTerm !== null || first === undefined) {
    const base = { index: logIndex(index), term: term(baseTerm ?? 0) };
    return { base, entries: replay.entries, hardState, snapshot, isChanged: false };
  }
  // Nobody knows the term before the first entry any more, and the snapshot stands for that entry as well: so begin behind it.
  const base = { index: first.index, term: first.term };
  return { base, entries: rest, hardState, snapshot, isChanged: false };
}

function behind(replay: Replay, snapshot: SnapshotInfo): Connected {
  const point = { index: snapshot.index, term: snapshot.term };
  const isAtUnknown = replay.base.index === point.index && replay.base.term === null;
  if (isAtUnknown) replay.base = point;
  // P9, P10: a crash came between the snapshot's last fsync and the log's reset. The snapshot is committed, the log is not.
  const isReset = replay.termAt(point.index) !== point.term;
  const { base, entries, hardState } = isReset
    ? { base: point, entries: [], hardState: replay.hardState() }
    : joined(replay, snapshot);
  // Nothing was promised in a term that was never recorded.
  const isRaised = hardState.term < point.term;
  // The commit index of a log that is dropped may lie behind the point: nothing follows it any more.
  const commit = isReset ? point.index : logIndex(Math.max(hardState.commit, point.index));
  return {
    base,
    entries,
    hardState: isRaised ? { ...hardState, term: point.term, vote: null, commit } : { ...hardState, commit },
    snapshot,
    isChanged: isReset || isRaised,
  };
}
