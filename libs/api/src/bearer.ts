import { createHash, timingSafeEqual } from 'node:crypto';
import { failure } from './errors.js';
import type { StoreFailure } from './errors.js';

/** Every right there is. Each route and each NATS subject declares exactly one. */
export const NEEDS = [
  'entries:read',
  'entries:write',
  'namespaces:read',
  'namespaces:write',
  'access:check',
  'access:read',
  'access:write',
  'cluster:read',
  'cluster:admin',
] as const;

/** A right that a request needs. */
export type Need = (typeof NEEDS)[number];

const TOKEN_LENGTH_MAX = 1024;
const HASH_PATTERN = /^[0-9a-f]{64}$/;

/** SHA-256 of a bearer token in hex: the only form in which members and gateways keep one. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token, 'utf8').digest('hex');
}

/** The token of an `Authorization: Bearer` header; null when there is none or it is not well-formed (RFC 6750). */
export function bearerToken(authorizationHeader: string | undefined | null): string | null {
  if (
    authorizationHeader === undefined ||
    authorizationHeader === null ||
    authorizationHeader.length > TOKEN_LENGTH_MAX + 16
  )
    return null;
  return /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(authorizationHeader)?.[1] ?? null;
}

/** Compares in constant time. A hash that is not 64 hex digits matches nothing: it fails closed. */
export function tokenMatches(hash: string, token: string): boolean {
  if (!HASH_PATTERN.test(hash)) return false;
  return timingSafeEqual(Buffer.from(hash, 'hex'), Buffer.from(hashToken(token), 'hex'));
}

/**
 * Who the caller is, if he may do what `need` names: the one function by which members and gateways decide this. There
 * is one token now, of the principal `admin`, who has every right.
 * Fails with UNAUTHENTICATED (token missing or not known) or FORBIDDEN (no such right).
 */
export function authorize(
  adminTokenHash: string,
  token: string | null,
  need: Need,
): { readonly principal: string } | StoreFailure {
  if (token === null || token === '')
    return failure('UNAUTHENTICATED', 'The request carries no bearer token.');
  if (token.length > TOKEN_LENGTH_MAX || !tokenMatches(adminTokenHash, token)) {
    return failure('UNAUTHENTICATED', 'The bearer token is not known.');
  }
  if (!NEEDS.includes(need)) return failure('FORBIDDEN', `There is no right called ${String(need)}.`);
  return { principal: 'admin' };
}
