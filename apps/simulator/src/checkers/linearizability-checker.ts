import { checkRevisionSweep } from '@quorate/linearizability';
import { describeOperation, type ClientOperation } from '../history.js';
import type { Story } from './story.js';

/**
 * Linearizability of all strict reads and writes, by a sweep in the order of revisions, twice: as a client
 * could judge them, with unknown outcomes left open for ever, and with the revisions at which the committed
 * log says that they took effect.
 */
export function checkLinearizability({ world, history, tookEffect }: Story): void {
  for (const revisionOf of [() => null, (operation: ClientOperation) => tookEffect.get(operation) ?? null]) {
    const verdict = checkRevisionSweep(history.toCheck(revisionOf));
    if (verdict.linearizable) continue;
    const involved = verdict.offending.flatMap((id) => history.operations[Math.abs(id) - 1] ?? []);
    world.violation(
      'linearizability',
      `${verdict.reason} (${involved.map((operation) => `${describeOperation(operation)}, asked by ${operation.client}`).join('; ')})`,
      verdict.offending,
    );
  }
}
