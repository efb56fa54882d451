import { createHash } from 'node:crypto';
import {
  authorizeToken,
  failure,
  isAccessToken,
  type Caller,
  type CheckRequest,
  type Decision,
  type ErrorCode,
  type LinkRole,
  type Need,
  type StoreFailure,
  type StoreRequest,
  type StoreResponse,
} from '@quorate/api';
import {
  ACCESS_NAMESPACE,
  ByteWriter,
  LIST_LIMIT_MAX,
  TOKENS_NAMESPACE,
  encodeOperation,
  type ApplyErrorCode,
  type ApplyResult,
  type Operation,
  type Revision,
  type StateMachine,
} from '@quorate/kv';
import { memberId } from '@quorate/raft';
import { countOfOneAnswer } from './list-bounds.js';
import type { Replica } from './replica.js';
import type { TakenSnapshot } from './snapshots.js';
import { listTokens, refuseTokenChange, withTokenKey } from './token-changes.js';

/** The decisions that the store's wiring hands in: who may, and what a policy says. All are synchronous and pure. */
export interface RequestPolicies {
  /** SHA-256 of the admin token in hex. All other tokens are in the state. */
  readonly adminTokenHash: string;
  decide(machine: StateMachine, check: CheckRequest): Decision;
  /** May this change of the namespace `access` be proposed, given the state now? Null: yes. */
  validateAccessChange(machine: StateMachine, operation: Operation): StoreFailure | null;
  readonly feedKey: Uint8Array;
}

const CHANGES_BYTES_MAX = 1024 * 1024;
const CONTENT_BYTES_MAX = 512 * 1024;
/** A write that finds the tokens changed is authorised and proposed anew, so many times in all. */
const PROPOSALS_MAX = 8;

type ReadRequest = StoreRequest & {
  type: 'get' | 'list' | 'namespace' | 'namespaces' | 'check' | 'tokens' | 'caller';
};

/** A write on its way through its attempts. */
interface PendingWrite {
  readonly request: StoreRequest & { readonly type: 'write' };
  /** By the monotonic clock. */
  readonly expiresMs: number;
  readonly respond: (response: StoreResponse) => void;
  proposals: number;
}

/**
 * W2: answers one request to a member. Reads and checks are answered behind a read barrier, in one synchronous step on one state;
 * writes are proposed. `respond` is called exactly once.
 */
export class RequestHandler {
  readonly #replica: Replica;
  readonly #policies: RequestPolicies;

  constructor(replica: Replica, policies: RequestPolicies) {
    this.#replica = replica;
    this.#policies = policies;
  }

