import { HEADERS, parseReadLevel, parseStaleness, type ErrorCode } from '@quorate/api';
import type { LightMyRequestResponse } from 'fastify';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { MemoryBackend } from '../memory-backend.testing.js';
import { ADMIN_TOKEN, startTestGateway, type TestGateway } from '../test-gateway.testing.js';

const ENTRIES = '/v1/namespaces/content/entries';
const CONTENT = `${ENTRIES}/home`;
const ABSENT = `${ENTRIES}/absent`;
const LIMITS = '/v1/namespaces/limits/entries/max';
const NOWHERE = '/v1/namespaces/nowhere/entries/x';
const PROVEN = /^ms=\d+, lag=0, revision=5, quorum=\?1$/;
const NONE = undefined;

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway();
  for (const url of [CONTENT, LIMITS]) {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' };
    await gateway.app.inject({ method: 'PUT', url, headers, payload: '1' });
    if (url === CONTENT) gateway.backend.sync();
  }
});
beforeEach(() => gateway.backend.calm());
afterAll(async () => {
  await gateway.close();
});

function read(url: string, headers: Record<string, string>): Promise<LightMyRequestResponse> {
  return gateway.app.inject({
    method: 'GET',
    url,
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, ...headers },
  });
}

type World = (backend: MemoryBackend) => void;
const calm: World = () => undefined;
const storeSays =
  (code: ErrorCode): World =>
  (backend) => {
    backend.storeFailure = code;
  };
const viewRefuses =
  (code: 'STALENESS_BOUND_EXCEEDED' | 'CACHE_MISS_UNREACHABLE' | 'OVERLOADED'): World =>
  (backend) => {
    backend.outcome = () => ({ type: 'refused', code });
  };
const neverSynced: World = (backend) => {
  backend.outcome = () => ({ type: 'refused', code: 'CACHE_NOT_READY' });
  backend.held = { type: 'refused', code: 'CACHE_NOT_READY' };
  backend.state = 'syncing';
  backend.unsynced = true;
  backend.storeFailure = 'NO_QUORUM';
};
const cutOff: World = (backend) => {
  backend.storeFailure = 'STORE_UNREACHABLE';
  backend.outcome = () => ({ type: 'fallback' });
  backend.state = 'stale';
  backend.stalenessMs = 60_000;
};
const boundUnknown: World = (backend) => {
  cutOff(backend);
  backend.stalenessMs = null;
};

const linearizable = { 'read-consistency': 'linearizable' };
const bounded = { 'read-consistency': 'bounded;ms=50' };

