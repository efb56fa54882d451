import { BytePool, ByteReader, ByteWriter, DecodeError } from './bytes.js';
import type {
  Change,
  ChangeBatch,
  Command,
  CommandBody,
  Condition,
  Entry,
  IdempotencyStamp,
  NamespaceKind,
  NamespaceRecord,
  Operation,
  RegistrationStamp,
  Revision,
} from './types.js';
import { revision } from './types.js';

/** The first byte of every encoded command. A log outlives the version that wrote it. */
export const COMMAND_FORMAT = 1;

// The lengths below bound what a decoder allocates. They are wider than the rules for names, keys and values, so that
// one that breaks a rule still decodes and gets the answer that names the rule.
const NAMESPACE_WIRE_BYTES_MAX = 1024;
const KEY_WIRE_BYTES_MAX = 8 * 1024;
const VALUE_WIRE_BYTES_MAX = 1024 * 1024;
const STAMP_WIRE_BYTES_MAX = 8 * 1024;
const READERS_WIRE_MAX = 1024;
const READER_WIRE_BYTES_MAX = 1024;

// Wire numbers are for ever: a new one may be added, none changed.
const KIND_STRICT = 1;
const KIND_CACHED = 2;
const CONDITION_NONE = 0;
const CONDITION_ABSENT = 1;
const CONDITION_PRESENT = 2;
const CONDITION_REVISION = 3;
const OPERATION_PUT = 1;
const OPERATION_DELETE = 2;
const OPERATION_CREATE_NAMESPACE = 3;
const OPERATION_DELETE_NAMESPACE = 4;
const OPERATION_SET_READERS = 5;
const BODY_REGISTER = 1;
const BODY_OPERATION = 2;
const FLAG_REGISTRATION = 1;
const FLAG_IDEMPOTENCY = 2;
const FLAG_TOKENS_REVISION = 4;
const FLAGS_KNOWN = FLAG_REGISTRATION | FLAG_IDEMPOTENCY | FLAG_TOKENS_REVISION;
const RECORD_DELETED = 1;
const RECORD_HAS_READERS = 2;
const CHANGE_PUT = 1;
const CHANGE_DELETE = 2;
const CHANGE_NAMESPACE = 3;

const scratch = new ByteWriter();
// Commands go into the log, and leave it in the order in which they came.
const pool = new BytePool();

/** The one encoding of a command. Throws EncodeError for text with a lone surrogate. */
export function encodeCommand(command: Command): Uint8Array {
  const writer = scratch;
  writer.clear();
  writer.u8(COMMAND_FORMAT);
  writer.u53(command.timeMs);
  const { registration, idempotency, ifTokensRevision, body } = command;
  writer.u8(
    (registration === null ? 0 : FLAG_REGISTRATION) |
      (idempotency === null ? 0 : FLAG_IDEMPOTENCY) |
      (ifTokensRevision === null ? 0 : FLAG_TOKENS_REVISION),
  );
  if (registration !== null) writeRegistrationStamp(writer, registration);
  if (idempotency !== null) writeIdempotencyStamp(writer, idempotency);
  if (ifTokensRevision !== null) writer.u53(ifTokensRevision);
  if (body.type === 'register') {
    writer.u8(BODY_REGISTER);
  } else {
    writer.u8(BODY_OPERATION);
    encodeOperation(writer, body.operation);
  }
  return pool.copy(writer.view());
}

/**
 * Total: a command or a DecodeError. Bytes that `encodeCommand` would not have written are refused. The value of a put is not copied:
 * whoever keeps it keeps `bytes` alive.
 */
export function decodeCommand(bytes: Uint8Array): Command {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== COMMAND_FORMAT) throw new DecodeError(`unknown command format ${format}`);
  const timeMs = reader.u53();
  const flags = reader.u8();
  if ((flags & ~FLAGS_KNOWN) !== 0) throw new DecodeError(`unknown flags ${flags}`);
  const registration = (flags & FLAG_REGISTRATION) === 0 ? null : readRegistrationStamp(reader);
  const idempotency = (flags & FLAG_IDEMPOTENCY) === 0 ? null : readIdempotencyStamp(reader);
  const ifTokensRevision = (flags & FLAG_TOKENS_REVISION) === 0 ? null : readRevision(reader);
  const body = readBody(reader);
  reader.end();
  return { timeMs, registration, idempotency, ifTokensRevision, body };
}

