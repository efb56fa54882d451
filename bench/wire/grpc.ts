import type { Socket } from 'node:net';
import {
  ACKNOWLEDGED,
  DATA,
  DEFAULT_WINDOW_BYTES,
  END_HEADERS,
  END_STREAM,
  GO_AWAY,
  HEADERS,
  INITIAL_WINDOW_SETTING,
  PING,
  RESET,
  SETTINGS,
  WINDOW_BYTES_MAX,
  WINDOW_UPDATE,
  frame,
  frameHead,
  settings,
  windowUpdate,
} from './http2.js';
import { type Address, type Waiting, coalesced, connectionLost, framer, openSocket } from './sockets.js';

/** What a peer must take in one frame. */
const FRAME_PAYLOAD_BYTES = 16_384;
const CREDIT_EVERY_BYTES = 1 << 24;
const NOTHING_UNSENT = { unsent: null, isWhole: true };

interface Call {
  readonly waiting: Waiting<Buffer> | null;
  readonly onMessage: ((message: Buffer) => void) | null;
  /** What may still be sent on this stream before the server asks for more. */
  windowBytes: number;
  /** What the windows did not allow yet, and whether the stream ends behind it. */
  unsent: Buffer | null;
  received: Buffer | null;
}

/**
 * gRPC over one HTTP/2 connection, written so that the client takes as little of the machine as possible: no header is ever
 * decoded, so an error has no text.
 */
export class GrpcConnection {
  readonly #socket: Socket;
  readonly #send: (bytes: Buffer) => void;
  readonly #authority: string;
  readonly #headerBlocks = new Map<string, Buffer>();
  readonly #calls = new Map<number, Call>();
  /** Streams with something unsent, oldest first. */
  readonly #blocked = new Set<number>();
  #nextStream = 1;
  #windowBytes = DEFAULT_WINDOW_BYTES;
  #streamWindowBytes = DEFAULT_WINDOW_BYTES;
  #uncreditedBytes = 0;
  #closed = false;

  private constructor(socket: Socket, { host, port }: Address) {
    this.#socket = socket;
    this.#authority = `${host}:${port}`;
    this.#send = coalesced(socket);
    socket.on(
      'data',
      framer(
        (buffer, offset) => (buffer.length - offset < 9 ? 0 : 9 + buffer.readUIntBE(offset, 3)),
        (bytes) => this.#onFrame(bytes),
      ),
    );
    const fail = (): void => this.#fail();
    socket.on('close', fail);
    socket.on('error', fail);
    this.#send(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'));
    // No table of headers and no server push; windows so large that the server never waits for this end.
    this.#send(settings([1, 0], [2, 0], [INITIAL_WINDOW_SETTING, WINDOW_BYTES_MAX]));
    this.#send(windowUpdate(WINDOW_BYTES_MAX - DEFAULT_WINDOW_BYTES));
  }

  static async open(address: Address): Promise<GrpcConnection> {
    return new GrpcConnection(await openSocket(address), address);
  }

  /** A unary call; resolves with the answer's message. */
  call(path: string, message: Buffer): Promise<Buffer> {
    if (this.#closed) return Promise.reject(connectionLost());
    return new Promise((resolve, reject) => {
      this.#start(path, message, { resolve, reject }, null);
    });
  }

  /** A call whose stream stays open on this end; `onMessage` gets each message of the server until the connection ends. */
  stream(path: string, message: Buffer, onMessage: (message: Buffer) => void): void {
    this.#start(path, message, null, onMessage);
  }

  close(): void {
    this.#socket.destroy();
  }

  #start(path: string, message: Buffer, waiting: Waiting<Buffer> | null, onMessage: Call['onMessage']): void {
    const id = this.#nextStream;
    this.#nextStream += 2;
    const call: Call = {
      waiting,
      onMessage,
      windowBytes: this.#streamWindowBytes,
      unsent: null,
      received: null,
    };
    this.#calls.set(id, call);
    const block = this.#headerBlock(path);
    const length = message.length + 5;
    const isWhole =
      length <= FRAME_PAYLOAD_BYTES && length <= call.windowBytes && length <= this.#windowBytes;
    const head = 9 + block.length;
    const bytes = Buffer.allocUnsafe(head + (isWhole ? 9 + length : 0));
    frameHead(bytes, 0, block.length, HEADERS, END_HEADERS, id);
    block.copy(bytes, 9);
    if (isWhole) {
      // One buffer for the whole request: the ordinary case, and the one that is measured.
      frameHead(bytes, head, length, DATA, onMessage === null ? END_STREAM : 0, id);
      grpcHead(bytes, head + 9, message.length);
      message.copy(bytes, head + 14);
      call.windowBytes -= length;
      this.#windowBytes -= length;
      this.#send(bytes);
      return;
    }
    this.#send(bytes);
    const unsent = Buffer.allocUnsafe(length);
    grpcHead(unsent, 0, message.length);
    message.copy(unsent, 5);
    call.unsent = unsent;
    this.#blocked.add(id);
    this.#sendBlocked();
  }

