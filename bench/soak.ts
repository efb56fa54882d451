// `npm run soak -- [--minutes 10] [--seed N] [--json FILE] [--no-kills]`: three members, two gateways and NATS (when there is one) under writes
// and reads of every level, while parts of it are killed (-9) and started again by seed, and once the whole store. A client of both gateways
// judges every answer by what it knows to be acknowledged; a broken promise is told at once and ends the run non-zero. Build first.
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  LocalCluster,
  ON_LOOPBACK,
  newClusterFolder,
  numberOf,
} from '../test/chaos/drivers/local-cluster.js';
import type { Part } from '../test/chaos/fault.js';
import { until } from '../test/rest.js';
import { memoryOf } from './measure.js';
import { SoakLoad } from './soak-load.js';
import { type Fault, LOSS_MARGIN_MS, LOSS_MS, planFaults, randomOf } from './soak-plan.js';
import { type Life, figuresOf, reportOf } from './soak-report.js';
import { SoakRequests } from './soak-requests.js';

const NAMESPACE = 'content';
const GATEWAYS = 2;
const MEMORY_EVERY_MS = 10_000;
const READY_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 30_000;
const MINUTES = { default: 10, min: 1.5, max: 24 * 60 } as const;
/** The last seconds before the loss of the store and the first after it are compared with the loss itself. */
const PHASE_MS = LOSS_MARGIN_MS / 2;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string' },
    json: { type: 'string' },
    'no-kills': { type: 'boolean' },
  },
});
const minutes = Number(values.minutes ?? MINUTES.default);
const seed = Number(values.seed ?? Math.floor(Date.now() / 1_000));
if (!(minutes >= MINUTES.min && minutes <= MINUTES.max) || !Number.isSafeInteger(seed)) {
  process.stderr.write(`--minutes: ${MINUTES.min} to ${MINUTES.max}; --seed: a whole number\n`);
  process.exit(2);
}

const startedMs = performance.now();
const cluster = await LocalCluster.make({
  folder: newClusterFolder(),
  members: 3,
  gateways: GATEWAYS,
  placement: ON_LOOPBACK,
  tell,
});
await startAll();
const runMs = minutes * 60_000;
const kills: Record<string, number> = {};
const lives = new Map<number, Life>();
let isEnding = false;
const clients = cluster.gateways.map(
  (gateway) => new SoakRequests(cluster.gatewayAddress(gateway), cluster.adminToken, NAMESPACE),
);
const load = new SoakLoad(clients, randomOf(seed + 1), tell, cluster.hasNats);

function tell(line: string): void {
  const seconds = (performance.now() - startedMs) / 1_000;
  process.stdout.write(`[${seconds.toFixed(1).padStart(7)} s] ${line}\n`);
}

async function startAll(): Promise<void> {
  try {
    await cluster.startAll();
  } catch (error) {
    await cluster.destroy(false);
    throw error;
  }
}

async function kill(name: Part): Promise<void> {
  await cluster.kill(name);
  load.noteFault();
  if (cluster.gateways.includes(name)) load.lives.end(numberOf(name) - 1);
  if (name === 'nats') load.natsRuns = false;
}

async function startAgain(name: Part): Promise<void> {
  load.noteFault();
  await cluster.start(name);
  if (name === 'nats') load.natsRuns = true;
  load.noteFault();
}

/** One kill and the restart that follows; left out when the part is not there, or a member less would be no majority. */
async function strike(fault: Fault): Promise<void> {
  if (fault.part === 'store') return loseStore(fault);
  const name = await nameOf(fault);
  if (name === null) return tell(`left out: ${fault.part}, for it or its like is not ready`);
  tell(`kill -9 ${name}${fault.part === 'member' && fault.victim === 0 ? ', which leads' : ''}`);
  kills[fault.part] = (kills[fault.part] ?? 0) + 1;
  await kill(name);
  await sleep(fault.downMs);
  if (isEnding) return;
  await startAgain(name);
  tell(`${name} started again after ${(fault.downMs / 1_000).toFixed(1)} s`);
}

