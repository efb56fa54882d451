import type { StateMachineOptions } from '@quorate/kv';
import { RAFT_LIMITS, type RaftLimits } from '@quorate/raft';
import { WAITING_MAX } from '@quorate/replica';
import type { SeededRandom } from './random.js';

/**
 * Bounds on what a member keeps for others. Small in many worlds: a bound that is never reached proves
 * nothing.
 */
export interface MemberLimits {
  readonly waitingMax: number;
  readonly raft: RaftLimits;
}

export const DEFAULT_LIMITS: MemberLimits = { waitingMax: WAITING_MAX, raft: RAFT_LIMITS };

export function drawLimits(random: SeededRandom): MemberLimits {
  const few = (low: number, high: number, usual: number): number =>
    random.chance(0.25) ? Math.floor(random.between(low, high)) : usual;
  const { raft, waitingMax } = DEFAULT_LIMITS;
  return {
    waitingMax: few(2, 12, waitingMax),
    raft: {
      appendBytesMax: few(1, 1_000, raft.appendBytesMax),
      inflightMessagesMax: few(1, 6, raft.inflightMessagesMax),
      inflightBytesMax: few(1, 2_000, raft.inflightBytesMax),
      uncommittedBytesMax: few(500, 4_000, raft.uncommittedBytesMax),
      applyBytesMax: few(1, 1_000, raft.applyBytesMax),
      readsWaitingMax: few(2, 12, raft.readsWaitingMax),
    },
  };
}

/** Bounds of the state machine that every member must share, besides those that the swarm draws. */
export function drawStateLimits(random: SeededRandom): StateMachineOptions {
  return {
    ...(random.chance(0.3) ? { retainedBytesMax: 500 + random.below(5_000) } : {}),
    // Fewer than a user has under way: some of them must wait for room.
    ...(random.chance(0.3) ? { answersPerClientMax: 1 + random.below(4) } : {}),
  };
}
