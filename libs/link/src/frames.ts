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

/** Bytes of a whole frame with this payload. */
export function frameBytes(payloadBytes: number): number {
  return FRAME_HEADER_BYTES + payloadBytes;
}

/** Writes the header of a frame at `offset`. */
export function writeFrameHeader(
  target: Buffer,
  offset: number,
  type: number,
  id: number,
  payloadBytes: number,
): void {
  target.writeUInt32LE(AFTER_LENGTH_BYTES_MIN + payloadBytes, offset);
  target.writeUInt8(type, offset + LENGTH_BYTES);
  target.writeUInt32LE(id, offset + LENGTH_BYTES + 1);
}

/**
 * Cuts a byte stream into frames. A length is compared with the limit before anything is kept for it, and parts
 * are joined once a frame is whole, so a large frame in small parts costs one copy.
 */
export class FrameReader {
  #parts: Buffer[] = [];
  #partsBytes = 0;
  /** Bytes that must be there before looking again. */
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
    this.#parts.push(chunk);
    this.#partsBytes += chunk.length;
    if (this.#partsBytes < this.#neededBytes) return;
    let bytes = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts, this.#partsBytes);
    this.#parts = [];
    this.#partsBytes = 0;
    for (;;) {
      this.#neededBytes = FRAME_HEADER_BYTES;
      if (bytes.length < LENGTH_BYTES) break;
      const length = bytes.readUInt32LE(0);
      if (length < AFTER_LENGTH_BYTES_MIN) throw new FrameError(`a frame of ${length} bytes has no header`);
      if (length > this.#bytesMax)
        throw new FrameError(`a frame of ${length} bytes is above ${this.#bytesMax}`);
      const whole = LENGTH_BYTES + length;
      if (bytes.length < whole) {
        this.#neededBytes = whole;
        break;
      }
      const frame = {
        type: bytes.readUInt8(LENGTH_BYTES),
        id: bytes.readUInt32LE(LENGTH_BYTES + 1),
        payload: bytes.subarray(FRAME_HEADER_BYTES, whole),
      };
      bytes = bytes.subarray(whole);
      if (!take(frame)) return;
    }
    if (bytes.length === 0) return;
    this.#parts = [bytes];
    this.#partsBytes = bytes.length;
  }
}
