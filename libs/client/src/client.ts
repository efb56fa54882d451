import {
  type CheckRequest,
  type Decision,
  type MemberStatus,
  QuorateError,
  type StoreAnswer,
  type StoreResponse,
} from '@quorate/api';
import type { Condition, NamespaceKind, Operation, Revision } from '@quorate/kv';
import { DEFAULT_DEADLINE_MS, type StoreClient, type StoreRead } from './store-client.js';

type Answer<Type extends StoreAnswer['type']> = Extract<StoreAnswer, { readonly type: Type }>;

/** A large state takes a while to be written and synced. */
const SNAPSHOT_DEADLINE_MS = 60_000;
const UNCONDITIONAL: Condition = { type: 'none' };

export interface CallOptions {
  /** The bearer token to use instead of the client's own. */
  readonly token?: string;
  /** Milliseconds from now; 2,000 when not given. */
  readonly deadlineMs?: number;
}

export interface WriteOptions extends CallOptions {
  /** Makes a repetition by the caller, also from another process, happen once. */
  readonly idempotencyKey?: string;
  /** What must hold of the entry at the moment of the write. */
  readonly condition?: Condition;
  /** Fails with ACCESS_CHANGED unless the namespace's newest change is at this revision. */
  readonly ifNamespaceRevision?: Revision;
}

/** What the promises stand on: a StoreClient. */
export type StoreCalls = Pick<StoreClient, 'write' | 'request' | 'ask'>;

export interface QuorateClientOptions {
  readonly store: StoreCalls;
  /** Called with each acknowledged write and its revision, before its promise is fulfilled. Must not throw. */
  readonly onWritten?: (operation: Operation, revision: Revision) => void;
  /** The bearer token of calls that bring none. */
  readonly token?: string;
}

/**
 * The store's API as promises. Every rejection is a QuorateError: its `effect` says whether the request surely had no effect
 * (`none`), or may have had one (`unknown`, code OUTCOME_UNKNOWN).
 */
export class QuorateClient {
  readonly #store: StoreCalls;
  readonly #token: string;
  readonly #onWritten: QuorateClientOptions['onWritten'];

  constructor(options: QuorateClientOptions) {
    this.#store = options.store;
    this.#token = options.token ?? '';
    this.#onWritten = options.onWritten;
  }

  /** Creates or replaces an entry. The value is kept byte for byte. */
  put(
    namespace: string,
    key: string,
    value: Uint8Array,
    options: WriteOptions = {},
  ): Promise<Answer<'written'>> {
    const { condition = UNCONDITIONAL, ifNamespaceRevision = null } = options;
    return this.write({ type: 'put', namespace, key, value, condition, ifNamespaceRevision }, options);
  }

  /** Deletes an entry; ENTRY_NOT_FOUND when there is none. */
  delete(namespace: string, key: string, options: WriteOptions = {}): Promise<Answer<'written'>> {
    const { condition = UNCONDITIONAL, ifNamespaceRevision = null } = options;
    return this.write({ type: 'delete', namespace, key, condition, ifNamespaceRevision }, options);
  }

  /** Creates a namespace; done already is success, the other kind is NAMESPACE_KIND_CONFLICT. */
  createNamespace(
    namespace: string,
    kind: NamespaceKind,
    options: WriteOptions = {},
  ): Promise<Answer<'written'>> {
    return this.write({ type: 'createNamespace', namespace, kind }, options);
  }

  /** Deletes a namespace with its entries. Its name and kind stay taken. */
  deleteNamespace(namespace: string, options: WriteOptions = {}): Promise<Answer<'written'>> {
    return this.write({ type: 'deleteNamespace', namespace }, options);
  }

