// `npm run bench:ci -- [--table FILE]`: what an operation costs our members in CPU time, as a multiple of what a fixed loop costs on the same
// machine in the same run. So figures of different machines and days can be put side by side, which operations a second cannot. With --table
// a row is added to the table that is kept, and all of it is shown. Within a minute; nothing fails because of a figure. Build first.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { OperationName } from './adapters/adapter.js';
import { Generator } from './generator.js';
import { median } from './measure.js';
import { type Point, measurePoint } from './point.js';
import { type Running, startProduct } from './products.js';
import { figure, table } from './tables.js';
import { KEYS, VALUE_BYTES } from './throughput.js';

const CLIENTS = 256;
const LOADERS = 64;
const WARM_MS = 3_000;
const SECONDS = 2.5;
const ROUNDS = 3;
const LOOP_ROUNDS = 100_000;
const LOOP_KEYS = 10_000;

/**
 * CPU seconds of the fixed loop: hashes of 256 bytes and changes to a map, which is much of what a member does. Once to be compiled, once
 * to be measured.
 */
function referenceCpuSeconds(): number {
  const value = Buffer.alloc(VALUE_BYTES, 'x');
  const loop = (): number => {
    const before = process.cpuUsage();
    const map = new Map<string, string>();
    for (let round = 0; round < LOOP_ROUNDS; round += 1) {
      value.writeUInt32BE(round, 0);
      const digest = createHash('sha256').update(value).digest('hex');
      map.set(`key-${round % LOOP_KEYS}`, digest);
    }
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  };
  loop();
  return loop();
}

interface Cost {
  readonly what: string;
  readonly points: readonly Point[];
}

async function measureCosts(running: Running, generator: Generator, references: number[]): Promise<Cost[]> {
  const target = await running.target();
  await generator.do({ type: 'connect', client: 'quorate-sdk', target, valueBytes: VALUE_BYTES });
  await generator.do({ type: 'load', from: 0, to: KEYS, clients: LOADERS });
  const operations: readonly OperationName[] = ['put', 'read'];
  const points: Point[] = [];
  for (const operation of operations) {
    const warm = { type: 'run', operation, clients: CLIENTS, keys: KEYS, warmMs: 0 } as const;
    await generator.do({ ...warm, measureMs: WARM_MS, serverPids: [], ownPids: [] });
  }
  for (let repetition = 1; repetition <= ROUNDS; repetition += 1) {
    for (const operation of operations) {
      references.push(referenceCpuSeconds());
      const plan = { client: 'quorate-sdk', operation, clients: CLIENTS } as const;
      const conditions = { servers: 3, valueBytes: VALUE_BYTES, keys: KEYS, repetition, seconds: SECONDS };
      points.push(await measurePoint(running, generator, plan, conditions));
    }
  }
  const of = (operation: OperationName): Point[] => points.filter((point) => point.operation === operation);
  return [
    { what: 'writes', points: of('put') },
    { what: 'linearizable reads', points: of('read') },
  ];
}

const HEAD = [
  'date',
  'commit',
  'Node',
  'writes: CPU s/10k',
  'x loop',
  'reads: CPU s/10k',
  'x loop',
  'loop: CPU s',
  'foreign cores',
];

/** One row for this run, under the head of the table when the file is new. */
function appendRow(file: string, row: readonly string[]): void {
  if (!existsSync(file)) {
    const [head, rule] = table(HEAD, []).split('\n');
    const text = [
      '# CPU time of an operation, over time',
      '',
      `Members' CPU seconds per 10,000 operations (${CLIENTS} clients, SDK over one link, values of ${VALUE_BYTES} bytes), and the same divided by the CPU`,
      `seconds of a fixed loop in the same run. The multiples can be compared between machines; medians of ${ROUNDS}.`,
      '',
      head,
      rule,
    ];
    writeFileSync(file, `${text.join('\n')}\n`);
  }
  appendFileSync(file, `| ${row.join(' | ')} |\n`);
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

const { values } = parseArgs({ options: { table: { type: 'string' } } });
const references: number[] = [];
const running = await startProduct('quorate');
const generator = new Generator();
let costs: Cost[];
try {
  costs = await measureCosts(running, generator, references);
} finally {
  generator.stop();
  await running.stop();
}
const reference = median(references);
const cpuOf = ({ points }: Cost): number => median(points.map(({ serverCpuPer10k }) => serverCpuPer10k));
const foreign = median(costs.flatMap(({ points }) => points.map(({ foreignCores }) => foreignCores)));
const rows = costs.map((cost) => [
  cost.what,
  figure(median(cost.points.map(({ operationsPerSecond }) => operationsPerSecond))),
  figure(cpuOf(cost)),
  figure(cpuOf(cost) / reference),
  figure(median(cost.points.map(({ clientCpuPer10k }) => clientCpuPer10k))),
]);
const head = [
  `${CLIENTS} clients, one link`,
  '/s',
  'members CPU s/10k',
  'x reference loop',
  'client CPU s/10k',
];
process.stdout.write(
  `${table(head, rows)}\nreference loop: ${figure(reference)} CPU s; cores used by others: ${figure(foreign)}\n`,
);
if (values.table !== undefined) {
  const day = new Date().toISOString().slice(0, 10);
  const figures = costs.flatMap((cost) => [figure(cpuOf(cost)), figure(cpuOf(cost) / reference)]);
  appendRow(values.table, [day, commit(), process.version, ...figures, figure(reference), figure(foreign)]);
  process.stdout.write(`\n${readFileSync(values.table, 'utf8')}`);
}
