import { ByteWriter, DecodeError } from '@quorate/kv';
import { type Message, logIndex, memberId, term } from '@quorate/raft';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FRAME_BYTES_MAX } from './frames.js';
import { decodeMessage, encodeMessage } from './raft-codec.js';

const envelope = { from: memberId(1), to: memberId(65_535), term: term(2 ** 40) };
const at = { lastIndex: logIndex(9), lastTerm: term(3) };
const point = { snapshotIndex: logIndex(2 ** 45), snapshotTerm: term(7) };
const messages: Record<Message['type'], Message[]> = {
  preVoteRequest: [{ type: 'preVoteRequest', ...envelope, ...at }],
  preVoteResponse: [{ type: 'preVoteResponse', ...envelope, granted: true }],
  voteRequest: [
    { type: 'voteRequest', ...envelope, ...at, transfer: false },
    { type: 'voteRequest', ...envelope, ...at, transfer: true },
  ],
  voteResponse: [{ type: 'voteResponse', ...envelope, ...at, granted: false }],
  appendRequest: [
    {
      type: 'appendRequest',
      ...envelope,
      previousIndex: logIndex(7),
      previousTerm: term(2),
      commit: logIndex(6),
      entries: [
        { index: logIndex(8), term: term(3), kind: 'noop', payload: new Uint8Array(0) },
        { index: logIndex(9), term: term(3), kind: 'command', payload: new Uint8Array([1, 2, 3]) },
      ],
    },
    {
      type: 'appendRequest',
      ...envelope,
      previousIndex: logIndex(0),
      previousTerm: term(0),
      commit: logIndex(0),
      entries: [],
    },
  ],
  appendResponse: [
    {
      type: 'appendResponse',
      ...envelope,
      accepted: false,
      matchIndex: logIndex(1),
      rejectedIndex: logIndex(2),
      hintIndex: logIndex(3),
      hintTerm: term(4),
      recovery: 5,
    },
  ],
  heartbeatRequest: [
    {
      type: 'heartbeatRequest',
      ...envelope,
      commit: logIndex(5),
      leaderCommit: logIndex(9),
      readRound: 77,
      recovery: Number.MAX_SAFE_INTEGER,
      recoveryIndex: logIndex(8),
    },
  ],
  heartbeatResponse: [{ type: 'heartbeatResponse', ...envelope, readRound: 77, recovery: 6 }],
  snapshotOffer: [{ type: 'snapshotOffer', ...envelope, ...point }],
  snapshotChunkRequest: [
    { type: 'snapshotChunkRequest', ...envelope, ...point, chunk: 0 },
    { type: 'snapshotChunkRequest', ...envelope, ...point, chunk: 2 ** 32 - 1 },
  ],
  snapshotChunk: [
    {
      type: 'snapshotChunk',
      ...envelope,
      ...point,
      chunk: 3,
      chunkCount: 4,
      digest: 2 ** 32 - 1,
      data: new Uint8Array([9, 0, 255]),
    },
    {
      type: 'snapshotChunk',
      ...envelope,
      ...point,
      chunk: 0,
      chunkCount: 1,
      digest: 0,
      data: new Uint8Array(0),
    },
  ],
  timeoutNow: [{ type: 'timeoutNow', ...envelope }],
  readIndexRequest: [{ type: 'readIndexRequest', ...envelope, readId: Number.MAX_SAFE_INTEGER }],
  readIndexResponse: [{ type: 'readIndexResponse', ...envelope, readId: 1, index: logIndex(2 ** 50) }],
  stateHashReport: [
    {
      type: 'stateHashReport',
      ...envelope,
      index: logIndex(2_048),
      revision: 2 ** 50,
      stateHash: '00ff0123456789abcdef0000000000a0',
    },
  ],
};
const every = Object.values(messages).flat();

describe('raft codec', () => {
  it.each(every)('round trip of $type', (message) => {
    expect(decodeMessage(encodeMessage(message))).toEqual(message);
  });

  it('refuses every truncation and any trailing byte', () => {
    for (const message of every) {
      const bytes = encodeMessage(message);
      for (let length = 0; length < bytes.length; length += 1) {
        expect(() => decodeMessage(bytes.subarray(0, length))).toThrow(DecodeError);
      }
      expect(() => decodeMessage(new Uint8Array([...bytes, 0]))).toThrow(DecodeError);
    }
  });

  it('refuses entries with a hole, which would be an assertion in the log', () => {
    const [request] = messages.appendRequest;
    if (request?.type !== 'appendRequest') throw new Error('the first sample is an append request');
    const [first, second] = request.entries;
    if (first === undefined || second === undefined) throw new Error('it has two entries');
    const holed = { ...request, entries: [first, { ...second, index: logIndex(10) }] };
    expect(() => decodeMessage(encodeMessage(holed))).toThrow(DecodeError);
  });

  it('refuses a chunk behind the last, and a point that is no entry', () => {
    const [chunk] = messages.snapshotChunk;
    if (chunk?.type !== 'snapshotChunk') throw new Error('the first sample is a chunk');
    for (const broken of [
      { ...chunk, chunk: 4 },
      { ...chunk, chunk: 0, chunkCount: 0 },
      { ...chunk, snapshotIndex: logIndex(0) },
      { ...chunk, snapshotTerm: term(0) },
    ])
      expect(() => decodeMessage(encodeMessage(broken))).toThrow(DecodeError);
    const offer = { ...envelope, ...point, type: 'snapshotOffer' as const, snapshotTerm: term(0) };
    expect(() => decodeMessage(encodeMessage(offer))).toThrow(DecodeError);
  });

  it('keeps a chunk when the bytes that it came in are used again', () => {
    const [chunk] = messages.snapshotChunk;
    if (chunk === undefined) throw new Error('there is a chunk');
    const received = encodeMessage(chunk);
    const decoded = decodeMessage(received);
    received.fill(0);
    expect(decoded).toEqual(chunk);
  });

  it('carries a chunk of 256 KiB in one frame', () => {
    const [chunk] = messages.snapshotChunk;
    if (chunk?.type !== 'snapshotChunk') throw new Error('the first sample is a chunk');
    const large = { ...chunk, data: new Uint8Array(256 * 1024).fill(7) };
    const bytes = encodeMessage(large);
    expect(bytes.length).toBeLessThan(FRAME_BYTES_MAX);
    const decoded = decodeMessage(bytes);
    // Compared as buffers: an assertion on each of so many bytes would take seconds.
    expect(decoded.type === 'snapshotChunk' && Buffer.compare(decoded.data, large.data)).toBe(0);
  });

  it('refuses member id 0', () => {
    const writer = new ByteWriter();
    writer.u8(2);
    writer.u16(0);
    writer.u16(1);
    writer.u53(1);
    writer.boolean(true);
    expect(() => decodeMessage(writer.finish())).toThrow(DecodeError);
  });

  it('decodes arbitrary and mutated bytes to a message or a DecodeError, nothing else', () => {
    const mutated = fc
      .tuple(fc.constantFrom(...every.map(encodeMessage)), fc.nat(), fc.integer({ min: 0, max: 255 }))
      .map(([seed, index, value]) => {
        const bytes = new Uint8Array(seed);
        bytes[index % bytes.length] = value;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 120 }), mutated), (bytes) => {
        try {
          decodeMessage(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { numRuns: 3_000, seed: 12 },
    );
  });
});
