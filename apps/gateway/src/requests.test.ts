import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { encodeConsistencyToken } from '@quorate/api';
import { revision } from '@quorate/kv';
import type { InjectOptions } from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ADMIN_TOKEN,
  CLUSTER_ID,
  TOKEN_KEY,
  startTestGateway,
  type TestGateway,
} from './test-gateway.testing.js';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway();
});
afterAll(async () => {
  await gateway.close();
});

const json = { 'content-type': 'application/json' };
const ENTRY = '/v1/namespaces/content/entries/a';
const token = encodeConsistencyToken(TOKEN_KEY, { clusterId: CLUSTER_ID, epoch: 1, revision: revision(1) });
const forged = encodeConsistencyToken(Buffer.alloc(32, 8), {
  clusterId: CLUSTER_ID,
  epoch: 1,
  revision: revision(1),
});
const foreign = encodeConsistencyToken(TOKEN_KEY, {
  clusterId: 'f'.repeat(16),
  epoch: 1,
  revision: revision(1),
});

type BadInput = readonly [name: string, code: string, status: number, request: InjectOptions];

const BAD_INPUTS: readonly BadInput[] = [
  ['a body that is no JSON', 'INVALID_JSON', 400, { method: 'PUT', url: ENTRY, headers: json, payload: '{' }],
  ['an empty body', 'INVALID_JSON', 400, { method: 'PUT', url: ENTRY, headers: json, payload: '' }],
  ['no body at all', 'INVALID_JSON', 400, { method: 'PUT', url: ENTRY }],
  ['two values', 'INVALID_JSON', 400, { method: 'PUT', url: ENTRY, headers: json, payload: '1 2' }],
  ['NaN', 'INVALID_JSON', 400, { method: 'PUT', url: ENTRY, headers: json, payload: 'NaN' }],
  [
    'a byte order mark',
    'INVALID_JSON',
    400,
    { method: 'PUT', url: ENTRY, headers: json, payload: Buffer.from('\uFEFF{}') },
  ],
  [
    'invalid UTF-8',
    'INVALID_JSON',
    400,
    { method: 'PUT', url: ENTRY, headers: json, payload: Buffer.from([0x22, 0xff, 0x22]) },
  ],
  [
    'a compressed body',
    'UNSUPPORTED_MEDIA_TYPE',
    415,
    { method: 'PUT', url: ENTRY, headers: { ...json, 'content-encoding': 'gzip' }, payload: '1' },
  ],
  [
    'XML',
    'UNSUPPORTED_MEDIA_TYPE',
    415,
    { method: 'PUT', url: ENTRY, headers: { 'content-type': 'application/xml' }, payload: '<a/>' },
  ],
  [
    'text as a value',
    'UNSUPPORTED_MEDIA_TYPE',
    415,
    { method: 'PUT', url: ENTRY, headers: { 'content-type': 'text/plain' }, payload: '1' },
  ],
  [
    'a value over 512 KiB',
    'VALUE_TOO_LARGE',
    413,
    { method: 'PUT', url: ENTRY, headers: json, payload: `"${'x'.repeat(512 * 1024)}"` },
  ],
  ['NUL in a key', 'INVALID_KEY', 400, { url: `${ENTRY}%00` }],
  ['invalid UTF-8 in a key', 'INVALID_KEY', 400, { url: `${ENTRY}%FF` }],
  ['a broken escape', 'INVALID_KEY', 400, { url: `${ENTRY}%zz` }],
  ['an empty key', 'INVALID_KEY', 400, { url: '/v1/namespaces/content/entries/' }],
  ['a key that is too long', 'INVALID_KEY', 400, { url: `${ENTRY}${'x'.repeat(1024)}` }],
  ['a wrong namespace name', 'INVALID_NAMESPACE', 400, { url: '/v1/namespaces/Content/entries/a' }],
  ['a broken escape elsewhere', 'INVALID_REQUEST', 400, { url: '/v1/namespaces/%zz' }],
  [
    'an unknown read level',
    'UNKNOWN_READ_CONSISTENCY',
    400,
    { url: ENTRY, headers: { 'read-consistency': 'weak' } },
  ],
  [
    'a bound without a number',
    'UNKNOWN_READ_CONSISTENCY',
    400,
    { url: ENTRY, headers: { 'read-consistency': 'bounded' } },
  ],
  [
    'an empty read level',
    'UNKNOWN_READ_CONSISTENCY',
    400,
    { url: ENTRY, headers: { 'read-consistency': '' } },
  ],
  [
    'a malformed token',
    'INVALID_CONSISTENCY_TOKEN',
    400,
    { url: ENTRY, headers: { 'consistency-token': 'abc' } },
  ],
  [
    'a forged token',
    'INVALID_CONSISTENCY_TOKEN',
    400,
    { url: ENTRY, headers: { 'consistency-token': forged } },
  ],
  [
    'the token of another cluster',
    'INVALID_CONSISTENCY_TOKEN',
    400,
    { url: ENTRY, headers: { 'consistency-token': foreign } },
  ],
  [
    'a forged token with a write',
    'INVALID_CONSISTENCY_TOKEN',
    400,
    { method: 'PUT', url: ENTRY, headers: { ...json, 'consistency-token': forged }, payload: '1' },
  ],
  [
    'a weak validator',
    'WEAK_VALIDATOR',
    412,
    { method: 'PUT', url: ENTRY, headers: { ...json, 'if-match': 'W/"m3"' }, payload: '1' },
  ],
  [
    'a validator that is none',
    'INVALID_REQUEST',
    400,
    { method: 'PUT', url: ENTRY, headers: { ...json, 'if-match': 'm3' }, payload: '1' },
  ],
  [
    'both conditions',
    'INVALID_REQUEST',
    400,
    { method: 'PUT', url: ENTRY, headers: { ...json, 'if-match': '*', 'if-none-match': '*' }, payload: '1' },
  ],
  [
    'an idempotency key that is too long',
    'INVALID_REQUEST',
    400,
    { method: 'PUT', url: ENTRY, headers: { ...json, 'idempotency-key': 'k'.repeat(256) }, payload: '1' },
  ],
  [
    'an idempotency key of too many bytes',
    'INVALID_REQUEST',
    400,
    { method: 'PUT', url: ENTRY, headers: { ...json, 'idempotency-key': 'ü'.repeat(128) }, payload: '1' },
  ],
  [
    'an idempotency key with a tab',
    'INVALID_REQUEST',
    400,
    { method: 'PUT', url: ENTRY, headers: { ...json, 'idempotency-key': 'a\tb' }, payload: '1' },
  ],
  [
    'an empty idempotency key',
    'INVALID_REQUEST',
    400,
    { method: 'DELETE', url: ENTRY, headers: { 'idempotency-key': '' } },
  ],
  [
    'a write to the reserved namespace',
    'NAMESPACE_RESERVED',
    403,
    { method: 'PUT', url: '/v1/namespaces/access/entries/policies/x', headers: json, payload: '1' },
  ],
  [
    'a deletion in the reserved namespace',
    'NAMESPACE_RESERVED',
    403,
    { method: 'DELETE', url: '/v1/namespaces/access/entries/policies/x' },
  ],
  [
    'the deletion of the reserved namespace',
    'NAMESPACE_RESERVED',
    403,
    { method: 'DELETE', url: '/v1/namespaces/access' },
  ],
  [
    'the creation of the reserved namespace',
    'NAMESPACE_RESERVED',
    403,
    { method: 'PUT', url: '/v1/namespaces/access', headers: json, payload: '{"kind":"strict"}' },
  ],
  [
    'an unknown kind',
    'INVALID_REQUEST',
    400,
    { method: 'PUT', url: '/v1/namespaces/new', headers: json, payload: '{"kind":"available"}' },
  ],
  [
    'another kind',
    'NAMESPACE_KIND_CONFLICT',
    409,
    { method: 'PUT', url: '/v1/namespaces/content', headers: json, payload: '{"kind":"strict"}' },
  ],
  ['an unknown namespace', 'NAMESPACE_NOT_FOUND', 404, { url: '/v1/namespaces/nowhere' }],
  [
    'an entry of an unknown namespace',
    'NAMESPACE_NOT_FOUND',
    404,
    { url: '/v1/namespaces/nowhere/entries/a' },
  ],
  ['an unknown entry', 'ENTRY_NOT_FOUND', 404, { url: '/v1/namespaces/limits/entries/nothing' }],
  [
    'an unknown read level of a list',
    'UNKNOWN_READ_CONSISTENCY',
    400,
    { url: '/v1/namespaces/content/entries', headers: { 'read-consistency': 'weak' } },
  ],
  [
    'a forged token of a list',
    'INVALID_CONSISTENCY_TOKEN',
    400,
    { url: '/v1/namespaces/content/entries', headers: { 'consistency-token': forged } },
  ],
  ['a limit of 0', 'INVALID_REQUEST', 400, { url: '/v1/namespaces/content/entries?limit=0' }],
  ['a limit that is no number', 'INVALID_REQUEST', 400, { url: '/v1/namespaces/content/entries?limit=ten' }],
  ['an unknown query parameter', 'INVALID_REQUEST', 400, { url: '/v1/namespaces/content/entries?limits=1' }],
  [
    'a check without a resource',
    'INVALID_REQUEST',
    400,
    {
      method: 'POST',
      url: '/v1/access/check',
      headers: json,
      payload: '{"principal":{"type":"User","id":"alice"},"action":"read"}',
    },
  ],
  [
    'an entity with an unknown field',
    'INVALID_REQUEST',
    400,
    { method: 'PUT', url: '/v1/access/entities/User/alice', headers: json, payload: '{"attributes":{}}' },
  ],
  [
    'a policy that is no text',
    'INVALID_REQUEST',
    400,
    { method: 'PUT', url: '/v1/access/policies/p1', headers: json, payload: '{"policy":1}' },
  ],
];

