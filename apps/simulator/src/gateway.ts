import type { CacheReadLevel } from '@quorate/cache';
import { authorizeToken } from '@quorate/api';
import {
  CachedViewDriver,
  type CachedReadOutcome,
  type ReaderQuestion,
  type ReaderRefusal,
  type StoreClient,
} from '@quorate/client';
import { revision, type Revision } from '@quorate/kv';
import type { BoundedMemoryChecker } from './checkers/bounded-memory-checker.js';
import type { Cluster } from './cluster.js';
import type { Host } from './host.js';
import { ADMIN_TOKEN_HASH, CLUSTER_ID } from './member.js';
import { connectStoreClient } from './sdk-client.js';
import type { SimulatedFeed } from './simulated-feed.js';
import { decodeText } from './text.js';
import { CACHED_NAMESPACE, PASSING_NAMESPACE, STRICT_NAMESPACE } from './namespaces.js';
import type { World } from './world.js';

/** Room for one entry, for two, and for all: what is not held must be asked for again. */
const CACHE_BYTES_MAX = [300, 700, 1_000_000] as const;
/** Of a namespace that is held whole: none is, those that stay small are, all are. */
const WHOLE_BYTES_MAX = [0, 1_200, 1_000_000] as const;
const LIST_LIMIT = 1_000;

/** One read through a gateway's cache, and what came of it. */
export interface CacheReadRecord {
  readonly gateway: string;
  readonly process: number;
  readonly namespace: string;
  readonly key: string;
  readonly level: CacheReadLevel;
  readonly minRevision: number | null;
  /** By which access token; null: the gateway itself. */
  readonly token: string | null;
  /** Of the newest write of the key, or of its namespace, that this process had acknowledged before; 0: none. */
  readonly ownRevision: number;
  /** What the view had applied before the read; null: it was not synced. */
  readonly watermark: number | null;
  readonly invokedMs: number;
  readonly answeredMs: number;
  /** Of the gateway's clocks, on average since the moment that the staleness names: a bound measured by a slow clock is short by that factor. */
  readonly clockRate: number;
  readonly outcome: CachedReadOutcome;
  readonly value: string | null;
}

/** A gateway's cache: the real cached view and its driver, fed by the simulated feed, asking through the SDK's core. */
export class SimulatedGateway {
  readonly host: Host;
  readonly reads: CacheReadRecord[] = [];
  /** Errors after which the driver threw its view away: each is a bug. */
  readonly rebuilds: unknown[] = [];
  readonly #world: World;
  readonly #cluster: Cluster;
  readonly #keyCount: number;
  readonly #memory: BoundedMemoryChecker;
  #bytesMax = 0;
  #wholeBytesMax = 0;
  #driver: CachedViewDriver | null = null;
  #client: StoreClient | null = null;
  #reading = false;
  /** The newest write that went through this process: by namespace, and by namespace and key. */
  readonly #ownRevisions = new Map<string, number>();
  readonly #recentRevision: () => number | null;
  readonly #recentToken: () => string | null;

