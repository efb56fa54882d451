import { randomInt } from 'node:crypto';
import type { ClusterMember } from '@quorate/api';
import type { ClusterDescription } from '@quorate/link';
import { DecodeError } from '@quorate/kv';
import { memberId } from '@quorate/raft';
import type { Divergence } from '@quorate/replica';
import {
  NodeDisk,
  WalDamagedError,
  WalLockedError,
  WalNotEmptyError,
  formatWal,
  lockFolder,
  openWal,
  readIdentity,
  setAsideAndFormat,
} from '@quorate/wal';
import type { FolderLock, SnapshotFiles, Wal, WalIdentity, WalRecovered } from '@quorate/wal';
import { errorText } from '../configuration/cluster-file.js';
import { StartError } from '../configuration/configuration.js';
import { readDivergenceMark } from './divergence-mark.js';

export interface OpenFolder {
  readonly wal: Wal;
  readonly recovered: WalRecovered;
  readonly snapshots: SnapshotFiles;
  /** What an earlier process found out about the state of this member. */
  readonly divergence: Divergence | null;
  readonly lock: FolderLock;
}

/** What the folder of this member must say about itself. */
export function identityOf(cluster: ClusterDescription, self: ClusterMember): WalIdentity {
  const { clusterId, epoch } = cluster;
  return { clusterId, epoch, memberId: memberId(self.id), incarnation: self.incarnation };
}

/**
 * What a folder is formatted for. `newCluster`: all members begin from nothing. `recovery`: the others have gone on, or may have, and this one has
 * forgotten what it promised them: it takes no part before they have given it everything.
 */
export type FormatFor = 'newCluster' | 'recovery';

/** The log, or the snapshot, cannot be read as it was written. */
export class DamagedFolderError extends StartError {
  constructor(
    /** What is wrong, in a sentence. */
    readonly damage: string,
    remedy: string,
  ) {
    super(`${damage} ${remedy}`);
  }
}

/** So often may a log be damaged before somebody has to look at the disk. */
const SET_ASIDE_MAX = 3;

/** Tells one recovery of a member from any other. */
function drawRecovery(): number {
  return randomInt(1, 2 ** 48 - 1);
}

/**
 * Gives an empty folder its identity. True: it was formatted now; false: it has this very identity already, and keeps what it
 * holds. Any other folder that is not empty is refused. Throws StartError.
 */
export async function formatFolder(
  directory: string,
  identity: WalIdentity,
  formatFor: FormatFor,
): Promise<boolean> {
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
      if (formatFor === 'newCluster') formatWal(disk, directory, identity);
      else setAsideAndFormat(disk, directory, identity, drawRecovery());
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
      const divergence = readDivergenceMark(disk, directory);
      return { ...openWal(disk, directory), divergence, lock };
    } catch (error) {
      await lock.release();
      throw error;
    }
  } catch (error) {
    throw startError(directory, error);
  }
}

/**
 * P18, P21: a damaged log is no ground to vote or acknowledge on. Its files are kept under other names, and the member begins anew, as one that
 * lost everything. Returns those names. Throws StartError.
 */
export async function setFolderAside(directory: string, identity: WalIdentity): Promise<readonly string[]> {
  const disk = new NodeDisk();
  try {
    const kept = disk.list(directory).flatMap((name) => /^set-aside-(\d+)-/.exec(name)?.[1] ?? []);
    if (new Set(kept).size >= SET_ASIDE_MAX) {
      throw new StartError(
        `The log in ${directory} is damaged, as it was ${SET_ASIDE_MAX} times before (set-aside-*): this disk is not to be trusted. ` +
          `Replace it; or move those files away, and the member begins anew once more.`,
      );
    }
    const lock = await lockFolder(directory);
    try {
      return setAsideAndFormat(disk, directory, identity, drawRecovery());
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw startError(directory, error);
  }
}

function wiped(directory: string, member: number): StartError {
  return new StartError(
    `MEMBER_WIPED: the data folder ${directory} of member ${member} holds no log, although the cluster file says that it was ` +
      `formatted. A member that forgot its votes must not take part. If a disk is not mounted, mount it. If the folder is lost for good ` +
      `(an old copy is no better than none), run "quorate-store format --member ${member}": the member then ` +
      `fetches everything from the others, and takes no part until it has it. Meanwhile the cluster goes on as long as a majority of its members runs.`,
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
    return new DamagedFolderError(
      `The log in ${directory} is damaged: ${error.file} at byte ${error.offset}: ${error.reason}.`,
      `Nothing was changed. Check the disk.`,
    );
  }
  if (error instanceof DecodeError) {
    return new DamagedFolderError(
      `The snapshot in ${directory} is not whole: ${errorText(error)}.`,
      `Nothing was changed. Check the disk.`,
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
