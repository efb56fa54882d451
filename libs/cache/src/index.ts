export { CACHED_VIEW_DEFAULTS, CachedView } from './cached-view.js';
export type {
  CacheCommand,
  CacheCounters,
  CachedViewOptions,
  CacheEvent,
  CacheLoad,
  CacheOutcome,
  CacheRead,
  CacheReadLevel,
  CacheRefusal,
  CacheState,
  Instant,
  ResumePoint,
  ResyncReason,
} from './types.js';
