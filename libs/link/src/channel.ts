import type { Socket } from 'node:net';
import type { Frame } from './frames.js';
import {
  FRAME,
  FRAME_BYTES_MAX,
  FRAME_HEADER_BYTES,
  FrameReader,
  HANDSHAKE_FRAME_BYTES_MAX,
  frameBytes,
  writeFrameHeader,
} from './frames.js';
import type { LinkTiming } from './timing.js';

/** Bytes that may wait for a slow reader. */
export const UNSENT_BYTES_MAX = 16 * 1024 * 1024;
/** Frames of one turn up to this size are copied together: one write is cheaper than a vector of small ones. */
const COPY_BYTES_MAX = 256 * 1024;
const EMPTY = new Uint8Array(0);

interface QueuedFrame {
  readonly type: number;
  readonly id: number;
  readonly payload: Uint8Array;
}

export interface ChannelOptions {
  readonly timing: LinkTiming;
  readonly unsentBytesMax?: number;
  /** Every frame but pings and pongs. May throw: the channel then closes. */
  readonly onFrame: (frame: Frame) => void;
  /** Called once. */
  readonly onClose: (reason: string) => void;
}

/**
 * Frames over one socket, for both ends: cuts and checks what comes in, gathers what goes out into one write a turn,
 * pings, and closes itself when the peer has been silent for too long or does not follow the format.
 */
export class Channel {
  readonly #socket: Socket;
  readonly #options: ChannelOptions;
  readonly #reader = new FrameReader(HANDSHAKE_FRAME_BYTES_MAX);
  readonly #timer: NodeJS.Timeout;
  #queue: QueuedFrame[] = [];
  #queuedBytes = 0;
  #flushScheduled = false;
  #closed = false;
  #authenticated = false;
  #receivedAtMs = performance.now();
  #checkedAtMs = performance.now();

  constructor(socket: Socket, options: ChannelOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.close(error.message));
    socket.on('end', () => this.close('the peer closed the connection'));
    socket.on('close', () => this.close('the connection closed'));
    this.#timer = setInterval(() => this.#checkSilence(), options.timing.pingIntervalMs);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes handed in that the peer's side has not taken yet. */
  get unsentBytes(): number {
    return this.#queuedBytes + this.#socket.writableLength;
  }

  /** From now on frames may be large. */
  authenticated(): void {
    this.#authenticated = true;
    this.#reader.bytesMax = FRAME_BYTES_MAX;
  }

  /** True when a frame with this payload may be queued: it fits into a frame and into the bound of unsent bytes. */
  hasRoom(payloadBytes: number): boolean {
    const unsentBytesMax = this.#options.unsentBytesMax ?? UNSENT_BYTES_MAX;
    return fitsFrame(payloadBytes) && this.unsentBytes + frameBytes(payloadBytes) <= unsentBytesMax;
  }

  /** Queues a frame for the write of this turn. False: closed or no room, and nothing was queued. */
  send(type: number, id: number, payload: Uint8Array): boolean {
    if (this.#closed || !this.hasRoom(payload.length)) return false;
    this.#queue.push({ type, id, payload });
    this.#queuedBytes += frameBytes(payload.length);
    if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      setImmediate(() => this.#flush());
    }
    return true;
  }

  /** Sends one last frame and what is queued, then closes in order. */
  finish(type: number, payload: Uint8Array, reason: string): void {
    if (this.#closed) return;
    this.send(type, 0, payload);
    this.drain(reason);
  }

  /** Sends what is queued, then closes in order. */
  drain(reason: string): void {
    if (this.#closed) return;
    this.#flush();
    // The peer must get the last frames, so no reset: half-close, and let `end` or a short time limit do the rest.
    this.#shut(reason);
    this.#socket.end();
    const limit = setTimeout(() => this.#socket.destroy(), this.#options.timing.pingIntervalMs);
    this.#socket.once('close', () => clearTimeout(limit));
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#shut(reason);
    this.#socket.destroy();
  }

  #shut(reason: string): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#options.onClose(reason);
  }

  #receive(chunk: Buffer): void {
    if (this.#closed) return;
    this.#receivedAtMs = performance.now();
    try {
      this.#reader.push(chunk, (frame) => this.#take(frame));
    } catch (error) {
      // FrameError and DecodeError: a stream that broke the format once cannot be trusted to be in step again.
      this.close(error instanceof Error ? error.message : 'the peer broke the format');
    }
  }

  #take(frame: Frame): boolean {
    if (this.#authenticated && frame.type === FRAME.ping) {
      // A peer that only pings and never reads must not fill our memory with pongs.
      if (!this.send(FRAME.pong, 0, EMPTY)) this.close('the peer does not read');
    } else if (!this.#authenticated || frame.type !== FRAME.pong) {
      this.#options.onFrame(frame);
    }
    return !this.#closed;
  }

  #flush(): void {
    this.#flushScheduled = false;
    if (this.#closed || this.#queue.length === 0) return;
    const frames = this.#queue;
    const bytes = this.#queuedBytes;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (bytes <= COPY_BYTES_MAX) {
      this.#socket.write(joinFrames(frames, bytes));
      return;
    }
    this.#socket.cork();
    for (const frame of frames) {
      const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
      writeFrameHeader(header, 0, frame.type, frame.id, frame.payload.length);
      this.#socket.write(header);
      if (frame.payload.length > 0) this.#socket.write(frame.payload);
    }
    this.#socket.uncork();
  }

  #checkSilence(): void {
    const { pingIntervalMs, silenceTimeoutMs } = this.#options.timing;
    const nowMs = performance.now();
    const lateMs = nowMs - this.#checkedAtMs - pingIntervalMs;
    this.#checkedAtMs = nowMs;
    // This process itself stood still (a stopped process, a long collection): what the peer sent meanwhile has not been
    // read yet, so its silence proves nothing.
    if (lateMs > silenceTimeoutMs / 2) this.#receivedAtMs = nowMs;
    const silentMs = nowMs - this.#receivedAtMs;
    if (silentMs >= silenceTimeoutMs) this.close(`the peer was silent for ${Math.round(silentMs)} ms`);
    // A timer may fire a moment early; half a millisecond must not cost a whole interval.
    else if (this.#authenticated && silentMs >= pingIntervalMs - 1) this.send(FRAME.ping, 0, EMPTY);
  }
}

/** True when a payload of this size fits into a frame. */
export function fitsFrame(payloadBytes: number): boolean {
  return frameBytes(payloadBytes) <= FRAME_BYTES_MAX;
}

function joinFrames(frames: readonly QueuedFrame[], bytes: number): Buffer {
  const joined = Buffer.allocUnsafe(bytes);
  let offset = 0;
  for (const { type, id, payload } of frames) {
    writeFrameHeader(joined, offset, type, id, payload.length);
    joined.set(payload, offset + FRAME_HEADER_BYTES);
    offset += frameBytes(payload.length);
  }
  return joined;
}
