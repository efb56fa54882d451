import assert from 'node:assert/strict';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { logIndex, memberId, term } from '@quorate/raft';
import type { MemberId } from '@quorate/raft';
import type { Disk, DiskFile } from './disk.js';
import { WalDamagedError, WalNotEmptyError } from './errors.js';
import { LOCK_NAME } from './folder-lock.js';
import { RecordWriter, START_RECORDS_BYTES } from './record.js';
import type { LogStart } from './record.js';

/** Who the log belongs to. Written once by `formatWal`, repeated in each segment, compared by every reader (P32, P33). */
export interface WalIdentity {
  /** 16 lowercase hex digits. */
  readonly clusterId: string;
  /** The recovery epoch, from 1; 32 bits. */
  readonly epoch: number;
  readonly memberId: MemberId;
  /** 16 lowercase hex digits, drawn anew at each format: a wiped and re-formatted member is another one (P32). */
  readonly incarnation: string;
}

export const SEGMENT_HEADER_BYTES = 64;
/** The header, and the pair of records that says how the log stood when the segment began. Batches follow. */
export const SEGMENT_START_BYTES = SEGMENT_HEADER_BYTES + START_RECORDS_BYTES;
const MAGIC = Buffer.from('QUORWAL\n', 'latin1');
const FORMAT_VERSION = 3;
const SEGMENT_NUMBER_MAX = 99_999_999;
const SEGMENT_NAME = /^(\d{8})\.wal$/;
const UNFINISHED_NAME = /^\d{8}\.wal\.tmp$/;
/** What `setAsideAndFormat` leaves, and the mark that it is at work: see there. */
export const SET_ASIDE_NAME = /^set-aside-(\d+)-./;
export const SETTING_ASIDE_NAME = /^set-aside-(\d+)\.tmp$/;
const HEX_16 = /^[0-9a-f]{16}$/;

export interface SegmentHeader {
  readonly identity: WalIdentity;
  readonly segmentNumber: number;
  /** Where the records of the segment before this one ended when it was left; 0 in the first. */
  readonly previousSegmentBytes: number;
  /** The header's checksum; the checksums of the segment's records start from it. */
  readonly checksum: number;
}

/** A segment that is open for writing, holding nothing but its start. */
export interface CreatedSegment {
  readonly file: DiskFile;
  readonly checksum: number;
}

export function segmentName(segmentNumber: number): string {
  return `${String(segmentNumber).padStart(8, '0')}.wal`;
}

export function isSegmentName(name: string): boolean {
  return SEGMENT_NAME.test(name);
}

export function isUnfinishedSegment(name: string): boolean {
  return UNFINISHED_NAME.test(name);
}

/**
 * The folder's segments in order, and the remains of a segment whose creation was cut short. Throws `WalDamagedError` if a log is
 * being set aside: what has kept its name so far is not the log.
 */
export function listSegments(disk: Disk, directory: string): { segments: number[]; unfinished: string[] } {
  const names = disk.list(directory);
  const mark = names.find((name) => SETTING_ASIDE_NAME.test(name));
  if (mark !== undefined) {
    throw new WalDamagedError(
      mark,
      0,
      'a damaged log was being set aside when that was cut short: do it again',
    );
  }
  const segments = names.flatMap((name) => {
    const digits = SEGMENT_NAME.exec(name)?.[1];
    return digits === undefined ? [] : [Number(digits)];
  });
  segments.sort((a, b) => a - b);
  return { segments, unfinished: names.filter(isUnfinishedSegment) };
}

/**
 * Makes a folder the log of one member. Refuses a folder that holds anything but a lock or the remains of a format that
 * was cut short: `WalNotEmptyError`. When it returns, the identity survives a power loss. What the folder is to hold from the
 * beginning is written by `fill`: the identity comes last, so that a folder which was not filled is nobody's.
 *
 * A member that may have voted or acknowledged before needs a `recovery`, a safe integer above 0 (raft's `HardState`). Only with
 * that may files lie there that were set aside: they say that there was a log.
 */
