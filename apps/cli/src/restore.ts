import { mkdir, readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { inspectBackup } from './backup-commands.js';
import { clusterFileText, newCluster } from './cluster-file.js';
import type { PlannedMember } from './cluster-file.js';
import { CommandError } from './command-error.js';
import { memberDataFolder } from './member.js';
import { prepareSecrets, renameDurably, writeSecret } from './secrets.js';
import {
  clusterFilePath,
  giveClusterFile,
  refuseUnfinishedRestore,
  restoringClusterFile,
  runStore,
} from './setup.js';

export interface RestoreOptions {
  readonly file: string;
  readonly folder: string;
  readonly members: readonly PlannedMember[];
  readonly print: (line: string) => void;
}

/**
 * Makes a new cluster from a backup, offline. It has the id of the old one and the next epoch, so that caches, tokens and
 * members of the old one are told apart from it; and incarnations, keys and an admin token of its own. The backup is
 * restored into a state machine before anything is written. cluster.json gets its name last: until then nothing starts.
 */
export async function restore({ file, folder, members, print }: RestoreOptions): Promise<void> {
  await refuseUsed(folder);
  const { header } = inspectBackup(file);
  for (const line of await runStore(['verify', file], {})) print(line);

  const cluster = newCluster(members, header);
  const restoring = restoringClusterFile(folder);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeSecret(restoring, clusterFileText(cluster));
  await prepareSecrets(folder);
  // One after the other: each restores the state once more in memory before it writes.
  for (const { id } of members) {
    const lines = await runStore(['restore', '--member', String(id), '--backup', resolve(file)], {
      QUORATE_CLUSTER_FILE: restoring,
      QUORATE_DATA_DIR: memberDataFolder(folder, id),
    });
    for (const line of lines) print(line);
  }
  await renameDurably(restoring, clusterFilePath(folder));
  await giveClusterFile(folder, cluster);
  print(
    `Made cluster ${cluster.clusterId}, epoch ${cluster.epoch} (the backup is of epoch ${header.epoch}), of ${members.length} ` +
      `in ${folder}: new keys, and a new admin token in admin.token`,
  );
  print('Stop what is left of the old cluster before this one is used: the two know nothing of each other.');
}

async function refuseUsed(folder: string): Promise<void> {
  await refuseUnfinishedRestore(folder);
  const found = await readdir(folder).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw new CommandError(`${folder} cannot be used: ${error instanceof Error ? error.message : ''}.`);
  });
  if (found.length === 0) return;
  throw new CommandError(
    `${folder} is not empty (it holds ${found[0]}): a restore makes a new cluster in an empty folder. Nothing was changed.`,
  );
}
