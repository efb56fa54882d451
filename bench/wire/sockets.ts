import { connect, type Socket } from 'node:net';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `timeoutMs`: how long connecting may take; 0: as long as the operating system lets it. */
export function openSocket({ host, port }: Address, timeoutMs = 0): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    socket.once('error', reject);
    const giveUp = (): void => void socket.destroy(new Error(`no connection within ${timeoutMs} ms`));
    if (timeoutMs > 0) socket.setTimeout(timeoutMs, giveUp);
    socket.once('connect', () => {
      socket.off('error', reject);
      socket.off('timeout', giveUp);
      resolve(socket);
    });
  });
}

/**
 * Cuts a byte stream into frames. `frameBytes(buffer, offset)` says how long the frame at `offset` is as a whole; 0 when too little
 * of it has come to know.
 */
export function framer(
  frameBytes: (buffer: Buffer, offset: number) => number,
  onFrame: (frame: Buffer) => void,
): (chunk: Buffer) => void {
  let rest: Buffer | null = null;
  return (chunk) => {
    const buffer: Buffer = rest === null ? chunk : Buffer.concat([rest, chunk]);
    let offset = 0;
    while (offset < buffer.length) {
      const length = frameBytes(buffer, offset);
      if (length === 0 || offset + length > buffer.length) break;
      onFrame(buffer.subarray(offset, offset + length));
      offset += length;
    }
    rest = offset < buffer.length ? buffer.subarray(offset) : null;
  };
}

/** Sends what is written within one turn of the event loop in one system call: a load generator must cost little. */
export function coalesced(socket: Socket): (bytes: Buffer) => void {
  let queue: Buffer[] = [];
  const flush = (): void => {
    const [first, ...others] = queue;
    queue = [];
    if (first === undefined || socket.destroyed) return;
    socket.write(others.length === 0 ? first : Buffer.concat([first, ...others]));
  };
  return (bytes) => {
    if (queue.length === 0) setImmediate(flush);
    queue.push(bytes);
  };
}

/** What a request waits for. */
export interface Waiting<Answer> {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

export function connectionLost(): Error {
  return new Error('connection lost');
}
