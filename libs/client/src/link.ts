import { memberListHash, type LinkRole } from '@quorate/api';
import { type ClusterDescription, LinkConnection, type LinkRefusal } from '@quorate/link';
import type { Clock } from './environment.js';
import { NearCache, type NearCacheOptions } from './near-cache.js';
import { StoreClient } from './store-client.js';

export type { ClusterDescription, LinkRefusal } from '@quorate/link';

const SUBSCRIBE_DEADLINE_MS = 2_000;
const SUBSCRIBE_RETRY_MS = 500;

/** The system's clocks and timers. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer: (delayMs, task) => {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

export interface ConnectStoreOptions {
  readonly cluster: ClusterDescription;
  readonly role: Exclude<LinkRole, 'member'>;
  /** The role's key, 32 bytes. */
  readonly key: Uint8Array;
  /** Whether bytes go unencrypted. Not given: only to loopback hosts. */
  readonly plaintext?: boolean;
  /** A member refused the handshake, or was refused: for the log. */
  readonly onRefused?: (member: number, refusal: LinkRefusal) => void;
}

/** The links of one process to every member of a cluster. */
export interface StoreLinks {
  readonly connections: readonly LinkConnection[];
  readonly client: StoreClient;
  /**
   * Receives the feed over one link at a time, and over another one when that is lost. What is published in between is missing:
   * the chain of revisions shows it. Role gateway only. The returned function ends it.
   */
  subscribeFeed(onBytes: (bytes: Uint8Array) => void): () => void;
  /** Closes all links; requests under way end as the store client says. */
  close(): void;
}

/** Opens a link to every member and keeps it open. Returns at once; connections come up in the background. */
export function connectStore(options: ConnectStoreOptions): StoreLinks {
  const { cluster, role, key, plaintext, onRefused } = options;
  const identity = {
    clusterId: cluster.clusterId,
    epoch: cluster.epoch,
    memberListHash: memberListHash(cluster.members),
  };
  const feed = new FeedSubscription();
  const connections = cluster.members.map(
    (member) =>
      new LinkConnection({
        to: member,
        cluster: identity,
        role,
        key,
        from: null,
        ...(plaintext === undefined ? {} : { plaintext }),
        onRefused: (refusal) => onRefused?.(member.id, refusal),
        onPush: (bytes) => feed.take(bytes),
      }),
  );
  const client = new StoreClient({ connections, clock: systemClock, random: Math.random });
  return {
    connections,
    client,
    subscribeFeed: (onBytes) => feed.start(connections, onBytes),
    close: () => {
      feed.stop();
      client.close();
      for (const connection of connections) connection.close();
    },
  };
}

/** What a near cache needs of its caller, beside the links that it makes itself. */
export interface ConnectNearCacheOptions
  extends
    Omit<ConnectStoreOptions, 'role'>,
    Omit<NearCacheOptions, 'links' | 'cluster' | 'clock' | 'random'> {}

/** Opens links of the role gateway (`key` is the gateway's) and a near cache over them. Returns at once; see `ready`. */
export function connectNearCache(options: ConnectNearCacheOptions): NearCache {
  const { cluster, key, plaintext, onRefused, ...nearCache } = options;
  const links = connectStore({
    cluster,
    role: 'gateway',
    key,
    ...(plaintext !== undefined && { plaintext }),
    ...(onRefused !== undefined && { onRefused }),
  });
  return new NearCache({ ...nearCache, links, cluster, clock: systemClock, random: Math.random });
}

/** Keeps one feed subscription alive over whichever link is open. */
class FeedSubscription {
  #connections: readonly LinkConnection[] = [];
  #unsubscribe: readonly (() => void)[] = [];
  #source: LinkConnection | null = null;
  /** Which of the open links is next. The first at random: when NATS goes, all gateways come at once. */
  #next = Math.floor(Math.random() * 1_000);
  #onBytes: ((bytes: Uint8Array) => void) | null = null;
  #retryTimer: NodeJS.Timeout | null = null;

  /** Messages of a link that was subscribed before may still come: the chain rule drops what is double. */
  take(bytes: Uint8Array): void {
    this.#onBytes?.(bytes);
  }

  start(connections: readonly LinkConnection[], onBytes: (bytes: Uint8Array) => void): () => void {
    this.stop();
    this.#connections = connections;
    this.#onBytes = onBytes;
    this.#unsubscribe = connections.map((connection) =>
      connection.onOpenChange(() => {
        if (!connection.open && this.#source === connection) this.#source = null;
        this.#subscribe();
      }),
    );
    this.#subscribe();
    return () => this.stop();
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#unsubscribe = [];
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    // Nobody need answer: what still comes is dropped here, and a closed link wants no word.
    if (this.#source?.open === true)
      this.#source.request({ type: 'feedUnsubscribe' }, SUBSCRIBE_DEADLINE_MS, () => undefined);
    this.#source = null;
    this.#onBytes = null;
  }

  #subscribe(): void {
    if (this.#source !== null || this.#onBytes === null) return;
    const open = this.#connections.filter((connection) => connection.open);
    const source = open[this.#next % Math.max(1, open.length)];
    if (source === undefined) return;
    this.#source = source;
    source.request({ type: 'feedSubscribe' }, SUBSCRIBE_DEADLINE_MS, (response) => {
      if (this.#source !== source || response.type === 'subscribed') return;
      this.#source = null;
      this.#next += 1;
      if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
      this.#retryTimer = setTimeout(() => this.#subscribe(), SUBSCRIBE_RETRY_MS);
    });
  }
}
