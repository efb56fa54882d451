import { crc32 } from 'node:zlib';
import { QuorateError, decodeTokenRecord, type ErrorCode } from '@quorate/api';
import { CachedViewDriver } from '@quorate/client';
import { revision, type Entry, type NamespaceRecord, type Operation, type Revision } from '@quorate/kv';
import type {
  Backend,
  HeldOutcome,
  Store,
  View,
  ViewList,
  ViewOutcome,
  ViewRead,
  ViewStatus,
} from './store/store.js';

/** Counters of a view that nothing has happened to. */
const COUNTERS = new CachedViewDriver({
  source: { request: () => undefined },
  clock: { monotonicMs: () => 0, wallMs: () => 0, setTimer: () => () => undefined },
  random: () => 0.5,
  clusterId: 'c0ffee00c0ffee00',
}).counters;

/**
 * A store in a Map, and a view that holds what the store held when it was last told to `sync`. Tests set `storeFailure`
 * for a store without a quorum and replace `outcome` for a view that says something else.
 */
export class MemoryBackend implements Backend {
  epoch = 1;
  head: Revision = revision(0);
  storeFailure: ErrorCode | null = null;
  outcome: ((read: ViewRead) => ViewOutcome | null) | null = null;
  /** What the view answers when it must not ask the store; undefined: what it held at the last sync. */
  held: HeldOutcome | null | undefined = undefined;
  state: ViewStatus['state'] = 'live';
  /** Whether the view holds cached namespaces whole. */
  isWhole = false;
  /** The view knows no revision yet. */
  unsynced = false;
  /** The bound that the view states. */
  stalenessMs: number | null = 84;
  closed = false;
  readonly calls: string[] = [];
  readonly ownWrites: string[] = [];
  readonly lastOperations: Operation[] = [];
  lastIdempotencyKey: string | null = null;
  leader = 2;
  /** What a backup of this store consists of. */
  snapshotChunks: readonly Uint8Array[] = [new Uint8Array([1, 2, 3]), new Uint8Array([4, 5])];
  /** The checksum that the store claims for it; null: the right one. */
  snapshotDigest: number | null = null;
  /** The log index of the newest snapshot; 0: none. */
  snapshotIndex = 0;
  /** Called before a chunk is handed out; may throw. */
  onChunk: (chunk: number) => void | Promise<void> = () => undefined;
  /** Besides the admin's: they may do everything here. */
  readonly knownTokens = new Set<string>();
  readonly #entries = new Map<string, Entry>();
  readonly #namespaces = new Map<string, NamespaceRecord>();
  #view = new Map<string, Entry>();
  #watermark = revision(0);
  #onAdvance: Parameters<View['onAdvance']>[0] = () => undefined;

