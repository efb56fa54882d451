/** `strict` goes to the replicated store and must be refused without a quorum; `content` is read from the cache and must be answered. */
export type Tier = 'strict' | 'content';

/** `done`: answered as asked. `none`: surely without effect (a refused read as well). `unknown`: it may have happened. */
export type Outcome = 'done' | 'none' | 'unknown';

/** One request of one client, as it was sent and answered. Plain data: a history is a file of these, a line each. */
export interface Operation {
  /** Unique within the run, rising in the order of invocation. */
  readonly id: number;
  /** `register/3`: the workload and the number of its client. A client has one request under way at a time. */
  readonly client: string;
  readonly workload: string;
  readonly gateway: number;
  readonly tier: Tier;
  /** What the workload calls it: `put`, `compareAndSet`, `get`, `check`, `grant`... */
  readonly action: string;
  readonly namespace: string;
  readonly key: string;
  /** What it wrote, if it wrote; else null. */
  readonly written: unknown;
  /** Milliseconds of one monotonic clock, from the beginning of the run. */
  readonly invokedMs: number;
  /** Null: no answer came. */
  readonly completedMs: number | null;
  /** Null: no answer came. */
  readonly status: number | null;
  readonly outcome: Outcome;
  /** Of a refusal, from the catalogue of errors; else null. */
  readonly code: string | null;
  /** What a read saw: undefined: nothing was read; null: nothing is there. */
  readonly value?: unknown;
  /** Of the entry that was written or seen; null: none. */
  readonly revision: number | null;
  /** Of the entry that the condition named, if there was one; null: it must not exist. */
  readonly expected?: number | null;
  /** How often this request was sent, with one Idempotency-Key. */
  readonly attempts: number;
  /** The level that the answer claims. */
  readonly level: string | null;
  /** The revision of the store (or of the cache's view) that the answer claims. */
  readonly head: number | null;
  readonly stalenessMs: number | null;
  readonly quorum: boolean | null;
  /** The Consistency-Token sent with it, and the one that came back. */
  readonly tokenSent: string | null;
  readonly token: string | null;
}

/** What was done to the cluster, and when: milliseconds on the clock of the operations. */
export interface FaultSpan {
  readonly text: string;
  readonly kind: string;
  readonly parts: readonly string[];
  readonly fromMs: number;
  /** In force until here; Infinity until it was ended. */
  toMs: number;
}

/** A promise that was broken, with the operations that show it. */
export interface Violation {
  /** `linearizability`, `exactly once`, `read your writes`, `staleness bound`, `revoked reader`, `convergence`, `availability`... */
  readonly promise: string;
  /** One sentence for a person. */
  readonly story: string;
  readonly operations: readonly number[];
}