  constructor(
    world: World,
    cluster: Cluster,
    feed: SimulatedFeed,
    host: Host,
    options: {
      readonly keyCount: number;
      readonly memory: BoundedMemoryChecker;
      /** Of a write that was acknowledged a moment ago, by whichever way it went; null: none yet. */
      readonly recentRevision: () => number | null;
      /** One that somebody writes by, and that is revoked soon; null: none yet. */
      readonly recentToken: () => string | null;
    },
  ) {
    this.#world = world;
    this.#cluster = cluster;
    this.#keyCount = options.keyCount;
    this.#memory = options.memory;
    this.#recentRevision = options.recentRevision;
    this.#recentToken = options.recentToken;
    this.host = host;
    feed.subscribe(host, (bytes) => this.#driver?.receiveFeed(bytes));
  }

  get driver(): CachedViewDriver | null {
    return this.#driver;
  }

  start(): void {
    this.host.boot();
    this.#client = connectStoreClient(this.#cluster, this.host, 'gateway');
    this.#bytesMax = this.host.random.pick(CACHE_BYTES_MAX);
    const wholeNamespaceBytesMax = this.host.random.pick(WHOLE_BYTES_MAX);
    // For the two cached namespaces, or for one and a half.
    this.#wholeBytesMax = Math.ceil(wholeNamespaceBytesMax * this.host.random.pick([1.5, 2]));
    this.#driver = new CachedViewDriver({
      source: this.#client,
      clock: this.host,
      random: () => this.host.random.fraction(),
      clusterId: CLUSTER_ID,
      bytesMax: this.#bytesMax,
      wholeNamespaceBytesMax,
      wholeBytesMax: this.#wholeBytesMax,
      mayRead: refusalOf,
      onRebuild: (error) => {
        this.rebuilds.push(error);
        this.#world.tell(`${this.host.name} rebuilds its cache: ${String(error)}`);
      },
    });
    this.#driver.start();
    if (this.#reading) this.#next();
  }

  crash(): void {
    this.host.kill();
    this.#driver = null;
    this.#client = null;
    this.#ownRevisions.clear();
  }

