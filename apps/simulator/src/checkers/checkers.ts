import type { LogEntry, Message } from '@quorate/raft';
import type { WalRecovered } from '@quorate/wal';
import type { World } from '../world.js';
import { ElectionChecker } from './election-checker.js';
import { IndexChainChecker } from './index-chain-checker.js';
import { LogChecker } from './log-checker.js';
import type { MemberView } from './member-view.js';
import { StateHashChecker } from './state-hash-checker.js';

/** All that is checked while a world runs, after each step. */
export class Checkers {
  readonly elections: ElectionChecker;
  readonly logs: LogChecker;
  readonly stateHashes: StateHashChecker;
  readonly indexChain: IndexChainChecker;

  constructor(world: World) {
    this.elections = new ElectionChecker(world);
    this.logs = new LogChecker(world);
    this.stateHashes = new StateHashChecker(world);
    this.indexChain = new IndexChainChecker(world);
  }

  observe(member: MemberView): void {
    this.elections.observe(member);
    this.logs.observe(member);
    this.indexChain.observe(member);
    this.stateHashes.observe(member);
  }

  sent(from: number, message: Message): void {
    this.elections.sent(from, message);
  }

  stored(member: number, entries: readonly LogEntry[], previousTerm: number): void {
    this.logs.stored(member, entries, previousTerm);
  }

  recovered(member: number, { hardState, entries }: WalRecovered): void {
    this.elections.recovered(member, hardState.term);
    this.logs.stored(member, entries, 0);
  }
}
