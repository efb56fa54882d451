import { ByteReader, ByteWriter, DecodeError } from './bytes.js';
import { IdempotencyKeys } from './idempotency.js';
import { isKey, isNamespaceName, compareKeys } from './names.js';
import type { CapturedNamespace } from './namespaces.js';
import { Namespaces } from './namespaces.js';
import type { CapturedClient, RegistrationLimits } from './registrations.js';
import { Registrations } from './registrations.js';
import type { AnswerRow, ClientRow, CountersRow, IdempotencyRow, NamespaceRow, Row } from './rows.js';
import { decodeRow, encodeRow } from './rows.js';
import { RowSum, rowHash } from './state-hash.js';
import type { Entry } from './types.js';
import { ACCESS_NAMESPACE, VALUE_BYTES_MAX } from './types.js';

// A snapshot is a stream: magic, then rows behind their u32 length, then a length of zero and the state hash. Where a
// chunk ends means nothing. The order of rows is fixed: counters; each namespace and its entries; each client, least
// recently used first, and its answers; idempotency rows, oldest first.
const MAGIC = new TextEncoder().encode('quorate-kv-snapshot-1\n');
const CHUNK_BYTES = 256 * 1024;
const STATE_HASH_BYTES = 16;
const ROW_BYTES_MAX = VALUE_BYTES_MAX + 64 * 1024;

/** What a snapshot is made of, taken in one synchronous moment. */
export interface SnapshotSource {
  readonly counters: CountersRow;
  readonly namespaces: readonly CapturedNamespace[];
  readonly clients: readonly CapturedClient[];
  readonly idempotency: readonly IdempotencyRow[];
  /** 32 hex digits. */
  readonly stateHash: string;
}

export interface RestoredState {
  readonly counters: CountersRow;
  readonly namespaces: Namespaces;
  readonly registrations: Registrations;
  readonly idempotency: IdempotencyKeys;
}

/** Chunks of about 256 KiB; one row may make a chunk larger. */
export function* snapshotChunks(source: SnapshotSource): Generator<Uint8Array, void> {
  let writer = new ByteWriter();
  writer.raw(MAGIC);
  for (const row of snapshotRows(source)) {
    const bytes = encodeRow(row);
    if (writer.length + 4 + bytes.length > CHUNK_BYTES) {
      yield writer.finish();
      writer = new ByteWriter();
    }
    writer.bytes(bytes);
  }
  writer.u32(0);
  writer.raw(hexToBytes(source.stateHash));
  yield writer.finish();
}

function* snapshotRows(source: SnapshotSource): Generator<Row, void> {
  yield source.counters;
  for (const { record, newest, entries } of source.namespaces) {
    yield { type: 'namespace', record, newest };
    for (const { entry } of entries.values()) yield { type: 'entry', entry };
  }
  for (const { row, answers } of source.clients) {
    yield row;
    const sequences = [...answers.keys()].sort((left, right) => left - right);
    for (const sequence of sequences) {
      const answer = answers.get(sequence);
      if (answer !== undefined)
        yield { type: 'answer', clientId: row.clientId, sequence, result: answer.result };
    }
  }
  yield* source.idempotency;
}

/** Total: the whole state, with a hash that is the footer's, or a DecodeError. */
export function restoreSnapshot(
  chunks: Iterable<Uint8Array>,
  limits: RegistrationLimits & { readonly idempotencyKeysMax: number },
): RestoredState {
  const stream = new ChunkReader(chunks);
  const magic = stream.take(MAGIC.length);
  if (!magic.every((byte, index) => byte === MAGIC[index]))
    throw new DecodeError('not a snapshot of this format');
  const loader = new SnapshotLoader(limits);
  for (;;) {
    const length = new ByteReader(stream.take(4)).u32();
    if (length === 0) break;
    if (length > ROW_BYTES_MAX) throw new DecodeError(`row of ${length} bytes`);
    loader.load(decodeRow(stream.take(length)));
  }
  const stateHash = bytesToHex(stream.take(STATE_HASH_BYTES));
  stream.end();
  return loader.finish(stateHash);
}

/** Checks each row's place and bounds, so that bytes with a right sum but a wrong shape are refused as well. */
class SnapshotLoader {
  readonly #namespaces = new Namespaces();
  readonly #registrations: Registrations;
  readonly #idempotency: IdempotencyKeys;
  #counters: CountersRow | null = null;
  #stage: 'namespaces' | 'clients' | 'idempotency' = 'namespaces';
  #namespace: NamespaceRow | null = null;
  #keyPrevious: string | null = null;
  #client: ClientRow | null = null;
  #sequencePrevious = 0;
  #idempotencyIndexPrevious = 0;

  constructor(limits: RegistrationLimits & { readonly idempotencyKeysMax: number }) {
    this.#registrations = new Registrations(limits);
    this.#idempotency = new IdempotencyKeys(limits.idempotencyKeysMax);
  }

  load(row: Row): void {
    if (row.type === 'counters') return this.#loadCounters(row);
    const counters = this.#counters;
    check(counters !== null, 'counters come first');
    switch (row.type) {
      case 'namespace':
        return this.#loadNamespace(row, counters);
      case 'entry':
        return this.#loadEntry(row.entry);
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
    const state = {
      counters,
      namespaces,
      registrations: this.#registrations,
      idempotency: this.#idempotency,
    };
    check(stateHashOf(state) === stateHash, 'the state hash differs');
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
    this.#namespaces.setRecord(record, newest);
    this.#namespace = row;
    this.#keyPrevious = null;
  }

  #loadEntry(entry: Entry): void {
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
    this.#namespaces.put(entry, namespace.newest);
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

/** The hash of a whole state, 32 hex digits. */
export function stateHashOf(state: RestoredState): string {
  const sum = new RowSum();
  sum.add(state.namespaces.sum);
  sum.add(state.registrations.sum);
  sum.add(state.idempotency.sum);
  sum.add(rowHash(encodeRow(state.counters)));
  return sum.toHex();
}

/** Joins and splits chunks: hands out exactly as many bytes as are asked for. */
class ChunkReader {
  readonly #chunks: Iterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  #offset = 0;

  constructor(chunks: Iterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.iterator]();
  }

  take(length: number): Uint8Array {
    const taken = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      if (!this.#more()) throw new DecodeError('the snapshot is cut off');
      const part = this.#chunk.subarray(this.#offset, this.#offset + length - filled);
      taken.set(part, filled);
      filled += part.length;
      this.#offset += part.length;
    }
    return taken;
  }

  end(): void {
    if (this.#more()) throw new DecodeError('the snapshot goes on after its end');
  }

  /** True when at least one byte is left. */
  #more(): boolean {
    while (this.#offset === this.#chunk.length) {
      const next = this.#chunks.next();
      if (next.done === true) return false;
      this.#chunk = next.value;
      this.#offset = 0;
    }
    return true;
  }
}

function hexToBytes(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, index) =>
    Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16),
  );
}

function bytesToHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
