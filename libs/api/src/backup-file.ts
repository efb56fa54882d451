import { createHash } from 'node:crypto';
import { z } from 'zod';

// A backup file, all numbers little-endian:
//   magic "QUORBKUP", u32 format, u32 length and bytes of the header (JSON), 8 bytes of its checksum
//   for each chunk: u8 1, u32 length, 8 bytes of checksum over number and bytes, the bytes
//   u8 2, u32 number of chunks, u64 bytes of payload, 32 bytes: SHA-256 of everything before
// A checksum is the beginning of a SHA-256. The file ends with the footer: what is cut off, flipped, doubled, left out or
// appended is always noticed. The first to know is the checksum nearest to it, which tells where.
const MAGIC = Buffer.from('QUORBKUP', 'latin1');
const FORMAT = 1;
const CHUNK = 1;
const FOOTER = 2;
const CHECKSUM_BYTES = 8;
const SHA256_BYTES = 32;
const HEADER_BYTES_MAX = 64 * 1024;
/** A chunk of a snapshot is 256 KiB; there is room for larger ones. */
const CHUNK_BYTES_MAX = 1024 * 1024;
const U32_MAX = 0xffff_ffff;

const count = z.int().min(0);

const backupHeaderSchema = z.object({
  clusterId: z.string().regex(/^[0-9a-f]{16}$/),
  /** The epoch of the cluster that was backed up. A restore makes a later one. */
  epoch: count.min(1).max(U32_MAX),
  /** The snapshot stands for all entries up to this log index, whose term is `term`. */
  index: count,
  term: count,
  /** The revision of the content. */
  revision: count,
  chunkCount: count.min(1).max(U32_MAX),
  /** CRC-32 of the whole payload, as the member that took the snapshot computed it. */
  digest: count.max(U32_MAX),
  /** When the backup was taken by the clock of the gateway, ISO 8601. For people: nothing is decided by it. */
  takenAt: z.iso.datetime(),
});

/** What a backup file says of itself before its payload. */
export type BackupHeader = z.infer<typeof backupHeaderSchema>;

/** The file is no backup, or not a whole and undamaged one. The message is a sentence without its subject. */
export class BackupFileError extends Error {
  override readonly name = 'BackupFileError';
}

/** Writes the parts of a backup file one after the other. No I/O: each call returns the bytes to append. */
export class BackupFileWriter {
  readonly #header: BackupHeader;
  readonly #hash = createHash('sha256');
  #chunks = 0;
  #payloadBytes = 0;

  constructor(header: BackupHeader) {
    this.#header = header;
  }

