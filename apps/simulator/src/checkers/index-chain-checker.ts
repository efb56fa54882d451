import type { World } from '../world.js';
import type { MemberView } from './member-view.js';

interface LastSeen {
  readonly process: number;
  readonly term: number;
  readonly commit: number;
  readonly applied: number;
}

/** The chain applied <= min(commit, durable) <= last, after each step; term, commit and applied never go back in a process's life. */
export class IndexChainChecker {
  readonly #world: World;
  readonly #last = new Map<number, LastSeen>();

  constructor(world: World) {
    this.#world = world;
  }

  observe(member: MemberView): void {
    const { id, process, raft, machine } = member;
    const { commitIndex, durableIndex, lastIndex, term } = raft;
    const applied = machine.appliedIndex;
    if (applied > Math.min(commitIndex, durableIndex) || Math.max(commitIndex, durableIndex) > lastIndex) {
      this.#world.violation(
        'order of indexes',
        `member ${id}: applied ${applied}, commit ${commitIndex}, durable ${durableIndex}, last ${lastIndex}`,
      );
    }
    const before = this.#last.get(id);
    if (before !== undefined && before.process === process) {
      if (term < before.term || commitIndex < before.commit || applied < before.applied) {
        this.#world.violation(
          'nothing goes back',
          `member ${id}: term ${before.term} to ${term}, commit ${before.commit} to ${commitIndex}, applied ${before.applied} to ${applied}`,
        );
      }
    }
    this.#last.set(id, { process, term, commit: commitIndex, applied });
  }
}
