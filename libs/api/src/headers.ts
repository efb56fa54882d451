import { revision, type Condition, type NamespaceKind, type Revision } from '@quorate/kv';
import { QuorateError } from './errors.js';

/** Names of the headers that the API reads and writes, as written on answers. */
export const HEADERS = {
  readConsistency: 'Read-Consistency',
  cacheControl: 'Cache-Control',
  consistencyToken: 'Consistency-Token',
  idempotencyKey: 'Idempotency-Key',
  staleness: 'Staleness',
  cacheStatus: 'Cache-Status',
  age: 'Age',
  etag: 'ETag',
  ifMatch: 'If-Match',
  ifNoneMatch: 'If-None-Match',
  retryAfter: 'Retry-After',
} as const;

/** How new an answer must be. */
export type ReadLevel =
  | { readonly level: 'eventual' }
  | { readonly level: 'bounded'; readonly ms: number }
  | { readonly level: 'session' }
  | { readonly level: 'linearizable' };

/** The largest staleness bound that may be asked for: a day. */
export const BOUNDED_MS_MAX = 86_400_000;

const HEADER_LENGTH_MAX = 1024;

/**
 * Reads a `Read-Consistency` header, an RFC 9651 item; null when there is none. A safety level may not be ignored or
 * guessed: whatever is not understood completely is refused with UNKNOWN_READ_CONSISTENCY.
 */
export function parseReadLevel(header: string | undefined | null): ReadLevel | null {
  if (header === undefined || header === null) return null;
  const text = header.length <= HEADER_LENGTH_MAX ? header.replace(/^ +| +$/g, '') : '';
  if (text === 'eventual' || text === 'session' || text === 'linearizable') return { level: text };
  const ms = Number(/^bounded; *ms=([0-9]{1,15})$/.exec(text)?.[1]);
  if (ms >= 1 && ms <= BOUNDED_MS_MAX) return { level: 'bounded', ms };
  throw new QuorateError(
    'UNKNOWN_READ_CONSISTENCY',
    `Read-Consistency: ${excerpt(header)} is not a read level.`,
    {
      field: HEADERS.readConsistency,
    },
  );
}

/** The inverse of parseReadLevel; also what an answer echoes as its effective level. */
export function formatReadLevel(level: ReadLevel): string {
  return level.level === 'bounded' ? `bounded;ms=${level.ms}` : level.level;
}

/**
 * The level that holds: a request may only strengthen its namespace's own. `kind` null is a namespace that the gateway
 * does not know: it is treated as strict.
 */
export function effectiveLevel(requested: ReadLevel | null, kind: NamespaceKind | null): ReadLevel {
  if (kind !== 'cached') return { level: 'linearizable' };
  return requested ?? { level: 'eventual' };
}

/** The validator of a linearizable answer, whoever gave it. */
export function strongEtag(of: Revision): string {
  return `"m${of}"`;
}

/** The validator of every weaker answer: If-Match never matches it. */
export function weakEtag(of: Revision): string {
  return `W/"m${of}"`;
}

interface EntityTag {
  readonly weak: boolean;
  /** Null: a well-formed tag that we never gave out. */
  readonly revision: Revision | null;
}

/** Parses a list of entity tags (RFC 9110 section 8.8.3); null when it is not one. */
function parseEntityTags(header: string): EntityTag[] | null {
  if (header.length > HEADER_LENGTH_MAX) return null;
  const tags: EntityTag[] = [];
  const pattern = /[ \t]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(,|$)/y;
  while (pattern.lastIndex < header.length) {
    const match = pattern.exec(header);
    if (match === null) return null;
    tags.push({ weak: match[1] !== undefined, revision: tagRevision(match[2] ?? '') });
    if (match[3] === '' || pattern.lastIndex === 0) break;
  }
  const complete = tags.length > 0 && !/,[ \t]*$/.test(header);
  return complete ? tags : null;
}

function tagRevision(opaque: string): Revision | null {
  const digits = /^m([1-9][0-9]{0,15})$/.exec(opaque)?.[1];
  const value = Number(digits);
  return digits !== undefined && Number.isSafeInteger(value) ? revision(value) : null;
}

/**
 * The condition of a write from `If-Match` and `If-None-Match`.
 * WEAK_VALIDATOR: a weak tag in If-Match, which compares strongly. INVALID_REQUEST: both headers, several tags, a tag
 * that no answer of ours carried, or an If-None-Match other than `*`.
 */
