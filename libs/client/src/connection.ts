import type { StoreRequest, StoreResponse } from '@quorate/api';

/** The request was sent and no answer will come: a write may have happened, or may still. */
export interface LostResponse {
  readonly type: 'lost';
}

/** One link to one member: over TCP in a process, over the simulated network in the simulator. */
export interface Connection {
  /** Id of the member at the other end. */
  readonly member: number;
  readonly open: boolean;
  /** For how many milliseconds it has been open, or not open. */
  readonly sinceMs: number;
  /** Whether the first attempt to open it has ended, one way or the other: before, that it is not open says nothing of the member. */
  readonly tried: boolean;
  /**
   * `callback` is called exactly once, never from within `request`. A failure whose effect is `none` means that the request had
   * no effect; STORE_UNREACHABLE and OVERLOADED may also mean that it was never sent.
   */
  request(
    request: StoreRequest,
    deadlineMs: number,
    callback: (response: StoreResponse | LostResponse) => void,
  ): void;
  /** Calls `listener` whenever `open` has changed. The returned function ends that. */
  onOpenChange(listener: () => void): () => void;
}