function readBody(reader: ByteReader): CommandBody {
  const type = reader.u8();
  if (type === BODY_REGISTER) return { type: 'register' };
  if (type === BODY_OPERATION) return { type: 'operation', operation: readOperation(reader) };
  throw new DecodeError(`unknown command body ${type}`);
}

export function writeRegistrationStamp(writer: ByteWriter, stamp: RegistrationStamp): void {
  writer.u53(stamp.clientId);
  writer.u53(stamp.sequence);
  writer.u53(stamp.completedThrough);
}

export function readRegistrationStamp(reader: ByteReader): RegistrationStamp {
  return { clientId: reader.u53(), sequence: reader.u53(), completedThrough: reader.u53() };
}

function writeIdempotencyStamp(writer: ByteWriter, stamp: IdempotencyStamp): void {
  writer.string(stamp.principal);
  writer.string(stamp.key);
  writer.bytes(stamp.fingerprint);
}

function readIdempotencyStamp(reader: ByteReader): IdempotencyStamp {
  return {
    principal: reader.string(STAMP_WIRE_BYTES_MAX),
    key: reader.string(STAMP_WIRE_BYTES_MAX),
    fingerprint: reader.bytes(STAMP_WIRE_BYTES_MAX),
  };
}

/** Appends an operation. */
export function encodeOperation(writer: ByteWriter, operation: Operation): void {
  switch (operation.type) {
    case 'put':
      writer.u8(OPERATION_PUT);
      writeTarget(writer, operation);
      writer.bytes(operation.value);
      break;
    case 'delete':
      writer.u8(OPERATION_DELETE);
      writeTarget(writer, operation);
      break;
    case 'createNamespace':
      writer.u8(OPERATION_CREATE_NAMESPACE);
      writer.string(operation.namespace);
      writeKind(writer, operation.kind);
      break;
    case 'deleteNamespace':
      writer.u8(OPERATION_DELETE_NAMESPACE);
      writer.string(operation.namespace);
      break;
    case 'setReaders':
      writer.u8(OPERATION_SET_READERS);
      writer.string(operation.namespace);
      writer.boolean(operation.readers !== null);
      if (operation.readers !== null) writeReaders(writer, operation.readers);
      break;
  }
}

/** Reads one operation. It may still break the rules for names, keys and sizes. */
export function decodeOperation(reader: ByteReader): Operation {
  const operation = readOperation(reader);
  if (operation.type !== 'put') return operation;
  const { type, namespace, key, value, condition, ifNamespaceRevision } = operation;
  return { type, namespace, key, value: new Uint8Array(value), condition, ifNamespaceRevision };
}

/** The same, but the value of a put is not copied. */
function readOperation(reader: ByteReader): Operation {
  const type = reader.u8();
  switch (type) {
    case OPERATION_PUT: {
      // Field by field: this is done twice for every write, and a spread takes as long as all the rest.
      const { namespace, key, condition, ifNamespaceRevision } = readTarget(reader);
      const value = reader.view(VALUE_WIRE_BYTES_MAX);
      return { type: 'put', namespace, key, value, condition, ifNamespaceRevision };
    }
    case OPERATION_DELETE:
      return { type: 'delete', ...readTarget(reader) };
    case OPERATION_CREATE_NAMESPACE:
      return { type: 'createNamespace', namespace: readNamespaceName(reader), kind: readKind(reader) };
    case OPERATION_DELETE_NAMESPACE:
      return { type: 'deleteNamespace', namespace: readNamespaceName(reader) };
    case OPERATION_SET_READERS:
      return {
        type: 'setReaders',
        namespace: readNamespaceName(reader),
        readers: reader.boolean() ? readReaders(reader) : null,
      };
    default:
      throw new DecodeError(`unknown operation ${type}`);
  }
}

interface Target {
  readonly namespace: string;
  readonly key: string;
  readonly condition: Condition;
  readonly ifNamespaceRevision: Revision | null;
}

