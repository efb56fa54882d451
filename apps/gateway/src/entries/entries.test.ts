import { decodeConsistencyToken, encodeConsistencyToken } from '@quorate/api';
import { revision } from '@quorate/kv';
import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ADMIN_TOKEN,
  CLUSTER_ID,
  TOKEN_KEY,
  startTestGateway,
  type TestGateway,
} from '../test-gateway.testing.js';

let gateway: TestGateway;
beforeEach(async () => {
  gateway = await startTestGateway();
});
afterEach(async () => {
  await gateway.close();
});

const NOTHING_HELD = {
  type: 'hit',
  entry: null,
  revision: revision(4),
  epoch: 1,
  stalenessMs: null,
  ageMs: null,
  lag: null,
  quorum: false,
  level: 'eventual',
  filled: true,
} as const;
const CONTENT = '/v1/namespaces/content/entries/home';
const LIMITS = '/v1/namespaces/limits/entries/max';

function send(options: InjectOptions): Promise<LightMyRequestResponse> {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, ...options.headers };
  return gateway.app.inject({ method: 'GET', ...options, headers });
}
function put(
  url: string,
  value: string,
  headers: Record<string, string> = {},
): Promise<LightMyRequestResponse> {
  const all = { 'content-type': 'application/json', ...headers };
  return send({ method: 'PUT', url, headers: all, payload: value });
}
function read(url: string, headers: Record<string, string> = {}): Promise<LightMyRequestResponse> {
  return send({ url, headers });
}
function tokenAt(at: number, epoch = 1): string {
  return encodeConsistencyToken(TOKEN_KEY, { clusterId: CLUSTER_ID, epoch, revision: revision(at) });
}
function revisionOf(response: LightMyRequestResponse): number | string {
  const token = decodeConsistencyToken(TOKEN_KEY, CLUSTER_ID, String(response.headers['consistency-token']));
  return typeof token === 'string' ? token : token.revision;
}

describe('writing an entry', () => {
  it('says 201 when it creates, 200 when it replaces, with a strong validator', async () => {
    const created = await put(CONTENT, '{"a":1}');
    expect(created.statusCode).toBe(201);
    expect(created.headers.etag).toBe('"m4"');
    expect(created.json()).toEqual({
      namespace: 'content',
      key: 'home',
      revision: 4,
      version: 1,
      createRevision: 4,
      created: true,
    });
    const replaced = await put(CONTENT, '{"a":2}');
    expect(replaced.statusCode).toBe(200);
    expect(replaced.json()).toMatchObject({ revision: 5, version: 2, createRevision: 4, created: false });
    expect(revisionOf(replaced)).toBe(5);
    expect(gateway.backend.ownWrites).toEqual(['content/home@4', 'content/home@5']);
  });

  it('keeps the bytes of the value', async () => {
    const value = ' { "big": 12345678901234567890, "a":1e400, "b" : "\\u00e9é" } ';
    await put(LIMITS, value);
    expect((await read(LIMITS)).body).toBe(
      `{"namespace":"limits","key":"max","value":${value},"revision":4,"version":1,"createRevision":4}`,
    );
  });

  it('holds conditions, and tells the current validator when one fails', async () => {
    await put(CONTENT, '1');
    const taken = await put(CONTENT, '2', { 'if-none-match': '*' });
    expect(taken.statusCode).toBe(412);
    expect(taken.json()).toMatchObject({ code: 'PRECONDITION_FAILED', currentRevision: 4 });
    expect(taken.headers.etag).toBe('"m4"');
    expect(revisionOf(taken)).toBe(4);
    expect((await put(CONTENT, '2', { 'if-match': '"m4"' })).statusCode).toBe(200);
    expect((await put(CONTENT, '3', { 'if-match': '"m4"' })).json()).toMatchObject({ currentRevision: 5 });
  });

  it('passes the Idempotency-Key and the condition on', async () => {
    await put(CONTENT, '1', { 'idempotency-key': 'order-1', 'if-match': '*' });
    expect(gateway.backend.lastIdempotencyKey).toBe('order-1');
    expect(gateway.backend.lastOperations[0]).toMatchObject({ condition: { type: 'present' } });
  });

  it('deletes once', async () => {
    await put(CONTENT, '1');
    const deleted = await send({ method: 'DELETE', url: CONTENT });
    expect(deleted.statusCode).toBe(200);
    expect(deleted.json()).toEqual({ namespace: 'content', key: 'home', revision: 5 });
    expect((await send({ method: 'DELETE', url: CONTENT })).json()).toMatchObject({
      code: 'ENTRY_NOT_FOUND',
    });
  });

  it('says 503 with Retry-After without a quorum, and 504 when the outcome is unknown', async () => {
    gateway.backend.storeFailure = 'NO_QUORUM';
    const refused = await put(CONTENT, '1');
    expect(refused.statusCode).toBe(503);
    expect(refused.headers['retry-after']).toBe('1');
    expect(refused.json()).toMatchObject({ code: 'NO_QUORUM', effect: 'none' });
    gateway.backend.storeFailure = 'OUTCOME_UNKNOWN';
    const unknown = await put(CONTENT, '1');
    expect(unknown.statusCode).toBe(504);
    expect(unknown.json()).toMatchObject({ code: 'OUTCOME_UNKNOWN', effect: 'unknown' });
    expect(gateway.backend.ownWrites).toEqual([]);
  });
});

