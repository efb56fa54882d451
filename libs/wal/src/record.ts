import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { logIndex, memberId, term } from '@quorate/raft';
import type { HardState, LogEntry, SnapshotPoint } from '@quorate/raft';

/** The byte layout of one record; FORMAT.md has the table. */
export const RECORD_HEADER_BYTES = 16;
const ENTRY_PREFIX_BYTES = 17;
const HARD_STATE_BYTES = 26;
const LOG_END_BYTES = 16;
/** Far above the 1 MiB of a Raft message: a length beyond it is never believed, whatever its checksum says. */
export const ENTRY_PAYLOAD_BYTES_MAX = 16 * 1024 * 1024;

const TYPE_ENTRY = 1;
const TYPE_HARD_STATE = 2;
const TYPE_SYNC_MARK = 3;
const TYPE_LOG_END = 4;
const KIND_NOOP = 0;
const KIND_COMMAND = 1;

export type WalRecord =
  | { readonly type: 'entry'; readonly entry: LogEntry }
  | { readonly type: 'hardState'; readonly hardState: HardState }
  | { readonly type: 'syncMark' }
  /** The log ends here: nothing behind the point counts, and what the log goes on with follows it. */
  | { readonly type: 'logEnd'; readonly point: SnapshotPoint };

/** Where a log goes on: the hard state so far, and the point that the next entry follows. */
export interface LogStart {
  readonly hardState: HardState;
  readonly logEnd: SnapshotPoint;
}

export interface DecodedRecord {
  readonly record: WalRecord;
  /** Bytes of this segment that were known durable when the record was written. */
  readonly syncedOffset: number;
  /** Where the next record starts. */
  readonly end: number;
}

function aligned(bytes: number): number {
  return (bytes + 7) & ~7;
}

/** Bytes that an entry takes in the log. */
export function entryRecordBytes(entry: LogEntry): number {
  const { length } = entry.payload;
  if (length > ENTRY_PAYLOAD_BYTES_MAX) assert.fail(`entry too large: ${length} bytes`);
  return aligned(RECORD_HEADER_BYTES + ENTRY_PREFIX_BYTES + length);
}
export const HARD_STATE_RECORD_BYTES = aligned(RECORD_HEADER_BYTES + HARD_STATE_BYTES);
export const SYNC_MARK_RECORD_BYTES = RECORD_HEADER_BYTES;
/** A hard state and a log end: what `RecordWriter.start` writes. */
export const START_RECORDS_BYTES = HARD_STATE_RECORD_BYTES + aligned(RECORD_HEADER_BYTES + LOG_END_BYTES);

const seedBytes = Buffer.alloc(8);

/**
 * The checksum starts from the segment header's own checksum (which covers identity and segment number) and the
 * record's offset: a record of another member, segment or offset, left over or misdirected, never looks valid (P21).
 */
function checksum(bytes: Buffer, segmentChecksum: number, offset: number): number {
  seedBytes.writeUInt32LE(segmentChecksum, 0);
  seedBytes.writeUInt32LE(offset, 4);
  return crc32(bytes, crc32(seedBytes));
}

/** Encodes the records of one batch, back to back, into one buffer that is to be written at `position` of its segment. */
export class RecordWriter {
  readonly bytes: Buffer;
  #used = 0;

  constructor(
    bytesTotal: number,
    private readonly segmentChecksum: number,
    private readonly position: number,
    private readonly syncedOffset: number,
  ) {
    assert(position % 8 === 0, `record at unaligned offset ${position}`);
    assert(syncedOffset <= position, `synced up to ${syncedOffset}, but writing at ${position}`);
    this.bytes = Buffer.allocUnsafe(bytesTotal);
  }

  entry(entry: LogEntry): void {
    const body = this.#open(TYPE_ENTRY, ENTRY_PREFIX_BYTES + entry.payload.length);
    writeUint53(this.bytes, entry.index, body);
    writeUint53(this.bytes, entry.term, body + 8);
    this.bytes[body + 16] = entry.kind === 'noop' ? KIND_NOOP : KIND_COMMAND;
    this.bytes.set(entry.payload, body + ENTRY_PREFIX_BYTES);
    this.#seal(body + ENTRY_PREFIX_BYTES + entry.payload.length);
  }

  hardState(hardState: HardState): void {
    const body = this.#open(TYPE_HARD_STATE, HARD_STATE_BYTES);
    writeUint53(this.bytes, hardState.term, body);
    writeUint53(this.bytes, hardState.commit, body + 8);
    this.bytes.writeUInt16LE(hardState.vote ?? 0, body + 16);
    writeUint53(this.bytes, hardState.recovery, body + 18);
    this.#seal(body + HARD_STATE_BYTES);
  }

  syncMark(): void {
    this.#seal(this.#open(TYPE_SYNC_MARK, 0));
  }

