import assert from 'node:assert/strict';
import type { ErrorCode, StoreFailure, StoreRequest, StoreResponse } from '@quorate/api';
import { effectOf, failure } from '@quorate/api';
import type { Connection, LostResponse } from './connection.js';
import type { Clock, StoreSource } from './environment.js';
import { OutstandingCalls } from './outstanding-calls.js';
import { Registration } from './registration.js';
import {
  type CallContent,
  StoreCall,
  type StoreWrite,
  chooseConnection,
  mergeMembers,
} from './store-call.js';

export type { StoreWrite } from './store-call.js';

export const DEFAULT_DEADLINE_MS = 2_000;
/** The state machine keeps 1,024 answers a client. */
const SEQUENCE_WINDOW_MAX = 1_000;
const WRITES_QUEUED_MAX = 10_000;
const REQUESTS_MAX = 10_000;
/** Attempts under way at one time, below the limit of one link. */
const IN_FLIGHT_MAX = 3_000;
const ROUND_PAUSE_MS = 25;
/** While there is no leader only so many calls ask for one in each round; the others wait for what these find. */
const RELEASED_PER_ROUND = 64;
/** Right after the start the others' links are opened soon after the first one. */
const START_GRACE_MS = 100;
const RETRY_AFTER_MS = 1_000;
/** A member's own answer at its deadline says more than silence, if it can still arrive. */
const ANSWER_MARGIN_MS = 50;
const TRANSFER_UNSEEN = 'The leader was asked to hand over, but its answer did not come.';

/** Reads that the store answers linearizably, with the caller's token. */
export type ReadRequest = Extract<
  StoreRequest,
  { readonly type: 'get' | 'list' | 'namespace' | 'namespaces' | 'check' | 'tokens' | 'caller' }
>;

/** Everything that a StoreClient sends as it stands: neither numbered by it, nor bound to one link. */
export type StoreRead =
  | ReadRequest
  | Extract<
      StoreRequest,
      { readonly type: 'status' | 'probe' | 'changes' | 'resync' | 'fill' | 'content' | 'feedKey' }
    >
  | Extract<StoreRequest, { readonly type: 'transfer' | 'snapshot' | 'backup' }>;

/**
 * What the state machine itself answers, under the write's own number: for a write that was sent before, this is the stored
 * answer. Any other refusal says only that the newest attempt had no effect.
 */
const SAID_BY_STATE_MACHINE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'PRECONDITION_FAILED',
  'NAMESPACE_NOT_FOUND',
  'NAMESPACE_KIND_CONFLICT',
  'TOO_MANY_NAMESPACES',
  'NAMESPACE_NOT_CACHED',
  'TOO_MANY_READERS',
  'ENTRY_NOT_FOUND',
  'ACCESS_CHANGED',
  'IDEMPOTENCY_KEY_REUSED',
]);

export interface StoreClientOptions {
  /** One for each member of the cluster. */
  readonly connections: readonly Connection[];
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

/**
 * Finds the member that can answer, and repeats what may be repeated.
 *
 * Every request ends within its deadline in one of three ways: done, surely without effect, or OUTCOME_UNKNOWN. A write
 * that may have happened is repeated under its own client id and sequence only, so that it happens once at most.
 * Deterministic: time and randomness are handed in.
 */
export class StoreClient implements StoreSource {
  readonly #connections: readonly Connection[];
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #startedAtMs: number;
  readonly #unsubscribe: readonly (() => void)[];
  /** Writes that have no number yet. */
  readonly #queue = new Set<StoreCall>();
  /** Calls between two rounds. */
  readonly #parked = new Set<StoreCall>();
  readonly #calls: OutstandingCalls;
  #requests = 0;
  #inFlight = 0;
  #leader: number | null = null;
  #near: number | null = null;
  /** The member that last answered with a part of a snapshot. */
  #holder: number | null = null;
  #registration: Registration | null = null;
  #registering = false;
  #cancelRound: (() => void) | null = null;
  #closed = false;

