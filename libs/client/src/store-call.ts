import type { ErrorCode, StoreFailure, StoreRequest, StoreResponse } from '@quorate/api';
import type { Operation } from '@quorate/kv';
import type { Connection, LostResponse } from './connection.js';
import type { Registration } from './registration.js';

/** A write as its caller describes it; client id and sequence are the client's own business. */
export interface StoreWrite {
  /** The end caller's bearer token. */
  readonly token: string;
  readonly operation: Operation;
  readonly idempotencyKey: string | null;
  /** Milliseconds from now; 2,000 when not given. */
  readonly deadlineMs?: number;
}

/**
 * What a call sends. Only the leader answers `leader` requests; any member that has caught up answers `near` ones; whoever
 * holds the snapshot answers `holder` ones.
 */
export type CallContent =
  | { readonly type: 'write'; readonly write: StoreWrite }
  | { readonly type: 'leader' | 'near' | 'holder'; readonly request: StoreRequest };

/** One request on its way through the members, from its first attempt to its one answer. */
export class StoreCall {
  readonly content: CallContent;
  readonly deadlineAtMs: number;
  readonly callback: (response: StoreResponse) => void;
  /** True until the method that made the call has returned: an answer before that is put off. */
  starting = true;
  finished = false;
  /** Counts attempts; the answer of a former one is stale. */
  attempt = 0;
  inFlight = false;
  /** An attempt may have reached the log. From then on only the state machine's own answer can say "no effect". */
  mayHaveHappened = false;
  /** Of a write, once it was numbered. */
  registration: Registration | null = null;
  sequence = 0;
  reRegistered = false;
  /** The member that the last NOT_LEADER named. */
  hint: number | null = null;
  /** The newest failure that was worth another attempt. */
  lastFailure: StoreFailure | null = null;
  /** The NO_QUORUM answers of the newest round that had any. */
  lastWithoutQuorum: readonly StoreFailure[] = [];
  /** What each member asked in this round has failed with. Made with the first failure: most calls have none. */
  #failures: Map<number, StoreFailure | LostResponse> | null = null;

  constructor(content: CallContent, deadlineAtMs: number, callback: (response: StoreResponse) => void) {
    this.content = content;
    this.deadlineAtMs = deadlineAtMs;
    this.callback = callback;
  }

  get isWrite(): boolean {
    return this.content.type === 'write';
  }

  /** A member was asked in this round, in vain. */
  noteFailure(member: number, failed: StoreFailure | LostResponse): void {
    (this.#failures ??= new Map()).set(member, failed);
  }

  /** Whether a member was asked in this round, in vain. */
  hasFailed(member: number): boolean {
    return this.#failures !== null && this.#failures.has(member);
  }

  hasFailedWith(member: number, code: ErrorCode): boolean {
    const failed = this.#failures?.get(member);
    return failed?.type === 'failed' && failed.code === code;
  }

  /** The failures of this round that have this code. */
  failuresOf(code: ErrorCode): readonly StoreFailure[] {
    const failures = this.#failures === null ? [] : [...this.#failures.values()];
    return failures.flatMap((failed) => (failed.type === 'failed' && failed.code === code ? [failed] : []));
  }

  beginRound(): void {
    const withoutQuorum = this.failuresOf('NO_QUORUM');
    if (withoutQuorum.length > 0) this.lastWithoutQuorum = withoutQuorum;
    this.#failures = null;
    this.hint = null;
  }
}

/** The next member of this round: hinted, else preferred, else by turns from a random start; null when all were asked. */
export function chooseConnection(
  connections: readonly Connection[],
  call: StoreCall,
  preferred: number | null,
  random: () => number,
): Connection | null {
  const named = usable(connections, call, call.hint) ?? usable(connections, call, preferred);
  if (named !== null) return named;
  const candidates = connections.filter(({ open, member }) => open && !call.hasFailed(member));
  return candidates[Math.floor(random() * candidates.length)] ?? null;
}

/** The link to this member, if it is open and the member was not asked in this round. */
function usable(
  connections: readonly Connection[],
  call: StoreCall,
  member: number | null,
): Connection | null {
  if (member === null || call.hasFailed(member)) return null;
  return connections.find((connection) => connection.member === member && connection.open) ?? null;
}

interface MemberView {
  readonly id: number;
  readonly reachable: boolean;
  readonly sinceMs: number;
}

/**
 * Which members are cut off, for a NO_QUORUM answer: a member counts as reachable when this client reaches it and no member that
 * answered has lost it. Of several that have lost it, the longest time is told.
 */
export function mergeMembers(
  connections: readonly Connection[],
  failures: readonly StoreFailure[],
): readonly MemberView[] {
  const merged = new Map<number, MemberView>();
  for (const { member, open, sinceMs } of connections) {
    merged.set(member, { id: member, reachable: open, sinceMs: Math.round(sinceMs) });
  }
  for (const seen of failures.flatMap(({ details }) => details.members ?? [])) {
    const known = merged.get(seen.id);
    if (known === undefined) merged.set(seen.id, seen);
    else if (!seen.reachable && (known.reachable || seen.sinceMs > known.sinceMs)) merged.set(seen.id, seen);
  }
  return [...merged.values()].sort((left, right) => left.id - right.id);
}
