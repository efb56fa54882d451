import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { logIndex, term } from '@quorate/raft';
import type { LogIndex, SnapshotPoint, Term } from '@quorate/raft';
import { WalDamagedError } from './errors.js';
import { readUint53, writeUint53 } from './record.js';
import { identityIn, isSameIdentity, writeIdentity } from './segment.js';
import type { WalIdentity } from './segment.js';

/** The byte layout of a snapshot file; FORMAT.md has the tables. */

/** Payload of each chunk but the last, unless told otherwise, and at most. One size in a file: any chunk is found without reading another. */
export const SNAPSHOT_CHUNK_BYTES = 256 * 1024;
export const SNAPSHOT_HEADER_BYTES = 80;
export const CHUNK_PREFIX_BYTES = 8;
export const SNAPSHOT_FOOTER_BYTES = 24;
const MAGIC = Buffer.from('QUORSNP\n', 'latin1');
const FORMAT_VERSION = 3;
/** Takes the place of a chunk's number in the footer's checksum: no chunk ever looks like a footer. */
const FOOTER_NUMBER = 0xffff_ffff;
const SNAPSHOT_NAME = /^snapshot-(\d{16})$/;
const UNFINISHED_NAME = /^snapshot-\d{16}\.tmp$/;

export interface SnapshotInfo {
  /** The last entry that the snapshot stands for, and its term. */
  readonly index: LogIndex;
  readonly term: Term;
  /** At least 1: an empty payload is one empty chunk. */
  readonly chunkCount: number;
  readonly payloadBytes: number;
  /** crc32 of the whole payload. */
  readonly digest: number;
}

/** What a reader needs of a file that was found whole at both its ends. */
export interface SnapshotFile extends SnapshotInfo {
  /** The header's checksum; those of chunks and footer start from it. */
  readonly checksum: number;
  /** Payload of each chunk but the last. */
  readonly chunkBytes: number;
}

/** What a header says. */
export interface SnapshotHeader {
  readonly point: SnapshotPoint;
  readonly checksum: number;
  readonly chunkBytes: number;
}

export function snapshotName(index: number): string {
  return `snapshot-${String(index).padStart(16, '0')}`;
}

/** The index in a snapshot's name, or null if it is none. */
export function indexOfName(name: string): LogIndex | null {
  const digits = SNAPSHOT_NAME.exec(name)?.[1];
  const index = Number(digits ?? 0);
  return Number.isSafeInteger(index) && index > 0 ? logIndex(index) : null;
}

export function isUnfinishedSnapshot(name: string): boolean {
  return UNFINISHED_NAME.test(name);
}

export function chunkCountOf(payloadBytes: number, chunkBytes: number): number {
  return Math.max(1, Math.ceil(payloadBytes / chunkBytes));
}

/** Where a chunk's frame stands in the file, and how many bytes of payload it has. */
export function placeOfChunk(file: SnapshotFile, chunk: number): { position: number; length: number } {
  assert(Number.isInteger(chunk) && chunk >= 0 && chunk < file.chunkCount, `no chunk ${chunk}`);
  const { chunkBytes, payloadBytes } = file;
  return {
    position: SNAPSHOT_HEADER_BYTES + chunk * (CHUNK_PREFIX_BYTES + chunkBytes),
    length: Math.min(chunkBytes, payloadBytes - chunk * chunkBytes),
  };
}

export function fileBytesOf({ payloadBytes, chunkBytes }: SnapshotFile): number {
  const frames = chunkCountOf(payloadBytes, chunkBytes) * CHUNK_PREFIX_BYTES + payloadBytes;
  return SNAPSHOT_HEADER_BYTES + frames + SNAPSHOT_FOOTER_BYTES;
}

export function encodeSnapshotHeader(
  identity: WalIdentity,
  point: SnapshotPoint,
  chunkBytes: number,
): Buffer {
  assert(point.index > 0, 'a snapshot of nothing');
  const bytes = Buffer.alloc(SNAPSHOT_HEADER_BYTES);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt32LE(FORMAT_VERSION, 8);
  bytes.writeUInt32LE(chunkBytes, 12);
  writeIdentity(bytes, identity);
  writeUint53(bytes, point.index, 60);
  writeUint53(bytes, point.term, 68);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, SNAPSHOT_HEADER_BYTES - 4)), SNAPSHOT_HEADER_BYTES - 4);
  return bytes;
}

/**
 * What the header says, or what is wrong with it. A sound header of another format, member or index throws
 * `WalDamagedError`: that file did not rot, so nothing may be decided without a person, least of all its removal.
 */
