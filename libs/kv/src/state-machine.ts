import assert from 'node:assert/strict';
import { DecodeError } from './bytes.js';
import { type EncodedEntry, decodeCommand } from './codec.js';
import type { StoredEntry } from './entry-slabs.js';
import { IdempotencyKeys, isIdempotencyStampPossible } from './idempotency.js';
import type { KeyHashSeed } from './key-hash.js';
import { areReaders, isKey, isNamespaceName, readersBytes } from './names.js';
import { Namespaces } from './namespaces.js';
import { Registrations } from './registrations.js';
import type { RetainedChange } from './retained-changes.js';
import { RetainedChanges } from './retained-changes.js';
import type { CountersRow } from './rows.js';
import type { RestoredState } from './snapshot.js';
import { SNAPSHOT_CHUNK_BYTES, SnapshotReader, snapshotChunks, stateHashOf } from './snapshot.js';
import type {
  ApplyErrorCode,
  ApplyResult,
  ChangeBatch,
  Command,
  Condition,
  CreateNamespaceOperation,
  DeleteNamespaceOperation,
  DeleteOperation,
  Entry,
  IdempotencyStamp,
  NamespaceRecord,
  Operation,
  PutOperation,
  RegistrationStamp,
  Revision,
  SetReadersOperation,
} from './types.js';
import {
  ACCESS_NAMESPACE,
  LIST_LIMIT_MAX,
  READERS_TOTAL_BYTES_MAX,
  TOKENS_NAMESPACE,
  VALUE_BYTES_MAX,
  isBuiltInNamespace,
  revision,
} from './types.js';

/**
 * Those from `registrationsMax` to `namespacesMax` are part of what makes apply deterministic: every member must run with the same. The first
 * three bound a window that is each member's own.
 */
export interface StateMachineOptions {
  /** 100,000 unless told otherwise. */
  readonly retainedChangesMin?: number;
  /** 600,000 unless told otherwise. */
  readonly retainedMs?: number;
  /** 64 MiB unless told otherwise. */
  readonly retainedBytesMax?: number;
  /** 10,000 unless told otherwise. */
  readonly registrationsMax?: number;
  /** 1,024 unless told otherwise. */
  readonly answersPerClientMax?: number;
  /** 100,000 unless told otherwise. */
  readonly idempotencyKeysMax?: number;
  /** Names ever used, deleted ones included, for they stay taken. 10,000 unless told otherwise. */
  readonly namespacesMax?: number;
  /**
   * Random words, each member's own: whoever writes keys and knows them can make every search slow. Zeros unless told otherwise.
   */
  readonly keyHashSeed?: KeyHashSeed;
}

/** What the state machine keeps besides the entries themselves: each is bounded by its option. */
export interface StateMachineLoad {
  readonly registrations: number;
  /** Of the client that has most. */
  readonly answersPerClient: number;
  readonly idempotencyKeys: number;
  readonly retainedChanges: number;
  readonly retainedBytes: number;
  readonly namespaces: number;
}

export const STATE_MACHINE_DEFAULTS: Required<StateMachineOptions> = {
  retainedChangesMin: 100_000,
  retainedMs: 600_000,
  retainedBytesMax: 64 * 1024 * 1024,
  registrationsMax: 10_000,
  answersPerClientMax: 1_024,
  idempotencyKeysMax: 100_000,
  namespacesMax: 10_000,
  keyHashSeed: [0, 0],
};

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Changes after a revision, or word that some of them are gone. */
export type PublishedChanges =
  | { readonly type: 'batch'; readonly batch: ChangeBatch }
  /** `oldest`: the lowest `after` that can still be asked for. */
  | { readonly type: 'compacted'; readonly oldest: Revision };

/**
 * The replicated state machine. Apply is a function of the state and the command alone: no clock, no randomness, no
 * locale, no order that depends on anything but the log (P30). No command, however malformed, makes it throw.
 */
export class StateMachine {
  readonly #namespaces: Namespaces;
  readonly #registrations: Registrations;
  readonly #idempotency: IdempotencyKeys;
  readonly #retained: RetainedChanges;
  readonly #namespacesMax: number;
  /** Changed in place: a snapshot takes a copy. */
  readonly #counters: Mutable<CountersRow>;

