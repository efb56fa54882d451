import { HEADERS, QuorateError, writeEntriesJson, type CacheDirectives } from '@quorate/api';
import { bytesAnswer, type Answer } from '../http/answer.js';
import { provenHeaders, refusedAnswer, startElapsed, type ElapsedMs } from './read-headers.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import type { Store } from '../store/store.js';

export interface EntryList {
  readonly token: string;
  readonly namespace: string;
  readonly prefix: string;
  readonly limit: number;
  /** Of these only-if-cached matters: no list is held, so the answer is NOT_CACHED. */
  readonly directives: CacheDirectives;
  readonly consistencyToken: string | undefined;
}

/**
 * The entries whose keys begin with a prefix, at one revision. Always linearizable and from the store, for every kind
 * of namespace: a cache holds what was asked for and cannot know what it lacks. The answer says so.
 */
export async function listEntries(store: Store, tokens: ConsistencyTokens, list: EntryList): Promise<Answer> {
  const elapsedMs = startElapsed();
  try {
    return await listed(store, tokens, list, elapsedMs);
  } catch (error) {
    return refusedAnswer(error, tokens, { level: { level: 'linearizable' }, view: null, elapsedMs });
  }
}

async function listed(
  store: Store,
  tokens: ConsistencyTokens,
  list: EntryList,
  elapsedMs: ElapsedMs,
): Promise<Answer> {
  const seen = tokens.decode(list.consistencyToken);
  if (list.directives.onlyIfCached) {
    throw new QuorateError('NOT_CACHED', 'Lists are not held here: they come from the store, always.');
  }
  const asked = store.list(list.token, list.namespace, list.prefix, list.limit);
  const { entries, truncated, head } = await tokens.checkedAhead(seen, asked);
  const headers = {
    ...provenHeaders(head, elapsedMs),
    [HEADERS.readConsistency]: 'linearizable',
    [HEADERS.consistencyToken]: tokens.encode(head),
  };
  return bytesAnswer(200, headers, writeEntriesJson(entries, truncated, head));
}
