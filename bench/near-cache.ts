// `npm run bench:near-cache`: reads of a near cache in this process, beside a plain Map of the same keys in the same run; three real members
// on loopback, the feed over a link. Within a minute; nothing fails because of a figure. Build first (`npm run build`).
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { NearCache } from '@quorate/client';
import { connectNearCache } from '@quorate/client/link';
import { CACHED_NAMESPACE, readCluster, readToken } from './adapters/quorate.js';
import { median, watchNoise } from './measure.js';
import { QuorateCluster } from './quorate-cluster.js';
import { figure, table } from './tables.js';
import { keyText, stampedValue } from './values.js';

const KEYS = 2_000;
const VALUE_BYTES = 256;
const LOADERS = 64;
const ROUNDS = 3;
const WARM_MS = 500;
const MEASURE_MS = 1_000;
const CONCURRENT = [1, 64, 256];
/** Synchronous calls between two turns of the event loop: the feed must have its turn. */
const SLICE = 10_000;
const LIMIT_MS = 60_000;

interface Sample {
  readonly perSecond: number;
  /** Of this process, for one operation. */
  readonly cpuNs: number;
}

/** Runs `work` again and again for a time; it returns how many operations it did. */
async function measure(work: () => number | Promise<number>, ms: number): Promise<Sample> {
  const [started, before] = [performance.now(), process.cpuUsage()];
  let operations = 0;
  for (;;) {
    operations += await work();
    await turn();
    const elapsedMs = performance.now() - started;
    if (elapsedMs < ms) continue;
    const { user, system } = process.cpuUsage(before);
    return { perSecond: operations / (elapsedMs / 1_000), cpuNs: ((user + system) * 1_000) / operations };
  }
}

/** Calls `look` on key after key; the sum keeps the calls from being left out. */
function slice(keys: readonly string[], look: (key: string) => number): () => number {
  let [next, sum] = [0, 0];
  return () => {
    for (let call = 0; call < SLICE; call += 1) {
      sum += look(keys[next] ?? '');
      next = next + 1 === keys.length ? 0 : next + 1;
    }
    if (!Number.isFinite(sum)) throw new Error('a read showed nothing');
    return SLICE;
  };
}

/** A closed loop of linearizable reads for a time, so many at once. */
async function linearizable(
  near: NearCache,
  keys: readonly string[],
  concurrent: number,
  ms: number,
): Promise<number> {
  const endMs = performance.now() + ms;
  let done = 0;
  const client = async (first: number): Promise<void> => {
    for (let next = first; performance.now() < endMs; next += 1) {
      const answer = await near.read(CACHED_NAMESPACE, keys[next % KEYS] ?? '', { level: 'linearizable' });
      if (answer.level !== 'linearizable' || answer.entry === null) throw new Error('not what was written');
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: concurrent }, (_, number) => client(number * 7)));
  return done;
}

async function load(near: NearCache, keys: readonly string[]): Promise<void> {
  let next = 0;
  const loader = async (): Promise<void> => {
    for (let key = next++; key < KEYS; key = next++) {
      await near.client.put(CACHED_NAMESPACE, keys[key] ?? '', stampedValue(VALUE_BYTES, key), {
        deadlineMs: 10_000,
      });
      await near.read(CACHED_NAMESPACE, keys[key] ?? '');
    }
  };
  await Promise.all(Array.from({ length: LOADERS }, loader));
}

function hit(near: NearCache, key: string): Extract<ReturnType<NearCache['get']>, { readonly type: 'hit' }> {
  const answer = near.get(CACHED_NAMESPACE, key);
  if (answer.type !== 'hit') throw new Error(`the near cache answered ${answer.type}`);
  return answer;
}

async function run(near: NearCache, tell: (line: string) => void): Promise<void> {
  const keys = Array.from({ length: KEYS }, (_, key) => keyText(key));
  await near.ready();
  await load(near, keys);
  const map = new Map(keys.map((key) => [key, hit(near, key)]));
  const ways = [
    { what: 'Map.get', work: slice(keys, (key) => map.get(key)?.revision ?? Number.NaN) },
    { what: 'get (eventual)', work: slice(keys, (key) => hit(near, key).revision) },
    {
      what: 'get, and its bound looked at',
      work: slice(keys, (key) => hit(near, key).stalenessMs ?? Number.NaN),
    },
  ];
  const samples = new Map<string, Sample[]>();
  const note = (what: string, sample: Sample): void => {
    samples.set(what, [...(samples.get(what) ?? []), sample]);
  };
  for (const { work } of ways) await measure(work, WARM_MS);
  const before = near.counters;
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { what, work } of ways) note(what, await measure(work, MEASURE_MS));
  }
  const perBatch: string[] = [];
  for (const concurrent of CONCURRENT) {
    await linearizable(near, keys, concurrent, WARM_MS);
    const [probes, hits] = [near.counters.probes, near.counters.hits];
    for (let round = 0; round < ROUNDS; round += 1) {
      const sample = await measure(() => linearizable(near, keys, concurrent, MEASURE_MS), 0);
      note(`read linearizable, ${concurrent} at once`, sample);
    }
    const batch = (near.counters.hits - hits) / (near.counters.probes - probes);
    perBatch.push(`${concurrent}: ${figure(batch)}`);
  }
  const mapRate = median((samples.get('Map.get') ?? []).map(({ perSecond }) => perSecond));
  const rows = [...samples].map(([what, of]) => {
    const rate = median(of.map(({ perSecond }) => perSecond));
    return [what, figure(rate), figure(median(of.map(({ cpuNs }) => cpuNs))), figure(rate / mapRate)];
  });
  tell(table(['one process, one thread', '/s', 'its CPU ns each', 'x Map.get'], rows));
  tell(`linearizable reads for each probe: ${perBatch.join(', ')}`);
  const { fallbacks, misses } = near.counters;
  tell(`sent to the store: ${fallbacks - before.fallbacks}; misses: ${misses - before.misses}`);
}

const root = join(import.meta.dirname, '..');
if (!existsSync(join(root, 'apps/cli/dist/main.js'))) throw new Error('Build first: npm run build.');
// What this program started ends with it.
const limit = setTimeout(() => {
  process.stderr.write(`not within ${LIMIT_MS / 1_000} s\n`);
  process.exit(1);
}, LIMIT_MS);
const tell = (line: string): boolean => process.stdout.write(`${line}\n`);
const cluster = await QuorateCluster.start({ nats: false });
try {
  const { folder } = cluster.dev;
  const key = readFileSync(join(folder, 'secrets/gateway/gateway.key'), 'utf8').trim();
  const near = connectNearCache({
    cluster: readCluster(folder),
    key: Buffer.from(key, 'hex'),
    bearerToken: readToken(folder),
  });
  const noise = watchNoise([process.pid, ...cluster.gatewayPids]);
  try {
    await run(near, tell);
  } finally {
    await near.close();
  }
  const { foreignCores, stealCores } = noise();
  tell(
    `${cluster.title}, Node ${process.version}; cores used by others: ${figure(foreignCores)}, stolen: ${figure(stealCores)}`,
  );
} finally {
  await cluster.destroy();
  clearTimeout(limit);
}
