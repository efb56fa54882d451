// `npm run chaos -- ...` (docs/chaos.md): scenarios and random faults against a cluster of real processes, with a verdict on everything that clients
// were told. Ends with a table and `N passed, N failed, N skipped`; exit code 1 when anything failed, 2 for words that are not understood. Build first.
import { cpSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onInterrupt } from '../../bench/lifetimes.js';
import type { ChaosCluster, DriverName } from './cluster.js';
import {
  dropMountsOfOthers,
  endWithFirst,
  hasOwnNamespace,
  mayHaveNamespaces,
  runInOwnNamespaces,
} from './drivers/own-namespaces.js';
import type { Fault, FaultKind } from './fault.js';
import { Recorder } from './history.js';
import { judgeAgain, keepRun } from './keep.js';
import { planNemesis } from './nemesis.js';
import {
  type DeploymentWish,
  type NemesisWish,
  USAGE,
  UsageError,
  type Wish,
  readOptions,
} from './options.js';
import { type Plan, whyNotPlan } from './plan.js';
import { type ChaosResult, isPassed, runChaos } from './run.js';
import { scenarios } from './scenarios.js';
import { type Row, lastLineOf, tableOf, wordOf } from './table.js';
import { makeWorkloads } from './workloads.js';

const FAILED_RUNS = 'chaos-runs';

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

type Start = (seed: number, members: 3 | 5) => Promise<ChaosCluster>;

/** Drivers are loaded when they are used: one of them needs a docker engine, another one root. */
async function starterOf({ driver, deployment }: Wish): Promise<Start> {
  const tell = print;
  switch (driver) {
    case 'proxies': {
      const { startProxiesCluster } = await import('./drivers/proxies.js');
      return (seed, members) => startProxiesCluster({ members, seed, tell });
    }
    case 'namespaces': {
      const { startNamespacesCluster } = await import('./drivers/namespaces.js');
      return (seed, members) => startNamespacesCluster({ members, seed, tell });
    }
    case 'compose': {
      const { startComposeCluster } = await import('./drivers/compose.js');
      return (seed, members) => startComposeCluster({ members, seed, tell });
    }
    case 'deployment': {
      if (deployment === null) throw new Error('driver deployment needs gateways');
      const { startDeployment } = await import('./drivers/deployment.js');
      return (seed, members) => startDeployment({ ...deployment, members, seed, tell });
    }
  }
}

/** What a driver makes of networks and mounts must not be the machine's: then the program runs again in namespaces of its own. Null: it runs here. */
async function runElsewhere(driver: DriverName): Promise<number | null> {
  endWithFirst();
  dropMountsOfOthers();
  if (hasOwnNamespace('mount')) return null;
  if (driver === 'namespaces') return runInOwnNamespaces(['net', 'mount']);
  // A file system that another program's namespace has as well is never wholly unmounted, so a power cut at it would last.
  return driver === 'proxies' && mayHaveNamespaces() ? runInOwnNamespaces(['mount']) : null;
}

/** One of each kind, to ask a driver what it can do. */
const SAMPLES: readonly Fault[] = [
  { kind: 'cut', from: ['store1'], to: ['store2'] },
  { kind: 'cutOneWay', from: ['store1'], to: ['store2'] },
  { kind: 'flap', from: ['store1'], to: ['store2'], cutMs: 500, healedMs: 500 },
  { kind: 'loss', from: ['store1'], to: ['store2'], percent: 20 },
  { kind: 'delay', from: ['store1'], to: ['store2'], ms: 100, jitterMs: 20 },
  { kind: 'slowLink', from: ['store1'], to: ['store2'], bytesPerSecond: 65_536 },
  { kind: 'pause', parts: ['store1'] },
  { kind: 'kill', parts: ['store1'] },
  { kind: 'stop', parts: ['store1'] },
  { kind: 'clock', parts: ['store1'], offsetMs: 1_000 },
  { kind: 'diskFull', part: 'store1' },
  { kind: 'diskReadOnly', part: 'store1' },
  { kind: 'slowSync', part: 'store1', ms: 100 },
  { kind: 'hungDisk', part: 'store1' },
  { kind: 'powerCut', part: 'store1' },
  { kind: 'memoryLimit', part: 'store1', bytes: 128 * 1024 * 1024 },
];

