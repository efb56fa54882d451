import type { Target } from './adapters/adapter.js';
import type { ClientName } from './adapters/connect.js';
import { PeerCluster } from './peer-cluster.js';
import type { Peer } from './servers/peer.js';
import { QuorateCluster, quorateTitle } from './quorate-cluster.js';

/** What is measured: a peer, or our own. */
export type Product = Peer | 'quorate';

export interface StartOptions {
  /** Servers; each product's own number when not given. */
  readonly count?: number;
  /** Ours only: whether NATS runs, if it can be had. */
  readonly nats?: boolean;
  /** Ours only: whether the policies and entities are written that checks need. */
  readonly access?: boolean;
}

/** A product whose servers run. */
export interface Running {
  readonly title: string;
  target(): Promise<Target>;
  /** The processes that serve this client: ours are the members, and what stands before them when the client is not the SDK. */
  pidsFor(client: ClientName): readonly number[];
  /** All processes, so that none counts as foreign. */
  readonly allPids: readonly number[];
  /** Ours only: kills NATS, if it runs. */
  endNats?(): Promise<void>;
  stop(): Promise<void>;
}

export function titleOf(product: Product): string {
  return product === 'quorate' ? quorateTitle() : product.title;
}

export async function startProduct(product: Product, options: StartOptions = {}): Promise<Running> {
  if (product === 'quorate') return startQuorate(options);
  const cluster = await PeerCluster.start(product, options.count);
  return {
    title: product.title,
    target: () => cluster.target(),
    pidsFor: () => cluster.pids,
    get allPids() {
      return cluster.pids;
    },
    stop: () => cluster.destroy(),
  };
}

async function startQuorate({ count, nats = false, access = false }: StartOptions): Promise<Running> {
  const cluster = await QuorateCluster.start({ nats, ...(count !== undefined && { count }) });
  if (access) await cluster.loadAccess();
  return {
    title: cluster.title,
    target: async () => cluster.target(),
    endNats: () => cluster.endNats(),
    pidsFor: (client) => (client.startsWith('quorate-sdk') ? cluster.memberPids : cluster.gatewayPids),
    get allPids() {
      return cluster.gatewayPids;
    },
    stop: () => cluster.destroy(),
  };
}
