import { type Server, type Socket, connect, createServer } from 'node:net';
import type { Condition } from './links.js';

/** Read ahead for a slow or late link; beyond it the sender has to wait, as with a full window of TCP. */
const QUEUED_BYTES_MAX = 4 * 1024 * 1024;
/** A slow link sends a piece this often, so that small frames between large ones are not starved for seconds. */
const PIECE_MS = 20;
const LISTEN_AGAIN_MS = 200;

export interface ProxiedLinkOptions {
  /** Where the listening process really is. */
  readonly target: { readonly host: string; readonly port: number };
  /** What happens now to the bytes of the dialling end, and to the bytes of the other end. */
  readonly conditions: () => { readonly forward: Condition; readonly back: Condition };
  /** For jitter, in [0, 1). */
  readonly random: () => number;
  /** Where the dialling process believes the other one to be. 0: any free port. */
  readonly host: string;
  readonly port?: number;
}

/**
 * All connections from one process to another go through one of these. A cut is silent: no connection is closed, and new ones are accepted
 * and hear nothing. Bytes that meet a cut are held, not thrown away, and go on when it ends: that is what TCP does (it sends again until it
 * is acknowledged), it can never make a stream corrupt, and it needs no rule for which connections are to be closed. How a
 * connection ends is held back like its bytes. Both ends have given it up long before, if the cut lasted longer than they are patient.
 */
export class ProxiedLink {
  readonly #options: ProxiedLinkOptions;
  readonly #connections = new Set<ProxiedConnection>();
  #server: Server | null = null;
  #port: number;
  #isTargetGone = false;
  #isClosed = false;

  constructor(options: ProxiedLinkOptions) {
    this.#options = options;
    this.#port = options.port ?? 0;
  }

  get port(): number {
    return this.#port;
  }

