import { ByteWriter } from '@quorate/kv';
import type { Socket } from 'node:net';
import type { Frame } from './frames.js';
import {
  FRAME,
  FRAME_BYTES_MAX,
  FrameReader,
  HANDSHAKE_FRAME_BYTES_MAX,
  beginFrame,
  endFrame,
} from './frames.js';
import type { LinkTiming } from './timing.js';

/** Bytes that may wait for a slow reader. */
export const UNSENT_BYTES_MAX = 16 * 1024 * 1024;
/** So much is written without waiting for the end of the turn: more would only make the buffer outgrow what is kept of it. */
const FLUSH_BYTES = 32 * 1024;
const EMPTY = new Uint8Array(0);

/** What became of a frame. Unless it was queued, nothing of it goes out. `noRoom`: too much waits for the peer. */
export type SendResult = 'queued' | 'closed' | 'tooLarge' | 'noRoom';

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
  /** The frames of this turn, one behind the other. */
  readonly #queued = new ByteWriter();
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
    return this.#queued.length + this.#socket.writableLength;
  }

  /** When bytes came last, on the clock of `performance.now`. */
  get receivedAtMs(): number {
    return this.#receivedAtMs;
  }

  /** From now on frames may be large. */
  authenticated(): void {
    this.#authenticated = true;
    this.#reader.bytesMax = FRAME_BYTES_MAX;
  }

  /** Queues a frame with this payload for the write of this turn. */
  send(type: number, id: number, payload: Uint8Array): SendResult {
    return this.encode(type, id, payload, writePayload);
  }

  /**
   * Queues a frame whose payload `write` appends, with no copy of its own. What `write` throws comes out of here, and nothing was
   * queued.
   */
  encode<Item>(
    type: number,
    id: number,
    item: Item,
    write: (writer: ByteWriter, item: Item) => void,
  ): SendResult {
    if (this.#closed) return 'closed';
    const start = beginFrame(this.#queued, type, id);
    try {
      write(this.#queued, item);
    } catch (error) {
      this.#takeBack(start);
      throw error;
    }
    const refusal = this.#refusalOf(this.#queued.length - start);
    if (refusal !== null) {
      this.#takeBack(start);
      return refusal;
    }
    endFrame(this.#queued, start);
    if (this.#queued.length >= FLUSH_BYTES) this.#flush();
    else if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      setImmediate(() => {
        this.#flushScheduled = false;
        this.#flush();
      });
    }
    return 'queued';
  }

  /** Why the newest frame, of so many bytes and already counted as unsent, may not stay. */
  #refusalOf(frameBytes: number): 'tooLarge' | 'noRoom' | null {
    if (frameBytes > FRAME_BYTES_MAX) return 'tooLarge';
    const unsentBytesMax = this.#options.unsentBytesMax ?? UNSENT_BYTES_MAX;
    return this.unsentBytes > unsentBytesMax ? 'noRoom' : null;
  }

  #takeBack(start: number): void {
    // Cleared, it also lets go of what a frame that was too large has made it grow to: no flush may come.
    if (start === 0) this.#queued.clear();
    else this.#queued.truncate(start);
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
    this.#queued.clear();
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
      if (this.send(FRAME.pong, 0, EMPTY) !== 'queued') this.close('the peer does not read');
    } else if (!this.#authenticated || frame.type !== FRAME.pong) {
      this.#options.onFrame(frame);
    }
    return !this.#closed;
  }

  #flush(): void {
    if (this.#closed || this.#queued.length === 0) return;
    // A copy of just the size: the socket may keep it for long, and the writer goes on with its buffer.
    this.#socket.write(Buffer.from(this.#queued.view()));
    this.#queued.clear();
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

function writePayload(writer: ByteWriter, payload: Uint8Array): void {
  writer.raw(payload);
}
