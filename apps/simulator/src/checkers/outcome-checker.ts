import { describeOperation } from '../history.js';
import type { Story } from './story.js';

/**
 * Outcomes are honest: what was refused with "surely without effect" is nowhere in the committed log (rule
 * "done, surely not done, unknown"). For deletions see `checkExactlyOnce`: one too many there is one that was
 * denied.
 */
export function checkOutcomes({ world, tookEffect }: Story): void {
  for (const [operation, revision] of tookEffect) {
    if (operation.outcome !== 'none') continue;
    world.violation(
      'outcomes are honest',
      `${describeOperation(operation)}: yet it is at revision ${revision}`,
    );
  }
}
