export { CACHED_VIEW_DEFAULTS, CachedView } from './cached-view.js';
export type { Moment } from './elapsed.js';
export type {
  CacheCommand,
  CacheCounters,
  CachedViewOptions,
  CacheEvent,
  CacheList,
  CacheLoad,
  CacheOutcome,
  CacheProof,
  CacheRead,
  CacheReadLevel,
  CacheRefusal,
  CacheState,
  HeldState,
  MayRead,
  ReaderQuestion,
  ReaderRefusal,
  Instant,
  PeekRefusal,
  ResumePoint,
  ResyncReason,
} from './types.js';
