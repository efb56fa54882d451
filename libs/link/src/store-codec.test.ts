import { ERRORS, NEEDS, type StoreRequest, type StoreResponse, failure, isErrorCode } from '@quorate/api';
import { ByteReader, ByteWriter, DecodeError, type Operation, revision } from '@quorate/kv';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FRAME_BYTES_MAX, FRAME_HEADER_BYTES } from './frames.js';
import {
  decodeStoreRequest,
  decodeStoreResponse,
  encodeStoreRequest,
  encodeStoreResponse,
} from './store-codec.js';

function bytesOf(request: StoreRequest): Uint8Array {
  const writer = new ByteWriter();
  encodeStoreRequest(writer, request);
  return writer.finish();
}
function responseBytes(response: StoreResponse): Uint8Array {
  const writer = new ByteWriter();
  encodeStoreResponse(writer, response);
  return writer.finish();
}

const token = 'secret';
const operations: Operation[] = [
  {
    type: 'put',
    namespace: 'content',
    key: 'a/ü',
    value: new Uint8Array([1, 2, 3]),
    condition: { type: 'revision', revision: revision(7) },
    ifNamespaceRevision: revision(9),
  },
  {
    type: 'delete',
    namespace: 'content',
    key: 'a',
    condition: { type: 'present' },
    ifNamespaceRevision: null,
  },
  { type: 'createNamespace', namespace: 'limits', kind: 'strict' },
  { type: 'deleteNamespace', namespace: 'limits' },
  { type: 'setReaders', namespace: 'content', readers: ['ada', 'é'] },
  { type: 'setReaders', namespace: 'content', readers: null },
];
const check = {
  principal: { type: 'User', id: 'ann' },
  action: 'read',
  resource: { type: 'Document', id: '1' },
  context: { ip: '10.0.0.1', nested: { list: [1, null, true] } },
};
const requests: Record<StoreRequest['type'], StoreRequest[]> = {
  register: [{ type: 'register' }],
  write: operations.map((operation, index) => ({
    type: 'write',
    token,
    registration: { clientId: 3, sequence: 2 ** 40, completedThrough: 1 },
    idempotencyKey: index % 2 === 0 ? null : 'key-1',
    operation,
  })),
  get: [{ type: 'get', token, namespace: 'content', key: 'a' }],
  list: [{ type: 'list', token, namespace: 'content', prefix: '', limit: 1000 }],
  namespace: [{ type: 'namespace', token, namespace: 'content' }],
  namespaces: [{ type: 'namespaces', token }],
  check: [{ type: 'check', token, check }],
  caller: NEEDS.map((need) => ({ type: 'caller', token, need })),
  tokens: [{ type: 'tokens', token, prefix: '0123', limit: 1000 }],
  status: [{ type: 'status' }],
  probe: [{ type: 'probe' }],
  changes: [{ type: 'changes', after: revision(5), minRevision: revision(7), bytesMax: 1_000_000 }],
  resync: [{ type: 'resync' }],
  fill: [{ type: 'fill', namespace: 'content', key: 'a', minRevision: revision(4) }],
  content: [
    { type: 'content', namespace: 'content', after: '', minRevision: revision(4), bytesMax: 1_000 },
    { type: 'content', namespace: 'content', after: 'a/é', minRevision: revision(0), bytesMax: 1 },
  ],
  feedKey: [{ type: 'feedKey' }],
  feedSubscribe: [{ type: 'feedSubscribe' }],
  feedUnsubscribe: [{ type: 'feedUnsubscribe' }],
  transfer: [
    { type: 'transfer', token, to: null },
    { type: 'transfer', token, to: 3 },
  ],
  snapshot: [{ type: 'snapshot', token }],
  backup: [
    { type: 'backup', token, index: null, chunk: 0 },
    { type: 'backup', token, index: 2 ** 40, chunk: 7 },
  ],
};