  constructor(options: StateMachineOptions = {}, restored: RestoredState | null = null) {
    const limits = { ...STATE_MACHINE_DEFAULTS, ...options };
    const state = restored ?? emptyState(limits);
    this.#namespacesMax = limits.namespacesMax;
    this.#namespaces = state.namespaces;
    this.#registrations = state.registrations;
    this.#idempotency = state.idempotency;
    this.#counters = { ...state.counters };
    this.#retained = new RetainedChanges(limits, state.counters.publishedRevision);
  }

  /**
   * A machine that goes on exactly where the snapshot was taken, but for the retained changes: those begin anew.
   * Throws DecodeError for anything but a whole, undamaged snapshot.
   */
  static restore(chunks: Iterable<Uint8Array>, options: StateMachineOptions = {}): StateMachine {
    const restorer = StateMachine.restorer(options);
    for (const chunk of chunks) restorer.push(chunk);
    return restorer.finish();
  }

  /** The same, chunk by chunk: for a member that must not stand still while it restores. */
  static restorer(options: StateMachineOptions = {}): SnapshotRestorer {
    return new SnapshotRestorer(options);
  }

  /** Log index of the newest command, 0 before the first. Part of the state, so of each snapshot (P31). */
  get appliedIndex(): number {
    return this.#counters.appliedIndex;
  }

  /** The newest revision. */
  get head(): Revision {
    return this.#counters.head;
  }

  /** The newest revision that changed published data: an entry of a cached namespace, or any namespace record. */
  get publishedRevision(): Revision {
    return this.#counters.publishedRevision;
  }

  get entryCount(): number {
    return this.#namespaces.entryCount;
  }

  /** Entries of one namespace; 0 of one that is not there. */
  entryCountOf(namespace: string): number {
    return this.#namespaces.entryCountOf(namespace);
  }

  /** The newest time of the log, in milliseconds: the maximum of what leaders wrote into it (K22). */
  get timeMs(): number {
    return this.#counters.timeMs;
  }

  /** Revision of the newest change inside the namespace, its record included; 0 if there is none. */
  namespaceRevision(name: string): Revision {
    return this.#namespaces.newest(name) ?? revision(0);
  }

  get load(): StateMachineLoad {
    return {
      registrations: this.#registrations.size,
      answersPerClient: this.#registrations.answersMost,
      idempotencyKeys: this.#idempotency.size,
      retainedChanges: this.#retained.changeCount,
      retainedBytes: this.#retained.byteCount,
      namespaces: this.#namespaces.count,
    };
  }

