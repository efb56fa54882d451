// `npm run bench:failover -- [--trials 20] [--fault "SIGKILL cut"] [--json FILE]`: how long writes stand still when the leader goes. 64 writers in one process, over
// the SDK's links; a trial ends the leader in one way and notes the longest time between two acknowledgements. The cluster is three real
// processes with fsync on: on loopback, or for `cut` (Linux, root) in a network namespace each, with TLS. Build first (`npm run build`).
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { QuorateClient } from '@quorate/client';
import { connectStore } from '@quorate/client/link';
import { endWithFirst, hasOwnNamespace, runInOwnNamespaces } from '../test/chaos/drivers/own-namespaces.js';
import { DevCluster } from '../test/e2e/cluster.js';
import { median } from './measure.js';
import { NamespaceCluster } from './namespaces.js';

const WRITERS = 64;
/** Before the fault, so that writes flow; and after it, so that the longest gap is over. */
const [BEFORE_MS, AFTER_MS] = [700, 5_000];
const VALUE_BYTES = 256;

type Fault = 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'cut';
const WORDS: Record<Fault, string> = {
  SIGTERM: 'graceful stop',
  SIGKILL: 'kill -9',
  SIGSTOP: 'stands still (SIGSTOP)',
  cut: 'silent network cut',
};

interface Trial {
  readonly fault: Fault;
  /** Longest time between two acknowledgements, milliseconds. */
  readonly gapMs: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
}

/** What a trial needs of a cluster. */
interface Victims {
  leader(): Promise<number>;
  converge(): Promise<unknown>;
  /** Ends, stops or cuts off a member in the way of `fault`. */
  hit(id: number, fault: Fault): void;
  mend(id: number, fault: Fault): void;
}

async function trial(cluster: Victims, client: QuorateClient, fault: Fault): Promise<Trial> {
  const leader = await cluster.leader();
  const counts = { acknowledged: 0, refused: 0, unknown: 0 };
  let [lastMs, gapMs] = [performance.now(), 0];
  const end = new AbortController();
  const writer = async (number: number): Promise<void> => {
    for (let turn = 0; !end.signal.aborted; turn += 1) {
      const value = new TextEncoder().encode(JSON.stringify(`${turn} `.padEnd(VALUE_BYTES, 'x')));
      try {
        await client.put('limits', `key-${number}`, value, { deadlineMs: 10_000 });
        const nowMs = performance.now();
        gapMs = Math.max(gapMs, nowMs - lastMs);
        lastMs = nowMs;
        counts.acknowledged += 1;
      } catch (error) {
        counts[(error as { effect?: string }).effect === 'none' ? 'refused' : 'unknown'] += 1;
      }
    }
  };
  const writers = Array.from({ length: WRITERS }, (_, number) => writer(number));
  await sleep(BEFORE_MS);
  gapMs = 0;
  cluster.hit(leader, fault);
  await sleep(AFTER_MS);
  end.abort();
  await Promise.all(writers);
  cluster.mend(leader, fault);
  await cluster.converge();
  return { fault, gapMs, ...counts };
}

const { values } = parseArgs({
  options: { trials: { type: 'string' }, json: { type: 'string' }, fault: { type: 'string' } },
});
const trialCount = Number(values.trials ?? 20);
const faults = (values.fault ?? 'SIGTERM SIGKILL SIGSTOP').split(' ') as Fault[];
const trials: Trial[] = [];

/** All trials of these faults, with a client of the cluster in `folder`. */
async function run(folder: string, token: string, victims: Victims, of: readonly Fault[]): Promise<void> {
  const file = JSON.parse(readFileSync(join(folder, 'cluster.json'), 'utf8'));
  const keyFile = join(folder, 'secrets/client/client.key');
  const key = Buffer.from(readFileSync(keyFile, 'utf8').trim(), 'hex');
  const links = connectStore({ cluster: file, role: 'client', key });
  const client = new QuorateClient({ store: links.client, token });
  try {
    await client.createNamespace('limits', 'strict');
    for (const fault of of) {
      for (let number = 0; number < trialCount; number += 1) trials.push(await trial(victims, client, fault));
      tell(fault);
    }
  } finally {
    links.close();
  }
}

function tell(fault: Fault): void {
  const of = trials.filter((one) => one.fault === fault);
  const gaps = of.map(({ gapMs }) => gapMs);
  const sum = (count: (one: Trial) => number): number => of.reduce((total, one) => total + count(one), 0);
  process.stdout.write(
    `${WORDS[fault].padEnd(24)} median ${median(gaps).toFixed(0)} ms, max ${Math.max(...gaps).toFixed(0)} ms; ` +
      `${sum((one) => one.acknowledged)} acknowledged, ${sum((one) => one.refused)} surely not done, ${sum((one) => one.unknown)} unknown\n`,
  );
}

const signals = faults.filter((fault) => fault !== 'cut');
if (signals.length > 0) {
  const cluster = await DevCluster.start({ nats: false });
  const victims: Victims = {
    leader: () => cluster.leader(),
    converge: () => cluster.converge(),
    hit: (id, fault) => fault !== 'cut' && cluster.signal(id, fault),
    mend: (id, fault) => (fault === 'SIGSTOP' ? cluster.signal(id, 'SIGCONT') : cluster.startMember(id)),
  };
  try {
    await run(cluster.folder, cluster.token, victims, signals);
  } finally {
    await cluster.destroy();
  }
}
if (faults.includes('cut')) {
  // In a namespace of its own, so that nothing of the machine's network is touched, and none of its rules is in the way.
  if (hasOwnNamespace('net')) {
    endWithFirst();
    await runCut();
  } else {
    const parameters = ['--trials', String(trialCount), '--fault', 'cut'];
    process.exitCode = await runInOwnNamespaces(['net', 'mount'], parameters);
  }
}

async function runCut(): Promise<void> {
  const cluster = await NamespaceCluster.start();
  const victims: Victims = {
    leader: () => cluster.leader(),
    converge: () => cluster.converge(),
    hit: (id) => cluster.cut(id),
    mend: (id) => cluster.mend(id),
  };
  try {
    await run(cluster.folder, cluster.token, victims, ['cut']);
  } finally {
    await cluster.destroy();
  }
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(trials, null, 2)}\n`);
