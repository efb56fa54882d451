import { HEADERS, type CheckRequest } from '@quorate/api';
import { jsonAnswer, type Answer } from '../http/answer.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import type { Store } from '../store/store.js';

/** Asks the store for a decision, as of now. Without a quorum there is none: the 503 is no "denied". */
export async function checkAccess(
  store: Store,
  tokens: ConsistencyTokens,
  token: string,
  check: CheckRequest,
): Promise<Answer> {
  const { decision, head } = await store.check(token, check);
  const { allowed, revision, policies, reason } = decision;
  const headers = {
    [HEADERS.readConsistency]: 'linearizable',
    [HEADERS.consistencyToken]: tokens.encode(head),
  };
  return jsonAnswer(200, headers, { allowed, revision, policies, reason });
}
