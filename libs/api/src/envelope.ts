import type { Entry, Revision } from '@quorate/kv';
import type { EntryEnvelope } from './schemas.js';

const decoder = new TextDecoder();

/** The envelope of an entry as an object, for callers inside a process. Its value is parsed from the stored bytes. */
export function entryEnvelope(entry: Entry): EntryEnvelope {
  return {
    namespace: entry.namespace,
    key: entry.key,
    value: JSON.parse(decoder.decode(entry.value)),
    revision: entry.revision,
    version: entry.version,
    createRevision: entry.createRevision,
  };
}

/**
 * The envelope of an entry as JSON text. The stored bytes are spliced in, never parsed and written again: number
 * spellings, key order and spaces of the value come back as they were put.
 */
export function writeEnvelopeJson(entry: Entry): Uint8Array {
  const { namespace, key, value, revision, version, createRevision } = entry;
  const head = `{"namespace":${JSON.stringify(namespace)},"key":${JSON.stringify(key)},"value":`;
  const tail = `,"revision":${revision},"version":${version},"createRevision":${createRevision}}`;
  const valueAt = Buffer.byteLength(head);
  const tailAt = valueAt + value.length;
  const bytes = Buffer.allocUnsafe(tailAt + tail.length);
  bytes.write(head, 0);
  bytes.set(value, valueAt);
  bytes.write(tail, tailAt, 'latin1');
  return bytes;
}

/** The answer of a list as JSON text, each value byte for byte. `asOf`: the revision at which the list is complete. */
export function writeEntriesJson(entries: readonly Entry[], truncated: boolean, asOf: Revision): Uint8Array {
  const parts: Uint8Array[] = [Buffer.from('{"entries":[')];
  entries.forEach((entry, index) => {
    if (index > 0) parts.push(Buffer.from(','));
    parts.push(writeEnvelopeJson(entry));
  });
  parts.push(Buffer.from(`],"truncated":${truncated},"revision":${asOf}}`));
  return Buffer.concat(parts);
}