describe('reading a strict namespace', () => {
  it.each([undefined, 'eventual', 'bounded;ms=500', 'session', 'linearizable'])(
    'is linearizable when %s is asked for',
    async (level) => {
      await put(LIMITS, '1');
      const response = await read(LIMITS, level === undefined ? {} : { 'read-consistency': level });
      expect(response.statusCode).toBe(200);
      expect(response.headers).toMatchObject({ 'read-consistency': 'linearizable', etag: '"m4"' });
      expect(response.headers['staleness']).toMatch(/^ms=\d+, lag=0, revision=4, quorum=\?1$/);
      expect(response.headers).not.toHaveProperty('cache-status');
      expect(revisionOf(response)).toBe(4);
    },
  );

  it('is 503 without a quorum', async () => {
    gateway.backend.storeFailure = 'NO_QUORUM';
    expect((await read(LIMITS)).json()).toMatchObject({ code: 'NO_QUORUM' });
    expect((await read('/v1/namespaces/unheard-of/entries/x')).json()).toMatchObject({ code: 'NO_QUORUM' });
  });
});

describe('reading a cached namespace', () => {
  beforeEach(async () => {
    await put(CONTENT, '"hello"');
    gateway.backend.sync();
    await put(LIMITS, '1');
    gateway.backend.calls.length = 0;
  });

  it('is eventual by default, weakly validated, and says how old it can be', async () => {
    gateway.backend.storeFailure = 'NO_QUORUM';
    const response = await read(CONTENT);
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({ value: 'hello' });
    expect(response.headers).toMatchObject({
      'read-consistency': 'eventual',
      etag: 'W/"m4"',
      age: '1',
      staleness: 'ms=84, lag=1, revision=4, quorum=?1',
      'cache-status': 'quorate; hit; detail=live',
      'cache-control': 'no-store',
    });
    expect(revisionOf(response)).toBe(4);
    expect(gateway.backend.calls).toEqual([]);
  });

  it('says no number for an unknown bound', async () => {
    gateway.backend.outcome = () => NOTHING_HELD;
    const response = await read(CONTENT);
    expect(response.statusCode).toBe(404);
    expect(response.json()).toMatchObject({ code: 'ENTRY_NOT_FOUND', head: 4 });
    expect(response.headers).toMatchObject({
      staleness: 'revision=4, quorum=?0',
      'cache-status': 'quorate; fwd=miss; detail=live',
      'read-consistency': 'eventual',
    });
    expect(response.headers).not.toHaveProperty('age');
  });

  it('echoes a bound, weakly', async () => {
    const response = await read(CONTENT, { 'read-consistency': 'bounded; ms=500' });
    expect(response.headers).toMatchObject({ 'read-consistency': 'bounded;ms=500', etag: 'W/"m4"' });
    gateway.backend.outcome = () => ({ type: 'refused', code: 'STALENESS_BOUND_EXCEEDED' });
    const refused = await read(CONTENT, { 'read-consistency': 'bounded;ms=5' });
    expect(refused.statusCode).toBe(503);
    expect(refused.json()).toMatchObject({ code: 'STALENESS_BOUND_EXCEEDED' });
    expect(refused.headers['retry-after']).toBe('1');
    expect(revisionOf(refused)).toBe(4);
  });

  it('is linearizable from the view when that is proven, else from the store', async () => {
    const asked = { 'read-consistency': 'linearizable' };
    const fromStore = await read(CONTENT, asked);
    expect(fromStore.headers).toMatchObject({ 'read-consistency': 'linearizable', etag: '"m4"' });
    expect(gateway.backend.calls).toEqual(['get']);
    gateway.backend.sync();
    const fromView = await read(CONTENT, asked);
    expect(fromView.headers).toMatchObject({ 'read-consistency': 'linearizable', etag: '"m4"' });
    expect(fromStore.headers['staleness']).toMatch(/^ms=\d+, lag=0, revision=5, quorum=\?1$/);
    expect(fromView.headers).toMatchObject({
      staleness: 'ms=84, lag=0, revision=5, quorum=?1',
      'cache-status': 'quorate; hit; detail=live',
    });
    expect(gateway.backend.calls).toEqual(['get']);
  });

  it('honours a token at level session', async () => {
    const session = { 'read-consistency': 'session' };
    const here = await read(CONTENT, { ...session, 'consistency-token': tokenAt(4) });
    expect(here.headers).toMatchObject({ 'read-consistency': 'session', etag: 'W/"m4"' });
    const ahead = await read(CONTENT, { ...session, 'consistency-token': tokenAt(5) });
    expect(ahead.headers).toMatchObject({ 'read-consistency': 'linearizable', etag: '"m4"' });
    const older = await read(CONTENT, { ...session, 'consistency-token': tokenAt(900, 7) });
    expect(older.headers).toMatchObject({ 'read-consistency': 'linearizable' });
    gateway.backend.outcome = ({ minRevision }) =>
      minRevision === null ? null : { ...NOTHING_HELD, epoch: 2, revision: revision(900) };
    const renewed = await read(CONTENT, { ...session, 'consistency-token': tokenAt(4) });
    expect(renewed.headers).toMatchObject({ 'read-consistency': 'linearizable', etag: '"m4"' });
    gateway.backend.outcome = null;
    gateway.backend.storeFailure = 'NO_QUORUM';
    const unreached = await read(CONTENT, { ...session, 'consistency-token': tokenAt(5) });
    expect(unreached.json()).toMatchObject({ code: 'TOKEN_NOT_REACHED', status: 503 });
  });

  it('sounds the alarm for a token ahead of a proven head only', async () => {
    const ahead = { 'consistency-token': tokenAt(99) };
    const proven = await read(CONTENT, { ...ahead, 'read-consistency': 'session' });
    expect(proven.statusCode).toBe(409);
    expect(proven.json()).toMatchObject({ code: 'TOKEN_AHEAD', head: 5 });
    expect((await read(LIMITS, ahead)).json()).toMatchObject({ code: 'TOKEN_AHEAD' });
    gateway.backend.sync();
    expect((await read(CONTENT, { ...ahead, 'read-consistency': 'linearizable' })).statusCode).toBe(409);
    expect((await read(CONTENT, ahead)).statusCode).toBe(200);
    expect((await read(LIMITS, { 'consistency-token': tokenAt(99, 2) })).statusCode).toBe(200);
  });

  it('answers 304 when the caller has it already', async () => {
    const same = await read(CONTENT, { 'if-none-match': 'W/"m4"' });
    expect(same.statusCode).toBe(304);
    expect(same.body).toBe('');
    expect(same.headers).toMatchObject({ etag: 'W/"m4"', 'cache-control': 'no-store' });
    expect((await read(CONTENT, { 'if-none-match': '"m3"' })).statusCode).toBe(200);
  });

  it('names the charset of a 404 as of every other problem', async () => {
    const absent = await read(`${CONTENT}-absent`);
    expect(absent.statusCode).toBe(404);
    expect(absent.headers['content-type']).toBe('application/problem+json; charset=utf-8');
    expect(Number(absent.headers['content-length'])).toBe(Buffer.byteLength(absent.body));
  });

  it('answers HEAD with the headers of GET and no body', async () => {
    const head = await send({ method: 'HEAD', url: CONTENT });
    const got = await read(CONTENT);
    expect(head.body).toBe('');
    expect(head.statusCode).toBe(200);
    expect(head.headers['content-length']).toBe(got.headers['content-length']);
    expect(head.headers).toMatchObject({ etag: 'W/"m4"', staleness: got.headers['staleness'] });
  });

  it('asks the store before the first sync, and never says 404 on its own', async () => {
    gateway.backend.outcome = () => ({ type: 'refused', code: 'CACHE_NOT_READY' });
    expect((await read(CONTENT)).headers).toMatchObject({ 'read-consistency': 'linearizable' });
    gateway.backend.storeFailure = 'STORE_UNREACHABLE';
    expect((await read(CONTENT)).json()).toMatchObject({ code: 'CACHE_NOT_READY', status: 503 });
    const strong = await read(CONTENT, { 'read-consistency': 'linearizable' });
    expect(strong.json()).toMatchObject({ code: 'STORE_UNREACHABLE' });
  });
});

