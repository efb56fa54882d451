import type { StateMachine } from '@quorate/kv';
import type { Raft } from '@quorate/raft';

/** A member as the checkers see it, after each piece of work of its process. */
export interface MemberView {
  readonly id: number;
  /** Which life of the member's process this is. */
  readonly process: number;
  readonly raft: Raft;
  readonly machine: StateMachine;
}
