import type { OperationName } from './adapters/adapter.js';
import type { ClientName } from './adapters/connect.js';
import type { Generator } from './generator.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { watchNoise } from './measure.js';
import type { Running } from './products.js';

/** One measured closed loop. */
export interface Point {
  /** Product and version. */
  readonly title: string;
  readonly client: ClientName;
  readonly operation: OperationName;
  readonly clients: number;
  readonly servers: number;
  readonly valueBytes: number;
  readonly keys: number;
  readonly repetition: number;
  readonly operationsPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** CPU seconds that 10,000 operations cost the servers together. */
  readonly serverCpuPer10k: number;
  /** The same for the load generator. */
  readonly clientCpuPer10k: number;
  readonly foreignCores: number;
  readonly stealCores: number;
  readonly failures: Readonly<Record<string, number>>;
}

export interface PointPlan {
  readonly client: ClientName;
  readonly operation: OperationName;
  readonly clients: number;
}

export interface PointConditions {
  readonly servers: number;
  readonly valueBytes: number;
  readonly keys: number;
  readonly repetition: number;
  readonly seconds: number;
}

/** In quick runs shorter. */
const [WARM_MS, QUICK_WARM_MS] = [500, 300];
/** A point waits a little for others to be done with the machine. */
const [QUIET_LOOKS, QUIET_LOOK_MS, QUIET_CORES] = [5, 300, 0.25];

/** Measures one point over a generator that is connected. */
export async function measurePoint(
  running: Running,
  generator: Generator,
  plan: PointPlan,
  conditions: PointConditions,
  quick = false,
): Promise<Point> {
  const serverPids = running.pidsFor(plan.client);
  const ownPids = [process.pid, ...running.allPids.filter((pid) => !serverPids.includes(pid))];
  await waitUntilQuiet([...ownPids, ...serverPids, generator.pid], quick ? 1 : QUIET_LOOKS);
  const { seconds, ...kept } = conditions;
  const answer = await generator.do({
    type: 'run',
    operation: plan.operation,
    clients: plan.clients,
    warmMs: quick ? QUICK_WARM_MS : WARM_MS,
    measureMs: seconds * 1_000,
    keys: conditions.keys,
    serverPids,
    ownPids,
  });
  const per10k = (cpuSeconds: number): number => (cpuSeconds / answer.operations) * 10_000;
  return {
    title: running.title,
    ...plan,
    ...kept,
    operationsPerSecond: answer.operations / answer.seconds,
    p50Us: answer.p50Us,
    p99Us: answer.p99Us,
    serverCpuPer10k: per10k(answer.serverCpuSeconds),
    clientCpuPer10k: per10k(answer.clientCpuSeconds),
    foreignCores: answer.foreignCores,
    stealCores: answer.stealCores,
    failures: answer.failures,
  };
}

async function waitUntilQuiet(ownPids: readonly number[], looks: number): Promise<void> {
  for (let look = 0; look < looks; look += 1) {
    const noise = watchNoise(ownPids);
    await sleep(QUIET_LOOK_MS);
    if (noise().foreignCores < QUIET_CORES) return;
  }
}
