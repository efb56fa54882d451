import type { CheckRequest, MemberStatus, Need, StoreAnswer } from '@quorate/api';
import type { CachedViewDriver } from '@quorate/client';
import type { Operation, Revision } from '@quorate/kv';

type Answer<Type extends StoreAnswer['type']> = Extract<StoreAnswer, { readonly type: Type }>;

/** One member as this gateway sees it. `status` null: it did not answer. */
export interface ObservedMember {
  readonly id: number;
  readonly status: MemberStatus | null;
}

/**
 * What the gateway asks of the store, on the linearizable path. The caller's token goes along: rights are verified in
 * the store. Every call rejects with a QuorateError and is bounded by the request deadline.
 */
export interface Store {
  get(token: string, namespace: string, key: string): Promise<Answer<'entry'>>;
  list(token: string, namespace: string, prefix: string, limit: number): Promise<Answer<'entries'>>;
  write(token: string, operation: Operation, idempotencyKey: string | null): Promise<Answer<'written'>>;
  namespace(token: string, namespace: string): Promise<Answer<'namespace'>>;
  namespaces(token: string): Promise<Answer<'namespaces'>>;
  check(token: string, check: CheckRequest): Promise<Answer<'decision'>>;
  /** Who the token stands for, if he has this right in every namespace. */
  caller(token: string, need: Need): Promise<Answer<'caller'>>;
  /** Access tokens whose id begins with the prefix. */
  tokens(token: string, prefix: string, limit: number): Promise<Answer<'tokens'>>;
  members(): Promise<readonly ObservedMember[]>;
  /** `to` null: the leader chooses. */
  transfer(token: string, to: number | null): Promise<Answer<'transferred'>>;
  snapshot(token: string): Promise<Answer<'snapshotTaken'>>;
  /** A chunk of a snapshot. First `index` null and chunk 0; then the other chunks of the index that was answered. */
  backup(token: string, index: number | null, chunk: number): Promise<Answer<'backupChunk'>>;
}

/** How new an answer of the view must be, in the view's own terms. */
export type ViewLevel = Parameters<CachedViewDriver['read']>[2];
export type ViewOutcome = Parameters<Parameters<CachedViewDriver['read']>[3]>[0];
export type HeldOutcome = NonNullable<ReturnType<CachedViewDriver['readHeld']>>;
/** What an answer of the view is worth. */
export type ViewProof = Pick<
  Extract<ViewOutcome, { readonly type: 'hit' }>,
  'revision' | 'epoch' | 'stalenessMs' | 'ageMs' | 'lag' | 'quorum' | 'level'
>;
export type ViewHit = Extract<ViewOutcome, { readonly type: 'hit' }>;
export type ViewState = CachedViewDriver['state'];
export type ViewCounters = CachedViewDriver['counters'];

export interface ViewRead {
  readonly namespace: string;
  readonly key: string;
  readonly level: ViewLevel;
  /** The answer is at least as new as this; null: not asked. */
  readonly minRevision: Revision | null;
  /** The caller's bearer token: the view judges him by what it shows him. Null: this gateway itself. */
  readonly token: string | null;
}

export interface ViewList extends Pick<ViewRead, 'namespace' | 'level' | 'minRevision' | 'token'> {
  /** Of the keys; empty: all. */
  readonly prefix: string;
  readonly limit: number;
}

/** What the cached view knows of itself now. */
export interface ViewStatus {
  readonly state: ViewState;
  /** Null until the first sync. */
  readonly epoch: number | null;
  readonly revision: Revision | null;
  /** Upper bound in milliseconds; null: never confirmed. */
  readonly stalenessMs: number | null;
  /** Revisions between the head of the last probe and what is applied; null: never probed. */
  readonly lag: number | null;
  readonly entries: number;
  readonly bytes: number;
  readonly counters: ViewCounters;
}

/** The cached view: answers without a quorum, and says how old the answer can be at most. */
export interface View {
  /** Never rejects. `fallback`: the view cannot prove what was asked for, the store has to answer. */
  read(read: ViewRead): Promise<ViewOutcome>;
  /** The same for entries of a namespace by key. `fallback` at once when the namespace is not held whole. */
  list(list: ViewList): Promise<ViewOutcome>;
  /**
   * What an eventual read would be answered with from what is held now, at once and without asking the store. Null:
   * nothing is held that may be shown. `token` as in a read.
   */
  readHeld(namespace: string, key: string, token: string | null): HeldOutcome | null;
  /**
   * A write of this gateway was acknowledged at `revision`: eventual reads of the key must not show older. `key` null:
   * the namespace itself was created or deleted, which concerns all of its keys.
   */
  ownWrite(namespace: string, key: string | null, revision: Revision): void;
  /** Calls `listener` with what the view has applied, now and whenever that changes. There is one listener. */
  onAdvance(listener: (revision: Revision, epoch: number) => void): void;
  /** The same as in `status`, without the cost of the rest: every cached answer names it. */
  readonly state: ViewState;
  status(): ViewStatus;
}

/** A bound within 3 s can only come from a quorum round within 3 s: that is what health says of the quorum. */
export function sawQuorum(status: ViewStatus): boolean {
  return status.state === 'live';
}

/** Store and view with what they stand on. `close` ends the links, the feed and all timers. */
export interface Backend {
  readonly store: Store;
  readonly view: View;
  close(): Promise<void>;
}

/** Injection tokens. */
export const BACKEND = Symbol('Backend');
export const STORE = Symbol('Store');
export const VIEW = Symbol('View');
