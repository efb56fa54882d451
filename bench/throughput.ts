import type { OperationName } from './adapters/adapter.js';
import type { ClientName } from './adapters/connect.js';
import { Generator } from './generator.js';
import type { PeerName } from './peers.js';
import { type Point, type PointPlan, measurePoint } from './point.js';
import { type Listener, inTurns } from './turns.js';
import { type Product, type Running, startProduct } from './products.js';

export const VALUE_BYTES = 256;
export const KEYS = 10_000;
const LOADERS = 64;
/** A client that is not the first finds servers that are warm already; our gateway is first used by its own clients. */
const NEXT_CLIENT_WARM_MS = 700;
const GATEWAY_WARM_MS = 4_000;
const QUORATE_WARM_MS = 4_000;

/** What one client measures. The first of a product warms the servers up. */
interface ClientPlan {
  readonly client: ClientName;
  /** Whether it writes all keys before; else an earlier client has done so. */
  readonly loads: boolean;
  /** Not given: as the product or its next client needs it. */
  readonly warmMs?: number;
  readonly steps: readonly (readonly [OperationName, clients: number])[];
}

const FULL: Readonly<Record<PeerName | 'quorate', readonly ClientPlan[]>> = {
  quorate: [
    { client: 'quorate-sdk', loads: true, steps: [...both('put'), ...both('read'), ['check', 64]] },
    { client: 'quorate-sdk-64', loads: false, steps: [...both('put'), ['read', 64]] },
    {
      client: 'quorate-rest',
      loads: true,
      warmMs: GATEWAY_WARM_MS,
      steps: [
        ['put', 64],
        ['nearRead', 64],
        ['read', 64],
      ],
    },
    {
      client: 'quorate-nats',
      loads: false,
      warmMs: GATEWAY_WARM_MS,
      steps: [
        ['put', 64],
        ['nearRead', 64],
        ['read', 64],
      ],
    },
  ],
  etcd: [
    { client: 'etcd-grpc', loads: true, steps: [...both('put'), ...both('read'), ['nearRead', 64]] },
    { client: 'etcd-grpc-64', loads: false, steps: [...both('put'), ['read', 64]] },
    {
      client: 'etcd-json',
      loads: false,
      steps: [
        ['put', 64],
        ['nearRead', 64],
        ['read', 64],
      ],
    },
  ],
  zookeeper: [
    { client: 'zookeeper-8', loads: true, steps: [...both('put'), ...both('read'), ['nearRead', 64]] },
  ],
  nats: [{ client: 'nats-kv', loads: true, steps: [...both('put'), ...both('read'), ['nearRead', 64]] }],
  redis: [{ client: 'redis', loads: true, steps: [...both('put'), ...both('nearRead')] }],
};

const QUICK: Readonly<Partial<Record<PeerName | 'quorate', readonly ClientPlan[]>>> = {
  quorate: [{ client: 'quorate-sdk', loads: true, steps: [...both('put'), ...both('read')] }],
  etcd: [{ client: 'etcd-grpc', loads: true, steps: [...both('put'), ...both('read')] }],
};

function both(operation: OperationName): readonly (readonly [OperationName, number])[] {
  return [
    [operation, 64],
    [operation, 256],
  ];
}

export interface ThroughputOptions {
  readonly products: readonly Product[];
  readonly repetitions: number;
  readonly seconds: number;
  readonly quick: boolean;
  readonly listener: Listener;
}

/** Writes, reads and checks in closed loops. Each repetition starts every product afresh, one after the other. */
export async function measureThroughput(options: ThroughputOptions): Promise<Point[]> {
  const points: Point[] = [];
  await inTurns(options.products, options.repetitions, options.listener, (product, repetition) =>
    measureProduct(product, repetition, options, (point) => points.push(point)),
  );
  return points;
}

async function measureProduct(
  product: Product,
  repetition: number,
  { seconds, quick, listener }: ThroughputOptions,
  onPoint: (point: Point) => void,
): Promise<void> {
  const name = product === 'quorate' ? product : product.name;
  const plans = (quick ? QUICK[name] : FULL[name]) ?? [];
  const running = await startProduct(product, { nats: !quick, access: !quick });
  const generator = new Generator();
  try {
    const target = await running.target();
    const hasNats = target.type === 'quorate' && target.nats !== null;
    for (const [position, plan] of plans.entries()) {
      if (plan.client === 'quorate-nats' && !hasNats) continue;
      await generator.do({ type: 'connect', client: plan.client, target, valueBytes: VALUE_BYTES });
      if (plan.loads) await generator.do({ type: 'load', from: 0, to: KEYS, clients: LOADERS });
      const productWarmMs = product === 'quorate' ? QUORATE_WARM_MS : product.warmMs;
      const firstMs = quick ? productWarmMs / 4 : productWarmMs;
      await warmUp(running, generator, plan, plan.warmMs ?? (position === 0 ? firstMs : NEXT_CLIENT_WARM_MS));
      if (plan.steps.some(([operation]) => operation === 'nearRead')) {
        // A cache takes in what is read: without this its first round would be measured, in which it holds nothing.
        await generator.do({ type: 'load', operation: 'nearRead', from: 0, to: KEYS, clients: LOADERS });
      }
      for (const [operation, clients] of plan.steps) {
        const point: PointPlan = { client: plan.client, operation, clients };
        const { allPids } = running;
        const servers = product === 'quorate' ? running.pidsFor('quorate-sdk').length : allPids.length;
        const conditions = { servers, valueBytes: VALUE_BYTES, keys: KEYS, repetition, seconds };
        const measured = await measurePoint(running, generator, point, conditions, quick);
        listener.tell(
          `${repetition}: ${running.title} ${plan.client} ${operation} ${clients}: ` +
            `${Math.round(measured.operationsPerSecond)}/s`,
        );
        onPoint(measured);
      }
      await generator.do({ type: 'close' });
    }
  } finally {
    generator.stop();
    await running.stop();
  }
}

/** Each operation of the plan for its share of the time: programs that compile while they run are measured compiled. */
async function warmUp(running: Running, generator: Generator, plan: ClientPlan, ms: number): Promise<void> {
  const operations = [...new Set(plan.steps.map(([operation]) => operation))];
  for (const operation of operations) {
    await generator.do({
      type: 'run',
      operation,
      clients: 64,
      warmMs: 0,
      measureMs: ms / operations.length,
      keys: KEYS,
      serverPids: running.pidsFor(plan.client),
      ownPids: [],
    });
  }
}
