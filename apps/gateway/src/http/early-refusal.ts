import { HEADERS, bearerToken, parseReadLevel } from '@quorate/api';
import type { FastifyRequest } from 'fastify';
import { admit } from '../request/bearer.guard.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import { headerReader } from './request-head.js';

/** Everything below it asks for a token; what is outside of it is open to everybody. */
const GUARDED_PREFIX = '/v1/';

/**
 * Refuses what the head of a request already rules out, before its body is read: a caller without anything like a token must
 * not fill the memory, and a level or a Consistency-Token that cannot be read is refused on every route, also where
 * nothing depends on it. Throws UNAUTHENTICATED, INVALID_CONSISTENCY_TOKEN or UNKNOWN_READ_CONSISTENCY. The guard
 * stays: which right a handler needs is decided there.
 */
export function refuseByHead(
  request: Pick<FastifyRequest, 'headers' | 'is404' | 'routeOptions'>,
  adminTokenHash: string,
  tokens: ConsistencyTokens,
): void {
  if (request.is404 || request.routeOptions.url?.startsWith(GUARDED_PREFIX) !== true) {
    return;
  }
  // The guard would say the same of any need: it only looks whether this can be a token.
  admit('entries:read', bearerToken(request.headers.authorization), adminTokenHash);
  const header = headerReader(request.headers);
  tokens.decode(header(HEADERS.consistencyToken));
  parseReadLevel(header(HEADERS.readConsistency));
}
