import type { CheckRequest, StoreResponse } from '@quorate/api';
import type { Operation } from '@quorate/kv';

/** What a simulated user does. Callbacks come once. */
export interface StoreAccess {
  write(
    operation: Operation,
    idempotencyKey: string | null,
    deadlineMs: number,
    callback: (response: StoreResponse) => void,
    /** The admin's unless told otherwise. */
    token?: string,
  ): void;
  get(namespace: string, key: string, deadlineMs: number, callback: (response: StoreResponse) => void): void;
  list(
    namespace: string,
    options: { readonly prefix: string; readonly limit: number },
    deadlineMs: number,
    callback: (response: StoreResponse) => void,
  ): void;
  check(check: CheckRequest, deadlineMs: number, callback: (response: StoreResponse) => void): void;
  /** Requests that have no answer yet. */
  readonly outstanding: number;
}
