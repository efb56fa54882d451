import assert from 'node:assert/strict';
import type { LogEntry } from '@quorate/raft';
import type { World } from '../world.js';
import type { MemberView } from './member-view.js';

interface KnownEntry {
  readonly entry: LogEntry;
  readonly previousTerm: number;
  readonly content: string;
}

/**
 * Log matching and state machine safety. Every entry that reaches any member's log is compared with the entry of the
 * same index and term in every other log, and with the term before it: by induction, two logs that share an index and
 * a term share everything up to there. What any member commits is the one committed log, for ever.
 */
export class LogChecker {
  readonly #world: World;
  readonly #known = new Map<string, KnownEntry>();
  readonly #committed: KnownEntry[] = [];
  readonly #checkedCommit = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Everything that was ever committed, in order. */
  get committed(): readonly LogEntry[] {
    return this.#committed.map(({ entry }) => entry);
  }
  get committedCount(): number {
    return this.#committed.length;
  }

  /** `entries` are on their way to the disk of a member, or were read from it; `previousTerm` is of the entry before. */
  stored(member: number, entries: readonly LogEntry[], previousTerm: number): void {
    let termBefore = previousTerm;
    for (const entry of entries) {
      const identity = `${entry.index}@${entry.term}`;
      const content = `${entry.kind}:${fingerprint(entry.payload)}`;
      const known = this.#known.get(identity);
      if (known === undefined) {
        this.#known.set(identity, { entry, previousTerm: termBefore, content });
      } else if (known.content !== content || known.previousTerm !== termBefore) {
        this.#world.violation(
          'log matching',
          `member ${member} stores at index ${entry.index}, term ${entry.term} another entry, or one with another past, than was stored elsewhere`,
        );
      }
      termBefore = entry.term;
    }
  }

  observe(member: MemberView): void {
    const life = `${member.id}/${member.process}`;
    const { raft } = member;
    const checked = this.#checkedCommit.get(life) ?? 0;
    if (raft.commitIndex <= checked) return;
    for (let index = checked + 1; index <= raft.commitIndex; index += 1) this.#commit(member, index);
    this.#checkedCommit.set(life, raft.commitIndex);
  }

  #commit(member: MemberView, index: number): void {
    const term = member.raft.termAt(index);
    const before = this.#committed[index - 1];
    if (before !== undefined) {
      if (before.entry.term === term) return;
      this.#world.violation(
        'state machine safety',
        `member ${member.id} commits index ${index} with term ${term}, elsewhere it was committed with term ${before.entry.term}`,
      );
    }
    const known = this.#known.get(`${index}@${term}`);
    if (known === undefined) {
      this.#world.violation(
        'state machine safety',
        `member ${member.id} commits index ${index}, which nobody stored`,
      );
    }
    assert.equal(this.#committed.length, index - 1);
    this.#committed.push(known);
  }
}

/** Of a payload: enough to tell two apart in a simulation. */
export function fingerprint(bytes: Uint8Array): string {
  let low = 0x811c9dc5;
  let high = 0x9dc5811c;
  for (const byte of bytes) {
    low = Math.imul(low ^ byte, 0x01000193);
    high = Math.imul(high ^ byte, 0x85ebca6b) ^ (low >>> 13);
  }
  return `${bytes.length}:${low >>> 0}:${high >>> 0}`;
}
