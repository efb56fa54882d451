// What the commands of package.json need before anything is installed: plain Node, no packages.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Ends with one sentence when this Node is too old: everything after would fail less clearly. */
export function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const fits = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major >= 24;
  if (fits) return;
  console.error(`Quorate needs Node 20.19 or later (20, 22.12+ or 24+); this is ${process.versions.node}.`);
  process.exit(1);
}

/** Runs a command with its output shown; ends this process with its exit code when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.status === 0) return;
  if (result.error) console.error(`${command}: ${result.error.message}`);
  process.exit(result.status ?? 1);
}

/** Is what node_modules holds what the lock file asks for? npm keeps a copy of the lock it installed from. */
function installed() {
  const copy = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(copy)) return false;
  const have = JSON.parse(readFileSync(copy, 'utf8')).packages;
  const want = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(want).every(
    ([path, entry]) =>
      !path.startsWith('node_modules/') || entry.optional || have[path]?.version === entry.version,
  );
}

/** Installs exactly what the lock file says, unless it is there already. */
export function install() {
  if (installed()) return;
  console.log('installing packages (npm ci) ...');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}

/** Compiles all workspaces; a fraction of a second when nothing changed. */
export function build() {
  if (!existsSync(join(root, 'apps/cli/dist/main.js'))) console.log('compiling ...');
  run(process.execPath, ['node_modules/typescript/bin/tsc', '-b']);
}
