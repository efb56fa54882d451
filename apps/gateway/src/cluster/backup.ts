import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { BackupFileWriter, QuorateError, type BackupChunk, type ClusterFile } from '@quorate/api';
import type { Store } from '../store/store.js';

/** The stream asks for no further chunk while it holds more than this: a slow reader costs two or three chunks. */
const BUFFERED_BYTES_MAX = 256 * 1024;

export interface Backup {
  readonly fileName: string;
  /**
   * The bytes of the backup file. It fails, and does not end, when the rest of the snapshot cannot be had: the connection must
   * then be destroyed, so that no part of a file looks like the whole.
   */
  readonly stream: Readable;
}

/**
 * Begins a backup: the leader proves that it leads, so every write acknowledged before is in it. Throws what the store says;
 * from then on errors are those of the stream, and `onBroken` hears of them.
 */
export async function openBackup(
  store: Store,
  cluster: ClusterFile,
  token: string,
  onBroken: (error: unknown) => void,
): Promise<Backup> {
  const first = await store.backup(token, null, 0);
  if (first.clusterId !== cluster.clusterId || first.epoch !== cluster.epoch || first.chunk !== 0) {
    throw new QuorateError('INTERNAL', 'The store answered with a snapshot of another cluster.');
  }
  const writer = new BackupFileWriter({
    clusterId: first.clusterId,
    epoch: first.epoch,
    index: first.index,
    term: first.term,
    revision: first.revision,
    chunkCount: first.chunkCount,
    digest: first.digest,
    takenAt: new Date().toISOString(),
  });
  const stream = Readable.from(bytesOf(store, token, first, writer, onBroken), {
    objectMode: false,
    highWaterMark: BUFFERED_BYTES_MAX,
  });
  return { fileName: `quorate-${first.clusterId}-r${first.revision}.backup`, stream };
}

async function* bytesOf(
  store: Store,
  token: string,
  first: BackupChunk,
  writer: BackupFileWriter,
  onBroken: (error: unknown) => void,
): AsyncGenerator<Uint8Array> {
  try {
    yield writer.start();
    let digest = 0;
    for (let number = 0; number < first.chunkCount; number += 1) {
      const part = number === 0 ? first : await store.backup(token, first.index, number);
      refuseOther(first, part, number);
      digest = crc32(part.data, digest);
      yield writer.chunk(part.data);
    }
    // The footer makes a whole file of it: not before the payload is what the member took its checksum of.
    if (digest !== first.digest) throw new QuorateError('INTERNAL', 'The snapshot changed on its way.');
    yield writer.finish();
  } catch (error) {
    onBroken(error);
    throw error;
  }
}

/** Chunks may come from several members: they must be of one snapshot. */
function refuseOther(first: BackupChunk, part: BackupChunk, number: number): void {
  const isSame =
    part.chunk === number &&
    part.clusterId === first.clusterId &&
    part.epoch === first.epoch &&
    part.index === first.index &&
    part.term === first.term &&
    part.revision === first.revision &&
    part.chunkCount === first.chunkCount &&
    part.digest === first.digest;
  if (!isSame) throw new QuorateError('INTERNAL', `Chunk ${number} is of another snapshot.`);
}