function kindsOf(cluster: ChaosCluster): readonly FaultKind[] {
  return SAMPLES.filter((fault) => cluster.whyNot(fault) === null).map(({ kind }) => kind);
}

/** What to run on a new cluster. The plan of a nemesis depends on what the cluster can do. */
interface Job {
  readonly name: string;
  readonly members: 3 | 5;
  readonly seed: number;
  readonly replay: readonly string[];
  planFor(cluster: ChaosCluster): Plan;
}

function jobsOf(wish: Wish): readonly Job[] {
  const { nemesis, seed } = wish;
  const scenarioJobs = wish.scenarios.map((plan): Job => ({
    name: plan.name,
    members: plan.members,
    seed,
    replay: ['--scenario', plan.name, '--seed', String(seed)],
    planFor: () => plan,
  }));
  if (nemesis === null) return scenarioJobs;
  const seeds = Array.from({ length: nemesis.rounds }, (_, round) => seed + round);
  return [...scenarioJobs, ...seeds.map((own) => nemesisJob(nemesis, own))];
}

function nemesisJob({ runMs, members, isCalm }: NemesisWish, seed: number): Job {
  const length = ['--minutes', String(runMs / 60_000), '--members', String(members)];
  return {
    name: isCalm ? 'calm' : 'nemesis',
    members,
    seed,
    replay: [isCalm ? '--calm' : '--nemesis', ...length, '--seed', String(seed)],
    planFor: (cluster) => {
      if (isCalm) return calmPlan(runMs, members);
      return planNemesis({
        seed,
        runMs,
        members,
        gateways: cluster.gateways.length,
        hasNats: cluster.hasNats,
        kinds: kindsOf(cluster),
      });
    },
  };
}

class Program {
  readonly #rows: Row[] = [];
  readonly #interrupt = new AbortController();

  constructor(
    private readonly wish: Wish,
    private readonly start: Start,
  ) {
    onInterrupt(() => {
      print('interrupted: heals, and judges what there is; once more ends at once');
      this.#interrupt.abort();
    });
  }

