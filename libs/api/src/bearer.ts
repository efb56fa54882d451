import { hash as digestOf, timingSafeEqual } from 'node:crypto';
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

/** SHA-256 of a bearer token in hex: the only form in which members and gateways store one. */
export function hashToken(token: string): string {
  return digestOf('sha256', token, 'hex');
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

// The last token that matched. Most requests bring the same one, and to hash it each time costs as much as a whole read. It is in memory anyway
// with each request.
let known: { readonly hash: string; readonly token: string } | null = null;

/** Compares in constant time. A hash that is not 64 hex digits matches nothing: it fails closed. */
export function tokenMatches(hash: string, token: string): boolean {
  if (known?.hash === hash && isSame(known.token, token)) return true;
  if (!HASH_PATTERN.test(hash)) return false;
  if (!timingSafeEqual(Buffer.from(hash, 'hex'), digestOf('sha256', token, 'buffer'))) return false;
  known = { hash, token };
  return true;
}

/** Looks at every character, wherever the first difference is. No Buffers: to make two would cost more than all the rest. */
function isSame(known: string, given: string): boolean {
  if (known.length !== given.length) return false;
  let difference = 0;
  for (let index = 0; index < known.length; index += 1)
    difference |= known.charCodeAt(index) ^ given.charCodeAt(index);
  return difference === 0;
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