  handle(
    role: LinkRole,
    request: StoreRequest,
    deadlineMs: number,
    respond: (response: StoreResponse) => void,
  ): void {
    switch (request.type) {
      case 'register':
        return this.#replica.propose(
          { registration: null, idempotency: null, ifTokensRevision: null, body: { type: 'register' } },
          deadlineMs,
          (o) => respond(registered(o)),
        );
      case 'write':
        return this.#write(
          { request, expiresMs: this.#replica.monotonicMs + deadlineMs, respond, proposals: 0 },
          false,
        );
      case 'get':
      case 'list':
      case 'namespace':
      case 'namespaces':
      case 'check':
      case 'tokens':
      case 'caller':
        return this.#read(request, deadlineMs, respond);
      case 'status':
        return respond({ type: 'status', status: this.#replica.status() });
      case 'probe':
        return this.#replica.readBarrier(deadlineMs, (refusal) => respond(refusal ?? this.#probed()));
      case 'changes':
      case 'resync':
      case 'fill':
      case 'content':
      case 'feedKey':
        // Published data without a token: for gateways, whose role the handshake proved.
        if (role === 'client')
          return respond(failure('FORBIDDEN', `A link of role client may not ask for ${request.type}.`));
        return respond(this.#published(request));
      case 'feedSubscribe':
        return respond({ type: 'subscribed' });
      case 'feedUnsubscribe':
        return respond({ type: 'unsubscribed' });
      case 'transfer':
      case 'snapshot':
      case 'backup':
        return this.#operate(request, deadlineMs, respond);
    }
  }

  /**
   * W2: the one decision about a caller, on the state as it is here and now. That state may be old: a "no" holds only behind a barrier, a
   * "yes" only behind a barrier or for the revision of the tokens that it was found at.
   */
  #authorize(token: string, need: Need, namespace: string | null): Caller | StoreFailure {
    const { machine, nowMs } = this.#replica;
    const isRead = need === 'entries:read' && namespace !== null;
    return authorizeToken({
      adminTokenHash: this.#policies.adminTokenHash,
      token,
      recordOf: (tokenHash) => machine.get(TOKENS_NAMESPACE, tokenHash)?.value ?? null,
      need,
      namespace,
      readers: isRead ? (machine.namespace(namespace)?.readers ?? null) : null,
      nowMs,
    });
  }

  /** What operators ask for. The admin needs no quorum for what the member does on its own; any other token is looked up behind a barrier. */
  #operate(
    request: StoreRequest & { type: 'transfer' | 'snapshot' | 'backup' },
    deadlineMs: number,
    respond: (response: StoreResponse) => void,
  ): void {
    const before = this.#authorize(request.token, 'cluster:admin', null);
    if (!('type' in before) && before.isAdmin) return this.#operateAllowed(request, deadlineMs, respond);
    if ('type' in before && !isAccessToken(request.token)) return respond(before);
    const expiresMs = this.#replica.monotonicMs + deadlineMs;
    this.#replica.readBarrier(deadlineMs, (refusal) => {
      if (refusal !== null) return respond(refusal);
      const caller = this.#authorize(request.token, 'cluster:admin', null);
      if ('type' in caller) return respond(caller);
      this.#operateAllowed(request, Math.max(0, expiresMs - this.#replica.monotonicMs), respond);
    });
  }

  #operateAllowed(
    request: StoreRequest & { type: 'transfer' | 'snapshot' | 'backup' },
    deadlineMs: number,
    respond: (response: StoreResponse) => void,
  ): void {
    const replica = this.#replica;
    switch (request.type) {
      case 'transfer':
        return replica.transfer(request.to === null ? null : memberId(request.to), deadlineMs, (outcome) =>
          respond(
            'moved' in outcome
              ? { type: 'transferred', leader: replica.raft.leader ?? 0, moved: outcome.moved }
              : outcome,
          ),
        );
      case 'snapshot':
        return replica.takeSnapshot(deadlineMs, (outcome) =>
          respond('info' in outcome ? snapshotTaken(outcome) : outcome),
        );
      case 'backup':
        if (request.index !== null) return respond(this.#backupChunk(request.index, request.chunk));
        // Everything acknowledged before this request is in the backup: the barrier proves it, the snapshot is taken behind it.
        return replica.readBarrier(deadlineMs, (refusal) => {
          if (refusal !== null) return respond(refusal);
          replica.takeSnapshot(deadlineMs, (outcome) =>
            respond('info' in outcome ? this.#backupChunk(outcome.info.index, 0) : outcome),
          );
        });
    }
  }

  #backupChunk(index: number, chunk: number): StoreResponse {
    const found = this.#replica.snapshotChunk(index, chunk);
    if (found === null) return failure('SNAPSHOT_GONE');
    const { clusterId, epoch } = this.#replica.config;
    const { info, revision, data } = found;
    const { term, chunkCount, digest } = info;
    return { type: 'backupChunk', clusterId, epoch, index, term, revision, chunk, chunkCount, digest, data };
  }

  /** `isConfirmed`: the state is at least as new as any write acknowledged before this request came. */
  #write(write: PendingWrite, isConfirmed: boolean): void {
    const { request, respond } = write;
    const { operation, registration, idempotencyKey } = request;
    const caller = this.#authorize(request.token, needOfWrite(operation), operation.namespace);
    if ('type' in caller)
      return isConfirmed || !isAccessToken(request.token) ? respond(caller) : this.#writeBehindBarrier(write);
    const refusal = this.#refuseChange(operation);
    if (refusal !== null) return respond(refusal);
    const idempotency =
      idempotencyKey === null
        ? null
        : { principal: caller.principal, key: idempotencyKey, fingerprint: fingerprint(operation) };
    const { machine } = this.#replica;
    const ifTokensRevision = fenceOf(caller, operation, machine);
    const guarded = guardAccessChange(operation, machine);
    write.proposals += 1;
    this.#replica.propose(
      { registration, idempotency, ifTokensRevision, body: { type: 'operation', operation: guarded } },
      this.#leftMs(write),
      (outcome) => {
        const isStale = outcome.type === 'failed' && outcome.code === 'AUTHORIZATION_CHANGED';
        // What refused it is applied here, so this state has all that was acknowledged before the request.
        if (isStale && write.proposals < PROPOSALS_MAX && this.#leftMs(write) > 0) this.#write(write, true);
        else respond(written(outcome));
      },
    );
  }

  /** The token, or the right, may be newer than what is applied here: a leader that was just elected has much to apply. */
  #writeBehindBarrier(write: PendingWrite): void {
    const refusal = this.#replica.proposalRefusal;
    if (refusal !== null) return write.respond(refusal);
    this.#replica.readBarrier(this.#leftMs(write), (failed) =>
      failed === null ? this.#write(write, true) : write.respond(failed),
    );
  }

  #leftMs({ expiresMs }: PendingWrite): number {
    return Math.max(0, expiresMs - this.#replica.monotonicMs);
  }

  /**
   * Policies and entities are validated before they are proposed, against the state at access revision v; the command carries
   * "if the access revision is still v", so apply needs no policy engine.
   */
  #refuseChange(operation: Operation): StoreFailure | null {
    const { namespace } = operation;
    if (namespace !== ACCESS_NAMESPACE && namespace !== TOKENS_NAMESPACE) return null;
    const { raft, machine } = this.#replica;
    if (raft.role !== 'leader') return failure('NOT_LEADER', undefined, { leader: raft.leader });
    if (namespace === TOKENS_NAMESPACE) return refuseTokenChange(machine, operation);
    return this.#policies.validateAccessChange(machine, operation);
  }

  #read(request: ReadRequest, deadlineMs: number, respond: (response: StoreResponse) => void): void {
    if (
      (request.type === 'list' || request.type === 'tokens') &&
      !(request.limit >= 1 && request.limit <= LIST_LIMIT_MAX)
    ) {
      return respond(failure('INVALID_REQUEST', `limit must be 1 to ${LIST_LIMIT_MAX}.`, { field: 'limit' }));
    }
    if (!isAccessToken(request.token)) {
      const caller = this.#authorize(request.token, needOfRead(request), namespaceOf(request));
      if ('type' in caller) return respond(caller);
    }
    // From the barrier's confirmation to the answer there is no await: one snapshot, for free.
    // The right is found in it as well, so a revocation that was acknowledged before this read began is seen.
    this.#replica.readBarrier(deadlineMs, (refusal) => respond(refusal ?? this.#answer(request)));
  }

  #answer(request: ReadRequest): StoreResponse {
    const caller = this.#authorize(request.token, needOfRead(request), namespaceOf(request));
    if ('type' in caller) return caller;
    const { machine } = this.#replica;
    const { head } = machine;
    if (request.type === 'check')
      return { type: 'decision', decision: this.#policies.decide(machine, request.check), head };
    if (request.type === 'caller') return { type: 'caller', principal: caller.principal, head };
    if (request.type === 'tokens')
      return { type: 'tokens', ...listTokens(machine, request.prefix, request.limit), head };
    if (request.type === 'namespaces')
      return { type: 'namespaces', records: machine.namespaces().filter((r) => !r.deleted), head };
    if (request.type !== 'namespace' && request.namespace === TOKENS_NAMESPACE)
      return failure('NAMESPACE_RESERVED', undefined, { field: 'namespace' });
    const record = machine.namespace(request.namespace);
    if (record === undefined || record.deleted) return failure('NAMESPACE_NOT_FOUND', undefined, { head });
    switch (request.type) {
      case 'namespace':
        return { type: 'namespace', record, head };
      case 'get': {
        const entry = machine.encoded(request.namespace, request.key) ?? null;
        return { type: 'entry', entry, kind: record.kind, head };
      }
      case 'list': {
        const { entries, truncated } = machine.list(request.namespace, request);
        const fitting = entries.slice(0, countOfOneAnswer(entries));
        return {
          type: 'entries',
          entries: fitting,
          truncated: truncated || fitting.length < entries.length,
          kind: record.kind,
          head,
        };
      }
    }
  }

  #probed(): StoreResponse {
    const { machine, config } = this.#replica;
    return { type: 'probed', epoch: config.epoch, head: machine.head, published: machine.publishedRevision };
  }

  #published(
    request: StoreRequest & { type: 'changes' | 'resync' | 'fill' | 'content' | 'feedKey' },
  ): StoreResponse {
    if (request.type === 'feedKey') return { type: 'feedKey', key: this.#policies.feedKey };
    const { machine, config, caughtUp, divergedFailure } = this.#replica;
    if (divergedFailure !== null) return divergedFailure;
    const { epoch } = config;
    const notCaughtUp = failure('NOT_CAUGHT_UP', undefined, { head: machine.head });
    if (!caughtUp) return notCaughtUp;
    switch (request.type) {
      case 'resync':
        return { type: 'resynced', epoch, revision: machine.head, namespaces: machine.namespaces() };
      case 'changes': {
        // Behind what the cache knows, with nothing new for it: it must ask another member, or it would ask this one for ever.
        const isBehind = machine.head < request.minRevision && machine.publishedRevision <= request.after;
        if (request.after > machine.head || isBehind) return notCaughtUp;
        const bytesMax = Math.min(Math.max(request.bytesMax, 1), CHANGES_BYTES_MAX);
        const changes = machine.publishedChanges(request.after, bytesMax, epoch);
        if (changes.type === 'compacted') return { type: 'compacted', epoch, oldest: changes.oldest };
        return { type: 'changes', batch: changes.batch, published: machine.publishedRevision };
      }
      case 'fill':
      case 'content': {
        if (request.minRevision > machine.head) return notCaughtUp;
        const record = machine.namespace(request.namespace);
        if (record === undefined || record.deleted)
          return failure('NAMESPACE_NOT_FOUND', undefined, { head: machine.head });
        // Strict data never leaves the members for a cache.
        if (record.kind !== 'cached') return failure('FORBIDDEN', 'A strict namespace is never cached.');
        const asOf = { epoch, revision: machine.head };
        if (request.type === 'content') {
          const bytesMax = Math.min(Math.max(request.bytesMax, 1), CONTENT_BYTES_MAX);
          return { type: 'content', ...asOf, ...machine.page(request.namespace, request.after, bytesMax) };
        }
        const entry = machine.encoded(request.namespace, request.key) ?? null;
        return { type: 'filled', ...asOf, entry };
      }
    }
  }
}

