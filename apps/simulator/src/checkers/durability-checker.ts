import type { WalRecovered } from '@quorate/wal';
import type { World } from '../world.js';
import type { DurableLogs } from './durable-logs.js';
import type { RunningChecker } from './member-view.js';

/**
 * What a log has said to be durable is there at the next start, whatever happened to the process, the page
 * cache and the disk in between (P17-P20); what was still on its way is there, or not, or replaces what it
 * was to replace. A snapshot stands for the entries up to its point.
 */
export class DurabilityChecker implements RunningChecker {
  readonly #world: World;
  readonly #logs: DurableLogs;

  /** Stands before `logs` in the list of checkers: a start overwrites what was known. */
  constructor(world: World, logs: DurableLogs) {
    this.#world = world;
    this.#logs = logs;
  }

  recovered(member: number, { hardState, base, entries, snapshot }: WalRecovered): void {
    const { terms, term, vote, waiting, snapshotIndex } = this.#logs.of(member);
    if ((snapshot?.index ?? 0) < snapshotIndex) {
      this.#world.violation(
        'what is durable stays',
        `member ${member} restarted with a snapshot of index ${snapshot?.index ?? 0}; one of index ${snapshotIndex} had been durable`,
      );
    }
    const possible = new Map<number, Set<number>>();
    let firstReplaced = Infinity;
    for (const { batch } of waiting) {
      firstReplaced = Math.min(firstReplaced, batch.entries[0]?.index ?? Infinity);
      for (const entry of batch.entries) {
        const before = possible.get(entry.index) ?? new Set();
        possible.set(entry.index, before.add(entry.term));
      }
    }
    for (const [at, durableTerm] of terms.entries()) {
      const index = at + 1;
      // A snapshot stands for it, and its state is compared with everybody's.
      if (index <= (snapshot?.index ?? 0)) continue;
      const found = entries[at - base.index]?.term;
      if (found === durableTerm) continue;
      const isReplaced = index >= firstReplaced && (found === undefined || possible.get(index)?.has(found));
      if (isReplaced === true) continue;
      this.#world.violation(
        'what is durable stays',
        `member ${member} restarted with ${found === undefined ? 'nothing' : `an entry of term ${found}`} at index ${index}; term ${durableTerm} had been durable there`,
      );
    }
    const isVoteKept = hardState.term > term || vote === null || hardState.vote === vote;
    if (hardState.term < term || !isVoteKept) {
      this.#world.violation(
        'what is durable stays',
        `member ${member} restarted in term ${hardState.term} with its vote for ${hardState.vote}; durable were term ${term} and a vote for ${vote}`,
      );
    }
  }
}
