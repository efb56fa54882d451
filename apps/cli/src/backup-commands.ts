import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { BackupFileError, readBackupFile } from '@quorate/api';
import type { BackupSummary } from '@quorate/api';
import { CommandError } from './command-error.js';
import { download } from './rest.js';
import type { GatewayAccess } from './rest.js';
import { renameDurably } from './secrets.js';
import { runStore } from './setup.js';

/** A backup is read in pieces of so many bytes. */
const PIECE_BYTES = 1024 * 1024;

/**
 * Writes a backup of the cluster to `file`. It gets its name last: when it is whole, read back, verified and durable. Until
 * then it is `file`.part, which goes away with a failure.
 */
export async function backUp(access: GatewayAccess, file: string): Promise<readonly string[]> {
  refuseExisting(file);
  const part = `${file}.part`;
  try {
    await fetchInto(access, part);
    const summary = inspectBackup(part);
    refuseExisting(file);
    await renameDurably(part, file);
    return [
      `backup of ${describe(summary)}`,
      `wrote ${file}: ${summary.fileBytes} bytes, read back and verified`,
      `sha256 ${summary.sha256}`,
    ];
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

function refuseExisting(file: string): void {
  if (existsSync(file)) throw new CommandError(`${file} exists already: a backup replaces nothing.`);
}

/** Fetches the backup and makes it durable. It holds all data, so only its owner may read it. */
async function fetchInto(access: GatewayAccess, part: string): Promise<void> {
  const target = await open(part, 'w', 0o600).catch((error: unknown): never => {
    throw new CommandError(`${part} cannot be written: ${textOf(error)}.`);
  });
  try {
    for await (const piece of download(access, '/v1/cluster/backup')) {
      await target.writeFile(piece).catch((error: unknown): never => {
        throw new CommandError(`${part} cannot be written: ${textOf(error)}.`);
      });
    }
    await target.sync();
  } finally {
    await target.close();
  }
}

/** Verifies every checksum of a backup file, and then that a state machine restores from it to the same state hash. */
export async function verifyBackup(file: string): Promise<readonly string[]> {
  const summary = inspectBackup(file);
  const lines = await runStore(['verify', file], {});
  return [
    `${file} is whole: ${describe(summary)}, ${summary.fileBytes} bytes`,
    ...lines,
    `sha256 ${summary.sha256}`,
  ];
}

/** Reads a backup file to its end and verifies every checksum. CommandError for anything but a whole, undamaged one. */
export function inspectBackup(file: string): BackupSummary {
  try {
    let summary: BackupSummary | null = null;
    for (const part of readBackupFile(piecesOf(file))) {
      if (part.type === 'end') ({ summary } = part);
    }
    if (summary !== null) return summary;
  } catch (error) {
    if (error instanceof BackupFileError) throw new CommandError(`${file} ${error.message}.`);
    throw new CommandError(`${file} cannot be read: ${textOf(error)}.`);
  }
  throw new CommandError(`${file} has no end.`);
}

function* piecesOf(file: string): Generator<Uint8Array> {
  const handle = openSync(file, 'r');
  try {
    for (;;) {
      const piece = Buffer.alloc(PIECE_BYTES);
      const count = readSync(handle, piece, 0, PIECE_BYTES, null);
      if (count === 0) return;
      yield piece.subarray(0, count);
    }
  } finally {
    closeSync(handle);
  }
}

function describe({ header }: BackupSummary): string {
  const { clusterId, epoch, revision, index, takenAt } = header;
  return `cluster ${clusterId}, epoch ${epoch}, revision ${revision} (log index ${index}), taken ${takenAt}`;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
