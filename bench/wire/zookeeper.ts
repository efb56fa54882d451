import type { Socket } from 'node:net';
import { type Address, type Waiting, coalesced, framer, openSocket } from './sockets.js';

const [CREATE, GET_DATA, SET_DATA, SYNC, PING] = [1, 4, 5, 9, 11];
const PING_XID = -2;
const WATCH_XID = -1;
const ANY_VERSION = Buffer.from([255, 255, 255, 255]);
const PING_INTERVAL_MS = 3_000;
const SESSION_TIMEOUT_MS = 30_000;
const ERRORS: Readonly<Record<number, string>> = {
  [-4]: 'CONNECTIONLOSS',
  [-101]: 'NONODE',
  [-110]: 'NODEEXISTS',
  [-112]: 'SESSIONEXPIRED',
};

function text(value: string): Buffer {
  return data(Buffer.from(value, 'latin1'));
}

function data(value: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(4 + value.length);
  bytes.writeInt32BE(value.length, 0);
  bytes.set(value, 4);
  return bytes;
}

const OPEN_TO_ALL = Buffer.concat([
  Buffer.from([0, 0, 0, 1, 0, 0, 0, 31]),
  text('world'),
  text('anyone'),
  Buffer.alloc(4),
]);

/** One session on one server of ZooKeeper, which answers a session's requests in their order. */
export class ZooKeeperSession {
  /** Gets the path of each watch that fires. */
  onWatch: (path: string) => void = () => undefined;
  readonly #socket: Socket;
  readonly #send: (bytes: Buffer) => void;
  readonly #calls = new Map<number, Waiting<Buffer>>();
  readonly #pinger: NodeJS.Timeout;
  #xid = 0;
  #lost = false;

  private constructor(socket: Socket, onGreeting: Waiting<void>) {
    this.#socket = socket;
    this.#send = coalesced(socket);
    let isGreeted = false;
    socket.on(
      'data',
      framer(
        (buffer, offset) => (buffer.length - offset < 4 ? 0 : 4 + buffer.readInt32BE(offset)),
        (frame) => {
          if (isGreeted) this.#onReply(frame.subarray(4));
          else onGreeting.resolve();
          isGreeted = true;
        },
      ),
    );
    const fail = (): void => {
      this.#lost = true;
      clearInterval(this.#pinger);
      onGreeting.reject(new Error('CONNECTIONLOSS'));
      for (const call of this.#calls.values()) call.reject(new Error('CONNECTIONLOSS'));
      this.#calls.clear();
    };
    socket.on('close', fail);
    socket.on('error', fail);
    this.#pinger = setInterval(() => this.#write(PING_XID, PING, []), PING_INTERVAL_MS);
    this.#pinger.unref();
    // Protocol version, last seen zxid, time-out, session id, password of 16 bytes, read-only.
    const hello = Buffer.alloc(4 + 4 + 8 + 4 + 8 + 4 + 16 + 1);
    hello.writeInt32BE(hello.length - 4, 0);
    hello.writeInt32BE(SESSION_TIMEOUT_MS, 16);
    hello.writeInt32BE(16, 28);
    socket.write(hello);
  }

  static async open(address: Address): Promise<ZooKeeperSession> {
    const socket = await openSocket(address);
    return new Promise((resolve, reject) => {
      const session: ZooKeeperSession = new ZooKeeperSession(socket, {
        resolve: () => resolve(session),
        reject,
      });
    });
  }

  create(path: string, value: Uint8Array): Promise<unknown> {
    return this.#call(CREATE, [text(path), data(value), OPEN_TO_ALL]);
  }

  set(path: string, value: Uint8Array): Promise<unknown> {
    return this.#call(SET_DATA, [text(path), data(value), ANY_VERSION]);
  }

  /** The node's data. `watch`: `onWatch` is called once when it changes. */
  async get(path: string, watch = false): Promise<Buffer> {
    const answer = await this.#call(GET_DATA, [text(path), Buffer.from([watch ? 1 : 0])]);
    return answer.subarray(4, 4 + answer.readInt32BE(0));
  }

  /** What this session asks for after it is at least as new as the leader was when it answered this. */
  sync(path: string): Promise<unknown> {
    return this.#call(SYNC, [text(path)]);
  }

  close(): void {
    clearInterval(this.#pinger);
    this.#socket.destroy();
  }

  #call(operation: number, parts: readonly Buffer[]): Promise<Buffer> {
    if (this.#lost) return Promise.reject(new Error('CONNECTIONLOSS'));
    return new Promise((resolve, reject) => {
      this.#xid += 1;
      this.#calls.set(this.#xid, { resolve, reject });
      this.#write(this.#xid, operation, parts);
    });
  }

  #write(xid: number, operation: number, parts: readonly Buffer[]): void {
    const length = parts.reduce((sum, part) => sum + part.length, 8);
    const bytes = Buffer.allocUnsafe(4 + length);
    bytes.writeInt32BE(length, 0);
    bytes.writeInt32BE(xid, 4);
    bytes.writeInt32BE(operation, 8);
    let offset = 12;
    for (const part of parts) offset += part.copy(bytes, offset);
    this.#send(bytes);
  }

  #onReply(reply: Buffer): void {
    const xid = reply.readInt32BE(0);
    if (xid === WATCH_XID) {
      const length = reply.readInt32BE(24);
      this.onWatch(reply.toString('latin1', 28, 28 + length));
      return;
    }
    const call = this.#calls.get(xid);
    this.#calls.delete(xid);
    const error = reply.readInt32BE(12);
    if (error === 0) call?.resolve(reply.subarray(16));
    else call?.reject(new Error(ERRORS[error] ?? `ZooKeeper error ${error}`));
  }
}
