import { ACCESS_NAMESPACE } from '@quorate/kv';
import { evaluateSimply, type SimpleDecision } from '../access-world.js';
import type { Chronicle } from '../chronicle.js';
import { describeDecision, type DecisionRecord } from '../history.js';
import { Acknowledgements, type Story } from './story.js';

/** What may be said instead of a decision: that there is none now. Never "allowed", and never "forbidden". */
const REFUSALS = new Set(['NO_QUORUM', 'STORE_UNREACHABLE', 'OVERLOADED', 'TIMED_OUT', 'NOT_LEADER']);

/**
 * Decisions are never older than their revision says (R23, R24). Each equals what a simple evaluation,
 * without Cedar, makes of the policies and entities at the revision that it names; that is the newest access
 * revision of the state that answered; and every change of access that was acknowledged, or committed at all,
 * before the check was asked is in it: a revoked right opens no door. Without a quorum there is no decision.
 */
export function checkDecisions({ world, history, chronicle }: Story): void {
  const acknowledged = new Acknowledgements(history.operations, ACCESS_NAMESPACE);
  for (const record of history.decisions) {
    const { told, invokedMs } = record;
    if (told?.type === 'refused' && !REFUSALS.has(told.code)) {
      world.violation('a check is decided or put off', describeDecision(record));
    }
    if (told?.type !== 'decided') continue;
    const newest = chronicle.namespaceRevisionAt(ACCESS_NAMESPACE, told.head);
    const needed = Math.max(
      acknowledged.newestBefore(invokedMs),
      chronicle.newestCommittedBefore(ACCESS_NAMESPACE, invokedMs),
    );
    if (told.revision < needed || told.revision !== newest) {
      world.violation(
        'decisions are never older than they say',
        `${describeDecision(record)}: access revision ${needed} came before the question, the answer's state had ${newest}`,
      );
    }
    const { allowed, policies } = evaluateAt(chronicle, record, told.revision);
    if (told.allowed === allowed && told.policies.join() === [...policies].sort().join()) continue;
    world.violation(
      'decisions follow from the policies',
      `${describeDecision(record)}; looked up by hand it is ${allowed ? 'allowed' : 'denied'} by ${policies.join(', ') || 'no policy'}`,
    );
  }
}

function evaluateAt(chronicle: Chronicle, { check }: DecisionRecord, revision: number): SimpleDecision {
  return evaluateSimply(check, (key) => chronicle.latest(ACCESS_NAMESPACE, key, revision)?.value ?? null);
}