describe('keys', () => {
  it('are decoded once, from the raw URL', async () => {
    for (const [raw, key] of [
      ['a%2Fb', 'a/b'],
      ['a/b', 'a/b'],
      ['%2541', '%41'],
      ['a//b', 'a//b'],
      ['x'.repeat(1024), 'x'.repeat(1024)],
      ['%F0%9F%98%80'.repeat(256), '😀'.repeat(256)],
    ] as const) {
      const response = await put(`/v1/namespaces/content/entries/${raw}`, '1');
      expect(response.json()).toMatchObject({ key });
    }
  });

  it('are listed from a view that holds the namespace whole, at the level asked for, and from the store else', async () => {
    const list = '/v1/namespaces/content/entries';
    await put(`${list}/a`, '1');
    gateway.backend.isWhole = true;
    gateway.backend.sync();
    gateway.backend.calls.length = 0;
    gateway.backend.storeFailure = 'NO_QUORUM';
    const held = await read(list);
    expect(held.json()).toMatchObject({ entries: [{ key: 'a' }], truncated: false, revision: 4 });
    expect(held.headers).toMatchObject({
      'read-consistency': 'eventual',
      staleness: 'ms=84, lag=0, revision=4, quorum=?1',
      'cache-status': 'quorate; hit; detail=live',
      age: '1',
    });
    const levels = { 'bounded;ms=500': {}, session: { 'consistency-token': tokenAt(4) }, linearizable: {} };
    for (const [level, headers] of Object.entries(levels)) {
      const response = await read(list, { 'read-consistency': level, ...headers });
      expect(response.headers).toMatchObject({ 'read-consistency': level });
    }
    expect(gateway.backend.calls).toEqual([]);
    const ahead = await read(list, { 'read-consistency': 'session', 'consistency-token': tokenAt(5) });
    expect(ahead.json()).toMatchObject({ code: 'TOKEN_NOT_REACHED' });
    expect((await read('/v1/namespaces/limits/entries')).json()).toMatchObject({ code: 'NO_QUORUM' });
    gateway.backend.storeFailure = null;
    gateway.backend.outcome = null;
    gateway.backend.isWhole = false;
    expect((await read(list)).headers).toMatchObject({ 'read-consistency': 'linearizable' });
  });

  it('are listed by prefix, linearizably where the view does not hold them all', async () => {
    await put('/v1/namespaces/content/entries/a/1', '1');
    await put('/v1/namespaces/content/entries/a/2', '{"x": 1.0}');
    await put('/v1/namespaces/content/entries/b', '3');
    const response = await read('/v1/namespaces/content/entries?prefix=a%2F&limit=1');
    expect(response.json()).toMatchObject({ entries: [{ key: 'a/1' }], truncated: true, revision: 6 });
    expect(response.headers).toMatchObject({ 'read-consistency': 'linearizable' });
    expect((await read('/v1/namespaces/content/entries?prefix=a/2')).body).toContain('"value":{"x": 1.0}');
    expect(revisionOf(response)).toBe(6);
  });
});
