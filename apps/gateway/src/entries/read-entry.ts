import {
  HEADERS,
  QuorateError,
  formatReadLevel,
  isNotModified,
  strengthenedLevel,
  strongEtag,
  weakEtag,
  writeEnvelopeJson,
  type CacheDirectives,
  type ConsistencyToken,
  type ErrorCode,
  type ReadLevel,
} from '@quorate/api';
import type { Entry, Revision } from '@quorate/kv';
import { bytesAnswer, notModified, problemAnswer, type Answer } from '../http/answer.js';
import type { ReadCounts } from '../consistency/read-counts.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import type { Store, View, ViewHit, ViewOutcome, ViewRead } from '../store/store.js';
import { heldHeaders, provenHeaders, refusedAnswer, startElapsed, type ElapsedMs } from './read-headers.js';

/** A read of one entry, whichever transport it came over. */
export interface EntryRead {
  readonly token: string;
  readonly namespace: string;
  readonly key: string;
  /** Null: not asked for, so the namespace's own level holds. */
  readonly level: ReadLevel | null;
  readonly directives: CacheDirectives;
  readonly consistencyToken: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

/** What was read, at which level, and how new it is. */
interface ReadResult {
  readonly entry: Entry | null;
  readonly level: ReadLevel;
  /** The answer holds every change up to here. */
  readonly revision: Revision;
  readonly epoch: number;
  readonly source: 'cache' | 'store';
  /** Headers that say how old the answer can be. Those of every answer are added here. */
  readonly headers: Record<string, string>;
}

/**
 * Reads one entry. The view is asked first: it knows which namespaces are cached, and says so when one is not. What it
 * cannot prove goes to the store. A level is only ever strengthened, but for `stale-if-error`, which has to be asked for.
 * Every answer says its level, and revision and bound as far as they are known; also one that is an error.
 */
export async function readEntry(
  store: Store,
  view: View,
  tokens: ConsistencyTokens,
  counts: ReadCounts,
  read: EntryRead,
): Promise<Answer> {
  const elapsedMs = startElapsed();
  const seen = tokens.decode(read.consistencyToken);
  const level = strengthenedLevel(read.level, read.directives) ?? { level: 'eventual' };
  let result: ReadResult;
  try {
    result = read.directives.onlyIfCached
      ? heldResult(view, read, level, seen)
      : await provenResult(store, view, tokens, read, level, seen, elapsedMs);
  } catch (error) {
    const instead = resultDespite(error, view, read);
    if (instead === null) {
      const isStrict = view.readHeld(read.namespace, read.key)?.type === 'strict';
      const refused = refusedAnswer(error, tokens, { level, view: isStrict ? null : view, elapsedMs });
      if (refused.status < 500) counts.count('linearizable', 'store');
      else counts.count(isStrict ? 'linearizable' : level.level, 'refused');
      return refused;
    }
    result = instead;
  }
  counts.count(result.level.level, result.source);
  const { headers } = result;
  headers[HEADERS.readConsistency] = formatReadLevel(result.level);
  headers[HEADERS.consistencyToken] = tokens.encode(result.revision, result.epoch);
  if (result.entry === null) {
    return problemAnswer(new QuorateError('ENTRY_NOT_FOUND', undefined, { head: result.revision }), headers);
  }
  const isStrong = result.level.level === 'linearizable';
  headers[HEADERS.etag] = isStrong ? strongEtag(result.entry.revision) : weakEtag(result.entry.revision);
  return isNotModified(read.ifNoneMatch, result.entry.revision)
    ? notModified(headers)
    : bytesAnswer(200, headers, writeEnvelopeJson(result.entry));
}

/** From the view where that does, else from the store. */
async function provenResult(
  store: Store,
  view: View,
  tokens: ConsistencyTokens,
  read: EntryRead,
  level: ReadLevel,
  seen: ConsistencyToken | null,
  elapsedMs: ElapsedMs,
): Promise<ReadResult> {
  const outcome = await view.read(planViewRead(read, level, seen, tokens.epoch));
  return outcome.type === 'hit' && !needsProof(outcome, level, seen)
    ? hitResult(view, outcome, level)
    : storeResult(store, view, tokens, read, level, seen, elapsedMs, outcome);
}

/**
 * What to ask of the view. `session` is an eventual read with a floor; a token of another epoch says nothing about
 * this one's revisions, so that read becomes linearizable.
 */
function planViewRead(
  read: { readonly namespace: string; readonly key: string },
  level: ReadLevel,
  seen: ConsistencyToken | null,
  epoch: number,
): ViewRead {
  const { namespace, key } = read;
  switch (level.level) {
    case 'eventual':
      return { namespace, key, level: { type: 'eventual' }, minRevision: null };
    case 'bounded':
      return { namespace, key, level: { type: 'bounded', boundMs: level.ms }, minRevision: null };
    case 'linearizable':
      return { namespace, key, level: { type: 'linearizable' }, minRevision: null };
    case 'session':
      return seen !== null && seen.epoch !== epoch
        ? { namespace, key, level: { type: 'linearizable' }, minRevision: null }
        : { namespace, key, level: { type: 'eventual' }, minRevision: seen?.revision ?? null };
  }
}

/** The store's answer where the view's does not do, or the refusal. */
async function storeResult(
  store: Store,
  view: View,
  tokens: ConsistencyTokens,
  read: EntryRead,
  level: ReadLevel,
  seen: ConsistencyToken | null,
  elapsedMs: ElapsedMs,
  outcome: ViewOutcome,
): Promise<ReadResult> {
  if (outcome.type === 'refused' && outcome.code !== 'CACHE_NOT_READY') {
    const { revision } = view.status();
    throw new QuorateError(outcome.code, undefined, revision === null ? {} : { head: revision });
  }
  const { entry, head } = await tokens
    .checkedAhead(seen, store.get(read.token, read.namespace, read.key))
    .catch((error: unknown) => Promise.reject(fallbackFailure(error, level, outcome)));
  const headers = provenHeaders(head, elapsedMs);
  const { epoch } = tokens;
  return { entry, level: { level: 'linearizable' }, revision: head, epoch, source: 'store', headers };
}

/**
 * The view's answer alone does not do for this token. A linearizable one behind it: strict writes do not move the view,
 * so only the store's own head says whether something is missing. A session one of another epoch: its revisions and
 * the token's do not compare.
 */
function needsProof(hit: ViewHit, level: ReadLevel, seen: ConsistencyToken | null): boolean {
  if (seen === null) {
    return false;
  }
  const isBehind = seen.epoch === hit.epoch && seen.revision > hit.revision;
  return hit.level === 'linearizable'
    ? isBehind
    : level.level === 'session' && (isBehind || seen.epoch !== hit.epoch);
}

function hitResult(view: View, hit: ViewHit, asked: ReadLevel): ReadResult {
  const { entry, revision, epoch } = hit;
  // A session read whose token is of another epoch was asked for, and had, as a linearizable one.
  const level: ReadLevel = hit.level === 'linearizable' ? { level: 'linearizable' } : asked;
  return { entry, level, revision, epoch, source: 'cache', headers: heldHeaders(hit, view.state) };
}

/** `only-if-cached`: what is held, if it has the level without anybody being asked. Throws NOT_CACHED. */
function heldResult(
  view: View,
  read: EntryRead,
  level: ReadLevel,
  seen: ConsistencyToken | null,
): ReadResult {
  const held = view.readHeld(read.namespace, read.key);
  if (held?.type === 'strict') {
    throw notCached(view, 'This gateway knows of no cached namespace of this name.');
  }
  if (held?.type !== 'hit') {
    throw notCached(view, 'The entry is not held here.');
  }
  if (!hasLevel(held, level, seen)) {
    throw notCached(view, `The entry is held, but only the store can prove ${formatReadLevel(level)}.`);
  }
  return hitResult(view, held, level);
}

function hasLevel(held: ViewHit, level: ReadLevel, seen: ConsistencyToken | null): boolean {
  switch (level.level) {
    case 'eventual':
      return true;
    case 'bounded':
      return isWithin(held, level.ms);
    case 'session':
      return !needsProof(held, level, seen);
    case 'linearizable':
      return false;
  }
}

function isWithin({ stalenessMs }: ViewHit, boundMs: number): boolean {
  return stalenessMs !== null && stalenessMs <= boundMs;
}

function notCached(view: View, text: string): QuorateError {
  const { revision } = view.status();
  return new QuorateError('NOT_CACHED', text, revision === null ? {} : { head: revision });
}

/** The store could not be asked. */
const UNAVAILABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'NO_QUORUM',
  'STORE_UNREACHABLE',
  'TIMED_OUT',
]);
/** What comes of that, as the caller is told. Not among them: what the store decided, and that nothing is held. */
const STALE_INSTEAD_OF: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...UNAVAILABLE,
  'STALENESS_BOUND_EXCEEDED',
  'TOKEN_NOT_REACHED',
]);

