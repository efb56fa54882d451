import type {
  BackupChunk,
  CheckRequest,
  Need,
  StoreFailure,
  StoreRequest,
  StoreResponse,
  TokenSummary,
} from '@quorate/api';
import { NEEDS, isErrorCode } from '@quorate/api';
import type { Entry, NamespaceKind, Revision } from '@quorate/kv';
import {
  ByteReader,
  ByteWriter,
  DecodeError,
  decodeOperation,
  encodeOperation,
  readChangeBatch,
  readEntry,
  readNamespaceRecord,
  readRegistrationStamp,
  revision,
  writeChangeBatch,
  writeEntry,
  writeNamespaceRecord,
  writeRegistrationStamp,
} from '@quorate/kv';
import { isErrorDetails, isMemberStatus } from './guards.js';

// The lengths bound what a decoder allocates. They are wider than the rules for names and keys, so that one that
// breaks a rule still decodes and gets the answer that names the rule.
const TOKEN_BYTES_MAX = 8 * 1024;
const NAME_BYTES_MAX = 1024;
const KEY_BYTES_MAX = 8 * 1024;
const TEXT_BYTES_MAX = 64 * 1024;
const FEED_KEY_BYTES_MAX = 1024;
const POLICIES_MAX = 10_000;
/** A chunk of a snapshot is 256 KiB; the bound leaves room for larger ones in a later version. */
const BACKUP_CHUNK_BYTES_MAX = 1024 * 1024;

// Wire numbers are for ever: a new one may be added, none changed.
const REQUEST: Record<StoreRequest['type'], number> = {
  register: 1,
  write: 2,
  get: 3,
  list: 4,
  namespace: 5,
  namespaces: 6,
  check: 7,
  status: 8,
  probe: 9,
  changes: 10,
  resync: 11,
  fill: 12,
  feedKey: 13,
  feedSubscribe: 14,
  transfer: 15,
  snapshot: 16,
  backup: 17,
  content: 18,
  tokens: 19,
  caller: 20,
  feedUnsubscribe: 21,
};
const RESPONSE: Record<StoreResponse['type'], number> = {
  failed: 0,
  registered: 1,
  written: 2,
  entry: 3,
  entries: 4,
  namespace: 5,
  namespaces: 6,
  decision: 7,
  status: 8,
  probed: 9,
  changes: 10,
  compacted: 11,
  resynced: 12,
  filled: 13,
  feedKey: 14,
  subscribed: 15,
  transferred: 16,
  snapshotTaken: 17,
  backupChunk: 18,
  content: 19,
  tokens: 20,
  caller: 21,
  unsubscribed: 22,
};

/** Appends a request. Throws EncodeError for text with a lone surrogate. */
export function encodeStoreRequest(writer: ByteWriter, request: StoreRequest): void {
  writer.u8(REQUEST[request.type]);
  switch (request.type) {
    case 'write':
      writer.string(request.token);
      writeRegistrationStamp(writer, request.registration);
      writer.boolean(request.idempotencyKey !== null);
      if (request.idempotencyKey !== null) writer.string(request.idempotencyKey);
      encodeOperation(writer, request.operation);
      break;
    case 'get':
      writer.string(request.token);
      writer.string(request.namespace);
      writer.string(request.key);
      break;
    case 'list':
      writer.string(request.token);
      writer.string(request.namespace);
      writer.string(request.prefix);
      writer.u32(request.limit);
      break;
    case 'namespace':
      writer.string(request.token);
      writer.string(request.namespace);
      break;
    case 'caller':
      writer.string(request.token);
      writer.string(request.need);
      break;
    case 'tokens':
      writer.string(request.token);
      writer.string(request.prefix);
      writer.u32(request.limit);
      break;
    case 'namespaces':
      writer.string(request.token);
      break;
    case 'check':
      writer.string(request.token);
      writer.string(JSON.stringify(request.check));
      break;
    case 'changes':
      writer.u53(request.after);
      writer.u53(request.minRevision);
      writer.u32(request.bytesMax);
      break;
    case 'fill':
      writer.string(request.namespace);
      writer.string(request.key);
      writer.u53(request.minRevision);
      break;
    case 'content':
      writer.string(request.namespace);
      writer.string(request.after);
      writer.u53(request.minRevision);
      writer.u32(request.bytesMax);
      break;
    case 'transfer':
      writer.string(request.token);
      writeCountOrNull(writer, request.to);
      break;
    case 'snapshot':
      writer.string(request.token);
      break;
    case 'backup':
      writer.string(request.token);
      writeCountOrNull(writer, request.index);
      writer.u32(request.chunk);
      break;
    case 'register':
    case 'status':
    case 'probe':
    case 'resync':
    case 'feedKey':
    case 'feedSubscribe':
    case 'feedUnsubscribe':
      break;
  }
}

