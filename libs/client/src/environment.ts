import type { StoreRequest, StoreResponse } from '@quorate/api';

/**
 * Where the core of the SDK sends its requests: a pool of links in a process, the simulated network in the
 * simulator.
 * `callback` is called exactly once, never from within `request`, and within `deadlineMs` (then with a
 * failure).
 */
export interface StoreSource {
  request(request: StoreRequest, deadlineMs: number, callback: (response: StoreResponse) => void): void;
}

/** Time, handed in: the core never asks the system for it. */
export interface Clock {
  /** Milliseconds that never step back, fractions allowed; may stand still while the machine is suspended. */
  monotonicMs(): number;
  /** Milliseconds since 1970; may step either way. */
  wallMs(): number;
  /** Runs `task` once, after at least `delayMs`. The returned function cancels it. */
  setTimer(delayMs: number, task: () => void): () => void;
}
