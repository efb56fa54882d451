import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { clusterFilePath, cleanEnvironment, storeProgram } from './setup.js';
import { readClusterFile } from './cluster-file.js';
import { natsPasswordFile } from './nats.js';
import { CommandError } from './command-error.js';
import { basePortOf, planDevCluster } from './plan.js';
import { secretPaths } from './secrets.js';

/**
 * The state lies in slabs of 64 KiB outside the JavaScript heap. With its usual threshold glibc's malloc cuts them from its arenas, and
 * gives back little of what is freed: 770 MiB instead of 640 for a million entries that were all written twice.
 */
const MEMBER_ALLOCATOR = { MALLOC_MMAP_THRESHOLD_: '65536' };

/** The data folder of a member of a development cluster. */
export function memberDataFolder(folder: string, id: number): string {
  return join(folder, `member-${id}`);
}

/** The variables of one member of a development cluster. `natsPort` null: the feed runs over the link alone. */
export function memberEnvironment(folder: string, id: number, natsPort: number | null): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = {
    ...cleanEnvironment(),
    QUORATE_MEMBER: String(id),
    QUORATE_CLUSTER_FILE: clusterFilePath(folder),
    QUORATE_DATA_DIR: memberDataFolder(folder, id),
    QUORATE_SECRETS_DIR: secretPaths(folder).memberFolder,
    QUORATE_HOST: '127.0.0.1',
    ...MEMBER_ALLOCATOR,
  };
  if (natsPort === null) return environment;
  return { ...environment, ...natsVariables(folder, natsPort, 'member') };
}

/** The variables with which a member or a gateway reaches a development cluster's NATS server. */
export function natsVariables(
  folder: string,
  natsPort: number,
  role: 'member' | 'gateway',
): Readonly<Record<string, string>> {
  return {
    QUORATE_NATS_URL: `nats://127.0.0.1:${natsPort}`,
    QUORATE_NATS_USER: role,
    QUORATE_NATS_PASSWORD_FILE: natsPasswordFile(folder, role),
  };
}

/**
 * Runs one member of a development cluster in the foreground until it ends, and returns its exit code: for a member
 * that was killed and shall take part again.
 */
export async function runMember(folder: string, id: number): Promise<number> {
  const cluster = await readClusterFile(clusterFilePath(folder));
  if (cluster === null)
    throw new CommandError(`There is no cluster in ${folder}: start one with "quorate dev".`);
  if (!cluster.members.some((member) => member.id === id)) {
    const ids = cluster.members.map((member) => member.id).join(', ');
    throw new CommandError(`The cluster in ${folder} has no member ${id}; its members are ${ids}.`);
  }
  const { natsPort } = planDevCluster(cluster.members.length, basePortOf(cluster.members));
  const nats = await isListening('127.0.0.1', natsPort);
  const child = spawn(process.execPath, [await storeProgram()], {
    env: memberEnvironment(folder, id, nats ? natsPort : null),
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, pass);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
}

/** Does something accept connections there? */
export function isListening(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 500 });
    const answer = (listening: boolean): void => {
      socket.destroy();
      resolve(listening);
    };
    socket.once('connect', () => answer(true));
    socket.once('timeout', () => answer(false));
    socket.once('error', () => answer(false));
  });
}
