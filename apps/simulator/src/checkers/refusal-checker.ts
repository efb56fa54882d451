import { ACCESS_NAMESPACE, TOKENS_NAMESPACE } from '@quorate/kv';
import { describeList, describeOperation, type ClientOperation } from '../history.js';
import { PASSING_NAMESPACE } from '../namespaces.js';
import type { Story } from './story.js';

/** What any request may be refused with, for reasons that lie in members and links. */
const UNAVAILABLE = ['NO_QUORUM', 'STORE_UNREACHABLE', 'OVERLOADED', 'TIMED_OUT', 'NOT_LEADER'];

/**
 * A refusal has a reason: a request is told that the store cannot be reached just now, or what really keeps
 * it from being done, and nothing else. "There is no such namespace" of one that was never deleted is the
 * answer of a member that has forgotten something. And what must be refused is refused: another body under a
 * spent Idempotency-Key, another kind for a name that has one.
 */
export function checkRefusals({ world, history }: Story): void {
  for (const operation of history.operations) {
    const { outcome, code } = operation;
    if (code !== null && !reasonsOf(operation).includes(code)) {
      world.violation('refusals have a reason', describeOperation(operation));
    }
    if (outcome === 'done' && (operation.reusesKey || operation.changesKind)) {
      world.violation('what must be refused is refused', describeOperation(operation));
    }
  }
  for (const list of history.lists) {
    if (list.told?.type !== 'refused') continue;
    const reasons = [...UNAVAILABLE, ...missingReasons(list.namespace)];
    if (!reasons.includes(list.told.code)) world.violation('refusals have a reason', describeList(list));
  }
}

function reasonsOf(operation: ClientOperation): string[] {
  if (operation.kind === 'get') return [...UNAVAILABLE, ...missingReasons(operation.namespace)];
  const { token, tokenIs, namespace } = operation;
  const reasons = [...UNAVAILABLE, 'OUTCOME_UNKNOWN', ...writeReasons(operation)];
  if (token !== null && tokenIs !== 'known') reasons.push('UNAUTHENTICATED');
  // Of those that are valid for one revision of the tokens only.
  if (token !== null || namespace === TOKENS_NAMESPACE) reasons.push('AUTHORIZATION_CHANGED');
  return reasons;
}

/** What the state machine may say: each where it can be true only. */
function writeReasons({ kind, namespace, expected, reusesKey, changesKind }: ClientOperation): string[] {
  // The key is looked up before anything else is looked at.
  if (reusesKey) return ['IDEMPOTENCY_KEY_REUSED'];
  if (kind === 'createNamespace') return changesKind ? ['NAMESPACE_KIND_CONFLICT'] : [];
  const reasons = missingReasons(namespace);
  if (namespace === ACCESS_NAMESPACE) reasons.push('ACCESS_CHANGED');
  if (expected !== undefined) reasons.push('PRECONDITION_FAILED');
  else if (kind === 'delete') reasons.push('ENTRY_NOT_FOUND');
  return reasons;
}

function missingReasons(namespace: string): string[] {
  return namespace === PASSING_NAMESPACE ? ['NAMESPACE_NOT_FOUND'] : [];
}
