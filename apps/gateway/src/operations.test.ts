import {
  clusterAnswerSchema,
  consistencyAnswerSchema,
  encodeConsistencyToken,
  hashToken,
  tokenAnswerSchema,
  tokensAnswerSchema,
} from '@quorate/api';
import { revision } from '@quorate/kv';
import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ADMIN_TOKEN,
  CLUSTER_ID,
  TOKEN_KEY,
  startTestGateway,
  testVariables,
  type TestGateway,
} from './test-gateway.testing.js';

let gateway: TestGateway;
beforeEach(async () => {
  gateway = await startTestGateway();
});
afterEach(async () => {
  await gateway.close();
});

function send(options: InjectOptions): Promise<LightMyRequestResponse> {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, ...options.headers };
  return gateway.app.inject({ method: 'GET', ...options, headers });
}
function sendJson(method: 'PUT' | 'POST', url: string, payload: string): Promise<LightMyRequestResponse> {
  return send({ method, url, headers: { 'content-type': 'application/json' }, payload });
}

describe('namespaces', () => {
  it('are created once, read, listed and deleted', async () => {
    const created = await sendJson('PUT', '/v1/namespaces/shop', '{"kind":"cached"}');
    expect(created.statusCode).toBe(201);
    expect(created.json()).toEqual({
      name: 'shop',
      kind: 'cached',
      revision: 4,
      createRevision: 4,
      readers: null,
    });
    expect((await sendJson('PUT', '/v1/namespaces/shop', '{"kind":"cached"}')).statusCode).toBe(200);
    expect((await send({ url: '/v1/namespaces/shop' })).json()).toEqual(created.json());
    const names = (await send({ url: '/v1/namespaces' }))
      .json()
      .namespaces.map(({ name }: { name: string }) => name);
    expect(names).toEqual(['access', 'limits', 'content', 'tokens', 'shop']);
    expect((await send({ method: 'DELETE', url: '/v1/namespaces/shop' })).json()).toEqual({
      name: 'shop',
      revision: 5,
    });
    expect((await send({ url: '/v1/namespaces/shop' })).json()).toMatchObject({
      code: 'NAMESPACE_NOT_FOUND',
    });
    expect((await send({ url: '/v1/namespaces' })).json().namespaces).toHaveLength(4);
  });

  it('are told to the view when this gateway created or deleted them', async () => {
    await sendJson('PUT', '/v1/namespaces/shop', '{"kind":"cached"}');
    await send({ method: 'DELETE', url: '/v1/namespaces/shop' });
    await send({ method: 'DELETE', url: '/v1/namespaces/shop' });
    expect(gateway.backend.ownWrites).toEqual(['shop@4', 'shop@5']);
  });
});

describe('readers of a namespace', () => {
  const put = (namespace: string, payload: string): Promise<LightMyRequestResponse> =>
    sendJson('PUT', `/v1/namespaces/${namespace}/readers`, payload);

  it('are set and lifted, shown, and told to the view', async () => {
    const set = await put('content', '{"readers":["ada","bob"]}');
    expect([set.statusCode, set.json()]).toEqual([
      200,
      { name: 'content', kind: 'cached', revision: 4, createRevision: 3, readers: ['ada', 'bob'] },
    ]);
    expect((await send({ url: '/v1/namespaces/content' })).json()).toEqual(set.json());
    expect((await put('content', '{"readers":null}')).json()).toMatchObject({ readers: null, revision: 5 });
    expect(gateway.backend.ownWrites).toEqual(['content@4', 'content@5']);
  });

  it.each([
    ['content', '{}', 400, 'INVALID_REQUEST'],
    ['content', '{"readers":"ada"}', 400, 'INVALID_REQUEST'],
    ['content', '{"readers":[""]}', 400, 'INVALID_REQUEST'],
    ['content', '{"readers":["a","a"]}', 400, 'INVALID_REQUEST'],
    [
      'content',
      JSON.stringify({ readers: Array.from({ length: 257 }, (_, at) => `p${at}`) }),
      400,
      'INVALID_REQUEST',
    ],
    ['limits', '{"readers":[]}', 409, 'NAMESPACE_NOT_CACHED'],
    ['never', '{"readers":[]}', 404, 'NAMESPACE_NOT_FOUND'],
    ['tokens', '{"readers":[]}', 403, 'NAMESPACE_RESERVED'],
    ['access', '{"readers":[]}', 403, 'NAMESPACE_RESERVED'],
  ])('of %s to %s: %i', async (namespace, payload, status, code) => {
    const answer = await put(namespace, payload);
    expect([answer.statusCode, answer.json().code]).toEqual([status, code]);
  });
});

