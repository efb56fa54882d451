import type { World } from '../world.js';
import type { MemberView, RunningChecker } from './member-view.js';

/**
 * The ordered chain of indexes, after each step: applied <= min(commit, durable) <= last (P40; openraft's
 * "State Ordering"). A snapshot's index will stand before `applied`, and what is purged before that.
 */
export class IndexChainChecker implements RunningChecker {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  observe({ id, raft, machine }: MemberView): void {
    const { commitIndex, durableIndex, lastIndex } = raft;
    const applied = machine.appliedIndex;
    if (applied <= Math.min(commitIndex, durableIndex) && Math.max(commitIndex, durableIndex) <= lastIndex)
      return;
    this.#world.violation(
      'order of indexes',
      `member ${id}: applied ${applied}, commit ${commitIndex}, durable ${durableIndex}, last ${lastIndex}`,
    );
  }
}