  /** Resolves when it listens. */
  async open(): Promise<void> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
      const connection = new ProxiedConnection(socket, this.#options, () =>
        this.#connections.delete(connection),
      );
      this.#connections.add(connection);
      connection.changed();
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, this.#options.host, resolve);
    });
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.#port = address.port;
    server.unref();
  }

  /** The conditions are others than before. */
  changed(): void {
    this.#listenOrRefuse();
    for (const connection of this.#connections) connection.changed();
  }

  /** While nobody listens at the target, dials are refused, as by the target's own machine: who dials may conclude from that. */
  setTargetGone(isGone: boolean): void {
    this.#isTargetGone = isGone;
    this.#listenOrRefuse();
  }

  close(): void {
    this.#isClosed = true;
    this.#server?.close();
    this.#server = null;
    for (const connection of this.#connections) connection.destroy();
  }

  #listenOrRefuse(): void {
    if (this.#isClosed) return;
    const { forward, back } = this.#options.conditions();
    // A refusal is a packet, too: through a cut there is only silence.
    const refuses = this.#isTargetGone && !forward.isCut && !back.isCut;
    if (refuses) {
      this.#server?.close();
      this.#server = null;
    } else if (this.#server === null) {
      this.open().catch(() => {
        // Somebody else has taken the port meanwhile, for a short connection.
        this.#server = null;
        setTimeout(() => this.#listenOrRefuse(), LISTEN_AGAIN_MS).unref();
      });
    }
  }
}

/** One connection: the socket of the end that dialled, the one to its target, and a flow for each direction. */
class ProxiedConnection {
  readonly #client: Socket;
  readonly #options: ProxiedLinkOptions;
  readonly #onGone: () => void;
  readonly #forward: Flow;
  #back: Flow | null = null;
  #upstream: Socket | null = null;

  constructor(client: Socket, options: ProxiedLinkOptions, onGone: () => void) {
    this.#client = client;
    this.#options = options;
    this.#onGone = onGone;
    this.#forward = new Flow(client, () => options.conditions().forward, options.random);
    client.once('close', () => this.#ended());
  }

  changed(): void {
    if (this.#upstream === null) this.#dial();
    this.#forward.pump();
    this.#back?.pump();
  }

  destroy(): void {
    this.#client.destroy();
    this.#upstream?.destroy();
    this.#ended();
  }

  /** A connection needs both directions: the first word of one end, and the answer to it. */
  #dial(): void {
    const { forward, back } = this.#options.conditions();
    if (forward.isCut || back.isCut) return;
    if (this.#client.destroyed) return this.#ended();
    const upstream = connect({ ...this.#options.target, allowHalfOpen: true, noDelay: true });
    upstream.pause();
    this.#upstream = upstream;
    upstream.once('close', () => this.#ended());
    upstream.once('connect', () => {
      this.#forward.sendTo(upstream);
      this.#back?.sendTo(this.#client);
    });
    this.#back = new Flow(upstream, () => this.#options.conditions().back, this.#options.random);
    this.#back.sendsResetTo(this.#client);
  }

  /** Gone when both sockets are; each flow closes the socket that it sends to, when that may be known there. */
  #ended(): void {
    this.#forward.pump();
    this.#back?.pump();
    if (!this.#client.destroyed || this.#upstream?.destroyed === false) return;
    this.#forward.stop();
    this.#back?.stop();
    this.#onGone();
  }
}

interface Piece {
  readonly bytes: Buffer;
  readonly dueMs: number;
}

/** The bytes of one direction, in their order. */
class Flow {
  readonly #queue: Piece[] = [];
  #queuedBytes = 0;
  #sink: Socket | null = null;
  /** Who hears of it when the source is gone before there is anything to send to. */
  #resetOnly: Socket | null = null;
  #hasEnded = false;
  #hasSentEnd = false;
  #isWaitingForDrain = false;
  #lastDueMs = 0;
  #freeAtMs = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly source: Socket,
    private readonly condition: () => Condition,
    private readonly random: () => number,
  ) {
    source.on('data', (bytes: Buffer) => this.#take(bytes));
    source.on('end', () => {
      this.#hasEnded = true;
      this.pump();
    });
    // What follows is 'close'.
    source.on('error', () => undefined);
    source.pause();
  }

  sendTo(sink: Socket): void {
    this.#sink = sink;
    sink.on('drain', () => {
      this.#isWaitingForDrain = false;
      this.pump();
    });
    this.pump();
  }

  sendsResetTo(sink: Socket): void {
    this.#resetOnly = sink;
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#queue.length = 0;
  }

  /** Sends what may be sent now, and sees to it that the rest follows. */
  pump(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const { isCut, bytesPerSecond } = this.condition();
    if (isCut) {
      this.source.pause();
      return;
    }
    const sink = this.#sink;
    if (this.source.destroyed && !this.source.readableEnded) {
      // Broken off: whoever hears of it loses what was under way, as with a reset of TCP.
      (sink ?? this.#resetOnly)?.resetAndDestroy();
      return;
    }
    if (sink !== null && !sink.destroyed) this.#send(sink, bytesPerSecond);
    // Nobody reads any more what comes the other way.
    if (this.source.destroyed && this.#queue.length === 0) sink?.destroySoon();
    // To a socket that is gone nothing is sent, and its end is told the other way.
    if (this.#queuedBytes < QUEUED_BYTES_MAX && sink?.destroyed !== true) this.source.resume();
    else this.source.pause();
  }

  #take(bytes: Buffer): void {
    const { delayMs, jitterMs } = this.condition();
    const lateMs = delayMs + (this.random() * 2 - 1) * jitterMs;
    // A stream keeps its order: what is late holds up what follows.
    this.#lastDueMs = Math.max(this.#lastDueMs, performance.now() + lateMs);
    this.#queue.push({ bytes, dueMs: this.#lastDueMs });
    this.#queuedBytes += bytes.length;
    this.pump();
  }

  #send(sink: Socket, bytesPerSecond: number | null): void {
    while (!this.#isWaitingForDrain) {
      const piece = this.#queue[0];
      if (piece === undefined) break;
      const nowMs = performance.now();
      const atMs = bytesPerSecond === null ? piece.dueMs : Math.max(piece.dueMs, this.#freeAtMs);
      if (atMs > nowMs) {
        this.#timer = setTimeout(() => this.pump(), atMs - nowMs);
        return;
      }
      const bytes = this.#cutOff(piece, bytesPerSecond);
      if (bytesPerSecond !== null)
        this.#freeAtMs = Math.max(nowMs, this.#freeAtMs) + (bytes.length / bytesPerSecond) * 1_000;
      this.#queuedBytes -= bytes.length;
      this.#isWaitingForDrain = !sink.write(bytes);
    }
    if (this.#hasEnded && this.#queue.length === 0 && !this.#hasSentEnd) {
      this.#hasSentEnd = true;
      sink.end();
    }
  }

  #cutOff(piece: Piece, bytesPerSecond: number | null): Buffer {
    const length = Math.max(1, Math.floor(((bytesPerSecond ?? 0) * PIECE_MS) / 1_000));
    if (bytesPerSecond === null || piece.bytes.length <= length) {
      this.#queue.shift();
      return piece.bytes;
    }
    this.#queue[0] = { bytes: piece.bytes.subarray(length), dueMs: piece.dueMs };
    return piece.bytes.subarray(0, length);
  }
}