export function formatWal(
  disk: Disk,
  directory: string,
  identity: WalIdentity,
  fill: () => void = () => {},
  recovery = 0,
): void {
  disk.makeDirectory(directory);
  for (const name of disk.list(directory)) {
    const isHarmless = LOCK_NAME.test(name) || UNFINISHED_NAME.test(name);
    const harmless = isHarmless || (recovery !== 0 && SET_ASIDE_NAME.test(name));
    if (!harmless) throw new WalNotEmptyError(directory, name);
  }
  fill();
  createSegment(disk, directory, identity, 1, 0, emptyLog(recovery)).file.close();
}

/** How a new log begins. */
export function emptyLog(recovery: number): LogStart {
  return {
    hardState: { term: term(0), vote: null, commit: logIndex(0), recovery },
    logEnd: { index: logIndex(0), term: term(0) },
  };
}

/** Whose log the folder holds, or null if it holds none. Throws `WalDamagedError` if the first header is not readable. */
export function readIdentity(disk: Disk, directory: string): WalIdentity | null {
  const first = listSegments(disk, directory).segments[0];
  if (first === undefined) return null;
  const name = segmentName(first);
  return decodeHeader(toBuffer(disk.readFile(join(directory, name))), name).identity;
}

/**
 * P19: the segment's start is durable under a temporary name before the segment has its own, and that name is durable before
 * the segment is used. So a segment exists with a whole start or not at all, and no acknowledged record is in a file whose
 * name a crash can take away. The start has the hard state and where the log ends, so that the segments before this one can be
 * removed once a snapshot stands for their entries: term and vote must not go with them.
 */
export function createSegment(
  disk: Disk,
  directory: string,
  identity: WalIdentity,
  segmentNumber: number,
  previousSegmentBytes: number,
  start: LogStart,
): CreatedSegment {
  const name = segmentName(segmentNumber);
  const created = writeUnfinished(disk, directory, identity, segmentNumber, previousSegmentBytes, start);
  try {
    disk.rename(join(directory, created.unfinished), join(directory, name));
    disk.syncDirectory(directory);
  } catch (error) {
    created.file.close();
    throw error;
  }
  return created;
}

/** A whole segment, durable under its temporary name; that name need not be. */
export function writeUnfinished(
  disk: Disk,
  directory: string,
  identity: WalIdentity,
  segmentNumber: number,
  previousSegmentBytes: number,
  start: LogStart,
): CreatedSegment & { readonly unfinished: string } {
  const header = encodeHeader(identity, segmentNumber, previousSegmentBytes);
  const checksum = header.readUInt32LE(SEGMENT_HEADER_BYTES - 4);
  const writer = new RecordWriter(START_RECORDS_BYTES, checksum, SEGMENT_HEADER_BYTES, 0);
  writer.start(start);
  const unfinished = `${segmentName(segmentNumber)}.tmp`;
  if (disk.list(directory).includes(unfinished)) disk.remove(join(directory, unfinished));
  const file = disk.openFile(join(directory, unfinished), { create: true });
  try {
    writeFully(file, Buffer.concat([header, writer.finish()]), 0);
    file.syncNow();
  } catch (error) {
    file.close();
    throw error;
  }
  return { file, checksum, unfinished };
}

/** Finishes short writes (a nearly full disk takes a part and fails only at the next call). Throws what the disk throws. */
export function writeFully(file: DiskFile, bytes: Uint8Array, position: number): void {
  let done = 0;
  while (done < bytes.length) {
    const taken = file.write([done === 0 ? bytes : bytes.subarray(done)], position + done);
    // Each turn takes at least a byte, so the loop ends.
    if (taken <= 0) throw new Error('the disk took no bytes');
    done += taken;
  }
}

function encodeHeader(identity: WalIdentity, segmentNumber: number, previousSegmentBytes: number): Buffer {
  assert(segmentNumber >= 1 && segmentNumber <= SEGMENT_NUMBER_MAX, `not a segment number: ${segmentNumber}`);
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt32LE(FORMAT_VERSION, 8);
  bytes.writeUInt32LE(segmentNumber, 12);
  writeIdentity(bytes, identity);
  bytes.writeUInt32LE(previousSegmentBytes, 52);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, SEGMENT_HEADER_BYTES - 4)), SEGMENT_HEADER_BYTES - 4);
  return bytes;
}