  write(operation: Operation, options: WriteOptions = {}): Promise<Answer<'written'>> {
    const { token = this.#token, deadlineMs = DEFAULT_DEADLINE_MS, idempotencyKey = null } = options;
    return new Promise((resolve, reject) => {
      this.#store.write({ token, operation, idempotencyKey, deadlineMs }, (response) => {
        if (response.type === 'written') this.#onWritten?.(operation, response.revision);
        settle(response, 'written', resolve, reject);
      });
    });
  }

  /** Reads an entry linearizably; `entry` is null when there is none. */
  get(namespace: string, key: string, options: CallOptions = {}): Promise<Answer<'entry'>> {
    return this.#read({ type: 'get', token: this.#tokenOf(options), namespace, key }, 'entry', options);
  }

  /** Lists entries by key, linearizably. `limit` is at most 1,000. */
  list(
    namespace: string,
    options: CallOptions & { readonly prefix?: string; readonly limit?: number } = {},
  ): Promise<Answer<'entries'>> {
    const { prefix = '', limit = 100 } = options;
    const token = this.#tokenOf(options);
    return this.#read({ type: 'list', token, namespace, prefix, limit }, 'entries', options);
  }

  namespace(namespace: string, options: CallOptions = {}): Promise<Answer<'namespace'>> {
    return this.#read({ type: 'namespace', token: this.#tokenOf(options), namespace }, 'namespace', options);
  }

  namespaces(options: CallOptions = {}): Promise<Answer<'namespaces'>> {
    return this.#read({ type: 'namespaces', token: this.#tokenOf(options) }, 'namespaces', options);
  }

  /** Asks for an access decision. Without quorum there is none: the promise rejects. */
  async check(check: CheckRequest, options: CallOptions = {}): Promise<Decision> {
    const answer = await this.#read(
      { type: 'check', token: this.#tokenOf(options), check },
      'decision',
      options,
    );
    return answer.decision;
  }

  /** What one member says of itself; without a member, whoever is nearest. */
  async status(member: number | null = null, options: CallOptions = {}): Promise<MemberStatus> {
    const { deadlineMs = DEFAULT_DEADLINE_MS } = options;
    if (member === null) return (await this.#read({ type: 'status' }, 'status', options)).status;
    const answer = await new Promise<Answer<'status'>>((resolve, reject) => {
      this.#store.ask(member, { type: 'status' }, deadlineMs, (response) =>
        settle(response, 'status', resolve, reject),
      );
    });
    return answer.status;
  }

  /** Hands leadership to a member; null: to the follower that is nearest. TRANSFER_FAILED when it did not change in time. */
  transfer(to: number | null, options: CallOptions = {}): Promise<Answer<'transferred'>> {
    return this.#read({ type: 'transfer', token: this.#tokenOf(options), to }, 'transferred', options);
  }

  /** Makes a member take a durable snapshot now: the leader, if this client knows who that is. */
  snapshot(options: CallOptions = {}): Promise<Answer<'snapshotTaken'>> {
    const patient = { deadlineMs: SNAPSHOT_DEADLINE_MS, ...options };
    return this.#read({ type: 'snapshot', token: this.#tokenOf(options) }, 'snapshotTaken', patient);
  }

  /**
   * One chunk of a backup. First `index` null and chunk 0: the leader proves that it leads and says which snapshot it is.
   * Then the other chunks of that index, from whoever holds it; SNAPSHOT_GONE when nobody does any more.
   */
  backup(index: number | null, chunk: number, options: CallOptions = {}): Promise<Answer<'backupChunk'>> {
    const token = this.#tokenOf(options);
    const patient = index === null ? { deadlineMs: SNAPSHOT_DEADLINE_MS, ...options } : options;
    return this.#read({ type: 'backup', token, index, chunk }, 'backupChunk', patient);
  }

  /** Any other request; the answer's type tells which it is. */
  request(request: StoreRead, options: CallOptions = {}): Promise<StoreAnswer> {
    return new Promise((resolve, reject) => {
      this.#store.request(request, options.deadlineMs ?? DEFAULT_DEADLINE_MS, (response) => {
        if (response.type === 'failed') reject(QuorateError.from(response));
        else resolve(response);
      });
    });
  }

  #read<Type extends StoreAnswer['type']>(
    request: StoreRead,
    type: Type,
    options: CallOptions,
  ): Promise<Answer<Type>> {
    return new Promise((resolve, reject) => {
      this.#store.request(request, options.deadlineMs ?? DEFAULT_DEADLINE_MS, (response) =>
        settle(response, type, resolve, reject),
      );
    });
  }

  #tokenOf(options: CallOptions): string {
    return options.token ?? this.#token;
  }
}

function isAnswer<Type extends StoreAnswer['type']>(answer: StoreAnswer, type: Type): answer is Answer<Type> {
  return answer.type === type;
}

function settle<Type extends StoreAnswer['type']>(
  response: StoreResponse,
  type: Type,
  resolve: (answer: Answer<Type>) => void,
  reject: (error: QuorateError) => void,
): void {
  if (response.type === 'failed') reject(QuorateError.from(response));
  else if (isAnswer(response, type)) resolve(response);
  else reject(unexpected(response.type));
}

function unexpected(type: string): QuorateError {
  return new QuorateError('INTERNAL', `The store answered with ${type}, which does not fit the request.`);
}
