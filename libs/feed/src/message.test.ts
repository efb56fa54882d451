import { revision } from '@quorate/kv';
import type { Change, ChangeBatch } from '@quorate/kv';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeFeedMessage, encodeFeedMessage, FEED_MESSAGE_BYTES_MAX } from './message.js';

const KEY = new Uint8Array(32).fill(7);
const CLUSTER = '00112233aabbccdd';

function put(at: number, key: string, value: Uint8Array): Change {
  const entry = {
    namespace: 'pages',
    key,
    value,
    revision: revision(at),
    version: 1,
    createRevision: revision(at),
  };
  return { type: 'put', entry };
}

function batchOf(changes: readonly Change[], previous: number, last: number): ChangeBatch {
  return { epoch: 1, previous: revision(previous), revision: revision(last), changes };
}

const SMALL = batchOf(
  [
    put(5, 'home', new TextEncoder().encode('{"title":"Grüezi"}')),
    { type: 'delete', namespace: 'pages', key: 'old', revision: revision(6) },
    {
      type: 'namespace',
      record: {
        name: 'limits',
        kind: 'strict',
        deleted: true,
        revision: revision(7),
        createRevision: revision(2),
        readers: ['ada'],
      },
    },
  ],
  4,
  7,
);

test('[F1] a batch comes back as it was', () => {
  const bytes = encodeFeedMessage(KEY, { clusterId: CLUSTER, batch: SMALL });
  expect(decodeFeedMessage(KEY, CLUSTER, bytes)).toEqual({ type: 'batch', batch: SMALL });
});

test('[F1] an oversize message comes back as it was', () => {
  const link = { epoch: 2, previous: revision(4), revision: revision(2 ** 40) };
  const bytes = encodeFeedMessage(KEY, { clusterId: CLUSTER, ...link });
  expect(decodeFeedMessage(KEY, CLUSTER, bytes)).toEqual({ type: 'oversize', ...link });
});

test('[F2] a forged message is refused: another key', () => {
  const bytes = encodeFeedMessage(new Uint8Array(32).fill(8), { clusterId: CLUSTER, batch: SMALL });
  expect(decodeFeedMessage(KEY, CLUSTER, bytes)).toEqual({ type: 'refused', reason: 'mac' });
});

test('[F2] every truncation and every prolongation is refused', () => {
  const bytes = encodeFeedMessage(KEY, { clusterId: CLUSTER, batch: SMALL });
  for (let length = 0; length < bytes.length; length += 1)
    expect(decodeFeedMessage(KEY, CLUSTER, bytes.subarray(0, length)).type).toBe('refused');
  expect(decodeFeedMessage(KEY, CLUSTER, new Uint8Array([...bytes, 0])).type).toBe('refused');
});

test('[F2] every single flipped bit is refused', () => {
  const bytes = encodeFeedMessage(KEY, { clusterId: CLUSTER, batch: SMALL });
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const flipped = new Uint8Array(bytes);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(decodeFeedMessage(KEY, CLUSTER, flipped).type).toBe('refused');
  }
});

test('[F2] arbitrary bytes are refused and never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(decodeFeedMessage(KEY, CLUSTER, bytes).type).toBe('refused');
    }),
  );
});

test('[F3] a message of another cluster is refused, even with the same key', () => {
  const bytes = encodeFeedMessage(KEY, { clusterId: 'ffffffffffffffff', batch: SMALL });
  expect(decodeFeedMessage(KEY, CLUSTER, bytes)).toEqual({ type: 'refused', reason: 'cluster' });
});

test('[F4] no message is above 512 KiB: a larger batch is announced as oversize', () => {
  const half = new Uint8Array(FEED_MESSAGE_BYTES_MAX / 2);
  const large = batchOf([put(5, 'a', half), put(6, 'b', half)], 4, 6);
  const bytes = encodeFeedMessage(KEY, { clusterId: CLUSTER, batch: large });
  expect(decodeFeedMessage(KEY, CLUSTER, bytes)).toEqual({
    type: 'oversize',
    epoch: 1,
    previous: 4,
    revision: 6,
  });
});

test('[F4] the limit is on the message, not on the values', () => {
  const many = Array.from({ length: 14_000 }, (_, at) => put(at + 1, `key-${at}`, new Uint8Array(0)));
  const bytes = encodeFeedMessage(KEY, { clusterId: CLUSTER, batch: batchOf(many, 0, 14_000) });
  expect(bytes.length).toBeLessThan(200);
  const nearly = batchOf([put(1, 'a', new Uint8Array(FEED_MESSAGE_BYTES_MAX - 500))], 0, 1);
  const whole = encodeFeedMessage(KEY, { clusterId: CLUSTER, batch: nearly });
  expect(whole.length).toBeLessThanOrEqual(FEED_MESSAGE_BYTES_MAX);
  expect(decodeFeedMessage(KEY, CLUSTER, whole).type).toBe('batch');
});
