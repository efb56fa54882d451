/** Raft's unit of time. */
export const TICK_MS = 100;
/** P36: after a suspend or a long stall at most this many ticks are made up for: less than one election timeout's worst. */
const CATCH_UP_TICKS_MAX = 5;

/**
 * Turns elapsed monotonic time into ticks (P35): a timer that fires late makes up for what it missed, one that fires early
 * waits. Time beyond the cap is forgotten, since to a member that stood still it did not pass.
 */
export class ElapsedTicks {
  #lastMs: number;

  constructor(nowMs: number) {
    this.#lastMs = nowMs;
  }

  /** How many ticks are due now. Each is handed out once. */
  take(nowMs: number): number {
    const due = Math.floor((nowMs - this.#lastMs) / TICK_MS);
    if (due > CATCH_UP_TICKS_MAX) {
      // mark: a member stood still for longer than it makes up for
      this.#lastMs = nowMs;
      return CATCH_UP_TICKS_MAX;
    }
    this.#lastMs += due * TICK_MS;
    return due;
  }
}
