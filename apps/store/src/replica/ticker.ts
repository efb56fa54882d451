import { ElapsedTicks, TICK_MS } from '@quorate/replica';

/** Calls `tick` as often as whole ticks have elapsed, by a timer that may fire late. */
export class Ticker {
  #elapsed: ElapsedTicks;
  #timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly tick: () => void,
    private readonly monotonicMs: () => number = () => performance.now(),
  ) {
    this.#elapsed = new ElapsedTicks(monotonicMs());
  }

  start(): void {
    this.#elapsed = new ElapsedTicks(this.monotonicMs());
    this.#timer = setInterval(() => this.advance(), TICK_MS);
  }

  advance(): void {
    for (let due = this.#elapsed.take(this.monotonicMs()); due > 0; due -= 1) this.tick();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