  /** 32 hex digits. Two members at the same applied index have the same, or one of them is wrong. */
  stateHash(): string {
    return stateHashOf(this.#state());
  }

  /** A copy: it stays as it is whatever is applied, and keeps nothing else alive. So do all entries handed out. */
  get(namespace: string, key: string): Entry | undefined {
    return this.#namespaces.stored(namespace, key)?.entry();
  }

  /** The same, not copied and not decoded: for an answer that is written at once, for it keeps the bytes around it alive. */
  encoded(namespace: string, key: string): EncodedEntry | undefined {
    return this.#namespaces.stored(namespace, key)?.encodedEntry;
  }

  namespace(name: string): NamespaceRecord | undefined {
    return this.#namespaces.record(name);
  }

  /** Every name ever used, tombstones too, in order of name. */
  namespaces(): NamespaceRecord[] {
    return this.#namespaces.records();
  }

  /** Entries whose key begins with `prefix`, in order of the keys' UTF-8 bytes. `limit`: 1 to 1,000. */
  list(
    namespace: string,
    options: { readonly prefix: string; readonly limit: number },
  ): { entries: Entry[]; truncated: boolean } {
    const { prefix, limit } = options;
    assert(Number.isInteger(limit) && limit >= 1 && limit <= LIST_LIMIT_MAX, `list limit ${limit}`);
    return this.#namespaces.list(namespace, prefix, limit);
  }

  /**
   * A page of a namespace: the entries behind the key `after` (empty: from the start), in order, up to about `bytesMax` bytes but at least one.
   * As `encoded`: for an answer that is written at once.
   */
  page(
    namespace: string,
    after: string,
    bytesMax: number,
  ): { readonly entries: readonly EncodedEntry[]; readonly more: boolean } {
    return this.#namespaces.page(namespace, after, bytesMax);
  }

  /**
   * The published changes after a revision: whole revisions, at least one if there is any, then up to about
   * `bytesMax` bytes. `revision` of the batch is that of its last change, or `after` when there is none.
   */
  publishedChanges(after: Revision, bytesMax: number, epoch: number): PublishedChanges {
    const oldest = this.#retained.floor;
    if (after < oldest) {
      // mark: changes are asked for that are not retained
      return { type: 'compacted', oldest };
    }
    const { changes, last } = this.#retained.after(after, bytesMax);
    return { type: 'batch', batch: { epoch, previous: after, revision: last ?? after, changes } };
  }

  /**
   * The state at the moment of the call, in chunks of `chunkBytes` (256 KiB; the last one has the rest). The call takes the same time
   * for a small state and a large one, and so does each chunk. Apply may go on while they are being read. The bytes
   * depend on the state alone: members at one applied index yield the same.
   */
  snapshot(chunkBytes = SNAPSHOT_CHUNK_BYTES): Iterable<Uint8Array> {
    assert(Number.isSafeInteger(chunkBytes) && chunkBytes >= 1, `chunks of ${chunkBytes} bytes`);
    const source = {
      counters: { ...this.#counters },
      namespaces: this.#namespaces.capture(),
      clients: this.#registrations.capture(),
      idempotency: this.#idempotency.capture(),
      stateHash: this.stateHash(),
    };
    return snapshotChunks(source, chunkBytes);
  }

  /** A log entry without a command (raft's no-op, a change of members): only the applied index moves. */
  applyNoop(index: number): void {
    assert.equal(index, this.appliedIndex + 1, 'applied in order');
    this.#counters.appliedIndex = index;
  }

  /** Applies the command of one log entry. `index` is the applied index plus one. Never throws because of the bytes. */
  apply(index: number, bytes: Uint8Array): ApplyResult {
    this.applyNoop(index);
    const command = decodeOrNull(bytes);
    if (command === null) return this.#failed('INVALID_COMMAND');
    const timeMs = Math.max(this.#counters.timeMs, command.timeMs);
    this.#counters.timeMs = timeMs;
    const { body, registration, idempotency, ifTokensRevision } = command;
    // Before both layers of exactly once: it says nothing about the write, but that it has to be authorised anew. So no layer keeps it.
    if (ifTokensRevision !== null && ifTokensRevision !== this.namespaceRevision(TOKENS_NAMESPACE)) {
      // mark: a change of tokens stops a write behind it
      return this.#failed('AUTHORIZATION_CHANGED');
    }
    if (body.type === 'operation') return this.#applyRegistered(registration, idempotency, body.operation);
    // Nothing to number and nothing to repeat: a second registration is only a client that is never used.
    if (registration !== null || idempotency !== null) return this.#failed('INVALID_COMMAND');
    return this.#register();
  }

  #register(): ApplyResult {
    const clientId = this.#counters.lastClientId + 1;
    this.#counters.lastClientId = clientId;
    this.#registrations.register(clientId, this.appliedIndex);
    return { type: 'registered', clientId, head: this.head };
  }

  /** First layer of exactly once: the link client's numbered request (P15). */
  #applyRegistered(
    stamp: RegistrationStamp | null,
    idempotency: IdempotencyStamp | null,
    operation: Operation,
  ): ApplyResult {
    if (stamp === null) return this.#applyIdempotent(idempotency, operation);
    if (stamp.completedThrough >= stamp.sequence) return this.#failed('INVALID_COMMAND');
    const admission = this.#registrations.admit(stamp, this.appliedIndex);
    if (admission.type === 'refused') return this.#failed(admission.code);
    if (admission.type === 'answered') return admission.result;
    const result = this.#applyIdempotent(idempotency, operation);
    this.#registrations.record(stamp.clientId, stamp.sequence, result);
    return result;
  }

  /** Second layer of exactly once: the end client's Idempotency-Key. */
  #applyIdempotent(stamp: IdempotencyStamp | null, operation: Operation): ApplyResult {
    if (stamp === null) return this.#applyOperation(operation);
    if (!isIdempotencyStampPossible(stamp)) return this.#failed('INVALID_COMMAND');
    const lookup = this.#idempotency.lookup(stamp);
    if (lookup.type === 'reused') return this.#failed('IDEMPOTENCY_KEY_REUSED');
    if (lookup.type === 'answered') {
      // mark: a repeated idempotency key gets the answer of the first
      return lookup.result;
    }
    const result = this.#applyOperation(operation);
    // A failure is kept too: it told somebody that nothing happened, and a copy of the request that is still under
    // way must not make that a lie. Not kept is what no copy could do later: what is invalid is so in every state, and
    // a namespace's revision never comes back.
    if (
      result.type === 'failed' &&
      (result.code === 'INVALID_COMMAND' || result.code === 'NAMESPACE_CHANGED')
    )
      return result;
    this.#idempotency.record(stamp, this.appliedIndex, result);
    return result;
  }