function writeTarget(writer: ByteWriter, target: Target): void {
  writer.string(target.namespace);
  writer.string(target.key);
  writeCondition(writer, target.condition);
  writer.boolean(target.ifNamespaceRevision !== null);
  if (target.ifNamespaceRevision !== null) writer.u53(target.ifNamespaceRevision);
}

function readTarget(reader: ByteReader): Target {
  return {
    namespace: readNamespaceName(reader),
    key: reader.string(KEY_WIRE_BYTES_MAX),
    condition: readCondition(reader),
    ifNamespaceRevision: reader.boolean() ? readRevision(reader) : null,
  };
}

function writeCondition(writer: ByteWriter, condition: Condition): void {
  switch (condition.type) {
    case 'none':
      return writer.u8(CONDITION_NONE);
    case 'absent':
      return writer.u8(CONDITION_ABSENT);
    case 'present':
      return writer.u8(CONDITION_PRESENT);
    case 'revision':
      writer.u8(CONDITION_REVISION);
      return writer.u53(condition.revision);
  }
}

function readCondition(reader: ByteReader): Condition {
  const type = reader.u8();
  switch (type) {
    case CONDITION_NONE:
      return { type: 'none' };
    case CONDITION_ABSENT:
      return { type: 'absent' };
    case CONDITION_PRESENT:
      return { type: 'present' };
    case CONDITION_REVISION:
      return { type: 'revision', revision: readRevision(reader) };
    default:
      throw new DecodeError(`unknown condition ${type}`);
  }
}

function writeKind(writer: ByteWriter, kind: NamespaceKind): void {
  writer.u8(kind === 'strict' ? KIND_STRICT : KIND_CACHED);
}

function readKind(reader: ByteReader): NamespaceKind {
  const kind = reader.u8();
  if (kind === KIND_STRICT) return 'strict';
  if (kind === KIND_CACHED) return 'cached';
  throw new DecodeError(`unknown namespace kind ${kind}`);
}

function readRevision(reader: ByteReader): Revision {
  return revision(reader.u53());
}

function readNamespaceName(reader: ByteReader): string {
  return reader.string(NAMESPACE_WIRE_BYTES_MAX);
}

/**
 * An entry in its encoding, which is decoded when it is looked at: a member hands most on as they are. What is seen of it is its own copy.
 */
export class EncodedEntry implements Entry {
  readonly #bytes: Uint8Array;
  #entry: Entry | null = null;

