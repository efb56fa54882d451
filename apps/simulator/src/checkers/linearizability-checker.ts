import { checkRevisionSweep } from '@quorate/linearizability';
import { describeOperation, type ClientOperation, type History } from '../history.js';
import type { World } from '../world.js';

/**
 * All clients' histories, twice: as a client could judge them, with unknown outcomes left open for ever, and with the
 * revisions at which the committed log says that they took effect.
 */
export function checkLinearizability(
  world: World,
  history: History,
  tookEffect: ReadonlyMap<ClientOperation, number>,
): void {
  for (const revisionOf of [() => null, (operation: ClientOperation) => tookEffect.get(operation) ?? null]) {
    const verdict = checkRevisionSweep(history.toCheck(revisionOf));
    if (verdict.linearizable) continue;
    const involved = verdict.offending.flatMap((id) => history.operations[Math.abs(id) - 1] ?? []);
    world.violation(
      'linearizability',
      `${verdict.reason} (${involved.map((operation) => `${describeOperation(operation)}, asked by ${operation.client}`).join('; ')})`,
    );
  }
}