describe('every answer of a read says its level, and revision and bound as far as they are known', () => {
  it.each<
    [string, World, string, Record<string, string>, string, string, RegExp | string | undefined, string?]
  >([
    // answers with data
    ['held', calm, CONTENT, {}, '200', 'eventual', 'ms=84, lag=1, revision=4, quorum=?1', 'hit; detail=live'],
    ['bounded', calm, CONTENT, bounded, '200', 'bounded;ms=50', /^ms=84, lag=1, revision=4/, 'hit'],
    ['from the store', calm, CONTENT, linearizable, '200', 'linearizable', PROVEN],
    ['strict', calm, LIMITS, {}, '200', 'linearizable', PROVEN],
    ['a list', calm, ENTRIES, {}, '200', 'linearizable', PROVEN],
    ['304', calm, CONTENT, { 'if-none-match': '"m4"' }, '304', 'eventual', /^ms=84/, 'hit; detail=live'],
    // 404
    ['absent here', calm, ABSENT, {}, 'ENTRY_NOT_FOUND', 'eventual', /^ms=84, lag=1, revision=4/, 'hit'],
    ['absent', calm, ABSENT, linearizable, 'ENTRY_NOT_FOUND', 'linearizable', PROVEN],
    ['no namespace', calm, NOWHERE, {}, 'NAMESPACE_NOT_FOUND', 'linearizable', PROVEN],
    // refused by the store
    [
      'no quorum',
      storeSays('NO_QUORUM'),
      CONTENT,
      linearizable,
      'NO_QUORUM',
      'linearizable',
      /^ms=84.*=\?0$/,
    ],
    [
      'timed out',
      storeSays('TIMED_OUT'),
      CONTENT,
      linearizable,
      'TIMED_OUT',
      'linearizable',
      /^ms=84.*=\?1$/,
    ],
    ['strict, no quorum', storeSays('NO_QUORUM'), LIMITS, {}, 'NO_QUORUM', 'linearizable', NONE],
    ['a list, no quorum', storeSays('NO_QUORUM'), ENTRIES, {}, 'NO_QUORUM', 'linearizable', NONE],
    ['unknown, no quorum', storeSays('NO_QUORUM'), NOWHERE, {}, 'NO_QUORUM', 'linearizable', NONE],
    ['not allowed', storeSays('FORBIDDEN'), LIMITS, {}, 'FORBIDDEN', 'linearizable', PROVEN],
    [
      'cut off',
      cutOff,
      CONTENT,
      linearizable,
      'STORE_UNREACHABLE',
      'linearizable',
      'ms=60000, lag=1, revision=4, quorum=?0',
      'fwd=miss; detail=stale',
    ],
    [
      'cut off, never confirmed',
      boundUnknown,
      CONTENT,
      linearizable,
      'STORE_UNREACHABLE',
      'linearizable',
      'lag=1, revision=4, quorum=?0',
    ],
    // refused by the view
    [
      'no such bound',
      viewRefuses('STALENESS_BOUND_EXCEEDED'),
      CONTENT,
      bounded,
      'STALENESS_BOUND_EXCEEDED',
      'bounded;ms=50',
      'ms=84, lag=1, revision=4, quorum=?1',
      'fwd=miss; detail=live',
    ],
    [
      'nobody to ask',
      viewRefuses('CACHE_MISS_UNREACHABLE'),
      ABSENT,
      {},
      'CACHE_MISS_UNREACHABLE',
      'eventual',
      /^ms=84, lag=1, revision=4/,
    ],
    ['too many', viewRefuses('OVERLOADED'), CONTENT, {}, 'OVERLOADED', 'eventual', /^ms=84/],
    ['never synced', neverSynced, CONTENT, {}, 'CACHE_NOT_READY', 'eventual', NONE, 'detail=syncing'],
    [
      'not cached',
      calm,
      ABSENT,
      { 'cache-control': 'only-if-cached' },
      'NOT_CACHED',
      'eventual',
      'ms=84, lag=1, revision=4, quorum=?1',
    ],
    [
      'not cached, strict',
      calm,
      LIMITS,
      { 'cache-control': 'only-if-cached' },
      'NOT_CACHED',
      'linearizable',
      NONE,
    ],
  ])('%s', async (_name, world, url, headers, outcome, level, staleness, cacheStatus) => {
    world(gateway.backend);
    const response = await read(url, headers);
    const code = response.statusCode < 400 ? String(response.statusCode) : response.json().code;
    expect(code).toBe(outcome);
    expect(response.headers).toMatchObject({ 'cache-control': 'no-store', 'read-consistency': level });
    expect(parseReadLevel(level)).not.toBeNull();
    const stated = response.headers['staleness'];
    if (staleness === undefined) expect(stated).toBeUndefined();
    else expect(stated).toMatch(staleness);
    if (stated !== undefined) expect(parseStaleness(String(stated))).not.toBeNull();
    if (cacheStatus !== undefined) expect(response.headers['cache-status']).toContain(cacheStatus);
    if (response.statusCode < 500) expect(response.headers).toHaveProperty('consistency-token');
    if (response.statusCode === 503) expect(response.headers['retry-after']).toBe('1');
    if (response.statusCode >= 400) expect(response.json()).toMatchObject({ status: response.statusCode });
  });

  it('a defect is no refusal: it goes to the log, and says nothing', async () => {
    gateway.backend.storeFailure = 'INTERNAL';
    const response = await read(LIMITS, {});
    expect(response.statusCode).toBe(500);
    expect(response.headers).not.toHaveProperty(HEADERS.readConsistency.toLowerCase());
  });
});
