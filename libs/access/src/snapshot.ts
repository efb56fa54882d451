import { ACCESS_NAMESPACE, LIST_LIMIT_MAX, type Entry } from '@quorate/kv';
import { POLICY_PREFIX } from './keys.js';
import type { AccessSnapshot, AccessState } from './types.js';

/**
 * The access data of a state machine as it is now. A single thread gives the snapshot for free, as long as the caller
 * uses it in the same turn.
 */
export function accessSnapshot(state: AccessState): AccessSnapshot {
  return {
    revision: state.namespaceRevision(ACCESS_NAMESPACE),
    get: (key) => state.get(ACCESS_NAMESPACE, key),
    policies: () => allPolicies(state),
  };
}

function allPolicies(state: AccessState): readonly Entry[] {
  const query = { prefix: POLICY_PREFIX, limit: LIST_LIMIT_MAX };
  const { entries, truncated } = state.list(ACCESS_NAMESPACE, query);
  // A forbid might be among those left out: with a part of the policies there is no decision but "denied".
  if (truncated) throw new RangeError('there are more policies than one decision can take');
  return entries;
}
