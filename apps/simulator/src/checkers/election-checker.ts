import type { Message } from '@quorate/raft';
import type { World } from '../world.js';
import type { MemberView } from './member-view.js';

/**
 * Election safety: at most one leader in a term (Raft, figure 3), and what makes it so: no member promises its vote
 * to two candidates of a term, however often it crashes in between (P11), and never speaks in a term below one that it
 * has spoken in.
 */
export class ElectionChecker {
  readonly #world: World;
  readonly #leaderOf = new Map<number, string>();
  readonly #voteOf = new Map<string, number>();
  readonly #spokenTerm = new Map<number, number>();
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
    this.#leads.set(member.id, raft.term);
    const life = `member ${member.id}, process ${member.process}`;
    const other = this.#leaderOf.get(raft.term);
    if (other !== undefined && other !== life) {
      this.#world.violation('one leader per term', `${life} leads term ${raft.term}, and so did ${other}`);
    }
    this.#leaderOf.set(raft.term, life);
    this.#world.tell(`member ${member.id} leads term ${raft.term}`);
  }

  /** Called for each message at the moment it leaves its member. */
  sent(from: number, message: Message): void {
    if (message.type === 'preVoteRequest' || message.type === 'preVoteResponse') return;
    const spoken = this.#spokenTerm.get(from) ?? 0;
    if (message.term < spoken) {
      this.#world.violation(
        'terms never go back',
        `member ${from} sent ${message.type} in term ${message.term} after having spoken in term ${spoken}`,
      );
    }
    this.#spokenTerm.set(from, message.term);
    if (message.type === 'voteRequest') this.#vote(from, message.term, from);
    if (message.type === 'voteResponse' && message.granted) this.#vote(from, message.term, message.to);
  }

  #vote(voter: number, term: number, candidate: number): void {
    const ballot = `${voter}@${term}`;
    const before = this.#voteOf.get(ballot);
    if (before !== undefined && before !== candidate) {
      this.#world.violation(
        'one vote per term',
        `member ${voter} gave its vote of term ${term} to ${before} and then to ${candidate}`,
      );
    }
    this.#voteOf.set(ballot, candidate);
  }

  /** A restarted member must know the term of every promise it ever sent. */
  recovered(member: number, restoredTerm: number): void {
    const spoken = this.#spokenTerm.get(member) ?? 0;
    if (restoredTerm < spoken) {
      this.#world.violation(
        'terms never go back',
        `member ${member} restarted in term ${restoredTerm} after having spoken in term ${spoken}`,
      );
    }
  }
}
