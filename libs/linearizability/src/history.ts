/**
 * A history: what clients asked, when, and what they were told. Times are of one clock (or sequence numbers of one
 * observer) for all operations of the history; two operations overlap unless one completed strictly before the
 * other was invoked.
 */

interface Invocation {
  /** Names the operation in a verdict. Unique within the history. */
  readonly id: number;
  readonly key: string;
  readonly invokedAt: number;
  /** Who asked. Only for drawing: no checker looks at it. */
  readonly client?: string;
}

/**
 * `done`: acknowledged, at `revision`. `none`: refused, surely without effect. `unknown`: it may have taken effect at
 * any time after its invocation, or never; it stays open for ever.
 */
export type WriteOutcome = 'done' | 'none' | 'unknown';

export interface WriteOperation extends Invocation {
  readonly type: 'write';
  /** Unique among the values written to any key of this history. Null: a deletion. */
  readonly value: string | null;
  readonly outcome: WriteOutcome;
  /** Null when the outcome is unknown. Ignored unless `done`. */
  readonly completedAt: number | null;
  /** `done`: its own revision. `unknown`: the revision if it was learnt elsewhere (from the log), else null. */
  readonly revision: number | null;
  /**
   * The revision of the entry that this write replaced, by its condition or by its answer; null: there was none;
   * undefined: not known.
   */
  readonly replaced?: number | null;
}

export interface ReadOperation extends Invocation {
  readonly type: 'read';
  readonly completedAt: number;
  /** What it saw. Null: nothing there. Undefined: it saw the revision of the entry, but not the value. */
  readonly value: string | null | undefined;
  /** The revision of the entry that it saw; null: nothing there. */
  readonly entryRevision: number | null;
  /** The revision of the whole store at which it read. */
  readonly head: number;
}

export type HistoryOperation = WriteOperation | ReadOperation;

export type Verdict =
  | { readonly linearizable: true; readonly operations: number }
  | {
      readonly linearizable: false;
      /** One sentence for a person. */
      readonly reason: string;
      /** Ids of the operations that cannot both be right. */
      readonly offending: readonly number[];
    };
