export {
  type CachedReadOutcome,
  type CachedViewCounters,
  CachedViewDriver,
  type CachedViewDriverOptions,
} from './cached-view.js';
export type { HeldState, MayRead, ReaderQuestion, ReaderRefusal } from '@quorate/cache';
export { QuorateClient, type CallOptions, type QuorateClientOptions, type WriteOptions } from './client.js';
export type { Connection, LostResponse } from './connection.js';
export type { Clock, StoreSource } from './environment.js';
export { type FeedTransport, followFeed } from './feed-transport.js';
export type { HeldAnswer } from './held-answer.js';
export {
  type NearAnswer,
  NearCache,
  type NearCacheOptions,
  type NearRefusal,
  type NearReadOptions,
  type SeenRevision,
} from './near-cache.js';
export {
  DEFAULT_DEADLINE_MS,
  type ReadRequest,
  StoreClient,
  type StoreClientOptions,
  type StoreRead,
  type StoreWrite,
} from './store-client.js';
