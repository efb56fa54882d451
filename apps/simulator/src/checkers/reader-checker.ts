import { hashToken } from '@quorate/api';
import { TOKENS_NAMESPACE } from '@quorate/kv';
import { describeRead } from '../gateway.js';
import type { Story } from './story.js';

/**
 * Nobody is shown a revision at which his token was not known, however long the cache had been cut off, or the read had waited (C27). And
 * who is known all the while is not refused.
 */
export function checkReaders({ world, cacheReads, chronicle }: Story): void {
  for (const read of cacheReads) {
    const { token, outcome, watermark, answeredMs } = read;
    if (token === null) continue;
    const changes = chronicle.writesOf(TOKENS_NAMESPACE, hashToken(token));
    const isKnownAt = (at: number): boolean =>
      changes.findLast(({ revision }) => revision <= at)?.type === 'put';
    if (outcome.type === 'hit' && !isKnownAt(outcome.revision))
      world.violation('nobody is shown what came after his revocation', describeRead(read));
    if (outcome.type !== 'denied' || watermark === null || !isKnownAt(watermark)) continue;
    const isRevoked = changes.some(
      ({ type, revision, committedMs }) =>
        type !== 'put' && revision > watermark && committedMs <= answeredMs,
    );
    if (!isRevoked) world.violation('a reader who is known is not refused', describeRead(read));
  }
}
