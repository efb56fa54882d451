import {
  effectOf,
  failure,
  type CheckRequest,
  type StoreFailure,
  type StoreRequest,
  type StoreResponse,
} from '@quorate/api';
import type { Operation } from '@quorate/kv';
import type { Cluster } from './cluster.js';
import type { Host } from './host.js';
import { ADMIN_TOKEN } from './member.js';
import type { StoreAccess } from './store-access.js';

const ATTEMPT_MS = 400;
const PAUSE_MS = 30;

/** Answers of the state machine itself: the same for every attempt of one sequence number. */
const DECIDED = new Set([
  'PRECONDITION_FAILED',
  'ENTRY_NOT_FOUND',
  'NAMESPACE_NOT_FOUND',
  'NAMESPACE_KIND_CONFLICT',
  'ACCESS_CHANGED',
  'IDEMPOTENCY_KEY_REUSED',
  'INVALID_REQUEST',
  'INVALID_POLICY',
  'INVALID_ENTITY',
  'UNAUTHENTICATED',
  'FORBIDDEN',
]);

interface Attempts {
  readonly request: StoreRequest;
  readonly endsMs: number;
  readonly callback: (response: StoreResponse) => void;
  /** An attempt may have been proposed. */
  unsure: boolean;
  last: StoreFailure | null;
}

/**
 * A second, deliberately plain client of the store protocol, beside the SDK's: it registers, numbers its writes, and asks
 * again under the same number until it knows. It is impatient on purpose: every retry is a chance to apply something twice.
 */
export class DirectClient implements StoreAccess {
  readonly #cluster: Cluster;
  readonly #host: Host;
  #clientId: number | null = null;
  #sequence = 0;
  readonly #outstanding = new Set<number>();
  #underWay = 0;
  #leader: number;

  constructor(cluster: Cluster, host: Host) {
    this.#cluster = cluster;
    this.#host = host;
    this.#leader = 1 + host.random.below(cluster.members.length);
  }

  write(
    operation: Operation,
    idempotencyKey: string | null,
    deadlineMs: number,
    callback: (response: StoreResponse) => void,
    token: string = ADMIN_TOKEN,
  ): void {
    const endsMs = this.#host.monotonicMs() + deadlineMs;
    this.#registered(endsMs, (refusal) => {
      const clientId = this.#clientId;
      if (refusal !== null || clientId === null) return callback(refusal ?? failure('STORE_UNREACHABLE'));
      this.#sequence += 1;
      const sequence = this.#sequence;
      this.#outstanding.add(sequence);
      const completedThrough = Math.min(...this.#outstanding) - 1;
      const registration = { clientId, sequence, completedThrough };
      const request: StoreRequest = {
        type: 'write',
        token,
        registration,
        idempotencyKey,
        operation,
      };
      this.#ask(request, endsMs, (response) => {
        this.#outstanding.delete(sequence);
        callback(response);
      });
    });
  }

  get(namespace: string, key: string, deadlineMs: number, callback: (response: StoreResponse) => void): void {
    const endsMs = this.#host.monotonicMs() + deadlineMs;
    this.#ask({ type: 'get', token: ADMIN_TOKEN, namespace, key }, endsMs, callback);
  }

  list(
    namespace: string,
    options: { readonly prefix: string; readonly limit: number },
    deadlineMs: number,
    callback: (response: StoreResponse) => void,
  ): void {
    const endsMs = this.#host.monotonicMs() + deadlineMs;
    this.#ask({ type: 'list', token: ADMIN_TOKEN, namespace, ...options }, endsMs, callback);
  }

  check(check: CheckRequest, deadlineMs: number, callback: (response: StoreResponse) => void): void {
    const endsMs = this.#host.monotonicMs() + deadlineMs;
    this.#ask({ type: 'check', token: ADMIN_TOKEN, check }, endsMs, callback);
  }

  get outstanding(): number {
    return this.#underWay;
  }

  #registered(endsMs: number, callback: (refusal: StoreFailure | null) => void): void {
    if (this.#clientId !== null) return callback(null);
    this.#ask({ type: 'register' }, endsMs, (response) => {
      // Two registrations may be under way; each later write uses the first that came.
      if (response.type === 'registered') this.#clientId ??= response.clientId;
      // A registration that may have happened changes nothing: no write was sent.
      callback(
        response.type === 'registered' ? null : failure('STORE_UNREACHABLE', 'Not registered in time.'),
      );
    });
  }

  #ask(request: StoreRequest, endsMs: number, callback: (response: StoreResponse) => void): void {
    this.#underWay += 1;
    const answer = (response: StoreResponse): void => {
      this.#underWay -= 1;
      callback(response);
    };
    this.#attempt({ request, endsMs, callback: answer, unsure: false, last: null });
  }

  #attempt(attempts: Attempts): void {
    const leftMs = attempts.endsMs - this.#host.monotonicMs();
    if (leftMs <= 1) {
      const gaveUp = attempts.unsure ? failure('OUTCOME_UNKNOWN') : attempts.last;
      return attempts.callback(gaveUp ?? failure('STORE_UNREACHABLE'));
    }
    const asked = this.#leader;
    const deadlineMs = Math.min(leftMs, ATTEMPT_MS);
    this.#cluster.request(this.#host, asked, 'client', attempts.request, deadlineMs, (response) => {
      // Said of this attempt, before the state machine was asked: the one before it may have happened.
      if (attempts.unsure && response.type === 'failed' && response.code === 'UNAUTHENTICATED')
        return attempts.callback(failure('OUTCOME_UNKNOWN'));
      if (response.type !== 'failed' || DECIDED.has(response.code)) return attempts.callback(response);
      if (response.code === 'REGISTRATION_EXPIRED') {
        // Its answers are forgotten: nobody can say any more what became of an earlier attempt.
        this.#clientId = null;
        return attempts.callback(failure('OUTCOME_UNKNOWN'));
      }
      attempts.last = response;
      if (effectOf(response.code) === 'unknown') attempts.unsure = true;
      if (this.#leader === asked) this.#leader = response.details.leader ?? this.#someoneElse(asked);
      this.#host.setTimer(PAUSE_MS * this.#host.random.between(0.5, 1.5), () => this.#attempt(attempts));
    });
  }

  #someoneElse(than: number): number {
    return (than % this.#cluster.members.length) + 1;
  }
}