  #sendBlocked(): void {
    for (const id of this.#blocked) {
      const call = this.#calls.get(id);
      const { unsent, isWhole } = call === undefined ? NOTHING_UNSENT : this.#sendSome(id, call);
      if (call !== undefined) call.unsent = unsent;
      if (isWhole) this.#blocked.delete(id);
      if (this.#windowBytes <= 0) return;
    }
  }

  /** Sends as much as the windows allow; returns what is left. */
  #sendSome(id: number, call: Call): { unsent: Buffer | null; isWhole: boolean } {
    let { unsent } = call;
    while (unsent !== null) {
      const length = Math.min(unsent.length, call.windowBytes, this.#windowBytes, FRAME_PAYLOAD_BYTES);
      if (length <= 0) return { unsent, isWhole: false };
      const isLast = length === unsent.length;
      const flags = isLast && call.onMessage === null ? END_STREAM : 0;
      this.#send(frame(DATA, flags, id, unsent.subarray(0, length)));
      call.windowBytes -= length;
      this.#windowBytes -= length;
      unsent = isLast ? null : unsent.subarray(length);
    }
    return NOTHING_UNSENT;
  }

  #onFrame(bytes: Buffer): void {
    const [type, flags] = [bytes[3] ?? 0, bytes[4] ?? 0];
    const id = bytes.readUInt32BE(5) & 0x7fff_ffff;
    const payload = bytes.subarray(9);
    const call = this.#calls.get(id);
    if (type === DATA) {
      this.#credit(payload.length);
      if (call !== undefined) this.#onData(call, payload);
      if ((flags & END_STREAM) !== 0) this.#finish(id, call);
    } else if (type === HEADERS) {
      if ((flags & END_STREAM) !== 0) this.#finish(id, call);
    } else if (type === RESET) this.#finish(id, call);
    else if (type === GO_AWAY) this.#fail();
    else if (type === WINDOW_UPDATE) {
      const added = payload.readUInt32BE(0);
      if (id === 0) this.#windowBytes += added;
      else if (call !== undefined) call.windowBytes += added;
      this.#sendBlocked();
    } else if ((flags & ACKNOWLEDGED) === 0 && (type === SETTINGS || type === PING)) {
      if (type === SETTINGS) this.#onSettings(payload);
      this.#send(frame(type, ACKNOWLEDGED, 0, type === PING ? payload : Buffer.alloc(0)));
    }
  }

  #onSettings(payload: Buffer): void {
    for (let offset = 0; offset + 6 <= payload.length; offset += 6) {
      if (payload.readUInt16BE(offset) !== INITIAL_WINDOW_SETTING) continue;
      const windowBytes = payload.readUInt32BE(offset + 2);
      for (const call of this.#calls.values()) call.windowBytes += windowBytes - this.#streamWindowBytes;
      this.#streamWindowBytes = windowBytes;
    }
    this.#sendBlocked();
  }

  #onData(call: Call, payload: Buffer): void {
    call.received = call.received === null ? payload : Buffer.concat([call.received, payload]);
    if (call.onMessage === null) return;
    while (call.received !== null && call.received.length >= 5) {
      const end: number = 5 + call.received.readUInt32BE(1);
      if (call.received.length < end) return;
      const message: Buffer = call.received.subarray(5, end);
      call.received = call.received.length === end ? null : call.received.subarray(end);
      call.onMessage(message);
    }
  }

  #finish(id: number, call: Call | undefined): void {
    this.#calls.delete(id);
    this.#blocked.delete(id);
    if (call === undefined) return;
    if (call.received === null) call.waiting?.reject(new Error('gRPC error status'));
    else call.waiting?.resolve(call.received.subarray(5));
  }

  #credit(bytes: number): void {
    this.#uncreditedBytes += bytes;
    if (this.#uncreditedBytes < CREDIT_EVERY_BYTES) return;
    this.#send(windowUpdate(this.#uncreditedBytes));
    this.#uncreditedBytes = 0;
  }

  #fail(): void {
    this.#closed = true;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) call.waiting?.reject(connectionLost());
  }

  #headerBlock(path: string): Buffer {
    const known = this.#headerBlocks.get(path);
    if (known !== undefined) return known;
    const text = (value: string): Buffer =>
      Buffer.concat([Buffer.from([value.length]), Buffer.from(value, 'latin1')]);
    // HPACK by hand: POST, http, :path, :authority, content-type, te: trailers; nothing goes into a table.
    const block = Buffer.concat([
      Buffer.from([0x83, 0x86, 0x04]),
      text(path),
      Buffer.from([0x01]),
      text(this.#authority),
      Buffer.from([0x0f, 0x10]),
      text('application/grpc'),
      Buffer.from([0x00]),
      text('te'),
      text('trailers'),
    ]);
    this.#headerBlocks.set(path, block);
    return block;
  }
}

/** Not compressed, and how long the message is. */
function grpcHead(into: Buffer, at: number, length: number): void {
  into[at] = 0;
  into.writeUInt32BE(length, at + 1);
}
