import { AssertionError } from 'node:assert/strict';
import { QuorateError } from '@quorate/api';
import { HttpException, Logger, NotFoundException, type ArgumentsHost } from '@nestjs/common';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ConsistencyTokens } from '../store/consistency-tokens.js';
import { CLUSTER_ID, TOKEN_KEY } from '../test-gateway.testing.js';
import { ProblemFilter, errorHeaders } from './problem.filter.js';
import { quorateErrorOf } from './quorate-error-of.js';

const tokens = new ConsistencyTokens(TOKEN_KEY, CLUSTER_ID, 1);

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('quorateErrorOf', () => {
  it.each([
    [new QuorateError('NO_QUORUM'), 'NO_QUORUM'],
    [new NotFoundException(), 'ROUTE_NOT_FOUND'],
    [new HttpException('large', 413), 'VALUE_TOO_LARGE'],
    [new HttpException('media', 415), 'UNSUPPORTED_MEDIA_TYPE'],
    [new HttpException('length', 400), 'INVALID_REQUEST'],
    [new HttpException('ours', 500), 'INTERNAL'],
    [new TypeError('x is undefined'), 'INTERNAL'],
    ['text', 'INTERNAL'],
  ])('%s is %s', (exception, code) => {
    expect(quorateErrorOf(exception).code).toBe(code);
  });

  it('keeps the text of a defect to itself', () => {
    expect(quorateErrorOf(new TypeError('secret path')).message).not.toContain('secret');
  });
});

describe('errorHeaders', () => {
  it('says when to come back, the current validator and how new the refusal is', () => {
    const unavailable = new QuorateError('NO_QUORUM', undefined, { retryAfterMs: 2500 });
    expect(errorHeaders(unavailable, tokens)).toMatchObject({ 'Retry-After': '3' });
    const failed = new QuorateError('PRECONDITION_FAILED', undefined, { currentRevision: 7, head: 9 });
    expect(errorHeaders(failed, tokens)).toMatchObject({ ETag: '"m7"' });
    expect(tokens.decode(errorHeaders(failed, tokens)['Consistency-Token'])).toMatchObject({ revision: 9 });
    const absent = new QuorateError('PRECONDITION_FAILED', undefined, { currentRevision: null });
    expect(errorHeaders(absent, tokens)).not.toHaveProperty('ETag');
  });
});

describe('ProblemFilter', () => {
  it('lets a failed assertion end the process: it is thrown again outside of every handler', () => {
    vi.useFakeTimers({ toFake: ['setImmediate'] });
    vi.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const host: Pick<ArgumentsHost, 'getType'> = { getType: () => 'rpc' as never };
    const failed = new AssertionError({ message: 'applied is behind commit' });
    new ProblemFilter(tokens).catch(failed, host as ArgumentsHost);
    expect(() => vi.runAllTimers()).toThrow('applied is behind commit');
  });
});
