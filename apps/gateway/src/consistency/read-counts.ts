import type { ReadLevel } from '@quorate/api';
import { Distribution } from './distribution.js';

/** Who answered a read or list of entries. `refused`: nobody, it ended in a 5xx. */
type ReadSource = 'cache' | 'store' | 'refused';
type LevelName = ReadLevel['level'];

/** How old the answers of the cache could be at most, by the bound that they stated. */
export interface StalenessServedReport {
  readonly count: number;
  /** Null: there was none. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly p999Ms: number | null;
  readonly maxMs: number | null;
  /** Answers without a bound. */
  readonly unknown: number;
}

/** Counts reads and lists of entries by the level that they had (of a refused one: that could not be had) and by who answered. */
export class ReadCounts {
  readonly #counts: Record<ReadSource, Record<LevelName, number>> = {
    cache: { eventual: 0, bounded: 0, session: 0, linearizable: 0 },
    store: { eventual: 0, bounded: 0, session: 0, linearizable: 0 },
    refused: { eventual: 0, bounded: 0, session: 0, linearizable: 0 },
  };

  readonly #staleness = new Distribution();
  #unbounded = 0;
  #onServed: (seconds: number) => void = () => undefined;

  /** Called for each answer of the cache below linearizable that states a bound. There is one listener. */
  onServed(listener: (seconds: number) => void): void {
    this.#onServed = listener;
  }

  /** The cache has answered a read below linearizable. `ms`: the bound that the answer states; null: none. */
  served(ms: number | null): void {
    if (ms === null) {
      this.#unbounded += 1;
      return;
    }
    this.#staleness.record(ms);
    this.#onServed(ms / 1000);
  }

  get stalenessServed(): StalenessServedReport {
    const staleness = this.#staleness;
    return {
      count: staleness.count,
      p50Ms: staleness.percentileMs(50),
      p99Ms: staleness.percentileMs(99),
      p999Ms: staleness.percentileMs(99.9),
      maxMs: staleness.maxMs,
      unknown: this.#unbounded,
    };
  }

  count(level: LevelName, source: ReadSource): void {
    this.#counts[source][level] += 1;
  }

  get all(): Readonly<Record<ReadSource, Readonly<Record<LevelName, number>>>> {
    return {
      cache: { ...this.#counts.cache },
      store: { ...this.#counts.store },
      refused: { ...this.#counts.refused },
    };
  }
}
