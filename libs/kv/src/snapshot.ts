import { ByteReader, ByteWriter, DecodeError } from './bytes.js';
import { StoredEntry } from './entry-slabs.js';
import { IdempotencyKeys } from './idempotency.js';
import type { KeyHashSeed } from './key-hash.js';
import { areReaders, isKey, isNamespaceName, compareKeys } from './names.js';
import type { CapturedNamespace } from './namespaces.js';
import { Namespaces, namespaceRow } from './namespaces.js';
import type { OrderedMap } from './ordered-map.js';
import type { CapturedClient, RegistrationLimits } from './registrations.js';
import { Registrations, clientRow } from './registrations.js';
import type { AnswerRow, ClientRow, CountersRow, IdempotencyRow, NamespaceRow, Row } from './rows.js';
import { hashOfRow, readRow, writeRow } from './rows.js';
import { RowSum } from './state-hash.js';
import type { Entry, NamespaceRecord } from './types.js';
import { ACCESS_NAMESPACE, TOKENS_NAMESPACE, VALUE_BYTES_MAX, isBuiltInNamespace } from './types.js';

// A snapshot is a stream: magic, then rows behind their u32 length, then a length of zero and the state hash. Where a
// chunk ends means nothing. The order of rows is fixed: counters; each namespace and its entries; each client, least
// recently used first, and its answers; idempotency rows, oldest first. So the bytes are a function of the state.
const MAGIC = new TextEncoder().encode('quorate-kv-snapshot-1\n');
/** Most rows are below: a chunk and a row fit into one buffer. */
const SMALL_ROW_BYTES = 1024;
const ROW_LENGTH_BYTES = 4;
const STATE_HASH_BYTES = 16;
/** Bytes of each chunk of a snapshot but the last, unless told otherwise. */
export const SNAPSHOT_CHUNK_BYTES = 256 * 1024;
const ROW_BYTES_MAX = VALUE_BYTES_MAX + 64 * 1024;

/** What a snapshot is made of, taken in one synchronous moment. */
export interface SnapshotSource {
  readonly counters: CountersRow;
  readonly namespaces: OrderedMap<string, CapturedNamespace>;
  /** Least recently used first. */
  readonly clients: readonly CapturedClient[];
  readonly idempotency: OrderedMap<number, IdempotencyRow>;
  /** 32 hex digits. */
  readonly stateHash: string;
}

/** What a restored state is to be bounded by, and its index's own seed. */
export interface SnapshotLimits extends RegistrationLimits {
  readonly idempotencyKeysMax: number;
  readonly keyHashSeed: KeyHashSeed;
}

export interface RestoredState {
  readonly counters: CountersRow;
  readonly namespaces: Namespaces;
  readonly registrations: Registrations;
  readonly idempotency: IdempotencyKeys;
}

/** Chunks of `chunkBytes`, the last one of the rest. Each is made when it is asked for, whatever the size of the state. */
export function* snapshotChunks(source: SnapshotSource, chunkBytes: number): Generator<Uint8Array, void> {
  const writer = new ByteWriter(chunkBytes + SMALL_ROW_BYTES);
  writer.raw(MAGIC);
  for (const row of snapshotRows(source)) {
    if (row instanceof StoredEntry) writer.raw(row.rowBehindLength);
    else writeRowBehindLength(writer, row);
    if (writer.length < chunkBytes) continue;
    // A row may go on in the next chunk, and a large one fill whole chunks of its own.
    const bytes = writer.view();
    let offset = 0;
    for (; bytes.length - offset >= chunkBytes; offset += chunkBytes) {
      yield bytes.slice(offset, offset + chunkBytes);
    }
    const rest = bytes.slice(offset);
    writer.clear();
    writer.raw(rest);
  }
  writer.u32(0);
  writer.raw(hexToBytes(source.stateHash));
  const bytes = writer.view();
  for (let offset = 0; offset < bytes.length; offset += chunkBytes) {
    yield bytes.slice(offset, offset + chunkBytes);
  }
}

function writeRowBehindLength(writer: ByteWriter, row: Row): void {
  const start = writer.length;
  writer.u32(0);
  writeRow(writer, row);
  writer.patchU32(start, writer.length - start - ROW_LENGTH_BYTES);
}

function* snapshotRows(source: SnapshotSource): Generator<Row | StoredEntry, void> {
  yield source.counters;
  for (const namespace of source.namespaces.values()) {
    yield namespaceRow(namespace);
    yield* namespace.entries.values();
  }
  for (const client of source.clients) {
    yield clientRow(client);
    const answers = [...client.answers.values()].map(({ row }) => row);
    yield* answers.sort((left, right) => left.sequence - right.sequence);
  }
  yield* source.idempotency.values();
}