const head = revision(12);
const epoch = 1;
const entry = {
  namespace: 'content',
  key: 'a',
  value: new Uint8Array([123, 125]),
  revision: revision(6),
  version: 2,
  createRevision: revision(3),
};
const record = {
  name: 'content',
  kind: 'cached' as const,
  deleted: false,
  revision: revision(1),
  createRevision: revision(1),
  readers: null,
};
const deleted = { type: 'delete' as const, namespace: 'content', key: 'b', revision: revision(7) };
const responses: Record<StoreResponse['type'], StoreResponse[]> = {
  failed: [
    ...Object.keys(ERRORS)
      .filter(isErrorCode)
      .map((code) => failure(code)),
    failure('NO_QUORUM', 'No.', {
      leader: null,
      members: [{ id: 1, reachable: false, sinceMs: 12 }],
      retryAfterMs: 1000,
      currentRevision: null,
      head: 9,
      field: 'key',
    }),
  ],
  registered: [{ type: 'registered', clientId: 9 }],
  written: [{ type: 'written', revision: head, created: true, version: 1, createRevision: head, head }],
  entry: [
    { type: 'entry', entry, kind: 'cached', head },
    { type: 'entry', entry: null, kind: 'strict', head },
  ],
  entries: [{ type: 'entries', entries: [entry, entry], truncated: true, kind: 'cached', head }],
  namespace: [
    { type: 'namespace', record, head },
    { type: 'namespace', record: { ...record, readers: ['ada', 'é'] }, head },
  ],
  namespaces: [{ type: 'namespaces', records: [record, { ...record, kind: 'strict', deleted: true }], head }],
  decision: [
    {
      type: 'decision',
      decision: { allowed: true, revision: head, policies: ['p1', 'p2'], reason: 'ok' },
      head,
    },
  ],
  caller: [{ type: 'caller', principal: 'ada', head }],
  tokens: [
    {
      type: 'tokens',
      tokens: [
        {
          id: '0123456789ab',
          name: 'the site',
          principal: 'ada',
          scopes: ['*', 'entries:read@content'],
          expiresAtMs: 1_700_000_000_000,
          createRevision: revision(3),
        },
        {
          id: 'ffffffffffff',
          name: 'é',
          principal: 'bob',
          scopes: [],
          expiresAtMs: null,
          createRevision: revision(4),
        },
      ],
      truncated: true,
      head,
    },
  ],
  status: [
    {
      type: 'status',
      status: {
        id: 1,
        clusterId: 'c0ffee',
        epoch,
        role: 'leader',
        term: 4,
        leader: null,
        quorum: true,
        commitIndex: 10,
        appliedIndex: 9,
        lastIndex: 11,
        revision: head,
        stateHash: 'ff',
        entries: 3,
        firstIndex: 5,
        snapshotIndex: 4,
        logBytes: 2 ** 33,
        diskStalled: false,
        diverged: true,
        recovering: true,
        peers: [{ id: 2, reachable: true, sinceMs: 0.5 }],
      },
    },
  ],
  probed: [{ type: 'probed', epoch, head, published: revision(11) }],
  changes: [
    {
      type: 'changes',
      batch: {
        epoch,
        previous: revision(5),
        revision: head,
        changes: [
          { type: 'put', entry },
          deleted,
          { type: 'namespace', record: { ...record, revision: revision(8) } },
        ],
      },
      published: head,
    },
  ],
  compacted: [{ type: 'compacted', epoch, oldest: revision(3) }],
  resynced: [{ type: 'resynced', epoch, revision: head, namespaces: [record] }],
  content: [
    { type: 'content', epoch, revision: head, entries: [entry], more: true },
    { type: 'content', epoch, revision: head, entries: [], more: false },
  ],
  filled: [
    { type: 'filled', epoch, revision: head, entry },
    { type: 'filled', epoch, revision: head, entry: null },
  ],
  feedKey: [{ type: 'feedKey', key: new Uint8Array(32).fill(5) }],
  subscribed: [{ type: 'subscribed' }],
  unsubscribed: [{ type: 'unsubscribed' }],
  transferred: [
    { type: 'transferred', leader: 2, moved: true },
    { type: 'transferred', leader: 2, moved: false },
  ],
  snapshotTaken: [
    { type: 'snapshotTaken', index: 9, revision: head, payloadBytes: 2 ** 35, taken: true },
    { type: 'snapshotTaken', index: 0, revision: revision(0), payloadBytes: 60, taken: false },
  ],
  backupChunk: [
    {
      type: 'backupChunk',
      clusterId: 'c0ffee',
      epoch,
      index: 9,
      term: 2,
      revision: head,
      chunk: 1,
      chunkCount: 2,
      digest: 0xffff_ffff,
      data: new Uint8Array([1, 2, 3]),
    },
  ],
};
const everyRequest = Object.values(requests).flat();
const everyResponse = Object.values(responses).flat();

