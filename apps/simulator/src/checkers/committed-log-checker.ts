import assert from 'node:assert/strict';
import type { WalRecovered } from '@quorate/wal';
import type { World } from '../world.js';
import type { LogMatchingChecker } from './log-matching-checker.js';
import type { CommittedEntry, MemberView, RunningChecker } from './member-view.js';

/**
 * State Machine Safety (Raft, figure 3) and openraft's "Committed Immutable": what any member commits is the
 * one committed log, for ever and over every crash.
 */
export class CommittedLogChecker implements RunningChecker {
  readonly #world: World;
  readonly #entries: LogMatchingChecker;
  readonly #committed: CommittedEntry[] = [];
  readonly #checkedCommit = new Map<string, number>();

  constructor(world: World, entries: LogMatchingChecker) {
    this.#world = world;
    this.#entries = entries;
  }

  /** Everything that was ever committed, in order. */
  get committed(): readonly CommittedEntry[] {
    return this.#committed;
  }

  observe(member: MemberView): void {
    const life = `${member.id}/${member.process}`;
    const { raft } = member;
    const checked = this.#checkedCommit.get(life) ?? 0;
    if (raft.commitIndex <= checked) return;
    const { snapshotPoint } = raft;
    if (snapshotPoint !== null) this.#commit(member.id, snapshotPoint.index, snapshotPoint.term, raft.term);
    // What is compacted away was committed by somebody first, and stands in a snapshot.
    for (let index = Math.max(checked + 1, raft.firstIndex); index <= raft.commitIndex; index += 1) {
      this.#commit(member.id, index, raft.termAt(index), raft.term);
    }
    this.#checkedCommit.set(life, raft.commitIndex);
  }

  recovered(member: number, { hardState, base, entries, snapshot }: WalRecovered): void {
    if (snapshot !== null) this.#commit(member, snapshot.index, snapshot.term, hardState.term);
    for (let index = base.index + 1; index <= hardState.commit; index += 1) {
      this.#commit(member, index, entries[index - base.index - 1]?.term ?? null, hardState.term);
    }
  }

  #commit(member: number, index: number, term: number | null, inTerm: number): void {
    const before = this.#committed[index - 1];
    if (before !== undefined) {
      if (before.entry.term === term) return;
      this.#world.violation(
        'state machine safety',
        `member ${member} commits index ${index} with term ${term}, elsewhere it was committed with term ${before.entry.term}`,
      );
    }
    const entry = term === null ? undefined : this.#entries.entry(index, term);
    if (entry === undefined) {
      this.#world.violation(
        'state machine safety',
        `member ${member} commits index ${index}, which nobody stored`,
      );
    }
    assert.equal(this.#committed.length, index - 1);
    this.#committed.push({ entry, inTerm, atMs: this.#world.nowMs });
  }
}