  /**
   * The pair by which a log, or the rest of one, can be read without what was before: the term first, because a log must never
   * recover with anything from its future, then where it goes on.
   */
  start({ hardState, logEnd }: LogStart): void {
    this.hardState(hardState);
    const body = this.#open(TYPE_LOG_END, LOG_END_BYTES);
    writeUint53(this.bytes, logEnd.index, body);
    writeUint53(this.bytes, logEnd.term, body + 8);
    this.#seal(body + LOG_END_BYTES);
  }

  /** All of it; the announced total and what was written must agree. */
  finish(): Buffer {
    assert(this.#used === this.bytes.length, `batch of ${this.bytes.length} bytes filled with ${this.#used}`);
    return this.bytes;
  }

  #open(type: number, bodyBytes: number): number {
    this.bytes.writeUInt32LE(bodyBytes, this.#used + 4);
    this.bytes.writeUInt32LE(this.syncedOffset, this.#used + 8);
    this.bytes.writeUInt32LE(type, this.#used + 12);
    return this.#used + RECORD_HEADER_BYTES;
  }

  #seal(bodyEnd: number): void {
    const start = this.#used;
    const end = aligned(bodyEnd);
    this.bytes.fill(0, bodyEnd, end);
    const sum = checksum(this.bytes.subarray(start + 4, end), this.segmentChecksum, this.position + start);
    this.bytes.writeUInt32LE(sum, start);
    this.#used = end;
  }
}

/**
 * Reads the record at `offset` of a segment's bytes, or returns null if there is no valid one. Total: no bytes make it
 * throw, and no length is believed before it is bounded by the buffer.
 */
export function decodeRecord(segment: Buffer, segmentChecksum: number, offset: number): DecodedRecord | null {
  if (offset + RECORD_HEADER_BYTES > segment.length) return null;
  const bodyBytes = segment.readUInt32LE(offset + 4);
  const syncedOffset = segment.readUInt32LE(offset + 8);
  const type = segment.readUInt32LE(offset + 12);
  // The cheap checks come first: the scan behind a bad record asks this of every eighth byte.
  if (type < TYPE_ENTRY || type > TYPE_LOG_END || syncedOffset > offset) return null;
  if (bodyBytes > ENTRY_PREFIX_BYTES + ENTRY_PAYLOAD_BYTES_MAX) return null;
  const body = offset + RECORD_HEADER_BYTES;
  const end = aligned(body + bodyBytes);
  if (end > segment.length) return null;
  const sum = checksum(segment.subarray(offset + 4, end), segmentChecksum, offset);
  if (sum !== segment.readUInt32LE(offset)) return null;
  const record = decodeBody(segment.subarray(body, body + bodyBytes), type);
  return record === null ? null : { record, syncedOffset, end };
}

function decodeBody(body: Buffer, type: number): WalRecord | null {
  if (type === TYPE_SYNC_MARK) return body.length === 0 ? { type: 'syncMark' } : null;
  if (type === TYPE_HARD_STATE) {
    if (body.length !== HARD_STATE_BYTES) return null;
    const termNumber = readUint53(body, 0);
    const commitNumber = readUint53(body, 8);
    const recovery = readUint53(body, 18);
    if (termNumber === null || commitNumber === null || recovery === null) return null;
    const vote = body.readUInt16LE(16);
    const hardState: HardState = {
      term: term(termNumber),
      vote: vote === 0 ? null : memberId(vote),
      commit: logIndex(commitNumber),
      recovery,
    };
    return { type: 'hardState', hardState };
  }
  if (body.length < LOG_END_BYTES) return null;
  const indexNumber = readUint53(body, 0);
  const termNumber = readUint53(body, 8);
  if (indexNumber === null || termNumber === null) return null;
  if (type === TYPE_LOG_END) {
    if (body.length !== LOG_END_BYTES) return null;
    return { type: 'logEnd', point: { index: logIndex(indexNumber), term: term(termNumber) } };
  }
  if (body.length < ENTRY_PREFIX_BYTES) return null;
  const kind = body[16];
  if (kind !== KIND_NOOP && kind !== KIND_COMMAND) return null;
  const entry: LogEntry = {
    index: logIndex(indexNumber),
    term: term(termNumber),
    kind: kind === KIND_NOOP ? 'noop' : 'command',
    payload: new Uint8Array(
      body.buffer,
      body.byteOffset + ENTRY_PREFIX_BYTES,
      body.length - ENTRY_PREFIX_BYTES,
    ),
  };
  return { type: 'entry', entry };
}

export function writeUint53(bytes: Buffer, value: number, offset: number): void {
  if (!(Number.isSafeInteger(value) && value >= 0)) assert.fail(`not an unsigned safe integer: ${value}`);
  bytes.writeUInt32LE(value % 0x1_0000_0000, offset);
  bytes.writeUInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4);
}

/** Null for a number above 2^53 - 1. */
export function readUint53(bytes: Buffer, offset: number): number | null {
  const high = bytes.readUInt32LE(offset + 4);
  if (high > 0x1f_ffff) return null;
  return high * 0x1_0000_0000 + bytes.readUInt32LE(offset);
}
