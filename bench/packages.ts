import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

/** Kept for the next run; nothing is ever installed. */
const FOLDER = join(tmpdir(), 'quorate-bench-peers');
const NEWEST = 'sid';
const NEWEST_TIME_LIMIT_MS = 60_000;
const TIME_LIMIT_MS = 120_000;

/** How a program is found that may come from a Debian package. */
export interface Wanted {
  readonly name: string;
  readonly package: string;
  /** Packages of the dependencies that are unpacked beside it; all others must be on the machine. */
  readonly dependencies: RegExp | null;
  /** Where the program lies: within the unpacked packages, and on the machine. */
  readonly file: string;
  /** Whether Debian's newest release is asked before what is installed. */
  readonly newestFirst: boolean;
}

export interface Found {
  /** The file that was wanted. */
  readonly path: string;
  /** What it was unpacked into; `/` when it is installed. */
  readonly root: string;
  readonly origin: string;
}

/**
 * Finds a program, or fetches it, and returns what `make` makes of it: the first that runs here. Null when it cannot be had; `tell` hears
 * what was tried in vain.
 */
export function findProgram<Made>(
  wanted: Wanted,
  make: (found: Found) => Made,
  tell: (line: string) => void,
): Made | null {
  const ways = [() => installed(wanted), () => unpacked(wanted, null, tell)];
  const newest = (): Found | null => unpacked(wanted, NEWEST, tell);
  for (const way of wanted.newestFirst ? [newest, ...ways] : ways) {
    const found = way();
    if (found === null) continue;
    try {
      return make(found);
    } catch (error) {
      tell(`${wanted.name} ${found.origin} does not run here: ${firstLine(error)}`);
    }
  }
  return null;
}

function installed({ file }: Wanted): Found | null {
  const fileName = file.split('/').at(-1) ?? file;
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const path = [join('/', file), ...folders.map((folder) => join(folder, fileName))].find(existsSync);
  if (path === undefined) return null;
  return { path, root: '/', origin: 'installed' };
}

/** From packages of this release of Debian, null: of the machine's own. */
function unpacked(wanted: Wanted, release: string | null, tell: (line: string) => void): Found | null {
  const folder = join(FOLDER, release ?? 'own', wanted.name);
  const root = join(folder, 'root');
  const note = join(folder, 'complete');
  const path = join(root, wanted.file);
  const origin = release === null ? "from the machine's Debian release" : `from Debian ${release}`;
  if (!existsSync(note) || !existsSync(path)) {
    try {
      const timeLimitMs = release === null ? TIME_LIMIT_MS : NEWEST_TIME_LIMIT_MS;
      fetchInto(folder, wanted, release, performance.now() + timeLimitMs);
      writeFileSync(note, '');
    } catch (error) {
      tell(`${wanted.name} ${origin}: ${firstLine(error)}`);
      return null;
    }
  }
  return { path, root, origin };
}

function fetchInto(folder: string, wanted: Wanted, release: string | null, deadlineMs: number): void {
  rmSync(folder, { recursive: true, force: true });
  const root = join(folder, 'root');
  mkdirSync(root, { recursive: true });
  const run = (command: string, parameters: readonly string[]): string =>
    execFileSync(command, parameters, {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: Math.max(1, Math.round(deadlineMs - performance.now())),
      maxBuffer: 1 << 26,
    });
  const options = release === null ? [] : ofRelease(release, run);
  const names = [wanted.package, ...dependenciesOf(wanted, options, run)];
  run('apt-get', [...options, 'download', ...names]);
  const archives = readdirSync(folder).filter((name) => name.endsWith('.deb'));
  for (const archive of archives) {
    run('dpkg', ['-x', join(folder, archive), root]);
    rmSync(join(folder, archive));
  }
}

function dependenciesOf(
  wanted: Wanted,
  options: readonly string[],
  run: (command: string, parameters: readonly string[]) => string,
): string[] {
  const { dependencies } = wanted;
  if (dependencies === null) return [];
  const unwanted = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'];
  const text = run('apt-cache', [
    ...options,
    'depends',
    '--recurse',
    ...unwanted.map((kind) => `--no-${kind}`),
    wanted.package,
  ]);
  // Names of packages stand at the beginning of a line; virtual ones are in angle brackets.
  const names = text.split('\n').filter((line) => /^[a-z0-9]/.test(line) && dependencies.test(line));
  return [...new Set(names)].filter((name) => name !== wanted.package);
}

/** Options that make apt look at another release, with lists of its own: the machine's stay as they are. */
function ofRelease(
  release: string,
  run: (command: string, parameters: readonly string[]) => string,
): string[] {
  const base = join(FOLDER, `apt-${release}`);
  const lists = join(base, 'state/lists');
  for (const folder of [join(lists, 'partial'), join(base, 'cache/archives/partial')]) {
    mkdirSync(folder, { recursive: true });
  }
  const sources = join(base, 'sources.list');
  const options = Object.entries({
    'Dir::State': join(base, 'state'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(base, 'cache'),
    'Dir::Etc::sourcelist': sources,
    'Dir::Etc::sourceparts': '-',
    'Acquire::Languages': 'none',
    'APT::Sandbox::User': 'root',
  }).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  if (existsSync(join(base, 'updated'))) return options;
  writeFileSync(sources, `deb [${signature()}] ${mirror(run)} ${release} main\n`);
  run('apt-get', [...options, 'update']);
  writeFileSync(join(base, 'updated'), '');
  return options;
}

/** Where this machine gets its own packages from. */
function mirror(run: (command: string, parameters: readonly string[]) => string): string {
  const targets = run('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages']);
  const uri = targets.split('\n').find((line) => /\/debian\/?$/.test(line));
  if (uri === undefined) throw new Error('this machine knows no Debian archive');
  return uri;
}

function signature(): string {
  return 'signed-by=/usr/share/keyrings/debian-archive-keyring.gpg';
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const reason = text.split('\n').find((line) => line.startsWith('E: ')) ?? text.split('\n')[0] ?? text;
  return /ETIMEDOUT/.test(text) ? 'not within the time limit' : reason;
}
