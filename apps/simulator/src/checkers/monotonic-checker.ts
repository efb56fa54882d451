import type { Message } from '@quorate/raft';
import type { WalRecovered } from '@quorate/wal';
import type { World } from '../world.js';
import type { MemberView, RunningChecker } from './member-view.js';
import { promisesNothing } from './promise-checker.js';

interface LastSeen {
  readonly process: number;
  readonly term: number;
  readonly vote: number | null;
  readonly commit: number;
  readonly applied: number;
}

/**
 * Term, vote, commit and applied never go back in a process's life; and no member ever speaks in, or restarts
 * in, a term below one that it has spoken in (openraft's "Monotonic Term, Vote, Commit, Applied"). What is
 * committed stays so over a crash: see `CommittedLogChecker`.
 */
export class MonotonicChecker implements RunningChecker {
  readonly #world: World;
  readonly #last = new Map<number, LastSeen>();
  readonly #spokenTerm = new Map<number, number>();

  constructor(world: World) {
    this.#world = world;
  }

  observe({ id, process, raft, machine }: MemberView): void {
    const { commitIndex: commit, term, vote } = raft;
    const applied = machine.appliedIndex;
    const before = this.#last.get(id);
    if (before !== undefined && before.process === process) {
      const isVoteKept = term > before.term || before.vote === null || vote === before.vote;
      if (term < before.term || !isVoteKept || commit < before.commit || applied < before.applied) {
        this.#world.violation(
          'nothing goes back',
          `member ${id}: term ${before.term} to ${term}, vote ${before.vote} to ${vote}, commit ${before.commit} to ${commit}, applied ${before.applied} to ${applied}`,
        );
      }
    }
    this.#last.set(id, { process, term, vote, commit, applied });
  }

  sent(from: number, message: Message): void {
    if (promisesNothing(message)) return;
    const spoken = this.#spokenTerm.get(from) ?? 0;
    if (message.term < spoken) {
      this.#world.violation(
        'terms never go back',
        `member ${from} sent ${message.type} in term ${message.term} after having spoken in term ${spoken}`,
      );
    }
    this.#spokenTerm.set(from, message.term);
  }

  forgot(member: number): void {
    this.#last.delete(member);
    this.#spokenTerm.delete(member);
  }

  /** A restarted member must know the term of every promise it ever sent. */
  recovered(member: number, { hardState }: WalRecovered): void {
    const spoken = this.#spokenTerm.get(member) ?? 0;
    if (hardState.term < spoken) {
      this.#world.violation(
        'terms never go back',
        `member ${member} restarted in term ${hardState.term} after having spoken in term ${spoken}`,
      );
    }
  }
}
