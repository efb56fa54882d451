import type { ChangeBatch, Entry, NamespaceRecord, Revision } from '@quorate/kv';

/**
 * One moment on both clocks, taken by the driver when it hands in an event. Milliseconds, fractions allowed.
 */
export interface Instant {
  /** Never steps back, but may stand still while the machine is suspended. */
  readonly monotonicMs: number;
  /** Goes on in suspend, but may step either way. */
  readonly wallMs: number;
}

export type CacheReadLevel =
  | { readonly type: 'eventual' }
  /** Staleness proven to be at most `boundMs` when the answer is written. */
  | { readonly type: 'bounded'; readonly boundMs: number }
  /** As of a moment after the read arrived, proven by a probe that was sent after that. */
  | { readonly type: 'linearizable' };

/**
 * Who asks, and what the chain says of him at the watermark: all that a decision depends on. Content, tokens and readers come in one chain, so whoever is
 * shown revision r is judged by every revocation up to r.
 */
export interface ReaderQuestion {
  /** The bearer token as it came. */
  readonly token: string;
  readonly namespace: string;
  /** The readers of the namespace's record; null: whoever may read at all. */
  readonly readers: readonly string[] | null;
  /** The record of a token by the token's hash, null: there is none. */
  readonly recordOf: (tokenHash: string) => Uint8Array | null;
  /** The latest that the wall clock has ever shown, in milliseconds. */
  readonly nowMs: number;
}

/** Why a reader is refused. */
export interface ReaderRefusal {
  readonly code: 'UNAUTHENTICATED' | 'FORBIDDEN';
  readonly message: string;
}

/** A pure function: may he read this namespace? Null: he may. */
export type MayRead = (question: ReaderQuestion) => ReaderRefusal | null;

export interface CacheRead {
  /** Chosen by the driver; unique among the reads that wait. */
  readonly readId: number;
  readonly namespace: string;
  readonly key: string;
  readonly level: CacheReadLevel;
  /** The answer is at least as new as this (level session). Null: not asked. */
  readonly minRevision: Revision | null;
  /** True: of what is held now, or `notHeld`; nobody is asked, and nothing waited for. Only for level eventual. */
  readonly isHeldOnly?: boolean;
  /** The bearer token of whoever asks. Null: this process itself. */
  readonly token: string | null;
}

/** Everything that a view holds at its watermark: for a file that outlives the process. */
export interface HeldState {
  readonly epoch: number;
  /** The watermark. */
  readonly revision: Revision;
  /** Of every name ever used, as far as the view knows them. */
  readonly namespaces: readonly NamespaceRecord[];
  /** Namespaces that are held whole, their entries in the order of keys. */
  readonly wholes: readonly { readonly namespace: string; readonly entries: readonly Entry[] }[];
  /** Entries held by demand. */
  readonly entries: readonly Entry[];
  /** When the newest probe that proves it was sent, by the wall clock. Null: none did. */
  readonly confirmedWallMs: number | null;
}

/** Asks for entries of a namespace by key; the rest as for a read. Only a namespace that is held whole answers. */
export interface CacheList {
  readonly readId: number;
  readonly namespace: string;
  /** Of the keys; empty: all. */
  readonly prefix: string;
  readonly limit: number;
  readonly level: CacheReadLevel;
  readonly minRevision: Revision | null;
  readonly token: string | null;
}

