export type { Disk, DiskFile } from './disk.js';
export {
  WalDamagedError,
  WalFailedError,
  WalLockedError,
  WalNotEmptyError,
  WalNotFormattedError,
} from './errors.js';
export { lockFolder } from './folder-lock.js';
export type { FolderLock } from './folder-lock.js';
export { NodeDisk } from './node-disk.js';
export { formatWal, readIdentity, writeFully } from './segment.js';
export type { WalIdentity } from './segment.js';
export { setAsideAndFormat } from './set-aside.js';
export { SnapshotFiles, SnapshotWriter, writeSnapshotNow } from './snapshot-files.js';
export { SNAPSHOT_CHUNK_BYTES } from './snapshot-layout.js';
export type { SnapshotInfo } from './snapshot-layout.js';
export { openWal, Wal } from './wal.js';
export type { WalBatch, WalOptions, WalRecovered, WalStats } from './wal.js';