export function parseCondition(
  ifMatch: string | undefined | null,
  ifNoneMatch: string | undefined | null,
): Condition {
  const match = ifMatch ?? null;
  const noneMatch = ifNoneMatch ?? null;
  if (match !== null && noneMatch !== null) {
    throw new QuorateError('INVALID_REQUEST', 'If-Match and If-None-Match exclude each other.', {
      field: HEADERS.ifMatch,
    });
  }
  if (match !== null) return parseIfMatch(match);
  if (noneMatch === null) return { type: 'none' };
  if (noneMatch.trim() === '*') return { type: 'absent' };
  throw new QuorateError(
    'INVALID_REQUEST',
    'If-None-Match on a write takes * only: "create, never replace".',
    {
      field: HEADERS.ifNoneMatch,
    },
  );
}

function parseIfMatch(header: string): Condition {
  const field = HEADERS.ifMatch;
  if (header.trim() === '*') return { type: 'present' };
  const tags = parseEntityTags(header);
  const [tag] = tags ?? [];
  if (tags === null || tag === undefined) {
    throw new QuorateError('INVALID_REQUEST', `If-Match: ${excerpt(header)} is not an entity tag.`, {
      field,
    });
  }
  if (tags.some(({ weak }) => weak)) throw new QuorateError('WEAK_VALIDATOR', undefined, { field });
  if (tags.length > 1) {
    throw new QuorateError('INVALID_REQUEST', 'If-Match takes one entity tag, not several.', { field });
  }
  if (tag.revision === null) {
    throw new QuorateError('INVALID_REQUEST', 'If-Match takes the ETag of an answer, like "m123".', {
      field,
    });
  }
  return { type: 'revision', revision: tag.revision };
}

/**
 * True: the answer of a GET is 304. Compares weakly (RFC 9110 section 13.1.2); a header that cannot be read matches
 * nothing, so that the caller gets the entry.
 */
export function isNotModified(ifNoneMatch: string | undefined | null, current: Revision): boolean {
  if (ifNoneMatch === undefined || ifNoneMatch === null) return false;
  if (ifNoneMatch.trim() === '*') return true;
  return (parseEntityTags(ifNoneMatch) ?? []).some((tag) => tag.revision === current);
}

/** How old an eventual answer can be at most, and what is known about it. */
export interface Staleness {
  /** Milliseconds; null: no probe ever confirmed a bound, so no number is stated. */
  readonly ms: number | null;
  /** Revisions between the head of the last probe and what the cache has applied; null: never probed. */
  readonly lag: number | null;
  /** The revision that the cache has applied. */
  readonly revision: Revision;
  /** The last probe succeeded recently. */
  readonly quorum: boolean;
}

/** `ms=84, lag=3, revision=1234, quorum=?1`: an RFC 9651 dictionary. The bound is rounded up, never down. */
export function formatStaleness(staleness: Staleness): string {
  const ms = staleness.ms === null ? '' : `ms=${Math.ceil(staleness.ms)}, `;
  const lag = staleness.lag === null ? '' : `lag=${staleness.lag}, `;
  return `${ms}${lag}revision=${staleness.revision}, quorum=?${staleness.quorum ? 1 : 0}`;
}

/** Reads a `Staleness` header of ours; null when it is not one. For the SDK and the CLI. */
export function parseStaleness(header: string): Staleness | null {
  const pattern = /^(?:ms=(\d{1,15}), )?(?:lag=(\d{1,15}), )?revision=(\d{1,15}), quorum=\?([01])$/;
  const match = header.length <= HEADER_LENGTH_MAX ? pattern.exec(header) : null;
  if (match === null) return null;
  return {
    ms: match[1] === undefined ? null : Number(match[1]),
    lag: match[2] === undefined ? null : Number(match[2]),
    revision: revision(Number(match[3])),
    quorum: match[4] === '1',
  };
}

/** `quorate; hit; detail=live` (RFC 9211). `detail` is the state of the cache. */
export function formatCacheStatus(hit: boolean, detail: 'empty' | 'syncing' | 'live' | 'stale'): string {
  return `quorate; ${hit ? 'hit' : 'fwd=miss'}; detail=${detail}`;
}

/** `Age` in whole seconds. Rounded up: an answer is never said to be younger than it may be. */
export function formatAge(ms: number): string {
  return String(Math.ceil(ms / 1000));
}

/** `Retry-After` in whole seconds, at least 1. */
export function formatRetryAfter(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1000)));
}

function excerpt(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
