import { setTimeout as sleep } from 'node:timers/promises';
import type { OperationName, Target } from './adapters/adapter.js';
import type { ClientName } from './adapters/connect.js';
import { Generator } from './generator.js';
import { median } from './measure.js';
import { PeerCluster } from './peer-cluster.js';
import type { PeerName } from './peers.js';
import type { Peer } from './servers/peer.js';
import type { Product } from './products.js';
import { QuorateCluster } from './quorate-cluster.js';
import { type Listener, inTurns } from './turns.js';
import { VALUE_BYTES } from './throughput.js';

const KEYS = 100;
const LOADERS = 16;
/** etcd answers after 7 s, others after 10; who says nothing for so long is not waited for. */
const LIMIT_MS = 20_000;
/** Between the first answer and the later ones, so that everybody has noticed. */
const NOTICE_MS = 3_000;
const LATER_PROBES = 11;
/** A peer that takes seconds each time is asked less often. */
const LATER_LIMIT_MS = 10_000;

/** The two other servers end (their sockets close), or stand still (nothing is said). */
export const FAULTS = { SIGKILL: 'killed', SIGSTOP: 'stand still' } as const;
export type Fault = keyof typeof FAULTS;

/** What one operation at the leader says when the two others are gone. */
export interface Refusal {
  readonly title: string;
  readonly client: ClientName;
  readonly operation: OperationName;
  readonly fault: Fault;
  readonly repetition: number;
  readonly firstMs: number;
  readonly first: string;
  /** Median. */
  readonly laterMs: number;
  readonly later: string;
}

const CLIENTS: Readonly<Partial<Record<PeerName | 'quorate', readonly ClientName[]>>> = {
  quorate: ['quorate-sdk-hasty', 'quorate-rest'],
  etcd: ['etcd-json'],
  zookeeper: ['zookeeper-8'],
  nats: ['nats-kv'],
};
const OPERATIONS: readonly OperationName[] = ['put', 'read'];

export interface RefusalOptions {
  readonly products: readonly Product[];
  readonly repetitions: number;
  readonly listener: Listener;
}

/** How long a write and a linearizable read wait for a refusal when the old leader is left alone. */
export async function measureRefusals(options: RefusalOptions): Promise<Refusal[]> {
  const found: Refusal[] = [];
  await inTurns(options.products, options.repetitions, options.listener, async (product, repetition) => {
    for (const client of CLIENTS[product === 'quorate' ? product : product.name] ?? []) {
      for (const fault of ['SIGKILL', 'SIGSTOP'] as const) {
        const refusals = await measureFault(product, client, fault, repetition);
        for (const { title, operation, firstMs, first, laterMs } of refusals) {
          options.listener.tell(
            `${repetition}: ${title} ${client} ${operation}, others ${FAULTS[fault]}: ` +
              `${Math.round(firstMs)} ms (${first.slice(0, 60)}), later ${laterMs.toFixed(1)} ms`,
          );
        }
        found.push(...refusals);
      }
    }
  });
  return found;
}

/** A cluster of three of which all but the leader can be taken away. */
interface Victim {
  readonly title: string;
  readonly target: Target;
  isolate(fault: Fault): void;
  destroy(): Promise<void>;
}

async function victimOf(product: Product): Promise<Victim> {
  if (product !== 'quorate') return peerVictim(product);
  const cluster = await QuorateCluster.start({ nats: false });
  const leader = await cluster.leader();
  return {
    title: cluster.title,
    target: cluster.target(),
    isolate: (fault) => {
      for (const id of cluster.ids) if (id !== leader) cluster.dev.signal(id, fault);
    },
    destroy: () => cluster.destroy(),
  };
}

async function peerVictim(peer: Peer): Promise<Victim> {
  const cluster = await PeerCluster.start(peer);
  const leader = await cluster.leader();
  const address = cluster.address(leader);
  return {
    title: peer.title,
    // Nothing is asked of those that will be gone.
    target: { type: 'peer', leader: address, other: address },
    isolate: (fault) => {
      for (let index = 0; index < cluster.size; index += 1)
        if (index !== leader) cluster.signal(index, fault);
    },
    destroy: () => cluster.destroy(),
  };
}

async function measureFault(
  product: Product,
  client: ClientName,
  fault: Fault,
  repetition: number,
): Promise<Refusal[]> {
  const victim = await victimOf(product);
  const generator = new Generator();
  try {
    const { title, target } = victim;
    await generator.do({ type: 'connect', client, target, valueBytes: VALUE_BYTES });
    await generator.do({ type: 'load', from: 0, to: KEYS, clients: LOADERS });
    const probe = (operation: OperationName) => generator.do({ type: 'probe', operation, limitMs: LIMIT_MS });
    for (const operation of OPERATIONS) await probe(operation);
    victim.isolate(fault);
    const firsts = await Promise.all(OPERATIONS.map(probe));
    await sleep(NOTICE_MS);
    const refusals: Refusal[] = [];
    for (const [position, operation] of OPERATIONS.entries()) {
      const first = firsts[position];
      if (first === undefined) continue;
      const laterMs: number[] = [];
      let later = '';
      const startedMs = performance.now();
      while (laterMs.length < LATER_PROBES && performance.now() - startedMs < LATER_LIMIT_MS) {
        const { ms, answer } = await probe(operation);
        laterMs.push(ms);
        later = answer;
      }
      refusals.push({
        ...{ title, client, operation, fault, repetition },
        firstMs: first.ms,
        first: first.answer,
        laterMs: median(laterMs),
        later,
      });
    }
    return refusals;
  } finally {
    generator.stop();
    await victim.destroy();
  }
}
