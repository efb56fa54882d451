import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { HeldState } from '@quorate/client';
import {
  ByteReader,
  ByteWriter,
  DecodeError,
  type Entry,
  readEntry,
  readNamespaceRecord,
  revision,
  writeEntry,
  writeNamespaceRecord,
} from '@quorate/kv';

const MAGIC = 'quorate last known good';
const FORMAT = 1;
const DIGEST_BYTES = 32;
/** Encoded and written in parts: a gateway that holds much must not stand still. */
const PART_BYTES = 256 * 1024;

/**
 * Writes what a cached view holds to a file of its own format: either the file is as it was, or it is whole and synced. `clusterId`: whose it is.
 * The file is for its owner alone: it has content, and what tells who may read it.
 */
export async function writeLastKnownGood(path: string, clusterId: string, held: HeldState): Promise<void> {
  const unfinished = `${path}.tmp`;
  try {
    const file = await open(unfinished, 'w', 0o600);
    try {
      const digest = createHash('sha256');
      for (const part of partsOf(clusterId, held)) {
        digest.update(part);
        await writeAll(file, part);
      }
      await writeAll(file, digest.digest());
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * What such a file says. Null: there is none. Throws DecodeError for one that is damaged, cut off, of a later format or of another cluster: none of it is
 * then believed.
 */
export function readLastKnownGood(path: string, clusterId: string): HeldState | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  const end = bytes.length - DIGEST_BYTES;
  const digest = createHash('sha256')
    .update(bytes.subarray(0, Math.max(0, end)))
    .digest();
  if (end < 0 || !digest.equals(bytes.subarray(end))) throw new DecodeError('its checksum is wrong');
  const reader = new ByteReader(bytes.subarray(0, end));
  if (reader.string(MAGIC.length) !== MAGIC) throw new DecodeError('it is another kind of file');
  const format = reader.u8();
  if (format !== FORMAT) throw new DecodeError(`it has format ${format}, not ${FORMAT}`);
  const of = reader.string(256);
  if (of !== clusterId) throw new DecodeError(`it is of cluster ${of}`);
  const held: HeldState = {
    epoch: reader.u53(),
    revision: revision(reader.u53()),
    confirmedWallMs: reader.boolean() ? reader.u53() : null,
    namespaces: readList(reader, readNamespaceRecord),
    wholes: readList(reader, (from) => ({
      namespace: from.string(1024),
      entries: readList(from, readEntry),
    })),
    entries: readList(reader, readEntry),
  };
  reader.end();
  return held;
}

function* partsOf(clusterId: string, held: HeldState): Generator<Uint8Array, void> {
  const head = new ByteWriter();
  head.string(MAGIC);
  head.u8(FORMAT);
  head.string(clusterId);
  head.u53(held.epoch);
  head.u53(held.revision);
  head.boolean(held.confirmedWallMs !== null);
  if (held.confirmedWallMs !== null) head.u53(Math.max(0, Math.floor(held.confirmedWallMs)));
  head.u32(held.namespaces.length);
  for (const record of held.namespaces) writeNamespaceRecord(head, record);
  head.u32(held.wholes.length);
  yield head.finish();
  for (const { namespace, entries } of held.wholes) {
    const name = new ByteWriter();
    name.string(namespace);
    yield name.finish();
    yield* partsOfEntries(entries);
  }
  yield* partsOfEntries(held.entries);
}

function* partsOfEntries(entries: readonly Entry[]): Generator<Uint8Array, void> {
  let part = new ByteWriter();
  part.u32(entries.length);
  for (const entry of entries) {
    writeEntry(part, entry);
    if (part.length < PART_BYTES) continue;
    yield part.finish();
    part = new ByteWriter();
  }
  yield part.finish();
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done);
    if (bytesWritten === 0) throw new Error('the disk took nothing');
    done += bytesWritten;
  }
}

// A count beyond the bytes ends in a DecodeError at the first missing byte: nothing is allocated by it.
function readList<Item>(reader: ByteReader, read: (reader: ByteReader) => Item): Item[] {
  const count = reader.u32();
  const items: Item[] = [];
  for (let number = 0; number < count; number += 1) items.push(read(reader));
  return items;
}
