import { join } from 'node:path';
import type { Divergence } from '@quorate/replica';
import { type Disk, writeFully } from '@quorate/wal';
import { z } from 'zod';
import { StartError } from '../configuration/configuration.js';

/** JSON, for people as well: what a `Divergence` says. */
const NAME = 'diverged';
const divergenceSchema = z.object({
  index: z.number(),
  revision: z.number(),
  stateHash: z.string(),
  stateHashOfMajority: z.string(),
});

/**
 * Writes down, beside the log, that the state of this member was found to differ from the majority's: a restart would forget it, and
 * serve from that state until the next comparison. When it returns, the mark survives a power loss. Throws what the disk throws.
 */
export function writeDivergenceMark(disk: Disk, directory: string, divergence: Divergence): void {
  const unfinished = join(directory, `${NAME}.tmp`);
  // The remains of a start that a crash cut short.
  if (disk.list(directory).includes(`${NAME}.tmp`)) disk.remove(unfinished);
  const file = disk.openFile(unfinished, { create: true });
  try {
    writeFully(file, Buffer.from(`${JSON.stringify(divergence)}\n`), 0);
    file.syncNow();
  } finally {
    file.close();
  }
  // P19: the name comes last, and counts only when the folder is synced.
  disk.rename(unfinished, join(directory, NAME));
  disk.syncDirectory(directory);
}

/**
 * What an earlier process of this member found out, or null. Throws StartError if the mark is there and cannot be understood: whatever it
 * says, this member is not to serve.
 */
export function readDivergenceMark(disk: Disk, directory: string): Divergence | null {
  if (!disk.list(directory).includes(NAME)) return null;
  const text = Buffer.from(disk.readFile(join(directory, NAME))).toString('utf8');
  const divergence = parse(text);
  if (divergence !== null) return divergence;
  throw new StartError(
    `The state of this member was found to differ from the majority's, and ${join(directory, NAME)}, which says where, cannot be read. ` +
      `Move the folder away for the analysis, and give the member an empty log: see "A member whose state differs" in docs/operations.md.`,
  );
}

function parse(text: string): Divergence | null {
  try {
    return divergenceSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
