import type { Socket } from 'node:net';
import { type Address, type Waiting, coalesced, connectionLost, framer, openSocket } from './sockets.js';

/** Redis' protocol as far as SET and GET need it; requests are pipelined on one connection. */
export class RedisConnection {
  readonly #socket: Socket;
  readonly #send: (bytes: Buffer) => void;
  #waiting: Waiting<Buffer>[] = [];
  #answered = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#send = coalesced(socket);
    socket.on(
      'data',
      framer(replyBytes, (reply) => this.#onReply(reply)),
    );
    const fail = (): void => {
      for (const call of this.#waiting.slice(this.#answered)) call.reject(connectionLost());
      this.#waiting = [];
      this.#answered = 0;
    };
    socket.on('close', fail);
    socket.on('error', fail);
  }

  static async open(address: Address): Promise<RedisConnection> {
    return new RedisConnection(await openSocket(address));
  }

  /** The reply's content; a reply of nil is an error. */
  command(...parts: readonly (string | Uint8Array)[]): Promise<Buffer> {
    const bytes = parts.flatMap((part) => {
      const content = Buffer.from(part);
      return [Buffer.from(`$${content.length}\r\n`), content, Buffer.from('\r\n')];
    });
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#send(Buffer.concat([Buffer.from(`*${parts.length}\r\n`), ...bytes]));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #onReply(reply: Buffer): void {
    const call = this.#waiting[this.#answered];
    this.#answered += 1;
    // In steps, since taking the first of a long array away costs its whole length.
    if (this.#answered > 1_024) {
      this.#waiting = this.#waiting.slice(this.#answered);
      this.#answered = 0;
    }
    const lineEnd = reply.indexOf('\r\n');
    const kind = reply.toString('latin1', 0, 1);
    if (kind === '-' || reply.toString('latin1', 0, 3) === '$-1')
      call?.reject(new Error(reply.toString('latin1', 0, lineEnd)));
    else call?.resolve(kind === '$' ? reply.subarray(lineEnd + 2, -2) : reply.subarray(1, lineEnd));
  }
}

function replyBytes(buffer: Buffer, offset: number): number {
  const lineEnd = buffer.indexOf('\r\n', offset);
  if (lineEnd < 0) return 0;
  const line = lineEnd + 2 - offset;
  if (buffer[offset] !== 0x24) return line;
  const length = Number(buffer.toString('latin1', offset + 1, lineEnd));
  return length < 0 ? line : line + length + 2;
}
