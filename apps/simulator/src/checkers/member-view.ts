import type { StateMachine } from '@quorate/kv';
import type { LogEntry, Message, Raft, SnapshotPoint } from '@quorate/raft';
import type { Replica } from '@quorate/replica';
import type { WalBatch, WalRecovered } from '@quorate/wal';

/** A member as the checkers see it, after each piece of work of its process. */
export interface MemberView {
  readonly id: number;
  /** Which life of the member's process this is. */
  readonly process: number;
  readonly raft: Raft;
  readonly machine: StateMachine;
  readonly replica: Pick<Replica, 'load'>;
}

/**
 * One thing that must hold all the time. Each checker is a file with one class that takes what it wants to
 * see, and one line in the list of `Checkers`. What a member does that was formatted as another machine is shown to none of them.
 */
export interface RunningChecker {
  /** After each piece of work of a member's process. */
  observe?(member: MemberView): void;
  /** A message leaves its member. */
  sent?(from: number, message: Message): void;
  /** A batch goes to the disk of a member; `previousTerm` is of the entry before its first. */
  stored?(member: number, batch: WalBatch, previousTerm: number): void;
  /** The log has said that the batch is durable; the member has not yet heard of it. */
  durable?(member: number, batch: WalBatch): void;
  /** A snapshot of the member is durable: from now on it stands for all entries up to its point. */
  snapshotDurable?(member: number, point: SnapshotPoint): void;
  /** All that the member had is gone. It starts anew under a recovery (raft's rules F), so what it promised binds the others, and not it. */
  forgot?(member: number): void;
  /** A process starts with this. */
  recovered?(member: number, recovered: WalRecovered): void;
}

/** An entry that some member has committed. */
export interface CommittedEntry {
  readonly entry: LogEntry;
  /**
   * The term of the member that was first seen to commit it: at or above the term in which it was committed.
   */
  readonly inTerm: number;
  /** When that was seen. True time: no host knows it. */
  readonly atMs: number;
}