describe('access tokens', () => {
  const body = { name: 'the site', principal: 'ada', scopes: ['entries:read@content', 'entries:write'] };
  const create = (payload: object, headers = {}): Promise<LightMyRequestResponse> =>
    send({
      method: 'POST',
      url: '/v1/access/tokens',
      headers: { 'content-type': 'application/json', ...headers },
      payload: JSON.stringify(payload),
    });

  it('are made and shown once, listed without their hashes, and revoked', async () => {
    const made = await create({ ...body, expiresAt: '2027-01-31T12:00:00+01:00' });
    expect([made.statusCode, made.headers['cache-control']]).toEqual([201, 'no-store']);
    const { token, ...shown } = tokenAnswerSchema.parse(made.json());
    expect(token).toMatch(/^quorate_[A-Za-z0-9_-]{43}$/);
    expect(shown).toEqual({
      ...body,
      id: hashToken(token).slice(0, 12),
      expiresAt: '2027-01-31T11:00:00.000Z',
      createRevision: 4,
    });
    const [operation] = gateway.backend.lastOperations;
    expect(operation).toMatchObject({ type: 'put', namespace: 'tokens', key: hashToken(token) });
    expect(JSON.stringify(operation)).not.toContain(token);
    const other = await create(body);
    expect(other.json().token).not.toBe(token);
    const list = await send({ url: '/v1/access/tokens' });
    expect(tokensAnswerSchema.parse(list.json())).toMatchObject({ truncated: false, revision: 5 });
    expect(list.json().tokens).toContainEqual(shown);
    expect(list.body).not.toContain(hashToken(token));
    expect(list.body).not.toContain(token);
    const revoked = await send({ method: 'DELETE', url: `/v1/access/tokens/${shown.id}` });
    expect([revoked.statusCode, revoked.json()]).toEqual([200, { id: shown.id, revision: 6 }]);
    const again = await send({ method: 'DELETE', url: `/v1/access/tokens/${shown.id}` });
    expect([again.statusCode, again.json().code]).toEqual([404, 'ENTRY_NOT_FOUND']);
  });

  it.each([
    [{ ...body, name: '' }],
    [{ ...body, principal: 'admin' }],
    [{ ...body, principal: 'a\u0000' }],
    [{ ...body, scopes: ['entries:everything'] }],
    [{ ...body, scopes: ['entries:read', 'entries:read'] }],
    [{ ...body, scopes: 'entries:read' }],
    [{ ...body, expiresAt: 'tomorrow' }],
    [{ ...body, expiresAt: 7 }],
    [{ ...body, more: 1 }],
  ])('are not made of %j', async (payload) => {
    const answer = await create(payload);
    expect([answer.statusCode, answer.json().code]).toEqual([400, 'INVALID_REQUEST']);
    expect(gateway.backend.calls).toEqual([]);
  });

  it('have no Idempotency-Key, for each is another one', async () => {
    const answer = await create(body, { 'idempotency-key': 'k' });
    expect(answer.json()).toMatchObject({ code: 'INVALID_REQUEST', field: 'Idempotency-Key' });
  });

  it('are named by 12 hex digits', async () => {
    for (const id of ['0123', '0123456789AB', `${'0'.repeat(64)}`, '..'])
      expect(
        (await send({ method: 'DELETE', url: `/v1/access/tokens/${id}` })).statusCode,
      ).toBeGreaterThanOrEqual(400);
    expect(gateway.backend.calls).toEqual([]);
  });

  it('are no entries: neither read, nor listed, nor written, by any level', async () => {
    const url = `/v1/namespaces/tokens/entries/${'0'.repeat(64)}`;
    const requests: InjectOptions[] = [
      { url },
      { url, headers: { 'read-consistency': 'linearizable' } },
      { url: '/v1/namespaces/tokens/entries' },
      { url, method: 'DELETE' },
      { url, method: 'PUT', headers: { 'content-type': 'application/json' }, payload: '1' },
      { url: '/v1/namespaces/tokens', method: 'DELETE' },
    ];
    for (const request of requests) {
      const answer = await send(request);
      expect([answer.statusCode, answer.json().code]).toEqual([403, 'NAMESPACE_RESERVED']);
    }
    expect(gateway.backend.calls).toEqual([]);
  });

  it('are judged by the store, and of cached reads by the view', async () => {
    const token = `quorate_${'a'.repeat(43)}`;
    const url = '/v1/namespaces/content/entries/a';
    await sendJson('PUT', url, '1');
    gateway.backend.sync();
    gateway.backend.calls.length = 0;
    const headers = { authorization: `Bearer ${token}` };
    const unknown = await send({ url, headers });
    expect([unknown.statusCode, unknown.json().code]).toEqual([401, 'UNAUTHENTICATED']);
    // The view decided, and says how new that is.
    expect(unknown.headers).toMatchObject({
      'read-consistency': 'eventual',
      staleness: expect.stringContaining('ms=84'),
    });
    const list = await send({ url: '/v1/namespaces/content/entries', headers });
    expect([list.statusCode, list.headers['read-consistency']]).toEqual([401, 'eventual']);
    gateway.backend.calls.length = 0;
    expect((await send({ url: '/v1/cluster', headers })).statusCode).toBe(401);
    gateway.backend.knownTokens.add(token);
    const known = await send({ url, headers });
    expect([known.statusCode, known.headers['read-consistency']]).toEqual([200, 'eventual']);
    expect(known.headers.etag).toBe('W/"m4"');
    expect((await send({ url: '/v1/cluster', headers })).statusCode).toBe(200);
    expect(gateway.backend.calls).toEqual(['caller', 'caller']);
  });
});

