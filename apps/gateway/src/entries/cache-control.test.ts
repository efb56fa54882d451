import { encodeConsistencyToken, type ErrorCode } from '@quorate/api';
import { revision } from '@quorate/kv';
import type { LightMyRequestResponse } from 'fastify';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  ADMIN_TOKEN,
  CLUSTER_ID,
  TOKEN_KEY,
  startTestGateway,
  type TestGateway,
} from '../test-gateway.testing.js';

const CONTENT = '/v1/namespaces/content/entries/home';
const ABSENT = '/v1/namespaces/content/entries/absent';
const LIMITS = '/v1/namespaces/limits/entries/max';

let gateway: TestGateway;
/** The view holds the content at revision 4, 84 ms old at most; the head is 5. */
beforeAll(async () => {
  gateway = await startTestGateway();
  await put(CONTENT, '"hello"');
  gateway.backend.sync();
  await put(LIMITS, '1');
});
beforeEach(() => gateway.backend.calm());
afterAll(async () => {
  await gateway.close();
});

async function put(url: string, payload: string): Promise<void> {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' };
  expect((await gateway.app.inject({ method: 'PUT', url, headers, payload })).statusCode).toBe(201);
}

function read(
  url: string,
  cacheControl: string,
  more: Record<string, string> = {},
): Promise<LightMyRequestResponse> {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'cache-control': cacheControl, ...more };
  return gateway.app.inject({ method: 'GET', url, headers });
}

/** `200 level` or the code of the problem. */
async function told(reading: Promise<LightMyRequestResponse>): Promise<string> {
  const response = await reading;
  return response.statusCode === 200
    ? `200 ${String(response.headers['read-consistency'])}`
    : `${response.statusCode} ${String(response.json().code)}`;
}

function session(at: number, epoch = 1): Record<string, string> {
  const token = encodeConsistencyToken(TOKEN_KEY, { clusterId: CLUSTER_ID, epoch, revision: revision(at) });
  return { 'read-consistency': 'session', 'consistency-token': token };
}

describe('directives strengthen the level', () => {
  it.each([
    ['no-cache', 'eventual', '200 linearizable', ['get']],
    ['max-age=0', 'eventual', '200 linearizable', ['get']],
    ['min-fresh=1', 'eventual', '200 linearizable', ['get']],
    ['max-age=5', 'eventual', '200 bounded;ms=5000', []],
    ['max-age=5, min-fresh=2', 'eventual', '200 bounded;ms=3000', []],
    ['max-age=5', 'bounded;ms=200', '200 bounded;ms=200', []],
    ['max-stale=60', 'linearizable', '200 linearizable', ['get']],
    ['max-stale', 'eventual', '200 eventual', []],
  ])('%s on %s: %s', async (directives, level, answer, calls) => {
    expect(await told(read(CONTENT, directives, { 'read-consistency': level }))).toBe(answer);
    expect(gateway.backend.calls).toEqual(calls);
  });

  it('a strict namespace has its own level whatever they say', async () => {
    expect(await told(read(LIMITS, 'max-age=600, max-stale, stale-if-error=600'))).toBe('200 linearizable');
  });

  it.each(['max-age', 'min-fresh=soon', 'no-cache=1', 'only-if-cached=1', 'stale-if-error'])(
    '%s is refused, of an entry and of a list',
    async (directives) => {
      for (const url of [CONTENT, LIMITS, '/v1/namespaces/content/entries']) {
        const response = await read(url, directives);
        expect(response.statusCode).toBe(400);
        expect(response.json()).toMatchObject({ code: 'INVALID_REQUEST', field: 'Cache-Control' });
      }
      expect(gateway.backend.calls).toEqual([]);
    },
  );
});

describe('only-if-cached', () => {
  it.each([
    ['what is held', CONTENT, '', {}, '200 eventual'],
    ['what is held and new enough', CONTENT, ', max-age=1', {}, '200 bounded;ms=1000'],
    ['what is held and as new as the token', CONTENT, '', session(4), '200 session'],
    ['what the token is ahead of', CONTENT, '', session(5), '504 NOT_CACHED'],
    ['the token of another epoch', CONTENT, '', session(1, 2), '504 NOT_CACHED'],
    ['a proof', CONTENT, ', no-cache', {}, '504 NOT_CACHED'],
    ['a proof by its level', CONTENT, '', { 'read-consistency': 'linearizable' }, '504 NOT_CACHED'],
    ['what is not held', ABSENT, '', {}, '504 NOT_CACHED'],
    ['what is not held, stale', ABSENT, ', stale-if-error=60', {}, '504 NOT_CACHED'],
    ['a strict namespace', LIMITS, '', {}, '504 NOT_CACHED'],
    ['an unknown namespace', '/v1/namespaces/unheard-of/entries/x', '', {}, '504 NOT_CACHED'],
    ['a list', '/v1/namespaces/content/entries', '', {}, '504 NOT_CACHED'],
  ])('%s', async (_name, url, more, headers, answer) => {
    expect(await told(read(url, `only-if-cached${more}`, headers))).toBe(answer);
    expect(gateway.backend.calls).toEqual([]);
  });

  it('a list of what is held whole', async () => {
    gateway.backend.isWhole = true;
    const list = '/v1/namespaces/content/entries';
    expect(await told(read(list, 'only-if-cached'))).toBe('200 eventual');
    expect(await told(read(list, 'only-if-cached, max-age=1'))).toBe('200 bounded;ms=1000');
    expect(await told(read(list, 'only-if-cached, no-cache'))).toBe('504 NOT_CACHED');
    expect(gateway.backend.calls).toEqual([]);
  });

  it('is no answer when the bound is over, unknown, or nothing was ever synced', async () => {
    gateway.backend.stalenessMs = 1001;
    expect(await told(read(CONTENT, 'only-if-cached, max-age=1'))).toBe('504 NOT_CACHED');
    expect(await told(read(CONTENT, 'only-if-cached'))).toBe('200 eventual');
    gateway.backend.stalenessMs = null;
    expect(await told(read(CONTENT, 'only-if-cached, max-age=1'))).toBe('504 NOT_CACHED');
    gateway.backend.held = { type: 'refused', code: 'CACHE_NOT_READY' };
    expect(await told(read(CONTENT, 'only-if-cached'))).toBe('504 NOT_CACHED');
    expect(gateway.backend.calls).toEqual([]);
  });
});