  /** The exit code. */
  async run(): Promise<number> {
    const { driver, tableFile, seed } = this.wish;
    print(`driver ${driver}, seed ${seed}`);
    for (const job of jobsOf(this.wish)) {
      if (this.#interrupt.signal.aborted) break;
      const row = await this.#do(job).catch((error: unknown) => broken(job.name, driver, error));
      this.#rows.push(row);
      const reason = row.kind === 'run' ? '' : `: ${row.reason}`;
      print(`${wordOf(row)}: ${job.name}${reason}`);
    }
    const table = tableOf(this.#rows);
    if (tableFile !== null) writeFileSync(tableFile, `${table.join('\n')}\n`);
    print(`\n${table.join('\n')}\n`);
    print(lastLineOf(this.#rows));
    if (this.#rows.some((row) => wordOf(row) === 'failed')) return 1;
    return this.#interrupt.signal.aborted ? 130 : 0;
  }

  async #do(job: Job): Promise<Row> {
    const { driver } = this.wish;
    print(`\n== ${job.name}, ${job.members} members, seed ${job.seed}`);
    if (driver === 'compose' && job.members !== 3) {
      const reason = 'the shipped docker-compose.yml has three members';
      return { kind: 'skipped', name: job.name, driver, reason };
    }
    const cluster = await this.start(job.seed, job.members);
    let isKept = true;
    try {
      const plan = job.planFor(cluster);
      const reason = plan.kind === 'scenario' ? whyNotPlan(plan, cluster) : whyNotNemesis(plan);
      if (reason !== null) {
        isKept = false;
        return { kind: 'skipped', name: job.name, driver, reason };
      }
      print(plan.sentence);
      const result = await this.#runOn(cluster, plan, job);
      isKept = !isPassed(result);
      if (isKept || this.wish.out !== null) this.#keep(cluster, result, job);
      return { kind: 'run', result };
    } finally {
      await cluster.destroy(isKept);
      if (isKept) print(`logs and data stay in ${cluster.folder}`);
    }
  }

  #runOn(cluster: ChaosCluster, plan: Plan, { seed }: Job): Promise<ChaosResult> {
    const { workloads, requestsPerSecondMax, operationsMax } = this.wish;
    const startedMs = performance.now();
    const nowMs = (): number => performance.now() - startedMs;
    return runChaos({
      cluster,
      plan,
      workloads: makeWorkloads(workloads ?? undefined),
      recorder: new Recorder(nowMs),
      nowMs,
      seed,
      requestsPerSecondMax,
      operationsMax,
      signal: this.#interrupt.signal,
      tell: print,
    });
  }

  #keep(cluster: ChaosCluster, result: ChaosResult, { name, seed, replay }: Job): void {
    const { driver, out } = this.wish;
    const folder = join(out ?? FAILED_RUNS, `${name}-${driver}-${seed}`);
    const { verdict } = result;
    keepRun(folder, result, [`npm run chaos -- --judge ${folder}`, this.#commandOf(replay)]);
    const logs = join(cluster.folder, 'logs');
    if (existsSync(logs)) cpSync(logs, join(folder, 'logs'), { recursive: true });
    for (const { promise, story } of verdict.violations.slice(0, 10))
      print(`VIOLATION: ${promise}: ${story}`);
    print(`kept: ${join(folder, 'report.html')}; judge it again: npm run chaos -- --judge ${folder}`);
    if (!isPassed(result)) print(`run it again: ${this.#commandOf(replay)}`);
  }

  /** What does the same once more. The same faults come at the same times; what they meet does not. */
  #commandOf(replay: readonly string[]): string {
    const { driver, workloads, requestsPerSecondMax, operationsMax, deployment } = this.wish;
    const words = [
      ...replay,
      ...(workloads === null ? [] : ['--workloads', workloads.join(',')]),
      ...['--rate', String(requestsPerSecondMax), '--operations', String(operationsMax)],
      ...(deployment === null ? ['--driver', driver] : wordsOf(deployment)),
    ];
    return `npm run chaos -- ${words.join(' ')}`;
  }
}

function wordsOf({
  gateways,
  adminTokenFile,
  faultCommand,
  caFile,
  nats,
}: DeploymentWish): readonly string[] {
  return [
    ...['--gateways', gateways, '--token-file', adminTokenFile],
    ...(faultCommand === undefined ? [] : ['--fault-command', `'${faultCommand}'`]),
    ...(caFile === undefined ? [] : ['--ca-file', caFile]),
    ...(nats === undefined ? [] : ['--nats']),
  ];
}

function calmPlan(lengthMs: number, members: 3 | 5): Plan {
  const sentence = 'No faults: clients and verdict only.';
  return { kind: 'nemesis', name: 'calm', sentence, members, steps: [], lengthMs };
}

function whyNotNemesis({ name, steps }: Plan): string | null {
  return steps.length === 0 && name !== 'calm' ? 'none of its faults can be done here' : null;
}

function broken(name: string, driver: DriverName, error: unknown): Row {
  const reason = error instanceof Error ? error.message : String(error);
  return { kind: 'broken', name, driver, reason };
}

function judgeOnce(folder: string): number {
  const result = judgeAgain(folder);
  const row: Row = { kind: 'run', result };
  print(`${tableOf([row]).join('\n')}\n`);
  for (const { promise, story } of result.verdict.violations) print(`VIOLATION: ${promise}: ${story}`);
  print(`report: ${join(folder, 'report.html')}`);
  print(lastLineOf([row]));
  return wordOf(row) === 'failed' ? 1 : 0;
}

async function main(words: readonly string[]): Promise<number> {
  try {
    const wish = readOptions(words, Math.floor(Date.now() / 1_000));
    if (wish === 'list') {
      for (const { name, members, sentence } of scenarios) print(`${name} (${members} members): ${sentence}`);
      return 0;
    }
    if ('judge' in wish) return judgeOnce(wish.judge);
    const exitCode = await runElsewhere(wish.driver);
    return exitCode ?? (await new Program(wish, await starterOf(wish)).run());
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n\n${USAGE}`);
    return 2;
  }
}

process.exitCode = await main(process.argv.slice(2));