describe('store codec', () => {
  it.each(everyRequest)('round trip of request $type', (request) => {
    expect(decodeStoreRequest(new ByteReader(bytesOf(request)))).toEqual(request);
  });

  it.each(everyResponse)('round trip of response $type', (response) => {
    expect(decodeStoreResponse(responseBytes(response))).toEqual(response);
  });

  it('refuses every truncation and any trailing byte', () => {
    const encoded: [Uint8Array, (bytes: Uint8Array) => unknown][] = [
      ...everyRequest.map((request): [Uint8Array, (bytes: Uint8Array) => unknown] => [
        bytesOf(request),
        (bytes) => decodeStoreRequest(new ByteReader(bytes)),
      ]),
      ...everyResponse.map((response): [Uint8Array, (bytes: Uint8Array) => unknown] => [
        responseBytes(response),
        decodeStoreResponse,
      ]),
    ];
    for (const [bytes, decode] of encoded) {
      for (let length = 0; length < bytes.length; length += 1) {
        expect(() => decode(bytes.subarray(0, length))).toThrow(DecodeError);
      }
      expect(() => decode(new Uint8Array([...bytes, 0]))).toThrow(DecodeError);
    }
  });

  it('decodes arbitrary and mutated bytes to a value or a DecodeError, nothing else', () => {
    const seeds = [...everyRequest.map(bytesOf), ...everyResponse.map(responseBytes)];
    const mutated = fc
      .tuple(fc.constantFrom(...seeds), fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat())
      .map(([seed, at, value, second]) => {
        const bytes = new Uint8Array(seed);
        bytes[at % bytes.length] = value;
        bytes[second % bytes.length] = value ^ 0xff;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
        for (const decode of [
          () => decodeStoreRequest(new ByteReader(bytes)),
          () => decodeStoreResponse(bytes),
        ]) {
          try {
            decode();
          } catch (error) {
            expect(error).toBeInstanceOf(DecodeError);
          }
        }
      }),
      { numRuns: 3_000, seed: 11 },
    );
  });

  it('takes a backup chunk of 256 KiB within a frame, and refuses one above 1 MiB', () => {
    const [chunk] = responses.backupChunk;
    if (chunk?.type !== 'backupChunk') throw new Error('there is one');
    const whole = responseBytes({ ...chunk, data: new Uint8Array(256 * 1024) });
    expect(FRAME_HEADER_BYTES + whole.length).toBeLessThan(FRAME_BYTES_MAX);
    expect(decodeStoreResponse(whole)).toMatchObject({ chunk: 1 });
    const tooLarge = responseBytes({ ...chunk, data: new Uint8Array(1024 * 1024 + 1) });
    expect(() => decodeStoreResponse(tooLarge)).toThrow(DecodeError);
  });

  it('refuses a check, details or a status of another shape', () => {
    const withJson = (type: number, strings: string[]): Uint8Array => {
      const writer = new ByteWriter();
      writer.u8(type);
      for (const text of strings) writer.string(text);
      return writer.finish();
    };
    for (const json of ['[]', 'null', '{', '{"principal":{"type":"User"}}', '"x"']) {
      expect(() => decodeStoreRequest(new ByteReader(withJson(7, [token, json])))).toThrow(DecodeError);
      expect(() => decodeStoreResponse(withJson(8, [json]))).toThrow(DecodeError);
    }
    expect(() => decodeStoreResponse(withJson(0, ['NO_QUORUM', 'm', '{"members":[{"id":"x"}]}']))).toThrow(
      DecodeError,
    );
    const [answer] = responses.status;
    if (answer?.type !== 'status') throw new Error('there is one');
    expect(decodeStoreResponse(withJson(8, [JSON.stringify(answer.status)]))).toEqual(answer);
    for (const wrong of [
      { firstIndex: -1 },
      { logBytes: '1' },
      { diverged: 0 },
      { recovering: 1 },
      { diskStalled: null },
    ]) {
      const json = JSON.stringify({ ...answer.status, ...wrong });
      expect(() => decodeStoreResponse(withJson(8, [json]))).toThrow(DecodeError);
    }
    expect(() => decodeStoreResponse(withJson(0, ['NO_SUCH_CODE', 'm', '{}']))).toThrow(DecodeError);
  });
});
