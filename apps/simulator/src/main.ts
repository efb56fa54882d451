import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { simulate } from './simulation.js';
import { NO_TOTALS, describeTotals, sum, sumCounts, totalsOf, type Totals } from './totals.js';

const USAGE = `npm run simulate -- [options]
  --seeds N         how many seeds (default 200)
  --first-seed K    the first of them (default 1)
  --jobs J          processes side by side (default: one for each core, 4 at most)
  --seed K          only this one
  --trace           print every step of it
  --fault-phase MS  mean length of the phase with faults, simulated milliseconds (default 15000)
  --json FILE       write the totals to a file
  --html FILE       write the operations around a violation to a file, as a page (with --seed)
`;

const JOBS_MAX = 4;

declare global {
  /** The test loader turns each `// mark: ...` of the sources into a call of this. */
  var quorateMark: ((name: string) => void) | undefined;
}

interface Options {
  readonly first: number;
  readonly count: number;
  readonly jobs: number;
  readonly trace: boolean;
  readonly faultPhaseMs: number;
  readonly json: string | undefined;
  readonly html: string | undefined;
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options === null) {
    process.stdout.write(USAGE);
    return 0;
  }
  const beganMs = performance.now();
  const totals = options.jobs > 1 ? await runJobs(options) : runHere(options);
  if (options.json !== '-') process.stdout.write(describeTotals(totals, performance.now() - beganMs));
  if (options.json !== undefined) {
    const text = `${JSON.stringify(totals, null, 2)}\n`;
    if (options.json === '-') process.stdout.write(text);
    else writeFileSync(options.json, text);
  }
  return totals.violations.length === 0 ? 0 : 1;
}

function readOptions(): Options | null {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '200' },
      'first-seed': { type: 'string', default: '1' },
      jobs: { type: 'string', default: String(Math.min(JOBS_MAX, availableParallelism())) },
      seed: { type: 'string' },
      trace: { type: 'boolean', default: false },
      'fault-phase': { type: 'string', default: '15000' },
      json: { type: 'string' },
      html: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const count = values.seed === undefined ? wholeNumber(values.seeds) : 1;
  return {
    first: wholeNumber(values.seed ?? values['first-seed']),
    count,
    jobs: values.trace ? 1 : Math.min(wholeNumber(values.jobs), count),
    trace: values.trace,
    faultPhaseMs: wholeNumber(values['fault-phase']),
    json: values.json,
    html: values.html,
  };
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`not a whole number: ${text}\n${USAGE}`);
  return value;
}

/** One seed after the other, in this process. */
function runHere({ first, count, trace, faultPhaseMs, html }: Options): Totals {
  const marks: Record<string, number> = {};
  globalThis.quorateMark = (name) => {
    marks[name] = (marks[name] ?? 0) + 1;
  };
  let totals = NO_TOTALS;
  for (let seed = first; seed < first + count; seed += 1) {
    const report = simulate(seed, { keepTrace: trace, faultPhaseMs });
    totals = sum(totals, totalsOf(report));
    if (trace) process.stdout.write(`${report.trace.join('\n')}\n`);
    if (report.violation === null) continue;
    const { checker, sentence, atMs } = report.violation;
    process.stderr.write(`seed ${seed} at ${atMs.toFixed(0)} ms: ${checker}: ${sentence}\n`);
    process.stderr.write(
      `  replay: npm run simulate -- --seed ${seed} --fault-phase ${faultPhaseMs} --trace\n`,
    );
    if (html !== undefined && report.timeline !== null) writeFileSync(html, report.timeline);
  }
  return { ...totals, marks: sumCounts(totals.marks, marks) };
}

/** The seeds in equal shares, each in a process of its own: what one seed does never depends on another. */
async function runJobs(options: Options): Promise<Totals> {
  const share = Math.ceil(options.count / options.jobs);
  const shares: Options[] = [];
  for (let offset = 0; offset < options.count; offset += share) {
    const count = Math.min(share, options.count - offset);
    shares.push({ ...options, first: options.first + offset, count });
  }
  const all = await Promise.all(shares.map(runJob));
  return all.reduce(sum, NO_TOTALS);
}

function runJob({ first, count, faultPhaseMs }: Options): Promise<Totals> {
  const [node, script] = [process.execPath, process.argv[1] ?? ''];
  const numbers = ['--first-seed', first, '--seeds', count, '--fault-phase', faultPhaseMs].map(String);
  const child = spawn(node, [...process.execArgv, script, ...numbers, '--jobs', '1', '--json', '-'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.on('data', (bytes: Buffer) => (out += bytes.toString()));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      // 1: violations, which the totals name.
      if (code === 0 || code === 1) resolve(JSON.parse(out) as Totals);
      else reject(new Error(`the process with seeds from ${first} on ended with ${code}`));
    });
  });
}

process.exitCode = await main();
