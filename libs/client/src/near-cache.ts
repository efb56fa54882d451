import { type ErrorCode, QuorateError } from '@quorate/api';
import type { CacheReadLevel, CacheState, PeekRefusal } from '@quorate/cache';
import { type Entry, type Operation, type Revision, revision } from '@quorate/kv';
import {
  type CachedReadOutcome,
  type CachedViewCounters,
  CachedViewDriver,
  type ProvenHit,
  type ProvenRead,
} from './cached-view.js';
import { QuorateClient, type StoreCalls } from './client.js';
import type { Clock, StoreSource } from './environment.js';
import { type FeedTransport, followFeed } from './feed-transport.js';

const READY_DEADLINE_MS = 5_000;
const READY_POLL_MS = 10;

/**
 * "I have seen this": an answer of the near cache, or what decodeConsistencyToken made of a Consistency-Token. Of a write: the
 * near cache's epoch, and the write's revision.
 */
export interface SeenRevision {
  readonly epoch: number;
  readonly revision: Revision;
}

/** How new an answer must be. With a `token`, whatever the level: at least as new as that, too. */
export type NearReadOptions =
  | { readonly level?: 'eventual' | 'linearizable'; readonly token?: SeenRevision }
  /** Staleness proven to be at most `boundMs` at the moment of the answer. */
  | { readonly level: 'bounded'; readonly boundMs: number; readonly token?: SeenRevision }
  | { readonly level: 'session'; readonly token: SeenRevision };

export interface NearAnswer {
  readonly type: 'hit';
  /** Null: the entry does not exist at `revision`. The value belongs to the cache: it must not be written into. */
  readonly entry: Entry | null;
  /** Every published change up to here is in the answer. */
  readonly revision: Revision;
  readonly epoch: number;
  /** What the answer satisfies: the level asked for, or a stronger one. */
  readonly level: 'eventual' | 'session' | 'bounded' | 'linearizable';
  /**
   * Upper bound in whole milliseconds; null: unknown. Of what was held, from `get` or an eventual `read`: at the moment of
   * looking at it. Of any other `read`: when it was answered.
   */
  readonly stalenessMs: number | null;
}

/** Why `get` shows nothing. A `read` answers all three if it can: it waits, fills, or asks the store. */
export type NearRefusal =
  /** Before the first sync, or between two epochs. */
  | { readonly type: 'notReady' }
  /** The namespace is strict, deleted or unknown: only the store may answer. */
  | { readonly type: 'strict' }
  /** Not held, or older than an own write that has not come back yet. */
  | { readonly type: 'miss' };

/** The links of a near cache: those that `connectStore` makes for the role gateway fit. */
export interface NearCacheLinks {
  readonly client: StoreSource & StoreCalls;
  subscribeFeed(onBytes: (bytes: Uint8Array) => void): () => void;
  close(): void;
}

export interface NearCacheOptions {
  /** Of the role gateway, for this near cache alone: it closes them. */
  readonly links: NearCacheLinks;
  readonly cluster: { readonly clusterId: string; readonly epoch: number };
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** The bearer token of writes, and of reads that go to the store. */
  readonly bearerToken?: string;
  /** Closed with the near cache. Not given: the feed comes over a link. */
  readonly feed?: FeedTransport;
  /** Keys and values held, in bytes. Default 64 MiB. */
  readonly bytesMax?: number;
  /** How long a read may wait for the cache before it goes to the store or is refused. Milliseconds; default 1,000. */
  readonly waitMs?: number;
  /** The cache broke an invariant of its own and is rebuilt: for the log. */
  readonly onRebuild?: (error: unknown) => void;
}

const REFUSALS: Readonly<Record<PeekRefusal, NearRefusal>> = {
  notReady: Object.freeze({ type: 'notReady' }),
  strict: Object.freeze({ type: 'strict' }),
  miss: Object.freeze({ type: 'miss' }),
};

const EVENTUAL: CacheReadLevel = { type: 'eventual' };
const LINEARIZABLE: CacheReadLevel = { type: 'linearizable' };

/**
 * A gateway's cached view inside this process. An eventual read of what is held costs a few looks into a map;
 * linearizable reads that come together share one quorum round. It needs the gateway's key: the process is trusted like a
 * gateway, and sees all cached content.
 */
export class NearCache {
  /** The store's API. What is written through it is read back here: no read shows less. */
  readonly client: QuorateClient;
  readonly #options: NearCacheOptions;
  readonly #driver: CachedViewDriver;
  readonly #closeFeed: () => Promise<void>;
  #flushDue = false;
  #closed = false;

