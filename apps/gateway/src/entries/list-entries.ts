import {
  HEADERS,
  formatReadLevel,
  refuseHiddenNamespace,
  strengthenedLevel,
  writeEntriesJson,
  type CacheDirectives,
  type ReadLevel,
} from '@quorate/api';
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
  list: EntryList,
): Promise<Answer> {
  const elapsedMs = startElapsed();
  const level = strengthenedLevel(list.level, list.directives) ?? { level: 'eventual' };
  try {
    return await listed(store, view, tokens, list, level, elapsedMs);
  } catch (error) {
    return refusedAnswer(error, tokens, {
      level,
      view: error instanceof ViewRefusal ? view : null,
      elapsedMs,
    });
  }
}

async function listed(
  store: Store,
  view: View,
  tokens: ConsistencyTokens,
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
    const headers = {
      ...heldHeaders(outcome, view.state, false),
      [HEADERS.readConsistency]: formatReadLevel(outcome.level === 'linearizable' ? LINEARIZABLE : level),
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
  const headers = {
    ...provenHeaders(head, elapsedMs),
    [HEADERS.readConsistency]: formatReadLevel(LINEARIZABLE),
    [HEADERS.consistencyToken]: tokens.encode(head),
  };
  return bytesAnswer(200, headers, writeEntriesJson(entries, truncated, head));
}
