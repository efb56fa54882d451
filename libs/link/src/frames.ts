import type { ByteWriter } from '@quorate/kv';

/** The largest frame, counted from after its length field. One Raft message is at most 1 MiB, so there is room. */
export const FRAME_BYTES_MAX = 2 * 1024 * 1024;
/** Before the peer has proved its key nothing larger is read. */
export const HANDSHAKE_FRAME_BYTES_MAX = 4 * 1024;
/** u32 length, u8 type, u32 request id; little-endian like all of our formats. */
export const FRAME_HEADER_BYTES = 9;
const LENGTH_BYTES = 4;
const AFTER_LENGTH_BYTES_MIN = FRAME_HEADER_BYTES - LENGTH_BYTES;

/** Wire numbers are for ever: a new one may be added, none changed. */
export const FRAME = {
  hello: 1,
  challenge: 2,
  proof: 3,
  welcome: 4,
  refused: 5,
  request: 6,
  response: 7,
  raft: 8,
  push: 9,
  ping: 10,
  pong: 11,
} as const;

export interface Frame {
  readonly type: number;
  /** Pairs a response with its request; 0 in every other frame. */
  readonly id: number;
  /** A view into the received bytes: decode or copy it before the next turn. */
  readonly payload: Uint8Array;
}

/** The one error of the frame reader: the stream cannot be followed any further. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/** Appends the header of a frame; its payload is appended next. Returns where the frame begins. */
export function beginFrame(writer: ByteWriter, type: number, id: number): number {
  const start = writer.length;
  // The length is not known yet.
  writer.u32(0);
  writer.u8(type);
  writer.u32(id);
  return start;
}

/** Ends the frame that begins at `start`: all that was written since is its payload. */
export function endFrame(writer: ByteWriter, start: number): void {
  writer.patchU32(start, writer.length - start - LENGTH_BYTES);
}

/**
 * Cuts a byte stream into frames. A length is compared with the limit before anything is kept for it. A frame that came in
 * several chunks is joined once it is whole, and by itself: nothing is copied of the frames that came in one.
 */
export class FrameReader {
  /** The beginning of a frame that is not whole yet. */
  #parts: Buffer[] = [];
  #partsBytes = 0;
  /** Bytes of that frame that must be there before looking again. */
  #neededBytes = FRAME_HEADER_BYTES;
  #bytesMax: number;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The limit for frames from now on. */
  set bytesMax(value: number) {
    this.#bytesMax = value;
  }

  /** Takes received bytes and hands each whole frame to `take`, which returns false to stop. Throws FrameError. */
  push(chunk: Buffer, take: (frame: Frame) => boolean): void {
    let rest = chunk;
    while (this.#partsBytes > 0 && rest.length > 0) {
      const part = rest.subarray(0, this.#neededBytes - this.#partsBytes);
      rest = rest.subarray(part.length);
      this.#parts.push(part);
      this.#partsBytes += part.length;
      if (this.#partsBytes < this.#neededBytes) return;
      const joined = Buffer.concat(this.#parts, this.#partsBytes);
      if (!this.#cut(joined, take)) return;
    }
    if (rest.length > 0) this.#cut(rest, take);
  }

  /** Hands on the whole frames in these bytes and keeps what is left. False: `take` said to stop. */
  #cut(bytes: Buffer, take: (frame: Frame) => boolean): boolean {
    this.#parts = [];
    this.#partsBytes = 0;
    this.#neededBytes = FRAME_HEADER_BYTES;
    let start = 0;
    while (bytes.length - start >= LENGTH_BYTES) {
      const length = bytes.readUInt32LE(start);
      if (length < AFTER_LENGTH_BYTES_MIN) throw new FrameError(`a frame of ${length} bytes has no header`);
      if (length > this.#bytesMax)
        throw new FrameError(`a frame of ${length} bytes is above ${this.#bytesMax}`);
      const end = start + LENGTH_BYTES + length;
      if (end > bytes.length) {
        this.#neededBytes = end - start;
        break;
      }
      const frame = {
        type: bytes.readUInt8(start + LENGTH_BYTES),
        id: bytes.readUInt32LE(start + LENGTH_BYTES + 1),
        payload: bytes.subarray(start + FRAME_HEADER_BYTES, end),
      };
      start = end;
      if (!take(frame)) return false;
    }
    if (start < bytes.length) {
      this.#parts.push(bytes.subarray(start));
      this.#partsBytes = bytes.length - start;
    }
    return true;
  }
}
