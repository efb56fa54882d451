import type { Socket } from 'node:net';
import { type Address, type Waiting, connectionLost, framer, openSocket } from './sockets.js';

/** An answer that is not in the two hundreds. */
export class HttpError extends Error {
  override readonly name = 'HttpError';

  constructor(
    readonly status: number,
    readonly text: string,
  ) {
    super(`HTTP ${status} ${text.trim().slice(0, 200)}`);
  }
}

/** An answer of any status. */
export interface HttpAnswer {
  readonly status: number;
  /** Status line and headers, as they came. */
  readonly head: string;
  readonly text: string;
}

/** Nobody accepts connections: the request was never sent. */
export class NotConnected extends Error {
  override readonly name = 'NotConnected';
}

interface PooledSocket {
  readonly socket: Socket;
  waiting: Waiting<HttpAnswer> | null;
  head: string;
  bodyAt: number;
}

/** HTTP/1.1 over keep-alive sockets, one request at a time on each, as many sockets as there are requests under way. */
export class HttpPool {
  readonly #address: Address;
  /** Header lines of every request, each with its line end. */
  readonly #headers: string;
  readonly #sockets = new Set<PooledSocket>();
  readonly #timeoutMs: number;
  #idle: PooledSocket[] = [];

  /** `timeoutMs`: a connection that takes so long to open, or on which nothing happens for so long, is lost; 0: it waits for ever. */
  constructor(address: Address, headers = '', timeoutMs = 0) {
    this.#address = address;
    this.#timeoutMs = timeoutMs;
    this.#headers = `Host: ${address.host}:${address.port}\r\n${headers}`;
  }

  /** The body's text. Rejects with HttpError, or with the loss of the connection. */
  async request(method: string, path: string, body: string | null = null, headers = ''): Promise<string> {
    const { status, text } = await this.exchange(method, path, body, headers);
    if (status >= 200 && status < 300) return text;
    throw new HttpError(status, text);
  }

  /** An answer of whatever status. Rejects with NotConnected, or with the loss of the connection. */
  async exchange(method: string, path: string, body: string | null, headers: string): Promise<HttpAnswer> {
    const pooled = this.#idle.pop() ?? (await this.#open());
    return new Promise((resolve, reject) => {
      pooled.waiting = { resolve, reject };
      const start = `${method} ${path} HTTP/1.1\r\n${this.#headers}${headers}`;
      if (body === null) pooled.socket.write(`${start}\r\n`, 'latin1');
      else {
        const type = 'Content-Type: application/json\r\n';
        const length = Buffer.byteLength(body);
        pooled.socket.write(`${start}${type}Content-Length: ${length}\r\n\r\n${body}`, 'utf8');
      }
    });
  }

  close(): void {
    for (const { socket } of this.#sockets) socket.destroy();
    this.#sockets.clear();
    this.#idle = [];
  }

  async #open(): Promise<PooledSocket> {
    const pooled: PooledSocket = {
      socket: await openSocket(this.#address, this.#timeoutMs).catch((error: unknown) => {
        throw new NotConnected('not connected', { cause: error });
      }),
      waiting: null,
      head: '',
      bodyAt: 0,
    };
    this.#sockets.add(pooled);
    pooled.socket.on(
      'data',
      framer(
        (buffer, offset) => answerBytes(pooled, buffer, offset),
        (answer) => this.#onAnswer(pooled, answer),
      ),
    );
    const fail = (): void => {
      this.#sockets.delete(pooled);
      this.#idle = this.#idle.filter((other) => other !== pooled);
      pooled.waiting?.reject(connectionLost());
      pooled.waiting = null;
    };
    pooled.socket.on('close', fail);
    pooled.socket.on('error', fail);
    if (this.#timeoutMs > 0) pooled.socket.setTimeout(this.#timeoutMs, () => pooled.socket.destroy());
    return pooled;
  }

  #onAnswer(pooled: PooledSocket, answer: Buffer): void {
    const { waiting, head } = pooled;
    pooled.waiting = null;
    this.#idle.push(pooled);
    const status = Number(head.slice(9, 12));
    const raw = answer.toString('utf8', pooled.bodyAt);
    const text = /transfer-encoding: chunked/i.test(head) ? withoutChunkSizes(raw) : raw;
    waiting?.resolve({ status, head, text });
  }
}

/** The length of the answer at `offset`, 0 when it has not come whole; notes where its body begins. */
function answerBytes(pooled: PooledSocket, buffer: Buffer, offset: number): number {
  const headEnd = buffer.indexOf('\r\n\r\n', offset, 'latin1');
  if (headEnd < 0) return 0;
  pooled.head = buffer.toString('latin1', offset, headEnd);
  pooled.bodyAt = headEnd + 4 - offset;
  const length = /content-length: (\d+)/i.exec(pooled.head)?.[1];
  if (length !== undefined) return pooled.bodyAt + Number(length);
  if (!/transfer-encoding: chunked/i.test(pooled.head)) return pooled.bodyAt;
  const lastChunk = buffer.indexOf('\r\n0\r\n', headEnd + 2, 'latin1');
  // Trailers may follow the last chunk.
  const end = lastChunk < 0 ? -1 : buffer.indexOf('\r\n\r\n', lastChunk + 3, 'latin1');
  return end < 0 ? 0 : end + 4 - offset;
}

/** Only for answers whose lines are the chunks themselves, which JSON gateways write. */
function withoutChunkSizes(raw: string): string {
  return raw
    .split('\r\n')
    .filter((_, line) => line % 2 === 1)
    .join('');
}

/** A header of an answer's head; null: it has none of this name. `name`: in lower case. */
export function headerOf(head: string, name: string): string | null {
  for (const line of head.split('\r\n')) {
    const colon = line.indexOf(':');
    if (line.slice(0, colon).toLowerCase() === name) return line.slice(colon + 1).trim();
  }
  return null;
}
