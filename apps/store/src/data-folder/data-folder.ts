import type { ClusterMember } from '@quorate/api';
import type { ClusterDescription } from '@quorate/link';
import { DecodeError } from '@quorate/kv';
import { memberId } from '@quorate/raft';
import {
  NodeDisk,
  WalDamagedError,
  WalLockedError,
  WalNotEmptyError,
  formatWal,
  lockFolder,
  openWal,
  readIdentity,
} from '@quorate/wal';
import type { FolderLock, SnapshotFiles, Wal, WalIdentity, WalRecovered } from '@quorate/wal';
import { errorText } from '../configuration/cluster-file.js';
import { StartError } from '../configuration/configuration.js';

export interface OpenFolder {
  readonly wal: Wal;
  readonly recovered: WalRecovered;
  readonly snapshots: SnapshotFiles;
  readonly lock: FolderLock;
}

/** What the folder of this member must say about itself. */
export function identityOf(cluster: ClusterDescription, self: ClusterMember): WalIdentity {
  const { clusterId, epoch } = cluster;
  return { clusterId, epoch, memberId: memberId(self.id), incarnation: self.incarnation };
}

/**
 * Gives an empty folder its identity. True: it was formatted now; false: it has this very identity already, and keeps what it
 * holds. Any other folder that is not empty is refused. Throws StartError.
 */
export async function formatFolder(directory: string, identity: WalIdentity): Promise<boolean> {
  const disk = new NodeDisk();
  try {
    disk.makeDirectory(directory);
    const lock = await lockFolder(directory);
    try {
      const found = readIdentity(disk, directory);
      if (found !== null) {
        refuseOther(directory, found, identity);
        return false;
      }
      formatWal(disk, directory, identity);
      return true;
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw startError(directory, error);
  }
}

/**
 * Opens a member's folder: its identity is compared before anything else, the lock keeps a second process out, then the
 * log is read. Throws StartError with the one sentence that says what is wrong (P32, P33).
 */
export async function openFolder(directory: string, identity: WalIdentity): Promise<OpenFolder> {
  const disk = new NodeDisk();
  try {
    const found = readIdentity(disk, directory);
    if (found === null) throw wiped(directory, identity.memberId);
    refuseOther(directory, found, identity);
    const lock = await lockFolder(directory);
    try {
      return { ...openWal(disk, directory), lock };
    } catch (error) {
      await lock.release();
      throw error;
    }
  } catch (error) {
    throw startError(directory, error);
  }
}

function wiped(directory: string, member: number): StartError {
  return new StartError(
    `MEMBER_WIPED: the data folder ${directory} of member ${member} holds no log, although the cluster file says that it was ` +
      `formatted. A member that forgot its votes must not take part. If a disk is not mounted, mount it; if there is a copy ` +
      `of the folder as it was last, put it back. Meanwhile the cluster goes on as long as a majority of its members runs.`,
  );
}

/** P32, P33: never take part with the log of somebody else. */
function refuseOther(directory: string, found: WalIdentity, expected: WalIdentity): void {
  if (found.clusterId !== expected.clusterId) {
    throw new StartError(
      `The data folder ${directory} belongs to cluster ${found.clusterId}, not to ${expected.clusterId}: check QUORATE_DATA_DIR and QUORATE_CLUSTER_FILE.`,
    );
  }
  if (found.memberId !== expected.memberId) {
    throw new StartError(
      `The data folder ${directory} belongs to member ${found.memberId}, not to member ${expected.memberId}: check QUORATE_DATA_DIR and QUORATE_MEMBER.`,
    );
  }
  if (found.incarnation !== expected.incarnation) {
    throw new StartError(
      `MEMBER_WIPED: the data folder ${directory} of member ${found.memberId} was formatted anew (incarnation ${found.incarnation}; ` +
        `the cluster file says ${expected.incarnation}). A member that forgot its votes must not take part: put the original folder back.`,
    );
  }
  if (found.epoch !== expected.epoch) {
    throw new StartError(
      `The data folder ${directory} is of epoch ${found.epoch}, not ${expected.epoch}: check QUORATE_CLUSTER_FILE.`,
    );
  }
}

/** What is wrong with a folder, for the operator. Programmer errors stay what they are. */
export function startError(directory: string, error: unknown): unknown {
  if (error instanceof WalLockedError) {
    return new StartError(`The data folder ${directory} is in use by another process: stop that one first.`);
  }
  if (error instanceof WalNotEmptyError) {
    return new StartError(
      `The data folder ${directory} is not empty (it holds ${error.found}), so it is not formatted: name an empty folder.`,
    );
  }
  if (error instanceof WalDamagedError) {
    return new StartError(
      `The log in ${directory} is damaged: ${error.file} at byte ${error.offset}: ${error.reason}. Nothing was changed. ` +
        `Check the disk, and put back the folder as it was last.`,
    );
  }
  if (error instanceof DecodeError) {
    return new StartError(
      `The snapshot in ${directory} is not whole: ${errorText(error)}. Check the disk, and put back the folder as it was last.`,
    );
  }
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    return new StartError(`The data folder ${directory} cannot be used: ${errorText(error)}.`);
  }
  return error;
}

/** Flushes and closes the log, then lets others in. Rejects with the log's failure, if it had one. */
export async function closeFolder({ wal, lock }: Pick<OpenFolder, 'wal' | 'lock'>): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      wal.close((error) => (error === null ? resolve() : reject(error)));
    });
  } finally {
    await lock.release();
  }
}
