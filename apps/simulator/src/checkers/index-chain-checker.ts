import type { World } from '../world.js';
import type { MemberView, RunningChecker } from './member-view.js';

/**
 * The ordered chain of indexes, after each step: compacted <= snapshot <= applied <= min(commit, durable) <= last
 * (P40; openraft's "State Ordering").
 */
export class IndexChainChecker implements RunningChecker {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  observe({ id, raft, machine }: MemberView): void {
    const { commitIndex, durableIndex, lastIndex } = raft;
    const applied = machine.appliedIndex;
    const compacted = raft.firstIndex - 1;
    const snapshot = raft.snapshotPoint?.index ?? 0;
    const isOrdered =
      compacted <= snapshot && snapshot <= applied && applied <= Math.min(commitIndex, durableIndex);
    if (isOrdered && Math.max(commitIndex, durableIndex) <= lastIndex) return;
    this.#world.violation(
      'order of indexes',
      `member ${id}: compacted ${compacted}, snapshot ${snapshot}, applied ${applied}, commit ${commitIndex}, durable ${durableIndex}, last ${lastIndex}`,
    );
  }
}
