import assert from 'node:assert/strict';
import type { ByteReader } from './bytes.js';
import { ByteWriter, DecodeError } from './bytes.js';
import { readEntryView, readNamespaceRecord, writeEntry, writeNamespaceRecord } from './codec.js';
import type { RowHash } from './state-hash.js';
import { rowHash } from './state-hash.js';
import type { ApplyErrorCode, ApplyResult, Entry, NamespaceRecord, Revision } from './types.js';
import { revision } from './types.js';

/**
 * The rows that the state is made of. One encoding serves the state hash and the snapshot: what is not in a row is
 * neither compared nor carried over.
 */
export type Row =
  | CountersRow
  | NamespaceRow
  | { readonly type: 'entry'; readonly entry: Entry }
  | ClientRow
  | AnswerRow
  | IdempotencyRow;

export interface CountersRow {
  readonly type: 'counters';
  readonly appliedIndex: number;
  readonly head: Revision;
  readonly publishedRevision: Revision;
  readonly lastClientId: number;
  readonly timeMs: number;
}

export interface NamespaceRow {
  readonly type: 'namespace';
  readonly record: NamespaceRecord;
  /** Of the newest change inside the namespace, its record included. */
  readonly newest: Revision;
}

export interface ClientRow {
  readonly type: 'client';
  readonly clientId: number;
  readonly completedThrough: number;
  /** Log index of its registration or of its newest command. */
  readonly lastUsedIndex: number;
}

export interface AnswerRow {
  readonly type: 'answer';
  readonly clientId: number;
  readonly sequence: number;
  readonly result: ApplyResult;
}

export interface IdempotencyRow {
  readonly type: 'idempotency';
  readonly principal: string;
  readonly key: string;
  readonly fingerprint: Uint8Array;
  /** Log index of the command that was answered first. */
  readonly index: number;
  readonly result: ApplyResult;
}

const ROW_COUNTERS = 1;
const ROW_NAMESPACE = 2;
const ROW_ENTRY = 3;
const ROW_CLIENT = 4;
const ROW_ANSWER = 5;
const ROW_IDEMPOTENCY = 6;

const RESULT_DONE = 1;
const RESULT_FAILED = 2;

/** Idempotency stamps beyond these are INVALID_COMMAND. */
export const PRINCIPAL_BYTES_MAX = 512;
export const IDEMPOTENCY_KEY_BYTES_MAX = 256;
export const FINGERPRINT_BYTES_MAX = 64;

// Numbers for ever, as in the codec.
const ERROR_CODES: Record<ApplyErrorCode, number> = {
  NAMESPACE_NOT_FOUND: 1,
  NAMESPACE_KIND_CONFLICT: 2,
  ENTRY_NOT_FOUND: 3,
  PRECONDITION_FAILED: 4,
  NAMESPACE_CHANGED: 5,
  REGISTRATION_EXPIRED: 6,
  SEQUENCE_COMPLETED: 7,
  TOO_MANY_OUTSTANDING: 8,
  IDEMPOTENCY_KEY_REUSED: 9,
  INVALID_COMMAND: 10,
  TOO_MANY_NAMESPACES: 11,
  NAMESPACE_NOT_CACHED: 12,
  AUTHORIZATION_CHANGED: 13,
  TOO_MANY_READERS: 14,
};
const ERROR_CODES_BY_NUMBER = new Map(
  Object.entries(ERROR_CODES).map(([code, number]) => [number, code as ApplyErrorCode]),
);

// One for all rows that are only hashed: they are many, and most are small.
const scratch = new ByteWriter();

/** The hash of a row: that of its one encoding. */
export function hashOfRow(row: Row): RowHash {
  scratch.clear();
  writeRow(scratch, row);
  return rowHash(scratch.view());
}