  /** Starts at once; `ready` tells when it can answer. */
  constructor(options: NearCacheOptions) {
    const { links, cluster, clock, random, bearerToken, feed, bytesMax, waitMs, onRebuild } = options;
    this.#options = options;
    const driver = new CachedViewDriver({
      source: links.client,
      clock,
      random,
      clusterId: cluster.clusterId,
      ...(bytesMax !== undefined && { bytesMax }),
      ...(waitMs !== undefined && { waitMs }),
      ...(onRebuild !== undefined && { onRebuild }),
    });
    this.#driver = driver;
    this.client = new QuorateClient({
      store: links.client,
      ...(bearerToken !== undefined && { token: bearerToken }),
      onWritten: (operation, at) => driver.ownWrite(operation.namespace, keyOf(operation), at),
    });
    const sources = { source: feed ?? null, links, clock };
    this.#closeFeed = followFeed(sources, (bytes) => driver.receiveFeed(bytes));
    driver.start();
  }

  /**
   * What is held of a key, now and without waiting: level eventual. Asks for nothing, so a miss stays one until somebody
   * reads the key. A loop of these must let the event loop turn, or no change arrives.
   */
  get(namespace: string, key: string): NearAnswer | NearRefusal {
    const held = this.#driver.peek(namespace, key);
    return typeof held === 'string' ? REFUSALS[held] : held;
  }

  /**
   * Reads a key at a level, from the cache where it can prove what is asked for, else from the store. Default: eventual.
   * Rejects with a QuorateError, within about `waitMs` and the store client's deadline.
   */
  read(namespace: string, key: string, options: NearReadOptions = {}): Promise<NearAnswer> {
    const { token } = options;
    if (token === undefined && (options.level ?? 'eventual') === 'eventual') {
      const held = this.#driver.peek(namespace, key);
      if (typeof held !== 'string') return Promise.resolve(held);
    }
    return new Promise((resolve, reject) => {
      refuseBadInput(namespace, key, token);
      const read = new PendingRead(namespace, key, options, this.#readStore, resolve, reject);
      // A token of another epoch says nothing of this one's revisions.
      const level = token === undefined || token.epoch === this.epoch ? levelOf(options) : LINEARIZABLE;
      if (level === LINEARIZABLE) this.#driver.queueProven(read);
      else
        this.#driver.queue(namespace, key, level, (outcome) => read.settle(outcome), token?.revision ?? null);
      if (this.#flushDue) return;
      this.#flushDue = true;
      // When the tasks that are due have run, all reads of this moment are there: one probe serves them.
      queueMicrotask(this.#flush);
    });
  }

  /** Fulfilled once it is synced; rejects with CACHE_NOT_READY after `deadlineMs` (default 5,000). */
  ready(deadlineMs = READY_DEADLINE_MS): Promise<void> {
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + deadlineMs;
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (this.revision !== null) resolve();
        else if (this.#closed || clock.monotonicMs() >= endMs) reject(new QuorateError('CACHE_NOT_READY'));
        else clock.setTimer(READY_POLL_MS, look);
      };
      look();
    });
  }

  get state(): CacheState {
    return this.#driver.state;
  }

  /** Null until the first sync. */
  get revision(): Revision | null {
    return this.#driver.watermark;
  }

  /** The store's, as far as this process knows. */
  get epoch(): number {
    return this.#driver.epoch ?? this.#options.cluster.epoch;
  }

  /** Upper bound now, whole milliseconds; null: never confirmed. */
  get stalenessMs(): number | null {
    return this.#driver.stalenessMs;
  }

  get entryCount(): number {
    return this.#driver.entryCount;
  }

  get entryBytes(): number {
    return this.#driver.entryBytes;
  }

  get counters(): CachedViewCounters {
    return this.#driver.counters;
  }

  /** Ends the view, the feed and the links. Reads that wait are refused. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#driver.stop();
    await this.#closeFeed();
    this.#options.links.close();
  }

  /** The store's answer where the view's does not do, or the refusal. */
  readonly #readStore: ReadStore = async (namespace, key, options, outcome) => {
    if (outcome.type === 'refused' && outcome.code !== 'CACHE_NOT_READY') {
      throw new QuorateError(outcome.code, undefined, this.revision === null ? {} : { head: this.revision });
    }
    const { clock, cluster } = this.#options;
    const sent = { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() };
    const { entry, head } = await this.client.get(namespace, key).catch((error: unknown) => {
      this.#refuseAhead(options.token, provenHeadOf(error));
      throw explained(error, options, outcome);
    });
    this.#refuseAhead(options.token, head);
    const elapsedMs = Math.max(clock.monotonicMs() - sent.monotonicMs, clock.wallMs() - sent.wallMs);
    const stalenessMs = Math.max(0, Math.ceil(elapsedMs));
    return { type: 'hit', entry, revision: head, epoch: cluster.epoch, level: 'linearizable', stalenessMs };
  };

