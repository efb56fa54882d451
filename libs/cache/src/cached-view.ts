import assert from 'node:assert/strict';
import { changeRevision, compareKeys, revision, TOKENS_NAMESPACE } from '@quorate/kv';
import type { ChangeBatch, Entry, NamespaceRecord, Revision } from '@quorate/kv';
import { Elapsed } from './elapsed.js';
import type { Moment } from './elapsed.js';
import { Floors } from './floors.js';
import { entryId, HeldEntries } from './held-entries.js';
import type {
  CacheCommand,
  CacheCounters,
  CachedViewOptions,
  CacheEvent,
  CacheList,
  CacheLoad,
  CacheOutcome,
  CacheProof,
  CacheRead,
  CacheRefusal,
  CacheState,
  HeldState,
  MayRead,
  ReaderRefusal,
  Instant,
  PeekRefusal,
  ResumePoint,
  ResyncReason,
} from './types.js';
import { type ContentPage, WholeNamespaces } from './whole-namespaces.js';

/** Probes while anyone reads, and while nobody does: a tail of the feed that was lost is found even then. */
const PROBE_INTERVAL_MS = 500;
const PROBE_INTERVAL_IDLE_MS = 2500;
const READ_RECENTLY_MS = 5000;
/** A probe's head must be reached by the feed within this; then the view pulls. */
const FEED_ALLOWANCE_MS = 200;
/** A read waits for its own write, or a fill is ahead: the feed usually brings it before a pull would. */
const PULL_DELAY_MS = 20;
const QUORUM_RECENT_MS = 2000;
const LIVE_STALENESS_MS = 3000;
/** Answered probes that the view has not caught up with. More are not sent. */
const PROBE_TARGETS_MAX = 16;
const RETRY_MS = 100;
const RETRY_MS_MAX = 2000;

/** What holds where an option says nothing. */
export const CACHED_VIEW_DEFAULTS: Required<Omit<CachedViewOptions, 'random' | 'resume' | 'mayRead'>> = {
  bytesMax: 64 * 1024 * 1024,
  wholeNamespaceBytesMax: 4 * 1024 * 1024,
  wholeBytesMax: 32 * 1024 * 1024,
  waitMs: 1000,
  waitingReadsMax: 10_000,
  fillsMax: 256,
  floorsMax: 10_000,
  namespacesMax: 100_000,
};

/** What a proof is, seen as a read. */
const PROOF: Omit<CacheRead, 'readId'> = {
  namespace: '',
  key: '',
  level: { type: 'linearizable' },
  minRevision: null,
  token: null,
};

interface WaitingRead {
  readonly read: CacheRead | CacheList;
  /** Asks for a proof and not for a key. */
  readonly isProof: boolean;
  /** Of minRevision and the key's floor. */
  readonly needRevision: number;
  readonly deadlineMs: number;
  /** The probe that was sent after this read arrived. Null: none yet. */
  probeId: number | null;
  stage: 'probe' | 'revision' | 'fill';
  done: boolean;
}

/** One page that was asked for. */
interface Load {
  readonly loadId: number;
  readonly namespace: string;
  readonly after: string;
  readonly minRevision: Revision;
}

interface Probe {
  readonly probeId: number;
  /** When the command was given: at or before it was sent. The bound begins here. */
  readonly sent: Moment;
  readonly reads: WaitingRead[];
}

interface ProbeTarget extends Probe {
  readonly answeredMs: number;
  readonly head: Revision;
  readonly published: Revision;
}

/**
 * The in-flight marker of a key (R2). It ends with its answer, or with a change of the key, which is always
 * better.
 */
interface Fill {
  readonly id: string;
  readonly fillId: number;
  readonly namespace: string;
  readonly key: string;
  readonly minRevision: Revision;
  readonly askedMs: number;
  readonly reads: WaitingRead[];
  /** Came, but lies ahead of the watermark. */
  answer: { readonly revision: Revision; readonly entry: Entry | null } | null;
}

/**
 * The cached view: events in, commands out. It holds, for the keys it holds, exactly the values at its
 * watermark; everything
 * else follows from that (SPEC.md). It reads no clock: each event comes with its instant.
 */
export class CachedView {
  readonly #options: Required<Omit<CachedViewOptions, 'resume' | 'mayRead'>>;
  readonly #mayRead: MayRead | null;
  readonly #resume: ResumePoint | null;
  readonly #entries: HeldEntries;
  readonly #wholes: WholeNamespaces;
  readonly #floors: Floors;
  readonly #elapsed = new Elapsed();
  readonly #namespaces = new Map<string, NamespaceRecord>();
  readonly #fills = new Map<string, Fill>();
  readonly #fillIds = new Map<number, Fill>();
  readonly #waiting = new Map<number, WaitingRead>();
  readonly #counters = emptyCounters();

  // All published changes up to here are applied. Null: never synced, or the epoch changed.
  #watermark: Revision | null = null;
  #epoch: number | null;
  // The newest published revision that anyone has told of, of this epoch.
  #knownPublished = 0;
  #seenBeforeSync: { readonly epoch: number; readonly revision: number } | null = null;

  #collecting: WaitingRead[] = [];
  #probeOnWire: Probe | null = null;
  #targets: ProbeTarget[] = [];
  #confirmed: { readonly probeId: number; readonly sent: Moment } | null = null;
  #lastProbe: { readonly succeeded: boolean; readonly at: Moment } | null = null;
  #lastProbeSentMs = Number.NEGATIVE_INFINITY;
  #lastReadMs = Number.NEGATIVE_INFINITY;
  // Since the last event: a peek knows no time, the next event does.
  #peeked = false;
  #lastHead: Revision | null = null;
  #probeWanted = false;

  #revisionReads: WaitingRead[] = [];
  #released: WaitingRead[] = [];
  #pullId: number | null = null;
  #pullDueMs: number | null = null;
  #pullFailures = 0;
  #resyncId: number | null = null;
  #resyncDueMs: number | null = null;
  #resyncFailures = 0;

  // The page of a namespace that is on its way, and the one that came from ahead of the watermark.
  #load: Load | null = null;
  #page: (Load & ContentPage) | null = null;
  #loadDueMs = 0;
  #loadFailures = 0;

  /** Of what an earlier process held: when that was true at the latest, by the wall clock. */
  #restoredWallMs: number | null = null;

  #nextId = 1;
  #now: Instant = { monotonicMs: 0, wallMs: 0 };
  /** What has expired stays expired though the clock be set back. */
  #wallMsMax = 0;
  #commands: CacheCommand[] = [];

