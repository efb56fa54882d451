import { quorumSize } from '@quorate/raft';

/** All members write their state hash down at each multiple of this applied index. */
export const HASH_EVERY_ENTRIES = 1_024;
/** So many newest indexes are compared; whoever is further behind is compared at the next ones. */
const INDEXES_MAX = 16;

/** What one member said of its state at an index. */
interface Said {
  readonly revision: number;
  readonly stateHash: string;
}

/** The index and revision at which the own state differs from what a majority has. */
export interface Divergence {
  readonly index: number;
  readonly revision: number;
  readonly stateHash: string;
  readonly stateHashOfMajority: string;
}

/**
 * Compares state hashes of the members at equal applied index (etcd 3.5 lost data for want of it). A member learns of itself that it is
 * the odd one: when a majority of all members has one hash, and its own is another. Two that differ without a majority prove nothing.
 */
export class StateHashes {
  readonly #memberCount: number;
  readonly #self: number;
  /** By index, then by member. */
  readonly #said = new Map<number, Map<number, Said>>();

  constructor(self: number, memberCount: number) {
    this.#self = self;
    this.#memberCount = memberCount;
  }

  /** Takes what a member says, itself included. Returns how this member differs, if it now knows that it does. */
  take(member: number, index: number, revision: number, stateHash: string): Divergence | null {
    let here = this.#said.get(index);
    if (here === undefined) {
      here = new Map();
      this.#said.set(index, here);
      this.#forget();
    }
    here.set(member, { revision, stateHash });
    return this.#judge(index);
  }

  #judge(index: number): Divergence | null {
    const here = this.#said.get(index);
    const own = here?.get(this.#self);
    if (here === undefined || own === undefined) return null;
    const counts = new Map<string, number>();
    for (const { stateHash } of here.values()) counts.set(stateHash, (counts.get(stateHash) ?? 0) + 1);
    for (const [stateHashOfMajority, count] of counts) {
      if (count < quorumSize(this.#memberCount) || stateHashOfMajority === own.stateHash) continue;
      return { index, revision: own.revision, stateHash: own.stateHash, stateHashOfMajority };
    }
    return null;
  }

  #forget(): void {
    while (this.#said.size > INDEXES_MAX) this.#said.delete(Math.min(...this.#said.keys()));
  }
}
