import type { Host } from './host.js';
import type { SeededRandom } from './random.js';
import type { World } from './world.js';

export interface NetworkParameters {
  /** One way, milliseconds: the least, and the mean of what is added to it. Their spread is what reorders. */
  readonly delayMinMs: number;
  readonly delayMeanMs: number;
  /** Each one-way link is up to this many times slower or faster than the mean. 1: all are alike. */
  readonly linkSpread: number;
  readonly lossProbability: number;
  readonly duplicateProbability: number;
  /** Now and then a message takes this much longer: it arrives after everything sent meanwhile. */
  readonly stragglerProbability: number;
  readonly stragglerMeanMs: number;
}

export const HEALTHY_NETWORK: NetworkParameters = {
  delayMinMs: 0.2,
  delayMeanMs: 1,
  linkSpread: 1,
  lossProbability: 0,
  duplicateProbability: 0,
  stragglerProbability: 0,
  stragglerMeanMs: 0,
};

/** What a clogged link holds back at most: the buffers of a connection. Beyond it messages are lost. */
const CLOGGED_MESSAGES_MAX = 2_000;
/** What is on its way when its connection is reset: half of it had been read by then. */
const LOST_IN_RESET = 0.5;
/** A sleeping machine answers no packet; what its peer repeats until it wakes comes late. */
const LOST_IN_SLEEP = 0.5;

/** One direction between two hosts. */
interface LinkState {
  cuts: number;
  clogs: number;
  readonly held: (() => void)[];
  /** Added to the mean delay. */
  slowMeanMs: number;
  lossProbability: number;
  /** Connections that ended here so far. */
  resets: number;
  /** Its place between the fast and the slow ones, in [-1, 1). */
  readonly spread: number;
}

/** Every message between hosts. It may come late, never, twice, or after those sent later. */
export class SimulatedNetwork {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #links = new Map<string, LinkState>();
  parameters: NetworkParameters;
  sent = 0;
  delivered = 0;

  constructor(world: World, parameters: NetworkParameters) {
    this.#world = world;
    this.#random = world.random.fork();
    this.parameters = parameters;
  }

  #link(from: string, to: string): LinkState {
    const name = `${from}>${to}`;
    let link = this.#links.get(name);
    if (link === undefined) {
      const spread = this.#random.between(-1, 1);
      link = { cuts: 0, clogs: 0, held: [], slowMeanMs: 0, lossProbability: 0, resets: 0, spread };
      this.#links.set(name, link);
    }
    return link;
  }

  /** Messages from one host no longer reach the other. The other direction is not touched. Cuts add up. */
  cut(from: string, to: string): void {
    this.#link(from, to).cuts += 1;
  }
  mend(from: string, to: string): void {
    const link = this.#link(from, to);
    link.cuts = Math.max(0, link.cuts - 1);
  }
  isCut(from: string, to: string): boolean {
    return (this.#links.get(`${from}>${to}`)?.cuts ?? 0) > 0;
  }

  /** Messages from one host to the other wait, until the last clog is gone: then all come at once. */
  clog(from: string, to: string): void {
    this.#link(from, to).clogs += 1;
  }
  unclog(from: string, to: string): void {
    const link = this.#link(from, to);
    link.clogs = Math.max(0, link.clogs - 1);
    if (link.clogs === 0) this.#release(link);
  }
  #release(link: LinkState): void {
    for (const deliver of link.held.splice(0)) this.#world.schedule(0, deliver);
  }

  /** `meanMs` more on the way from one host to the other; 0: as before. */
  slow(from: string, to: string, meanMs: number): void {
    this.#link(from, to).slowMeanMs = meanMs;
  }
  /** Besides the losses everywhere; 0: none. */
  lose(from: string, to: string, probability: number): void {
    this.#link(from, to).lossProbability = probability;
  }

  /** The connection of the two ends. Of what is under way in either direction one half never arrives. */
  reset(one: string, other: string): void {
    for (const link of [this.#link(one, other), this.#link(other, one)]) {
      link.resets += 1;
      // What has not left the sender's buffers is gone with the connection.
      link.held.length = 0;
    }
  }

  mendAll(): void {
    for (const link of this.#links.values()) {
      link.cuts = 0;
      link.clogs = 0;
      link.slowMeanMs = 0;
      link.lossProbability = 0;
      this.#release(link);
    }
  }

  /**
   * `deliver` runs in the receiver's process, never, once or, with `mayRepeat`, twice. Requests and answers are not repeated:
   * they run over connections, and "surely not done" rests on that. `label` is for the story.
   */
  send(from: Host, to: Host, label: string, deliver: () => void, mayRepeat: boolean): void {
    this.sent += 1;
    const link = this.#link(from.name, to.name);
    if (link.cuts > 0) {
      this.#world.countFault('message cut off by a partition');
      return;
    }
    if (link.lossProbability > 0 && this.#random.chance(link.lossProbability)) {
      this.#world.countFault('message lost in a burst');
      this.#world.tell(`lost in a burst: ${label}`);
      return;
    }
    if (this.#random.chance(this.parameters.lossProbability)) {
      this.#world.countFault('message lost');
      this.#world.tell(`lost: ${label}`);
      return;
    }
    this.#deliverAfterDelay(link, to, label, deliver);
    if (mayRepeat && this.#random.chance(this.parameters.duplicateProbability)) {
      this.#world.countFault('message duplicated');
      this.#deliverAfterDelay(link, to, label, deliver);
    }
  }

  #deliverAfterDelay(link: LinkState, to: Host, label: string, deliver: () => void): void {
    const { delayMinMs, delayMeanMs, linkSpread, stragglerProbability, stragglerMeanMs } = this.parameters;
    const factor = linkSpread === 1 ? 1 : linkSpread ** link.spread;
    let delayMs = factor * (delayMinMs + this.#random.exponential(delayMeanMs));
    if (link.slowMeanMs > 0) delayMs += this.#random.exponential(link.slowMeanMs);
    if (this.#random.chance(stragglerProbability)) {
      this.#world.countFault('message delayed beyond later ones');
      delayMs += this.#random.exponential(stragglerMeanMs);
    }
    const { resets } = link;
    const arrive = (): void => {
      // What was on its way when the link was cut is lost with it.
      if (link.cuts > 0 || !to.isUp) return;
      if (link.clogs > 0) {
        if (link.held.length < CLOGGED_MESSAGES_MAX) link.held.push(arrive);
        return;
      }
      if (link.resets !== resets && this.#random.chance(LOST_IN_RESET)) {
        this.#world.tell(`lost with its connection: ${label}`);
        return;
      }
      if (to.isSuspended && this.#random.chance(LOST_IN_SLEEP)) {
        this.#world.tell(`lost, ${to.name} sleeps: ${label}`);
        return;
      }
      to.accept(() => {
        this.delivered += 1;
        this.#world.tell(label);
        deliver();
      });
    };
    this.#world.schedule(delayMs, arrive);
  }
}
