import assert from 'node:assert/strict';
import type { Clock } from './environment.js';
import type { StoreCall } from './store-call.js';

/** The longest delay of a timer: a longer one would fire at once. */
const TIMER_MS_MAX = 0x7fff_ffff;
/** No timer is set for less, so that one that fires a moment early is not set over and over. */
const TIMER_MS_MIN = 1;

/**
 * The calls that have no answer yet, and one timer for all their deadlines: it is set for the earliest, and when it fires for the
 * earliest of those that are left. Almost every call is over long before, so a timer of its own would be set in vain.
 */
export class OutstandingCalls implements Iterable<StoreCall> {
  readonly #clock: Clock;
  readonly #onDeadline: (call: StoreCall) => void;
  readonly #calls = new Set<StoreCall>();
  /** When the timer fires, on the monotonic clock. Infinity: there is none. -Infinity: there will be none any more. */
  #timerAtMs = Infinity;
  #cancelTimer: (() => void) | null = null;

  /** `onDeadline` is called at a call's deadline, or a moment later, never before; it is to remove the call. */
  constructor(clock: Clock, onDeadline: (call: StoreCall) => void) {
    this.#clock = clock;
    this.#onDeadline = onDeadline;
  }

  get size(): number {
    return this.#calls.size;
  }

  [Symbol.iterator](): Iterator<StoreCall> {
    return this.#calls.values();
  }

  add(call: StoreCall, nowMs: number): void {
    assert(!Number.isNaN(call.deadlineAtMs), 'a deadline is a number');
    this.#calls.add(call);
    if (call.deadlineAtMs < this.#timerAtMs) this.#setTimer(call.deadlineAtMs, nowMs);
  }

  delete(call: StoreCall): void {
    this.#calls.delete(call);
  }

  /** Ends the timer for good: no call that is left, or is added later, has a deadline. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#timerAtMs = -Infinity;
  }

  #setTimer(atMs: number, nowMs: number): void {
    this.#cancelTimer?.();
    this.#timerAtMs = atMs;
    const delayMs = Math.min(TIMER_MS_MAX, Math.max(TIMER_MS_MIN, atMs - nowMs));
    this.#cancelTimer = this.#clock.setTimer(delayMs, () => this.#endOverdue());
  }

  #endOverdue(): void {
    this.#cancelTimer = null;
    this.#timerAtMs = Infinity;
    const nowMs = this.#clock.monotonicMs();
    let nextMs = Infinity;
    const overdue: StoreCall[] = [];
    for (const call of this.#calls) {
      if (call.deadlineAtMs <= nowMs) overdue.push(call);
      else nextMs = Math.min(nextMs, call.deadlineAtMs);
    }
    // If one callback throws, the timer comes back for the others.
    if (overdue.length > 1) nextMs = nowMs;
    if (nextMs < Infinity) this.#setTimer(nextMs, nowMs);
    for (const call of overdue) this.#onDeadline(call);
  }
}