/** Reads one request, to the end of the payload. Total: a request or a DecodeError. */
export function decodeStoreRequest(reader: ByteReader): StoreRequest {
  const request = readRequest(reader);
  reader.end();
  return request;
}

function readRequest(reader: ByteReader): StoreRequest {
  const type = reader.u8();
  switch (type) {
    case REQUEST.register:
      return { type: 'register' };
    case REQUEST.write:
      return {
        type: 'write',
        token: readToken(reader),
        registration: readRegistrationStamp(reader),
        idempotencyKey: reader.boolean() ? reader.string(KEY_BYTES_MAX) : null,
        operation: decodeOperation(reader),
      };
    case REQUEST.get:
      return { type: 'get', token: readToken(reader), namespace: readName(reader), key: readKey(reader) };
    case REQUEST.list:
      return {
        type: 'list',
        token: readToken(reader),
        namespace: readName(reader),
        prefix: readKey(reader),
        limit: reader.u32(),
      };
    case REQUEST.namespace:
      return { type: 'namespace', token: readToken(reader), namespace: readName(reader) };
    case REQUEST.namespaces:
      return { type: 'namespaces', token: readToken(reader) };
    case REQUEST.caller:
      return { type: 'caller', token: readToken(reader), need: readNeed(reader) };
    case REQUEST.tokens:
      return {
        type: 'tokens',
        token: readToken(reader),
        prefix: readKey(reader),
        limit: reader.u32(),
      };
    case REQUEST.check:
      return { type: 'check', token: readToken(reader), check: readCheck(reader) };
    case REQUEST.status:
      return { type: 'status' };
    case REQUEST.probe:
      return { type: 'probe' };
    case REQUEST.changes:
      return {
        type: 'changes',
        after: readRevision(reader),
        minRevision: readRevision(reader),
        bytesMax: reader.u32(),
      };
    case REQUEST.resync:
      return { type: 'resync' };
    case REQUEST.fill:
      return {
        type: 'fill',
        namespace: readName(reader),
        key: readKey(reader),
        minRevision: readRevision(reader),
      };
    case REQUEST.content:
      return {
        type: 'content',
        namespace: readName(reader),
        after: readKey(reader),
        minRevision: readRevision(reader),
        bytesMax: reader.u32(),
      };
    case REQUEST.feedKey:
      return { type: 'feedKey' };
    case REQUEST.feedSubscribe:
      return { type: 'feedSubscribe' };
    case REQUEST.feedUnsubscribe:
      return { type: 'feedUnsubscribe' };
    case REQUEST.transfer:
      return { type: 'transfer', token: readToken(reader), to: readCountOrNull(reader) };
    case REQUEST.snapshot:
      return { type: 'snapshot', token: readToken(reader) };
    case REQUEST.backup:
      return {
        type: 'backup',
        token: readToken(reader),
        index: readCountOrNull(reader),
        chunk: reader.u32(),
      };
    default:
      throw new DecodeError(`unknown request ${type}`);
  }
}

