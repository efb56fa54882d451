import assert from 'node:assert/strict';

/** The one error of every decoder in this package: the bytes are not what they claim to be. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

/** The one error of an encoder that a caller's text can cause: a lone surrogate has no UTF-8 form. */
export class EncodeError extends Error {
  override readonly name = 'EncodeError';
}

const BYTES_INITIAL = 256;
const BYTES_KEPT_MAX = 64 * 1024;
const TWO_TO_32 = 0x1_0000_0000;
const encoder = new TextEncoder();
// ignoreBOM: a byte order mark is text like any other. Dropped, two different keys would decode to one.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** True when the text has a UTF-8 form, that is, no lone surrogate. */
export function isWellFormed(text: string): boolean {
  return text.isWellFormed();
}

/** A programmer's error. Apart from the condition, so that no message is made for the numbers that are right. */
function refuse(value: number, type: string): never {
  assert.fail(`not a ${type}: ${value}`);
}

/** Writes little-endian numbers, length-prefixed bytes and text into a buffer that grows by doubling. */
export class ByteWriter {
  readonly #bytesKeptMax: number;
  #buffer: Uint8Array;
  #view: DataView;
  #length = 0;

  /** `bytesExpected`: a guess at what will be written. */
  constructor(bytesExpected = BYTES_INITIAL) {
    this.#bytesKeptMax = Math.max(bytesExpected, BYTES_KEPT_MAX);
    this.#buffer = new Uint8Array(bytesExpected);
    this.#view = new DataView(this.#buffer.buffer);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    if (!(Number.isInteger(value) && value >= 0 && value <= 0xff)) refuse(value, 'u8');
    this.#reserve(1);
    this.#view.setUint8(this.#length, value);
    this.#length += 1;
  }

  u16(value: number): void {
    if (!(Number.isInteger(value) && value >= 0 && value <= 0xffff)) refuse(value, 'u16');
    this.#reserve(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
  }