  constructor(options: StoreClientOptions) {
    this.#connections = options.connections;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#calls = new OutstandingCalls(options.clock, (call) => this.#expire(call));
    this.#startedAtMs = options.clock.monotonicMs();
    this.#unsubscribe = options.connections.map((connection) =>
      connection.onOpenChange(() => this.#onOpenChange(connection)),
    );
  }

  /** The member that last answered as leader, or null. */
  get leader(): number | null {
    return this.#leader;
  }

  /** Requests that have no answer yet. */
  get outstanding(): number {
    return this.#calls.size;
  }

  /** Sends a write. `callback` is called once, later, within the deadline. */
  write(write: StoreWrite, callback: (response: StoreResponse) => void): void {
    const call = this.#begin({ type: 'write', write }, write.deadlineMs ?? DEFAULT_DEADLINE_MS, callback);
    if (this.#queue.size >= WRITES_QUEUED_MAX) {
      this.#finish(call, failure('OVERLOADED', 'Too many writes are waiting in this client.'));
    } else if (this.#closed) {
      this.#finish(call, this.#unreachable());
    } else {
      this.#queue.add(call);
      this.#pump();
    }
    call.starting = false;
  }

  /** Sends a linearizable read or a check. `callback` is called once, later, within the deadline. */
  read(request: ReadRequest, deadlineMs: number, callback: (response: StoreResponse) => void): void {
    this.request(request, deadlineMs, callback);
  }

  /** Sends anything but a write; writes need a number that only `write` gives. */
  request(request: StoreRequest, deadlineMs: number, callback: (response: StoreResponse) => void): void {
    const call = this.#begin({ type: answererOf(request), request }, deadlineMs, callback);
    if (request.type === 'write' || request.type === 'register' || request.type === 'feedSubscribe') {
      this.#finish(
        call,
        failure('INVALID_REQUEST', `A request of type ${request.type} is not sent this way.`),
      );
    } else if (this.#requests > REQUESTS_MAX) {
      this.#finish(call, failure('OVERLOADED', 'Too many requests are waiting in this client.'));
    } else if (this.#closed) {
      this.#finish(call, this.#unreachable());
    } else {
      this.#attempt(call);
    }
    call.starting = false;
  }

  /** Asks one member, once. For what is said of that member: its status. */
  ask(
    member: number,
    request: StoreRead,
    deadlineMs: number,
    callback: (response: StoreResponse) => void,
  ): void {
    const connection = this.#connections.find((candidate) => candidate.member === member);
    if (connection === undefined || !connection.open) {
      this.#clock.setTimer(0, () => callback(this.#unreachable()));
      return;
    }
    let answered = false;
    const answer = (response: StoreResponse): void => {
      if (answered) return;
      answered = true;
      cancel();
      callback(response);
    };
    const cancel = this.#clock.setTimer(deadlineMs, () => answer(failure('TIMED_OUT')));
    connection.request(request, deadlineMs, (response) =>
      answer(response.type === 'lost' ? failure('STORE_UNREACHABLE', 'The link was lost.') : response),
    );
  }

  /** Ends every call: with OUTCOME_UNKNOWN where a write may have happened, else with STORE_UNREACHABLE. */
  close(): void {
    this.#closed = true;
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#cancelRound?.();
    this.#cancelRound = null;
    this.#calls.stop();
    for (const call of [...this.#calls]) this.#finish(call, this.#withoutAnswer(call, this.#unreachable()));
  }

  #begin(content: CallContent, deadlineMs: number, callback: (response: StoreResponse) => void): StoreCall {
    const nowMs = this.#clock.monotonicMs();
    const call = new StoreCall(content, nowMs + deadlineMs, callback);
    this.#calls.add(call, nowMs);
    if (!call.isWrite) this.#requests += 1;
    return call;
  }

  /** Numbers queued writes and sends them. */
  #pump(): void {
    if (this.#queue.size === 0 || this.#closed) return;
    const registration = this.#registration;
    if (registration === null) {
      this.#register();
      return;
    }
    for (const call of this.#queue) {
      if (registration.window >= SEQUENCE_WINDOW_MAX || this.#inFlight >= IN_FLIGHT_MAX) return;
      this.#queue.delete(call);
      call.registration = registration;
      call.sequence = registration.assign();
      this.#attempt(call);
    }
  }

  #register(): void {
    if (this.#registering) return;
    this.#registering = true;
    const content: CallContent = { type: 'leader', request: { type: 'register' } };
    const call = this.#begin(content, DEFAULT_DEADLINE_MS, (response) => {
      this.#registering = false;
      if (response.type === 'registered') {
        this.#registration = new Registration(response.clientId);
        this.#pump();
      } else if (response.type === 'failed') {
        this.#onNotRegistered(response);
      }
    });
    this.#attempt(call);
    call.starting = false;
  }