describe('access', () => {
  it('answers a check with the decision, denied ones with 200 too', async () => {
    const check = (id: string): string =>
      JSON.stringify({
        principal: { type: 'User', id },
        action: 'read',
        resource: { type: 'Page', id: 'home' },
      });
    const allowed = await sendJson('POST', '/v1/access/check', check('alice'));
    expect(allowed.statusCode).toBe(200);
    expect(allowed.json()).toEqual({ allowed: true, revision: 1, policies: ['p1'], reason: 'allowed by p1' });
    const denied = await sendJson('POST', '/v1/access/check', check('mallory'));
    expect(denied.statusCode).toBe(200);
    expect(denied.json()).toMatchObject({ allowed: false });
    gateway.backend.storeFailure = 'NO_QUORUM';
    expect((await sendJson('POST', '/v1/access/check', check('alice'))).statusCode).toBe(503);
  });

  it('measures a check in bytes, and says the limit', async () => {
    const check = (principal: string, text: string): string =>
      JSON.stringify({
        principal: { type: 'User', id: principal },
        action: 'read',
        resource: { type: 'Page', id: principal },
        context: { text },
      });
    const send48KiB = await sendJson('POST', '/v1/access/check', check('alice', 'x'.repeat(48 * 1024 - 11)));
    expect(send48KiB.json()).toMatchObject({ allowed: true });
    const wide = await sendJson('POST', '/v1/access/check', check('alice', 'ü'.repeat(25 * 1024)));
    expect(wide.statusCode).toBe(400);
    expect(wide.json()).toMatchObject({ code: 'INVALID_REQUEST', field: 'context' });
    expect(wide.json().detail).toContain('48 KiB');
    expect(gateway.backend.calls).toEqual(['check']);
  });

  it('takes the text of a policy in each of its three forms', async () => {
    const text = 'permit (principal, action, resource);';
    const url = '/v1/access/policies/p1';
    await send({
      method: 'PUT',
      url,
      headers: { 'content-type': 'text/plain; charset=utf-8' },
      payload: text,
    });
    await sendJson('PUT', url, JSON.stringify(text));
    await sendJson('PUT', url, JSON.stringify({ policy: text }));
    const written = gateway.backend.lastOperations.map((operation) =>
      operation.type === 'put'
        ? `${operation.namespace}/${operation.key}=${Buffer.from(operation.value).toString()}`
        : 'no put',
    );
    expect(written).toEqual(Array.from({ length: 3 }, () => `access/policies/p1=${JSON.stringify(text)}`));
    expect((await send({ url })).json()).toMatchObject({ key: 'policies/p1', value: text, version: 3 });
    expect((await send({ method: 'DELETE', url })).statusCode).toBe(200);
    expect((await send({ url })).json()).toMatchObject({ code: 'ENTRY_NOT_FOUND' });
  });

  it('writes entities under encoded keys', async () => {
    const url = '/v1/access/entities/Shop%3A%3AUser/a%2Fb';
    const created = await sendJson('PUT', url, '{"attrs":{"level":3}}');
    expect(created.statusCode).toBe(201);
    expect(created.json()).toMatchObject({ namespace: 'access', key: 'entities/Shop%3A%3AUser/a%2Fb' });
    const got = await send({ url });
    expect(got.json()).toMatchObject({ value: { attrs: { level: 3 }, parents: [] } });
    expect((await send({ url, headers: { 'if-none-match': String(got.headers.etag) } })).statusCode).toBe(
      304,
    );
    expect((await send({ method: 'DELETE', url })).statusCode).toBe(200);
  });
});

