import type { Chronicle, ChronicleWrite } from '../chronicle.js';
import { describeOperation, type ClientOperation } from '../history.js';
import { COUNTER_KEY, STRICT_NAMESPACE, countOf } from '../traffic.js';
import type { World } from '../world.js';

/**
 * No acknowledged write is lost, none is applied twice, and outcomes are honest: what was acknowledged is in the
 * committed log at the revision that was told, what was refused is not there, what is there was asked for, once.
 * Returns where each put took effect, for writes whose outcome stayed unknown.
 */
export function checkAcknowledgements(
  world: World,
  operations: readonly ClientOperation[],
  chronicle: Chronicle,
): ReadonlyMap<ClientOperation, number> {
  const asked = new Map<string, ClientOperation>();
  for (const operation of operations) if (operation.value !== null) asked.set(operation.value, operation);
  const tookEffect = new Map<ClientOperation, number>();
  for (const write of chronicle.writes) {
    if (write.value === null) continue;
    const operation = asked.get(write.value);
    if (operation === undefined) {
      world.violation(
        'nothing from nowhere',
        `revision ${write.revision} holds ${write.value}, which nobody asked for`,
      );
    }
    const before = tookEffect.get(operation);
    if (before !== undefined) {
      world.violation(
        'none applied twice',
        `${describeOperation(operation)}: it took effect at revision ${before} and again at ${write.revision}`,
      );
    }
    tookEffect.set(operation, write.revision);
    if (operation.outcome === 'none') {
      world.violation(
        'outcomes are honest',
        `${describeOperation(operation)}: yet it is at revision ${write.revision}`,
      );
    }
  }
  const byRevision = new Map(chronicle.writes.map((write) => [write.revision, write]));
  const acknowledged = new Map<number, ClientOperation>();
  for (const operation of operations) {
    if (operation.kind === 'get' || operation.outcome !== 'done') continue;
    checkAcknowledged(world, operation, byRevision.get(operation.revision ?? -1));
    const other = acknowledged.get(operation.revision ?? -1);
    if (other !== undefined) {
      world.violation(
        'no acknowledged write is lost',
        `two writes were acknowledged with one revision: ${describeOperation(other)}; ${describeOperation(operation)}`,
      );
    }
    acknowledged.set(operation.revision ?? -1, operation);
  }
  checkUnexplainedDeletions(world, operations, chronicle, acknowledged);
  checkCounter(world, chronicle);
  return tookEffect;
}

function checkAcknowledged(
  world: World,
  operation: ClientOperation,
  write: ChronicleWrite | undefined,
): void {
  const isIt =
    write !== undefined &&
    write.type === operation.kind &&
    write.namespace === operation.namespace &&
    write.key === operation.key &&
    write.value === operation.value;
  if (!isIt) {
    const there =
      write === undefined ? 'nothing' : `${write.type} ${write.value} of ${write.namespace}/${write.key}`;
    world.violation(
      'no acknowledged write is lost',
      `${describeOperation(operation)}: the committed log has ${there} there`,
    );
  }
}

/** Deletions carry no value to know them by: there may not be more of them in the log than were asked for and not refused. */
function checkUnexplainedDeletions(
  world: World,
  operations: readonly ClientOperation[],
  chronicle: Chronicle,
  acknowledged: ReadonlyMap<number, ClientOperation>,
): void {
  const open = new Map<string, number>();
  for (const { kind, namespace, key, outcome } of operations) {
    if (kind !== 'delete' || (outcome !== 'unknown' && outcome !== 'open')) continue;
    const name = `${namespace}/${key}`;
    open.set(name, (open.get(name) ?? 0) + 1);
  }
  for (const { type, namespace, key, revision } of chronicle.writes) {
    if (type !== 'delete' || acknowledged.has(revision)) continue;
    const name = `${namespace}/${key}`;
    const left = (open.get(name) ?? 0) - 1;
    if (left < 0) {
      world.violation(
        'none applied twice',
        `revision ${revision} deleted ${name}, but every deletion of it that was asked for is accounted for`,
      );
    }
    open.set(name, left);
  }
}

/** Each increment compared with the count before it: a lost or doubled one shows in the sequence. */
function checkCounter(world: World, chronicle: Chronicle): void {
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
