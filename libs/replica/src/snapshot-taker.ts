import assert from 'node:assert/strict';
import type { SnapshotPoint } from '@quorate/raft';
import type { SnapshotFiles, SnapshotInfo, SnapshotWriter } from '@quorate/wal';

export interface SnapshotTakerContext {
  /** Runs the task once, soon, after the events that wait already. */
  defer(task: () => void): void;
  taken(info: SnapshotInfo): void;
  failed(error: Error): void;
  /** There is no room for it now; nothing else of the disk is in doubt. */
  noRoom(error: Error): void;
}

/** So much is written between two syncs, 4 MiB as a rule: a sync of a gigabyte in front of the log's own would hold up every write. */
export const UNSYNCED_CHUNKS_MAX = 16;

/**
 * Writes one snapshot, a chunk in each turn of the event loop, while commands go on being applied: the chunks come from a copy that
 * was captured when it began.
 */
export class SnapshotTaker {
  readonly #files: SnapshotFiles;
  readonly #context: SnapshotTakerContext;
  #writer: SnapshotWriter | null = null;

  constructor(files: SnapshotFiles, context: SnapshotTakerContext) {
    this.#files = files;
    this.#context = context;
  }

  get isBusy(): boolean {
    return this.#writer !== null;
  }

  start(chunks: Iterable<Uint8Array>, point: SnapshotPoint): void {
    assert(!this.isBusy, 'one snapshot at a time');
    this.#guarded(() => {
      const writer = this.#files.create(point);
      this.#writer = writer;
      this.#later(writer, chunks[Symbol.iterator]());
    });
  }

  abandon(): void {
    const writer = this.#writer;
    this.#writer = null;
    writer?.abandon();
  }

  #later(writer: SnapshotWriter, chunks: Iterator<Uint8Array>): void {
    this.#context.defer(() => {
      if (this.#writer === writer) this.#guarded(() => this.#writeOne(writer, chunks));
    });
  }

  #writeOne(writer: SnapshotWriter, chunks: Iterator<Uint8Array>): void {
    const next = chunks.next();
    if (next.done === true) {
      writer.finish((error, info) => this.#finished(writer, error, info));
      return;
    }
    writer.append(next.value);
    if (writer.unsyncedBytes < UNSYNCED_CHUNKS_MAX * this.#files.chunkBytes)
      return this.#later(writer, chunks);
    // mark: a snapshot that is taken is synced on the way
    writer.sync((error) => {
      if (this.#writer !== writer) return;
      if (error !== null) this.#context.failed(error);
      else this.#later(writer, chunks);
    });
  }

  #finished(writer: SnapshotWriter, error: Error | null, info: SnapshotInfo | null): void {
    if (this.#writer !== writer) return;
    this.#writer = null;
    if (error !== null) return this.#context.failed(error);
    assert(info !== null);
    this.#context.taken(info);
  }

  /** P20: of a disk that failed nothing is known; the member ends. Whatever is not the disk's is thrown on. */
  #guarded(write: () => void): void {
    try {
      write();
    } catch (error) {
      if (error instanceof assert.AssertionError || !(error instanceof Error)) throw error;
      if (!isNoRoom(error)) return this.#context.failed(error);
      // A log may still fit where a snapshot does not. Nothing was promised of the file, and its removal makes room.
      this.abandon();
      this.#context.noRoom(error);
    }
  }
}

function isNoRoom(error: Error): boolean {
  const code = 'code' in error ? error.code : null;
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EMFILE';
}
