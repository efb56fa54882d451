import { setTimeout as sleep } from 'node:timers/promises';
import { Generator } from './generator.js';
import { type Memory, median, memoryOf } from './measure.js';
import { PeerCluster } from './peer-cluster.js';
import type { Peer } from './servers/peer.js';
import type { Product } from './products.js';
import { QuorateCluster } from './quorate-cluster.js';
import { type Listener, inTurns } from './turns.js';
import { VALUE_BYTES } from './throughput.js';
import { HttpPool } from './wire/http.js';

const CLIENTS = 256;
const SETTLE_MS = 2_000;
const SERVING_LIMIT_MS = 300_000;
const LOOK_MS = 10;

/** What a state of so many entries of 256 bytes costs a server. */
export interface StateCost {
  readonly title: string;
  readonly entries: number;
  readonly loadSeconds: number;
  /** Of each server, bytes. */
  readonly empty: readonly Memory[];
  readonly loaded: readonly Memory[];
  /** From the start of a follower's process after kill -9 until it serves linearizable reads again. */
  readonly restartMs: number;
  /** Of that follower, then. */
  readonly restarted: Memory;
}

export interface StateOptions {
  readonly products: readonly Product[];
  readonly entryCounts: readonly number[];
  readonly listener: Listener;
}

/** Memory and restart. Ours and etcd: what others hold in memory depends on options of theirs. */
export async function measureStates({ products, entryCounts, listener }: StateOptions): Promise<StateCost[]> {
  const found: StateCost[] = [];
  const measured = products.filter((product) => product === 'quorate' || product.name === 'etcd');
  for (const entries of entryCounts) {
    await inTurns(measured, 1, listener, async (product) => {
      const cost = await (product === 'quorate' ? quorateState(entries) : etcdState(product, entries));
      const mib = median(cost.loaded.map(({ resident }) => resident)) / 1024 / 1024;
      const restart = `restart ${Math.round(cost.restartMs)} ms`;
      listener.tell(`${cost.title}: ${entries} entries: ${Math.round(mib)} MiB, ${restart}`);
      found.push(cost);
    });
  }
  return found;
}

/** What differs between products. */
interface Subject {
  readonly title: string;
  readonly pids: () => readonly number[];
  readonly connect: (generator: Generator) => Promise<void>;
  /** Kills a follower, starts it again, and resolves with its process id when it serves. */
  readonly restart: () => Promise<{ readonly pid: number; readonly ms: number }>;
}

async function measure(subject: Subject, entries: number): Promise<StateCost> {
  const generator = new Generator();
  try {
    const empty = subject.pids().map(memoryOf);
    await subject.connect(generator);
    const { seconds } = await generator.do({ type: 'load', from: 0, to: entries, clients: CLIENTS });
    await generator.do({ type: 'close' });
    await sleep(SETTLE_MS);
    const loaded = subject.pids().map(memoryOf);
    const { pid, ms } = await subject.restart();
    return {
      title: subject.title,
      entries,
      loadSeconds: seconds,
      empty,
      loaded,
      restartMs: ms,
      restarted: memoryOf(pid),
    };
  } finally {
    generator.stop();
  }
}

async function quorateState(entries: number): Promise<StateCost> {
  const cluster = await QuorateCluster.start({ nats: false });
  try {
    const subject: Subject = {
      title: cluster.title,
      pids: () => cluster.memberPids,
      connect: async (generator) => {
        const target = cluster.target();
        await generator.do({ type: 'connect', client: 'quorate-sdk', target, valueBytes: VALUE_BYTES });
      },
      restart: async () => {
        const leader = await cluster.leader();
        const follower = cluster.ids.find((id) => id !== leader) ?? 1;
        await cluster.dev.kill(follower);
        const startedMs = performance.now();
        cluster.dev.startMember(follower);
        // Ready: it has caught up with a leader since its start, and answers linearizable reads.
        await serving(async () => (await cluster.dev.memberHealth(follower))?.status === 'ok');
        return { pid: cluster.pidOf(follower), ms: performance.now() - startedMs };
      },
    };
    return await measure(subject, entries);
  } finally {
    await cluster.destroy();
  }
}

async function etcdState(peer: Peer, entries: number): Promise<StateCost> {
  const cluster = await PeerCluster.start(peer);
  try {
    const subject: Subject = {
      title: peer.title,
      pids: () => cluster.pids,
      connect: async (generator) => {
        const target = await cluster.target();
        await generator.do({ type: 'connect', client: 'etcd-grpc', target, valueBytes: VALUE_BYTES });
      },
      restart: async () => {
        const follower = ((await cluster.leader()) + 1) % cluster.size;
        await cluster.kill(follower);
        const startedMs = performance.now();
        cluster.startNode(follower);
        await serving(() => readsLinearizably(cluster, follower));
        return { pid: cluster.pidOf(follower), ms: performance.now() - startedMs };
      },
    };
    return await measure(subject, entries);
  } finally {
    await cluster.destroy();
  }
}

async function readsLinearizably(cluster: PeerCluster, index: number): Promise<boolean> {
  const pool = new HttpPool(cluster.address(index));
  try {
    const key = Buffer.from('k0000000').toString('base64');
    await Promise.race([pool.request('POST', '/v3/kv/range', JSON.stringify({ key })), late()]);
    return true;
  } catch {
    return false;
  } finally {
    pool.close();
  }
}

async function late(): Promise<never> {
  await sleep(1_000);
  throw new Error('late');
}

async function serving(looks: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + SERVING_LIMIT_MS;
  while (!(await looks())) {
    if (performance.now() > deadlineMs) throw new Error('a server does not serve again');
    await sleep(LOOK_MS);
  }
}
