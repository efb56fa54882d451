import type { TransferBody } from '@quorate/api';
import { jsonAnswer, type Answer } from '../http/answer.js';
import type { Store } from '../store/store.js';

/** Hands leadership over. Throws TRANSFER_FAILED when the leader did not change in time. */
export async function transferLeadership(store: Store, token: string, body: TransferBody): Promise<Answer> {
  const { leader, moved } = await store.transfer(token, body.to ?? null);
  return jsonAnswer(200, {}, { leader, moved });
}

/** Makes a member, as a rule the leader, take a durable snapshot of what it has applied. */
export async function takeSnapshot(store: Store, token: string): Promise<Answer> {
  const { index, revision, payloadBytes, taken } = await store.snapshot(token);
  return jsonAnswer(200, {}, { index, revision, payloadBytes, taken });
}