/**
 * `stale-if-error=S`: the level could not be had because the store cannot be asked; then what is held, if it is proven to
 * be at most S seconds old, and labelled as what it is. Null: the error stands. The view says of each strict namespace, and
 * of each that it does not know, that it holds nothing of it: strict data never comes this way.
 */
function resultDespite(error: unknown, view: View, read: EntryRead): ReadResult | null {
  const { staleIfErrorSeconds } = read.directives;
  if (staleIfErrorSeconds === null || !(error instanceof QuorateError) || !STALE_INSTEAD_OF.has(error.code)) {
    return null;
  }
  const held = view.readHeld(read.namespace, read.key);
  return held?.type === 'hit' && isWithin(held, staleIfErrorSeconds * 1000)
    ? hitResult(view, held, { level: 'eventual' })
    : null;
}

/**
 * What the caller is told when the store cannot stand in for the view. "Cached reads go on" would be a lie before the
 * first sync; a session read learns that its token was not reached. The facts of the store's answer go along.
 */
function fallbackFailure(error: unknown, level: ReadLevel, outcome: ViewOutcome): unknown {
  if (!(error instanceof QuorateError) || !UNAVAILABLE.has(error.code) || level.level === 'linearizable') {
    return error;
  }
  if (outcome.type === 'refused') {
    return new QuorateError('CACHE_NOT_READY', undefined, error.details);
  }
  const isSession = outcome.type === 'fallback' && level.level === 'session';
  return isSession ? new QuorateError('TOKEN_NOT_REACHED', undefined, error.details) : error;
}
