import type { World } from '../world.js';
import type { MemberView, RunningChecker } from './member-view.js';

/**
 * Election Safety (Raft, figure 3): at most one leader in a term. A process that starts anew is another
 * leader.
 */
export class ElectionChecker implements RunningChecker {
  readonly #world: World;
  readonly #leaderOf = new Map<number, string>();
  readonly #leads = new Map<number, number>();

  constructor(world: World) {
    this.#world = world;
  }

  get elections(): number {
    return this.#leaderOf.size;
  }

  observe(member: MemberView): void {
    const { raft } = member;
    if (raft.role !== 'leader' || this.#leads.get(member.id) === raft.term) return;
    const life = `member ${member.id}, process ${member.process}`;
    const other = this.#leaderOf.get(raft.term);
    if (other !== undefined && other !== life) {
      this.#world.violation('one leader per term', `${life} leads term ${raft.term}, and so did ${other}`);
    }
    this.#leads.set(member.id, raft.term);
    this.#leaderOf.set(raft.term, life);
    this.#world.tell(`member ${member.id} leads term ${raft.term}`);
  }
}
