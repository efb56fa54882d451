import { describeRead } from '../gateway.js';
import { CACHED_NAMESPACE, isCached } from '../namespaces.js';
import type { Story } from './story.js';

/**
 * No strict read from a cache: what decisions are made upon never comes out of a gateway's memory. And no
 * read of cached data is sent on to the store as a strict one, once the view has applied that the namespace
 * exists: a cache that does so serves nobody when the store is away. Not asked of a namespace that is deleted
 * again: of that the store may know more than the view, and a fill that says so is the end of it.
 */
export function checkNoStrictCacheReads({ world, cacheReads, chronicle }: Story): void {
  for (const read of cacheReads) {
    const { outcome, namespace, watermark } = read;
    if (outcome.type === 'hit' && !isCached(namespace)) {
      world.violation('strict data is never cached', describeRead(read));
    }
    const isKnown =
      namespace === CACHED_NAMESPACE && watermark !== null && chronicle.exists(namespace, watermark);
    if (outcome.type === 'strict' && isKnown) {
      world.violation(
        'cached data is read from the cache',
        `${describeRead(read)}, with ${watermark} applied`,
      );
    }
  }
}
