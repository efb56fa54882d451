import { checkByKey } from '@quorate/linearizability';
import { describeOperation } from '../history.js';
import type { Story } from './story.js';

/** A window that would need more is given up: the sweep over revisions has looked at it as well. */
const LIMITS = { memoEntriesMax: 20_000, configurationsMax: 500, revisions: 'rising' } as const;

/**
 * Linearizability again, by another road: a search (Wing and Gong, Lowe) over the history of each key that is
 * told nothing about the order of revisions. What it and `checkLinearizability` both overlook would have to
 * be overlooked twice.
 */
export function checkKeyLinearizability({ world, history }: Story): void {
  const verdict = checkByKey(
    history.toCheck(() => null),
    LIMITS,
  );
  if (verdict.outcome === 'linearizable') return;
  if (verdict.outcome === 'undecided') return world.mark('a window of the search by key was given up');
  const involved = verdict.offending.flatMap((id) => history.operations[Math.abs(id) - 1] ?? []);
  world.violation(
    'linearizability by key',
    `${verdict.key}: ${verdict.reason} (${involved.map(describeOperation).join('; ')})`,
    verdict.offending,
  );
}
