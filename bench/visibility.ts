import type { ClientName } from './adapters/connect.js';
import { Generator, type WatchAnswer } from './generator.js';
import { quantile } from './measure.js';
import type { PeerName } from './peers.js';
import { type Product, type StartOptions, startProduct } from './products.js';
import { type Listener, inTurns } from './turns.js';
import { VALUE_BYTES } from './throughput.js';

const RATE_PER_SECOND = 200;
const KEYS = 500;
const LOADERS = 64;

/** From a write's acknowledgement until others see it. */
export interface Visibility {
  readonly title: string;
  readonly way: Way['name'];
  readonly repetition: number;
  readonly acknowledgedP50Us: number;
  readonly acknowledgedP99Us: number;
  readonly acknowledgedMaxUs: number;
  readonly sentP50Us: number;
  readonly sentP99Us: number;
  readonly missing: number;
  readonly failed: number;
}

interface Way {
  /** In words, for the tables. */
  readonly name: string;
  readonly client: ClientName;
  readonly options?: StartOptions;
  /** NATS is killed first. What needs it comes before. */
  readonly withoutNats?: true;
}

/** Two gateways' caches as they apply, the later of them; the way that is compared with a peer's watch. */
export const VIEW_WAY = "two gateways' caches, fed over NATS";
export const VIEW_WAY_BY_LINK = "two gateways' caches, NATS killed";
export const WATCH_WAY = 'watch on another server';

const WAYS: Readonly<Partial<Record<PeerName | 'quorate', readonly Way[]>>> = {
  quorate: [
    { name: VIEW_WAY, client: 'quorate-view', options: { nats: true } },
    { name: 'REST at a gateway, asked again and again', client: 'quorate-gateway', options: { nats: true } },
    { name: VIEW_WAY_BY_LINK, client: 'quorate-view', options: { nats: true }, withoutNats: true },
  ],
  etcd: [
    { name: WATCH_WAY, client: 'etcd-grpc' },
    { name: 'JSON at another server, asked again and again', client: 'etcd-json' },
  ],
  zookeeper: [{ name: WATCH_WAY, client: 'zookeeper-8' }],
  nats: [{ name: WATCH_WAY, client: 'nats-kv' }],
};

export interface VisibilityOptions {
  readonly products: readonly Product[];
  readonly repetitions: number;
  /** How long writes go on. */
  readonly seconds: number;
  readonly listener: Listener;
}

export async function measureVisibility(options: VisibilityOptions): Promise<Visibility[]> {
  const found: Visibility[] = [];
  await inTurns(options.products, options.repetitions, options.listener, async (product, repetition) => {
    for (const ways of sameStart(product)) {
      found.push(...(await measureWays(product, ways, repetition, options)));
    }
  });
  return found;
}

/** Ways that can use the same servers come together. */
function sameStart(product: Product): Way[][] {
  const ways = WAYS[product === 'quorate' ? product : product.name] ?? [];
  const groups = new Map<boolean, Way[]>();
  for (const way of ways) {
    const nats = way.options?.nats === true;
    groups.set(nats, [...(groups.get(nats) ?? []), way]);
  }
  return [...groups.values()];
}

async function measureWays(
  product: Product,
  ways: readonly Way[],
  repetition: number,
  { seconds, listener: { tell } }: VisibilityOptions,
): Promise<Visibility[]> {
  const running = await startProduct(product, ways[0]?.options);
  const generator = new Generator();
  const found: Visibility[] = [];
  try {
    const target = await running.target();
    for (const { name, client, options, withoutNats } of ways) {
      if (withoutNats === true) await running.endNats?.();
      else if (options?.nats === true && target.type === 'quorate' && target.nats === null) {
        tell(`${running.title}: left out, there is no nats-server: ${name}`);
        continue;
      }
      await generator.do({ type: 'connect', client, target, valueBytes: VALUE_BYTES });
      await generator.do({ type: 'load', from: 0, to: KEYS, clients: LOADERS });
      const count = Math.round(seconds * RATE_PER_SECOND);
      const answer = await generator.do({ type: 'watch', ratePerSecond: RATE_PER_SECOND, count, keys: KEYS });
      await generator.do({ type: 'close' });
      const visibility = summed(answer, running.title, name, repetition);
      tell(`${repetition}: ${running.title} ${name}: p50 ${Math.round(visibility.acknowledgedP50Us)} us`);
      found.push(visibility);
    }
  } finally {
    generator.stop();
    await running.stop();
  }
  return found;
}

function summed(answer: WatchAnswer, title: string, way: string, repetition: number): Visibility {
  const { fromAcknowledgedUs, fromSentUs, missing, failed } = answer;
  return {
    title,
    way,
    repetition,
    acknowledgedP50Us: quantile(fromAcknowledgedUs, 0.5),
    acknowledgedP99Us: quantile(fromAcknowledgedUs, 0.99),
    acknowledgedMaxUs: quantile(fromAcknowledgedUs, 1),
    sentP50Us: quantile(fromSentUs, 0.5),
    sentP99Us: quantile(fromSentUs, 0.99),
    missing,
    failed,
  };
}
