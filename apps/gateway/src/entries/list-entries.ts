import { HEADERS, writeEntriesJson } from '@quorate/api';
import { bytesAnswer, type Answer } from '../http/answer.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import type { Store } from '../store/store.js';

export interface EntryList {
  readonly token: string;
  readonly namespace: string;
  readonly prefix: string;
  readonly limit: number;
  readonly consistencyToken: string | undefined;
}

/**
 * The entries whose keys begin with a prefix, at one revision. Always linearizable and from the store, for every kind
 * of namespace: a cache holds what was asked for and cannot know what it lacks. The answer says so.
 */
export async function listEntries(store: Store, tokens: ConsistencyTokens, list: EntryList): Promise<Answer> {
  const seen = tokens.decode(list.consistencyToken);
  const asked = store.list(list.token, list.namespace, list.prefix, list.limit);
  const { entries, truncated, head } = await tokens.checkedAhead(seen, asked);
  const headers = {
    [HEADERS.readConsistency]: 'linearizable',
    [HEADERS.consistencyToken]: tokens.encode(head),
  };
  return bytesAnswer(200, headers, writeEntriesJson(entries, truncated, head));
}