  /** `bytes`: as `writeEntry` writes them. They must not change. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }
  get namespace(): string {
    return this.#decoded.namespace;
  }
  get key(): string {
    return this.#decoded.key;
  }
  get value(): Uint8Array {
    return this.#decoded.value;
  }
  get revision(): Revision {
    return this.#decoded.revision;
  }
  get version(): number {
    return this.#decoded.version;
  }
  get createRevision(): Revision {
    return this.#decoded.createRevision;
  }

  get #decoded(): Entry {
    this.#entry ??= readEntry(new ByteReader(this.#bytes));
    return this.#entry;
  }
}

export function writeEntry(writer: ByteWriter, entry: Entry): void {
  if (entry instanceof EncodedEntry) return writer.raw(entry.bytes);
  writer.string(entry.namespace);
  writer.string(entry.key);
  writer.u53(entry.revision);
  writer.u53(entry.version);
  writer.u53(entry.createRevision);
  writer.bytes(entry.value);
}

export function readEntry(reader: ByteReader): Entry {
  const entry = readEntryView(reader);
  return { ...entry, value: new Uint8Array(entry.value) };
}

/** The same, but the value is not copied. */
export function readEntryView(reader: ByteReader): Entry {
  const namespace = readNamespaceName(reader);
  const key = reader.string(KEY_WIRE_BYTES_MAX);
  const entryRevision = readRevision(reader);
  const version = reader.u53();
  const createRevision = readRevision(reader);
  const value = reader.view(VALUE_WIRE_BYTES_MAX);
  return { namespace, key, value, revision: entryRevision, version, createRevision };
}

export function writeNamespaceRecord(writer: ByteWriter, record: NamespaceRecord): void {
  const { name, kind, deleted, readers } = record;
  writer.string(name);
  writeKind(writer, kind);
  // Flags: a record without readers is what it was before there were any, so older snapshots can be read.
  writer.u8((deleted ? RECORD_DELETED : 0) | (readers === null ? 0 : RECORD_HAS_READERS));
  writer.u53(record.revision);
  writer.u53(record.createRevision);
  if (readers !== null) writeReaders(writer, readers);
}

export function readNamespaceRecord(reader: ByteReader): NamespaceRecord {
  const name = readNamespaceName(reader);
  const kind = readKind(reader);
  const flags = reader.u8();
  if ((flags & ~(RECORD_DELETED | RECORD_HAS_READERS)) !== 0)
    throw new DecodeError(`unknown flags ${flags} of a namespace record`);
  return {
    name,
    kind,
    deleted: (flags & RECORD_DELETED) !== 0,
    revision: readRevision(reader),
    createRevision: readRevision(reader),
    readers: (flags & RECORD_HAS_READERS) === 0 ? null : readReaders(reader),
  };
}

function writeReaders(writer: ByteWriter, readers: readonly string[]): void {
  writer.u16(readers.length);
  for (const principal of readers) writer.string(principal);
}

function readReaders(reader: ByteReader): string[] {
  const count = reader.u16();
  if (count > READERS_WIRE_MAX) throw new DecodeError(`${count} readers`);
  return Array.from({ length: count }, () => reader.string(READER_WIRE_BYTES_MAX));
}

export function writeChange(writer: ByteWriter, change: Change): void {
  switch (change.type) {
    case 'put':
      writer.u8(CHANGE_PUT);
      writeEntry(writer, change.entry);
      break;
    case 'delete':
      writer.u8(CHANGE_DELETE);
      writer.string(change.namespace);
      writer.string(change.key);
      writer.u53(change.revision);
      break;
    case 'namespace':
      writer.u8(CHANGE_NAMESPACE);
      writeNamespaceRecord(writer, change.record);
      break;
  }
}

export function readChange(reader: ByteReader): Change {
  const type = reader.u8();
  switch (type) {
    case CHANGE_PUT:
      return { type: 'put', entry: readEntry(reader) };
    case CHANGE_DELETE:
      return {
        type: 'delete',
        namespace: readNamespaceName(reader),
        key: reader.string(KEY_WIRE_BYTES_MAX),
        revision: readRevision(reader),
      };
    case CHANGE_NAMESPACE:
      return { type: 'namespace', record: readNamespaceRecord(reader) };
    default:
      throw new DecodeError(`unknown change ${type}`);
  }
}

/** The revision at which a change happened. */
export function changeRevision(change: Change): Revision {
  switch (change.type) {
    case 'put':
      return change.entry.revision;
    case 'delete':
      return change.revision;
    case 'namespace':
      return change.record.revision;
  }
}

export function writeChangeBatch(writer: ByteWriter, batch: ChangeBatch): void {
  writer.u53(batch.epoch);
  writer.u53(batch.previous);
  writer.u53(batch.revision);
  writer.u32(batch.changes.length);
  for (const change of batch.changes) writeChange(writer, change);
}

/** Reads a batch whose changes are in order and within (previous, revision]; anything else is a DecodeError. */
export function readChangeBatch(reader: ByteReader): ChangeBatch {
  const epoch = reader.u53();
  const previous = readRevision(reader);
  const last = readRevision(reader);
  if (last < previous) throw new DecodeError(`batch ends at ${last}, before ${previous}`);
  const count = reader.u32();
  const changes: Change[] = [];
  let lowest = previous + 1;
  // A count beyond the bytes ends in a DecodeError at the first missing byte: nothing is allocated by it.
  for (let index = 0; index < count; index += 1) {
    const change = readChange(reader);
    const at = changeRevision(change);
    if (at < lowest || at > last) throw new DecodeError(`change ${at} outside ${lowest}..${last}`);
    lowest = at;
    changes.push(change);
  }
  return { epoch, previous, revision: last, changes };
}