function needOfWrite(operation: Operation): Need {
  if (operation.namespace === ACCESS_NAMESPACE || operation.namespace === TOKENS_NAMESPACE)
    return 'access:write';
  return operation.type === 'put' || operation.type === 'delete' ? 'entries:write' : 'namespaces:write';
}

function needOfRead(request: ReadRequest): Need {
  switch (request.type) {
    case 'check':
      return 'access:check';
    case 'caller':
      return request.need;
    case 'tokens':
      return 'access:read';
    case 'namespace':
    case 'namespaces':
      return 'namespaces:read';
    case 'get':
    case 'list':
      return request.namespace === ACCESS_NAMESPACE || request.namespace === TOKENS_NAMESPACE
        ? 'access:read'
        : 'entries:read';
  }
}

/** The namespace that a scope must name, if it names any. */
function namespaceOf(request: ReadRequest): string | null {
  if (request.type === 'tokens') return TOKENS_NAMESPACE;
  return 'namespace' in request ? request.namespace : null;
}

/**
 * The revision of the tokens that the write is valid for only. The admin's right is not in the log; but what changes tokens was validated
 * against all of them, whoever asks for it.
 */
function fenceOf(caller: Caller, operation: Operation, machine: StateMachine): Revision | null {
  if (caller.isAdmin && operation.namespace !== TOKENS_NAMESPACE) return null;
  return machine.namespaceRevision(TOKENS_NAMESPACE);
}

