import type { StoreRequest, StoreResponse } from '@quorate/api';
import { CachedView } from '@quorate/cache';
import type {
  CacheCommand,
  CacheCounters,
  CacheEvent,
  CacheLoad,
  CacheOutcome,
  CacheRead,
  CacheReadLevel,
  CacheState,
  HeldState,
  MayRead,
  Instant,
  Moment,
  PeekRefusal,
} from '@quorate/cache';
import { decodeFeedMessage } from '@quorate/feed';
import type { Entry, Revision } from '@quorate/kv';
import type { Clock, StoreSource } from './environment.js';
import { HeldAnswer, type StalenessSource } from './held-answer.js';

/**
 * `fallback`: the view cannot prove what was asked for; ask the store, it has the answer or the honest
 * error.
 */
export type CachedReadOutcome = CacheOutcome | { readonly type: 'fallback' };

/** A linearizable read that is proven together with others. */
export interface ProvenRead {
  readonly namespace: string;
  readonly key: string;
  /** Called exactly once. Must not throw. */
  settle(outcome: CachedReadOutcome | ProvenHit): void;
}

/** What the view held, and proved to be as new as the store when the read arrived. */
export interface ProvenHit {
  readonly type: 'hit';
  /** Null: the entry does not exist at `revision`. */
  readonly entry: Entry | null;
  readonly revision: Revision;
  readonly epoch: number;
  readonly level: 'linearizable';
  /** Upper bound, whole milliseconds, at the moment of the answer. */
  readonly stalenessMs: number | null;
}

export interface CachedViewDriverOptions {
  readonly source: StoreSource;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Feed messages of other clusters are refused. */
  readonly clusterId: string;
  /** Null: asked of the store. */
  readonly feedKey?: Uint8Array | null;
  /** Keys and values held by demand, in bytes. */
  readonly bytesMax?: number;
  /** Of one namespace that is held whole, in bytes. */
  readonly wholeNamespaceBytesMax?: number;
  /** Of all namespaces that are held whole, in bytes. */
  readonly wholeBytesMax?: number;
  /** How long a read may wait before it falls back or is refused. */
  readonly waitMs?: number;
  /**
   * What an earlier process held, or null. Asked for once, when the first sync has failed: what a store gives is always better.
   */
  readonly restore?: () => HeldState | null;
  /** Who may read what; not given: whoever brings a token falls back to the store. */
  readonly mayRead?: MayRead;
  /** The view broke an invariant of its own and is rebuilt: for the log. */
  readonly onRebuild?: (error: unknown) => void;
  /** Everything published up to `revision` of `epoch` is applied now, and the reads that waited for it are answered. */
  readonly onAdvance?: (revision: Revision, epoch: number) => void;
}

export interface CachedViewCounters extends CacheCounters {
  /** Views thrown away after a broken invariant. The other counters began anew with the last of them. */
  readonly rebuilds: number;
}

const TICK_MS = 50;
/** Reads that wait for a proof. The view counts a batch of them as one. */
const PROVEN_READS_MAX = 10_000;
const LINEARIZABLE: CacheReadLevel = { type: 'linearizable' };
const REBUILD_DELAY_MS = 100;
const FEED_KEY_RETRY_MS = 1000;
const PROBE_DEADLINE_MS = 1000;
const FILL_DEADLINE_MS = 1000;
const PULL_DEADLINE_MS = 2000;
const CONTENT_DEADLINE_MS = 2000;
const RESYNC_DEADLINE_MS = 5000;
const PULL_BYTES_MAX = 512 * 1024;
const CONTENT_BYTES_MAX = 256 * 1024;
/** A source that breaks its promise to answer must not leave the view waiting for ever. */
const DEADLINE_GRACE_MS = 500;

