import type { World } from '../world.js';
import type { CommittedLogChecker } from './committed-log-checker.js';
import type { MemberView, RunningChecker } from './member-view.js';

/**
 * Leader Completeness (Raft, figure 3): an entry that was committed in a term is in the log of the leader of
 * every later term, from its election on. A leader that was elected late, when a later term had already
 * committed more, need not have that.
 */
export class LeaderCompletenessChecker implements RunningChecker {
  readonly #world: World;
  readonly #committed: CommittedLogChecker;
  readonly #looked = new Set<string>();

  constructor(world: World, committed: CommittedLogChecker) {
    this.#world = world;
    this.#committed = committed;
  }

  observe({ id, process, raft }: MemberView): void {
    if (raft.role !== 'leader') return;
    const reign = `${id}/${process}@${raft.term}`;
    if (this.#looked.has(reign)) return;
    this.#looked.add(reign);
    for (const { entry, inTerm } of this.#committed.committed) {
      // What is compacted away is in its snapshot, whose state is compared elsewhere.
      if (inTerm >= raft.term || entry.index < raft.firstIndex) continue;
      if (raft.termAt(entry.index) === entry.term) continue;
      this.#world.violation(
        'leader completeness',
        `member ${id} leads term ${raft.term} without entry ${entry.index} of term ${entry.term}, which was committed in term ${inTerm}`,
      );
    }
  }
}