describe('what a caller has seen', () => {
  const READS = [
    '/v1/namespaces',
    '/v1/namespaces/limits',
    '/v1/namespaces/lost',
    '/v1/namespaces/lost/entries',
    '/v1/namespaces/lost/entries/a',
    '/v1/namespaces/limits/entries',
    '/v1/access/policies/lost',
    '/v1/access/entities/User/lost',
  ];
  const seen = (at: number): Record<string, string> => ({
    'consistency-token': encodeConsistencyToken(TOKEN_KEY, {
      clusterId: CLUSTER_ID,
      epoch: 1,
      revision: revision(at),
    }),
  });

  it.each(READS)('%s: TOKEN_AHEAD when it is more than the store has, found or not', async (url) => {
    expect((await send({ url, headers: seen(99) })).json()).toMatchObject({ code: 'TOKEN_AHEAD', head: 3 });
    expect((await send({ url, headers: seen(3) })).body).not.toContain('TOKEN_AHEAD');
  });

  it('is compared with the head of a decision too', async () => {
    const payload = JSON.stringify({
      principal: { type: 'User', id: 'alice' },
      action: 'read',
      resource: { type: 'Page', id: 'home' },
    });
    const headers = { 'content-type': 'application/json', ...seen(99) };
    const response = await send({ method: 'POST', url: '/v1/access/check', headers, payload });
    expect(response.json()).toMatchObject({ code: 'TOKEN_AHEAD' });
  });

  it.each(['NO_QUORUM', 'STORE_UNREACHABLE', 'TIMED_OUT', 'OUTCOME_UNKNOWN', 'INTERNAL'] as const)(
    '%s proves no head',
    async (code) => {
      gateway.backend.storeFailure = code;
      for (const url of READS) {
        expect((await send({ url, headers: seen(99) })).json()).toMatchObject({ code });
      }
    },
  );
});

describe('cluster, health and metrics', () => {
  it('shows members, quorum and the cache', async () => {
    const answer = clusterAnswerSchema.parse((await send({ url: '/v1/cluster' })).json());
    expect(answer).toMatchObject({
      quorum: true,
      leader: 2,
      members: [
        { id: 1, reachable: false, status: null },
        { id: 2, reachable: true },
      ],
      cache: { state: 'live', epoch: 1, revision: 3, stalenessMs: 84, quorum: true },
    });
  });

  it.each([
    ['empty', 503, false],
    ['syncing', 503, false],
    ['live', 200, true],
    ['stale', 200, false],
  ] as const)('is %s: readyz %i, alive all the same', async (state, status, quorum) => {
    gateway.backend.state = state;
    gateway.backend.storeFailure = 'STORE_UNREACHABLE';
    const ready = await gateway.app.inject('/readyz');
    expect(ready.statusCode).toBe(status);
    expect(ready.json()).toMatchObject({ quorum, cache: state });
    const alive = await gateway.app.inject('/healthz');
    expect(alive.statusCode).toBe(200);
    expect(alive.json()).toMatchObject({ status: 'ok', quorum, nats: 'off' });
  });

  it('counts requests by route and shows the view', async () => {
    await send({ url: '/v1/namespaces/content/entries/home' });
    await send({ url: '/v1/namespaces/limits/entries' });
    await send({ url: '/nowhere' });
    const { body } = await gateway.app.inject('/metrics');
    expect(body).toMatch(
      /quorate_gateway_requests_total\{transport="http",route="\/v1\/namespaces\/:namespace\/entries\/\*",status="404"\} 1/,
    );
    expect(body).toMatch(/quorate_gateway_requests_total\{transport="http",route="unknown",status="404"\} 1/);
    expect(body).toContain('quorate_gateway_cache_watermark_revision 3');
    expect(body).toContain('quorate_gateway_cache_state{state="live"} 1');
    expect(body).toContain('quorate_gateway_cache_events_total{event="resyncs_start"} 0');
    expect(body).toContain('quorate_gateway_reads_total{level="eventual",source="cache"} 1');
    expect(body).toContain('quorate_gateway_reads_total{level="linearizable",source="store"} 1');
    expect(body).toContain('quorate_gateway_staleness_served_seconds_bucket{le="0.1"} 1');
    expect(body).toContain('quorate_gateway_cache_lag_revisions 0');
  });

  it('shows how long own writes take to be visible, and what the audit has found', async () => {
    await sendJson('PUT', '/v1/namespaces/content/entries/home', '1');
    await sendJson('PUT', '/v1/namespaces/limits/entries/max', '1');
    expect((await gateway.app.inject('/metrics')).body).not.toContain(
      'visibility_seconds_count{since="sent"}',
    );
    gateway.backend.sync();
    const { body } = await gateway.app.inject('/metrics');
    expect(body).toContain('quorate_gateway_visibility_seconds_count{since="acknowledged"} 1');
    expect(body).toContain('quorate_gateway_visibility_seconds_count{since="sent"} 1');
    expect(body).toContain('quorate_gateway_audit_checks_total{window="1s",result="ok"} 0');
    expect(body).toContain('quorate_gateway_audit_checks_total{window="60s",result="stale"} 0');
  });
});