export type CacheEvent =
  | { readonly type: 'start' }
  /** What an earlier process held, when nobody gives anything newer. Ignored by a view that has synced. */
  | { readonly type: 'restored'; readonly held: HeldState }
  /** From the feed, decoded and authenticated. */
  | { readonly type: 'feedBatch'; readonly batch: ChangeBatch }
  | {
      readonly type: 'feedOversize';
      readonly epoch: number;
      readonly previous: Revision;
      readonly revision: Revision;
    }
  /** The driver could not decode or authenticate a message: counted, nothing else. */
  | { readonly type: 'feedRefused'; readonly reason: 'format' | 'cluster' | 'mac' }
  | {
      readonly type: 'pulled';
      readonly pullId: number;
      readonly batch: ChangeBatch;
      readonly published: Revision;
    }
  | { readonly type: 'compacted'; readonly pullId: number; readonly epoch: number; readonly oldest: Revision }
  | { readonly type: 'pullFailed'; readonly pullId: number }
  | {
      readonly type: 'resynced';
      readonly resyncId: number;
      readonly epoch: number;
      readonly revision: Revision;
      readonly namespaces: readonly NamespaceRecord[];
    }
  | { readonly type: 'resyncFailed'; readonly resyncId: number }
  | {
      readonly type: 'probed';
      readonly probeId: number;
      readonly epoch: number;
      readonly head: Revision;
      readonly published: Revision;
    }
  | { readonly type: 'probeFailed'; readonly probeId: number }
  | {
      readonly type: 'filled';
      readonly fillId: number;
      readonly epoch: number;
      readonly revision: Revision;
      readonly entry: Entry | null;
    }
  | { readonly type: 'fillFailed'; readonly fillId: number; readonly code: string }
  /** A page of a namespace's content, as of `revision`. */
  | {
      readonly type: 'loaded';
      readonly loadId: number;
      readonly epoch: number;
      readonly revision: Revision;
      readonly entries: readonly Entry[];
      readonly more: boolean;
    }
  | { readonly type: 'loadFailed'; readonly loadId: number; readonly code: string }
  | ({ readonly type: 'read' } & CacheRead)
  | ({ readonly type: 'list' } & CacheList)
  /** Reads that arrived together, in this order: one probe serves all of them that need one (C32). */
  | { readonly type: 'reads'; readonly reads: readonly CacheRead[] }
  /** Asks for proof that the view is as new as the store at this moment, for linearizable reads to come (C33). */
  | { readonly type: 'prove'; readonly readId: number }
  /**
   * A write of this process was acknowledged at `revision`: eventual reads of the key must not show older.
   * `key` null: the namespace itself was created or deleted, which concerns all of its keys.
   */
  | {
      readonly type: 'ownWrite';
      readonly namespace: string;
      readonly key: string | null;
      readonly revision: Revision;
    }
  /** Hand one in at least every 50 ms or so: all time limits are looked at here. */
  | { readonly type: 'tick' };

export type CacheRefusal =
  /** Never synced, or the epoch changed and the new state is not there yet. */
  | 'CACHE_NOT_READY'
  /** Not held, and nobody gave it in time. */
  | 'CACHE_MISS_UNREACHABLE'
  /** The bound asked for cannot be proven. */
  | 'STALENESS_BOUND_EXCEEDED'
  /** Too many reads wait already. */
  | 'OVERLOADED';

/** What an answer is worth. */
export interface CacheProof {
  /** The watermark: every published change up to here is in the answer. */
  readonly revision: Revision;
  readonly epoch: number;
  /**
   * Upper bound, whole milliseconds, rounded up, as of the event that caused the answer. Null: unknown.
   */
  readonly stalenessMs: number | null;
  /** The same, but where it is null and an earlier process' state is shown: since when that was true by the wall clock, unproven. Null: unknown. */
  readonly ageMs: number | null;
  /** Head of the last probe minus the watermark, in revisions. Null: never probed. */
  readonly lag: number | null;
  /** The last probe succeeded, at most 2 s ago. */
  readonly quorum: boolean;
  /** What the answer satisfies: the level asked for (session: eventual with a minRevision). */
  readonly level: 'eventual' | 'session' | 'bounded' | 'linearizable';
}

export type CacheOutcome =
  | ({
      readonly type: 'hit';
      /** Null: the entry does not exist at `revision`. */
      readonly entry: Entry | null;
      /** True: answered by a fill. False: it was held already. */
      readonly filled: boolean;
    } & CacheProof)
  | ({
      readonly type: 'listed';
      /** In the order of the keys' UTF-8 bytes. */
      readonly entries: readonly Entry[];
      /** There are more than the limit. */
      readonly truncated: boolean;
    } & CacheProof)
  | { readonly type: 'refused'; readonly code: CacheRefusal }
  /** Of a read of what is held only. */
  | { readonly type: 'notHeld' }
  /** He may not read this, as of the watermark. Nothing else is said. */
  | ({ readonly type: 'denied' } & ReaderRefusal)
  /** The namespace is strict, deleted or unknown here: only the store may answer. */
  | { readonly type: 'strict' };

/** Why a peek shows nothing. `miss`: not held, or older than an own write; a read may still answer. */
export type PeekRefusal = 'notReady' | 'strict' | 'miss';