describe('a caller whom the view does not know', () => {
  it.each(['only-if-cached', 'stale-if-error=60', 'only-if-cached, stale-if-error=60'])(
    'is refused as such, and told nothing of what is held: %s',
    async (directives) => {
      gateway.backend.storeFailure = 'NO_QUORUM';
      const authorization = `Bearer quorate_${'a'.repeat(43)}`;
      expect(await told(read(CONTENT, directives, { authorization }))).toBe('401 UNAUTHENTICATED');
      gateway.backend.isWhole = true;
      const list = '/v1/namespaces/content/entries';
      expect(await told(read(list, directives, { authorization }))).toBe('401 UNAUTHENTICATED');
      expect(gateway.backend.calls).toEqual([]);
    },
  );
});

describe('stale-if-error', () => {
  const linearizable = { 'read-consistency': 'linearizable' };

  it.each<[ErrorCode, string]>([
    ['NO_QUORUM', '200 eventual'],
    ['STORE_UNREACHABLE', '200 eventual'],
    ['TIMED_OUT', '200 eventual'],
    ['OVERLOADED', '503 OVERLOADED'],
    ['FORBIDDEN', '403 FORBIDDEN'],
    ['NAMESPACE_NOT_FOUND', '404 NAMESPACE_NOT_FOUND'],
    ['TOKEN_AHEAD', '409 TOKEN_AHEAD'],
    ['INTERNAL', '500 INTERNAL'],
  ])('%s of the store: %s', async (failure, answer) => {
    gateway.backend.storeFailure = failure;
    expect(await told(read(CONTENT, 'stale-if-error=60', linearizable))).toBe(answer);
    expect(await told(read(CONTENT, 'stale-if-error=60, no-cache'))).toBe(answer);
  });

  it('labels the answer as what it is: eventual, weak, with its age', async () => {
    gateway.backend.storeFailure = 'NO_QUORUM';
    const response = await read(CONTENT, 'stale-if-error=60', linearizable);
    expect(response.json()).toMatchObject({ value: 'hello' });
    expect(response.headers).toMatchObject({
      'read-consistency': 'eventual',
      etag: 'W/"m4"',
      age: '1',
      staleness: 'ms=84, lag=1, revision=4, quorum=?1',
      'cache-status': 'quorate; hit; detail=live',
    });
  });

  it('has to be asked for', async () => {
    gateway.backend.storeFailure = 'NO_QUORUM';
    expect(await told(read(CONTENT, 'max-stale=60', linearizable))).toBe('503 NO_QUORUM');
  });

  it('holds for its seconds, and never for an age that is not known', async () => {
    gateway.backend.storeFailure = 'NO_QUORUM';
    gateway.backend.stalenessMs = 2001;
    expect(await told(read(CONTENT, 'stale-if-error=2', linearizable))).toBe('503 NO_QUORUM');
    expect(await told(read(CONTENT, 'stale-if-error=3', linearizable))).toBe('200 eventual');
    gateway.backend.stalenessMs = null;
    expect(await told(read(CONTENT, 'stale-if-error=3', linearizable))).toBe('503 NO_QUORUM');
  });

  it('stands in for a bound and for a token that cannot be had', async () => {
    gateway.backend.storeFailure = 'STORE_UNREACHABLE';
    expect(await told(read(CONTENT, 'stale-if-error=60', session(5)))).toBe('200 eventual');
    expect(await told(read(CONTENT, '', session(5)))).toBe('503 TOKEN_NOT_REACHED');
    gateway.backend.outcome = () => ({ type: 'refused', code: 'STALENESS_BOUND_EXCEEDED' });
    expect(await told(read(CONTENT, 'max-age=1, stale-if-error=60'))).toBe('200 eventual');
    expect(await told(read(CONTENT, 'max-age=1'))).toBe('503 STALENESS_BOUND_EXCEEDED');
  });

  it('is nothing for what is not held, and for strict data', async () => {
    gateway.backend.storeFailure = 'NO_QUORUM';
    expect(await told(read(ABSENT, 'stale-if-error=60', linearizable))).toBe('503 NO_QUORUM');
    expect(await told(read(LIMITS, 'stale-if-error=60'))).toBe('503 NO_QUORUM');
    expect(await told(read('/v1/namespaces/unheard-of/entries/x', 'stale-if-error=60'))).toBe(
      '503 NO_QUORUM',
    );
    gateway.backend.outcome = () => ({ type: 'refused', code: 'CACHE_NOT_READY' });
    gateway.backend.held = { type: 'refused', code: 'CACHE_NOT_READY' };
    expect(await told(read(CONTENT, 'stale-if-error=60'))).toBe('503 CACHE_NOT_READY');
  });
});
