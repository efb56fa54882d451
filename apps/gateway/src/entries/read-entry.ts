import {
  HEADERS,
  QuorateError,
  formatReadLevel,
  isNotModified,
  refuseHiddenNamespace,
  strengthenedLevel,
  strongEtag,
  weakEtag,
  writeEnvelopeJson,
  type CacheDirectives,
  type ConsistencyToken,
  type ReadLevel,
} from '@quorate/api';
import type { Entry, Revision } from '@quorate/kv';
import { bytesAnswer, notModified, problemAnswer, type Answer } from '../http/answer.js';
import type { ReadCounts } from '../consistency/read-counts.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import type { Store, View, ViewHit, ViewOutcome } from '../store/store.js';
import {
  fallbackFailure,
  hasLevel,
  isWithin,
  needsProof,
  notCached,
  planViewRead,
  refuseDenied,
  STALE_INSTEAD_OF,
  ViewRefusal,
} from './read-levels.js';
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
  /** The bound that the cache states; null: unknown, or the store answered. */
  readonly stalenessMs: number | null;
  /** Headers that say how old the answer can be. Those of every answer are added here. */
  readonly headers: Record<string, string>;
}

/**
 * Reads one entry. The view is asked first: it knows which namespaces are cached, and says so when one is not. What it
 * cannot prove goes to the store, and so does a caller of whom it cannot know what he may read. A level is only ever strengthened, but for
 * `stale-if-error`, which has to be asked for. Every answer says its level, and revision and bound as far as they are known; also one that is an error.
 */
export async function readEntry(
  store: Store,
  view: View,
  tokens: ConsistencyTokens,
  counts: ReadCounts,
  read: EntryRead,
): Promise<Answer> {
  refuseHiddenNamespace(read.namespace);
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
      const isStrict = view.readHeld(read.namespace, read.key, read.token)?.type === 'strict';
      const refused = refusedAnswer(error, tokens, { level, view: isStrict ? null : view, elapsedMs });
      if (error instanceof ViewRefusal) counts.count(level.level, 'cache');
      else if (refused.status < 500) counts.count('linearizable', 'store');
      else counts.count(isStrict ? 'linearizable' : level.level, 'refused');
      return refused;
    }
    result = instead;
  }
  counts.count(result.level.level, result.source);
  if (result.source === 'cache' && result.level.level !== 'linearizable') counts.served(result.stalenessMs);
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
  const outcome = await view.read({
    namespace: read.namespace,
    key: read.key,
    token: read.token,
    ...planViewRead(level, seen, tokens.epoch),
  });
  return outcome.type === 'hit' && !needsProof(outcome, level, seen)
    ? hitResult(view, outcome, level)
    : storeResult(store, view, tokens, read, level, seen, elapsedMs, outcome);
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
  refuseDenied(outcome);
  if (outcome.type === 'refused' && outcome.code !== 'CACHE_NOT_READY') {
    const { revision } = view.status();
    throw new QuorateError(outcome.code, undefined, revision === null ? {} : { head: revision });
  }
  const { entry, head } = await tokens
    .checkedAhead(seen, store.get(read.token, read.namespace, read.key))
    .catch((error: unknown) => Promise.reject(fallbackFailure(error, level, outcome)));
  const headers = provenHeaders(head, elapsedMs);
  const { epoch } = tokens;
  return {
    entry,
    level: { level: 'linearizable' },
    revision: head,
    epoch,
    source: 'store',
    stalenessMs: null,
    headers,
  };
}

function hitResult(view: View, hit: ViewHit, asked: ReadLevel): ReadResult {
  const { entry, revision, epoch } = hit;
  // A session read whose token is of another epoch was asked for, and had, as a linearizable one.
  const level: ReadLevel = hit.level === 'linearizable' ? { level: 'linearizable' } : asked;
  const { stalenessMs } = hit;
  const headers = heldHeaders(hit, view.state, hit.filled);
  return { entry, level, revision, epoch, source: 'cache', stalenessMs, headers };
}

/** `only-if-cached`: what is held, if it has the level without anybody being asked. Throws NOT_CACHED. */
function heldResult(
  view: View,
  read: EntryRead,
  level: ReadLevel,
  seen: ConsistencyToken | null,
): ReadResult {
  const held = view.readHeld(read.namespace, read.key, read.token);
  if (held !== null) refuseDenied(held);
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
  const held = view.readHeld(read.namespace, read.key, read.token);
  return held?.type === 'hit' && isWithin(held, staleIfErrorSeconds * 1000)
    ? hitResult(view, held, { level: 'eventual' })
    : null;
}