  constructor(options: CachedViewOptions) {
    this.#options = { ...CACHED_VIEW_DEFAULTS, ...options };
    this.#resume = options.resume ?? null;
    this.#mayRead = options.mayRead ?? null;
    this.#epoch = this.#resume?.epoch ?? null;
    this.#entries = new HeldEntries(this.#options.bytesMax);
    this.#wholes = new WholeNamespaces(
      TOKENS_NAMESPACE,
      this.#options.wholeNamespaceBytesMax,
      this.#options.wholeBytesMax,
    );
    this.#floors = new Floors(this.#options.floorsMax);
  }

  /** Null until the first sync. */
  get watermark(): Revision | null {
    return this.#watermark;
  }

  get epoch(): number | null {
    return this.#epoch;
  }

  get counters(): CacheCounters {
    const { resyncs, feedRefused, refusals, ...plain } = this.#counters;
    return {
      ...plain,
      resyncs: { ...resyncs },
      feedRefused: { ...feedRefused },
      refusals: { ...refusals },
      evictions: this.#entries.evictions,
      wholesTooLarge: this.#wholes.tooLarge,
    };
  }

  get entryCount(): number {
    return this.#entries.count;
  }

  get entryBytes(): number {
    return this.#entries.bytes;
  }

  get waitingReads(): number {
    return this.#waiting.size;
  }

  /** What the view keeps besides its entries: each is bounded by an option. */
  get load(): CacheLoad {
    const inFills = [...this.#fills.values()].reduce((sum, fill) => sum + fill.reads.length, 0);
    const inTargets = this.#targets.reduce((sum, target) => sum + target.reads.length, 0);
    const onWire = this.#probeOnWire?.reads.length ?? 0;
    return {
      waitingReads: this.#waiting.size,
      listedReads: this.#collecting.length + this.#revisionReads.length + onWire + inTargets + inFills,
      fills: this.#fills.size,
      floors: this.#floors.size,
      unconfirmedProbes: this.#targets.length,
      namespaces: this.#namespaces.size,
      wholeNamespaces: this.#wholes.count,
      wholeBytes: this.#wholes.bytes,
    };
  }

  /** Where a view that replaces this one may begin (C4); null: anywhere. */
  get resumePoint(): ResumePoint | null {
    if (this.#watermark === null || this.#epoch === null) return this.#resume;
    return { epoch: this.#epoch, revision: revision(Math.max(this.#watermark, this.#floors.highest)) };
  }

  state(now: Instant): CacheState {
    if (this.#watermark === null) return this.#resyncId === null ? 'empty' : 'syncing';
    const stalenessMs = this.stalenessMs(now);
    return stalenessMs !== null && stalenessMs <= LIVE_STALENESS_MS ? 'live' : 'stale';
  }

  /** Upper bound of the staleness at `now`, rounded up to whole milliseconds; null: never confirmed (C9). */
  stalenessMs(now: Instant): number | null {
    return this.#confirmed === null ? null : this.stalenessSince(this.#confirmed.sent, now);
  }

  /**
   * What the newest confirmed probe proves of all that is shown until the next one: it holds everything acknowledged before
   * this moment. Null: never confirmed.
   */
  get confirmation(): Moment | null {
    return this.#confirmed === null ? null : this.#confirmed.sent;
  }

  /**
   * C31. Upper bound, at `now`, of the staleness of what was shown while `confirmation` was this view's. Whole milliseconds,
   * rounded up. It grows: a later probe says nothing of an earlier answer.
   */
  stalenessSince(confirmation: Moment, now: Instant): number {
    return Math.max(0, Math.ceil(this.#elapsed.since(confirmation, now)));
  }

  /**
   * C30. The value of a key at the watermark, if a read at level eventual would show it at this moment; else what stands in the
   * way. No event: it asks for nothing, waits for nothing, and needs no clock.
   */
  peek(namespace: string, key: string): { readonly entry: Entry | null } | PeekRefusal {
    const watermark = this.#watermark;
    if (watermark === null) return 'notReady';
    const record = this.#namespaces.get(namespace);
    if (record === undefined || record.kind !== 'cached' || record.deleted) return 'strict';
    this.#peeked = true;
    if (this.#floorOf(namespace, key) > watermark) return 'miss';
    const whole = this.#wholes.find(namespace);
    if (whole !== undefined) {
      this.#counters.hits += 1;
      return { entry: whole.get(key) ?? null };
    }
    const held = this.#entries.get(namespace, key);
    if (held === undefined) return 'miss';
    if (held.revision > watermark) assert.fail('what is held is at the watermark');
    this.#counters.hits += 1;
    return held;
  }

  /** As in `CacheProof`; null also before the first sync. */
  get lag(): number | null {
    if (this.#lastHead === null || this.#watermark === null) return null;
    return Math.max(0, this.#lastHead - this.#watermark);
  }

  /** As in `CacheProof`. */
  ageMs(now: Instant): number | null {
    const stalenessMs = this.stalenessMs(now);
    if (stalenessMs !== null || this.#restoredWallMs === null) return stalenessMs;
    return Math.max(0, Math.ceil(now.wallMs - this.#restoredWallMs));
  }

  /** What is held now; null before the first sync. It shares the entries, which never change. */
  held(): HeldState | null {
    if (this.#watermark === null) return null;
    return {
      epoch: this.#epoch ?? 0,
      revision: this.#watermark,
      namespaces: [...this.#namespaces.values()],
      wholes: this.#wholes.complete(),
      entries: this.#entries.present(),
      confirmedWallMs: this.#confirmed?.sent.wallMs ?? this.#restoredWallMs,
    };
  }

  /** Takes one event and returns what the driver must do now, in order. */
  handle(event: CacheEvent, now: Instant): readonly CacheCommand[] {
    assert(now.monotonicMs >= this.#now.monotonicMs, 'the monotonic clock stepped back');
    this.#now = now;
    this.#wallMsMax = Math.max(this.#wallMsMax, now.wallMs);
    this.#elapsed.see(now);
    // Peeks are reads: probes must go on as often.
    if (this.#peeked) this.#lastReadMs = now.monotonicMs;
    this.#peeked = false;
    this.#commands = [];
    this.#take(event);
    this.#settle();
    this.#plan();
    this.#assertInvariants();
    return this.#commands;
  }

  #take(event: CacheEvent): void {
    switch (event.type) {
      case 'start':
        if (this.#watermark === null && this.#resyncId === null) this.#startResync('start');
        break;
      case 'restored':
        this.#restored(event.held);
        break;
      case 'feedBatch':
        this.#feed(event.batch, event.batch);
        break;
      case 'feedOversize':
        this.#feed(event, null);
        break;
      case 'feedRefused':
        this.#counters.feedRefused[event.reason] += 1;
        break;
      case 'pulled':
      case 'compacted':
      case 'pullFailed':
        this.#pullEnded(event);
        break;
      case 'resynced':
        this.#resynced(event);
        break;
      case 'resyncFailed':
        if (event.resyncId === this.#resyncId) this.#retryResync();
        break;
      case 'probed':
        this.#probed(event);
        break;
      case 'probeFailed':
        if (event.probeId === this.#probeOnWire?.probeId) this.#probeFailed();
        break;
      case 'filled':
        this.#filled(event);
        break;
      case 'fillFailed': {
        const fill = this.#fillIds.get(event.fillId);
        if (fill !== undefined) this.#fillFailed(fill, event.code);
        break;
      }
      case 'loaded':
        this.#loaded(event);
        break;
      case 'loadFailed':
        if (event.loadId === this.#load?.loadId) this.#loadFailed(event.code);
        break;
      case 'read':
      case 'list':
        this.#read(event);
        break;
      case 'reads':
        for (const read of event.reads) this.#read(read);
        break;
      case 'prove':
        this.#read({ readId: event.readId, ...PROOF }, true);
        break;
      case 'ownWrite':
        this.#ownWrite(event);
        break;
      case 'tick':
        this.#tick();
        break;
    }
  }

  // ---- the chain: feed, pulls, resync

  #feed(
    link: { readonly epoch: number; readonly previous: Revision; readonly revision: Revision },
    batch: ChangeBatch | null,
  ): void {
    if (this.#watermark === null) {
      this.#seeBeforeSync(link.epoch, link.revision);
      return;
    }
    if (!this.#sameEpoch(link.epoch)) return;
    if (link.revision <= this.#watermark) {
      // mark: the feed repeats itself
      this.#counters.duplicates += 1;
      return;
    }
    this.#knownPublished = Math.max(this.#knownPublished, link.revision);
    if (batch !== null && link.previous <= this.#watermark) {
      this.#apply(batch);
      return;
    }
    // R3, R5: something before it is missing, or it was too large to send. The message is dropped, a pull
    // brings both.
    // mark: the feed has a gap
    this.#counters.gaps += 1;
    this.#wantPull(0);
  }

  /** R9: what comes before the sync is not kept, but that it came is: the sync may begin before it. */
  #seeBeforeSync(epoch: number, seen: Revision): void {
    const before = this.#seenBeforeSync;
    if (before === null || epoch > before.epoch) this.#seenBeforeSync = { epoch, revision: seen };
    else if (epoch === before.epoch && seen > before.revision)
      this.#seenBeforeSync = { epoch, revision: seen };
  }

  /** R15. True: of this epoch. False: dropped, and if it is of a newer epoch so is everything held. */
  #sameEpoch(epoch: number): boolean {
    if (this.#epoch === null || epoch === this.#epoch) return true;
    if (epoch < this.#epoch) this.#counters.outdated += 1;
    else this.#changeEpoch(epoch);
    return false;
  }

  /** W9. All of the batch or, seen from any read, nothing of it (R20): reads are answered only after it. */
  #apply(batch: ChangeBatch): void {
    const watermark = this.#synced();
    assert(batch.previous <= watermark && batch.revision > watermark, 'a batch joins on');
    const brought = new Map<string, Entry | null>();
    for (const change of batch.changes) {
      const at = changeRevision(change);
      assert(at <= batch.revision, 'a change lies within its batch');
      if (at <= watermark) continue;
      if (change.type === 'namespace') {
        this.#applyNamespace(change.record, brought);
        continue;
      }
      const { namespace, key } = change.type === 'put' ? change.entry : change;
      const id = entryId(namespace, key);
      const entry = change.type === 'put' ? change.entry : null;
      const filling = this.#fills.has(id);
      // By demand: only what is held or about to be. A deletion is held as an absence (R7).
      if (filling || this.#entries.has(id)) this.#entries.set(id, { namespace, entry, revision: at });
      this.#wholes.apply(namespace, key, entry, at);
      if (filling) brought.set(id, entry);
    }
    this.#counters.batchesApplied += 1;
    this.#moveTo(batch.revision);
    for (const [id, entry] of brought) {
      const fill = this.#fills.get(id);
      // R1, R2: the feed's value is the one at the watermark. Whatever the fill still brings is not needed.
      if (fill !== undefined) {
        // mark: the feed overtakes a fill
        this.#endFill(fill, entry);
      }
    }
  }

  #applyNamespace(record: NamespaceRecord, brought: Map<string, Entry | null>): void {
    this.#remember(record);
    // Its readers have changed, nothing in it.
    if (!record.deleted && record.revision !== record.createRevision) return;
    this.#entries.dropNamespace(record.name);
    // Created at this moment, it is empty: nothing of it needs to be loaded.
    this.#wholes.replace(record);
    for (const fill of this.#fills.values()) {
      if (fill.namespace !== record.name) continue;
      // Asked before the namespace was deleted or created anew: its answer may be of the old one. Ask again.
      brought.delete(fill.id);
      this.#dropFill(fill);
      this.#released.push(...fill.reads);
    }
  }

  #remember(record: NamespaceRecord): void {
    // An unknown name is treated as strict: too many names cost answers, never correctness.
    if (this.#namespaces.size >= this.#options.namespacesMax && !this.#namespaces.has(record.name)) return;
    this.#namespaces.set(record.name, record);
  }

  #moveTo(to: Revision): void {
    assert(to >= this.#synced(), 'the watermark never goes back');
    this.#watermark = to;
    this.#floors.reached(to);
  }

  #pullEnded(event: CacheEvent & { readonly type: 'pulled' | 'compacted' | 'pullFailed' }): void {
    if (event.pullId !== this.#pullId) return;
    this.#pullId = null;
    const before = this.#synced();
    if (event.type === 'pullFailed') {
      this.#retryPull();
      return;
    }
    const epoch = event.type === 'pulled' ? event.batch.epoch : event.epoch;
    if (!this.#sameEpoch(epoch)) {
      if (this.#watermark !== null) this.#retryPull();
      return;
    }
    // R4: a batch that does not join on means that what lies between is gone, whatever was said before.
    if (event.type === 'compacted' || event.batch.previous > before) {
      // mark: a cache has fallen behind what is retained and begins anew
      this.#startResync('compacted');
      return;
    }
    this.#knownPublished = Math.max(this.#knownPublished, event.published);
    if (event.batch.revision > before) {
      this.#apply(event.batch);
      this.#pullFailures = 0;
      if (this.#behind()) this.#wantPull(0);
    } else if (this.#behind()) {
      // The member that answered is itself behind.
      // mark: a pull finds a member that is behind
      this.#retryPull();
    }
  }

  #behind(): boolean {
    return this.#watermark !== null && this.#watermark < this.#knownPublished;
  }

  #wantPull(delayMs: number): void {
    const dueMs = this.#now.monotonicMs + delayMs;
    // After failures the retry's own time stands: a storm of gaps must not turn into a storm of pulls (R21).
    if (this.#pullFailures > 0 && this.#pullDueMs !== null) return;
    this.#pullDueMs = Math.min(this.#pullDueMs ?? dueMs, dueMs);
  }

  #retryPull(): void {
    this.#pullFailures += 1;
    if (this.#behind() || this.#targets.length > 0)
      this.#pullDueMs = this.#now.monotonicMs + this.#backoffMs(this.#pullFailures);
  }

  #backoffMs(failures: number): number {
    const delayMs = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.min(failures - 1, 10));
    return delayMs * (0.5 + this.#options.random());
  }

  #startResync(reason: ResyncReason): void {
    this.#counters.resyncs[reason] += 1;
    this.#resyncFailures = 0;
    this.#pullDueMs = null;
    this.#resyncId = null;
    this.#resyncDueMs = this.#now.monotonicMs;
  }

  #retryResync(): void {
    this.#resyncId = null;
    this.#resyncFailures += 1;
    this.#resyncDueMs = this.#now.monotonicMs + this.#backoffMs(this.#resyncFailures);
  }

  #resynced(event: CacheEvent & { readonly type: 'resynced' }): void {
    if (event.resyncId !== this.#resyncId) return;
    const { epoch } = event;
    const lowest = Math.max(
      this.#epoch === epoch ? (this.#watermark ?? 0) : 0,
      this.#resume?.epoch === epoch ? this.#resume.revision : 0,
    );
    // R12: a member that is behind must not take this view back in time, nor into an epoch that is over.
    if ((this.#epoch !== null && epoch < this.#epoch) || event.revision < lowest) {
      this.#counters.outdated += 1;
      this.#retryResync();
      return;
    }
    if (this.#watermark !== null && epoch !== this.#epoch) this.#dropAll();
    this.#resyncId = null;
    this.#resyncDueMs = null;
    this.#pullId = null;
    this.#pullFailures = 0;
    this.#epoch = epoch;
    this.#entries.clear();
    this.#namespaces.clear();
    for (const record of event.namespaces) this.#remember(record);
    this.#dropWholes();
    for (const { name, kind, deleted } of this.#namespaces.values())
      if (kind === 'cached' && !deleted) this.#wholes.want(name);
    // What the fills were asked for is older than what was skipped: their reads ask again.
    for (const fill of this.#fills.values()) this.#released.push(...fill.reads);
    this.#fills.clear();
    this.#fillIds.clear();
    this.#watermark = event.revision;
    this.#floors.reached(event.revision);
    this.#probeWanted = true;
    this.#catchUpAfterSync(epoch);
  }

  /** C26. As good as a view that has not heard of anybody since then: whatever comes from the store is newer, and takes its place. */
  #restored(held: HeldState): void {
    if (this.#watermark !== null) return;
    if ((this.#epoch !== null && held.epoch !== this.#epoch) || this.#isBeforeResume(held)) {
      this.#counters.outdated += 1;
      return;
    }
    this.#epoch = held.epoch;
    this.#watermark = held.revision;
    this.#restoredWallMs = held.confirmedWallMs;
    for (const record of held.namespaces) this.#remember(record);
    for (const { name, kind, deleted } of this.#namespaces.values())
      if (kind === 'cached' && !deleted) this.#wholes.want(name);
    for (const { namespace, entries } of held.wholes)
      this.#wholes.fill(namespace, { revision: held.revision, entries, more: false });
    for (const entry of held.entries) {
      const { namespace, key, revision: at } = entry;
      this.#entries.set(entryId(namespace, key), { namespace, entry, revision: at });
    }
    this.#probeWanted = true;
  }

  #isBeforeResume({ epoch, revision: at }: { readonly epoch: number; readonly revision: Revision }): boolean {
    return this.#resume?.epoch === epoch && at < this.#resume.revision;
  }

  #catchUpAfterSync(epoch: number): void {
    const seen = this.#seenBeforeSync;
    this.#seenBeforeSync = null;
    if (seen !== null && seen.epoch > epoch) {
      this.#changeEpoch(seen.epoch);
      return;
    }
    if (seen !== null && seen.epoch === epoch)
      this.#knownPublished = Math.max(this.#knownPublished, seen.revision);
    if (this.#behind()) this.#wantPull(0);
  }

  /** R15: nothing of another epoch may be shown, its revisions may mean something else. */
  #changeEpoch(epoch: number): void {
    // Floors stay: an acknowledged write may be of the new epoch already. One of the old only sends reads to
    // the store.
    this.#dropAll();
    this.#epoch = epoch;
    this.#startResync('epoch');
  }

  #dropAll(): void {
    this.#watermark = null;
    this.#knownPublished = 0;
    this.#entries.clear();
    this.#namespaces.clear();
    this.#dropWholes();
    this.#fills.clear();
    this.#fillIds.clear();
    this.#collecting = [];
    this.#probeOnWire = null;
    this.#targets = [];
    this.#confirmed = null;
    this.#restoredWallMs = null;
    this.#lastProbe = null;
    this.#lastHead = null;
    this.#revisionReads = [];
    this.#released = [];
    this.#pullId = null;
    this.#pullDueMs = null;
    for (const waiting of [...this.#waiting.values()]) {
      if (waiting.read.level.type === 'eventual' && waiting.read.minRevision === null)
        this.#refuse(waiting, 'CACHE_NOT_READY');
      else this.#fallback(waiting);
    }
  }

  // ---- probes

  #probed(event: CacheEvent & { readonly type: 'probed' }): void {
    const probe = this.#probeOnWire;
    if (probe?.probeId !== event.probeId) return;
    if (!this.#sameEpoch(event.epoch)) {
      // An answer of an epoch that is over proves nothing.
      if (this.#watermark !== null) this.#probeFailed();
      return;
    }
    this.#probeOnWire = null;
    this.#lastProbe = { succeeded: true, at: this.#elapsed.mark(this.#now) };
    this.#lastHead = revision(Math.max(this.#lastHead ?? 0, event.head));
    this.#knownPublished = Math.max(this.#knownPublished, event.published);
    const { head, published } = event;
    this.#targets.push({ ...probe, answeredMs: this.#now.monotonicMs, head, published });
  }

  #probeFailed(): void {
    const probe = this.#probeOnWire;
    assert(probe !== null, 'a probe is on the wire');
    this.#probeOnWire = null;
    // mark: a probe fails
    this.#lastProbe = { succeeded: false, at: this.#elapsed.mark(this.#now) };
    this.#counters.probesFailed += 1;
    for (const waiting of probe.reads) {
      if (waiting.done) continue;
      if (waiting.read.level.type === 'bounded') this.#refuse(waiting, 'STALENESS_BOUND_EXCEEDED');
      else this.#fallback(waiting);
    }
  }

  /** C9, C10: a probe is confirmed once all that was published at its head is applied. */
  #confirm(): void {
    for (let target = this.#targets[0]; target !== undefined; target = this.#targets[0]) {
      if (target.published > this.#synced()) return;
      this.#targets.shift();
      this.#confirmed = { probeId: target.probeId, sent: target.sent };
      if (target.head > this.#synced()) this.#moveTo(target.head);
      this.#released.push(...target.reads);
    }
  }

  // ---- fills

  #joinFill(waiting: WaitingRead, id: string, key: string): void {
    const { namespace } = waiting.read;
    const fill = this.#fills.get(id) ?? this.#askFill(id, namespace, key, 0);
    if (fill === null) {
      this.#refuse(waiting, 'OVERLOADED');
      return;
    }
    waiting.stage = 'fill';
    fill.reads.push(waiting);
    this.#counters.misses += 1;
  }

  /** Single flight (R21). Null: too many already. */
  #askFill(id: string, namespace: string, key: string, needRevision: number): Fill | null {
    if (this.#fills.size >= this.#options.fillsMax) return null;
    const minRevision = revision(Math.max(this.#synced(), needRevision));
    const askedMs = this.#now.monotonicMs;
    const fill: Fill = {
      id,
      fillId: this.#newId(),
      namespace,
      key,
      minRevision,
      askedMs,
      reads: [],
      answer: null,
    };
    this.#fills.set(id, fill);
    this.#fillIds.set(fill.fillId, fill);
    this.#counters.fills += 1;
    this.#commands.push({ type: 'fill', fillId: fill.fillId, namespace, key, minRevision });
    return fill;
  }

  #filled(event: CacheEvent & { readonly type: 'filled' }): void {
    const fill = this.#fillIds.get(event.fillId);
    if (fill === undefined || fill.answer !== null) return;
    const { entry } = event;
    if (!this.#sameEpoch(event.epoch)) {
      if (this.#watermark !== null) this.#fillFailed(fill, 'NOT_CAUGHT_UP');
      return;
    }
    const wrongKey = entry !== null && (entry.namespace !== fill.namespace || entry.key !== fill.key);
    // R1, R13: an answer older than what was asked for must not be believed, not even its "there is none".
    if (
      wrongKey ||
      event.revision < fill.minRevision ||
      (entry !== null && entry.revision > event.revision)
    ) {
      this.#counters.fillsRefused += 1;
      this.#fillFailed(fill, 'NOT_CAUGHT_UP');
      return;
    }
    fill.answer = { revision: event.revision, entry };
    if (this.#settleFill(fill)) return;
    // Ahead of the watermark: the feed, a pull or a probe will take the watermark there.
    // mark: a fill comes from ahead of the watermark
    this.#probeWanted = true;
    this.#wantPull(PULL_DELAY_MS);
  }

  /**
   * C13. No change of the key came since the fill was asked (it would have ended the fill). So an entry that
   * is not newer than
   * the watermark is the value at the watermark, even read at a later revision; an absence is only once that
   * is reached.
   */
  #settleFill(fill: Fill): boolean {
    const { answer } = fill;
    if (answer === null) return false;
    const { entry } = answer;
    const at = entry === null ? answer.revision : entry.revision;
    if (at > this.#synced()) return false;
    this.#entries.set(fill.id, { namespace: fill.namespace, entry, revision: at });
    this.#endFill(fill, entry);
    return true;
  }

  #endFill(fill: Fill, entry: Entry | null): void {
    this.#dropFill(fill);
    for (const waiting of fill.reads) if (!waiting.done) this.#hit(waiting, entry, true);
  }

  #fillFailed(fill: Fill, code: string): void {
    this.#dropFill(fill);
    this.#counters.fillsFailed += 1;
    for (const waiting of fill.reads) {
      if (waiting.done) continue;
      // The store knows something of the namespace that this view does not yet.
      if (code === 'NAMESPACE_NOT_FOUND' || code === 'FORBIDDEN') this.#answer(waiting, { type: 'strict' });
      else this.#giveUpFill(waiting);
    }
  }

  #giveUpFill(waiting: WaitingRead): void {
    const { level, minRevision } = waiting.read;
    if (level.type === 'linearizable' || minRevision !== null) this.#fallback(waiting);
    else this.#refuse(waiting, 'CACHE_MISS_UNREACHABLE');
  }

  #dropFill(fill: Fill): void {
    this.#fills.delete(fill.id);
    this.#fillIds.delete(fill.fillId);
  }

  // ---- namespaces held whole

  #dropWholes(): void {
    this.#wholes.clear();
    this.#load = null;
    this.#page = null;
    this.#loadFailures = 0;
    this.#loadDueMs = this.#now.monotonicMs;
  }

  #loaded(event: CacheEvent & { readonly type: 'loaded' }): void {
    const load = this.#load;
    if (load === null || event.loadId !== load.loadId) return;
    if (!this.#sameEpoch(event.epoch)) {
      if (this.#watermark !== null) this.#loadFailed('NOT_CAUGHT_UP');
      return;
    }
    // R1, R7: what is older than what was asked for may lack an entry, or still have it. What breaks the order would be asked for again for ever.
    if (event.revision < load.minRevision || !isPageOf(load, event)) {
      this.#loadFailed('NOT_CAUGHT_UP');
      return;
    }
    this.#load = null;
    this.#loadFailures = 0;
    this.#page = { ...load, revision: event.revision, entries: event.entries, more: event.more };
    if (event.revision <= this.#synced()) return;
    // mark: a page of a whole namespace comes from ahead of the watermark
    this.#probeWanted = true;
    this.#wantPull(PULL_DELAY_MS);
  }

  #loadFailed(code: string): void {
    const load = this.#load;
    assert(load !== null, 'a page is on its way');
    this.#load = null;
    this.#counters.loadsFailed += 1;
    this.#loadFailures += 1;
    this.#loadDueMs = this.#now.monotonicMs + this.#backoffMs(this.#loadFailures);
    if (!this.#isWanted(load)) return;
    // The store knows something of the namespace that this view does not yet: the feed will bring it.
    if (code === 'NAMESPACE_NOT_FOUND' || code === 'FORBIDDEN') this.#wholes.giveUp(load.namespace);
    else this.#wholes.postpone(load.namespace);
  }

  /** Whether this page is still the next one of its namespace: that may have been deleted, or given up, meanwhile. */
  #isWanted({ namespace, after }: Load): boolean {
    const next = this.#wholes.next;
    return next !== null && next.namespace === namespace && next.after === after;
  }

  /** C23. A page is merged once the watermark is there: then all that the feed brought is at most as new as the watermark, and nothing is missing. */
  #settlePage(): void {
    const page = this.#page;
    if (page === null || page.revision > this.#synced()) return;
    this.#page = null;
    if (!this.#isWanted(page) || !this.#wholes.merge(page.namespace, page)) return;
    // mark: a namespace is held whole
    const { namespace } = page;
    this.#entries.dropNamespace(namespace);
    for (const fill of this.#fills.values())
      if (fill.namespace === namespace) this.#endFill(fill, this.#wholes.get(namespace, fill.key));
  }

  // ---- reads

  #read(read: CacheRead | CacheList, isProof = false): void {
    assert(!this.#waiting.has(read.readId), `read ${read.readId} waits already`);
    this.#lastReadMs = this.#now.monotonicMs;
    const waiting: WaitingRead = {
      read,
      isProof,
      needRevision: Math.max(read.minRevision ?? 0, this.#floorOfRead(read)),
      deadlineMs: this.#now.monotonicMs + this.#options.waitMs,
      probeId: null,
      stage: 'probe',
      done: false,
    };
    if (this.#watermark === null) {
      this.#refuse(waiting, 'CACHE_NOT_READY');
      return;
    }
    this.#advance(waiting);
    if (waiting.done) return;
    if (this.#waiting.size >= this.#options.waitingReadsMax) this.#refuse(waiting, 'OVERLOADED');
    else this.#waiting.set(read.readId, waiting);
  }

  /** Takes a read as far as it can go now: to its answer, or to what it must wait for. */
  #advance(waiting: WaitingRead): void {
    if (waiting.done) return;
    if (waiting.isProof) {
      this.#advanceProof(waiting);
      return;
    }
    const { read } = waiting;
    const { namespace } = read;
    const record = this.#namespaces.get(namespace);
    if (record === undefined || record.kind !== 'cached' || record.deleted) {
      this.#answer(waiting, { type: 'strict' });
      return;
    }
    if (this.#needsProbe(waiting)) {
      waiting.stage = 'probe';
      this.#collecting.push(waiting);
      return;
    }
    const isHeldOnly = !isList(read) && read.isHeldOnly === true;
    if (waiting.needRevision > this.#synced()) {
      if (isHeldOnly) this.#answer(waiting, { type: 'notHeld' });
      else this.#waitForRevision(waiting);
      return;
    }
    const isWhole = this.#wholes.isComplete(namespace);
    if (isList(read)) {
      // By demand nobody can tell what is not there: the store can.
      if (isWhole) this.#listed(waiting, read);
      else this.#fallback(waiting);
      return;
    }
    if (isWhole) {
      this.#hit(waiting, this.#wholes.get(namespace, read.key), waiting.stage === 'fill');
      return;
    }
    const held = this.#entries.get(namespace, read.key);
    if (held === undefined && isHeldOnly) this.#answer(waiting, { type: 'notHeld' });
    else if (held === undefined) this.#joinFill(waiting, entryId(namespace, read.key), read.key);
    else this.#hit(waiting, held.entry, waiting.stage === 'fill');
  }

  /** C33. Which keys it is for is not known here: what is held of them, and their floors, the peeks look after. */
  #advanceProof(waiting: WaitingRead): void {
    if (this.#needsProbe(waiting)) {
      waiting.stage = 'probe';
      this.#collecting.push(waiting);
      return;
    }
    waiting.done = true;
    this.#waiting.delete(waiting.read.readId);
    this.#commands.push({ type: 'proven', readId: waiting.read.readId });
  }

  #needsProbe(waiting: WaitingRead): boolean {
    const { level } = waiting.read;
    if (level.type === 'eventual') return false;
    // C10: only a probe that was sent after the read arrived counts.
    if (waiting.probeId !== null && this.#confirmed !== null && waiting.probeId <= this.#confirmed.probeId)
      return false;
    return level.type === 'linearizable' || !this.#within(level.boundMs);
  }

  #within(boundMs: number): boolean {
    const stalenessMs = this.stalenessMs(this.#now);
    return stalenessMs !== null && stalenessMs <= boundMs;
  }

  #waitForRevision(waiting: WaitingRead): void {
    waiting.stage = 'revision';
    this.#revisionReads.push(waiting);
    // Strict writes move the head but nothing is published: only a probe takes the watermark over them (R11).
    if (waiting.read.minRevision !== null && waiting.read.minRevision > this.#synced())
      this.#probeWanted = true;
    this.#wantPull(PULL_DELAY_MS);
    const { read } = waiting;
    if (isList(read) || this.#wholes.isComplete(read.namespace)) return;
    const { namespace, key } = read;
    const id = entryId(namespace, key);
    if (!this.#entries.has(id) && !this.#fills.has(id))
      this.#askFill(id, namespace, key, this.#floorOf(namespace, key));
  }

  /** `entry` is the value at the watermark. */
  #hit(waiting: WaitingRead, entry: Entry | null, filled: boolean): void {
    if (!this.#isWithinBound(waiting) || !this.#isAdmitted(waiting)) return;
    if (!filled) this.#counters.hits += 1;
    this.#answer(waiting, { type: 'hit', entry, filled, ...this.#proof(waiting) });
  }

  #listed(waiting: WaitingRead, { namespace, prefix, limit }: CacheList): void {
    if (!this.#isWithinBound(waiting) || !this.#isAdmitted(waiting)) return;
    this.#counters.hits += 1;
    const found = this.#wholes.list(namespace, prefix, limit);
    this.#answer(waiting, { type: 'listed', ...found, ...this.#proof(waiting) });
  }

  /** Whether a read may be answered now. If not, it goes on: to a probe more, or to its refusal. */
  #isWithinBound(waiting: WaitingRead): boolean {
    assert(waiting.needRevision <= this.#synced(), 'a read is answered at or above its floor');
    const { level } = waiting.read;
    if (level.type !== 'bounded' || this.#within(level.boundMs)) return true;
    // The bound ran out while the fill came: one probe more, then it is said.
    // mark: a bound runs out while a fill is under way
    if (this.#needsProbe(waiting)) this.#advance(waiting);
    else this.#refuse(waiting, 'STALENESS_BOUND_EXCEEDED');
    return false;
  }

  /**
   * C27. Whether he may read, judged at the same moment and by the same watermark as what he is shown: not when he asked, for what comes later may
   * be written after his revocation. If he may not, or nobody here can tell, the read has its end.
   */
  #isAdmitted(waiting: WaitingRead): boolean {
    const { token, namespace } = waiting.read;
    if (token === null) return true;
    const refusal = this.#judge(token, namespace);
    if (refusal === null) return true;
    if (refusal === 'unknown') {
      this.#fallback(waiting);
      return false;
    }
    // mark: a cache denies a read
    this.#counters.denied += 1;
    this.#answer(waiting, { type: 'denied', ...refusal });
    return false;
  }

  #judge(token: string, namespace: string): ReaderRefusal | 'unknown' | null {
    if (this.#mayRead === null) return 'unknown';
    let isKnown = true;
    const refusal = this.#mayRead({
      token,
      namespace,
      readers: this.#namespaces.get(namespace)?.readers ?? null,
      recordOf: (tokenHash) => {
        // By demand nobody can tell that a token is not there.
        isKnown &&= this.#wholes.isComplete(TOKENS_NAMESPACE);
        return isKnown ? (this.#wholes.get(TOKENS_NAMESPACE, tokenHash)?.value ?? null) : null;
      },
      nowMs: this.#wallMsMax,
    });
    return isKnown ? refusal : 'unknown';
  }

  #proof({ read: { level, minRevision } }: WaitingRead): CacheProof {
    return {
      revision: this.#synced(),
      epoch: this.#epoch ?? 0,
      stalenessMs: this.stalenessMs(this.#now),
      ageMs: this.ageMs(this.#now),
      lag: this.lag,
      quorum: this.#quorum(),
      level: level.type === 'eventual' && minRevision !== null ? 'session' : level.type,
    };
  }

  #quorum(): boolean {
    if (this.#lastProbe === null || !this.#lastProbe.succeeded) return false;
    return this.#elapsed.since(this.#lastProbe.at, this.#now) <= QUORUM_RECENT_MS;
  }

  #answer(waiting: WaitingRead, outcome: CacheOutcome): void {
    assert(!waiting.done, 'a read is answered once');
    waiting.done = true;
    this.#waiting.delete(waiting.read.readId);
    this.#commands.push({ type: 'answer', readId: waiting.read.readId, outcome });
  }

  #refuse(waiting: WaitingRead, code: CacheRefusal): void {
    this.#counters.refusals[code] += 1;
    this.#answer(waiting, { type: 'refused', code });
  }

  #fallback(waiting: WaitingRead): void {
    assert(!waiting.done, 'a read is answered once');
    waiting.done = true;
    this.#waiting.delete(waiting.read.readId);
    this.#counters.fallbacks += 1;
    this.#commands.push({ type: 'fallback', readId: waiting.read.readId });
  }

  #ownWrite(event: CacheEvent & { readonly type: 'ownWrite' }): void {
    if (this.#watermark !== null && event.revision <= this.#watermark) return;
    const record = this.#namespaces.get(event.namespace);
    if (record !== undefined && record.kind !== 'cached') return;
    // An entry's id is never a bare name: the floor under that is the namespace's own.
    const id = event.key === null ? event.namespace : entryId(event.namespace, event.key);
    this.#floors.raise(id, event.revision);
    // Namespace records are published whatever their kind; entries of an unknown name may not be.
    const published = record !== undefined || (event.key === null && this.#watermark !== null);
    if (published) this.#knownPublished = Math.max(this.#knownPublished, event.revision);
  }

  /** Of a list, every own write may be in it. */
  #floorOfRead(read: CacheRead | CacheList): number {
    return isList(read) ? this.#floors.highest : this.#floorOf(read.namespace, read.key);
  }

  #floorOf(namespace: string, key: string): number {
    // Most of the time there are no floors, and no text need be made to look for them.
    if (this.#floors.highest === 0) return 0;
    return Math.max(this.#floors.of(entryId(namespace, key)), this.#floors.of(namespace));
  }

  // ---- time, and what follows from an event

  #tick(): void {
    const nowMs = this.#now.monotonicMs;
    this.#entries.beginPeriod();
    let expired = false;
    for (const waiting of this.#waiting.values()) {
      // All wait equally long, so the map is in order of deadlines.
      if (waiting.deadlineMs > nowMs) break;
      expired = true;
      this.#expire(waiting);
    }
    if (expired) this.#forgetDone();
    for (const fill of this.#fills.values()) {
      const unread = fill.reads.every((waiting) => waiting.done);
      if (fill.answer !== null && unread && nowMs - fill.askedMs >= this.#options.waitMs)
        this.#dropFill(fill);
    }
    const target = this.#targets[0];
    // The feed's last message was lost, or there is no feed (R16).
    if (target !== undefined && nowMs - target.answeredMs >= FEED_ALLOWANCE_MS) this.#wantPull(0);
    const intervalMs =
      nowMs - this.#lastReadMs <= READ_RECENTLY_MS ? PROBE_INTERVAL_MS : PROBE_INTERVAL_IDLE_MS;
    if (nowMs - this.#lastProbeSentMs >= intervalMs) this.#probeWanted = true;
  }

  #expire(waiting: WaitingRead): void {
    if (waiting.stage === 'fill') this.#giveUpFill(waiting);
    else if (waiting.stage === 'probe' && waiting.read.level.type === 'bounded')
      this.#refuse(waiting, 'STALENESS_BOUND_EXCEEDED');
    else this.#fallback(waiting);
  }

  /** Lists of waiting reads stay within waitingReadsMax, and not what was ever put in them. */
  #forgetDone(): void {
    const alive = (waiting: WaitingRead): boolean => !waiting.done;
    this.#collecting = this.#collecting.filter(alive);
    this.#revisionReads = this.#revisionReads.filter(alive);
    if (this.#probeOnWire !== null)
      this.#probeOnWire = { ...this.#probeOnWire, reads: this.#probeOnWire.reads.filter(alive) };
    this.#targets = this.#targets.map((target) => ({ ...target, reads: target.reads.filter(alive) }));
    for (const fill of this.#fills.values()) {
      const reads = fill.reads.filter(alive);
      fill.reads.splice(0, fill.reads.length, ...reads);
    }
  }

  /**
   * Carries a moved watermark to all that waited for it. Ends: each round releases reads or moves the
   * watermark.
   */
  #settle(): void {
    while (this.#watermark !== null) {
      this.#confirm();
      const watermark = this.#watermark;
      for (const fill of this.#fills.values()) this.#settleFill(fill);
      this.#settlePage();
      if (this.#revisionReads.length > 0) {
        const reads = this.#revisionReads;
        this.#revisionReads = reads.filter((waiting) => waiting.needRevision > watermark);
        this.#released.push(...reads.filter((waiting) => waiting.needRevision <= watermark));
      }
      if (this.#released.length === 0) return;
      const released = this.#released;
      this.#released = [];
      for (const waiting of released) this.#advance(waiting);
    }
  }

  /** Gives the commands that are due and free to go. */
  #plan(): void {
    const nowMs = this.#now.monotonicMs;
    if (this.#resyncDueMs !== null && this.#resyncDueMs <= nowMs) {
      this.#resyncDueMs = null;
      this.#resyncId = this.#newId();
      this.#commands.push({ type: 'resync', resyncId: this.#resyncId });
    }
    if (this.#watermark === null) return;
    const resyncing = this.#resyncId !== null || this.#resyncDueMs !== null;
    if (this.#pullDueMs !== null && this.#pullDueMs <= nowMs && this.#pullId === null && !resyncing) {
      this.#pullDueMs = null;
      // What it was wanted for may have come in the meantime.
      if (this.#behind()) {
        this.#pullId = this.#newId();
        this.#counters.pulls += 1;
        const minRevision = revision(this.#knownPublished);
        this.#commands.push({ type: 'pull', pullId: this.#pullId, after: this.#watermark, minRevision });
      }
    }
    this.#planLoad(resyncing);
    if (!this.#probeWanted && this.#collecting.length === 0) return;
    if (this.#probeOnWire === null && this.#targets.length < PROBE_TARGETS_MAX) this.#sendProbe();
  }

  /** C22: one page at a time, whoever waits: loading is never in a read's way. */
  #planLoad(resyncing: boolean): void {
    if (this.#load !== null || this.#page !== null || resyncing) return;
    const { next } = this.#wholes;
    if (next === null || this.#loadDueMs > this.#now.monotonicMs) return;
    const load: Load = { ...next, loadId: this.#newId(), minRevision: this.#synced() };
    this.#load = load;
    this.#counters.loads += 1;
    this.#commands.push({ type: 'load', ...load });
  }

  #sendProbe(): void {
    const sent = this.#elapsed.mark(this.#now);
    const probe: Probe = { probeId: this.#newId(), sent, reads: this.#collecting };
    for (const waiting of probe.reads) waiting.probeId = probe.probeId;
    this.#collecting = [];
    this.#probeWanted = false;
    this.#probeOnWire = probe;
    this.#lastProbeSentMs = this.#now.monotonicMs;
    this.#counters.probes += 1;
    this.#commands.push({ type: 'probe', probeId: probe.probeId });
  }

  #newId(): number {
    this.#nextId += 1;
    return this.#nextId;
  }

  #synced(): Revision {
    assert(this.#watermark !== null, 'the view is synced');
    return this.#watermark;
  }

  #assertInvariants(): void {
    assert(this.#fills.size === this.#fillIds.size, 'each fill has one id');
    assert(this.#fills.size <= this.#options.fillsMax, 'fills are bounded');
    assert(this.#waiting.size <= this.#options.waitingReadsMax, 'waiting reads are bounded');
    assert(this.#targets.length <= PROBE_TARGETS_MAX, 'unconfirmed probes are bounded');
    assert(this.#released.length === 0, 'nothing released is left over');
    assert(this.#wholes.bytes <= this.#options.wholeBytesMax, 'what is held whole is bounded');
    if (this.#watermark !== null) return;
    assert(this.#entries.count === 0 && this.#waiting.size === 0, 'an empty view holds nothing');
  }
}

function isList(read: CacheRead | CacheList): read is CacheList {
  return 'prefix' in read;
}

/** Entries of the namespace, each key behind the one before, and a last one to go on from. */
function isPageOf({ namespace, after }: Load, { entries, more }: Omit<ContentPage, 'revision'>): boolean {
  let previous = after;
  for (const entry of entries) {
    if (entry.namespace !== namespace || compareKeys(previous, entry.key) >= 0) return false;
    previous = entry.key;
  }
  return entries.length > 0 || !more;
}

type Mutable<Type> = {
  -readonly [Key in keyof Type]: Type[Key] extends object ? Mutable<Type[Key]> : Type[Key];
};

function emptyCounters(): Mutable<Omit<CacheCounters, 'evictions' | 'wholesTooLarge'>> {
  return {
    hits: 0,
    misses: 0,
    fills: 0,
    fillsFailed: 0,
    fillsRefused: 0,
    gaps: 0,
    duplicates: 0,
    pulls: 0,
    resyncs: { start: 0, epoch: 0, compacted: 0 },
    feedRefused: { format: 0, cluster: 0, mac: 0 },
    outdated: 0,
    batchesApplied: 0,
    fallbacks: 0,
    denied: 0,
    refusals: { CACHE_NOT_READY: 0, CACHE_MISS_UNREACHABLE: 0, STALENESS_BOUND_EXCEEDED: 0, OVERLOADED: 0 },
    probes: 0,
    probesFailed: 0,
    loads: 0,
    loadsFailed: 0,
  };
}
