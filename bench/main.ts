// `npm run bench`: see ./options.ts or --help.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measureCosts } from './cost.js';
import { atEnd } from './lifetimes.js';
import { type Machine, describeMachine, noiseSentence } from './machine.js';
import { HELP, type Options, type Suite, parseOptions } from './options.js';
import { findPeer } from './peers.js';
import type { Peer } from './servers/peer.js';
import { plotOf } from './plot.js';
import type { Product } from './products.js';
import { quorateTitle } from './quorate-cluster.js';
import { measureRefusals } from './refusal.js';
import { type Results, noResults } from './results.js';
import { measureStates } from './state.js';
import type { Listener } from './turns.js';
import { detailTables, promiseTable } from './details.js';
import { verdictTables } from './tables.js';
import { measureThroughput } from './throughput.js';
import { verdictsOf } from './verdicts.js';
import { measureVisibility } from './visibility.js';

/** Progress; the report alone goes to standard output. */
function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

const SUITES: Readonly<
  Record<
    Suite,
    (products: readonly Product[], options: Options, listener: Listener) => Promise<Partial<Results>>
  >
> = {
  throughput: async (products, { repetitions, seconds, quick }, listener) => ({
    throughput: await measureThroughput({ products, repetitions, seconds, quick, listener }),
  }),
  visibility: async (products, { repetitions, seconds }, listener) => ({
    visibility: await measureVisibility({ products, repetitions, seconds: seconds * 3, listener }),
  }),
  refusal: async (products, { repetitions }, listener) => ({
    refusals: await measureRefusals({ products, repetitions, listener }),
  }),
  failover: async (_products, { repetitions }) => ({ failovers: measureFailovers(repetitions) }),
  state: async (products, { entryCounts }, listener) => ({
    states: await measureStates({ products, entryCounts, listener }),
  }),
  cost: async (products, { repetitions, seconds }, listener) => ({
    costs: await measureCosts({ products, repetitions, seconds, listener }),
  }),
};

/** The bench of its own that exists for it. */
function measureFailovers(repetitions: number): Results['failovers'] {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-bench-failover-'));
  const forget = atEnd(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'failovers.json');
  const program = join(import.meta.dirname, 'failover.ts');
  const trials = ['--trials', String(repetitions * 2), '--json', file];
  execFileSync(process.execPath, [...process.execArgv, program, ...trials], {
    cwd: join(import.meta.dirname, '..'),
    stdio: ['ignore', 2, 2],
  });
  const failovers: Results['failovers'] = JSON.parse(readFileSync(file, 'utf8'));
  rmSync(folder, { recursive: true, force: true });
  forget();
  return failovers;
}

function headOf(
  machine: Machine,
  options: Options,
  peers: readonly Peer[],
  missing: readonly string[],
): string {
  const title = quorateTitle();
  return [
    `# ${title} beside its peers`,
    '',
    `machine: ${machine.cores} cores (${machine.processor}), ${machine.memoryGib} GiB, Linux ${machine.kernel}, Node ${machine.node}`,
    `products: ${[title, ...peers.map((peer) => `${peer.title} (${peer.origin})`)].join(', ')}`,
    ...(missing.length === 0 ? [] : [`left out, cannot be had here: ${missing.join(', ')}`]),
    `disk: ${machine.syncsPerSecond} synced appends of 4 KiB a second; cores used by others before: ${machine.foreignCoresBefore.toFixed(2)}`,
    `conditions: servers and load generator on the same cores, values of 256 bytes, always varied, 10,000 keys, closed loop, ` +
      `${options.seconds} s a loop, medians of ${options.repetitions} (products took turns)`,
  ].join('\n');
}

async function run(options: Options): Promise<void> {
  const root = join(import.meta.dirname, '..');
  if (!existsSync(join(root, 'apps/cli/dist/main.js'))) throw new Error('Build first: npm run build.');
  const found = options.peers.map((name) => ({ name, peer: findPeer(name, tell) }));
  const peers = found.map(({ peer }) => peer).filter((peer) => peer !== null);
  const missing = found.filter(({ peer }) => peer === null).map(({ name }) => name);
  const machine = await describeMachine();
  let results = noResults();
  const failed: string[] = [];
  for (const suite of options.suites) {
    try {
      const listener = { tell, fail: (what: string) => failed.push(`${suite}: ${what}`) };
      results = { ...results, ...(await SUITES[suite](['quorate', ...peers], options, listener)) };
    } catch (error) {
      // The other suites can still say something.
      tell(error instanceof Error ? (error.stack ?? error.message) : String(error));
      failed.push(`${suite}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const verdicts = verdictsOf(results, peers);
  const title = quorateTitle();
  const parts = [
    `${headOf(machine, options, peers, missing)}\n${noiseSentence([...results.throughput, ...results.costs])}`,
    ...failed.map((what) => `FAILED ${what}`),
    '## What must be shown',
    ...verdictTables(verdicts, title),
    '## Details',
    promiseTable(peers, title),
    ...detailTables(results),
  ];
  process.stdout.write(`${parts.join('\n\n')}\n`);
  if (options.json !== null) {
    const versions = peers.map(({ title: of, origin, isDurable }) => ({ title: of, origin, isDurable }));
    const text = JSON.stringify(
      { machine, options, peers: versions, missing, failed, verdicts, results },
      null,
      1,
    );
    writeFileSync(options.json, `${text}\n`);
  }
  if (options.plot !== null) writeFileSync(options.plot, plotOf(verdicts, `${title} beside its peers`));
  if (failed.length > 0) process.exitCode = 1;
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === null) process.stdout.write(HELP);
  else await run(options);
} catch (error) {
  tell(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
