import { describeRead } from '../gateway.js';
import { CACHED_NAMESPACE } from '../traffic.js';
import type { Story } from './story.js';

/** No strict read from a cache: what decisions are made upon never comes out of a gateway's memory. */
export function checkNoStrictCacheReads({ world, cacheReads }: Story): void {
  for (const read of cacheReads) {
    if (read.outcome.type === 'hit' && read.namespace !== CACHED_NAMESPACE) {
      world.violation('strict data is never cached', describeRead(read));
    }
  }
}
