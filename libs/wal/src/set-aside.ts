import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Disk } from './disk.js';
import { WalDamagedError } from './errors.js';
import {
  emptyLog,
  formatWal,
  isSegmentName,
  isUnfinishedSegment,
  segmentName,
  SEGMENT_HEADER_BYTES,
  SET_ASIDE_NAME,
  SETTING_ASIDE_NAME,
  soundOwner,
  toBuffer,
  writeUnfinished,
} from './segment.js';
import type { WalIdentity } from './segment.js';
import { indexOfName, isUnfinishedSnapshot } from './snapshot-layout.js';

/**
 * Gives a member whose log is damaged, or gone, a new and empty one: every segment and snapshot gets another name in the same
 * folder, `set-aside-N-<name>`, and is kept (nobody here reads or removes it again); then the folder is a log of `identity` with
 * this `recovery`, a safe integer above 0 that was drawn for it (raft's `HardState`). Returns the names of what was set aside. When it
 * returns, all of it survives a power loss.
 *
 * After an error, or a crash, at any moment: the log is there as it was; or reading the folder throws `WalDamagedError` until this
 * was called again, with any recovery, and came to its end; or the new log is there. Never does a log open of which a part has been
 * set aside, and never one without its recovery: such a member would have forgotten votes and acknowledgements, and take part.
 *
 * The new first segment itself is the mark that the work is under way. It is durable as `set-aside-N.tmp` before anything is
 * renamed, all else is durable before it gets its own name, and by getting that it ceases to be the mark. So there is no moment
 * with both or with neither, and nothing to tidy up.
 *
 * Throws `WalDamagedError`, with nothing changed, if a sound segment is of another format version, cluster or member: that did not
 * rot, it is the wrong folder or the wrong program, and a person must decide (P33). Throws `WalNotEmptyError` if the folder holds
 * no log but something else, or what the disk throws.
 */
export function setAsideAndFormat(
  disk: Disk,
  directory: string,
  identity: WalIdentity,
  recovery: number,
): readonly string[] {
  assert(Number.isSafeInteger(recovery) && recovery > 0, `not a recovery: ${recovery}`);
  const names = disk.list(directory);
  const log = names.filter((name) => isSegmentName(name) || indexOfName(name) !== null);
  const mark = names.find((name) => SETTING_ASIDE_NAME.test(name));
  if (log.length === 0 && mark === undefined) {
    formatWal(disk, directory, identity, () => {}, recovery);
    return [];
  }
  for (const name of log) refuseForeign(disk, directory, name, identity);
  const number = freeNumber(names, log, mark);
  const newMark = mark ?? `set-aside-${number}.tmp`;
  const move = (from: string, to: string): void => disk.rename(join(directory, from), join(directory, to));
  const created = writeUnfinished(disk, directory, identity, 1, 0, emptyLog(recovery));
  created.file.close();
  // Over the one of an earlier call, if there is one: that call's recovery was never heard of.
  move(created.unfinished, newMark);
  disk.syncDirectory(directory);
  for (const name of log) move(name, asideName(number, name));
  for (const name of names) {
    const isOurs = name === created.unfinished;
    if (!isOurs && (isUnfinishedSegment(name) || isUnfinishedSnapshot(name)))
      disk.remove(join(directory, name));
  }
  disk.syncDirectory(directory);
  move(newMark, segmentName(1));
  disk.syncDirectory(directory);
  return disk.list(directory).filter((name) => name.startsWith(asideName(number, '')));
}

function asideName(number: number, name: string): string {
  return `set-aside-${number}-${name}`;
}

/**
 * The number of the call that was cut short, else one that nothing has yet. Never one whose names would replace what was set aside
 * before, whoever put that there.
 */
function freeNumber(names: readonly string[], log: readonly string[], mark: string | undefined): number {
  const taken = names.map((name) => Number(SET_ASIDE_NAME.exec(name)?.[1] ?? 0));
  let number = Number(SETTING_ASIDE_NAME.exec(mark ?? '')?.[1] ?? Math.max(0, ...taken) + 1);
  while (log.some((name) => names.includes(asideName(number, name)))) number += 1;
  return number;
}

function refuseForeign(
  disk: Disk,
  directory: string,
  name: string,
  { clusterId, memberId }: WalIdentity,
): void {
  if (!isSegmentName(name)) return;
  const file = disk.openFile(join(directory, name), { create: false });
  try {
    const owner = soundOwner(toBuffer(file.read(0, SEGMENT_HEADER_BYTES)), name);
    if (owner === null || (owner.clusterId === clusterId && owner.memberId === memberId)) return;
    throw new WalDamagedError(
      name,
      16,
      `it belongs to member ${owner.memberId} of cluster ${owner.clusterId}`,
    );
  } finally {
    file.close();
  }
}