  #onNotRegistered(failed: StoreFailure): void {
    // A round more costs nothing: each write still has its own deadline.
    if (failed.code === 'TIMED_OUT') return this.#pump();
    // Nothing of these writes was sent, whatever became of the registration.
    const refusal = effectOf(failed.code) === 'none' ? failed : failure('TIMED_OUT', failed.message);
    const waiting = [...this.#queue];
    this.#queue.clear();
    for (const call of waiting) this.#finish(call, refusal);
  }

  #attempt(call: StoreCall): void {
    if (call.finished) return;
    if (this.#inFlight >= IN_FLIGHT_MAX) return this.#park(call);
    const preferred = this.#preferred(call);
    const connection = chooseConnection(this.#connections, call, preferred, this.#random);
    if (connection === null) return this.#endRound(call);
    call.attempt += 1;
    call.inFlight = true;
    this.#inFlight += 1;
    const { attempt } = call;
    connection.request(requestOf(call), this.#memberDeadlineMs(call), (response) => {
      this.#inFlight -= 1;
      // Given up meanwhile; for a write the state machine refuses the late duplicate by its number.
      if (call.finished || call.attempt !== attempt) return this.#pump();
      call.inFlight = false;
      this.#take(call, connection.member, response);
    });
  }

  #preferred({ content }: StoreCall): number | null {
    if (content.type === 'near') return this.#near;
    return content.type === 'holder' ? (this.#holder ?? this.#leader) : this.#leader;
  }

  #memberDeadlineMs(call: StoreCall): number {
    const remainingMs = Math.max(0, call.deadlineAtMs - this.#clock.monotonicMs());
    return remainingMs - Math.min(ANSWER_MARGIN_MS, remainingMs / 4);
  }

