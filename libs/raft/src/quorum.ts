import assert from 'node:assert/strict';
import { logIndex, type LogIndex } from './types.js';

/** How many of `memberCount` members make a majority. */
export function quorumSize(memberCount: number): number {
  assert(Number.isSafeInteger(memberCount) && memberCount >= 1);
  return Math.floor(memberCount / 2) + 1;
}

/**
 * The highest index that a majority holds durably, given every member's durable index (Raft paper, figure 2:
 * "a majority of matchIndex[i] >= N").
 */
export function quorumIndex(durableIndexes: readonly LogIndex[]): LogIndex {
  const descending = [...durableIndexes].sort((a, b) => b - a);
  const index = descending[quorumSize(descending.length) - 1];
  assert(index !== undefined);
  return logIndex(index);
}

export type VoteResult = 'won' | 'lost' | 'pending';

/** Tallies an election: `votes` maps a member to granted or refused; members not in it have not answered. */
export function voteResult(memberCount: number, votes: ReadonlyMap<number, boolean>): VoteResult {
  let granted = 0;
  let refused = 0;
  for (const vote of votes.values()) {
    if (vote) granted += 1;
    else refused += 1;
  }
  assert(granted + refused <= memberCount);
  const needed = quorumSize(memberCount);
  if (granted >= needed) return 'won';
  if (memberCount - refused < needed) return 'lost';
  return 'pending';
}