/** Carries the commands of a cached view to a store and the answers back. It decides nothing. */
export class CachedViewDriver implements StalenessSource {
  readonly #options: CachedViewDriverOptions;
  readonly #callbacks = new Map<number, (outcome: CachedReadOutcome) => void>();
  #view: CachedView;
  #feedKey: Uint8Array | null;
  #nextReadId = 0;
  // Queued, and not yet handed in.
  #queued: CacheRead[] = [];
  #unasked: ProvenRead[] = [];
  // Batches whose proof was asked for, by the number of that.
  readonly #batches = new Map<number, readonly ProvenRead[]>();
  #provenReads = 0;
  #rebuilds = 0;
  #told: { readonly revision: Revision; readonly epoch: number } | null = null;
  #running = false;
  #mayRestore = true;
  #cancelTick: (() => void) | null = null;
  #cancelStart: (() => void) | null = null;
  #cancelFeedKey: (() => void) | null = null;

  constructor(options: CachedViewDriverOptions) {
    this.#options = options;
    this.#feedKey = options.feedKey ?? null;
    this.#view = this.#newView(null);
  }

  get state(): CacheState {
    return this.#view.state(this.#now());
  }

  /** Null until the first sync. */
  get watermark(): Revision | null {
    return this.#view.watermark;
  }

  get epoch(): number | null {
    return this.#view.epoch;
  }

  /** Upper bound, whole milliseconds; null: never confirmed. */
  get stalenessMs(): number | null {
    return this.#view.stalenessMs(this.#now());
  }

  /** As in `CacheProof`. */
  get ageMs(): number | null {
    return this.#view.ageMs(this.#now());
  }

  /** What is held now, for `restore` of a later process; null before the first sync. */
  held(): HeldState | null {
    return this.#view.held();
  }

  /** Revisions between the head of the newest probe and the watermark; null: not synced, or never probed. */
  get lag(): number | null {
    return this.#view.lag;
  }

  get entryCount(): number {
    return this.#view.entryCount;
  }

  get entryBytes(): number {
    return this.#view.entryBytes;
  }

  get load(): CacheLoad {
    return this.#view.load;
  }

  get waitingReads(): number {
    return this.#callbacks.size + this.#provenReads;
  }

