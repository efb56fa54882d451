import { hash as digestOf, timingSafeEqual } from 'node:crypto';
import { failure } from './errors.js';
import type { StoreFailure } from './errors.js';
import { NEEDS, type Need } from './needs.js';
import { ADMIN_PRINCIPAL, coversNeed, decodeTokenRecord } from './token-record.js';

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

/** Before the random part, so that one that lies about is known for what it is. */
export const ACCESS_TOKEN_PREFIX = 'quorate_';
/** The random part, in base64url. */
export const ACCESS_TOKEN_RANDOM_BYTES = 32;

/** True for text of the form that every access token but the admin's has. Any other is known to nobody, and need not be looked up. */
export function isAccessToken(token: string): boolean {
  return /^quorate_[A-Za-z0-9_-]{43}$/.test(token);
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

/** Who asks for what, and what is known of him: all that a decision about a token depends on. */
export interface TokenQuestion {
  /** 64 hex digits. */
  readonly adminTokenHash: string;
  /** The bearer token; null or empty: the request carries none. */
  readonly token: string | null;
  /** The value that the namespace `tokens` has under this key (the token's hash), or null. Called at most once, and not for the admin. */
  readonly recordOf: (tokenHash: string) => Uint8Array | null;
  readonly need: Need;
  /** What the need is about; null: no namespace, or all of them. */
  readonly namespace: string | null;
  /** The `readers` of its record, for a need `entries:read`; null: whoever may read at all, or it does not exist. */
  readonly readers: readonly string[] | null;
  /** The instant of the decision, in milliseconds since 1970. */
  readonly nowMs: number;
}

/** Who a caller turned out to be. */
export interface Caller {
  readonly principal: string;
  /** By the admin token: his right does not depend on the state. */
  readonly isAdmin: boolean;
}

const ADMIN: Caller = { principal: ADMIN_PRINCIPAL, isAdmin: true };

/**
 * Who the caller is, if he may do what `need` names: the one function by which members and caches decide this. It reads no clock and
 * keeps nothing of the question. It fails closed: what is malformed has no right.
 * UNAUTHENTICATED: no token, not known, or expired. FORBIDDEN: no scope gives the right, or he is not among the readers.
 */
export function authorizeToken(question: TokenQuestion): Caller | StoreFailure {
  const { token, need, namespace, readers } = question;
  if (token === null || token === '')
    return failure('UNAUTHENTICATED', 'The request carries no bearer token.');
  if (token.length > TOKEN_LENGTH_MAX) return unknownToken();
  if (!NEEDS.includes(need)) return failure('FORBIDDEN', `There is no right called ${String(need)}.`);
  if (tokenMatches(question.adminTokenHash, token)) return ADMIN;
  if (!isAccessToken(token)) return unknownToken();
  const bytes = question.recordOf(hashToken(token));
  const record = bytes === null ? null : decodeTokenRecord(bytes);
  if (record === null) return unknownToken();
  // Not `>=`: an instant that is no number must not make it live for ever.
  if (record.expiresAtMs !== null && !(question.nowMs < record.expiresAtMs))
    return failure('UNAUTHENTICATED', 'The bearer token has expired.');
  if (!coversNeed(record.scopes, need, namespace)) {
    const where = namespace === null ? '' : ` in the namespace ${namespace}`;
    return failure('FORBIDDEN', `The token has no scope for ${need}${where}.`);
  }
  if (need === 'entries:read' && readers !== null && !readers.includes(record.principal))
    return failure(
      'FORBIDDEN',
      `The principal is not among the readers of the namespace ${String(namespace)}.`,
    );
  return { principal: record.principal, isAdmin: false };
}

function unknownToken(): StoreFailure {
  return failure('UNAUTHENTICATED', 'The bearer token is not known.');
}
