import {
  HEADERS,
  formatReadLevel,
  refuseHiddenNamespace,
  strengthenedLevel,
  writeEntriesJson,
  type CacheDirectives,
  type ReadLevel,
} from '@quorate/api';
import type { ReadCounts } from '../consistency/read-counts.js';
import { bytesAnswer, type Answer } from '../http/answer.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import type { Store, View } from '../store/store.js';
import { heldHeaders, provenHeaders, refusedAnswer, startElapsed, type ElapsedMs } from './read-headers.js';
import {
  fallbackFailure,
  hasLevel,
  needsProof,
  notCached,
  planViewRead,
  refuseDenied,
  ViewRefusal,
} from './read-levels.js';

const LINEARIZABLE: ReadLevel = { level: 'linearizable' };

export interface EntryList {
  readonly token: string;
  readonly namespace: string;
  readonly prefix: string;
  readonly limit: number;
  /** Null: not asked for, so the namespace's own level holds. */
  readonly level: ReadLevel | null;
  readonly directives: CacheDirectives;
  readonly consistencyToken: string | undefined;
}

/**
 * The entries whose keys begin with a prefix, at one revision. From the view, if it holds the namespace whole: only then does it know what
 * is not there. Else from the store, linearizably. The answer says which, and so does one that is an error.
 */
export async function listEntries(
  store: Store,
  view: View,
  tokens: ConsistencyTokens,
  counts: ReadCounts,
  list: EntryList,
): Promise<Answer> {
  const elapsedMs = startElapsed();
  const level = strengthenedLevel(list.level, list.directives) ?? { level: 'eventual' };
  try {
    return await listed(store, view, tokens, counts, list, level, elapsedMs);
  } catch (error) {
    const isView = error instanceof ViewRefusal;
    const refused = refusedAnswer(error, tokens, { level, view: isView ? view : null, elapsedMs });
    if (isView) counts.count(level.level, 'cache');
    else if (refused.status < 500) counts.count('linearizable', 'store');
    else counts.count(level.level, 'refused');
    return refused;
  }
}

async function listed(
  store: Store,
  view: View,
  tokens: ConsistencyTokens,
  counts: ReadCounts,
  list: EntryList,
  level: ReadLevel,
  elapsedMs: ElapsedMs,
): Promise<Answer> {
  const { namespace, prefix, limit, directives } = list;
  refuseHiddenNamespace(namespace);
  const seen = tokens.decode(list.consistencyToken);
  // Whoever wants only what is held must not make the view ask for a proof.
  const plan = planViewRead(directives.onlyIfCached ? { level: 'eventual' } : level, seen, tokens.epoch);
  const outcome = await view.list({ namespace, prefix, limit, token: list.token, ...plan });
  refuseDenied(outcome);
  if (outcome.type === 'listed' && !needsProof(outcome, level, seen)) {
    if (directives.onlyIfCached && !hasLevel(outcome, level, seen)) {
      throw notCached(view, `The list is held, but only the store can prove ${formatReadLevel(level)}.`);
    }
    const { entries, truncated, revision, epoch } = outcome;
    const had = outcome.level === 'linearizable' ? LINEARIZABLE : level;
    counts.count(had.level, 'cache');
    if (had !== LINEARIZABLE) counts.served(outcome.stalenessMs);
    const headers = {
      ...heldHeaders(outcome, view.state, false),
      [HEADERS.readConsistency]: formatReadLevel(had),
      [HEADERS.consistencyToken]: tokens.encode(revision, epoch),
    };
    return bytesAnswer(200, headers, writeEntriesJson(entries, truncated, revision));
  }
  if (directives.onlyIfCached) {
    throw notCached(view, 'This gateway does not hold the whole namespace.');
  }
  const asked = store.list(list.token, namespace, prefix, limit);
  const { entries, truncated, head } = await tokens
    .checkedAhead(seen, asked)
    .catch((error: unknown) => Promise.reject(fallbackFailure(error, level, outcome)));
  counts.count('linearizable', 'store');
  const headers = {
    ...provenHeaders(head, elapsedMs),
    [HEADERS.readConsistency]: formatReadLevel(LINEARIZABLE),
    [HEADERS.consistencyToken]: tokens.encode(head),
  };
  return bytesAnswer(200, headers, writeEntriesJson(entries, truncated, head));
}
