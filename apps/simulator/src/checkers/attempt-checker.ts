import { effectOf, type ErrorCode } from '@quorate/api';
import type { LogEntry } from '@quorate/raft';
import type { Replica } from '@quorate/replica';
import type { World } from '../world.js';

interface DeniedProposal {
  readonly index: number;
  readonly term: number;
  readonly code: ErrorCode;
}

/**
 * Each single answer is honest (design: "a request that may have happened is never reported as failed"): what a member put into its
 * log and then called surely not done is never committed. A client that asks again under the same number would cover such a lie up, so this
 * looks at the member and not at clients.
 */
export class AttemptChecker {
  readonly #world: World;
  readonly #member: number;
  readonly #denied: DeniedProposal[] = [];

  constructor(world: World, member: number) {
    this.#world = world;
    this.#member = member;
  }

  watch(replica: Replica): void {
    const propose = replica.propose.bind(replica);
    replica.propose = (command, deadlineMs, callback) => {
      const before = replica.raft.lastIndex;
      let proposed: { readonly index: number; readonly term: number } | null = null;
      propose(command, deadlineMs, (outcome) => {
        // With a current revision it is the state machine's own answer.
        const denies = outcome.type === 'failed' && !('currentRevision' in outcome);
        if (denies && proposed !== null && effectOf(outcome.code) === 'none')
          this.#denied.push({ ...proposed, code: outcome.code });
        callback(outcome);
      });
      const { lastIndex, term } = replica.raft;
      if (lastIndex > before) proposed = { index: lastIndex, term };
    };
  }

  judge(committed: readonly { readonly entry: LogEntry }[]): void {
    for (const { index, term, code } of this.#denied) {
      if (committed[index - 1]?.entry.term !== term) continue;
      this.#world.violation(
        'each attempt is answered honestly',
        `member ${this.#member} said ${code} of entry ${index} of term ${term}, which was committed`,
      );
    }
  }
}
