// `npm run bench:failover -- [--trials 20] [--fault SIGKILL] [--json FILE]`: how long writes stand still when the leader goes. 64 writers in one process, over
// the SDK's links; a trial ends the leader in one way and notes the longest time between two acknowledgements. The cluster is three real
// processes on loopback with fsync on. Build first (`npm run build`).
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { QuorateClient } from '@quorate/client';
import { connectStore } from '@quorate/client/link';
import { DevCluster } from '../test/e2e/cluster.js';

const WRITERS = 64;
/** Before the fault, so that writes flow; and after it, so that the longest gap is over. */
const [BEFORE_MS, AFTER_MS] = [700, 5_000];
const VALUE_BYTES = 256;

type Fault = 'SIGTERM' | 'SIGKILL' | 'SIGSTOP';
const WORDS: Record<Fault, string> = {
  SIGTERM: 'graceful stop',
  SIGKILL: 'kill -9',
  SIGSTOP: 'stands still (SIGSTOP)',
};

interface Trial {
  readonly fault: Fault;
  /** Longest time between two acknowledgements, milliseconds. */
  readonly gapMs: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
}

async function trial(cluster: DevCluster, client: QuorateClient, fault: Fault): Promise<Trial> {
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
  cluster.signal(leader, fault);
  await sleep(AFTER_MS);
  end.abort();
  await Promise.all(writers);
  if (fault === 'SIGSTOP') cluster.signal(leader, 'SIGCONT');
  else cluster.startMember(leader);
  await cluster.converge();
  return { fault, gapMs, ...counts };
}

const { values } = parseArgs({
  options: { trials: { type: 'string' }, json: { type: 'string' }, fault: { type: 'string' } },
});
const trialCount = Number(values.trials ?? 20);
const cluster = await DevCluster.start({ nats: false });
const trials: Trial[] = [];
try {
  await cluster.createNamespace('limits', 'strict');
  const file = JSON.parse(readFileSync(join(cluster.folder, 'cluster.json'), 'utf8'));
  const key = Buffer.from(
    readFileSync(join(cluster.folder, 'secrets/client/client.key'), 'utf8').trim(),
    'hex',
  );
  const links = connectStore({ cluster: file, role: 'client', key });
  const client = new QuorateClient({ store: links.client, token: cluster.token });
  for (const fault of (values.fault ?? 'SIGTERM SIGKILL SIGSTOP').split(' ') as Fault[]) {
    for (let number = 0; number < trialCount; number += 1) trials.push(await trial(cluster, client, fault));
    const of = trials.filter((one) => one.fault === fault);
    const gaps = of.map(({ gapMs }) => gapMs).toSorted((one, other) => one - other);
    const sum = (count: (one: Trial) => number): number => of.reduce((total, one) => total + count(one), 0);
    process.stdout.write(
      `${WORDS[fault].padEnd(24)} median ${gaps[gaps.length >> 1]?.toFixed(0)} ms, max ${gaps.at(-1)?.toFixed(0)} ms; ` +
        `${sum((one) => one.acknowledged)} acknowledged, ${sum((one) => one.refused)} surely not done, ${sum((one) => one.unknown)} unknown\n`,
    );
  }
  links.close();
} finally {
  await cluster.destroy();
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(trials, null, 2)}\n`);