/** Takes a snapshot chunk by chunk, wherever they are cut. Total: the whole state in the end, or a DecodeError. */
export class SnapshotReader {
  readonly #loader: SnapshotLoader;
  /** What comes next, and how many bytes it has. */
  #piece: 'magic' | 'length' | 'row' | 'stateHash' | 'nothing' = 'magic';
  #pieceBytes = MAGIC.length;
  /** The beginning of a piece that goes on in the next chunk. */
  readonly #begun = new ByteWriter();
  #stateHash = '';

  constructor(limits: SnapshotLimits) {
    this.#loader = new SnapshotLoader(limits);
  }

  /** Bytes kept of a row that goes on in the next chunk. */
  get bufferedBytes(): number {
    return this.#begun.length;
  }

  /** Loads all rows that end in this chunk. Keeps nothing of it but a copy of the beginning of the next row. */
  push(chunk: Uint8Array): void {
    const reader = new ByteReader(chunk);
    while (reader.remaining > 0) {
      check(this.#piece !== 'nothing', 'it goes on after its end');
      if (this.#begun.length === 0 && reader.remaining >= this.#pieceBytes) {
        this.#take(reader);
        continue;
      }
      this.#begun.raw(reader.raw(Math.min(reader.remaining, this.#pieceBytes - this.#begun.length)));
      if (this.#begun.length < this.#pieceBytes) return;
      this.#take(new ByteReader(this.#begun.view()));
      this.#begun.clear();
    }
  }

  finish(): RestoredState {
    check(this.#piece === 'nothing', 'it is cut off');
    return this.#loader.finish(this.#stateHash);
  }

  /** Takes the piece that comes next: the reader has all of it, and perhaps more. */
  #take(reader: ByteReader): void {
    switch (this.#piece) {
      case 'magic':
        check(bytesToHex(reader.raw(MAGIC.length)) === bytesToHex(MAGIC), 'another format');
        return this.#expect('length', ROW_LENGTH_BYTES);
      case 'length': {
        const length = reader.u32();
        check(length <= ROW_BYTES_MAX, 'a row that is too long');
        return length === 0 ? this.#expect('stateHash', STATE_HASH_BYTES) : this.#expect('row', length);
      }
      case 'row': {
        const end = reader.remaining - this.#pieceBytes;
        const bytes = reader.ahead(this.#pieceBytes);
        const row = readRow(reader);
        check(reader.remaining === end, 'a row of another length');
        this.#loader.load(row, bytes);
        return this.#expect('length', ROW_LENGTH_BYTES);
      }
      case 'stateHash':
        this.#stateHash = bytesToHex(reader.raw(STATE_HASH_BYTES));
        return this.#expect('nothing', 0);
      case 'nothing':
        return;
    }
  }

  #expect(piece: 'length' | 'row' | 'stateHash' | 'nothing', bytes: number): void {
    this.#piece = piece;
    this.#pieceBytes = bytes;
  }
}

/** Checks each row's place and bounds, so that bytes with a right sum but a wrong shape are refused as well. */
class SnapshotLoader {
  readonly #namespaces: Namespaces;
  readonly #registrations: Registrations;
  readonly #idempotency: IdempotencyKeys;
  #counters: CountersRow | null = null;
  #stage: 'namespaces' | 'clients' | 'idempotency' = 'namespaces';
  #namespace: NamespaceRow | null = null;
  #keyPrevious: string | null = null;
  #client: ClientRow | null = null;
  #sequencePrevious = 0;
  #idempotencyIndexPrevious = 0;

  constructor(limits: SnapshotLimits) {
    this.#namespaces = new Namespaces(limits.keyHashSeed);
    this.#registrations = new Registrations(limits);
    this.#idempotency = new IdempotencyKeys(limits.idempotencyKeysMax);
  }

  /** `bytes`: the row's encoding, which is not kept. */
  load(row: Row, bytes: Uint8Array): void {
    if (row.type === 'counters') return this.#loadCounters(row);
    const counters = this.#counters;
    check(counters !== null, 'counters come first');
    switch (row.type) {
      case 'namespace':
        return this.#loadNamespace(row, counters);
      case 'entry':
        return this.#loadEntry(row.entry, bytes);
      case 'client':
        return this.#loadClient(row, counters);
      case 'answer':
        return this.#loadAnswer(row);
      case 'idempotency':
        return this.#loadIdempotency(row, counters);
    }
  }

  finish(stateHash: string): RestoredState {
    const counters = this.#counters;
    check(counters !== null, 'counters are missing');
    const namespaces = this.#namespaces;
    const access = namespaces.record(ACCESS_NAMESPACE);
    check(access?.kind === 'strict' && !access.deleted, 'the namespace access is missing');
    const tokens = namespaces.record(TOKENS_NAMESPACE);
    check(tokens === undefined || isBuiltInTokens(tokens), 'the namespace tokens is not the built-in one');
    const state = {
      counters,
      namespaces,
      registrations: this.#registrations,
      idempotency: this.#idempotency,
    };
    check(stateHashOf(state) === stateHash, 'the state hash differs');
    // A snapshot of before there were tokens.
    if (tokens === undefined) namespaces.addBuiltIn(TOKENS_NAMESPACE, 'cached');
    return state;
  }

  #loadCounters(row: CountersRow): void {
    check(this.#counters === null, 'counters come once');
    check(row.publishedRevision <= row.head && row.head <= row.appliedIndex, 'counters are out of order');
    check(row.lastClientId <= row.appliedIndex, 'more clients than commands');
    this.#counters = row;
  }

  #loadNamespace(row: NamespaceRow, counters: CountersRow): void {
    const { record, newest } = row;
    check(this.#stage === 'namespaces', 'a namespace out of place');
    check(isNamespaceName(record.name), 'not a namespace name');
    check(this.#namespace === null || this.#namespace.record.name < record.name, 'namespaces out of order');
    check(record.createRevision <= record.revision, 'a namespace changed before it was created');
    check(record.revision <= newest && newest <= counters.head, 'a namespace newer than the head');
    check(record.readers === null || mayHaveReaders(record, record.readers), 'readers that break the rules');
    this.#namespaces.setRecord(record, newest);
    this.#namespace = row;
    this.#keyPrevious = null;
  }

  #loadEntry(entry: Entry, row: Uint8Array): void {
    const namespace = this.#namespace;
    check(this.#stage === 'namespaces' && namespace !== null, 'an entry out of place');
    check(entry.namespace === namespace.record.name && !namespace.record.deleted, 'an entry of no namespace');
    check(isKey(entry.key) && entry.value.length <= VALUE_BYTES_MAX, 'an entry that breaks the rules');
    check(
      this.#keyPrevious === null || compareKeys(this.#keyPrevious, entry.key) < 0,
      'entries out of order',
    );
    check(
      entry.version >= 1 && entry.createRevision <= entry.revision,
      'an entry changed before it was created',
    );
    check(entry.revision <= namespace.newest, 'an entry newer than its namespace');
    this.#namespaces.append(entry.namespace, row);
    this.#keyPrevious = entry.key;
  }

  #loadClient(row: ClientRow, counters: CountersRow): void {
    check(this.#stage !== 'idempotency', 'a client out of place');
    check(row.clientId >= 1 && row.clientId <= counters.lastClientId, 'a client that was never registered');
    check(row.lastUsedIndex <= counters.appliedIndex, 'a client used in the future');
    const previous = this.#client?.lastUsedIndex ?? 0;
    check(this.#registrations.restoreClient(row, previous), 'clients out of order');
    this.#stage = 'clients';
    this.#client = row;
    this.#sequencePrevious = 0;
  }

  #loadAnswer(row: AnswerRow): void {
    check(this.#stage === 'clients' && this.#client?.clientId === row.clientId, 'an answer out of place');
    check(this.#registrations.restoreAnswer(row, this.#sequencePrevious), 'answers out of order');
    this.#sequencePrevious = row.sequence;
  }

  #loadIdempotency(row: IdempotencyRow, counters: CountersRow): void {
    check(row.index <= counters.appliedIndex, 'an idempotency key of the future');
    check(this.#idempotency.restoreRow(row, this.#idempotencyIndexPrevious), 'idempotency keys out of order');
    this.#stage = 'idempotency';
    this.#idempotencyIndexPrevious = row.index;
  }
}

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new DecodeError(`snapshot: ${what}`);
}

/** One that a user made under this name, when it was free, would be read as tokens. */
function isBuiltInTokens({ kind, deleted, createRevision }: NamespaceRecord): boolean {
  return kind === 'cached' && !deleted && createRevision === 0;
}

function mayHaveReaders({ name, kind, deleted }: NamespaceRecord, readers: readonly string[]): boolean {
  return kind === 'cached' && !deleted && !isBuiltInNamespace(name) && areReaders(readers);
}

/** The hash of a whole state, 32 hex digits. */
export function stateHashOf(state: RestoredState): string {
  const sum = new RowSum();
  sum.add(state.namespaces.sum);
  sum.add(state.registrations.sum);
  sum.add(state.idempotency.sum);
  sum.add(hashOfRow(state.counters));
  return sum.toHex();
}

function hexToBytes(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, index) =>
    Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16),
  );
}

function bytesToHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
