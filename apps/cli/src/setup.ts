import { spawn } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ClusterFile } from '@quorate/api';
import { clusterFileText, newCluster, readClusterFile, sameMembers } from './cluster-file.js';
import type { PlannedMember } from './cluster-file.js';
import { CommandError } from './command-error.js';
import { prepareSecrets, readIfPresent, renameDurably, secretPaths, writeSecret } from './secrets.js';

export interface SetUp {
  readonly cluster: ClusterFile;
  /** False: the cluster was there already. */
  readonly created: boolean;
}

/** The path of a cluster's list of members. */
export function clusterFilePath(folder: string): string {
  return join(folder, 'cluster.json');
}

/**
 * Makes a cluster in `folder`, or returns the one that is there. cluster.json gets its name last, when every data
 * folder is formatted: a set-up that was cut short goes on where it stopped, and once the file has its name no folder
 * is ever formatted again. A member whose folder is gone after that must refuse, not start afresh: it would have
 * forgotten its votes (P32).
 */
export async function setUpCluster(
  folder: string,
  plan: readonly PlannedMember[],
  dataFolders: ReadonlyMap<number, string>,
): Promise<SetUp> {
  const path = clusterFilePath(folder);
  const existing = await readClusterFile(path);
  await refuseUnfinishedRestore(folder);
  await prepareSecrets(folder);
  if (existing !== null) {
    await giveClusterFile(folder, existing);
    return { cluster: existing, created: false };
  }

  const preparing = `${path}.preparing`;
  let cluster = await readClusterFile(preparing);
  if (cluster === null || !sameMembers(cluster.members, plan)) {
    if (cluster !== null) await refuseFormattedFolders(dataFolders);
    cluster = newCluster(plan);
    await writeSecret(preparing, clusterFileText(cluster));
  }
  await Promise.all([...dataFolders].map(([id, dataFolder]) => formatMember(id, preparing, dataFolder)));
  // First the name that ends the set-up: while it is missing no member may be able to start.
  await renameDurably(preparing, path);
  await giveClusterFile(folder, cluster);
  return { cluster, created: true };
}

/** While it is there a restore has not ended: some of the members may hold nothing yet. */
export function restoringClusterFile(folder: string): string {
  return `${clusterFilePath(folder)}.restoring`;
}

/** Members that were not restored yet would outvote those that were, and their emptiness would become the truth. */
export async function refuseUnfinishedRestore(folder: string): Promise<void> {
  if ((await readIfPresent(restoringClusterFile(folder))) === null) return;
  throw new CommandError(
    `A restore into ${folder} stopped half-way: remove that folder and restore the backup again.`,
  );
}

/** Members and gateways find cluster.json beside their secrets too: a container then needs that one folder. */
export async function giveClusterFile(folder: string, cluster: ClusterFile): Promise<void> {
  const { memberFolder, gatewayFolder } = secretPaths(folder);
  const text = clusterFileText(cluster);
  for (const path of [clusterFilePath(memberFolder), clusterFilePath(gatewayFolder)]) {
    if ((await readIfPresent(path)) !== text) await writeSecret(path, text);
  }
}

async function refuseFormattedFolders(dataFolders: ReadonlyMap<number, string>): Promise<void> {
  for (const folder of dataFolders.values()) {
    if (!(await isEmpty(folder))) {
      throw new CommandError(
        `An earlier set-up with other members stopped half-way and left ${folder}: remove that folder and start again.`,
      );
    }
  }
}

async function isEmpty(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder)).length === 0;
  } catch {
    return true;
  }
}

/** The JavaScript file that runs one member. */
export function storeProgram(): Promise<string> {
  return programOf('@quorate/store', () => import.meta.resolve('@quorate/store/package.json'));
}

/** The JavaScript file that runs a gateway. */
export function gatewayProgram(): Promise<string> {
  return programOf('@quorate/gateway', () => import.meta.resolve('@quorate/gateway/package.json'));
}

/** The `bin` of a package, found as Node finds the package. */
async function programOf(packageName: string, resolveManifest: () => string): Promise<string> {
  let manifestUrl: string;
  try {
    manifestUrl = resolveManifest();
  } catch {
    throw new CommandError(`${packageName} is not installed: run npm install.`);
  }
  const manifestPath = fileURLToPath(manifestUrl);
  const manifest: unknown = JSON.parse(await readFile(manifestPath, 'utf8'));
  if (typeof manifest === 'object' && manifest !== null && 'bin' in manifest) {
    const { bin } = manifest;
    const first: unknown = typeof bin === 'object' && bin !== null ? Object.values(bin)[0] : bin;
    if (typeof first === 'string') return resolve(dirname(manifestPath), first);
  }
  throw new CommandError(`${packageName} has no command.`);
}

/** Our own environment without the variables of Quorate: a child gets exactly those that are meant for it. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('QUORATE_')));
}

/** Runs `quorate-store format`: the explicit act that gives a folder its identity. Running it again is harmless. */
async function formatMember(id: number, clusterFile: string, dataFolder: string): Promise<void> {
  await runStore(['format', '--member', String(id), '--new-cluster'], {
    QUORATE_CLUSTER_FILE: clusterFile,
    QUORATE_DATA_DIR: dataFolder,
  });
}

/** Runs a command of `quorate-store` and returns the lines it printed. CommandError with its own words when it fails. */
export async function runStore(
  parameters: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const program = await storeProgram();
  const child = spawn(process.execPath, [program, ...parameters], {
    env: { ...cleanEnvironment(), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (printed.length < 65_536) printed += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (said.length < 4096) said += text;
  });
  const code = await new Promise<number | null>((done, failed) => {
    child.once('error', failed);
    child.once('close', done);
  });
  if (code !== 0) throw new CommandError(said.trim() || `quorate-store ${parameters[0]} failed (${code}).`);
  return printed.split('\n').filter((line) => line !== '');
}
