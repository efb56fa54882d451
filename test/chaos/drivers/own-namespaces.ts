import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';

/** Which namespaces a program that runs again may have of its own. */
export type NamespaceKind = 'net' | 'mount';

const MARK = 'CHAOS_OWN_NAMESPACES';
/** A pipe from the program that was started first: when that is gone, the pipe closes. */
const LIFELINE = 3;
/** Folders in the folder for temporary files. */
export const DISKS_OF_CONTAINERS = 'quorate-compose-';

/** Can this program make namespaces? Without them nothing is mounted either. */
export function mayHaveNamespaces(): boolean {
  return spawnSync('unshare', ['--mount', 'true'], { stdio: 'ignore' }).status === 0;
}

/** Is this program in such a namespace of its own? */
export function hasOwnNamespace(kind: NamespaceKind): boolean {
  return process.env[MARK]?.split(',').includes(kind) === true;
}

/**
 * Runs this program once more, with these parameters, in namespaces of its own (Linux, root), and resolves with its exit code. What it
 * mounts and makes of networks there ends with its last process. It ends when this one ends, whatever ends this one: it has to call
 * `endWithFirst`.
 */
export async function runInOwnNamespaces(
  kinds: readonly NamespaceKind[],
  parameters: readonly string[] = process.argv.slice(2),
): Promise<number> {
  const again = [process.execPath, ...process.execArgv, process.argv[1] ?? '', ...parameters];
  const child = spawn('unshare', [...kinds.map((kind) => `--${kind}`), ...again], {
    env: { ...process.env, [MARK]: kinds.join(',') },
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
  });
  // A signal for the whole terminal reaches it by itself.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
}

/**
 * In the program that runs again: what other runs have mounted for their containers is let go of here. A file system that has a copy of its mount in
 * some namespace is never wholly unmounted, and a power cut at it would last.
 */
export function dropMountsOfOthers(): void {
  if (!hasOwnNamespace('mount')) return;
  const mounted = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  for (const mountPoint of mounted) {
    if (mountPoint.startsWith(join(tmpdir(), DISKS_OF_CONTAINERS))) spawnSync('umount', [mountPoint]);
  }
}

/** In the program that runs again: it ends, in its ordinary way, when the first one is gone. */
export function endWithFirst(): void {
  if (process.env[MARK] === undefined) return;
  const lifeline = new Socket({ fd: LIFELINE });
  lifeline.once('close', () => process.exit(1));
  lifeline.on('error', () => undefined);
  lifeline.resume();
  lifeline.unref();
}
