import { type ByteWriter, EncodeError } from '@quorate/kv';
import { type Socket, connect, createServer } from 'node:net';
import { afterEach, expect, it, vi } from 'vitest';
import { Channel } from './channel.js';
import { FRAME, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameReader } from './frames.js';
import { DEFAULT_TIMING } from './timing.js';

const cleanups: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

interface Received {
  readonly type: number;
  readonly id: number;
  readonly payload: Uint8Array;
}

/** A channel, and the frames that come out at the other end of its socket. */
async function setup(
  unsentBytesMax?: number,
): Promise<{ channel: Channel; received: Received[]; peer: Socket; reasons: string[] }> {
  const peers: Socket[] = [];
  const server = createServer((socket) => peers.push(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const socket = connect(address.port, '127.0.0.1');
  await vi.waitFor(() => expect(peers).toHaveLength(1), { interval: 1 });
  const [peer] = peers;
  if (peer === undefined) throw new Error('there is one');
  const received: Received[] = [];
  const reader = new FrameReader(FRAME_BYTES_MAX);
  peer.on('data', (chunk) =>
    reader.push(chunk, ({ type, id, payload }) => {
      received.push({ type, id, payload: new Uint8Array(payload) });
      return true;
    }),
  );
  const reasons: string[] = [];
  const channel = new Channel(socket, {
    timing: DEFAULT_TIMING,
    ...(unsentBytesMax === undefined ? {} : { unsentBytesMax }),
    onFrame: () => undefined,
    onClose: (reason) => reasons.push(reason),
  });
  cleanups.push(() => {
    channel.close('the test is over');
    peer.destroy();
    server.close();
  });
  return { channel, received, peer, reasons };
}

async function arrived(received: readonly Received[], count: number): Promise<void> {
  await vi.waitFor(() => expect(received.length).toBe(count), { timeout: 5_000, interval: 1 });
}

function bytes(length: number): Uint8Array {
  return new Uint8Array(length).map((_, index) => (index * 31) % 251);
}

it('sends large frames among small ones, whole and in order', async () => {
  const { channel, received } = await setup();
  const lengths = [0, 1, 300_000, 5, 40_000, 0, 1_500_000, 32 * 1024 - FRAME_HEADER_BYTES, 7];
  for (const [id, length] of lengths.entries())
    expect(channel.send(FRAME.response, id, bytes(length))).toBe('queued');
  await arrived(received, lengths.length);
  expect(received.map(({ type, id }) => [type, id])).toEqual(lengths.map((_, id) => [FRAME.response, id]));
  for (const [id, length] of lengths.entries())
    expect(Buffer.compare(received[id]?.payload ?? bytes(0), bytes(length))).toBe(0);
});

it('sends a frame of just the largest size, and nothing of one that is larger', async () => {
  const { channel, received } = await setup();
  const payloadBytesMax = FRAME_BYTES_MAX - FRAME_HEADER_BYTES;
  // The first is taken back from an empty queue, the second from behind another frame.
  expect(channel.send(FRAME.response, 1, bytes(payloadBytesMax + 1))).toBe('tooLarge');
  expect(channel.unsentBytes).toBe(0);
  expect(channel.send(FRAME.response, 2, bytes(3))).toBe('queued');
  expect(channel.send(FRAME.response, 3, bytes(payloadBytesMax + 1))).toBe('tooLarge');
  expect(channel.unsentBytes).toBe(FRAME_HEADER_BYTES + 3);
  expect(channel.send(FRAME.response, 4, bytes(payloadBytesMax))).toBe('queued');
  await arrived(received, 2);
  expect(received.map(({ id, payload }) => [id, payload.length])).toEqual([
    [2, 3],
    [4, payloadBytesMax],
  ]);
});

it('a payload that cannot be encoded leaves the frames before and behind it as they are', async () => {
  const { channel, received } = await setup();
  const writeText = (writer: ByteWriter, text: string): void => {
    writer.string('half of it');
    writer.string(text);
  };
  for (const [id, text] of ['a', '\ud800', 'b', '\ud800', '\ud800', 'c'].entries()) {
    const send = (): unknown => channel.encode(FRAME.request, id, text, writeText);
    if (text === '\ud800') expect(send).toThrow(EncodeError);
    else expect(send()).toBe('queued');
  }
  await arrived(received, 3);
  expect(received.map(({ id, payload }) => [id, payload.at(-1)])).toEqual(
    ['a', 'b', 'c'].map((text, index) => [[0, 2, 5][index], text.charCodeAt(0)]),
  );
});

it('takes no more than the bound of unsent bytes, to the byte, and goes on once they are sent', async () => {
  const { channel, received } = await setup(10_000);
  const send = (payloadBytes: number): string =>
    channel.send(FRAME.push, 0, new Uint8Array(payloadBytes - FRAME_HEADER_BYTES));
  const results = Array.from({ length: 12 }, () => send(950));
  expect(results).toEqual([...results.slice(0, 10).fill('queued'), 'noRoom', 'noRoom']);
  expect([send(501), send(500), send(9)]).toEqual(['noRoom', 'queued', 'noRoom']);
  expect(channel.unsentBytes).toBe(10_000);
  await arrived(received, 11);
  expect(send(10_000)).toBe('queued');
  expect(send(10_001)).toBe('noRoom');
  await arrived(received, 12);
  expect(received.map(({ payload }) => payload.length + FRAME_HEADER_BYTES)).toEqual([
    ...Array.from({ length: 10 }, () => 950),
    500,
    10_000,
  ]);
});

it('counts what the socket holds for a peer that does not read', async () => {
  const { channel, received, peer } = await setup();
  peer.pause();
  const payload = bytes(1024 * 1024);
  let queued = 0;
  while (queued < 1_000 && channel.send(FRAME.push, queued, payload) === 'queued') {
    queued += 1;
    await new Promise((resolve) => setImmediate(resolve));
  }
  // 16 MiB, and whatever the system takes for both ends.
  expect(queued).toBeGreaterThanOrEqual(15);
  expect(queued).toBeLessThan(1_000);
  expect(channel.unsentBytes).toBeLessThanOrEqual(16 * 1024 * 1024);
  expect(channel.unsentBytes).toBeGreaterThan(14 * 1024 * 1024);
  peer.resume();
  await arrived(received, queued);
  expect(received.map(({ id }) => id)).toEqual(Array.from({ length: queued }, (_, id) => id));
});

it('sends what is queued and one last frame before it closes, and nothing afterwards', async () => {
  const { channel, received, peer, reasons } = await setup();
  const ended = new Promise((resolve) => peer.once('end', resolve));
  channel.send(FRAME.response, 1, bytes(10));
  channel.finish(FRAME.refused, bytes(20), 'enough');
  expect(channel.send(FRAME.response, 2, bytes(10))).toBe('closed');
  await ended;
  expect(received.map(({ type, payload }) => [type, payload.length])).toEqual([
    [FRAME.response, 10],
    [FRAME.refused, 20],
  ]);
  expect(reasons).toEqual(['enough']);
});