describe('/v1/consistency', () => {
  it('is answered by the gateway itself, with or without a store', async () => {
    await sendJson('PUT', '/v1/namespaces/content/entries/home', '1');
    gateway.backend.sync();
    await sendJson('PUT', '/v1/namespaces/content/entries/home', '2');
    for (const level of ['eventual', 'linearizable', 'linearizable']) {
      if (level === 'eventual') gateway.backend.calls.length = 0;
      await send({ url: '/v1/namespaces/content/entries/home', headers: { 'read-consistency': level } });
    }
    gateway.backend.storeFailure = 'STORE_UNREACHABLE';
    await send({ url: '/v1/namespaces/limits/entries/max' });
    const response = await send({ url: '/v1/consistency' });
    expect(response.statusCode).toBe(200);
    const answer = consistencyAnswerSchema.parse(response.json());
    expect(answer).toMatchObject({
      cache: { state: 'live', epoch: 1, revision: 4, lag: 1, stalenessMs: 84, quorum: true },
      visibility: { waiting: 1, sinceAcknowledged: { count: 1 }, sinceSent: { count: 1 }, dropped: 0 },
      audit: { sampleEvery: 10, samplesUnderWay: 1, skipped: 0 },
      reads: {
        cache: { eventual: 1, linearizable: 0 },
        store: { linearizable: 2 },
        refused: { linearizable: 1 },
      },
      stalenessServed: { count: 1, maxMs: 84, unknown: 0 },
      counters: { hits: 0, gaps: 0, resyncs: { start: 0, epoch: 0, compacted: 0 } },
    });
    expect(answer.visibility.sinceSent.points.at(-1)).toEqual({ withinMs: 60_000, share: 1 });
    expect(answer.audit.windows.map(({ afterMs, nines }) => [afterMs, nines])).toEqual([
      [1000, null],
      [5000, null],
      [60_000, null],
    ]);
  });

  it('knows nothing before the first sync, and says so', async () => {
    gateway.backend.unsynced = true;
    gateway.backend.stalenessMs = null;
    gateway.backend.state = 'syncing';
    const answer = consistencyAnswerSchema.parse((await send({ url: '/v1/consistency' })).json());
    expect(answer.cache).toMatchObject({
      state: 'syncing',
      revision: null,
      stalenessMs: null,
      quorum: false,
    });
    expect(answer.visibility.sinceSent).toEqual({
      count: 0,
      p50Ms: null,
      p99Ms: null,
      p999Ms: null,
      maxMs: null,
      points: [],
    });
  });
});

describe('starting and stopping', () => {
  it('closes the backend last', async () => {
    const other = await startTestGateway();
    await other.close();
    expect(other.backend.closed).toBe(true);
  });

  it('refuses an unknown variable and a missing secret', async () => {
    await expect(startTestGateway({ QUORATE_PROT: '1' })).rejects.toThrow(/^QUORATE_PROT is not a variable/);
    const { variables, remove } = testVariables();
    remove();
    await expect(startTestGateway(variables)).rejects.toThrow(/admin\.token|gateway\.key|cluster\.json/);
  });
});
