import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../rest.js';
import { DevCluster } from './cluster.js';

describe('bad input gets the catalogue answer and changes nothing', () => {
  let cluster: DevCluster;
  let weak = '';
  let token = '';
  beforeAll(async () => {
    cluster = await DevCluster.start({ nats: false });
    await cluster.createNamespace('content', 'cached');
    await cluster.createNamespace('limits', 'strict');
    const put = await cluster.request('PUT', '/v1/namespaces/content/entries/a', { body: 1 });
    token = put.headers.get('consistency-token') ?? '';
    // Until the gateway's view has heard of the namespace, the store answers in its place, and strongly.
    await until('the view answers', async () => {
      const read = await cluster.request('GET', '/v1/namespaces/content/entries/a');
      weak = read.headers.get('etag') ?? '';
      return weak.startsWith('W/');
    });
  });
  afterAll(() => cluster.destroy());

  it('each case, with the state hash and the revision before and after', async () => {
    expect(weak).toMatch(/^W\/"m\d+"$/);
    expect(token.length).toBeGreaterThan(20);
    const before = await cluster.converge();
    const revisionBefore = await cluster.revision();
    // These are decided by the state machine, in the order of the log: it remembers the answer for a client that asks again (exactly once),
    // so its hash moves though no entry does.
    const decidedInTheLog = new Set([
      'unknown namespace',
      'delete of nothing',
      'another kind',
      'wrong If-Match',
      'exists already',
    ]);
    const entry = '/v1/namespaces/content/entries';
    const flipped = token.slice(0, -1) + (token.endsWith('A') ? 'B' : 'A');
    const long = 'k'.repeat(1025);
    const big = JSON.stringify('x'.repeat(512 * 1024));
    type Case = [string, string, string, Parameters<DevCluster['request']>[2], number, string];
    const cases: Case[] = [
      [
        'unknown namespace',
        'PUT',
        '/v1/namespaces/nowhere/entries/a',
        { body: 1 },
        404,
        'NAMESPACE_NOT_FOUND',
      ],
      ['unknown namespace read', 'GET', '/v1/namespaces/nowhere/entries/a', {}, 404, 'NAMESPACE_NOT_FOUND'],
      ['absent entry', 'GET', `${entry}/absent`, {}, 404, 'ENTRY_NOT_FOUND'],
      ['delete of nothing', 'DELETE', `${entry}/absent`, {}, 404, 'ENTRY_NOT_FOUND'],
      [
        'bad namespace name',
        'PUT',
        '/v1/namespaces/Bad_Name',
        { body: { kind: 'strict' } },
        400,
        'INVALID_NAMESPACE',
      ],
      ['unknown kind', 'PUT', '/v1/namespaces/new', { body: { kind: 'loose' } }, 400, 'INVALID_REQUEST'],
      [
        'another kind',
        'PUT',
        '/v1/namespaces/content',
        { body: { kind: 'strict' } },
        409,
        'NAMESPACE_KIND_CONFLICT',
      ],
      [
        'reserved namespace',
        'PUT',
        '/v1/namespaces/access/entries/policies%2Fx',
        { body: 1 },
        403,
        'NAMESPACE_RESERVED',
      ],
      ['bad JSON', 'PUT', `${entry}/a`, { raw: '{"a":' }, 400, 'INVALID_JSON'],
      [
        'no JSON type',
        'PUT',
        `${entry}/a`,
        { raw: 'x', headers: { 'content-type': 'text/csv' } },
        415,
        'UNSUPPORTED_MEDIA_TYPE',
      ],
      ['key too long', 'PUT', `${entry}/${long}`, { body: 1 }, 400, 'INVALID_KEY'],
      ['key with NUL', 'PUT', `${entry}/a%00b`, { body: 1 }, 400, 'INVALID_KEY'],
      ['key that is not UTF-8', 'PUT', `${entry}/%ff`, { body: 1 }, 400, 'INVALID_KEY'],
      ['value too big', 'PUT', `${entry}/a`, { raw: big }, 413, 'VALUE_TOO_LARGE'],
      [
        'wrong token',
        'GET',
        `${entry}/a`,
        { headers: { authorization: 'Bearer nope' } },
        401,
        'UNAUTHENTICATED',
      ],
      [
        'weak If-Match',
        'PUT',
        `${entry}/a`,
        { body: 2, headers: { 'if-match': weak } },
        412,
        'WEAK_VALIDATOR',
      ],
      [
        'wrong If-Match',
        'PUT',
        `${entry}/a`,
        { body: 2, headers: { 'if-match': '"m999999"' } },
        412,
        'PRECONDITION_FAILED',
      ],
      [
        'exists already',
        'PUT',
        `${entry}/a`,
        { body: 2, headers: { 'if-none-match': '*' } },
        412,
        'PRECONDITION_FAILED',
      ],
      [
        'unknown level',
        'GET',
        `${entry}/a`,
        { headers: { 'read-consistency': 'perfect' } },
        400,
        'UNKNOWN_READ_CONSISTENCY',
      ],
      [
        'malformed consistency token',
        'GET',
        `${entry}/a`,
        { headers: { 'consistency-token': '!!' } },
        400,
        'INVALID_CONSISTENCY_TOKEN',
      ],
      [
        'forged consistency token',
        'GET',
        `${entry}/a`,
        { headers: { 'consistency-token': flipped } },
        400,
        'INVALID_CONSISTENCY_TOKEN',
      ],
      ['bad limit', 'GET', `${entry}?limit=0`, {}, 400, 'INVALID_REQUEST'],
      ['bad check', 'POST', '/v1/access/check', { body: { principal: 'ann' } }, 400, 'INVALID_REQUEST'],
      ['bad policy', 'PUT', '/v1/access/policies/p', { body: { policy: 'permit(' } }, 422, 'INVALID_POLICY'],
      [
        'bad entity',
        'PUT',
        '/v1/access/entities/User/ann',
        { body: { attrs: 1, parents: [] } },
        400,
        'INVALID_REQUEST',
      ],
      ['no such route', 'GET', '/v1/nothing', {}, 404, 'ROUTE_NOT_FOUND'],
    ];
    const wrong: unknown[] = [];
    const ordered = cases.toSorted(
      (a, b) => Number(decidedInTheLog.has(a[0])) - Number(decidedInTheLog.has(b[0])),
    );
    for (const [name, method, path, options, status, code] of ordered) {
      if (name === ordered[cases.length - decidedInTheLog.size]?.[0])
        expect(await cluster.converge()).toBe(before);
      const answer = await cluster.request(method, path, options);
      const type = answer.headers.get('content-type') ?? '';
      const isRight =
        answer.status === status &&
        answer.body.code === code &&
        type.startsWith('application/problem+json') &&
        answer.body.effect === 'none';
      if (!isRight) wrong.push([name, answer.status, answer.body, type]);
    }
    expect(wrong).toEqual([]);
    expect(await cluster.revision()).toBe(revisionBefore);
  });

  it('an idempotency key: the same body is done once, another body is refused', async () => {
    const path = '/v1/namespaces/limits/entries/once';
    const headers = { 'idempotency-key': 'order-17' };
    const first = await cluster.request('PUT', path, { body: 1, headers });
    const again = await cluster.request('PUT', path, { body: 1, headers });
    expect([first.status, again.body.revision]).toEqual([201, first.body.revision]);
    const other = await cluster.request('PUT', path, { body: 2, headers });
    expect([other.status, other.body.code]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
    expect((await cluster.request('GET', path)).body).toMatchObject({ value: 1, version: 1 });
  });

  it('a strong ETag of a linearizable read carries a conditional write', async () => {
    const path = '/v1/namespaces/content/entries/counter';
    await cluster.request('PUT', path, { body: 0 });
    const read = await cluster.request('GET', path, { headers: { 'read-consistency': 'linearizable' } });
    const etag = read.headers.get('etag') ?? '';
    expect(etag).toMatch(/^"m\d+"$/);
    expect((await cluster.request('PUT', path, { body: 1, headers: { 'if-match': etag } })).status).toBe(200);
    const lost = await cluster.request('PUT', path, { body: 1, headers: { 'if-match': etag } });
    expect([lost.status, lost.body.code]).toEqual([412, 'PRECONDITION_FAILED']);
    expect(lost.headers.get('etag')).not.toBe(etag);
  });
});
