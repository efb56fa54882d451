import { join } from 'node:path';
import type { ChaosCluster, DriverName } from '../cluster.js';
import { type Fault, type LinkFault, type Part, isLinkFault } from '../fault.js';
import { brokenInvariantsIn } from '../invariants.js';
import type { Links } from './links.js';
import { LocalCluster, type Placement, isMember, newClusterFolder } from './local-cluster.js';
import { PartFaults } from './part-faults.js';

export const GATEWAYS = 2;

/** What drivers are told. */
export interface DriverOptions {
  readonly members: 3 | 5;
  /** For what a driver draws lots for, such as jitter. */
  readonly seed: number;
  readonly tell: (line: string) => void;
}

/** What one way of breaking links has of its own. */
export interface Network {
  readonly driver: DriverName;
  readonly links: Links;
  readonly placement: Omit<Placement, 'environment'>;
  environment(part: Part): NodeJS.ProcessEnv;
  /** To be loaded before the program of a part, as URLs. */
  preloads(part: Part): readonly string[];
  whyNot(fault: LinkFault): string | null;
  /** Ports are known; nothing runs yet. */
  open(cluster: LocalCluster): Promise<void>;
  onStarted(part: Part): void;
  onEnded(part: Part): void;
  /** All processes have ended. */
  close(): Promise<void>;
}

/** A cluster of processes on this machine, whose links are broken by `network`, and all else by what the operating system has. */
export class MachineCluster implements ChaosCluster {
  readonly driver: DriverName;
  readonly #network: Network;
  readonly #cluster: LocalCluster;
  readonly #faults: PartFaults;

  private constructor(network: Network, cluster: LocalCluster, faults: PartFaults) {
    this.driver = network.driver;
    this.#network = network;
    this.#cluster = cluster;
    this.#faults = faults;
  }

  /** All of it ready. */
  static async start(network: Network, { members, tell }: DriverOptions): Promise<MachineCluster> {
    const folder = newClusterFolder();
    const faults = new PartFaults(join(folder, 'faults'), tell);
    try {
      const cluster = await LocalCluster.make({
        folder,
        members,
        gateways: GATEWAYS,
        tell,
        placement: {
          ...network.placement,
          environment: (part) => ({
            ...faults.environment(part, network.preloads(part)),
            ...network.environment(part),
          }),
        },
        prepareDataFolder: async (part, dataFolder) => faults.prepare(part, dataFolder),
        onStarted: (part, pid) => {
          faults.started(part, pid);
          network.onStarted(part);
        },
        onEnded: (part) => network.onEnded(part),
      });
      faults.cluster = cluster;
      const started = new MachineCluster(network, cluster, faults);
      try {
        for (const part of cluster.parts) if (!isMember(part)) faults.prepare(part, null);
        await network.open(cluster);
        await cluster.startAll();
        return started;
      } catch (error) {
        tell(`the cluster did not become ready; its logs stay in ${folder}`);
        await started.destroy(true);
        throw error;
      }
    } catch (error) {
      await faults.destroy();
      await network.close();
      throw error;
    }
  }

  get members(): readonly Part[] {
    return this.#cluster.members;
  }
  get gateways(): readonly Part[] {
    return this.#cluster.gateways;
  }
  get hasNats(): boolean {
    return this.#cluster.hasNats;
  }
  get folder(): string {
    return this.#cluster.folder;
  }
  get adminToken(): string {
    return this.#cluster.adminToken;
  }
  gatewayAddress(gateway: Part): { readonly host: string; readonly port: number } {
    return this.#cluster.gatewayAddress(gateway);
  }

  whyNot(fault: Fault): string | null {
    if (!isLinkFault(fault)) return this.#faults.whyNot(fault);
    const missing = [...fault.from, ...fault.to].find((part) => !this.#cluster.parts.includes(part));
    return missing === undefined ? this.#network.whyNot(fault) : `There is no ${missing} here.`;
  }

  begin(fault: Fault): Promise<() => Promise<void>> {
    const reason = this.whyNot(fault);
    if (reason !== null) return Promise.reject(new Error(reason));
    return isLinkFault(fault) ? this.#network.links.begin(fault) : this.#faults.begin(fault);
  }

  leader(): Promise<Part | null> {
    return this.#cluster.leader();
  }
  isReady(): Promise<boolean> {
    return this.#cluster.isReady();
  }

  async brokenInvariants(): Promise<readonly string[]> {
    return brokenInvariantsIn(join(this.folder, 'logs'));
  }

  async destroy(keep: boolean): Promise<void> {
    await this.#network.links.endAll();
    await this.#cluster.killAll();
    await this.#faults.destroy();
    await this.#network.close();
    await this.#cluster.destroy(keep);
  }
}
