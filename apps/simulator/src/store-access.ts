import type { StoreResponse } from '@quorate/api';
import type { Operation } from '@quorate/kv';

/** The two things that a simulated user does. Callbacks come once. */
export interface StoreAccess {
  write(
    operation: Operation,
    idempotencyKey: string | null,
    deadlineMs: number,
    callback: (response: StoreResponse) => void,
  ): void;
  get(namespace: string, key: string, deadlineMs: number, callback: (response: StoreResponse) => void): void;
}
