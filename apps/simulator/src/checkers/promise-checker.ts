import type { Message } from '@quorate/raft';
import type { World } from '../world.js';
import type { DurableLogs } from './durable-logs.js';
import type { RunningChecker } from './member-view.js';

/**
 * A pre-vote names a term that nobody is in yet; what goes from driver to driver says nothing of a vote or a log.
 */
export function promisesNothing({ type }: Message): boolean {
  switch (type) {
    case 'preVoteRequest':
    case 'preVoteResponse':
    case 'snapshotChunk':
    case 'snapshotChunkRequest':
    case 'stateHashReport':
      return true;
    default:
      return false;
  }
}

/**
 * No promise before it is durable (Raft, figure 2: "updated on stable storage before responding"; P11, P12):
 * a member that speaks in a term has that term on disk, one that grants a vote has the vote, one that
 * acknowledges entries has them all. One whose disk says that it recovers promises nothing (rules F1, F2).
 */
export class PromiseChecker implements RunningChecker {
  readonly #world: World;
  readonly #logs: DurableLogs;

  constructor(world: World, logs: DurableLogs) {
    this.#world = world;
    this.#logs = logs;
  }

  sent(from: number, message: Message): void {
    const { term, vote, terms, recovery } = this.#logs.of(from);
    if (recovery !== 0 && mayNotBeSaid(message))
      this.#broken(from, `sent ${message.type} as one that takes part, while its disk says that it recovers`);
    if (promisesNothing(message)) return;
    if (message.term > term) {
      this.#broken(from, `sent ${message.type} in term ${message.term} when term ${term} was on its disk`);
    }
    if (message.type === 'voteResponse' && message.granted && message.term === term && vote !== message.to) {
      this.#broken(from, `granted ${message.to} its vote of term ${term}; on its disk it was for ${vote}`);
    }
    if (message.type === 'appendResponse' && message.accepted && message.matchIndex > terms.length) {
      this.#broken(from, `acknowledged entry ${message.matchIndex} with ${terms.length} entries on its disk`);
    }
  }

  #broken(member: number, what: string): never {
    return this.#world.violation('durable before promised', `member ${member} ${what}`);
  }
}

/** By a member that recovers. */
function mayNotBeSaid(message: Message): boolean {
  switch (message.type) {
    case 'voteRequest':
    case 'voteResponse':
    case 'preVoteRequest':
    case 'preVoteResponse':
      return true;
    case 'appendResponse':
    case 'heartbeatResponse':
      return message.recovery === 0;
    default:
      return false;
  }
}