/** Appends a response. Throws EncodeError for text with a lone surrogate. */
export function encodeStoreResponse(writer: ByteWriter, response: StoreResponse): void {
  writer.u8(RESPONSE[response.type]);
  switch (response.type) {
    case 'failed':
      return writeFailure(writer, response);
    case 'registered':
      return writer.u53(response.clientId);
    case 'written':
      writer.u53(response.revision);
      writer.boolean(response.created);
      writer.u53(response.version);
      writer.u53(response.createRevision);
      return writer.u53(response.head);
    case 'entry':
      writeEntryOrNull(writer, response.entry);
      writeKind(writer, response.kind);
      return writer.u53(response.head);
    case 'entries':
      writeList(writer, response.entries, writeEntry);
      writer.boolean(response.truncated);
      writeKind(writer, response.kind);
      return writer.u53(response.head);
    case 'namespace':
      writeNamespaceRecord(writer, response.record);
      return writer.u53(response.head);
    case 'namespaces':
      writeList(writer, response.records, writeNamespaceRecord);
      return writer.u53(response.head);
    case 'decision':
      writer.boolean(response.decision.allowed);
      writer.u53(response.decision.revision);
      writeList(writer, response.decision.policies, (target, policy) => target.string(policy));
      writer.string(response.decision.reason);
      return writer.u53(response.head);
    case 'caller':
      writer.string(response.principal);
      return writer.u53(response.head);
    case 'tokens':
      writeList(writer, response.tokens, writeTokenSummary);
      writer.boolean(response.truncated);
      return writer.u53(response.head);
    case 'status':
      return writer.string(JSON.stringify(response.status));
    case 'transferred':
      writer.u53(response.leader);
      return writer.boolean(response.moved);
    case 'snapshotTaken':
      writer.u53(response.index);
      writer.u53(response.revision);
      writer.u53(response.payloadBytes);
      return writer.boolean(response.taken);
    case 'backupChunk':
      return writeBackupChunk(writer, response);
    case 'probed':
      writer.u53(response.epoch);
      writer.u53(response.head);
      return writer.u53(response.published);
    case 'changes':
      writeChangeBatch(writer, response.batch);
      return writer.u53(response.published);
    case 'compacted':
      writer.u53(response.epoch);
      return writer.u53(response.oldest);
    case 'resynced':
      writer.u53(response.epoch);
      writer.u53(response.revision);
      return writeList(writer, response.namespaces, writeNamespaceRecord);
    case 'filled':
      writer.u53(response.epoch);
      writer.u53(response.revision);
      return writeEntryOrNull(writer, response.entry);
    case 'content':
      writer.u53(response.epoch);
      writer.u53(response.revision);
      writeList(writer, response.entries, writeEntry);
      return writer.boolean(response.more);
    case 'feedKey':
      return writer.bytes(response.key);
    case 'subscribed':
    case 'unsubscribed':
      return;
  }
}

/** Reads one response, to the end of the payload. Total: a response or a DecodeError. */
export function decodeStoreResponse(bytes: Uint8Array): StoreResponse {
  const reader = new ByteReader(bytes);
  const response = readResponse(reader, reader.u8());
  reader.end();
  return response;
}

function readResponse(reader: ByteReader, type: number): StoreResponse {
  switch (type) {
    case RESPONSE.failed:
      return readFailure(reader);
    case RESPONSE.registered:
      return { type: 'registered', clientId: reader.u53() };
    case RESPONSE.written:
      return {
        type: 'written',
        revision: readRevision(reader),
        created: reader.boolean(),
        version: reader.u53(),
        createRevision: readRevision(reader),
        head: readRevision(reader),
      };
    case RESPONSE.entry:
      return {
        type: 'entry',
        entry: readEntryOrNull(reader),
        kind: readKind(reader),
        head: readRevision(reader),
      };
    case RESPONSE.entries:
      return {
        type: 'entries',
        entries: readList(reader, readEntry),
        truncated: reader.boolean(),
        kind: readKind(reader),
        head: readRevision(reader),
      };
    case RESPONSE.namespace:
      return { type: 'namespace', record: readNamespaceRecord(reader), head: readRevision(reader) };
    case RESPONSE.namespaces:
      return {
        type: 'namespaces',
        records: readList(reader, readNamespaceRecord),
        head: readRevision(reader),
      };
    case RESPONSE.decision:
      return { type: 'decision', decision: readDecision(reader), head: readRevision(reader) };
    case RESPONSE.caller:
      return { type: 'caller', principal: readName(reader), head: readRevision(reader) };
    case RESPONSE.tokens:
      return {
        type: 'tokens',
        tokens: readList(reader, readTokenSummary),
        truncated: reader.boolean(),
        head: readRevision(reader),
      };
    case RESPONSE.status:
      return readStatus(reader);
    case RESPONSE.transferred:
      return { type: 'transferred', leader: reader.u53(), moved: reader.boolean() };
    case RESPONSE.snapshotTaken:
      return {
        type: 'snapshotTaken',
        index: reader.u53(),
        revision: readRevision(reader),
        payloadBytes: reader.u53(),
        taken: reader.boolean(),
      };
    case RESPONSE.backupChunk:
      return readBackupChunk(reader);
    default:
      return readPublishedResponse(reader, type);
  }
}

