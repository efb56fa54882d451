import type { Host } from './host.js';
import type { SeededRandom } from './random.js';
import type { World } from './world.js';

export interface NetworkParameters {
  /** One way, milliseconds: the least, and the mean of what is added to it. Their spread is what reorders. */
  readonly delayMinMs: number;
  readonly delayMeanMs: number;
  readonly lossProbability: number;
  readonly duplicateProbability: number;
  /** Now and then a message takes this much longer: it arrives after everything sent meanwhile. */
  readonly stragglerProbability: number;
  readonly stragglerMeanMs: number;
}

export const HEALTHY_NETWORK: NetworkParameters = {
  delayMinMs: 0.2,
  delayMeanMs: 1,
  lossProbability: 0,
  duplicateProbability: 0,
  stragglerProbability: 0,
  stragglerMeanMs: 0,
};

/** Every message between hosts. It may come late, never, twice, or after those sent later. */
export class SimulatedNetwork {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #cuts = new Map<string, number>();
  parameters: NetworkParameters;
  sent = 0;
  delivered = 0;

  constructor(world: World, parameters: NetworkParameters) {
    this.#world = world;
    this.#random = world.random.fork();
    this.parameters = parameters;
  }

  /** Messages from one host no longer reach the other. The other direction is not touched. Cuts add up. */
  cut(from: string, to: string): void {
    const link = `${from}>${to}`;
    this.#cuts.set(link, (this.#cuts.get(link) ?? 0) + 1);
  }
  mend(from: string, to: string): void {
    const link = `${from}>${to}`;
    const left = (this.#cuts.get(link) ?? 0) - 1;
    if (left > 0) this.#cuts.set(link, left);
    else this.#cuts.delete(link);
  }
  mendAll(): void {
    this.#cuts.clear();
  }
  isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from}>${to}`);
  }

  /**
   * `deliver` runs in the receiver's process, never, once or, with `mayRepeat`, twice. Requests and answers are not repeated:
   * they run over connections, and "surely not done" rests on that. `label` is for the story.
   */
  send(from: Host, to: Host, label: string, deliver: () => void, mayRepeat: boolean): void {
    this.sent += 1;
    if (this.isCut(from.name, to.name)) {
      this.#world.countFault('message cut off by a partition');
      return;
    }
    if (this.#random.chance(this.parameters.lossProbability)) {
      this.#world.countFault('message lost');
      this.#world.tell(`lost: ${label}`);
      return;
    }
    this.#deliverAfterDelay(from, to, label, deliver);
    if (mayRepeat && this.#random.chance(this.parameters.duplicateProbability)) {
      this.#world.countFault('message duplicated');
      this.#deliverAfterDelay(from, to, label, deliver);
    }
  }

  #deliverAfterDelay(from: Host, to: Host, label: string, deliver: () => void): void {
    const { delayMinMs, delayMeanMs, stragglerProbability, stragglerMeanMs } = this.parameters;
    let delayMs = delayMinMs + this.#random.exponential(delayMeanMs);
    if (this.#random.chance(stragglerProbability)) {
      this.#world.countFault('message delayed beyond later ones');
      delayMs += this.#random.exponential(stragglerMeanMs);
    }
    this.#world.schedule(delayMs, () => {
      // What was on its way when the link was cut is lost with it.
      if (this.isCut(from.name, to.name) || !to.isUp) return;
      to.accept(() => {
        this.delivered += 1;
        this.#world.tell(label);
        deliver();
      });
    });
  }
}