  #take(call: StoreCall, member: number, response: StoreResponse | LostResponse): void {
    if (response.type === 'lost') {
      // mark: a link is lost under a request
      this.#forget(member);
      call.mayHaveHappened ||= call.isWrite;
      call.noteFailure(member, response);
      if (isOpenTransfer(call)) return this.#finish(call, failure('TRANSFER_FAILED', TRANSFER_UNSEEN));
      this.#attempt(call);
    } else if (response.type === 'failed') {
      this.#takeFailure(call, member, response);
    } else {
      const { type } = call.content;
      const byLeader = type !== 'near' && type !== 'holder';
      if (type === 'near') this.#near = member;
      // Any member takes a snapshot when it is asked: that tells nothing about who leads.
      if (byLeader && response.type !== 'snapshotTaken')
        this.#leader = response.type === 'transferred' ? response.leader : member;
      if (response.type === 'backupChunk') this.#holder = member;
      this.#finish(call, response);
      // There is a leader again for all who wait. Any other answer only makes room for one.
      this.#release(byLeader ? this.#parked.size : 1);
    }
  }

  #takeFailure(call: StoreCall, member: number, failed: StoreFailure): void {
    switch (failed.code) {
      case 'NOT_LEADER': {
        const hint = failed.details.leader ?? null;
        this.#forget(member);
        call.hint = hint === member ? null : hint;
        break;
      }
      case 'NO_QUORUM':
        this.#forget(member);
        break;
      case 'OUTCOME_UNKNOWN':
        call.mayHaveHappened ||= call.isWrite;
        break;
      case 'SNAPSHOT_GONE':
        if (call.content.type !== 'holder') return this.#finish(call, failed);
        if (this.#holder === member) this.#holder = null;
        break;
      case 'TIMED_OUT':
        this.#forget(member);
        if (isOpenTransfer(call)) return this.#finish(call, failure('TRANSFER_FAILED', TRANSFER_UNSEEN));
        break;
      case 'NOT_CAUGHT_UP':
      case 'DIVERGED':
      case 'STORE_UNREACHABLE':
        this.#forget(member);
        break;
      case 'OVERLOADED':
        // More requests are no cure for too many; but a write that may have happened is asked after until its deadline.
        if (!call.mayHaveHappened) return this.#finish(call, failed);
        break;
      case 'REGISTRATION_EXPIRED':
        return this.#onRegistrationExpired(call, failed);
      default:
        return this.#finish(call, this.#withoutAnswer(call, failed));
    }
    call.lastFailure = failed;
    call.noteFailure(member, failed);
    this.#attempt(call);
  }

  /** The answers of this client are gone: whether an earlier attempt of the write succeeded can no longer be known. */
  #onRegistrationExpired(call: StoreCall, failed: StoreFailure): void {
    if (this.#registration === call.registration) this.#registration = null;
    const { registration } = call;
    if (registration === null) return this.#finish(call, failed);
    if (call.mayHaveHappened) {
      // mark: a registration expires under a write that may have happened
      return this.#finish(call, outcomeUnknown());
    }
    if (call.reRegistered) {
      const refusal = failure('OVERLOADED', 'Client registrations expire faster than they can be used.');
      return this.#finish(call, refusal);
    }
    // The only attempt that can have reached the log is this one, and the state machine refused it.
    // mark: a client registers anew for a write
    registration.complete(call.sequence);
    call.registration = null;
    call.reRegistered = true;
    call.beginRound();
    this.#queue.add(call);
    this.#pump();
  }

  /** Every open link was asked: decide, or wait for the next round. */
  #endRound(call: StoreCall): void {
    const open = this.#connections.filter((connection) => connection.open);
    const starting = this.#clock.monotonicMs() - this.#startedAtMs < START_GRACE_MS;
    const stillOpening =
      (starting && open.length < this.#connections.length) ||
      (open.length === 0 && this.#connections.some(({ tried }) => !tried));
    if (call.failuresOf('SNAPSHOT_GONE').length === this.#connections.length)
      return this.#finish(call, failure('SNAPSHOT_GONE'));
    if (call.mayHaveHappened || stillOpening) return this.#park(call);
    if (open.length === 0) return this.#finish(call, this.#unreachable());
    if (open.some(({ member }) => !call.hasFailedWith(member, 'NO_QUORUM'))) return this.#park(call);
    const refusal = this.#noQuorum(call.failuresOf('NO_QUORUM'));
    this.#finish(call, refusal);
    // It holds for everyone who waits for a leader, and waiting would only grow the backlog.
    for (const parked of [...this.#parked]) {
      if ((parked.isWrite || parked.content.type === 'leader') && !parked.mayHaveHappened)
        this.#finish(parked, refusal);
    }
  }

  #park(call: StoreCall): void {
    call.beginRound();
    this.#parked.add(call);
    this.#scheduleRound();
  }

  #scheduleRound(): void {
    if (this.#cancelRound !== null || this.#closed || this.#parked.size === 0) return;
    // Half fixed, half random: clients that lost one leader do not ask the next one in step.
    const delayMs = ROUND_PAUSE_MS * (0.5 + this.#random());
    this.#cancelRound = this.#clock.setTimer(delayMs, () => {
      this.#cancelRound = null;
      this.#release(RELEASED_PER_ROUND);
      this.#scheduleRound();
    });
  }

  /** Lets at most `count` waiting calls try again. A call that parks itself anew is not counted twice. */
  #release(count: number): void {
    let left = Math.min(count, this.#parked.size, IN_FLIGHT_MAX - this.#inFlight);
    for (const call of this.#parked) {
      if (left <= 0) return;
      left -= 1;
      this.#parked.delete(call);
      this.#attempt(call);
    }
  }

  #expire(call: StoreCall): void {
    if (call.finished) return;
    call.beginRound();
    this.#finish(call, this.#withoutAnswer(call, this.#atDeadline(call)));
  }

  #atDeadline(call: StoreCall): StoreFailure {
    const last = call.lastFailure;
    if (call.inFlight && isTransfer(call)) return failure('TRANSFER_FAILED', TRANSFER_UNSEEN);
    if (last?.code === 'NO_QUORUM') return this.#noQuorum(call.lastWithoutQuorum);
    if (last?.code === 'NOT_CAUGHT_UP' || last?.code === 'DIVERGED' || last?.code === 'SNAPSHOT_GONE')
      return last;
    if (this.#connections.every((connection) => !connection.open)) return this.#unreachable();
    return failure('TIMED_OUT');
  }

  /** `refusal`, unless the call is a write that may have happened and the refusal does not come from the state machine. */
  #withoutAnswer(call: StoreCall, refusal: StoreFailure): StoreFailure {
    if (!call.isWrite || SAID_BY_STATE_MACHINE.has(refusal.code)) return refusal;
    return call.mayHaveHappened || call.inFlight ? outcomeUnknown() : refusal;
  }

  #finish(call: StoreCall, response: StoreResponse): void {
    if (call.finished) return;
    call.finished = true;
    this.#calls.delete(call);
    this.#queue.delete(call);
    this.#parked.delete(call);
    if (!call.isWrite) this.#requests -= 1;
    call.registration?.complete(call.sequence);
    if (call.starting) this.#clock.setTimer(0, () => call.callback(response));
    else call.callback(response);
    this.#pump();
  }

  #onOpenChange(connection: Connection): void {
    if (connection.open) this.#release(RELEASED_PER_ROUND);
    else this.#forget(connection.member);
  }

  #forget(member: number): void {
    if (this.#leader === member) this.#leader = null;
    if (this.#near === member) this.#near = null;
  }

  #noQuorum(failures: readonly StoreFailure[]): StoreFailure {
    const members = mergeMembers(this.#connections, failures);
    const lost = members.filter(({ reachable }) => !reachable).map(({ id }) => id);
    const text =
      lost.length === 0 ? 'No leader can be elected.' : `Members that are not reached: ${lost.join(', ')}.`;
    return failure('NO_QUORUM', `No quorum. ${text}`, { members, retryAfterMs: RETRY_AFTER_MS });
  }

  #unreachable(): StoreFailure {
    const members = mergeMembers(this.#connections, []);
    return failure('STORE_UNREACHABLE', undefined, { members, retryAfterMs: RETRY_AFTER_MS });
  }
}