export type CacheCommand =
  | { readonly type: 'answer'; readonly readId: number; readonly outcome: CacheOutcome }
  /** The cache cannot prove what was asked for: ask the store, which has the answer or the honest error. */
  | { readonly type: 'fallback'; readonly readId: number }
  /** From now on whatever is peeked is as new as the store was when the proof was asked for. */
  | { readonly type: 'proven'; readonly readId: number }
  | { readonly type: 'probe'; readonly probeId: number }
  /** `minRevision` is known to exist: a member that is behind it and has nothing new must not be asked again. */
  | {
      readonly type: 'pull';
      readonly pullId: number;
      readonly after: Revision;
      readonly minRevision: Revision;
    }
  | { readonly type: 'resync'; readonly resyncId: number }
  | {
      readonly type: 'fill';
      readonly fillId: number;
      readonly namespace: string;
      readonly key: string;
      readonly minRevision: Revision;
    }
  /** The next page of a namespace that is to be held whole: behind the key `after`, from the start when it is empty. */
  | {
      readonly type: 'load';
      readonly loadId: number;
      readonly namespace: string;
      readonly after: string;
      readonly minRevision: Revision;
    };

/** empty: nothing known. syncing: being fetched. live: bound within 3 s. stale: over 3 s or unknown. */
export type CacheState = 'empty' | 'syncing' | 'live' | 'stale';

export type ResyncReason = 'start' | 'epoch' | 'compacted';

export interface CacheCounters {
  readonly hits: number;
  readonly misses: number;
  readonly fills: number;
  readonly fillsFailed: number;
  /** Answers older than what was asked for, or of another key: treated as failures (R1). */
  readonly fillsRefused: number;
  readonly gaps: number;
  readonly duplicates: number;
  readonly pulls: number;
  readonly resyncs: Readonly<Record<ResyncReason, number>>;
  readonly feedRefused: Readonly<Record<'format' | 'cluster' | 'mac', number>>;
  /** Messages and answers of an earlier epoch: dropped. */
  readonly outdated: number;
  readonly batchesApplied: number;
  readonly fallbacks: number;
  /** Reads of callers who may not. */
  readonly denied: number;
  readonly refusals: Readonly<Record<CacheRefusal, number>>;
  readonly probes: number;
  readonly probesFailed: number;
  readonly evictions: number;
  /** Pages asked for of namespaces that are held whole. */
  readonly loads: number;
  readonly loadsFailed: number;
  /** Namespaces that were too large to be held whole. */
  readonly wholesTooLarge: number;
}

/** Where a view that replaces a broken one must not begin before (R12: never back in time). */
export interface ResumePoint {
  readonly epoch: number;
  readonly revision: Revision;
}

export interface CachedViewOptions {
  /** Keys and values held by demand, in bytes. Default 64 MiB. */
  readonly bytesMax?: number;
  /** Of one namespace that is held whole. Default 4 MiB; 0: none is. */
  readonly wholeNamespaceBytesMax?: number;
  /** Of all namespaces that are held whole. Default 32 MiB. */
  readonly wholeBytesMax?: number;
  /** How long a read may wait for a probe, a revision or a fill. Default 1,000. */
  readonly waitMs?: number;
  /** Reads that wait, altogether. Default 10,000. */
  readonly waitingReadsMax?: number;
  /** Fills in flight. Default 256. */
  readonly fillsMax?: number;
  /** Own writes that the watermark has not reached and that are remembered key by key. Default 10,000. */
  readonly floorsMax?: number;
  /** Names remembered; others are treated as strict. Default 100,000. */
  readonly namespacesMax?: number;
  /** Who may read what. Not given: whoever brings a token is sent to the store. */
  readonly mayRead?: MayRead;
  /** In [0, 1), for the spread of retries (R21). */
  readonly random: () => number;
  readonly resume?: ResumePoint | null;
}

/** Counts of what waits in a view, for metrics and for checkers. */
export interface CacheLoad {
  /** At most `waitingReadsMax`. */
  readonly waitingReads: number;
  /** The same reads, in the lists that they wait in; answered ones stay in there until something moves the list. */
  readonly listedReads: number;
  /** At most `fillsMax`. */
  readonly fills: number;
  /** At most `floorsMax`. */
  readonly floors: number;
  readonly unconfirmedProbes: number;
  /** At most `namespacesMax`. */
  readonly namespaces: number;
  /** How many of them are held whole. */
  readonly wholeNamespaces: number;
  /** At most `wholeBytesMax`, with those that are still being loaded. */
  readonly wholeBytes: number;
}