export function decodeSnapshotHeader(
  bytes: Buffer,
  name: string,
  identity: WalIdentity,
): SnapshotHeader | string {
  if (bytes.length < SNAPSHOT_HEADER_BYTES) return 'the file ends inside its header';
  if (!bytes.subarray(0, 8).equals(MAGIC)) return 'not a snapshot of a Quorate member';
  const checksum = headerChecksum(bytes);
  if (crc32(bytes.subarray(0, SNAPSHOT_HEADER_BYTES - 4)) !== checksum)
    return 'the header has a wrong checksum';
  const version = bytes.readUInt32LE(8);
  if (version !== FORMAT_VERSION) {
    throw new WalDamagedError(name, 8, `format version ${version}; this program reads ${FORMAT_VERSION}`);
  }
  const owner = identityIn(bytes);
  if (owner === null || !isSameIdentity(owner, identity)) {
    throw new WalDamagedError(name, 16, 'the snapshot belongs to another member, epoch or incarnation');
  }
  const index = readUint53(bytes, 60);
  const termNumber = readUint53(bytes, 68);
  const chunkBytes = bytes.readUInt32LE(12);
  const isSize = chunkBytes >= 1 && chunkBytes <= SNAPSHOT_CHUNK_BYTES;
  if (index === null || termNumber === null || !isSize) {
    return 'the header makes no sense';
  }
  if (snapshotName(index) !== name) throw new WalDamagedError(name, 60, `the header says index ${index}`);
  return { point: { index: logIndex(index), term: term(termNumber) }, checksum, chunkBytes };
}

export function headerChecksum(header: Buffer): number {
  return header.readUInt32LE(SNAPSHOT_HEADER_BYTES - 4);
}

const seedBytes = Buffer.alloc(8);

/**
 * As for the log's records: the checksum starts from the header's (which covers identity and point) and the chunk's number,
 * so a chunk of another snapshot, or of another place in this one, never looks valid (P21).
 */
function checksumOf(covered: Buffer, fileChecksum: number, number: number): number {
  seedBytes.writeUInt32LE(fileChecksum, 0);
  seedBytes.writeUInt32LE(number, 4);
  return crc32(covered, crc32(seedBytes));
}

/** Completes a frame whose payload already stands behind its prefix. */
export function sealChunk(frame: Buffer, fileChecksum: number, chunk: number): void {
  frame.writeUInt32LE(frame.length - CHUNK_PREFIX_BYTES, 4);
  frame.writeUInt32LE(checksumOf(frame.subarray(4), fileChecksum, chunk), 0);
}

/** The payload of a frame that was read whole, or null. */
export function openChunk(frame: Buffer, fileChecksum: number, chunk: number): Uint8Array | null {
  if (frame.length < CHUNK_PREFIX_BYTES) return null;
  if (frame.readUInt32LE(4) !== frame.length - CHUNK_PREFIX_BYTES) return null;
  if (frame.readUInt32LE(0) !== checksumOf(frame.subarray(4), fileChecksum, chunk)) return null;
  return new Uint8Array(
    frame.buffer,
    frame.byteOffset + CHUNK_PREFIX_BYTES,
    frame.length - CHUNK_PREFIX_BYTES,
  );
}

export function encodeFooter(info: SnapshotInfo, fileChecksum: number): Buffer {
  const bytes = Buffer.alloc(SNAPSHOT_FOOTER_BYTES);
  bytes.writeUInt32LE(info.chunkCount, 4);
  writeUint53(bytes, info.payloadBytes, 8);
  bytes.writeUInt32LE(info.digest, 16);
  bytes.writeUInt32LE(checksumOf(bytes.subarray(4), fileChecksum, FOOTER_NUMBER), 0);
  return bytes;
}

/** What the footer says, or null if it is not one of this file. */
export function decodeFooter(bytes: Buffer, header: SnapshotHeader): SnapshotFile | null {
  const { point, checksum, chunkBytes } = header;
  if (bytes.length !== SNAPSHOT_FOOTER_BYTES) return null;
  if (bytes.readUInt32LE(0) !== checksumOf(bytes.subarray(4), checksum, FOOTER_NUMBER)) return null;
  const payloadBytes = readUint53(bytes, 8);
  const chunkCount = bytes.readUInt32LE(4);
  if (payloadBytes === null || chunkCountOf(payloadBytes, chunkBytes) !== chunkCount) return null;
  return {
    index: point.index,
    term: point.term,
    chunkCount,
    payloadBytes,
    digest: bytes.readUInt32LE(16),
    checksum,
    chunkBytes,
  };
}
