import type { WalBatch, WalRecovered } from '@quorate/wal';
import type { RunningChecker } from './member-view.js';

interface DurableMember {
  /** Of the entries 1, 2, ... that the log has said to be durable. */
  readonly terms: number[];
  term: number;
  vote: number | null;
  /** Handed to the disk, oldest first. */
  waiting: { readonly batch: WalBatch; durable: boolean }[];
  /** Entries that a member with a flipped bit held durably before: it acknowledged them. */
  readonly acknowledgedBefore: Set<string>;
}

/**
 * Not a checker: what is durable where, by what each log has said. Several checkers look at it;
 * `DurabilityChecker` proves it true.
 */
export class DurableLogs implements RunningChecker {
  readonly #members = new Map<number, DurableMember>();

  of(member: number): DurableMember {
    let known = this.#members.get(member);
    if (known === undefined) {
      known = { terms: [], term: 0, vote: null, waiting: [], acknowledgedBefore: new Set() };
      this.#members.set(member, known);
    }
    return known;
  }

  holds(member: number, index: number, term: number): boolean {
    const { terms, acknowledgedBefore } = this.of(member);
    return terms[index - 1] === term || acknowledgedBefore.has(`${index}@${term}`);
  }

  /** Is anything gone that the member's log had said to be durable? */
  hasLost(member: number, { hardState, entries }: WalRecovered): boolean {
    const { terms, term, vote, waiting } = this.of(member);
    // What a later write was to replace may be gone.
    const replacedFrom = Math.min(...waiting.map(({ batch }) => batch.entries[0]?.index ?? Infinity));
    const isGone = terms.some((held, at) => at + 1 < replacedFrom && entries[at]?.term !== held);
    return (
      isGone || hardState.term < term || (hardState.term === term && vote !== null && hardState.vote !== vote)
    );
  }

  stored(member: number, batch: WalBatch): void {
    this.of(member).waiting.push({ batch, durable: false });
  }

  /** A batch counts when all before it do: a later one may replace what an earlier one wrote. */
  durable(member: number, batch: WalBatch): void {
    const known = this.of(member);
    const confirmed = known.waiting.find((waiting) => waiting.batch === batch);
    if (confirmed === undefined) return;
    confirmed.durable = true;
    while (known.waiting[0]?.durable === true) {
      const { entries, hardState } = known.waiting[0].batch;
      known.waiting.shift();
      const [first] = entries;
      if (first !== undefined) known.terms.length = Math.min(known.terms.length, first.index - 1);
      for (const entry of entries) known.terms[entry.index - 1] = entry.term;
      if (hardState !== null) [known.term, known.vote] = [hardState.term, hardState.vote];
    }
  }

  recovered(member: number, { hardState, entries }: WalRecovered, rotten: boolean): void {
    const known = this.of(member);
    if (rotten)
      for (const [at, term] of known.terms.entries()) known.acknowledgedBefore.add(`${at + 1}@${term}`);
    known.waiting = [];
    known.terms.splice(0, known.terms.length, ...entries.map((entry) => entry.term));
    [known.term, known.vote] = [hardState.term, hardState.vote];
  }
}
