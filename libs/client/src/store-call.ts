import type { StoreFailure, StoreRequest, StoreResponse } from '@quorate/api';
import type { Operation } from '@quorate/kv';
import type { Connection } from './connection.js';
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
  cancelTimer: () => void = () => undefined;
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
  /** Members asked in this round, and of these the ones that have no quorum. */
  readonly tried = new Set<number>();
  readonly withoutQuorum = new Map<number, StoreFailure>();
  /** Members of this round that do not hold the snapshot asked for. */
  readonly withoutSnapshot = new Set<number>();
  /** The member that the last NOT_LEADER named. */
  hint: number | null = null;
  /** The newest failure that was worth another attempt. */
  lastFailure: StoreFailure | null = null;
  /** The NO_QUORUM answers of the newest round that had any. */
  lastWithoutQuorum: readonly StoreFailure[] = [];

  constructor(content: CallContent, deadlineAtMs: number, callback: (response: StoreResponse) => void) {
    this.content = content;
    this.deadlineAtMs = deadlineAtMs;
    this.callback = callback;
  }

  get isWrite(): boolean {
    return this.content.type === 'write';
  }

  beginRound(): void {
    if (this.withoutQuorum.size > 0) this.lastWithoutQuorum = [...this.withoutQuorum.values()];
    this.tried.clear();
    this.withoutQuorum.clear();
    this.withoutSnapshot.clear();
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
  const candidates = connections.filter(({ open, member }) => open && !call.tried.has(member));
  const byHint = candidates.find(({ member }) => member === call.hint);
  const byPreference = byHint ?? candidates.find(({ member }) => member === preferred);
  return byPreference ?? candidates[Math.floor(random() * candidates.length)] ?? null;
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