  get counters(): CachedViewCounters {
    return { ...this.#view.counters, rebuilds: this.#rebuilds };
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#handle({ type: 'start' });
    this.#tickLater();
    if (this.#feedKey === null) this.#askFeedKey();
  }

  /** Ends timers; every read that waits falls back. */
  stop(): void {
    this.#running = false;
    this.#cancelTick?.();
    this.#cancelStart?.();
    this.#cancelFeedKey?.();
    this.#view = this.#newView(this.#view);
    this.#abandonReads();
  }

  /**
   * Reads a key at a level; `minRevision` (of a Consistency-Token of this epoch) strengthens it to session.
   * `token`: of whoever asks, null: this process itself.
   * `callback` is
   * called exactly once: within this call when the answer is held, else within about `waitMs`.
   */
  read(
    namespace: string,
    key: string,
    level: CacheReadLevel,
    callback: (outcome: CachedReadOutcome) => void,
    minRevision: Revision | null = null,
    token: string | null = null,
  ): void {
    const readId = this.#expect(callback);
    this.#handle({ type: 'read', readId, namespace, key, level, minRevision, token });
  }

  /** The same for entries of a namespace by key. Falls back at once when the namespace is not held whole. */
  list(
    { namespace, prefix, limit }: { namespace: string; prefix: string; limit: number },
    level: CacheReadLevel,
    callback: (outcome: CachedReadOutcome) => void,
    minRevision: Revision | null = null,
    token: string | null = null,
  ): void {
    const readId = this.#expect(callback);
    this.#handle({ type: 'list', readId, namespace, prefix, limit, level, minRevision, token });
  }

  /**
   * As `read`, but handed in by the next `flush`: reads that come together cost one look at the clocks, and one probe (C32).
   * Whoever queues sees to it that a flush follows.
   */
  queue(
    namespace: string,
    key: string,
    level: CacheReadLevel,
    callback: (outcome: CachedReadOutcome) => void,
    minRevision: Revision | null = null,
  ): void {
    const readId = this.#expect(callback);
    this.#queued.push({ readId, namespace, key, level, minRevision, token: null });
  }

  /**
   * A linearizable read, asked by the next `flush`: all reads until then wait for one proof, and are answered from what is
   * held (C33). What is not held is read by itself then.
   */
  queueProven(read: ProvenRead): void {
    if (this.#provenReads >= PROVEN_READS_MAX) {
      read.settle({ type: 'refused', code: 'OVERLOADED' });
      return;
    }
    this.#provenReads += 1;
    this.#unasked.push(read);
  }

  flush(): void {
    if (this.#unasked.length > 0) {
      const readId = this.#newReadId();
      this.#batches.set(readId, this.#unasked);
      this.#unasked = [];
      this.#handle({ type: 'prove', readId });
    }
    if (this.#queued.length === 0) return;
    const reads = this.#queued;
    this.#queued = [];
    this.#handle({ type: 'reads', reads });
  }

  /** What an eventual read would answer at this moment from what is held, without a callback (C30); else why not. */
  peek(namespace: string, key: string): HeldAnswer | PeekRefusal {
    const view = this.#view;
    const held = this.#look(namespace, key);
    if (typeof held === 'string') return held;
    const { watermark, epoch } = view;
    if (watermark === null) return 'notReady';
    return new HeldAnswer(this, view, held.entry, watermark, epoch ?? 0);
  }

  #look(namespace: string, key: string): ReturnType<CachedView['peek']> {
    try {
      return this.#view.peek(namespace, key);
    } catch (error) {
      this.#rebuild(error);
      return 'notReady';
    }
  }

  /** For answers that were peeked: at this moment; null when the view that gave them was replaced, or never confirmed. */
  stalenessOf(view: CachedView, confirmation: Moment | null): number | null {
    // A view that is no more sees no clocks: a suspend since then could have escaped it.
    if (confirmation === null || view !== this.#view) return null;
    return view.stalenessSince(confirmation, this.#now());
  }

  /**
   * What an eventual read of this key would be answered with now, from what is held: a hit, `strict`, or `refused`
   * before the first sync. Null: nothing is held that may be shown, as the key was never read here, was evicted, or was
   * written by this process and has not come back yet. The store is not asked for it.
   */
  readHeld(namespace: string, key: string, token: string | null = null): CacheOutcome | null {
    const held: { outcome: CachedReadOutcome | null } = { outcome: null };
    const readId = this.#expect((outcome) => {
      held.outcome = outcome;
    });
    const read = { readId, namespace, key, level: { type: 'eventual' }, minRevision: null, token } as const;
    this.#handle({ type: 'read', ...read, isHeldOnly: true });
    const { outcome } = held;
    return outcome === null || outcome.type === 'fallback' || outcome.type === 'notHeld' ? null : outcome;
  }

  /**
   * A write of this process was acknowledged: reads of the key through this view show it, or newer. `key`
   * null: the namespace itself was created or deleted.
   */
  ownWrite(namespace: string, key: string | null, revision: Revision): void {
    this.#handle({ type: 'ownWrite', namespace, key, revision });
  }

  /** A message of the feed as it came, from NATS or over a link. Anything may be in it. */
  receiveFeed(bytes: Uint8Array): void {
    if (!this.#running) return;
    // Before the key is known nothing can be told from a forgery; what is lost is pulled.
    if (this.#feedKey === null) {
      this.#handle({ type: 'feedRefused', reason: 'mac' });
      return;
    }
    const message = decodeFeedMessage(this.#feedKey, this.#options.clusterId, bytes);
    if (message.type === 'batch') this.#handle({ type: 'feedBatch', batch: message.batch });
    else if (message.type === 'oversize') this.#handle({ ...message, type: 'feedOversize' });
    else this.#handle({ type: 'feedRefused', reason: message.reason });
  }

  /** The number of a read, under which its outcome comes. */
  #expect(callback: (outcome: CachedReadOutcome) => void): number {
    const readId = this.#newReadId();
    this.#callbacks.set(readId, callback);
    return readId;
  }

  #newReadId(): number {
    this.#nextReadId += 1;
    return this.#nextReadId;
  }

  #newView(before: CachedView | null): CachedView {
    const { random, bytesMax, wholeNamespaceBytesMax, wholeBytesMax, waitMs, mayRead } = this.#options;
    return new CachedView({
      random,
      ...(bytesMax !== undefined && { bytesMax }),
      ...(wholeNamespaceBytesMax !== undefined && { wholeNamespaceBytesMax }),
      ...(wholeBytesMax !== undefined && { wholeBytesMax }),
      ...(waitMs !== undefined && { waitMs }),
      ...(mayRead !== undefined && { mayRead }),
      resume: before?.resumePoint ?? null,
    });
  }

  #now(): Instant {
    const { clock } = this.#options;
    return { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() };
  }