function guardAccessChange(operation: Operation, machine: StateMachine): Operation {
  if (operation.namespace === TOKENS_NAMESPACE) return withTokenKey(machine, operation);
  if (operation.namespace !== ACCESS_NAMESPACE || (operation.type !== 'put' && operation.type !== 'delete'))
    return operation;
  return { ...operation, ifNamespaceRevision: machine.namespaceRevision(ACCESS_NAMESPACE) };
}

function fingerprint(operation: Operation): Uint8Array {
  const writer = new ByteWriter();
  encodeOperation(writer, operation);
  return createHash('sha256').update(writer.finish()).digest();
}

function registered(outcome: ApplyResult | StoreFailure): StoreResponse {
  if (outcome.type === 'registered') return { type: 'registered', clientId: outcome.clientId };
  return outcome.type === 'done' ? failure('INTERNAL') : applyFailure(outcome);
}

function written(outcome: ApplyResult | StoreFailure): StoreResponse {
  if (outcome.type === 'done') {
    const { revision, created, version, createRevision, head } = outcome;
    return { type: 'written', revision, created, version, createRevision, head };
  }
  return outcome.type === 'registered' ? failure('INTERNAL') : applyFailure(outcome);
}

function snapshotTaken({ info, revision, taken }: TakenSnapshot): StoreResponse {
  const { index, payloadBytes } = info;
  return { type: 'snapshotTaken', index, revision, payloadBytes, taken };
}

