import { describeOperation, type ClientOperation } from '../history.js';
import type { Story } from './story.js';

/**
 * No acknowledged write is lost: each is in the committed log at the revision that its client was told, and
 * no two at one revision (openraft: "one serial, one log id"; "durability at the end").
 */
export function checkLostWrites({ world, history, chronicle }: Story): void {
  const byRevision = new Map(chronicle.writes.map((write) => [write.revision, write]));
  const acknowledged = new Map<number, ClientOperation>();
  for (const operation of history.operations) {
    const { kind, namespace, key, value, outcome } = operation;
    if (kind === 'get' || outcome !== 'done') continue;
    // A namespace that was there already: see `checkSnapshotReads`.
    if (kind === 'createNamespace' && operation.created === false) continue;
    const revision = operation.revision ?? -1;
    const write = byRevision.get(revision);
    if (write?.type !== kind || write.namespace !== namespace || write.key !== key || write.value !== value) {
      const there =
        write === undefined ? 'nothing' : `${write.type} ${write.value} of ${write.namespace}/${write.key}`;
      world.violation(
        'no acknowledged write is lost',
        `${describeOperation(operation)}: the committed log has ${there} there`,
      );
    }
    const other = acknowledged.get(revision);
    if (other !== undefined) {
      world.violation(
        'no acknowledged write is lost',
        `two writes were acknowledged with one revision: ${describeOperation(other)}; ${describeOperation(operation)}`,
      );
    }
    acknowledged.set(revision, operation);
  }
}