  #handle(event: CacheEvent): void {
    const view = this.#view;
    let commands: readonly CacheCommand[];
    try {
      commands = view.handle(event, this.#now());
    } catch (error) {
      this.#rebuild(error);
      return;
    }
    let failure: { readonly error: unknown } | null = null;
    for (const command of commands) {
      try {
        this.#execute(view, command);
      } catch (error) {
        // A caller's callback threw. The commands behind it must go out all the same, or the view waits for
        // ever.
        failure ??= { error };
      }
    }
    this.#tellAdvance();
    if (event.type === 'resyncFailed') this.#restoreOnce();
    if (failure !== null) throw failure.error;
  }

  /** Nobody gives a state: an older one, labelled with its age, is better than none. */
  #restoreOnce(): void {
    if (!this.#mayRestore || this.#view.watermark !== null) return;
    this.#mayRestore = false;
    const held = this.#options.restore?.() ?? null;
    if (held !== null) this.#handle({ type: 'restored', held });
  }

  #tellAdvance(): void {
    const { watermark: revision, epoch } = this.#view;
    if (revision === null || epoch === null) return;
    if (this.#told?.revision === revision && this.#told.epoch === epoch) return;
    this.#told = { revision, epoch };
    this.#options.onAdvance?.(revision, epoch);
  }