  u32(value: number): void {
    if (!(Number.isInteger(value) && value >= 0 && value < TWO_TO_32)) refuse(value, 'u32');
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  /** A safe integer >= 0 in 8 bytes. */
  u53(value: number): void {
    if (!(Number.isSafeInteger(value) && value >= 0)) refuse(value, 'u53');
    this.#reserve(8);
    this.#view.setUint32(this.#length, value % TWO_TO_32, true);
    this.#view.setUint32(this.#length + 4, Math.floor(value / TWO_TO_32), true);
    this.#length += 8;
  }

  boolean(value: boolean): void {
    this.u8(value ? 1 : 0);
  }

  /** The bytes behind their u32 length. */
  bytes(value: Uint8Array): void {
    this.u32(value.length);
    this.raw(value);
  }

  /** The bytes as they are, with no length: the reader must know it. */
  raw(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  /** The text as UTF-8 behind its u32 length in bytes. Throws EncodeError for a lone surrogate. */
  string(value: string): void {
    this.#reserve(4 + value.length * 3);
    const start = this.#length + 4;
    if (!this.#ascii(value, start)) {
      // TextEncoder would write U+FFFD instead, and two different keys would become one.
      if (!isWellFormed(value)) throw new EncodeError('text with a lone surrogate has no UTF-8 form');
      const { written } = encoder.encodeInto(value, this.#buffer.subarray(start));
      this.u32(written);
      this.#length += written;
      return;
    }
    this.u32(value.length);
    this.#length += value.length;
  }

  /** A copy of all that was written. The writer may go on. */
  finish(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  /** What was written, not copied: it holds until the next write or `clear`. */
  view(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Forgets all that was written, so that one writer serves many small pieces. A buffer that has grown large is let go. */
  clear(): void {
    this.#length = 0;
    if (this.#buffer.length <= this.#bytesKeptMax) return;
    this.#buffer = new Uint8Array(BYTES_INITIAL);
    this.#view = new DataView(this.#buffer.buffer);
  }

  /** Forgets what was written behind this length. */
  truncate(length: number): void {
    assert(length <= this.#length, 'only what was written can be forgotten');
    this.#length = length;
  }

  /** Writes a u32 over one that was written at this offset before. */
  patchU32(offset: number, value: number): void {
    assert(offset + 4 <= this.#length, 'only what was written can be written over');
    this.#view.setUint32(offset, value, true);
  }

  /** Almost all text is ASCII and short: a loop is faster than a call into the encoder. False: it is not ASCII. */
  #ascii(value: string, start: number): boolean {
    const buffer = this.#buffer;
    for (let index = 0; index < value.length; index += 1) {
      const unit = value.charCodeAt(index);
      if (unit > 0x7f) return false;
      buffer[start + index] = unit;
    }
    return true;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
    this.#view = new DataView(grown.buffer);
  }
}

const POOL_BYTES = 64 * 1024;
/** What is above this part of a piece of the pool gets memory of its own: so no more than this is lost at a piece's end. */
const POOL_PART = 4;

/**
 * Copies small arrays into shared pieces of memory. One that has memory of its own costs three objects and some 300 bytes beside what is
 * in it. A piece is freed with the last of its copies: only for what is let go in about the order in which it was made.
 */
export class BytePool {
  // A Buffer, as what is cut out of it then is: text is read from one without making another object first.
  #piece = Buffer.alloc(0);
  #usedBytes = 0;

  copy(bytes: Uint8Array): Uint8Array {
    if (bytes.length * POOL_PART > POOL_BYTES) return new Uint8Array(bytes);
    if (this.#usedBytes + bytes.length > this.#piece.length) {
      this.#piece = Buffer.alloc(POOL_BYTES);
      this.#usedBytes = 0;
    }
    const start = this.#usedBytes;
    this.#usedBytes += bytes.length;
    this.#piece.set(bytes, start);
    return this.#piece.subarray(start, this.#usedBytes);
  }
}

/** Reads what ByteWriter wrote. Total: any failure is a DecodeError, and no length is believed before it is checked. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #buffer: Buffer | null;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#buffer = bytes instanceof Buffer ? bytes : null;
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] ?? 0;
  }

  u16(): number {
    const offset = this.#take(2);
    return (this.#bytes[offset] ?? 0) | ((this.#bytes[offset + 1] ?? 0) << 8);
  }

  u32(): number {
    return this.#u32At(this.#take(4));
  }

  /** A safe integer >= 0 from 8 bytes. */
  u53(): number {
    const offset = this.#take(8);
    const high = this.#u32At(offset + 4);
    if (high > 0x1f_ffff) throw new DecodeError('number above 2^53 - 1');
    return high * TWO_TO_32 + this.#u32At(offset);
  }

  /** 0 or 1; any other byte is refused, else one value would have two encodings. */
  boolean(): boolean {
    const value = this.u8();
    if (value > 1) throw new DecodeError(`not a boolean: ${value}`);
    return value === 1;
  }

  /** A copy of length-prefixed bytes: it keeps nothing of the message alive. */
  bytes(lengthMax: number): Uint8Array {
    // Not slice(): that of a Buffer is no copy.
    return new Uint8Array(this.view(lengthMax));
  }

  /** Length-prefixed bytes, not copied: they keep all that is read from alive, and change when that changes. */
  view(lengthMax: number): Uint8Array {
    const length = this.#length(lengthMax);
    const offset = this.#take(length);
    return this.#bytes.subarray(offset, offset + length);
  }

  /** The next `length` bytes, not copied and still to be read. */
  ahead(length: number): Uint8Array {
    if (length > this.remaining) throw new DecodeError(`${length} bytes wanted, ${this.remaining} left`);
    return this.#bytes.subarray(this.#offset, this.#offset + length);
  }

  /** A copy of the next `length` bytes, written with `raw`. */
  raw(length: number): Uint8Array {
    const offset = this.#take(length);
    return new Uint8Array(this.#bytes.subarray(offset, offset + length));
  }

  /** Length-prefixed UTF-8 of at most `bytesMax` bytes. */
  string(bytesMax: number): string {
    const length = this.#length(bytesMax);
    const offset = this.#take(length);
    if (this.#isAscii(offset, length)) return this.#latin1(offset, length);
    try {
      return decoder.decode(this.#bytes.subarray(offset, offset + length));
    } catch {
      throw new DecodeError('text is not UTF-8');
    }
  }

  /** Everything must have been read. */
  end(): void {
    if (this.remaining > 0) throw new DecodeError(`${this.remaining} bytes too many`);
  }

  // Not a DataView: to make one costs more than to read what most messages hold.
  #u32At(offset: number): number {
    const bytes = this.#bytes;
    const low = (bytes[offset] ?? 0) | ((bytes[offset + 1] ?? 0) << 8) | ((bytes[offset + 2] ?? 0) << 16);
    return (low | ((bytes[offset + 3] ?? 0) << 24)) >>> 0;
  }

  #isAscii(offset: number, length: number): boolean {
    const bytes = this.#bytes;
    for (let index = offset; index < offset + length; index += 1) {
      if ((bytes[index] ?? 0) > 0x7f) return false;
    }
    return true;
  }

  /** ASCII is Latin-1 too, and that is read faster than UTF-8 by far. */
  #latin1(offset: number, length: number): string {
    const { buffer, byteOffset, byteLength } = this.#bytes;
    this.#buffer ??= Buffer.from(buffer, byteOffset, byteLength);
    return this.#buffer.toString('latin1', offset, offset + length);
  }

  #length(max: number): number {
    const length = this.u32();
    if (length > max) throw new DecodeError(`length ${length} above ${max}`);
    return length;
  }

  #take(length: number): number {
    if (length > this.remaining) throw new DecodeError(`${length} bytes wanted, ${this.remaining} left`);
    const offset = this.#offset;
    this.#offset += length;
    return offset;
  }
}