function outcomeUnknown(): StoreFailure {
  return failure('OUTCOME_UNKNOWN');
}

/**
 * A transfer to whoever is nearest is sent once: asked a second time, the new leader would hand over again. With a target
 * it may be repeated.
 */
function isOpenTransfer({ content }: StoreCall): boolean {
  return content.type === 'leader' && content.request.type === 'transfer' && content.request.to === null;
}

function isTransfer({ content }: StoreCall): boolean {
  return content.type === 'leader' && content.request.type === 'transfer';
}

function answererOf(request: StoreRequest): 'leader' | 'near' | 'holder' {
  switch (request.type) {
    case 'status':
    case 'changes':
    case 'resync':
    case 'fill':
    case 'content':
    case 'feedKey':
    case 'feedSubscribe':
    case 'feedUnsubscribe':
      return 'near';
    case 'backup':
      return request.index === null ? 'leader' : 'holder';
    default:
      return 'leader';
  }
}

function requestOf(call: StoreCall): StoreRequest {
  if (call.content.type !== 'write') return call.content.request;
  const { token, operation, idempotencyKey } = call.content.write;
  assert(call.registration !== null, 'a write is numbered before its first attempt');
  const registration = call.registration.stamp(call.sequence);
  return { type: 'write', token, registration, idempotencyKey, operation };
}