/** The answers about published data, which only gateways and caches ask for. */
function readPublishedResponse(reader: ByteReader, type: number): StoreResponse {
  switch (type) {
    case RESPONSE.probed:
      return {
        type: 'probed',
        epoch: reader.u53(),
        head: readRevision(reader),
        published: readRevision(reader),
      };
    case RESPONSE.changes:
      return { type: 'changes', batch: readChangeBatch(reader), published: readRevision(reader) };
    case RESPONSE.compacted:
      return { type: 'compacted', epoch: reader.u53(), oldest: readRevision(reader) };
    case RESPONSE.resynced:
      return {
        type: 'resynced',
        epoch: reader.u53(),
        revision: readRevision(reader),
        namespaces: readList(reader, readNamespaceRecord),
      };
    case RESPONSE.filled:
      return {
        type: 'filled',
        epoch: reader.u53(),
        revision: readRevision(reader),
        entry: readEntryOrNull(reader),
      };
    case RESPONSE.content:
      return {
        type: 'content',
        epoch: reader.u53(),
        revision: readRevision(reader),
        entries: readList(reader, readEntry),
        more: reader.boolean(),
      };
    case RESPONSE.feedKey:
      return { type: 'feedKey', key: reader.bytes(FEED_KEY_BYTES_MAX) };
    case RESPONSE.subscribed:
      return { type: 'subscribed' };
    case RESPONSE.unsubscribed:
      return { type: 'unsubscribed' };
    default:
      throw new DecodeError(`unknown response ${type}`);
  }
}

function writeBackupChunk(writer: ByteWriter, part: BackupChunk): void {
  writer.string(part.clusterId);
  writer.u53(part.epoch);
  writer.u53(part.index);
  writer.u53(part.term);
  writer.u53(part.revision);
  writer.u32(part.chunk);
  writer.u32(part.chunkCount);
  writer.u32(part.digest);
  writer.bytes(part.data);
}

function readBackupChunk(reader: ByteReader): BackupChunk {
  return {
    type: 'backupChunk',
    clusterId: reader.string(NAME_BYTES_MAX),
    epoch: reader.u53(),
    index: reader.u53(),
    term: reader.u53(),
    revision: readRevision(reader),
    chunk: reader.u32(),
    chunkCount: reader.u32(),
    digest: reader.u32(),
    data: reader.bytes(BACKUP_CHUNK_BYTES_MAX),
  };
}

function readDecision(reader: ByteReader): Extract<StoreResponse, { type: 'decision' }>['decision'] {
  const allowed = reader.boolean();
  const decidedAt = readRevision(reader);
  const count = reader.u32();
  if (count > POLICIES_MAX) throw new DecodeError(`${count} policies in one decision`);
  const policies: string[] = [];
  for (let number = 0; number < count; number += 1) policies.push(reader.string(KEY_BYTES_MAX));
  return { allowed, revision: decidedAt, policies, reason: reader.string(TEXT_BYTES_MAX) };
}

function writeFailure(writer: ByteWriter, failed: StoreFailure): void {
  writer.string(failed.code);
  writer.string(failed.message);
  // Details are rare, small and optional one by one: JSON is the simplest form that stays readable by a later version.
  writer.string(JSON.stringify(failed.details));
}