  #applyOperation(operation: Operation): ApplyResult {
    if (!isNamespaceName(operation.namespace)) return this.#failed('INVALID_COMMAND');
    switch (operation.type) {
      case 'put':
        return this.#put(operation);
      case 'delete':
        return this.#delete(operation);
      case 'createNamespace':
        return this.#createNamespace(operation);
      case 'deleteNamespace':
        return this.#deleteNamespace(operation);
      case 'setReaders':
        return this.#setReaders(operation);
    }
  }

  #put(operation: PutOperation): ApplyResult {
    const { namespace, key, value } = operation;
    if (value.length > VALUE_BYTES_MAX) return this.#failed('INVALID_COMMAND');
    const before = this.#namespaces.stored(namespace, key);
    const failure = this.#failureOfTarget(operation, before);
    if (failure !== null) return failure;
    const next = revision(this.head + 1);
    const version = (before?.version ?? 0) + 1;
    const createRevision = before?.createRevision ?? next;
    const entry: Entry = { namespace, key, value, revision: next, version, createRevision };
    const stored = this.#namespaces.put(entry, before);
    this.#advance(next, this.#isCached(namespace) ? [stored] : []);
    return {
      type: 'done',
      revision: next,
      created: before === undefined,
      version,
      createRevision,
      head: next,
    };
  }

  #delete(operation: DeleteOperation): ApplyResult {
    const { namespace, key } = operation;
    const before = this.#namespaces.stored(namespace, key);
    const failure = this.#failureOfTarget(operation, before);
    if (failure !== null) return failure;
    if (before === undefined) return this.#failed('ENTRY_NOT_FOUND');
    const { createRevision } = before;
    const next = revision(this.head + 1);
    this.#namespaces.delete(namespace, key, before, next);
    this.#advance(
      next,
      this.#isCached(namespace) ? [{ type: 'delete', namespace, key, revision: next }] : [],
    );
    return this.#doneWithoutEntry(next, false, createRevision);
  }

  /** What a put and a delete have to meet alike, in this order: rules, namespace, its revision, the entry's condition. */
  #failureOfTarget(
    operation: PutOperation | DeleteOperation,
    before: StoredEntry | undefined,
  ): ApplyResult | null {
    const { namespace, key, condition, ifNamespaceRevision } = operation;
    if (!isKey(key)) return this.#failed('INVALID_COMMAND');
    const record = this.#namespaces.record(namespace);
    if (record === undefined || record.deleted) return this.#failed('NAMESPACE_NOT_FOUND');
    if (ifNamespaceRevision !== null && ifNamespaceRevision !== this.namespaceRevision(namespace)) {
      return this.#failed('NAMESPACE_CHANGED');
    }
    const current = before?.revision ?? null;
    return isMet(condition, current) ? null : this.#failed('PRECONDITION_FAILED', current);
  }

  #createNamespace(operation: CreateNamespaceOperation): ApplyResult {
    const { namespace: name, kind } = operation;
    const before = this.#namespaces.record(name);
    if (before !== undefined && before.kind !== kind) return this.#failed('NAMESPACE_KIND_CONFLICT');
    if (before !== undefined && !before.deleted) {
      return this.#doneWithoutEntry(this.head, false, before.createRevision);
    }
    if (before === undefined && this.#namespaces.count >= this.#namespacesMax) {
      return this.#failed('TOO_MANY_NAMESPACES');
    }
    const next = revision(this.head + 1);
    this.#setRecord({
      name,
      kind,
      deleted: false,
      revision: next,
      createRevision: next,
      readers: null,
    });
    return this.#doneWithoutEntry(next, true, next);
  }

  #deleteNamespace(operation: DeleteNamespaceOperation): ApplyResult {
    const { namespace: name } = operation;
    if (isBuiltInNamespace(name)) return this.#failed('INVALID_COMMAND');
    const before = this.#namespaces.record(name);
    if (before === undefined || before.deleted) return this.#failed('NAMESPACE_NOT_FOUND');
    const next = revision(this.head + 1);
    this.#setRecord({ ...before, deleted: true, revision: next, readers: null });
    return this.#doneWithoutEntry(next, false, before.createRevision);
  }

  #setReaders({ namespace: name, readers }: SetReadersOperation): ApplyResult {
    if (isBuiltInNamespace(name) || (readers !== null && !areReaders(readers)))
      return this.#failed('INVALID_COMMAND');
    const before = this.#namespaces.record(name);
    if (before === undefined || before.deleted) return this.#failed('NAMESPACE_NOT_FOUND');
    if (before.kind !== 'cached') return this.#failed('NAMESPACE_NOT_CACHED');
    const more = readersBytes(readers) - readersBytes(before.readers);
    if (more > 0 && this.#namespaces.readersBytes + more > READERS_TOTAL_BYTES_MAX)
      return this.#failed('TOO_MANY_READERS');
    const next = revision(this.head + 1);
    this.#setRecord({ ...before, revision: next, readers });
    return this.#doneWithoutEntry(next, false, before.createRevision);
  }

  #setRecord(record: NamespaceRecord): void {
    this.#namespaces.setRecord(record, record.revision);
    this.#advance(record.revision, [{ type: 'namespace', record }]);
  }

  /** The one place where the revision moves. */
  #advance(next: Revision, published: readonly RetainedChange[]): void {
    assert.equal(next, this.head + 1, 'one revision per change');
    this.#counters.head = next;
    if (published.length === 0) return;
    this.#counters.publishedRevision = next;
    this.#retained.append(next, this.#counters.timeMs, published);
  }

  #isCached(namespace: string): boolean {
    return this.#namespaces.record(namespace)?.kind === 'cached';
  }

  #doneWithoutEntry(at: Revision, created: boolean, createRevision: Revision): ApplyResult {
    return { type: 'done', revision: at, created, version: 0, createRevision, head: this.head };
  }

  #failed(code: ApplyErrorCode, currentRevision: Revision | null = null): ApplyResult {
    return { type: 'failed', code, currentRevision, head: this.head };
  }

  #state(): RestoredState {
    return {
      counters: this.#counters,
      namespaces: this.#namespaces,
      registrations: this.#registrations,
      idempotency: this.#idempotency,
    };
  }
}

