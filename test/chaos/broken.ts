// `npm run chaos:broken` (docs/chaos.md): can the suite see? Each build of the catalogue is the project with one bug in it, in a folder of its own; the
// suite runs against it and must convict it of a broken promise. Ends with a table and `N passed, N failed`; exit code 1 when one is not convicted.
// `-- B3 B5`: only these; `--seed N`: of the first try; `--table FILE`: writes the table. Build first.
import { spawn } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { atEnd, signalProcess } from '../../bench/lifetimes.js';
import { mutate } from '../loader/instrument.mjs';
import { BROKEN_BUILDS, type BrokenBuild } from './broken-builds.js';
import type { ChaosResult } from './run.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** A bug that needs luck gets so many seeds. */
const TRIES_MAX = 4;
const BUILD_TIMEOUT_MS = 300_000;
const RUN_TIMEOUT_MS = 420_000;
/** What no run needs, or what is another program's. */
const LEFT_OUT = new Set(['.git', '.cache', 'node_modules', 'chaos-runs', 'coverage', '.quorate']);

interface Conviction {
  readonly build: BrokenBuild;
  /** Of the try that convicted it; null: none did. */
  readonly seed: number | null;
  readonly tries: number;
  /** Those of its list that were violated. */
  readonly promises: readonly string[];
  readonly story: string;
  readonly seconds: number;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** The project once more. Only what nobody writes is a hard link: the compiler writes into files as they are. */
function copyProject(to: string): void {
  for (const name of readdirSync(ROOT)) {
    if (LEFT_OUT.has(name)) continue;
    cpSync(join(ROOT, name), join(to, name), {
      recursive: true,
      preserveTimestamps: true,
      verbatimSymlinks: true,
      filter: (path) => !LEFT_OUT.has(path.slice(path.lastIndexOf('/') + 1)),
    });
  }
  linkTree(join(ROOT, 'node_modules'), join(to, 'node_modules'));
  for (const apps of ['apps', 'libs']) {
    for (const name of readdirSync(join(ROOT, apps))) {
      const own = join(ROOT, apps, name, 'node_modules');
      if (existsSync(own)) linkTree(own, join(to, apps, name, 'node_modules'));
    }
  }
}

function linkTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.name === '.cache') continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) linkTree(source, target);
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), target);
    else linkOrCopy(source, target);
  }
}

function linkOrCopy(source: string, target: string): void {
  try {
    linkSync(source, target);
  } catch {
    // Another file system.
    copyFileSync(source, target);
  }
}

/** Its whole output; rejects when it takes too long. It ends with this program. */
function run(folder: string, parameters: readonly string[], timeoutMs: number, log: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, parameters, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    const pid = child.pid ?? 0;
    const forget = atEnd(() => signalProcess(pid, 'SIGKILL'));
    let text = '';
    child.stdout.on('data', (bytes: Buffer) => (text += bytes.toString()));
    child.stderr.on('data', (bytes: Buffer) => (text += bytes.toString()));
    // Its processes end with it.
    const timer = setTimeout(() => signalProcess(pid, 'SIGKILL'), timeoutMs);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      forget();
      writeFileSync(log, text);
      resolve(code ?? 1);
    });
  });
}

async function convict(build: BrokenBuild, firstSeed: number): Promise<Conviction> {
  const startedMs = performance.now();
  const folder = mkdtempSync(join(tmpdir(), 'quorate-broken-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  const forget = atEnd(remove);
  const seconds = (): number => (performance.now() - startedMs) / 1_000;
  try {
    await breakProject(folder, build);
    for (let tries = 1; tries <= TRIES_MAX; tries += 1) {
      const seed = firstSeed + tries - 1;
      const violations = await violationsOf(folder, build, seed);
      const found = violations.filter(({ promise }) => build.promises.includes(promise));
      const promises = [...new Set(found.map(({ promise }) => promise))];
      const others = [...new Set(violations.map(({ promise }) => promise))];
      print(`${build.id}, seed ${seed}: ${others.length === 0 ? 'nothing was broken' : others.join(', ')}`);
      if (found[0] === undefined) continue;
      return { build, seed, tries, promises, story: found[0].story, seconds: seconds() };
    }
    return { build, seed: null, tries: TRIES_MAX, promises: [], story: '', seconds: seconds() };
  } finally {
    remove();
    forget();
  }
}

async function breakProject(folder: string, { change }: BrokenBuild): Promise<void> {
  const broken = mutate(readFileSync(join(ROOT, change.file), 'utf8'), change);
  copyProject(folder);
  writeFileSync(join(folder, change.file), broken);
  const log = join(folder, 'build.log');
  const compiler = ['node_modules/typescript/bin/tsc', '-b'];
  if ((await run(folder, compiler, BUILD_TIMEOUT_MS, log)) !== 0)
    throw new Error(`it cannot be built:\n${readFileSync(log, 'utf8').slice(-2_000)}`);
}

async function violationsOf(
  folder: string,
  { words }: BrokenBuild,
  seed: number,
): Promise<ChaosResult['verdict']['violations']> {
  const out = join(folder, 'out', String(seed));
  const suite = ['--import', './test/loader/register.mjs', 'test/chaos/main.ts'];
  const log = join(folder, `run-${seed}.log`);
  await run(folder, [...suite, ...words, '--seed', String(seed), '--out', out], RUN_TIMEOUT_MS, log);
  const [name] = existsSync(out) ? readdirSync(out) : [];
  if (name === undefined) {
    print(`there was no verdict:\n${readFileSync(log, 'utf8').slice(-1_500)}`);
    return [];
  }
  const kept = JSON.parse(readFileSync(join(out, name, 'run.json'), 'utf8')) as ChaosResult;
  return kept.verdict.violations;
}

function tableOf(convictions: readonly Conviction[]): readonly string[] {
  return [
    '| | what is wrong | the suite runs | try | convicted by | seconds |',
    '|---|---|---|--:|---|--:|',
    ...convictions.map(({ build, seed, tries, promises, seconds }) => {
      const by = seed === null ? 'NOT CONVICTED' : promises.join(', ');
      return `| ${build.id} | ${build.bug} | \`${build.words.join(' ')}\` | ${tries} | ${by} | ${seconds.toFixed(0)} |`;
    }),
  ];
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { seed: { type: 'string' }, table: { type: 'string' } },
    allowPositionals: true,
  });
  const seed = Number(values.seed ?? 1);
  const builds = BROKEN_BUILDS.filter(({ id }) => positionals.length === 0 || positionals.includes(id));
  const convictions: Conviction[] = [];
  for (const build of builds) {
    print(`\n== ${build.id}: ${build.bug}`);
    const startedMs = performance.now();
    const conviction = await convict(build, seed).catch((error: unknown): Conviction => {
      print(`${build.id}: ${error instanceof Error ? error.message : String(error)}`);
      const seconds = (performance.now() - startedMs) / 1_000;
      return { build, seed: null, tries: 0, promises: [], story: '', seconds };
    });
    convictions.push(conviction);
    print(conviction.seed === null ? 'NOT CONVICTED' : `convicted: ${conviction.story}`);
  }
  const table = tableOf(convictions);
  if (values.table !== undefined) writeFileSync(values.table, `${table.join('\n')}\n`);
  const passed = convictions.filter((one) => one.seed !== null).length;
  print(`\n${table.join('\n')}\n`);
  print(`${passed} passed, ${convictions.length - passed} failed`);
  return passed === convictions.length && passed > 0 ? 0 : 1;
}

process.exitCode = await main();
