import type { ClientName } from './adapters/connect.js';
import { Generator } from './generator.js';
import { type Point, measurePoint } from './point.js';
import { type Product, startProduct } from './products.js';
import { type Listener, inTurns } from './turns.js';
import { KEYS, VALUE_BYTES } from './throughput.js';

const CLUSTER_SIZES = [1, 3, 5];
const VALUE_SIZES = [16, 256, 4_096, 65_536];
const KEY_COUNTS = [100, 10_000, 100_000];
/** Large values are written to fewer keys: a peer keeps every version for a while. */
const LOADED_BYTES_MAX = 64 * 1024 * 1024;
const CLIENTS = 64;
const WARM_MS = 1_500;

/** What is varied; everything else stays as in the other suites. */
interface Setting {
  readonly servers: number;
  readonly valueBytes: number;
  readonly keys: number;
}

const USUAL: Setting = { servers: 3, valueBytes: VALUE_BYTES, keys: KEYS };

export interface CostOptions {
  readonly products: readonly Product[];
  readonly repetitions: number;
  readonly seconds: number;
  readonly listener: Listener;
}

/** Writes and linearizable reads over one connection against cluster size, value size and number of keys: ours and etcd. */
export async function measureCosts(options: CostOptions): Promise<Point[]> {
  const points: Point[] = [];
  const varied: readonly (readonly Setting[])[] = [
    ...CLUSTER_SIZES.filter((servers) => servers !== USUAL.servers).map((servers) => [{ ...USUAL, servers }]),
    // On the same servers one after the other; the usual setting is among them.
    [
      ...KEY_COUNTS.map((keys) => ({ ...USUAL, keys })),
      ...VALUE_SIZES.filter((valueBytes) => valueBytes !== USUAL.valueBytes).map((valueBytes) => ({
        ...USUAL,
        valueBytes,
        keys: Math.min(KEYS, LOADED_BYTES_MAX / valueBytes),
      })),
    ],
  ];
  const measured = options.products.filter((product) => product === 'quorate' || product.name === 'etcd');
  for (const settings of varied) {
    await inTurns(measured, options.repetitions, options.listener, async (product, repetition) => {
      const client: ClientName = product === 'quorate' ? 'quorate-sdk' : 'etcd-grpc';
      points.push(...(await measureSettings(product, client, settings, repetition, options)));
    });
  }
  return points;
}

async function measureSettings(
  product: Product,
  client: ClientName,
  settings: readonly Setting[],
  repetition: number,
  { seconds, listener: { tell } }: CostOptions,
): Promise<Point[]> {
  const points: Point[] = [];
  const running = await startProduct(product, { count: settings[0]?.servers ?? USUAL.servers });
  const generator = new Generator();
  try {
    const target = await running.target();
    for (const { servers, valueBytes, keys } of settings) {
      await generator.do({ type: 'connect', client, target, valueBytes });
      await generator.do({ type: 'load', from: 0, to: keys, clients: CLIENTS });
      for (const operation of ['put', 'read'] as const) {
        await generator.do({
          ...{ type: 'run', operation, clients: CLIENTS, keys },
          ...{ warmMs: 0, measureMs: WARM_MS, serverPids: [], ownPids: [] },
        });
        const conditions = { servers, valueBytes, keys, repetition, seconds };
        const point = await measurePoint(
          running,
          generator,
          { client, operation, clients: CLIENTS },
          conditions,
        );
        tell(
          `${repetition}: ${running.title} ${operation}, ${servers} servers, ${valueBytes} B, ${keys} keys: ` +
            `${Math.round(point.operationsPerSecond)}/s`,
        );
        points.push(point);
      }
      await generator.do({ type: 'close' });
    }
    return points;
  } finally {
    generator.stop();
    await running.stop();
  }
}