/** Appends the row's one encoding, without a length. */
export function writeRow(writer: ByteWriter, row: Row): void {
  switch (row.type) {
    case 'counters':
      writer.u8(ROW_COUNTERS);
      writer.u53(row.appliedIndex);
      writer.u53(row.head);
      writer.u53(row.publishedRevision);
      writer.u53(row.lastClientId);
      writer.u53(row.timeMs);
      break;
    case 'namespace':
      writer.u8(ROW_NAMESPACE);
      writeNamespaceRecord(writer, row.record);
      writer.u53(row.newest);
      break;
    case 'entry':
      writer.u8(ROW_ENTRY);
      writeEntry(writer, row.entry);
      break;
    case 'client':
      writer.u8(ROW_CLIENT);
      writer.u53(row.clientId);
      writer.u53(row.completedThrough);
      writer.u53(row.lastUsedIndex);
      break;
    case 'answer':
      writer.u8(ROW_ANSWER);
      writer.u53(row.clientId);
      writer.u53(row.sequence);
      writeResult(writer, row.result);
      break;
    case 'idempotency':
      writer.u8(ROW_IDEMPOTENCY);
      writer.string(row.principal);
      writer.string(row.key);
      writer.bytes(row.fingerprint);
      writer.u53(row.index);
      writeResult(writer, row.result);
      break;
  }
}

/** Total: a row or a DecodeError. The caller must see that it ended where it should have. The value of an entry is not copied. */
export function readRow(reader: ByteReader): Row {
  const type = reader.u8();
  switch (type) {
    case ROW_COUNTERS:
      return {
        type: 'counters',
        appliedIndex: reader.u53(),
        head: revision(reader.u53()),
        publishedRevision: revision(reader.u53()),
        lastClientId: reader.u53(),
        timeMs: reader.u53(),
      };
    case ROW_NAMESPACE:
      return { type: 'namespace', record: readNamespaceRecord(reader), newest: revision(reader.u53()) };
    case ROW_ENTRY:
      return { type: 'entry', entry: readEntryView(reader) };
    case ROW_CLIENT:
      return {
        type: 'client',
        clientId: reader.u53(),
        completedThrough: reader.u53(),
        lastUsedIndex: reader.u53(),
      };
    case ROW_ANSWER:
      return { type: 'answer', clientId: reader.u53(), sequence: reader.u53(), result: readResult(reader) };
    case ROW_IDEMPOTENCY:
      return {
        type: 'idempotency',
        principal: reader.string(PRINCIPAL_BYTES_MAX),
        key: reader.string(IDEMPOTENCY_KEY_BYTES_MAX),
        fingerprint: reader.bytes(FINGERPRINT_BYTES_MAX),
        index: reader.u53(),
        result: readResult(reader),
      };
    default:
      throw new DecodeError(`unknown row ${type}`);
  }
}

function writeResult(writer: ByteWriter, result: ApplyResult): void {
  assert(result.type !== 'registered', 'a registration has no stamp, so its answer is never kept');
  if (result.type === 'done') {
    writer.u8(RESULT_DONE);
    writer.u53(result.revision);
    writer.boolean(result.created);
    writer.u53(result.version);
    writer.u53(result.createRevision);
  } else {
    writer.u8(RESULT_FAILED);
    writer.u8(ERROR_CODES[result.code]);
    writer.boolean(result.currentRevision !== null);
    if (result.currentRevision !== null) writer.u53(result.currentRevision);
  }
  writer.u53(result.head);
}

function readResult(reader: ByteReader): ApplyResult {
  const type = reader.u8();
  if (type === RESULT_DONE) {
    return {
      type: 'done',
      revision: revision(reader.u53()),
      created: reader.boolean(),
      version: reader.u53(),
      createRevision: revision(reader.u53()),
      head: revision(reader.u53()),
    };
  }
  if (type !== RESULT_FAILED) throw new DecodeError(`unknown result ${type}`);
  const code = ERROR_CODES_BY_NUMBER.get(reader.u8());
  if (code === undefined) throw new DecodeError('unknown error code');
  const currentRevision = reader.boolean() ? revision(reader.u53()) : null;
  return { type: 'failed', code, currentRevision, head: revision(reader.u53()) };
}
