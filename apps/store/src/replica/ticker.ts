/** P36: after a suspend or a long stall at most this many ticks are made up for: less than one election timeout's worst. */
const CATCH_UP_TICKS_MAX = 5;
/** Raft's unit of time. */
export const TICK_MS = 100;

/**
 * Turns elapsed monotonic time into ticks (P35): a timer that fires late makes up for what it missed, one that fires early
 * waits. Time beyond the cap is forgotten, since to a member that stood still it did not pass.
 */
export class Ticker {
  #lastMs: number;
  #timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly tick: () => void,
    private readonly monotonicMs: () => number = () => performance.now(),
  ) {
    this.#lastMs = monotonicMs();
  }

  start(): void {
    this.#lastMs = this.monotonicMs();
    this.#timer = setInterval(() => this.advance(), TICK_MS);
  }

  /** Calls `tick` as often as whole ticks have elapsed since the last call. */
  advance(): void {
    const nowMs = this.monotonicMs();
    const due = Math.floor((nowMs - this.#lastMs) / TICK_MS);
    const capped = due > CATCH_UP_TICKS_MAX;
    this.#lastMs = capped ? nowMs : this.#lastMs + due * TICK_MS;
    for (let count = 0; count < Math.min(due, CATCH_UP_TICKS_MAX); count += 1) this.tick();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
