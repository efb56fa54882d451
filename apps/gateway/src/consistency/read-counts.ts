import type { ReadLevel } from '@quorate/api';

/** Who answered a read of an entry. `refused`: nobody, it ended in a 5xx. */
type ReadSource = 'cache' | 'store' | 'refused';
type LevelName = ReadLevel['level'];

/** Counts reads of entries by the level that they had (of a refused one: that could not be had) and by who answered. */
export class ReadCounts {
  readonly #counts: Record<ReadSource, Record<LevelName, number>> = {
    cache: { eventual: 0, bounded: 0, session: 0, linearizable: 0 },
    store: { eventual: 0, bounded: 0, session: 0, linearizable: 0 },
    refused: { eventual: 0, bounded: 0, session: 0, linearizable: 0 },
  };

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
