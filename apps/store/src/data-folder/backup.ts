import { closeSync, openSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { BackupFileError, readBackupFile } from '@quorate/api';
import type { BackupHeader } from '@quorate/api';
import { DecodeError, StateMachine } from '@quorate/kv';
import { logIndex, term } from '@quorate/raft';
import {
  NodeDisk,
  WalNotEmptyError,
  formatWal,
  lockFolder,
  readIdentity,
  writeSnapshotNow,
} from '@quorate/wal';
import type { WalIdentity } from '@quorate/wal';
import { errorText } from '../configuration/cluster-file.js';
import { StartError } from '../configuration/configuration.js';
import { startError } from './data-folder.js';

/** A backup is read in pieces of so many bytes. */
const PIECE_BYTES = 1024 * 1024;

/** What a backup was found to hold. */
export interface VerifiedBackup {
  readonly header: BackupHeader;
  readonly payloadBytes: number;
  readonly entries: number;
  /** 32 hex digits. The backup carries it, and the restored state has it. */
  readonly stateHash: string;
}

/**
 * Verifies a backup by restoring it: every checksum of the file, the checksum that the member took of its payload, the state
 * hash of what comes out. Changes nothing. Throws StartError with the one sentence that says what is wrong.
 */
export function verifyBackup(file: string): VerifiedBackup {
  try {
    const payload = new BackupPayload(file);
    const machine = StateMachine.restore(payload.chunks());
    const { header, payloadBytes } = payload.verified();
    if (machine.head !== header.revision) {
      throw new StartError(
        `${file} says revision ${header.revision}, but its content is of revision ${machine.head}.`,
      );
    }
    if (machine.appliedIndex !== header.index) {
      throw new StartError(
        `${file} says log index ${header.index}, but its content is of index ${machine.appliedIndex}.`,
      );
    }
    return { header, payloadBytes, entries: machine.entryCount, stateHash: machine.stateHash() };
  } catch (error) {
    throw backupError(file, error);
  }
}

/**
 * Gives an empty folder the identity of a member of the restored cluster, and the snapshot of the backup. The backup is verified
 * first, by restoring it; until then nothing is written. Throws StartError.
 */
export async function restoreFolder(
  file: string,
  directory: string,
  identity: WalIdentity,
): Promise<VerifiedBackup> {
  const verified = verifyBackup(file);
  refuseOtherCluster(file, verified.header, identity);
  const disk = new NodeDisk();
  try {
    disk.makeDirectory(directory);
    const lock = await lockFolder(directory);
    try {
      // Its own identity too: a folder that is there already may hold promises and writes.
      if (readIdentity(disk, directory) !== null) throw new WalNotEmptyError(directory, 'a log');
      // Cut short, it leaves a folder without an identity: no member starts on an empty log that should not be empty.
      formatWal(disk, directory, identity, () => {
        const payload = new BackupPayload(file);
        const point = { index: logIndex(verified.header.index), term: term(verified.header.term) };
        const written = writeSnapshotNow(disk, directory, identity, point, payload.chunks());
        const { header } = payload.verified();
        if (written.digest !== verified.header.digest || header.digest !== written.digest) {
          throw new StartError(`${file} changed while it was read: remove ${directory} and restore again.`);
        }
      });
      return verified;
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw startError(directory, backupError(file, error));
  }
}

/** A later epoch of the same cluster, so that nobody takes the restored cluster for the one that was backed up. */
function refuseOtherCluster(file: string, header: BackupHeader, identity: WalIdentity): void {
  const { clusterId, epoch } = identity;
  if (header.clusterId !== clusterId) {
    throw new StartError(
      `${file} is a backup of cluster ${header.clusterId}, not of ${clusterId}: check QUORATE_CLUSTER_FILE.`,
    );
  }
  if (header.epoch >= epoch) {
    throw new StartError(
      `${file} is a backup of epoch ${header.epoch}: the cluster that is made from it needs a later epoch than ${epoch}.`,
    );
  }
}

/** The payload of a backup file, read once. What it yields is verified only when `verified` says so. */
class BackupPayload {
  readonly #file: string;
  #verified: { readonly header: BackupHeader; readonly payloadBytes: number } | null = null;

  constructor(file: string) {
    this.#file = file;
  }

  *chunks(): Generator<Uint8Array, void> {
    let digest = 0;
    for (const part of readBackupFile(piecesOf(this.#file))) {
      if (part.type === 'chunk') {
        digest = crc32(part.data, digest);
        yield part.data;
      } else if (part.type === 'end') {
        const { header, payloadBytes } = part.summary;
        if (digest !== header.digest)
          throw new BackupFileError('is damaged: its payload is not what the member took its checksum of');
        this.#verified = { header, payloadBytes };
      }
    }
  }

  /** What its end said. Throws BackupFileError if it was not read to its end. */
  verified(): { readonly header: BackupHeader; readonly payloadBytes: number } {
    if (this.#verified === null) throw new BackupFileError('goes on after the end of its snapshot');
    return this.#verified;
  }
}

function* piecesOf(file: string): Generator<Uint8Array, void> {
  const handle = reading(file, () => openSync(file, 'r'));
  try {
    for (;;) {
      const piece = Buffer.alloc(PIECE_BYTES);
      const count = reading(file, () => readSync(handle, piece, 0, PIECE_BYTES, null));
      if (count === 0) return;
      yield piece.subarray(0, count);
    }
  } finally {
    closeSync(handle);
  }
}

function reading<Result>(file: string, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    throw new StartError(`The backup ${file} cannot be read: ${errorText(error)}.`);
  }
}

/** What is wrong with a backup, for the operator. Other errors stay what they are. */
function backupError(file: string, error: unknown): unknown {
  if (error instanceof BackupFileError) return new StartError(`${file} ${error.message}.`);
  if (error instanceof DecodeError)
    return new StartError(`${file} holds no whole state: ${errorText(error)}.`);
  return error;
}
