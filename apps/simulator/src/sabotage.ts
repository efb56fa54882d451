import type { StoreResponse } from '@quorate/api';
import type { CachedReadOutcome } from '@quorate/client';
import type { Message } from '@quorate/raft';
import type { Replica } from '@quorate/replica';
import type { Disk } from '@quorate/wal';
import type { SimulatedDisk } from '@quorate/wal/testing';
import type { Host } from './host.js';
import type { StateMachine } from '@quorate/kv';

/**
 * Places where a test may break the world on purpose, to prove that a checker would see it. A sound world has none of
 * them set. The code under test is not touched: it is lied to, or its answers are changed on the way.
 */
export interface Sabotage {
  /** Stands between a member and its disk. */
  readonly disk?: (disk: SimulatedDisk, host: Host) => Disk;
  /** What really leaves a member when it sends a message. */
  readonly sent?: (message: Message) => readonly Message[];
  /** Stands between the request handler and the replica. */
  readonly replica?: (replica: Replica, member: number) => Replica;
  /** Stands between a member's log and its state. */
  readonly machine?: (machine: StateMachine, member: number) => StateMachine;
  /** Changes an answer before the network carries it. */
  readonly answer?: (response: StoreResponse, member: number) => StoreResponse;
  /** Changes what a gateway's cache said, before it is written down. */
  readonly cacheAnswer?: (outcome: CachedReadOutcome) => CachedReadOutcome;
  /** Peers take a wiped member for the one they knew. */
  readonly trustWipedMembers?: boolean;
}
