import { FeedPublisher, encodeFeedMessage } from '@quorate/feed';
import { revision } from '@quorate/kv';
import { checkFeedMessage } from './checkers/strict-feed-checker.js';
import type { Cluster } from './cluster.js';
import type { Host } from './host.js';
import { CLUSTER_ID, EPOCH, FEED_KEY, type SimulatedMember } from './member.js';
import type { SeededRandom } from './random.js';
import type { World } from './world.js';

export interface FeedParameters {
  readonly lossProbability: number;
  readonly duplicateProbability: number;
  readonly forgeryProbability: number;
  readonly delayMeanMs: number;
  /** Now and then a message takes this much longer: it comes after all that were published meanwhile. */
  readonly stragglerProbability: number;
  readonly stragglerMeanMs: number;
}

export const HEALTHY_FEED: FeedParameters = {
  lossProbability: 0,
  duplicateProbability: 0,
  forgeryProbability: 0,
  delayMeanMs: 2,
  stragglerProbability: 0,
  stragglerMeanMs: 0,
};

interface Subscriber {
  readonly host: Host;
  readonly receive: (bytes: Uint8Array) => void;
}

const MESSAGES_PER_TURN = 64;
const STRANGERS_KEY = new Uint8Array(32).fill(13);

/** The untrusted fan-out between members and gateways: it loses, doubles, delays and forges, and nobody may be harmed by it. */
export class SimulatedFeed {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #subscribers: Subscriber[] = [];
  readonly #publishers = new Map<number, { readonly process: number; readonly publisher: FeedPublisher }>();
  parameters: FeedParameters;
  /** Nothing passes at all. */
  down = false;
  /** `<publisher>><subscriber>`, by host: how often it is cut. */
  readonly #cuts = new Map<string, number>();
  /** While set, everything is lost until nothing has been published for so long: exactly the end of a burst is missing. */
  #tailLoss: { readonly quietMs: number; lastMs: number } | null = null;

  constructor(world: World, cluster: Cluster, parameters: FeedParameters) {
    this.#world = world;
    this.#random = world.random.fork();
    this.parameters = parameters;
    cluster.onRoleChanged = (member) => this.#roleChanged(member);
    cluster.onApplied = (member) => this.#publish(member);
  }

  subscribe(host: Host, receive: (bytes: Uint8Array) => void): void {
    this.#subscribers.push({ host, receive });
  }

  /** What this host publishes no longer reaches that one. Cuts add up. */
  cut(publisher: string, subscriber: string): void {
    const name = `${publisher}>${subscriber}`;
    this.#cuts.set(name, (this.#cuts.get(name) ?? 0) + 1);
  }
  mend(publisher: string, subscriber: string): void {
    const name = `${publisher}>${subscriber}`;
    const left = (this.#cuts.get(name) ?? 0) - 1;
    if (left > 0) this.#cuts.set(name, left);
    else this.#cuts.delete(name);
  }

  /** Loses what comes, up to a silence of `quietMs`: nothing later tells the subscribers that they missed something. */
  loseTail(quietMs: number): void {
    this.#tailLoss = { quietMs, lastMs: this.#world.nowMs };
  }

  mendAll(): void {
    this.down = false;
    this.#tailLoss = null;
    this.#cuts.clear();
  }

  #publisherOf(member: SimulatedMember): FeedPublisher {
    const { process } = member.host;
    const existing = this.#publishers.get(member.id);
    if (existing?.process === process) return existing.publisher;
    const publisher = new FeedPublisher({ key: FEED_KEY, clusterId: CLUSTER_ID, epoch: EPOCH });
    this.#publishers.set(member.id, { process, publisher });
    return publisher;
  }

  #roleChanged(member: SimulatedMember): void {
    const publisher = this.#publisherOf(member);
    if (member.replica?.raft.role === 'leader') {
      publisher.start(member.replica.machine.head);
      this.#publish(member);
    } else {
      publisher.stop();
    }
  }

  /** W7: pulled, a bounded number at a time. */
  #publish(member: SimulatedMember): void {
    if (member.replica === null) return;
    const publisher = this.#publisherOf(member);
    for (let count = 0; count < MESSAGES_PER_TURN; count += 1) {
      const bytes = publisher.next(member.replica.machine);
      if (bytes === null) return;
      checkFeedMessage(this.#world, bytes);
      const inLostTail = this.#isInLostTail();
      for (const subscriber of this.#subscribers) this.#carry(member.host, subscriber, bytes, inLostTail);
    }
    member.host.post(1, () => this.#publish(member));
  }

  #isInLostTail(): boolean {
    if (this.#tailLoss === null) return false;
    const { quietMs, lastMs } = this.#tailLoss;
    if (this.#world.nowMs - lastMs > quietMs) this.#tailLoss = null;
    else this.#tailLoss.lastMs = this.#world.nowMs;
    return this.#tailLoss !== null;
  }

  #carry(publisher: Host, subscriber: Subscriber, bytes: Uint8Array, inLostTail: boolean): void {
    const { lossProbability, duplicateProbability, forgeryProbability } = this.parameters;
    if (this.#random.chance(forgeryProbability))
      this.#deliver(subscriber, this.#forged(bytes), 'forged feed message');
    if (this.#cuts.has(`${publisher.name}>${subscriber.host.name}`)) {
      this.#world.countFault('feed message cut off by a split');
      return;
    }
    if (this.down || inLostTail || this.#random.chance(lossProbability)) {
      this.#world.countFault('feed message lost');
      return;
    }
    this.#deliver(subscriber, bytes, 'feed message');
    if (this.#random.chance(duplicateProbability)) {
      this.#world.countFault('feed message doubled');
      this.#deliver(subscriber, bytes, 'feed message, again');
    }
  }

  #deliver({ host, receive }: Subscriber, bytes: Uint8Array, label: string): void {
    const { delayMeanMs, stragglerProbability, stragglerMeanMs } = this.parameters;
    let delayMs = this.#random.exponential(delayMeanMs);
    if (this.#random.chance(stragglerProbability)) {
      this.#world.countFault('feed message delayed beyond later ones');
      delayMs += this.#random.exponential(stragglerMeanMs);
    }
    this.#world.schedule(delayMs, () => {
      // A sleeping machine's subscription has ended by the time it wakes: what was published meanwhile is gone.
      if (!host.isUp || host.isSuspended) return;
      host.accept(() => {
        this.#world.tell(`${host.name} gets a ${label}`);
        receive(bytes);
      });
    });
  }

  /** Bits flipped on the way; or a well-formed lie of somebody who does not have the key. */
  #forged(bytes: Uint8Array): Uint8Array {
    this.#world.countFault('feed message forged');
    if (this.#random.chance(0.5)) {
      const copy = bytes.slice();
      const at = this.#random.below(copy.length);
      copy[at] = (copy[at] ?? 0) ^ (1 << this.#random.below(8));
      return copy;
    }
    const previous = revision(this.#random.below(1000));
    const last = revision(previous + this.#random.below(1000));
    const epoch = EPOCH + this.#random.below(2);
    return encodeFeedMessage(STRANGERS_KEY, {
      clusterId: CLUSTER_ID,
      batch: { epoch, previous, revision: last, changes: [] },
    });
  }
}
