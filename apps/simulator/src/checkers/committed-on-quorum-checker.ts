import type { World } from '../world.js';
import type { CommittedLogChecker } from './committed-log-checker.js';
import type { DurableLogs } from './durable-logs.js';
import type { RunningChecker } from './member-view.js';

/**
 * Committed On Quorum, of durable logs (openraft; TLA+ "CommittedIsDurable"; P12): at the moment when an
 * entry is first committed anywhere, a majority of the members holds it on disk. Memory does not count, the
 * leader's own neither. The acknowledgement of a member that lost its disk since counts as long as it recovers: until then it helps nobody
 * to win who lacks the entry.
 */
export class CommittedOnQuorumChecker implements RunningChecker {
  readonly #world: World;
  readonly #committed: CommittedLogChecker;
  readonly #logs: DurableLogs;
  readonly #memberCount: number;
  #checked = 0;

  constructor(world: World, committed: CommittedLogChecker, logs: DurableLogs, memberCount: number) {
    this.#world = world;
    this.#committed = committed;
    this.#logs = logs;
    this.#memberCount = memberCount;
  }

  observe(): void {
    const { committed } = this.#committed;
    for (; this.#checked < committed.length; this.#checked += 1) {
      const entry = committed[this.#checked]?.entry;
      if (entry === undefined) return;
      const holders: number[] = [];
      for (let member = 1; member <= this.#memberCount; member += 1) {
        const { index, term } = entry;
        if (this.#logs.holds(member, index, term) || this.#logs.heldBefore(member, index, term))
          holders.push(member);
      }
      if (2 * holders.length > this.#memberCount) continue;
      this.#world.violation(
        'committed on a quorum of disks',
        `entry ${entry.index} of term ${entry.term} is committed, and on the disks of ${holders.length === 0 ? 'nobody' : holders.join(', ')} of ${this.#memberCount}`,
      );
    }
  }
}