describe('bad input', () => {
  it.each(BAD_INPUTS)('%s: %s', async (_name, code, status, request) => {
    const response = await gateway.app.inject({
      method: 'GET',
      ...request,
      headers: { authorization: `Bearer ${ADMIN_TOKEN}`, ...request.headers },
    });
    expect(response.json()).toMatchObject({ code, status, effect: 'none' });
    expect(response.statusCode).toBe(status);
    expect(response.headers['content-type']).toContain('application/problem+json');
    expect(response.headers['cache-control']).toBe('no-store');
  });

  it.each([
    ['GET', '/v1/namespaces'],
    ['GET', '/v1/namespaces/content'],
    ['PUT', '/v1/namespaces/content'],
    ['DELETE', '/v1/namespaces/content'],
    ['POST', '/v1/access/check'],
    ['GET', '/v1/access/policies/p1'],
    ['PUT', '/v1/access/policies/p1'],
    ['DELETE', '/v1/access/entities/User/alice'],
    ['GET', '/v1/cluster'],
  ] as const)('in the head is refused by %s %s too', async (method, url) => {
    const authorization = `Bearer ${ADMIN_TOKEN}`;
    const callsBefore = gateway.backend.calls.length;
    for (const [headers, code] of [
      [{ 'consistency-token': forged }, 'INVALID_CONSISTENCY_TOKEN'],
      [{ 'read-consistency': 'weak' }, 'UNKNOWN_READ_CONSISTENCY'],
    ] as const) {
      const response = await gateway.app.inject({ method, url, headers: { authorization, ...headers } });
      expect(response.statusCode).toBe(400);
      expect(response.json()).toMatchObject({ code });
    }
    expect(gateway.backend.calls).toHaveLength(callsBefore);
  });

  it.each([
    [
      'POST',
      '/v1/access/check',
      '{"principal":{"type":"U","id":"a"},"action":"r","resource":',
      '{"type":"U","id":"a"},"context":',
    ],
    ['PUT', '/v1/access/entities/User/alice', '{', '"attrs":'],
    ['PUT', '/v1/namespaces/new', '{', '"kind":'],
  ] as const)('is refused by %s %s however deep it is nested', async (method, url, head, member) => {
    const payload = `${head}${member}${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`;
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, ...json };
    const response = await gateway.app.inject({ method, url, headers, payload });
    expect(response.json()).toMatchObject({ code: 'INVALID_REQUEST', status: 400 });
  });

  it('is refused before the body is read, when there is no valid token', async () => {
    for (const headers of [{}, { authorization: 'Bearer wrong' }]) {
      const response = await gateway.app.inject({
        method: 'PUT',
        url: ENTRY,
        headers: { 'content-type': 'application/xml', ...headers },
        payload: 'x'.repeat(600 * 1024),
      });
      expect(response.statusCode).toBe(401);
      expect(response.headers).toMatchObject({ 'cache-control': 'no-store', 'www-authenticate': 'Bearer' });
      expect(response.json()).toMatchObject({ code: 'UNAUTHENTICATED' });
    }
  });

  it('does not hold up the answer to a caller without a token: his body need not arrive', async () => {
    await gateway.app.listen(0, '127.0.0.1');
    const request = httpRequest((await gateway.app.getUrl()) + ENTRY, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', 'content-length': 1000 },
    });
    request.flushHeaders();
    const [response]: { statusCode?: number }[] = await once(request, 'response');
    expect(response?.statusCode).toBe(401);
    request.destroy();
  });

  it('is told apart from good input', async () => {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'consistency-token': token };
    expect((await gateway.app.inject({ url: '/v1/namespaces/content/entries', headers })).statusCode).toBe(
      200,
    );
  });
});