/** A header was durable before its file got this name (P19), so a bad one is never a torn write: it is damage. */
export function decodeHeader(bytes: Buffer, name: string): SegmentHeader {
  if (bytes.length < SEGMENT_HEADER_BYTES) {
    throw new WalDamagedError(name, bytes.length, 'the file ends inside its segment header');
  }
  if (!bytes.subarray(0, 8).equals(MAGIC))
    throw new WalDamagedError(name, 0, 'not a segment of a Quorate log');
  const checksum = bytes.readUInt32LE(SEGMENT_HEADER_BYTES - 4);
  if (crc32(bytes.subarray(0, SEGMENT_HEADER_BYTES - 4)) !== checksum) {
    throw new WalDamagedError(name, 0, 'the segment header has a wrong checksum');
  }
  refuseOtherVersion(bytes, name);
  const segmentNumber = bytes.readUInt32LE(12);
  if (segmentName(segmentNumber) !== name) {
    throw new WalDamagedError(name, 12, `the header says segment ${segmentNumber}`);
  }
  const identity = identityIn(bytes);
  if (identity === null) throw new WalDamagedError(name, 16, 'the segment header holds no identity');
  return {
    identity,
    segmentNumber,
    previousSegmentBytes: bytes.readUInt32LE(52),
    checksum,
  };
}

function refuseOtherVersion(header: Buffer, name: string): void {
  const version = header.readUInt32LE(8);
  if (version === FORMAT_VERSION) return;
  throw new WalDamagedError(name, 8, `format version ${version}; this program reads ${FORMAT_VERSION}`);
}

/**
 * The owner that a header names, null if anything is wrong with the header. Throws `WalDamagedError` for a sound one of another
 * version: that did not rot.
 */
export function soundOwner(bytes: Buffer, name: string): WalIdentity | null {
  if (bytes.length < SEGMENT_HEADER_BYTES || !bytes.subarray(0, 8).equals(MAGIC)) return null;
  const checksum = bytes.readUInt32LE(SEGMENT_HEADER_BYTES - 4);
  if (crc32(bytes.subarray(0, SEGMENT_HEADER_BYTES - 4)) !== checksum) return null;
  refuseOtherVersion(bytes, name);
  return identityIn(bytes);
}

/** Cluster, incarnation, epoch and member stand at the same bytes in the header of a segment and of a snapshot. */
export function writeIdentity(header: Buffer, identity: WalIdentity): void {
  assert(HEX_16.test(identity.clusterId), `not a cluster id: ${identity.clusterId}`);
  assert(HEX_16.test(identity.incarnation), `not an incarnation: ${identity.incarnation}`);
  const { epoch } = identity;
  assert(Number.isInteger(epoch) && epoch >= 1 && epoch <= 0xffff_ffff, `not an epoch: ${epoch}`);
  header.write(identity.clusterId, 16, 'latin1');
  header.write(identity.incarnation, 32, 'latin1');
  header.writeUInt32LE(epoch, 48);
  header.writeUInt16LE(identity.memberId, 56);
}

/** Null if there is none. */
export function identityIn(header: Buffer): WalIdentity | null {
  const clusterId = header.toString('latin1', 16, 32);
  const incarnation = header.toString('latin1', 32, 48);
  const epoch = header.readUInt32LE(48);
  const member = header.readUInt16LE(56);
  if (!HEX_16.test(clusterId) || !HEX_16.test(incarnation) || epoch < 1 || member < 1) return null;
  return { clusterId, epoch, memberId: memberId(member), incarnation };
}

export function isSameIdentity(one: WalIdentity, other: WalIdentity): boolean {
  return (
    one.clusterId === other.clusterId &&
    one.epoch === other.epoch &&
    one.memberId === other.memberId &&
    one.incarnation === other.incarnation
  );
}

/** A Buffer over the same memory, for its integer readers. */
export function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
