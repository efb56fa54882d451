import type { Cluster } from '../cluster.js';
import type { SimulatedGateway } from '../gateway.js';
import type { Host } from '../host.js';
import type { SimulatedNetwork } from '../network.js';
import type { SeededRandom } from '../random.js';
import type { SimulatedFeed } from '../simulated-feed.js';
import type { World } from '../world.js';
import type { FaultContext } from './context.js';
import { FAULT_ENTRIES, FAULTS, type FaultKind, type FaultRates } from './faults.js';

export interface NemesisTargets {
  readonly cluster: Cluster;
  readonly network: SimulatedNetwork;
  readonly feed: SimulatedFeed;
  readonly gateways: readonly SimulatedGateway[];
  /** All machines that may break and be separated: of members, clients, gateways. */
  readonly hosts: readonly Host[];
  readonly acknowledgedRevision: FaultContext['acknowledgedRevision'];
  readonly stateWas: FaultContext['stateWas'];
}

/** Breaks things at random moments, each kind at its own pace, until told to stop. What it broke, it also mends, later. */
export class Nemesis {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #context: FaultContext;
  readonly #undos = new Set<() => void>();
  #stopped = false;

  constructor(world: World, targets: NemesisTargets) {
    this.#world = world;
    this.#random = world.random.fork();
    this.#context = {
      ...targets,
      random: this.#random,
      hostNames: targets.hosts.map((host) => host.name),
      fault: (kind, sentence) => this.#fault(kind, sentence),
      tell: (sentence) => world.tell(sentence),
      later: (delayMs, task) => this.#later(delayMs, task),
      undoLater: (delayMs, undo) => this.#undoLater(delayMs, undo),
    };
  }

  start(rates: FaultRates): void {
    for (const [kind, { run }] of FAULT_ENTRIES) {
      this.#every(rates[kind], () => run(this.#context));
    }
  }

  /** One fault now: for scenarios. */
  strike(kind: FaultKind): void {
    FAULTS[kind].run(this.#context);
  }

  /** No more faults, and those that would have ended later end now. */
  stop(): void {
    this.#stopped = true;
    for (const undo of this.#undos) undo();
    this.#undos.clear();
  }

  #every(meanMs: number, fault: () => void): void {
    if (meanMs === Infinity) return;
    this.#later(this.#random.exponential(meanMs), () => {
      fault();
      this.#every(meanMs, fault);
    });
  }

  /** Later, unless the nemesis has been stopped by then. */
  #later(delayMs: number, task: () => void): void {
    this.#world.schedule(delayMs, () => {
      if (!this.#stopped) task();
    });
  }

  #undoLater(delayMs: number, undo: () => void): void {
    const once = (): void => {
      if (this.#undos.delete(once)) undo();
    };
    this.#undos.add(once);
    this.#world.schedule(delayMs, once);
  }

  #fault(kind: string, sentence: string): void {
    this.#world.countFault(kind);
    this.#world.tell(`FAULT ${sentence}`);
  }
}
