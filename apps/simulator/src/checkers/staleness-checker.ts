import { describeRead, type CacheReadRecord } from '../gateway.js';
import { CACHED_NAMESPACE, PASSING_NAMESPACE } from '../namespaces.js';
import { Acknowledgements, type Story } from './story.js';

/**
 * Staleness is never understated (design, "The staleness bound"; R27). An answer that states `staleness = s`
 * was given at t; with t0 = t - s, s counted by the gateway's own clocks:
 * - every write of cached data that was acknowledged anywhere before t0 is in it: the promise;
 * - and every write that was committed before t0, whether or not anybody had been told: what the quorum round
 *   of a probe gives besides, since a leader that is confirmed after t0 has every earlier commit in its log
 *   and applies up to there before it answers. True commit times, which no host knows.
 * A bounded answer keeps its bound, and a linearizable one has all that was there before it was asked.
 */
export function checkStaleness({ world, cacheReads, history, chronicle }: Story): void {
  const acknowledgedIn = new Map(
    [CACHED_NAMESPACE, PASSING_NAMESPACE].map((name) => [
      name,
      new Acknowledgements(history.operations, name),
    ]),
  );
  for (const read of cacheReads) {
    const { namespace, outcome, level } = read;
    if (outcome.type !== 'hit') continue;
    const { stalenessMs } = outcome;
    if (level.type === 'bounded' && (stalenessMs === null || stalenessMs > level.boundMs)) {
      world.violation('a bound is kept', `${describeRead(read)}, bound ${level.boundMs} ms`);
    }
    for (const atMs of timesOf(read, stalenessMs)) {
      const told = acknowledgedIn.get(namespace)?.newestBefore(atMs) ?? 0;
      const needed = Math.max(told, chronicle.newestCommittedBefore(namespace, atMs));
      if (needed <= outcome.revision) continue;
      world.violation(
        level.type === 'linearizable' ? 'linearizable means now' : 'staleness is never understated',
        `${describeRead(read)}: revision ${needed} had been ${told === needed ? 'acknowledged' : 'committed'} before ${atMs.toFixed(1)} ms`,
      );
    }
  }
}

/** Times before which everything must be in the answer. */
function timesOf(
  { level, invokedMs, answeredMs, clockRate }: CacheReadRecord,
  stalenessMs: number | null,
): number[] {
  const times = level.type === 'linearizable' ? [invokedMs] : [];
  return stalenessMs === null ? times : [...times, answeredMs - stalenessMs / clockRate];
}
