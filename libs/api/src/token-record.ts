import { READER_BYTES_MAX, isNamespaceName } from '@quorate/kv';
import { NEEDS, type Need } from './needs.js';

/** Tokens at a time. */
export const TOKENS_MAX = 10_000;
/** Scopes of one token. */
export const SCOPES_MAX = 64;
/** In bytes of UTF-8. That of a principal is the same as of a reader: a namespace must be able to name him. */
export const TOKEN_NAME_BYTES_MAX = 256;
export const TOKEN_PRINCIPAL_BYTES_MAX = READER_BYTES_MAX;
/** So much of its hash names a token to people: the rest is shown to nobody. */
export const TOKEN_ID_LENGTH = 12;
/** The principal of the admin token. No other token may have it: idempotency keys belong to principals. */
export const ADMIN_PRINCIPAL = 'admin';
/** The last instant that a date can name. */
const INSTANT_MS_MAX = 8_640_000_000_000_000;
/** Each right, in each namespace. */
export const SCOPE_ALL = '*';

/** What is known of one access token, in the namespace `tokens` under the SHA-256 of the token in hex. */
export interface TokenRecord {
  /** For people: 1 to 256 bytes. */
  readonly name: string;
  /** Whom the token stands for: 1 to 256 bytes, and not `admin`. */
  readonly principal: string;
  /** At most 64, each once: `entries:read` (in every namespace), `entries:read@content` (in one), `*` (each right there is). */
  readonly scopes: readonly string[];
  /** Milliseconds since 1970. From then on the token is not known. Null: never. */
  readonly expiresAtMs: number | null;
}

/** The key of a token in the namespace `tokens`: 64 hex digits. */
export function isTokenKey(key: string): boolean {
  return /^[0-9a-f]{64}$/.test(key);
}

/** What names a token to people: the first 12 hex digits of its hash. */
export function isTokenId(id: string): boolean {
  return /^[0-9a-f]{12}$/.test(id);
}

/** The id of the token with this key. */
export function tokenIdOf(key: string): string {
  return key.slice(0, TOKEN_ID_LENGTH);
}

/** The one form in which a record is stored: JSON with these names in this order and no space. */
export function encodeTokenRecord({ name, principal, scopes, expiresAtMs }: TokenRecord): Uint8Array {
  return Buffer.from(JSON.stringify({ name, principal, scopes, expiresAtMs }), 'utf8');
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Null for all but exactly what `encodeTokenRecord` makes of a valid record: what is malformed has no right at all. */
export function decodeTokenRecord(bytes: Uint8Array): TokenRecord | null {
  let text: string;
  let json: unknown;
  try {
    text = strictUtf8.decode(bytes);
    json = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof json !== 'object' || json === null) return null;
  if (!('name' in json && 'principal' in json && 'scopes' in json && 'expiresAtMs' in json)) return null;
  const { name, principal, scopes, expiresAtMs } = json;
  if (!isShortText(name, TOKEN_NAME_BYTES_MAX) || !isTokenPrincipal(principal)) return null;
  if (!areScopes(scopes) || !(expiresAtMs === null || isInstant(expiresAtMs))) return null;
  const record = { name, principal, scopes, expiresAtMs };
  // Another spelling of the same, or one name twice: nobody of ours wrote that.
  return Buffer.from(encodeTokenRecord(record)).toString('utf8') === text ? record : null;
}

/** True for text that can name somebody. */
export function isPrincipal(value: unknown): value is string {
  return isShortText(value, TOKEN_PRINCIPAL_BYTES_MAX);
}

/** True for whom a token can stand for. */
export function isTokenPrincipal(value: unknown): value is string {
  return isPrincipal(value) && value !== ADMIN_PRINCIPAL;
}

/** True for text that can be the name of a token. */
export function isTokenName(value: unknown): value is string {
  return isShortText(value, TOKEN_NAME_BYTES_MAX);
}

/** `*`, a right, or a right in one namespace: `entries:read@content`. */
export function isScope(value: unknown): value is string {
  if (typeof value !== 'string') return false;
  if (value === SCOPE_ALL) return true;
  const at = value.indexOf('@');
  const right = at === -1 ? value : value.slice(0, at);
  return NEEDS.some((need) => need === right) && (at === -1 || isNamespaceName(value.slice(at + 1)));
}

/** True when one of the scopes gives this right, in this namespace (null: it is about none). */
export function coversNeed(scopes: readonly string[], need: Need, namespace: string | null): boolean {
  return scopes.some(
    (scope) =>
      scope === SCOPE_ALL || scope === need || (namespace !== null && scope === `${need}@${namespace}`),
  );
}

function areScopes(value: unknown): value is string[] {
  if (!Array.isArray(value) || value.length > SCOPES_MAX) return false;
  return value.every(isScope) && new Set(value).size === value.length;
}

function isInstant(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= INSTANT_MS_MAX;
}

/** Well-formed, and nothing that a terminal would take for a command. */
function isShortText(value: unknown, bytesMax: number): value is string {
  if (typeof value !== 'string' || value === '' || /[\p{Cc}\p{Surrogate}]/u.test(value)) return false;
  return Buffer.byteLength(value, 'utf8') <= bytesMax;
}