  /**
   * An invariant of the view is broken: nothing that it holds can be trusted. It starts anew, never back in
   * time (C4).
   */
  #rebuild(error: unknown): void {
    this.#rebuilds += 1;
    this.#view = this.#newView(this.#view);
    this.#options.onRebuild?.(error);
    this.#cancelStart?.();
    this.#cancelStart = this.#options.clock.setTimer(REBUILD_DELAY_MS, () => this.#handle({ type: 'start' }));
    this.#abandonReads();
  }

  #abandonReads(): void {
    const callbacks = [...this.#callbacks.values()];
    this.#callbacks.clear();
    this.#queued = [];
    const reads = [...this.#batches.values(), this.#unasked].flat();
    this.#batches.clear();
    this.#unasked = [];
    this.#provenReads -= reads.length;
    for (const read of reads) read.settle({ type: 'fallback' });
    for (const callback of callbacks) callback({ type: 'fallback' });
  }

  #execute(view: CachedView, command: CacheCommand): void {
    switch (command.type) {
      case 'answer':
        this.#answer(command.readId, command.outcome);
        break;
      case 'fallback':
        this.#answer(command.readId, { type: 'fallback' });
        break;
      case 'proven':
        this.#answerProven(view, command.readId);
        break;
      case 'probe':
        this.#ask(view, { type: 'probe' }, PROBE_DEADLINE_MS, (response) =>
          response.type === 'probed'
            ? { ...response, probeId: command.probeId }
            : { type: 'probeFailed', probeId: command.probeId },
        );
        break;
      case 'pull':
        this.#ask(
          view,
          {
            type: 'changes',
            after: command.after,
            minRevision: command.minRevision,
            bytesMax: PULL_BYTES_MAX,
          },
          PULL_DEADLINE_MS,
          (response) => {
            if (response.type === 'changes') return { ...response, type: 'pulled', pullId: command.pullId };
            if (response.type === 'compacted') return { ...response, pullId: command.pullId };
            return { type: 'pullFailed', pullId: command.pullId };
          },
        );
        break;
      case 'resync':
        this.#ask(view, { type: 'resync' }, RESYNC_DEADLINE_MS, (response) =>
          response.type === 'resynced'
            ? { ...response, resyncId: command.resyncId }
            : { type: 'resyncFailed', resyncId: command.resyncId },
        );
        break;
      case 'load': {
        const { loadId, namespace, after, minRevision } = command;
        const bytesMax = CONTENT_BYTES_MAX;
        const request: StoreRequest = { type: 'content', namespace, after, minRevision, bytesMax };
        this.#ask(view, request, CONTENT_DEADLINE_MS, (response) => {
          if (response.type === 'content') return { ...response, type: 'loaded', loadId };
          return {
            type: 'loadFailed',
            loadId,
            code: response.type === 'failed' ? response.code : 'INTERNAL',
          };
        });
        break;
      }
      case 'fill': {
        const { fillId, namespace, key, minRevision } = command;
        const request: StoreRequest = { type: 'fill', namespace, key, minRevision };
        this.#ask(view, request, FILL_DEADLINE_MS, (response) => {
          if (response.type === 'filled') return { ...response, fillId };
          return {
            type: 'fillFailed',
            fillId,
            code: response.type === 'failed' ? response.code : 'INTERNAL',
          };
        });
        break;
      }
    }
  }

  #answer(readId: number, outcome: CachedReadOutcome): void {
    const callback = this.#callbacks.get(readId);
    if (callback === undefined) {
      for (const read of this.#endBatch(readId)) read.settle(outcome);
      return;
    }
    this.#callbacks.delete(readId);
    callback(outcome);
  }

  #answerProven(view: CachedView, readId: number): void {
    const reads = this.#endBatch(readId);
    const stalenessMs = view.stalenessMs(this.#now());
    for (const read of reads) {
      const { namespace, key } = read;
      const held = this.#look(namespace, key);
      const { watermark, epoch } = this.#view;
      if (typeof held === 'string' || watermark === null || view !== this.#view)
        this.queue(namespace, key, LINEARIZABLE, (outcome) => read.settle(outcome));
      else {
        const { entry } = held;
        const [revision, level] = [watermark, 'linearizable'] as const;
        read.settle({ type: 'hit', entry, revision, epoch: epoch ?? 0, level, stalenessMs });
      }
    }
    this.flush();
  }

  #endBatch(readId: number): readonly ProvenRead[] {
    const reads = this.#batches.get(readId) ?? [];
    this.#batches.delete(readId);
    this.#provenReads -= reads.length;
    return reads;
  }

  #ask(
    view: CachedView,
    request: StoreRequest,
    deadlineMs: number,
    toEvent: (response: StoreResponse) => CacheEvent,
  ): void {
    const { source, clock } = this.#options;
    let answered = false;
    const answer = (response: StoreResponse): void => {
      if (answered) return;
      answered = true;
      cancel();
      // The view that asked may have been replaced: its successor knows nothing of the question.
      if (view === this.#view && this.#running) this.#handle(toEvent(response));
    };
    const cancel = clock.setTimer(deadlineMs + DEADLINE_GRACE_MS, () =>
      answer({ type: 'failed', code: 'TIMED_OUT', message: 'no answer within the deadline', details: {} }),
    );
    source.request(request, deadlineMs, answer);
  }

  #askFeedKey(): void {
    const { source, clock } = this.#options;
    source.request({ type: 'feedKey' }, PULL_DEADLINE_MS, (response) => {
      if (!this.#running || this.#feedKey !== null) return;
      if (response.type === 'feedKey') this.#feedKey = response.key;
      else this.#cancelFeedKey = clock.setTimer(FEED_KEY_RETRY_MS, () => this.#askFeedKey());
    });
  }

  #tickLater(): void {
    this.#cancelTick = this.#options.clock.setTimer(TICK_MS, () => {
      if (!this.#running) return;
      this.#tickLater();
      this.#handle({ type: 'tick' });
    });
  }
}
