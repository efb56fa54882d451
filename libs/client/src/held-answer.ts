import type { CachedView, Moment } from '@quorate/cache';
import type { Entry, Revision } from '@quorate/kv';

/** Where an answer that was peeked learns how old it is by now. Null: unknown. */
export interface StalenessSource {
  stalenessOf(view: CachedView, confirmation: Moment | null): number | null;
}

/** What the cached view held for a key at one moment. */
export class HeldAnswer {
  readonly type = 'hit';
  readonly level = 'eventual';
  /** Null: the entry did not exist at `revision`. The value belongs to the cache: it must not be written into. */
  readonly entry: Entry | null;
  /** Every published change up to here is in the answer. */
  readonly revision: Revision;
  readonly epoch: number;
  readonly #source: StalenessSource;
  readonly #view: CachedView;
  readonly #confirmation: Moment | null;

  constructor(
    source: StalenessSource,
    view: CachedView,
    entry: Entry | null,
    revision: Revision,
    epoch: number,
  ) {
    this.entry = entry;
    this.revision = revision;
    this.epoch = epoch;
    this.#source = source;
    this.#view = view;
    this.#confirmation = view.confirmation;
  }

  /**
   * Upper bound of the staleness of this answer, whole milliseconds, at the moment of looking: from then on it grows (C31).
   * Null: never confirmed, or the view that answered is no more. Two clocks are read when it is looked at, and not for each
   * answer: that costs more than the answer (190 ns beside 160, measured by bench/near-cache.ts).
   */
  get stalenessMs(): number | null {
    return this.#source.stalenessOf(this.#view, this.#confirmation);
  }
}