const APPLY_ERRORS: Record<ApplyErrorCode, ErrorCode> = {
  NAMESPACE_NOT_FOUND: 'NAMESPACE_NOT_FOUND',
  NAMESPACE_KIND_CONFLICT: 'NAMESPACE_KIND_CONFLICT',
  TOO_MANY_NAMESPACES: 'TOO_MANY_NAMESPACES',
  NAMESPACE_NOT_CACHED: 'NAMESPACE_NOT_CACHED',
  TOO_MANY_READERS: 'TOO_MANY_READERS',
  AUTHORIZATION_CHANGED: 'AUTHORIZATION_CHANGED',
  ENTRY_NOT_FOUND: 'ENTRY_NOT_FOUND',
  PRECONDITION_FAILED: 'PRECONDITION_FAILED',
  NAMESPACE_CHANGED: 'ACCESS_CHANGED',
  REGISTRATION_EXPIRED: 'REGISTRATION_EXPIRED',
  // A late duplicate of a request whose answer has been forgotten: it was done, or given up, long ago.
  SEQUENCE_COMPLETED: 'OUTCOME_UNKNOWN',
  TOO_MANY_OUTSTANDING: 'OVERLOADED',
  IDEMPOTENCY_KEY_REUSED: 'IDEMPOTENCY_KEY_REUSED',
  INVALID_COMMAND: 'INVALID_REQUEST',
};

function applyFailure(outcome: Extract<ApplyResult, { type: 'failed' }> | StoreFailure): StoreFailure {
  if (!('currentRevision' in outcome)) return outcome;
  const { code, currentRevision, head } = outcome;
  return failure(
    APPLY_ERRORS[code],
    undefined,
    code === 'PRECONDITION_FAILED' ? { currentRevision, head } : { head },
  );
}
