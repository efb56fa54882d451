import { TOKENS_NAMESPACE } from '@quorate/kv';

/** Never read from a cache. */
export const STRICT_NAMESPACE = 'limits';
export const CACHED_NAMESPACE = 'content';
/** Cached as well. Not there at first: users create it, delete it with all that is in it, and create it anew. */
export const PASSING_NAMESPACE = 'drafts';

const CACHED = new Set([CACHED_NAMESPACE, PASSING_NAMESPACE, TOKENS_NAMESPACE]);

export function isCached(namespace: string): boolean {
  return CACHED.has(namespace);
}
