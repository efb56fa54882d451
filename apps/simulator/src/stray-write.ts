/** Syncs, one after the other, after which records that stand behind a stray write surely vouch for it (P17). */
const LINKS_MIN = 3;

/**
 * Can the log tell that one of its writes went astray? A later record vouches for what was synced before it; of the very last writes a log
 * that lacks them looks like one that never had them. No member can survive that alone, and none is asked to.
 */
export class StrayWrite {
  #links = 0;

  /** A batch is handed to the disk. The returned function is to be called when it is durable by a sync. */
  appended(): () => void {
    const link = this.#links;
    return () => {
      // Only what was written after the sync before it can speak of that.
      if (link === this.#links) this.#links += 1;
    };
  }

  get isVouchedFor(): boolean {
    return this.#links >= LINKS_MIN;
  }
}
