import { StateMachine, type StateMachineOptions } from '@quorate/kv';
import type { SnapshotFiles, SnapshotInfo } from '@quorate/wal';

/**
 * The state that a snapshot on the disk holds; the empty one when there is none. Reads all of it at once: for the start of a
 * member, when nobody waits yet. Throws WalDamagedError or DecodeError for a snapshot that is not whole.
 */
export function restoreState(
  files: SnapshotFiles,
  info: SnapshotInfo | null,
  options: StateMachineOptions,
): StateMachine {
  if (info === null) return new StateMachine(options);
  const restorer = StateMachine.restorer(options);
  for (let chunk = 0; chunk < info.chunkCount; chunk += 1) restorer.push(files.readChunk(info.index, chunk));
  return restorer.finish();
}
