// `npm run mutations`: puts each bug of the catalogue into the source, lets its finder look for it, and writes docs/mutations.md.
// Ends non-zero when one is not found. `npm run mutations -- M7 M9`: only these, and nothing is written. `--check`: all, the
// published seed, scenario or world of each first, and nothing is written.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { MUTATIONS, type Finder, type Mutation } from './catalogue.js';
import type { Finding } from './find.js';

/** What a finder may spend on one mutation. */
const SEEDS_MAX = 200;
const SECONDS_MAX = 300;

const PAGE = new URL('../../docs/mutations.md', import.meta.url);
const isCheck = process.argv.includes('--check');

const root = fileURLToPath(new URL('../../', import.meta.url));

interface Result extends Finding {
  readonly mutation: Mutation;
  readonly finder: Finder;
}

/** What found it when the table was written: see find.ts. */
function hintOf({ id, finder }: Mutation): string {
  if (!isCheck || !existsSync(PAGE)) return '';
  const cells = readFileSync(PAGE, 'utf8')
    .split('\n')
    .find((line) => line.startsWith(`| ${id} |`))
    ?.split('|');
  const isWorld = finder === 'small scope';
  return (isWorld ? cells?.[4]?.replace('small scope:', '') : cells?.[5])?.trim() ?? '';
}

function find(mutation: Mutation): Promise<Result> {
  const finder = mutation.finder ?? 'simulator';
  const startedMs = performance.now();
  return new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      [
        '--import',
        './test/loader/register.mjs',
        'test/mutations/find.ts',
        finder,
        String(SEEDS_MAX),
        hintOf(mutation),
      ],
      {
        cwd: root,
        env: { ...process.env, SOURCE_MUTATION: JSON.stringify(mutation) },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let out = '';
    let errors = '';
    child.stdout.on('data', (bytes: Buffer) => (out += bytes.toString()));
    child.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));
    const timer = setTimeout(() => child.kill('SIGKILL'), SECONDS_MAX * 1_000);
    child.on('close', (code) => {
      clearTimeout(timer);
      const seconds = (performance.now() - startedMs) / 1000;
      const answer = out.trim().split('\n').at(-1);
      if (code === 0 && answer) resolve({ mutation, finder, ...(JSON.parse(answer) as Finding) });
      else resolve({ mutation, finder, violation: null, effort: 0, seconds });
      if (code !== 0) process.stderr.write(`${mutation.id}: ended with ${code}\n${errors.slice(-2_000)}\n`);
    });
  });
}

async function findAll(mutations: readonly Mutation[]): Promise<Result[]> {
  const results: Result[] = [];
  const queue = [...mutations];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const result = await find(next);
      results.push(result);
      process.stdout.write(`${row(result)}\n`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, worker));
  return results.toSorted(
    (one, other) => mutations.indexOf(one.mutation) - mutations.indexOf(other.mutation),
  );
}

function row({ mutation, finder, violation, effort, seconds }: Result): string {
  const by = violation === null ? 'not found' : `${finder}: ${violation}`;
  return `| ${mutation.id} | ${mutation.rule} | ${mutation.bug} | ${by} | ${effort} | ${seconds.toFixed(1)} |`;
}

function page(results: readonly Result[]): string {
  const counts = results.map(({ effort, finder }) => (finder === 'simulator' ? effort : 0));
  const worst = Math.max(...counts);
  return `# Seeded bugs

Each row is a bug that is put into the source text on purpose, one at a time, by the loader of the tests; product code has no switch for it. A search
then has to find it: the simulator with random seeds from 1 on, the directed scenarios, the written scenarios of the
Raft core (libs/raft/testdata), the small-scope search over that core, snapshots of kv that are read while commands are applied, keys of kv that come and go, peeks into random caches, or the crash points, disk faults and damage of the log, and the search over setting one aside. One that is not found fails CI, and so does one whose text is no longer in the source.

Budget of each: ${SEEDS_MAX} seeds for the simulator (the most that was needed: ${worst}), ${SECONDS_MAX} seconds in all. Written by \`npm run mutations\`; \`npm run mutations -- M7\`
shows one. Effort: seeds, scenarios, states, snapshots or crash points until it was found; seconds on the machine that wrote this page.

| bug | rule | what is wrong | found by | effort | seconds |
|---|---|---|---|---|---|
${results.map(row).join('\n')}
`;
}

const asked = process.argv.slice(2).filter((word) => word !== '--check');
const results = await findAll(MUTATIONS.filter(({ id }) => asked.length === 0 || asked.includes(id)));
const missed = results.filter(({ violation }) => violation === null);
process.stdout.write(`${results.length - missed.length} of ${results.length} found\n`);
if (process.argv.length === 2) writeFileSync(PAGE, page(results));
process.exitCode = missed.length === 0 ? 0 : 1;