function readFailure(reader: ByteReader): StoreFailure {
  const code = reader.string(NAME_BYTES_MAX);
  if (!isErrorCode(code)) throw new DecodeError(`unknown error code ${code}`);
  const message = reader.string(TEXT_BYTES_MAX);
  const details = readJson(reader);
  if (!isErrorDetails(details)) throw new DecodeError('error details of another shape');
  return { type: 'failed', code, message, details };
}

function readStatus(reader: ByteReader): StoreResponse {
  const status = readJson(reader);
  if (!isMemberStatus(status)) throw new DecodeError('a member status of another shape');
  return { type: 'status', status };
}

function readCheck(reader: ByteReader): CheckRequest {
  const value = readJson(reader);
  if (!isObject(value)) throw new DecodeError('a check that is no object');
  const { principal, action, resource, context } = value;
  if (!isEntityReference(principal) || !isEntityReference(resource))
    throw new DecodeError('not an entity reference');
  if (typeof action !== 'string' || !isObject(context)) throw new DecodeError('a check of another shape');
  return {
    principal: { type: principal.type, id: principal.id },
    action,
    resource: { type: resource.type, id: resource.id },
    context,
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEntityReference(value: unknown): value is CheckRequest['principal'] {
  return isObject(value) && typeof value['type'] === 'string' && typeof value['id'] === 'string';
}

function readJson(reader: ByteReader): unknown {
  const text = reader.string(TEXT_BYTES_MAX);
  try {
    return JSON.parse(text);
  } catch {
    throw new DecodeError('not JSON');
  }
}

function writeList<Item>(
  writer: ByteWriter,
  items: readonly Item[],
  write: (writer: ByteWriter, item: Item) => void,
): void {
  writer.u32(items.length);
  for (const item of items) write(writer, item);
}

// A count beyond the bytes ends in a DecodeError at the first missing byte: nothing is allocated by it.
function readList<Item>(reader: ByteReader, read: (reader: ByteReader) => Item): Item[] {
  const count = reader.u32();
  const items: Item[] = [];
  for (let number = 0; number < count; number += 1) items.push(read(reader));
  return items;
}

function writeTokenSummary(writer: ByteWriter, token: TokenSummary): void {
  writer.string(token.id);
  writer.string(token.name);
  writer.string(token.principal);
  writeList(writer, token.scopes, (target, scope) => target.string(scope));
  writeCountOrNull(writer, token.expiresAtMs);
  writer.u53(token.createRevision);
}

function readTokenSummary(reader: ByteReader): TokenSummary {
  return {
    id: readName(reader),
    name: readName(reader),
    principal: readName(reader),
    scopes: readList(reader, readName),
    expiresAtMs: readCountOrNull(reader),
    createRevision: readRevision(reader),
  };
}

function writeEntryOrNull(writer: ByteWriter, entry: Entry | null): void {
  writer.boolean(entry !== null);
  if (entry !== null) writeEntry(writer, entry);
}

function readEntryOrNull(reader: ByteReader): Entry | null {
  return reader.boolean() ? readEntry(reader) : null;
}

function writeCountOrNull(writer: ByteWriter, count: number | null): void {
  writer.boolean(count !== null);
  if (count !== null) writer.u53(count);
}

function readCountOrNull(reader: ByteReader): number | null {
  return reader.boolean() ? reader.u53() : null;
}

function writeKind(writer: ByteWriter, kind: NamespaceKind): void {
  writer.boolean(kind === 'strict');
}

function readKind(reader: ByteReader): NamespaceKind {
  return reader.boolean() ? 'strict' : 'cached';
}

function readToken(reader: ByteReader): string {
  return reader.string(TOKEN_BYTES_MAX);
}
function readNeed(reader: ByteReader): Need {
  const text = reader.string(NAME_BYTES_MAX);
  const need = NEEDS.find((known) => known === text);
  if (need === undefined) throw new DecodeError(`unknown right ${text}`);
  return need;
}
function readName(reader: ByteReader): string {
  return reader.string(NAME_BYTES_MAX);
}
function readKey(reader: ByteReader): string {
  return reader.string(KEY_BYTES_MAX);
}
function readRevision(reader: ByteReader): Revision {
  return revision(reader.u53());
}
