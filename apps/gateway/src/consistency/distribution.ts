import { createHistogram } from 'node:perf_hooks';

/** Where the share of durations is counted exactly, in milliseconds. */
export const LIMITS_MS = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 60_000] as const;

/** Longer ones count as this in the percentiles: an hour. */
const HIGHEST_MICROSECONDS = 3_600_000_000;

/** Durations in milliseconds. Its size does not depend on how many there were. */
export class Distribution {
  /** To three figures, in whole microseconds from 1. */
  readonly #histogram = createHistogram({ lowest: 1, highest: HIGHEST_MICROSECONDS, figures: 3 });
  readonly #within: number[] = LIMITS_MS.map(() => 0);
  #count = 0;
  #maxMs: number | null = null;

  /** Adds one duration, of 0 or more milliseconds, fractions allowed. */
  record(ms: number): void {
    this.#count += 1;
    this.#maxMs = Math.max(this.#maxMs ?? 0, ms);
    this.#histogram.record(Math.min(Math.max(Math.round(ms * 1000), 1), HIGHEST_MICROSECONDS));
    for (const [position, limitMs] of LIMITS_MS.entries()) {
      if (ms <= limitMs) this.#within[position] = (this.#within[position] ?? 0) + 1;
    }
  }

  get count(): number {
    return this.#count;
  }

  /** The longest; null: there is none. */
  get maxMs(): number | null {
    return this.#maxMs;
  }

  /** How many were at most LIMITS_MS[position] long. */
  countWithin(position: number): number {
    return this.#within[position] ?? 0;
  }

  /** `percent` of all are at most this long; null: there are none. */
  percentileMs(percent: number): number | null {
    if (this.#maxMs === null) return null;
    // The histogram rounds up within its three figures, and knows no zero.
    return Math.min(this.#histogram.percentile(percent) / 1000, this.#maxMs);
  }
}
