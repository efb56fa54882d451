import { connect } from 'nats';
import type { NatsConnection, Subscription } from 'nats';

export interface FeedConnectionOptions {
  /** `host:port` of each server. */
  readonly servers: readonly string[];
  readonly user: string;
  readonly pass: string;
  readonly clusterId: string;
  /** Shown in the server's monitoring. */
  readonly name?: string;
  /** Milliseconds between attempts to reconnect. Default 500. */
  readonly reconnectMs?: number;
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string } | null;
}

export interface FeedConnectionCounters {
  readonly published: number;
  /** Not sent because there was no connection: the consumers see a gap and pull. */
  readonly dropped: number;
  readonly received: number;
  readonly reconnects: number;
  /** Errors of the client or of a message handler. */
  readonly errors: number;
}

export interface FeedConnection {
  readonly connected: boolean;
  readonly counters: FeedConnectionCounters;
  /**
   * Sends one encoded message, or drops and counts it when there is no connection. Never throws, never
   * waits.
   */
  publish(bytes: Uint8Array): void;
  /** Calls `onMessage` for each message from now on, across reconnects. The returned function ends it. */
  subscribe(onMessage: (bytes: Uint8Array) => void): () => void;
  /** Calls `listener` whenever `connected` has changed. There is one listener. */
  onConnectedChange(listener: () => void): void;
  close(): Promise<void>;
}

const PING_INTERVAL_MS = 1000;
const PINGS_OUT_MAX = 2;

/** The subject of a cluster's feed. */
export function feedSubject(clusterId: string): string {
  return `quorate.${clusterId}.v1.feed`;
}

/**
 * Opens a connection to NATS and returns at once: it connects in the background and for ever (the feed may
 * be down for hours
 * and the caches still converge over the link). No error ever leaves it; they are counted.
 */
export function connectFeed(options: FeedConnectionOptions): FeedConnection {
  return new NatsFeed(options);
}

class NatsFeed implements FeedConnection {
  readonly #subject: string;
  readonly #counters = { published: 0, dropped: 0, received: 0, reconnects: 0, errors: 0 };
  readonly #handlers = new Map<(bytes: Uint8Array) => void, Subscription | null>();
  readonly #opened: Promise<void>;
  #connection: NatsConnection | null = null;
  #connected = false;
  #onConnectedChange: () => void = () => undefined;
  #closed = false;

  constructor(options: FeedConnectionOptions) {
    this.#subject = feedSubject(options.clusterId);
    this.#opened = this.#open(options);
  }

  get connected(): boolean {
    return this.#connected;
  }

  get counters(): FeedConnectionCounters {
    return { ...this.#counters };
  }

  publish(bytes: Uint8Array): void {
    // Disconnected, the client would buffer without a limit and send it all, late, after the reconnect.
    if (this.#connection === null || !this.#connected) {
      this.#counters.dropped += 1;
      return;
    }
    try {
      this.#connection.publish(this.#subject, bytes);
      this.#counters.published += 1;
    } catch {
      this.#counters.dropped += 1;
    }
  }

  subscribe(onMessage: (bytes: Uint8Array) => void): () => void {
    this.#handlers.set(onMessage, this.#listen(onMessage));
    return () => {
      const subscription = this.#handlers.get(onMessage);
      this.#handlers.delete(onMessage);
      this.#guarded(() => subscription?.unsubscribe());
    };
  }

  onConnectedChange(listener: () => void): void {
    this.#onConnectedChange = listener;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#setConnected(false);
    this.#handlers.clear();
    // An attempt that waits for the first connection cannot be cancelled: #open closes what it may still get.
    const connection = this.#connection;
    if (connection === null) return;
    await connection.close().catch(() => this.#countError());
    await this.#opened;
  }

  async #open(options: FeedConnectionOptions): Promise<void> {
    const reconnectMs = options.reconnectMs ?? 500;
    while (!this.#closed) {
      try {
        const connection = await connect({
          servers: [...options.servers],
          user: options.user,
          pass: options.pass,
          name: options.name ?? 'quorate-feed',
          tls: options.tls ?? null,
          maxReconnectAttempts: -1,
          // Wrong credentials may be put right at the server: go on trying.
          ignoreAuthErrorAbort: true,
          // Only the servers that were configured: what a server gossips may not be reachable from here.
          ignoreClusterUpdates: true,
          reconnectTimeWait: reconnectMs,
          reconnectJitter: reconnectMs,
          // The default of two minutes would find a dead peer long after everyone has noticed.
          pingInterval: PING_INTERVAL_MS,
          maxPingOut: PINGS_OUT_MAX,
          noAsyncTraces: true,
        });
        await this.#run(connection);
      } catch {
        this.#countError();
        await pause(reconnectMs);
      }
    }
  }

  /** Ends when the connection is closed for good, which the options make rare. */
  async #run(connection: NatsConnection): Promise<void> {
    if (this.#closed) {
      await connection.close();
      return;
    }
    this.#connection = connection;
    for (const handler of this.#handlers.keys()) this.#handlers.set(handler, this.#listen(handler));
    this.#setConnected(true);
    try {
      for await (const status of connection.status()) {
        if (status.type === 'disconnect') this.#setConnected(false);
        if (status.type === 'reconnect') {
          this.#counters.reconnects += 1;
          this.#setConnected(true);
        }
        if (status.type === 'error') this.#countError();
      }
      await connection.closed();
    } finally {
      this.#setConnected(false);
      this.#connection = null;
    }
  }

  #listen(onMessage: (bytes: Uint8Array) => void): Subscription | null {
    if (this.#connection === null) return null;
    try {
      return this.#connection.subscribe(this.#subject, {
        callback: (error, message) => {
          if (error !== null) {
            this.#countError();
            return;
          }
          this.#counters.received += 1;
          this.#guarded(() => onMessage(message.data));
        },
      });
    } catch {
      this.#countError();
      return null;
    }
  }

  #setConnected(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    this.#guarded(this.#onConnectedChange);
  }

  #guarded(task: () => void): void {
    try {
      task();
    } catch {
      // One bad message or handler must not end the subscription of all others (R17).
      this.#countError();
    }
  }

  #countError(): void {
    this.#counters.errors += 1;
  }
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs).unref();
  });
}
