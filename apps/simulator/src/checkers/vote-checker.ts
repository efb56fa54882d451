import type { Message } from '@quorate/raft';
import type { World } from '../world.js';
import type { RunningChecker } from './member-view.js';

/**
 * No member promises its vote to two candidates of a term, however often it crashes in between (Raft, 5.2;
 * P11). Of a vote that it lost with its disk nothing may come any more: that is for the checkers of elections and of the committed log.
 */
export class VoteChecker implements RunningChecker {
  readonly #world: World;
  readonly #voteOf = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
  }

  sent(from: number, message: Message): void {
    if (message.type === 'voteRequest') this.#vote(from, message.term, from);
    if (message.type === 'voteResponse' && message.granted) this.#vote(from, message.term, message.to);
  }

  forgot(member: number): void {
    for (const ballot of this.#voteOf.keys())
      if (ballot.startsWith(`${member}@`)) this.#voteOf.delete(ballot);
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
}
