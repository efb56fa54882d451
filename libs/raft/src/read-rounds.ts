import assert from 'node:assert/strict';
import type { LogIndex, MemberId } from './types.js';

/** A read of this member, or (`from`) of a follower that asked under its own number. */
export interface RoundRead {
  readonly id: number;
  readonly from: MemberId | null;
  readonly index: LogIndex;
}

interface Round {
  readonly number: number;
  readonly index: LogIndex;
  readonly ids: readonly number[];
  /** What followers asked: the newest request of each. */
  readonly remote: ReadonlyMap<MemberId, number>;
  readonly acknowledgedBy: Set<MemberId>;
}

/**
 * ReadIndex (Raft thesis, section 6.4) in rounds: one round is in flight, all reads that arrive meanwhile collect for the
 * next. A round starts after the reads in it arrived, so one answer of a quorum confirms them all.
 */
export class ReadRounds {
  #collecting: number[] = [];
  #collectingRemote = new Map<MemberId, number>();
  #inFlight: Round | null = null;
  #number = 0;

  /** The newest round that heartbeats carry. */
  get number(): number {
    return this.#number;
  }
  /** Own reads only: those of followers are at most two each. */
  get waiting(): number {
    return this.#collecting.length + (this.#inFlight?.ids.length ?? 0);
  }

  add(id: number): void {
    this.#collecting.push(id);
  }

  /** A follower's newest request takes the place of its older one: its answer speaks for all reads of that follower that the older one's would [R8]. */
  addRemote(from: MemberId, readId: number): void {
    this.#collectingRemote.set(from, readId);
  }

  get canStart(): boolean {
    return this.#inFlight === null && (this.#collecting.length > 0 || this.#collectingRemote.size > 0);
  }

  /** Starts a round at the leader's commit index; the caller broadcasts heartbeats with its number. */
  start(commit: LogIndex): void {
    assert(this.canStart);
    this.#number += 1;
    this.#inFlight = {
      number: this.#number,
      index: commit,
      ids: this.#collecting,
      remote: this.#collectingRemote,
      acknowledgedBy: new Set(),
    };
    this.#collecting = [];
    this.#collectingRemote = new Map();
  }

  /** A follower answered round `number`. Returns the reads that are now confirmed. */
  acknowledge(from: MemberId, number: number, othersNeeded: number): RoundRead[] {
    const round = this.#inFlight;
    if (round === null || number < round.number) return [];
    round.acknowledgedBy.add(from);
    return this.confirmIf(othersNeeded);
  }

  /** Confirms the round in flight when enough others have answered (none are needed in a cluster of one). */
  confirmIf(othersNeeded: number): RoundRead[] {
    const round = this.#inFlight;
    if (round === null || round.acknowledgedBy.size < othersNeeded) return [];
    this.#inFlight = null;
    const { index } = round;
    return [
      ...round.ids.map((id) => ({ id, from: null, index })),
      ...[...round.remote].map(([from, id]) => ({ id, from, index })),
    ];
  }

  /** All of it, for `Raft.inspect`. */
  inspect() {
    const round = this.#inFlight;
    return {
      collecting: [...this.#collecting],
      collectingRemote: [...this.#collectingRemote],
      inFlight:
        round === null
          ? null
          : { ...round, remote: [...round.remote], acknowledgedBy: [...round.acknowledgedBy] },
      number: this.#number,
    };
  }

  /** Leadership ended (P3): nothing that waits may be answered. The number goes on counting. Followers find out by themselves. */
  rejectAll(): number[] {
    const ids = [...(this.#inFlight?.ids ?? []), ...this.#collecting];
    this.#collectingRemote = new Map();
    this.#inFlight = null;
    this.#collecting = [];
    return ids;
  }
}
