import type { StateMachineOptions } from '@quorate/kv';
import type { Message, SnapshotPoint } from '@quorate/raft';
import type { WalBatch, WalRecovered } from '@quorate/wal';
import { DEFAULT_LIMITS, type MemberLimits } from '../limits.js';
import type { World } from '../world.js';
import { BoundedMemoryChecker } from './bounded-memory-checker.js';
import { CommittedLogChecker } from './committed-log-checker.js';
import { CommittedOnQuorumChecker } from './committed-on-quorum-checker.js';
import { DurabilityChecker } from './durability-checker.js';
import { DurableLogs } from './durable-logs.js';
import { ElectionChecker } from './election-checker.js';
import { IndexChainChecker } from './index-chain-checker.js';
import { LeaderCompletenessChecker } from './leader-completeness-checker.js';
import { LogMatchingChecker } from './log-matching-checker.js';
import type { MemberView, RunningChecker } from './member-view.js';
import { MonotonicChecker } from './monotonic-checker.js';
import { PromiseChecker } from './promise-checker.js';
import { StateHashChecker } from './state-hash-checker.js';
import { VoteChecker } from './vote-checker.js';

export interface CheckersOptions {
  readonly memberCount: number;
  readonly limits?: MemberLimits;
  readonly stateMachine?: StateMachineOptions;
}

/**
 * All that is checked while a world runs, after each step. A checker is one file and one line below; it takes
 * the hooks that it needs (see `RunningChecker`). What can only be judged from the whole story stands in the
 * list of `judge.ts` in the same way.
 *
 * A later feature plugs in like this. Membership: `memberCount` becomes the configuration at an index. Watches: a traffic kind writes down what it was told,
 * a checker of `judge.ts` compares that with the `Chronicle`. None of them needs a harness of its own.
 */
export class Checkers {
  readonly elections: ElectionChecker;
  readonly committedLog: CommittedLogChecker;
  readonly stateHashes: StateHashChecker;
  readonly memory: BoundedMemoryChecker;
  readonly durableLogs: DurableLogs;
  readonly #all: readonly RunningChecker[];

  constructor(world: World, { memberCount, limits, stateMachine }: CheckersOptions) {
    const entries = new LogMatchingChecker(world);
    this.elections = new ElectionChecker(world);
    this.committedLog = new CommittedLogChecker(world, entries);
    const durable = new DurableLogs(this.committedLog);
    this.durableLogs = durable;
    this.stateHashes = new StateHashChecker(world);
    this.memory = new BoundedMemoryChecker(world, limits ?? DEFAULT_LIMITS, stateMachine ?? {});
    // In this order: each sees what those before it have made of the same step.
    this.#all = [
      new DurabilityChecker(world, durable),
      durable,
      entries,
      this.elections,
      new VoteChecker(world),
      new MonotonicChecker(world),
      new PromiseChecker(world, durable),
      new IndexChainChecker(world),
      this.committedLog,
      new CommittedOnQuorumChecker(world, this.committedLog, durable, memberCount),
      new LeaderCompletenessChecker(world, this.committedLog),
      this.stateHashes,
      this.memory,
    ];
  }

  observe(member: MemberView): void {
    for (const checker of this.#all) checker.observe?.(member);
  }
  sent(from: number, message: Message): void {
    for (const checker of this.#all) checker.sent?.(from, message);
  }
  stored(member: number, batch: WalBatch, previousTerm: number): void {
    for (const checker of this.#all) checker.stored?.(member, batch, previousTerm);
  }
  durable(member: number, batch: WalBatch): void {
    for (const checker of this.#all) checker.durable?.(member, batch);
  }
  snapshotDurable(member: number, point: SnapshotPoint): void {
    for (const checker of this.#all) checker.snapshotDurable?.(member, point);
  }
  forgot(member: number): void {
    for (const checker of this.#all) checker.forgot?.(member);
  }
  recovered(member: number, recovered: WalRecovered): void {
    for (const checker of this.#all) checker.recovered?.(member, recovered);
  }
}
