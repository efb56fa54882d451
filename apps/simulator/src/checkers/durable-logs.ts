import type { HardState, SnapshotPoint } from '@quorate/raft';
import type { WalBatch, WalRecovered } from '@quorate/wal';
import type { CommittedLogChecker } from './committed-log-checker.js';
import type { RunningChecker } from './member-view.js';

interface DurableMember {
  /** Of the entries 1, 2, ... that the log has said to be durable, or that a durable snapshot stands for. */
  readonly terms: number[];
  /** Of the newest durable snapshot, 0 when there is none. */
  snapshotIndex: number;
  term: number;
  vote: number | null;
  /** As raft's `HardState`. */
  recovery: number;
  /** While it recovers: what it had said to be durable before it lost that. Those acknowledgements go on counting (rule F2). */
  former: readonly number[];
  /** Handed to the disk, oldest first. */
  waiting: { readonly batch: WalBatch; durable: boolean }[];
}

/**
 * Not a checker: what is durable where, by what each log has said. Several checkers look at it;
 * `DurabilityChecker` proves it true.
 */
export class DurableLogs implements RunningChecker {
  readonly #members = new Map<number, DurableMember>();
  readonly #committedLog: Pick<CommittedLogChecker, 'committed'>;

  constructor(committedLog: Pick<CommittedLogChecker, 'committed'>) {
    this.#committedLog = committedLog;
  }

  of(member: number): DurableMember {
    let known = this.#members.get(member);
    if (known === undefined) {
      known = { terms: [], snapshotIndex: 0, term: 0, vote: null, recovery: 0, former: [], waiting: [] };
      this.#members.set(member, known);
    }
    return known;
  }

  holds(member: number, index: number, term: number): boolean {
    return this.of(member).terms[index - 1] === term;
  }

  /** Or has acknowledged it before it lost what it had. */
  heldBefore(member: number, index: number, term: number): boolean {
    const { recovery, former } = this.of(member);
    return recovery !== 0 && former[index - 1] === term;
  }

  forgot(member: number): void {
    const { terms, recovery, former } = this.of(member);
    this.#members.delete(member);
    // What it held while it recovered it has acknowledged to nobody.
    const known = this.of(member);
    known.former = recovery === 0 ? [...terms] : former;
    // Whatever it is formatted with: its next start says.
    known.recovery = -1;
  }

  /** Is anything gone that the member's log had said to be durable? */
  hasLost(member: number, { hardState, base, entries, snapshot }: WalRecovered): boolean {
    const { terms, term, vote, waiting, snapshotIndex } = this.of(member);
    // What a later write was to replace may be gone.
    const replacedFrom = Math.min(...waiting.map(({ batch }) => batch.entries[0]?.index ?? Infinity));
    const restoredIndex = snapshot?.index ?? 0;
    const isGone = terms.some(
      (held, at) =>
        at + 1 > restoredIndex && at + 1 < replacedFrom && entries[at - base.index]?.term !== held,
    );
    return (
      isGone ||
      restoredIndex < snapshotIndex ||
      hardState.term < term ||
      (hardState.term === term && vote !== null && hardState.vote !== vote)
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
      if (first !== undefined)
        known.terms.length = Math.min(known.terms.length, Math.max(first.index - 1, known.snapshotIndex));
      for (const entry of entries)
        if (entry.index > known.snapshotIndex) known.terms[entry.index - 1] = entry.term;
      if (hardState !== null) takeHardState(known, hardState);
    }
  }

  /** P9: what follows the point in the log stays only behind an entry of the point's own term. */
  snapshotDurable(member: number, { index, term }: SnapshotPoint): void {
    const known = this.of(member);
    if (index <= known.snapshotIndex) return;
    const isTailKept = known.terms[index - 1] === term;
    known.snapshotIndex = index;
    if (!isTailKept) known.terms.length = Math.min(known.terms.length, index);
    this.#standFor(known, index);
  }

  recovered(member: number, { hardState, base, entries, snapshot }: WalRecovered): void {
    const known = this.of(member);
    known.waiting = [];
    known.snapshotIndex = snapshot?.index ?? 0;
    known.terms.length = Math.min(known.terms.length, base.index);
    this.#standFor(known, known.snapshotIndex);
    known.terms.length = base.index;
    for (const entry of entries) known.terms[entry.index - 1] = entry.term;
    takeHardState(known, hardState);
  }

  /** A snapshot holds committed entries only: those are the same everywhere. */
  #standFor({ terms }: DurableMember, index: number): void {
    for (let at = 0; at < index; at += 1) terms[at] = this.#committedLog.committed[at]?.entry.term ?? 0;
  }
}

function takeHardState(known: DurableMember, { term, vote, recovery }: HardState): void {
  known.term = term;
  known.vote = vote;
  known.recovery = recovery;
}