  readonly #flush = (): void => {
    this.#flushDue = false;
    this.#driver.flush();
  };

  /** The head was proven by a quorum round: who has seen more of the same epoch has seen what was lost since. */
  #refuseAhead(token: SeenRevision | undefined, head: Revision | null): void {
    if (token === undefined || head === null || token.epoch !== this.#options.cluster.epoch) return;
    if (token.revision > head) throw new QuorateError('TOKEN_AHEAD', undefined, { head });
  }
}

type ReadStore = (
  namespace: string,
  key: string,
  options: NearReadOptions,
  outcome: CachedReadOutcome,
) => Promise<NearAnswer>;

/** A promise of an answer. */
class PendingRead implements ProvenRead {
  constructor(
    readonly namespace: string,
    readonly key: string,
    private readonly options: NearReadOptions,
    private readonly readStore: ReadStore,
    private readonly resolve: (answer: NearAnswer) => void,
    private readonly reject: (error: unknown) => void,
  ) {}

  settle(outcome: CachedReadOutcome | ProvenHit): void {
    const { namespace, key, options } = this;
    const { token } = options;
    if (outcome.type !== 'hit')
      this.readStore(namespace, key, options, outcome).then(this.resolve, this.reject);
    else if (token === undefined || isProven(outcome, token)) this.resolve(outcome);
    else this.readStore(namespace, key, options, { type: 'fallback' }).then(this.resolve, this.reject);
  }
}

/** Null: the namespace as a whole. */
function keyOf(operation: Operation): string | null {
  return operation.type === 'put' || operation.type === 'delete' ? operation.key : null;
}

/** Nothing that a caller hands in may reach an assertion of the view, or fail where nobody waits for it. */
function refuseBadInput(namespace: unknown, key: unknown, token: SeenRevision | undefined): void {
  if (typeof namespace !== 'string' || typeof key !== 'string')
    throw new QuorateError('INVALID_REQUEST', 'A namespace and a key are texts.');
  if (token !== undefined && !(Number.isSafeInteger(token.revision) && token.revision >= 0))
    throw new QuorateError('INVALID_CONSISTENCY_TOKEN');
}

function levelOf(options: NearReadOptions): CacheReadLevel {
  switch (options.level) {
    case 'linearizable':
      return LINEARIZABLE;
    case undefined:
    case 'eventual':
    // An eventual read with a floor.
    case 'session':
      return EVENTUAL;
    case 'bounded':
      if (options.boundMs >= 0) return { type: 'bounded', boundMs: options.boundMs };
  }
  // From JavaScript anything may come: what is not understood must not become a weaker read.
  throw new QuorateError('INVALID_REQUEST', 'The read level, or its bound, is none that there is.');
}

/**
 * Whether the view's answer does for this token. A linearizable one may be behind it, since strict writes do not move the view: only
 * the store's own head says whether something is missing.
 */
function isProven(hit: NearAnswer, token: SeenRevision): boolean {
  if (hit.epoch === token.epoch) return token.revision <= hit.revision;
  return hit.level === 'linearizable';
}

/** The head that a refusal was decided at. Who is not available, or cannot say what happened, has proven none. */
function provenHeadOf(error: unknown): Revision | null {
  if (!(error instanceof QuorateError) || error.effect === 'unknown' || error.status >= 500) return null;
  const { head } = error.details;
  return head === undefined ? null : revision(head);
}

const UNAVAILABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'NO_QUORUM',
  'STORE_UNREACHABLE',
  'TIMED_OUT',
]);

/** What the caller is told when the store cannot stand in for the view: also why the view did not do. */
function explained(error: unknown, options: NearReadOptions, outcome: CachedReadOutcome): unknown {
  if (!(error instanceof QuorateError) || !UNAVAILABLE.has(error.code)) return error;
  if (options.level === 'linearizable') return error;
  if (outcome.type === 'refused') return new QuorateError('CACHE_NOT_READY', undefined, error.details);
  const behind = outcome.type === 'fallback' && options.token !== undefined;
  return behind ? new QuorateError('TOKEN_NOT_REACHED', undefined, error.details) : error;
}
