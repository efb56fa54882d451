import { join } from 'node:path';
import { logIndex, term } from '@quorate/raft';
import type { HardState, LogEntry } from '@quorate/raft';
import type { Disk } from './disk.js';
import { WalDamagedError, WalNotFormattedError } from './errors.js';
import { decodeRecord } from './record.js';
import type { WalRecord } from './record.js';
import { decodeHeader, listSegments, segmentName, toBuffer, SEGMENT_HEADER_BYTES } from './segment.js';
import type { WalIdentity } from './segment.js';

/** What the folder holds, and where the last segment goes on. Reading changes nothing on the disk. */
export interface LogContents {
  readonly identity: WalIdentity;
  readonly hardState: HardState;
  readonly entries: LogEntry[];
  readonly segmentNumber: number;
  readonly segmentChecksum: number;
  /** The last segment's bytes. Those from `validEnd` on are a torn tail. */
  readonly lastSegment: Buffer;
  readonly validEnd: number;
  /** The last segment is known durable up to here; what follows may be only in the page cache. */
  readonly knownDurable: number;
  /** Up to here a later record, or a mark, vouches for the last segment (P17). */
  readonly vouchedEnd: number;
  readonly unfinished: readonly string[];
}

/** Reads every segment. Throws `WalNotFormattedError` or `WalDamagedError`. */
export function readLog(disk: Disk, directory: string): LogContents {
  const { segments, unfinished } = listSegments(disk, directory);
  const last = segments.at(-1);
  if (last === undefined) throw new WalNotFormattedError(directory);
  const replay = new Replay();
  let identity: WalIdentity | null = null;
  let previous: { readonly name: string; readonly bytes: number } | null = null;
  for (const [position, segmentNumber] of segments.entries()) {
    const name = segmentName(segmentNumber);
    if (segmentNumber !== position + 1) {
      throw new WalDamagedError(segmentName(position + 1), 0, `missing, but ${name} exists`);
    }
    const bytes = toBuffer(disk.readFile(join(directory, name)));
    const header = decodeHeader(bytes, name);
    identity ??= header.identity;
    assertSameIdentity(identity, header.identity, name);
    if (previous !== null && header.previousSegmentBytes !== previous.bytes) {
      // Cut off between two records, a segment would look whole, and a vote could be missing.
      const sizes = `it has ${previous.bytes} bytes, and ${name} says that it was left with ${header.previousSegmentBytes}`;
      throw new WalDamagedError(previous.name, Math.min(previous.bytes, header.previousSegmentBytes), sizes);
    }
    previous = { name, bytes: bytes.length };
    const { validEnd, knownDurable, vouchedEnd } = replaySegment(replay, bytes, name, header.checksum);
    if (validEnd < bytes.length) {
      refuseDamage(bytes, name, header.checksum, validEnd, segmentNumber === last);
    }
    if (segmentNumber !== last) continue;
    return {
      identity,
      hardState: replay.hardState(),
      entries: replay.entries,
      segmentNumber,
      segmentChecksum: header.checksum,
      lastSegment: bytes,
      validEnd,
      knownDurable,
      vouchedEnd,
      unfinished,
    };
  }
  throw new WalNotFormattedError(directory);
}

function assertSameIdentity(first: WalIdentity, other: WalIdentity, name: string): void {
  const same =
    first.clusterId === other.clusterId &&
    first.epoch === other.epoch &&
    first.memberId === other.memberId &&
    first.incarnation === other.incarnation;
  if (!same)
    throw new WalDamagedError(name, 16, 'the segment belongs to another member, epoch or incarnation');
}

function replaySegment(
  replay: Replay,
  bytes: Buffer,
  name: string,
  checksum: number,
): { validEnd: number; knownDurable: number; vouchedEnd: number } {
  let offset = SEGMENT_HEADER_BYTES;
  let knownDurable = SEGMENT_HEADER_BYTES;
  let vouchedEnd = SEGMENT_HEADER_BYTES;
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

/**
 * P17: a bad record is the torn tail of a crash only if nothing proves that it was once durable. The proof is a later valid
 * record whose syncedOffset lies beyond it. In a segment that has a successor everything was durable before the successor
 * was created, so there each bad record is damage.
 */
function refuseDamage(bytes: Buffer, name: string, checksum: number, bad: number, isLast: boolean): void {
  if (!isLast) {
    throw new WalDamagedError(
      name,
      bad,
      'no valid record here, and a later segment exists: it was durable once',
    );
  }
  for (let offset = bad - (bad % 8) + 8; offset < bytes.length; offset += 8) {
    const later = decodeRecord(bytes, checksum, offset);
    if (later === null || later.syncedOffset <= bad) continue;
    const proof = `the valid record at byte ${offset} was written when bytes up to ${later.syncedOffset} were durable`;
    throw new WalDamagedError(name, bad, `no valid record here, but ${proof}`);
  }
}

/** The log as the records tell it, one after the other. */
class Replay {
  readonly entries: LogEntry[] = [];
  #hardState: HardState = { term: term(0), vote: null, commit: logIndex(0) };

  /** Takes a record, or says what is wrong with it in its place. */
  take(record: WalRecord): string | null {
    if (record.type === 'hardState') return this.#takeHardState(record.hardState);
    if (record.type === 'entry') return this.#takeEntry(record.entry);
    return null;
  }

  /** The recorded commit may be ahead of a log that lost an unsynced tail; it is a hint that never leads. */
  hardState(): HardState {
    return { ...this.#hardState, commit: logIndex(Math.min(this.#hardState.commit, this.entries.length)) };
  }

  #takeHardState(next: HardState): string | null {
    const last = this.#hardState;
    if (next.term < last.term) return `term ${next.term} follows term ${last.term}`;
    if (next.term === last.term && last.vote !== null && next.vote !== last.vote) {
      return `the vote of term ${next.term} changed`;
    }
    this.#hardState = next;
    return null;
  }

  #takeEntry(entry: LogEntry): string | null {
    if (entry.index < 1 || entry.index > this.entries.length + 1) {
      return `entry ${entry.index} follows entry ${this.entries.length}`;
    }
    const previousTerm = this.entries[entry.index - 2]?.term ?? 0;
    if (entry.term < previousTerm) {
      return `entry ${entry.index} has term ${entry.term} after term ${previousTerm}`;
    }
    this.entries.length = entry.index - 1;
    this.entries.push(entry);
    return null;
  }
}
