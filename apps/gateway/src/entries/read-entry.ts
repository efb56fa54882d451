import {
  HEADERS,
  QuorateError,
  formatAge,
  formatCacheStatus,
  formatReadLevel,
  formatStaleness,
  isNotModified,
  strongEtag,
  weakEtag,
  writeEnvelopeJson,
  type ConsistencyToken,
  type ErrorCode,
  type ReadLevel,
} from '@quorate/api';
import type { Entry, Revision } from '@quorate/kv';
import { bytesAnswer, notModified, problemAnswer, type Answer } from '../http/answer.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import type { Store, View, ViewHit, ViewOutcome, ViewRead } from '../store/store.js';

/** A read of one entry, whichever transport it came over. */
export interface EntryRead {
  readonly token: string;
  readonly namespace: string;
  readonly key: string;
  /** Null: not asked for, so the namespace's own level holds. */
  readonly level: ReadLevel | null;
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
  /** Headers that say how old the answer can be; none when it is linearizable. Those of every answer are added here. */
  readonly headers: Record<string, string>;
}

/**
 * Reads one entry. The view is asked first: it knows which namespaces are cached, and says so when one is not. What it
 * cannot prove goes to the store. A level is only ever strengthened.
 */
export async function readEntry(
  store: Store,
  view: View,
  tokens: ConsistencyTokens,
  read: EntryRead,
): Promise<Answer> {
  const seen = tokens.decode(read.consistencyToken);
  const level = read.level ?? { level: 'eventual' };
  const viewRead = planViewRead(read, level, seen, tokens.epoch);
  const outcome = await view.read(viewRead);
  const result =
    outcome.type === 'hit' && !needsProof(outcome, level, seen)
      ? hitResult(view, outcome, level)
      : await storeResult(store, view, tokens, read, level, seen, outcome);
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

/**
 * What to ask of the view. `session` is an eventual read with a floor; a token of another epoch says nothing about
 * this one's revisions, so that read becomes linearizable.
 */
export function planViewRead(
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
  outcome: ViewOutcome,
): Promise<ReadResult> {
  if (outcome.type === 'refused' && outcome.code !== 'CACHE_NOT_READY') {
    const { revision } = view.status();
    throw new QuorateError(outcome.code, undefined, revision === null ? {} : { head: revision });
  }
  const { entry, head } = await tokens
    .checkedAhead(seen, store.get(read.token, read.namespace, read.key))
    .catch((error: unknown) => Promise.reject(fallbackFailure(error, level, outcome)));
  return { entry, level: { level: 'linearizable' }, revision: head, epoch: tokens.epoch, headers: {} };
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
  if (hit.level === 'linearizable') {
    return { entry, level: { level: 'linearizable' }, revision, epoch, headers: {} };
  }
  const staleness = { ms: hit.stalenessMs, lag: hit.lag, revision, quorum: hit.quorum };
  const headers: Record<string, string> = {
    [HEADERS.staleness]: formatStaleness(staleness),
    [HEADERS.cacheStatus]: formatCacheStatus(!hit.filled, view.state),
  };
  if (hit.stalenessMs !== null) {
    headers[HEADERS.age] = formatAge(hit.stalenessMs);
  }
  return { entry, level: asked, revision, epoch, headers };
}

const UNAVAILABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'NO_QUORUM',
  'STORE_UNREACHABLE',
  'TIMED_OUT',
]);

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