  constructor() {
    for (const [name, kind] of [
      ['access', 'strict'],
      ['limits', 'strict'],
      ['content', 'cached'],
    ] as const) {
      this.#namespaces.set(name, {
        name,
        kind,
        deleted: false,
        revision: this.#next(),
        createRevision: this.head,
        readers: null,
      });
    }
    const zero = revision(0);
    const builtIn = { deleted: false, revision: zero, createRevision: zero, readers: null };
    this.#namespaces.set('tokens', { name: 'tokens', kind: 'cached', ...builtIn });
    this.sync();
  }

  /** Ends every fault, and forgets what was called. What is stored and what the view holds stay. */
  calm(): void {
    this.storeFailure = null;
    this.outcome = null;
    this.held = undefined;
    this.unsynced = false;
    this.state = 'live';
    this.stalenessMs = 84;
    this.calls.length = 0;
  }

  /** The view catches up with the store. */
  sync(): void {
    this.#view = new Map(this.#entries);
    this.#watermark = this.head;
    this.#onAdvance(this.head, this.epoch);
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  readonly store: Store = {
    get: async (token, namespace, key) => {
      this.#called('get', token);
      const { kind } = this.#existing(namespace);
      return {
        type: 'entry',
        entry: this.#entries.get(`${namespace}/${key}`) ?? null,
        kind,
        head: this.head,
      };
    },
    list: async (token, namespace, prefix, limit) => {
      this.#called('list', token);
      const { kind } = this.#existing(namespace);
      const all = [...this.#entries.values()].filter(
        (entry) => entry.namespace === namespace && entry.key.startsWith(prefix),
      );
      const entries = all.slice(0, limit);
      return { type: 'entries', entries, truncated: all.length > limit, kind, head: this.head };
    },
    write: async (token, operation, idempotencyKey) => {
      this.#called('write', token);
      this.lastOperations.push(operation);
      this.lastIdempotencyKey = idempotencyKey;
      return this.#write(operation);
    },
    namespace: async (token, namespace) => {
      this.#called('namespace', token);
      return { type: 'namespace', record: this.#existing(namespace), head: this.head };
    },
    namespaces: async (token) => {
      this.#called('namespaces', token);
      return { type: 'namespaces', records: [...this.#namespaces.values()], head: this.head };
    },
    check: async (token, { principal }) => {
      this.#called('check', token);
      const allowed = principal.id === 'alice';
      const reason = allowed ? 'allowed by p1' : 'no policy allows it';
      const decision = { allowed, revision: revision(1), policies: allowed ? ['p1'] : [], reason };
      return { type: 'decision', decision, head: this.head };
    },
    transfer: async (token, to) => {
      this.#called('transfer', token);
      const leader = to ?? (this.leader === 2 ? 3 : 2);
      if (leader > 3) throw new QuorateError('TRANSFER_FAILED');
      const moved = leader !== this.leader;
      this.leader = leader;
      return { type: 'transferred', leader, moved };
    },
    snapshot: async (token) => {
      this.#called('snapshot', token);
      const taken = this.snapshotIndex < this.head;
      this.snapshotIndex = this.head;
      const payloadBytes = this.snapshotChunks.reduce((sum, { length }) => sum + length, 0);
      return { type: 'snapshotTaken', index: this.snapshotIndex, revision: this.head, payloadBytes, taken };
    },
    backup: async (token, index, chunk) => {
      this.#called(`backup ${index} ${chunk}`, token);
      await this.onChunk(chunk);
      if (index === null) this.snapshotIndex = this.head;
      const data = this.snapshotChunks[chunk];
      if (data === undefined || (index !== null && index !== this.snapshotIndex))
        throw new QuorateError('SNAPSHOT_GONE');
      return {
        type: 'backupChunk',
        clusterId: 'c0ffee00c0ffee00',
        epoch: this.epoch,
        index: this.snapshotIndex,
        term: 3,
        revision: this.head,
        chunk,
        chunkCount: this.snapshotChunks.length,
        digest: this.snapshotDigest ?? this.snapshotChunks.reduce((sum, bytes) => crc32(bytes, sum), 0),
        data,
      };
    },
    caller: async (token) => {
      this.#called('caller', token);
      return { type: 'caller', principal: 'ada', head: this.head };
    },
    tokens: async (token, prefix, limit) => {
      this.#called('tokens', token);
      const all = [...this.#entries.values()]
        .filter(({ namespace, key }) => namespace === 'tokens' && key.startsWith(prefix))
        .flatMap(({ key, value, createRevision }) => {
          const record = decodeTokenRecord(value);
          return record === null ? [] : [{ id: key.slice(0, 12), ...record, createRevision }];
        });
      return { type: 'tokens', tokens: all.slice(0, limit), truncated: all.length > limit, head: this.head };
    },
    members: async () => [
      { id: 1, status: null },
      {
        id: 2,
        status: {
          id: 2,
          clusterId: 'c0ffee00c0ffee00',
          epoch: 1,
          role: 'leader',
          term: 3,
          leader: 2,
          quorum: true,
          commitIndex: 9,
          appliedIndex: 9,
          lastIndex: 9,
          revision: this.head,
          stateHash: '00',
          entries: this.#entries.size,
          firstIndex: 5,
          snapshotIndex: 4,
          logBytes: 1_048_576,
          diskStalled: false,
          diverged: false,
          recovering: false,
          peers: [{ id: 1, reachable: false, sinceMs: 1500 }],
        },
      },
    ],
  };

  readonly view: View = this.#makeView();

  #makeView(): View {
    const currentState = (): ViewStatus['state'] => this.state;
    return {
      read: async (read) => this.outcome?.(read) ?? this.#readView(read),
      onAdvance: (listener) => {
        this.#onAdvance = listener;
        listener(this.#watermark, this.epoch);
      },
      readHeld: (namespace, key, token) =>
        this.held === undefined ? this.#readHeld(namespace, key, token) : this.held,
      list: async (list) => this.#listView(list),
      ownWrite: (namespace, key, at) =>
        void this.ownWrites.push(`${namespace}${key === null ? '' : `/${key}`}@${at}`),
      get state() {
        return currentState();
      },
      status: () => ({
        state: this.state,
        epoch: this.epoch,
        revision: this.unsynced ? null : this.#watermark,
        stalenessMs: this.stalenessMs,
        lag: this.head - this.#watermark,
        entries: this.#view.size,
        bytes: 0,
        counters: COUNTERS,
      }),
    };
  }

  #listView({ namespace, prefix, limit, level, minRevision, token }: ViewList): ViewOutcome {
    const read = this.#readView({ namespace, key: '', level, minRevision, token });
    if (read.type !== 'hit') return read;
    if (!this.isWhole) return { type: 'fallback' };
    const { type: _type, entry: _entry, filled: _filled, ...proof } = read;
    const all = [...this.#view.values()].filter(
      (entry) => entry.namespace === namespace && entry.key.startsWith(prefix),
    );
    return { type: 'listed', entries: all.slice(0, limit), truncated: all.length > limit, ...proof };
  }

  #readView(read: ViewRead): ViewOutcome {
    if (this.#namespaces.get(read.namespace)?.kind !== 'cached') {
      return { type: 'strict' };
    }
    if (read.token !== null && !this.#isKnown(read.token)) {
      return { type: 'denied', code: 'UNAUTHENTICATED', message: 'The bearer token is not known.' };
    }
    const isBehind = read.minRevision !== null && read.minRevision > this.#watermark;
    if (isBehind || (read.level.type === 'linearizable' && this.#watermark < this.head)) {
      return { type: 'fallback' };
    }
    return {
      type: 'hit',
      entry: this.#view.get(`${read.namespace}/${read.key}`) ?? null,
      revision: this.#watermark,
      epoch: this.epoch,
      stalenessMs: this.stalenessMs,
      ageMs: this.stalenessMs,
      lag: this.head - this.#watermark,
      quorum: true,
      level: read.level.type === 'eventual' && read.minRevision !== null ? 'session' : read.level.type,
      filled: false,
    };
  }

  /** Absences that nobody has asked for are not held. */
  #readHeld(namespace: string, key: string, token: string | null): HeldOutcome | null {
    const read = { namespace, key, level: { type: 'eventual' }, minRevision: null, token } as const;
    const outcome = this.#readView(read);
    const isHeld = outcome.type === 'hit' && outcome.entry !== null;
    return isHeld || outcome.type === 'strict' || outcome.type === 'denied' ? outcome : null;
  }

  #isKnown(token: string): boolean {
    return token === 'admin-token-of-the-test' || this.knownTokens.has(token);
  }

  #called(name: string, token: string): void {
    this.calls.push(name);
    if (!this.#isKnown(token)) {
      throw new QuorateError('UNAUTHENTICATED');
    }
    if (this.storeFailure !== null) {
      throw new QuorateError(this.storeFailure, undefined, { head: this.head });
    }
  }

  #existing(namespace: string): NamespaceRecord {
    const record = this.#namespaces.get(namespace);
    if (record === undefined || record.deleted) {
      throw new QuorateError('NAMESPACE_NOT_FOUND', undefined, { head: this.head });
    }
    return record;
  }

  #next(): Revision {
    this.head = revision(this.head + 1);
    return this.head;
  }

  #write(operation: Operation): Awaited<ReturnType<Store['write']>> {
    const done = (created: boolean, version: number, at: Revision, createRevision: Revision) =>
      ({ type: 'written', created, version, revision: at, createRevision, head: this.head }) as const;
    if (operation.type === 'setReaders') {
      const record = this.#existing(operation.namespace);
      if (record.kind !== 'cached')
        throw new QuorateError('NAMESPACE_NOT_CACHED', undefined, { head: this.head });
      const { readers } = operation;
      this.#namespaces.set(record.name, { ...record, readers, revision: this.#next() });
      return done(false, 0, this.head, record.createRevision);
    }
    if (operation.type === 'createNamespace' || operation.type === 'deleteNamespace') {
      return this.#writeNamespace(operation, done);
    }
    const { namespace, condition } = operation;
    this.#existing(namespace);
    const key = this.#tokenKey(operation) ?? operation.key;
    const id = `${namespace}/${key}`;
    const present = this.#entries.get(id);
    const holds =
      condition.type === 'none' ||
      (condition.type === 'absent' && present === undefined) ||
      (condition.type === 'present' && present !== undefined) ||
      (condition.type === 'revision' && present?.revision === condition.revision);
    if (!holds) {
      throw new QuorateError('PRECONDITION_FAILED', undefined, {
        currentRevision: present?.revision ?? null,
        head: this.head,
      });
    }
    if (operation.type === 'delete') {
      if (!this.#entries.delete(id)) {
        throw new QuorateError('ENTRY_NOT_FOUND', undefined, { head: this.head });
      }
      const at = this.#next();
      return done(false, 0, at, at);
    }
    const at = this.#next();
    const createRevision = present?.createRevision ?? at;
    const version = (present?.version ?? 0) + 1;
    this.#entries.set(id, { namespace, key, value: operation.value, revision: at, version, createRevision });
    return done(present === undefined, version, at, createRevision);
  }

  /** Of a token that a deletion names by its id. */
  #tokenKey({ type, namespace, key }: { type: string; namespace: string; key: string }): string | undefined {
    if (type !== 'delete' || namespace !== 'tokens') return undefined;
    return [...this.#entries.values()].find(
      (entry) => entry.namespace === 'tokens' && entry.key.startsWith(key),
    )?.key;
  }

  #writeNamespace(
    operation: Extract<Operation, { readonly type: 'createNamespace' | 'deleteNamespace' }>,
    done: (
      created: boolean,
      version: number,
      at: Revision,
      createRevision: Revision,
    ) => Awaited<ReturnType<Store['write']>>,
  ): Awaited<ReturnType<Store['write']>> {
    const name = operation.namespace;
    if (operation.type === 'deleteNamespace') {
      const record = this.#existing(name);
      this.#namespaces.set(name, { ...record, deleted: true, revision: this.#next(), readers: null });
      return done(false, 0, this.head, record.createRevision);
    }
    const present = this.#namespaces.get(name);
    if (present !== undefined && present.kind !== operation.kind) {
      throw new QuorateError('NAMESPACE_KIND_CONFLICT', undefined, { head: this.head });
    }
    if (present !== undefined) {
      return done(false, 0, present.revision, present.createRevision);
    }
    const at = this.#next();
    this.#namespaces.set(name, {
      name,
      kind: operation.kind,
      deleted: false,
      revision: at,
      createRevision: at,
      readers: null,
    });
    return done(true, 0, at, at);
  }
}
