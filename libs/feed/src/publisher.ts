import { revision } from '@quorate/kv';
import type { ChangeBatch, Revision } from '@quorate/kv';
import { encodeFeedMessage } from './message.js';

/** What a publisher needs of the state machine: its retained, published changes. */
export interface FeedSource {
  /** The newest revision that changed published data. */
  readonly publishedRevision: Revision;
  /**
   * Whole revisions after `after`, at least one if there is any, up to about `bytesMax`; or the oldest
   * revision that one can
   * still go on from.
   */
  publishedChanges(
    after: Revision,
    bytesMax: number,
    epoch: number,
  ): { readonly batch: ChangeBatch } | { readonly oldest: Revision };
}

export interface FeedPublisherOptions {
  readonly key: Uint8Array;
  readonly clusterId: string;
  readonly epoch: number;
}

/**
 * W7: a new leader repeats so many revisions; what its predecessor left unsent is among them, duplicates are
 * free.
 */
const REPEATED_REVISIONS = 1024;
/**
 * Of one message: small enough to stay under FEED_MESSAGE_BYTES_MAX in the usual case, large enough to catch
 * up fast.
 */
const BATCH_BYTES_MAX = 256 * 1024;

/**
 * The leader's side of the feed (W7). It pulls from the state machine whenever its driver has time; the
 * request path never
 * waits for it, and whatever it loses the chain rule shows to the consumers.
 */
export class FeedPublisher {
  readonly #options: FeedPublisherOptions;
  #cursor: Revision | null = null;

  constructor(options: FeedPublisherOptions) {
    this.#options = options;
  }

  /** The last revision handed out, or null while it does not publish. */
  get cursor(): Revision | null {
    return this.#cursor;
  }

  /** At each election won: `head` is the new leader's own newest revision. */
  start(head: Revision): void {
    this.#cursor = revision(Math.max(0, head - REPEATED_REVISIONS));
  }

  /**
   * The leader was deposed. What it has handed out stays true: only committed changes are ever published
   * (R14).
   */
  stop(): void {
    this.#cursor = null;
  }

  /** The next message, or null when there is nothing new (or it was not started). */
  next(source: FeedSource): Uint8Array | null {
    const cursor = this.#cursor;
    if (cursor === null || source.publishedRevision <= cursor) return null;
    const { key, clusterId, epoch } = this.#options;
    const changes = source.publishedChanges(cursor, BATCH_BYTES_MAX, epoch);
    if (!('batch' in changes)) {
      // F11: what lies between is gone. Saying so, from the cursor on, makes every consumer pull or resync.
      const last = source.publishedRevision;
      this.#cursor = last;
      return encodeFeedMessage(key, { clusterId, epoch, previous: cursor, revision: last });
    }
    if (changes.batch.revision <= cursor) return null;
    this.#cursor = changes.batch.revision;
    return encodeFeedMessage(key, { clusterId, batch: changes.batch });
  }
}