/**
 * Makes a machine from the chunks of a snapshot, pushed one by one in their order. Each push is work for the bytes that
 * it brings and no more; between pushes at most one row is buffered. After an error it is of no use.
 */
export class SnapshotRestorer {
  readonly #options: StateMachineOptions;
  /** Null when it has failed or is finished. */
  #reader: SnapshotReader | null;

  /** The options of the machine to be. */
  constructor(options: StateMachineOptions = {}) {
    this.#options = options;
    this.#reader = new SnapshotReader({ ...STATE_MACHINE_DEFAULTS, ...options });
  }

  /** Bytes buffered of a row that goes on in the next chunk. */
  get bufferedBytes(): number {
    return this.#reader?.bufferedBytes ?? 0;
  }

  /** Takes the next bytes, wherever they are cut, and keeps none of them. Throws DecodeError. */
  push(chunk: Uint8Array): void {
    const reader = this.#take();
    reader.push(chunk);
    // Not reached after an error: half a row must never be taken for the beginning of another.
    this.#reader = reader;
  }

  /** The machine. Throws DecodeError unless the snapshot was whole and its rows have the state hash that it names. */
  finish(): StateMachine {
    return new StateMachine(this.#options, this.#take().finish());
  }

  #take(): SnapshotReader {
    const reader = this.#reader;
    if (reader === null) throw new DecodeError('snapshot: refused before, or finished');
    this.#reader = null;
    return reader;
  }
}

function emptyState(limits: Required<StateMachineOptions>): RestoredState {
  const zero = revision(0);
  const namespaces = new Namespaces(limits.keyHashSeed);
  namespaces.addBuiltIn(ACCESS_NAMESPACE, 'strict');
  namespaces.addBuiltIn(TOKENS_NAMESPACE, 'cached');
  return {
    counters: {
      type: 'counters',
      appliedIndex: 0,
      head: zero,
      publishedRevision: zero,
      lastClientId: 0,
      timeMs: 0,
    },
    namespaces,
    registrations: new Registrations(limits),
    idempotency: new IdempotencyKeys(limits.idempotencyKeysMax),
  };
}

function decodeOrNull(bytes: Uint8Array): Command | null {
  try {
    return decodeCommand(bytes);
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

/** `current`: revision of the entry, null when there is none. */
function isMet(condition: Condition, current: Revision | null): boolean {
  switch (condition.type) {
    case 'none':
      return true;
    case 'absent':
      return current === null;
    case 'present':
      return current !== null;
    case 'revision':
      return current === condition.revision;
  }
}
