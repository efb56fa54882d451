/**
 * Everything that the log asks of a disk. Two implementations: `NodeDisk` (the real file system) and `SimulatedDisk`
 * (`@quorate/wal/testing`). The interface keeps apart what a crash keeps apart: a write is in the page cache until
 * `sync`, and a name is in the page cache until `syncDirectory` (P19).
 */
export interface Disk {
  /** Creates the folder and its parents, durably. An existing folder is fine. */
  makeDirectory(path: string): void;
  /** Names in the folder, in no order; none if the folder does not exist. */
  list(path: string): string[];
  /** The whole content, as a copy that later writes do not change. */
  readFile(path: string): Uint8Array;
  /** With `create`, the file must not exist yet; without, it must. */
  openFile(path: string, options: { readonly create: boolean }): DiskFile;
  /** Atomic; an existing target is replaced. Durable only after `syncDirectory`. */
  rename(from: string, to: string): void;
  /** Durable only after `syncDirectory`. */
  remove(path: string): void;
  /** Synchronous fsync of a folder: makes its created, renamed and removed names durable (P19). */
  syncDirectory(path: string): void;
}

export interface DiskFile {
  /** The current size in bytes, unsynced writes included. */
  readonly size: number;
  /** A copy of up to `length` bytes from `position`, unsynced writes included; fewer where the file ends. */
  read(position: number, length: number): Uint8Array;
  /**
   * Writes into the page cache at `position` (bytes) and returns how many bytes were taken. May be fewer than given: a
   * nearly full disk first takes a part and only the next call throws ENOSPC.
   */
  write(chunks: readonly Uint8Array[], position: number): number;
  /** Asynchronous fdatasync. The callback comes later, never from inside this call, and may never come (P22). */
  sync(callback: (error: Error | null) => void): void;
  /** The same, blocking, for the rare moments in which nothing may go on before it: format, rotation, open, close. */
  syncNow(): void;
  /** Releases the handle once the syncs in flight have ended. */
  close(): void;
}
