import type { Instant } from './types.js';

/**
 * The wall clock is slewed a little all the time; what it gains on the monotonic one by more than this, in
 * milliseconds, between two looks is a suspend, or a step that cannot be told from one.
 */
const SLEW_MS_MAX = 5;

/** An instant together with what had been slept until then. */
export interface Moment extends Instant {
  readonly sleptMs: number;
}

/**
 * How much time has passed, at least as much as really has (R27). A monotonic clock stops in suspend, and a
 * wall clock may be set back later and hide that suspend again: so what it once showed is remembered.
 */
export class Elapsed {
  #seen: Instant | null = null;
  // Never decreases: what the wall clock has ever been seen to gain on the monotonic one.
  #sleptMs = 0;

  /** Looks at both clocks. Between two looks a suspend is seen only if the clock is not set back as well. */
  see(now: Instant): void {
    const before = this.#seen;
    if (before !== null && now.monotonicMs < before.monotonicMs) return;
    this.#seen = now;
    if (before === null) return;
    const gainedMs = now.wallMs - before.wallMs - (now.monotonicMs - before.monotonicMs);
    if (gainedMs > SLEW_MS_MAX) {
      // mark: a cache finds that its machine has slept
      this.#sleptMs += gainedMs;
    }
  }

  /** To measure from, later. */
  mark(now: Instant): Moment {
    this.see(now);
    return { ...now, sleptMs: this.#sleptMs };
  }

  /** Upper bound of the milliseconds from `start` to `now`, with fractions. */
  since(start: Moment, now: Instant): number {
    this.see(now);
    const awakeMs = now.monotonicMs - start.monotonicMs;
    return Math.max(now.wallMs - start.wallMs, awakeMs + (this.#sleptMs - start.sleptMs));
  }
}
