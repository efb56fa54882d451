import type { LogEntry } from '@quorate/raft';
import type { WalBatch, WalRecovered } from '@quorate/wal';
import type { World } from '../world.js';
import type { RunningChecker } from './member-view.js';

interface KnownEntry {
  readonly entry: LogEntry;
  readonly previousTerm: number;
  readonly content: string;
}

/**
 * Log Matching (Raft, figure 3). Every entry that reaches any member's log is compared with the entry of the
 * same index and term in every other log, and with the term before it: by induction, two logs that share an
 * index and a term share everything up to there.
 */
export class LogMatchingChecker implements RunningChecker {
  readonly #world: World;
  readonly #known = new Map<string, KnownEntry>();

  constructor(world: World) {
    this.#world = world;
  }

  /** The one entry of this index and term; undefined: nobody ever stored one. */
  entry(index: number, term: number): LogEntry | undefined {
    return this.#known.get(`${index}@${term}`)?.entry;
  }

  stored(member: number, { entries }: WalBatch, previousTerm: number): void {
    this.#compare(member, entries, previousTerm);
  }

  recovered(member: number, { base, entries }: WalRecovered): void {
    this.#compare(member, entries, base.term);
  }

  #compare(member: number, entries: readonly LogEntry[], previousTerm: number): void {
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
}

/** Of a payload: enough to tell two apart in a simulation. */
function fingerprint(bytes: Uint8Array): string {
  let low = 0x811c9dc5;
  let high = 0x9dc5811c;
  for (const byte of bytes) {
    low = Math.imul(low ^ byte, 0x01000193);
    high = Math.imul(high ^ byte, 0x85ebca6b) ^ (low >>> 13);
  }
  return `${bytes.length}:${low >>> 0}:${high >>> 0}`;
}