  /**
   * A write was acknowledged, as if it had gone through this gateway: from now on its reads have it. Who wrote
   * looks at once. `key` empty: of the namespace itself.
   */
  ownWrite(namespace: string, key: string, at: number): void {
    if (this.#driver === null) return;
    this.#driver.ownWrite(namespace, key === '' ? null : key, revision(at));
    const name = `${namespace}/${key}`;
    this.#ownRevisions.set(name, Math.max(at, this.#ownRevisions.get(name) ?? 0));
    const read = key === '' ? this.#anyKey() : key;
    if (this.#reading) this.read(namespace, read, this.#level());
  }

  #ownRevision(namespace: string, key: string): number {
    const ofNamespace = this.#ownRevisions.get(`${namespace}/`) ?? 0;
    return Math.max(ofNamespace, this.#ownRevisions.get(`${namespace}/${key}`) ?? 0);
  }

  startReading(): void {
    this.#reading = true;
    this.#next();
  }
  stopReading(): void {
    this.#reading = false;
  }

  #next(): void {
    const { random } = this.host;
    this.host.setTimer(random.exponential(40), () => {
      if (!this.#reading) return;
      if (random.chance(0.15)) this.list(this.#anyNamespace(), this.#level(), this.#anyMinRevision());
      else this.read(this.#anyNamespace(), this.#anyKey(), this.#level(), this.#anyMinRevision());
      this.#next();
    });
  }

  #anyNamespace(): string {
    const { random } = this.host;
    if (random.chance(0.6)) return CACHED_NAMESPACE;
    return random.chance(0.75) ? PASSING_NAMESPACE : STRICT_NAMESPACE;
  }

  #anyKey(): string {
    return `key-${this.host.random.below(this.#keyCount)}`;
  }

  /** What a session brings along: nothing, what this view is about to reach, or what another way has just led to. */
  #anyMinRevision(): Revision | null {
    const { random } = this.host;
    const dice = random.below(10);
    if (dice >= 2) return null;
    if (dice === 0) return asRevision(this.#recentRevision());
    const known = this.#driver?.watermark ?? null;
    return known === null ? null : revision(known + random.below(3));
  }

  #level(): CacheReadLevel {
    const { random } = this.host;
    const dice = random.below(10);
    if (dice < 6) return { type: 'eventual' };
    if (dice < 8) return { type: 'bounded', boundMs: 50 + random.below(2_000) };
    return { type: 'linearizable' };
  }

  read(
    namespace: string,
    key: string,
    level: CacheReadLevel,
    minRevision: Revision | null = null,
    done: (record: CacheReadRecord) => void = () => {},
  ): void {
    const driver = this.#driver;
    if (driver === null) return;
    const token = this.#reading && this.host.random.chance(0.2) ? this.#recentToken() : null;
    const record = this.#recorder({ namespace, level, minRevision, token, driver });
    const ownRevision = this.#ownRevision(namespace, key);
    driver.read(
      namespace,
      key,
      level,
      (outcome) => done(record(key, ownRevision, outcome)),
      minRevision,
      token,
    );
  }

  /** A list is a read of every key, at one revision: it is recorded as that. */
  list(namespace: string, level: CacheReadLevel, minRevision: Revision | null): void {
    const driver = this.#driver;
    if (driver === null) return;
    const record = this.#recorder({ namespace, level, minRevision, token: null, driver });
    const keys = Array.from({ length: this.#keyCount }, (_, number) => `key-${number}`);
    const own = keys.map((key) => this.#ownRevision(namespace, key));
    driver.list(
      { namespace, prefix: 'key-', limit: LIST_LIMIT },
      level,
      (outcome) => {
        if (outcome.type !== 'listed') return;
        this.#world.mark('a cache lists a namespace');
        const { entries } = outcome;
        for (const [number, key] of keys.entries()) {
          const entry = entries.find((one) => one.key === key) ?? null;
          record(key, own[number] ?? 0, { ...outcome, type: 'hit', entry, filled: false });
        }
      },
      minRevision,
    );
  }

  /** Takes down what is the same for all that one question asks; call it before the question. */
  #recorder(question: {
    readonly namespace: string;
    readonly level: CacheReadLevel;
    readonly minRevision: Revision | null;
    readonly token: string | null;
    readonly driver: CachedViewDriver;
  }): (key: string, ownRevision: number, outcome: CachedReadOutcome) => CacheReadRecord {
    const { namespace, level, minRevision, token, driver } = question;
    const invokedMs = this.#world.nowMs;
    const bounds = { bytesMax: this.#bytesMax, wholeBytesMax: this.#wholeBytesMax };
    const { process, name } = this.host;
    const { watermark } = driver;
    return (key, ownRevision, outcome) => {
      const isHit = outcome.type === 'hit';
      const entry = isHit ? outcome.entry : null;
      const value = entry === null ? null : decodeText(entry.value);
      const answeredMs = this.#world.nowMs;
      const clockRate = this.host.meanClockRate((isHit ? outcome.stalenessMs : null) ?? 0);
      const record: CacheReadRecord = {
        gateway: name,
        process,
        namespace,
        key,
        level,
        minRevision,
        token,
        ownRevision,
        watermark,
        invokedMs,
        answeredMs,
        clockRate,
        outcome,
        value,
      };
      this.reads.push(record);
      this.#memory.lookAtCache(name, driver.load, driver.entryBytes, bounds);
      this.#world.tell(describeRead(record));
      return record;
    };
  }
}

/** As a real gateway decides. */
function refusalOf(question: ReaderQuestion): ReaderRefusal | null {
  const decision = authorizeToken({ adminTokenHash: ADMIN_TOKEN_HASH, need: 'entries:read', ...question });
  if (!('type' in decision)) return null;
  return { code: decision.code === 'FORBIDDEN' ? 'FORBIDDEN' : 'UNAUTHENTICATED', message: decision.message };
}

function asRevision(value: number | null): Revision | null {
  return value === null ? null : revision(value);
}

export function describeRead(read: CacheReadRecord): string {
  const { gateway, namespace, key, level, minRevision, token, ownRevision, outcome, value } = read;
  const atLeast = minRevision === null ? '' : ` at least ${minRevision}`;
  const own = ownRevision === 0 ? '' : ` (its own write is ${ownRevision})`;
  let told: string = outcome.type;
  if (outcome.type === 'refused') told = outcome.code;
  if (outcome.type === 'hit') {
    told = `${value ?? 'nothing'} of ${outcome.entry?.revision ?? '-'} at ${outcome.revision}, staleness ${outcome.stalenessMs} ms`;
  }
  const by = token === null ? '' : ` by ${token.replaceAll('_', ' ').trim()}`;
  return `${gateway} reads ${namespace}/${key} ${level.type}${by}${atLeast}${own}: ${told}`;
}
