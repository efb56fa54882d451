import { FeedPublisher } from '@quorate/feed';
import type { FeedPublisherOptions, FeedSource } from '@quorate/feed';
import type { Revision } from '@quorate/kv';
import type { FeedSubscriber } from '@quorate/link';

/** How much is published in one turn of the event loop: what is left over waits for the next. */
const MESSAGES_PER_TURN_MAX = 16;

/** The published state of the member, and its newest revision. */
export interface FeedState extends FeedSource {
  readonly head: Revision;
}

export interface FeedOutletsOptions extends FeedPublisherOptions {
  /** Sends one message to NATS; null: there is no NATS. */
  readonly publish: ((bytes: Uint8Array) => void) | null;
}

export interface FeedCounts {
  readonly published: number;
  readonly pushed: number;
  /** Messages that a slow or closed subscriber did not get: it finds the gap and pulls. */
  readonly dropped: number;
  readonly subscribers: number;
}

/**
 * W7: the two ways out of the feed. The leader publishes to NATS; every member pushes the same stream over its own links to
 * whoever subscribed there, from what it has applied itself. Both pull from the state machine after applies and at each
 * tick; no request waits for either.
 */
export class FeedOutlets {
  /** Asked anew each time: an installed snapshot is another state machine. */
  readonly #state: () => FeedState;
  readonly #publish: ((bytes: Uint8Array) => void) | null;
  readonly #toNats: FeedPublisher;
  readonly #toLinks: FeedPublisher;
  readonly #subscribers = new Set<FeedSubscriber>();
  #published = 0;
  #pushed = 0;
  #dropped = 0;
  #turn: NodeJS.Immediate | null = null;

  constructor(state: () => FeedState, options: FeedOutletsOptions) {
    this.#state = state;
    this.#publish = options.publish;
    this.#toNats = new FeedPublisher(options);
    this.#toLinks = new FeedPublisher(options);
  }

  get counts(): FeedCounts {
    return {
      published: this.#published,
      pushed: this.#pushed,
      dropped: this.#dropped,
      subscribers: this.#subscribers.size,
    };
  }

  /** Leadership was won or lost. Only the leader publishes to NATS. */
  leading(leads: boolean): void {
    if (leads && this.#publish !== null) this.#toNats.start(this.#state().head);
    else this.#toNats.stop();
    this.schedule();
  }

  /** Adds one subscriber. What was published before it came it finds through the chain rule. */
  subscribe(subscriber: FeedSubscriber): void {
    if (this.#subscribers.size === 0) this.#toLinks.start(this.#state().head);
    this.#subscribers.add(subscriber);
    this.schedule();
  }

  /** Something may be new: looks once, after the event in progress. */
  schedule(): void {
    this.#turn ??= setImmediate(() => {
      this.#turn = null;
      this.look();
    });
  }

  stop(): void {
    if (this.#turn !== null) clearImmediate(this.#turn);
    this.#turn = null;
    this.#toNats.stop();
    this.#toLinks.stop();
    this.#subscribers.clear();
  }

  /**
   * Entries were applied: what they changed goes out now. Answers leave at the end of the turn, so whoever learns that his write is done
   * finds it on its way to the caches already.
   */
  look(): void {
    for (const subscriber of this.#subscribers) if (!subscriber.open) this.#subscribers.delete(subscriber);
    if (this.#subscribers.size === 0) this.#toLinks.stop();
    for (let count = 0; count < MESSAGES_PER_TURN_MAX; count += 1) {
      const forNats = this.#toNats.next(this.#state());
      const forLinks = this.#toLinks.next(this.#state());
      if (forNats === null && forLinks === null) return;
      if (forNats !== null) {
        this.#publish?.(forNats);
        this.#published += 1;
      }
      if (forLinks !== null) this.#push(forLinks);
    }
    this.schedule();
  }

  #push(bytes: Uint8Array): void {
    for (const subscriber of this.#subscribers) {
      if (subscriber.push(bytes)) this.#pushed += 1;
      else this.#dropped += 1;
    }
  }
}
