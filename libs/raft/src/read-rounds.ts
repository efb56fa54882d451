import assert from 'node:assert/strict';
import type { ConfirmedRead, LogIndex, MemberId } from './types.js';

interface Round {
  readonly number: number;
  readonly index: LogIndex;
  readonly ids: readonly number[];
  readonly acknowledgedBy: Set<MemberId>;
}

/**
 * ReadIndex (Raft thesis, section 6.4) in rounds: one round is in flight, all reads that arrive meanwhile collect for the
 * next. A round starts after the reads in it arrived, so one answer of a quorum confirms them all.
 */
export class ReadRounds {
  #collecting: number[] = [];
  #inFlight: Round | null = null;
  #number = 0;

  /** The newest round that heartbeats carry. */
  get number(): number {
    return this.#number;
  }
  get waiting(): number {
    return this.#collecting.length + (this.#inFlight?.ids.length ?? 0);
  }

  add(id: number): void {
    this.#collecting.push(id);
  }

  get canStart(): boolean {
    return this.#inFlight === null && this.#collecting.length > 0;
  }

  /** Starts a round at the leader's commit index; the caller broadcasts heartbeats with its number. */
  start(commit: LogIndex): void {
    assert(this.canStart);
    this.#number += 1;
    this.#inFlight = {
      number: this.#number,
      index: commit,
      ids: this.#collecting,
      acknowledgedBy: new Set(),
    };
    this.#collecting = [];
  }

  /** A follower answered round `number`. Returns the reads that are now confirmed. */
  acknowledge(from: MemberId, number: number, othersNeeded: number): ConfirmedRead[] {
    const round = this.#inFlight;
    if (round === null || number < round.number) return [];
    round.acknowledgedBy.add(from);
    return this.confirmIf(othersNeeded);
  }

  /** Confirms the round in flight when enough others have answered (none are needed in a cluster of one). */
  confirmIf(othersNeeded: number): ConfirmedRead[] {
    const round = this.#inFlight;
    if (round === null || round.acknowledgedBy.size < othersNeeded) return [];
    this.#inFlight = null;
    return round.ids.map((id) => ({ id, index: round.index }));
  }

  /** All of it, for `Raft.inspect`. */
  inspect() {
    const round = this.#inFlight;
    return {
      collecting: [...this.#collecting],
      inFlight: round === null ? null : { ...round, acknowledgedBy: [...round.acknowledgedBy] },
      number: this.#number,
    };
  }

  /** Leadership ended (P3): nothing that waits may be answered. The number goes on counting. */
  rejectAll(): number[] {
    const ids = [...(this.#inFlight?.ids ?? []), ...this.#collecting];
    this.#inFlight = null;
    this.#collecting = [];
    return ids;
  }
}
