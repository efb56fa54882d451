import type { ClientOperation } from '../history.js';
import { describeOperation } from '../history.js';
import { PASSING_NAMESPACE, STRICT_NAMESPACE } from '../namespaces.js';
import { COUNTER_KEY, countOf } from '../traffic.js';
import { askedByValue, type Story } from './story.js';

/**
 * Exactly once (P15): a write takes effect once at most, however often it was sent, by whichever client,
 * under an Idempotency-Key or not. Puts are known by their values, all else is counted, and a counter that
 * is raised by compare-and-set has no gap and no step taken twice.
 */
export function checkExactlyOnce(story: Story): void {
  checkPuts(story);
  checkWithoutValue(story);
  checkCounter(story);
}

function checkPuts({ world, history, chronicle }: Story): void {
  const asked = askedByValue(history.operations);
  const seen = new Map<ClientOperation, number>();
  for (const { revision, value } of chronicle.writes) {
    const operation = value === null ? undefined : asked.get(value);
    if (operation === undefined) continue;
    const before = seen.get(operation);
    if (before !== undefined) {
      world.violation(
        'none applied twice',
        `${describeOperation(operation)}: it took effect at revision ${before} and again at ${revision}`,
      );
    }
    seen.set(operation, revision);
  }
}

/**
 * Deletions, and what is done to a namespace itself, carry no value to know them by: there may not be more of
 * them in the log than were asked for and not refused. The namespaces that stay are created by the operator, whose requests are not in the history.
 */
function checkWithoutValue({ world, history, chronicle }: Story): void {
  const open = new Map<string, number>();
  const acknowledged = new Set<number>();
  for (const { kind, namespace, key, outcome, revision } of history.operations) {
    if (kind === 'get' || kind === 'put') continue;
    if (outcome === 'done' && revision !== null) acknowledged.add(revision);
    if (outcome !== 'unknown' && outcome !== 'open') continue;
    const name = `${kind} ${namespace}/${key}`;
    open.set(name, (open.get(name) ?? 0) + 1);
  }
  for (const { type, namespace, key, revision } of chronicle.writes) {
    if (type === 'put' || acknowledged.has(revision)) continue;
    if (type === 'createNamespace' && namespace !== PASSING_NAMESPACE) continue;
    const name = `${type} ${namespace}/${key}`;
    const left = (open.get(name) ?? 0) - 1;
    if (left < 0) {
      world.violation(
        'none applied twice',
        `revision ${revision} is one more ${name}: each that was asked for is accounted for`,
      );
    }
    open.set(name, left);
  }
}

/** Each increment compared with the count before it: a lost or doubled one shows in the sequence. */
function checkCounter({ world, chronicle }: Story): void {
  let count = 0;
  for (const { revision, value } of chronicle.writesOf(STRICT_NAMESPACE, COUNTER_KEY)) {
    if (countOf(value) !== count + 1) {
      world.violation(
        'counters count',
        `at revision ${revision} the counter went from ${count} to ${countOf(value)}`,
      );
    }
    count += 1;
  }
}