  /** The first bytes of the file. Throws BackupFileError for a header that no reader would take. */
  start(): Uint8Array {
    const parsed = backupHeaderSchema.safeParse(this.#header);
    if (!parsed.success) throw new BackupFileError(`the header is not valid: ${parsed.error.message}`);
    const header = Buffer.from(JSON.stringify(parsed.data));
    const lengths = Buffer.alloc(8);
    lengths.writeUInt32LE(FORMAT, 0);
    lengths.writeUInt32LE(header.length, 4);
    return this.#append(MAGIC, lengths, header, checksum(header));
  }

  /** The next chunk, at most 1 MiB. */
  chunk(data: Uint8Array): Uint8Array {
    if (data.length > CHUNK_BYTES_MAX) throw new BackupFileError(`a chunk of ${data.length} bytes`);
    const head = Buffer.alloc(5);
    head.writeUInt8(CHUNK, 0);
    head.writeUInt32LE(data.length, 1);
    const bytes = this.#append(head, chunkChecksum(this.#chunks, data), data);
    this.#chunks += 1;
    this.#payloadBytes += data.length;
    return bytes;
  }

  /** The last bytes of the file. Throws BackupFileError unless there were as many chunks as the header says. */
  finish(): Uint8Array {
    if (this.#chunks !== this.#header.chunkCount)
      throw new BackupFileError(`${this.#chunks} chunks of ${this.#header.chunkCount}`);
    const footer = footerOf(this.#chunks, this.#payloadBytes);
    this.#hash.update(footer);
    return Buffer.concat([footer, this.#hash.digest()]);
  }

  #append(...parts: readonly Uint8Array[]): Uint8Array {
    const bytes = Buffer.concat(parts);
    this.#hash.update(bytes);
    return bytes;
  }
}

/** What a reader of a whole backup file knows at its end. */
export interface BackupSummary {
  readonly header: BackupHeader;
  readonly payloadBytes: number;
  readonly fileBytes: number;
  /** SHA-256 of the whole file in hex, as `sha256sum` prints it. */
  readonly sha256: string;
}

/** Parts of a backup file in order. Nothing of it is to be trusted before `end` has come. */
export type BackupPart =
  | { readonly type: 'header'; readonly header: BackupHeader }
  | { readonly type: 'chunk'; readonly data: Uint8Array }
  | { readonly type: 'end'; readonly summary: BackupSummary };

/**
 * Reads a backup file from its bytes in pieces of any size. Throws BackupFileError at the first thing that is wrong. Memory:
 * one chunk and one piece.
 */
export function* readBackupFile(pieces: Iterable<Uint8Array>): Generator<BackupPart, void> {
  const bytes = new PieceReader(pieces);
  if (!bytes.take(MAGIC.length, 'the magic').equals(MAGIC)) throw new BackupFileError('is no backup file');
  const format = bytes.take(4, 'the format').readUInt32LE(0);
  if (format !== FORMAT) throw new BackupFileError(`is of format ${format}; this version reads ${FORMAT}`);
  const header = readHeader(bytes);
  yield { type: 'header', header };
  let payloadBytes = 0;
  for (let number = 0; ; number += 1) {
    const tag = bytes.take(1, 'a chunk').readUInt8(0);
    if (tag === FOOTER) {
      yield { type: 'end', summary: readFooter(bytes, header, number, payloadBytes) };
      return;
    }
    if (tag !== CHUNK) throw damaged(bytes, 'neither a chunk nor the footer');
    const length = bytes.take(4, 'a chunk').readUInt32LE(0);
    if (length > CHUNK_BYTES_MAX) throw damaged(bytes, `a chunk of ${length} bytes`);
    const expected = bytes.take(CHECKSUM_BYTES, 'a chunk');
    const data = bytes.take(length, 'a chunk');
    if (!chunkChecksum(number, data).equals(expected))
      throw damaged(bytes, `the checksum of chunk ${number} does not match`);
    payloadBytes += length;
    yield { type: 'chunk', data };
  }
}

function readHeader(bytes: PieceReader): BackupHeader {
  const length = bytes.take(4, 'the header').readUInt32LE(0);
  if (length > HEADER_BYTES_MAX) throw damaged(bytes, `a header of ${length} bytes`);
  const text = bytes.take(length, 'the header');
  if (!checksum(text).equals(bytes.take(CHECKSUM_BYTES, 'the header')))
    throw damaged(bytes, 'the checksum of the header does not match');
  const parsed = backupHeaderSchema.safeParse(parseJson(text.toString('utf8')));
  if (!parsed.success) throw damaged(bytes, 'the header is not one of a backup');
  return parsed.data;
}

function readFooter(
  bytes: PieceReader,
  header: BackupHeader,
  chunks: number,
  payloadBytes: number,
): BackupSummary {
  const expected = footerOf(chunks, payloadBytes).subarray(1);
  if (!bytes.take(expected.length, 'the footer').equals(expected))
    throw damaged(bytes, 'the footer counts otherwise');
  if (chunks !== header.chunkCount) throw damaged(bytes, `${chunks} chunks of ${header.chunkCount}`);
  const digest = bytes.digestSoFar();
  if (!bytes.take(SHA256_BYTES, 'the footer').equals(digest))
    throw damaged(bytes, 'the SHA-256 of the file does not match');
  if (bytes.more()) throw damaged(bytes, 'something follows the end');
  return { header, payloadBytes, fileBytes: bytes.offset, sha256: bytes.digestSoFar().toString('hex') };
}

function footerOf(chunks: number, payloadBytes: number): Buffer {
  const footer = Buffer.alloc(1 + 4 + 8);
  footer.writeUInt8(FOOTER, 0);
  footer.writeUInt32LE(chunks, 1);
  footer.writeBigUInt64LE(BigInt(payloadBytes), 5);
  return footer;
}

/** Cuts pieces of any size into parts of the size asked for, and hashes what it hands out. */
class PieceReader {
  readonly #pieces: Iterator<Uint8Array>;
  readonly #hash = createHash('sha256');
  #rest: Buffer = Buffer.alloc(0);
  /** Bytes handed out so far. */
  offset = 0;

  constructor(pieces: Iterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.iterator]();
  }

  take(length: number, what: string): Buffer {
    const parts = [this.#rest];
    let found = this.#rest.length;
    while (found < length) {
      const next = this.#pieces.next();
      if (next.done === true)
        throw new BackupFileError(`is cut off: it ends at byte ${this.offset + found}, within ${what}`);
      parts.push(Buffer.from(next.value));
      found += next.value.length;
    }
    const all = parts.length === 1 ? this.#rest : Buffer.concat(parts, found);
    const taken = all.subarray(0, length);
    this.#rest = all.subarray(length);
    this.offset += length;
    this.#hash.update(taken);
    return taken;
  }

  more(): boolean {
    while (this.#rest.length === 0) {
      const next = this.#pieces.next();
      if (next.done === true) return false;
      this.#rest = Buffer.from(next.value);
    }
    return true;
  }

  digestSoFar(): Buffer {
    return this.#hash.copy().digest();
  }
}

function checksum(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest().subarray(0, CHECKSUM_BYTES);
}

/** With its number, so that two chunks which have changed places are noticed. */
function chunkChecksum(number: number, data: Uint8Array): Buffer {
  const counted = Buffer.alloc(4);
  counted.writeUInt32LE(number, 0);
  return checksum(counted, data);
}

function damaged(bytes: PieceReader, what: string): BackupFileError {
  return new BackupFileError(`is damaged before byte ${bytes.offset}: ${what}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