async function nameOf({ part, victim }: Fault): Promise<Part | null> {
  if (part === 'nats') return cluster.isRunning('nats') ? 'nats' : null;
  if (part === 'gateway') {
    return cluster.gateways.every((gateway) => cluster.isRunning(gateway)) ? `gateway${victim + 1}` : null;
  }
  const ready = await Promise.all(cluster.members.map((member) => cluster.isMemberReady(member)));
  if (!ready.every(Boolean)) return null;
  return victim === 0 ? await cluster.leader() : `store${victim}`;
}

async function loseStore({ downMs }: Fault): Promise<void> {
  load.phase = 'before';
  await sleep(PHASE_MS);
  tell('kill -9 all members');
  kills['store'] = 1;
  await Promise.all(cluster.members.map((member) => kill(member)));
  load.lostSinceMs = performance.now();
  load.phase = 'during';
  await sleep(downMs);
  load.phase = null;
  load.lostSinceMs = null;
  if (isEnding) return;
  for (const member of cluster.members) await startAgain(member);
  tell('all members started again');
  const beganMs = performance.now();
  await until('the store is back', () => cluster.isReady(), READY_TIMEOUT_MS);
  load.noteFault();
  tell(`all is ready ${((performance.now() - beganMs) / 1_000).toFixed(1)} s later`);
  load.phase = 'after';
  await sleep(PHASE_MS);
  load.phase = null;
}

/** Strikes when it is time, without waiting for the restart. */
async function runFaults(faults: readonly Fault[]): Promise<void> {
  const struck: Promise<void>[] = [];
  for (const fault of faults) {
    const atMs = fault.part === 'store' ? fault.atMs - PHASE_MS : fault.atMs;
    await sleep(Math.max(0, startedMs + atMs - performance.now()));
    struck.push(strike(fault));
  }
  await Promise.all(struck);
}

function sampleMemory(): void {
  for (const { name, pid } of [...cluster.processes(), { name: 'soak', pid: process.pid }]) {
    const life = lives.get(pid) ?? { name, bytes: [] };
    lives.set(pid, life);
    const { resident } = memoryOf(pid);
    if (resident > 0) life.bytes.push(resident);
  }
}

async function run(): Promise<void> {
  await until('the namespace is there', () =>
    clients[0]!.createNamespace().then(
      () => true,
      () => false,
    ),
  );
  tell(
    `${minutes} minutes, seed ${seed}, NATS ${cluster.hasNats ? 'runs' : 'was not found'}, logs in ${cluster.folder}`,
  );
  const memory = setInterval(sampleMemory, MEMORY_EVERY_MS);
  load.start();
  const plan = values['no-kills'] === true ? [] : planFaults({ seed, runMs, hasNats: cluster.hasNats });
  try {
    await runFaults(plan);
    await sleep(Math.max(0, startedMs + runMs - performance.now()));
  } finally {
    isEnding = true;
    clearInterval(memory);
    await load.stop();
  }
  tell('load ended; reading every key');
  await until('all is ready at the end', () => cluster.isReady(), READY_TIMEOUT_MS);
  await load.checkEnd(END_TIMEOUT_MS);
}

let isFailed = true;
try {
  await run();
  const seconds = (performance.now() - startedMs) / 1_000;
  const figures = figuresOf(load, { seed, seconds, kills }, [...lives.values()], {
    before: PHASE_MS / 1_000,
    during: LOSS_MS / 1_000,
    after: PHASE_MS / 1_000,
  });
  process.stdout.write(`\n${reportOf(figures).join('\n')}\n`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
  isFailed = load.violations > 0;
} finally {
  for (const client of clients) client.close();
  if (isFailed) tell(`replay with --seed ${seed}; logs and data stay in ${cluster.folder}`);
  await cluster.destroy(isFailed);
}
process.exitCode = isFailed ? 1 : 0;
