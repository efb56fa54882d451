import type { HardState, LogEntry } from '@quorate/raft';
import { entry, hardState } from './simulated-machine.testing.js';
import type { TakenSnapshot } from './crash-points.testing.js';
import type { WalBatch, WalOptions } from './wal.js';

/** The log as its user knows it. */
export interface Model {
  readonly hardState: HardState;
  readonly entries: readonly LogEntry[];
}

export type Restart = 'close' | 'kill' | 'power, first lost' | 'power, all torn';

export type Step =
  /** Null: nothing to append. The newest durable snapshot is handed in. */
  | { readonly type: 'append'; readonly batch: MakeBatch }
  /** Begins a snapshot of these entries, from 1 on, and asks for its end. Skipped if one is under way, or if there is a newer one. */
  | {
      readonly type: 'snapshot';
      readonly content: (model: Model, durable: Model, number: number) => readonly LogEntry[];
    }
  /** Up to the newest durable snapshot. */
  | { readonly type: 'compact' | 'prune' }
  /** The fsync in flight ends; or all do, and those that follow. */
  | { readonly type: 'sync' | 'syncAll' }
  /** The process ends in one way or another, and a new one opens the log. */
  | { readonly type: 'restart'; readonly how: Restart };

type MakeBatch = (model: Model, number: number, newest: TakenSnapshot | null) => WalBatch | null;

export interface Workload {
  readonly name: string;
  readonly options: Required<Pick<WalOptions, 'segmentBytesMax' | 'allocationBytes'>>;
  /** Formatted with it; 0 if absent. */
  readonly recovery?: number;
  readonly steps: readonly Step[];
}

const sync: Step = { type: 'sync' };
const syncAll: Step = { type: 'syncAll' };
const close: Step = { type: 'restart', how: 'close' };
const kill: Step = { type: 'restart', how: 'kill' };
const firstLost: Step = { type: 'restart', how: 'power, first lost' };
const allTorn: Step = { type: 'restart', how: 'power, all torn' };

function append(batch: MakeBatch): Step {
  return { type: 'append', batch };
}

function text(number: number, bytes: number): string {
  return `${number}.`.padEnd(bytes, 'abcdefgh');
}

/** Entries at the end of the log, each of so many bytes. */
function add(...sizes: number[]): Step {
  return append(({ hardState: state, entries }, number) => ({
    hardState: null,
    entries: sizes.map((size, at) => entry(entries.length + 1 + at, state.term, text(number, size))),
  }));
}

/** Another term, and a vote in it: nothing else. */
const vote = append(({ hardState: state }, number) => ({
  hardState: hardState(state.term + 1, 1 + (number % 3), state.commit, state.recovery),
  entries: [],
}));

/** The recovery ends, in the same batch as an entry. */
const recovered = append(({ hardState: state, entries }, number) => ({
  hardState: hardState(state.term, state.vote, state.commit),
  entries: [entry(entries.length + 1, state.term, text(number, 600))],
}));

/** Only the commit index moves: no fsync is owed. */
const commit = append(({ hardState: state, entries }) => ({
  hardState: hardState(state.term, state.vote, Math.max(state.commit, entries.length - 2), state.recovery),
  entries: [],
  sync: false,
}));

/** What a follower far behind gets: entries, and the commit index that covers them, in one batch. */
const addCommitted = append(({ hardState: state, entries }, number) => ({
  hardState: hardState(state.term, state.vote, entries.length + 1, state.recovery),
  // Over a sector's boundary: it may be torn behind the hard state.
  entries: [entry(entries.length + 1, state.term, text(number, 600))],
}));

/** A new leader's entries take the place of the last `back` ones. */
function replace(back: number, ...sizes: number[]): Step {
  return append(({ hardState: state, entries }, number) => {
    const first = Math.max(state.commit, entries.length - back) + 1;
    return {
      hardState: hardState(state.term + 1, null, state.commit, state.recovery),
      entries: sizes.map((size, at) => entry(first + at, state.term + 1, text(number, size))),
    };
  });
}

/** The member's own: of what is committed and durable (P40). That it is committed need not be on the disk. */
const snapshot: Step = {
  type: 'snapshot',
  content: ({ hardState: state, entries }, durable) =>
    entries.slice(0, state.commit).filter((one, at) => durable.entries[at] === one),
};

/**
 * A leader's: it agrees with the log up to the commit index and goes on to `beyond` its end, in a term of its own. No later
 * entry may have both its index and its term.
 */
function install(beyond: number): Step {
  return {
    type: 'snapshot',
    content: ({ hardState: state, entries }, _durable, number) => {
      const others = Array.from({ length: Math.max(1, entries.length + beyond - state.commit) }, (_, at) =>
        entry(state.commit + 1 + at, 100 * number, text(number, 24)),
      );
      return [...entries.slice(0, state.commit), ...others];
    },
  };
}

/** What follows an installed snapshot, if the log does not contain it: the log begins behind it, with entries of these sizes. */
function reset(...sizes: number[]): Step {
  return append(({ hardState: state, entries }, number, newest) => {
    if (newest === null || entries[newest.point.index - 1]?.term === newest.point.term) return null;
    const { index, term } = newest.point;
    const isRaised = term > state.term;
    return {
      hardState: hardState(Math.max(term, state.term), isRaised ? null : state.vote, index, state.recovery),
      reset: newest.point,
      entries: sizes.map((size, at) => entry(index + 1 + at, Math.max(term, state.term), text(number, size))),
    };
  });
}

const compact: Step = { type: 'compact' };
const prune: Step = { type: 'prune' };

/** Zeros lie ahead of most records, and now and then a batch goes beyond them. */
const ROOMY = { segmentBytesMax: 1 << 20, allocationBytes: 512 };
/** A segment is full after three or four records. */
const TIGHT = { segmentBytesMax: 344, allocationBytes: 128 };

/** Between them: every kind of batch, fsyncs that end at once, late or in a pile, rotations, and every way to end and start. */
export const WORKLOADS: readonly Workload[] = [
  {
    name: 'each batch durable before the next',
    options: ROOMY,
    steps: [
      vote,
      syncAll,
      add(24),
      syncAll,
      add(24, 8),
      syncAll,
      commit,
      vote,
      syncAll,
      replace(2, 24),
      syncAll,
      commit,
      close,
      add(24),
      syncAll,
    ],
  },
  {
    name: 'batches in a pipeline',
    options: ROOMY,
    steps: [
      vote,
      add(24),
      sync,
      add(24),
      commit,
      sync,
      replace(1, 24, 24),
      vote,
      sync,
      add(8),
      sync,
      add(24),
      sync,
      addCommitted,
      syncAll,
    ],
  },
  {
    name: 'a pile of unsynced batches',
    options: ROOMY,
    steps: [vote, syncAll, add(24), add(24), replace(1, 24), vote, commit, add(24), syncAll],
  },
  {
    name: 'torn batches',
    options: ROOMY,
    steps: [
      vote,
      add(1400),
      syncAll,
      add(24, 900, 24),
      sync,
      replace(2, 1200, 24),
      syncAll,
      add(700),
      add(700),
      syncAll,
      // Longer than a sector behind its first entry: wherever it lies, it may be torn there.
      replace(1, 24, 24, 24, 24, 24, 24, 24, 24, 24),
      syncAll,
    ],
  },
  {
    name: 'rotations, each batch durable',
    options: TIGHT,
    steps: [
      vote,
      add(24),
      syncAll,
      add(100),
      syncAll,
      add(100),
      syncAll,
      replace(2, 60),
      syncAll,
      vote,
      syncAll,
      add(100),
      syncAll,
      close,
      add(160),
      syncAll,
    ],
  },
  {
    name: 'rotations beside fsyncs in flight',
    options: TIGHT,
    steps: [
      vote,
      add(100),
      add(100),
      add(60),
      sync,
      add(100),
      sync,
      vote,
      replace(1, 100),
      commit,
      sync,
      add(24),
      sync,
      add(140),
      syncAll,
    ],
  },
  {
    name: 'a stale tail behind a lost batch',
    options: ROOMY,
    steps: [
      vote,
      add(24),
      syncAll,
      add(24),
      add(24),
      add(24),
      firstLost,
      add(8),
      add(24),
      sync,
      add(24),
      firstLost,
      add(8),
      syncAll,
      vote,
    ],
  },
  {
    name: 'deaths of the process in between',
    options: TIGHT,
    steps: [
      vote,
      add(24),
      kill,
      add(60),
      sync,
      kill,
      replace(1, 60),
      add(100),
      sync,
      allTorn,
      add(24),
      vote,
      kill,
      add(60),
      syncAll,
      close,
    ],
  },
  {
    name: 'torn, recovered, torn again',
    options: { segmentBytesMax: 2048, allocationBytes: 640 },
    steps: [
      vote,
      syncAll,
      add(600, 600),
      allTorn,
      add(24),
      add(900),
      allTorn,
      replace(1, 24),
      add(600),
      sync,
      firstLost,
      add(24),
      syncAll,
    ],
  },
  {
    name: 'a recovery, and its end',
    options: TIGHT,
    recovery: 7,
    steps: [
      add(24),
      syncAll,
      vote,
      add(100),
      sync,
      add(100),
      syncAll,
      close,
      commit,
      recovered,
      syncAll,
      add(24),
      vote,
      syncAll,
      kill,
      add(100),
      syncAll,
    ],
  },
  {
    name: 'far ahead',
    options: { segmentBytesMax: 1 << 14, allocationBytes: 4096 },
    steps: [
      vote,
      add(24),
      syncAll,
      add(1400),
      add(1400, 900),
      sync,
      add(700),
      allTorn,
      add(24),
      syncAll,
      replace(1, 600, 24),
      firstLost,
      add(1400, 1400),
      syncAll,
      close,
      add(24),
      syncAll,
    ],
  },
  {
    name: 'never ahead',
    options: { segmentBytesMax: 344, allocationBytes: 8 },
    steps: [
      vote,
      add(24),
      syncAll,
      add(100),
      add(60),
      sync,
      add(100),
      syncAll,
      allTorn,
      add(24),
      vote,
      syncAll,
    ],
  },
];

/** Snapshots of both kinds, at every moment of a log's life. */
export const SNAPSHOT_WORKLOADS: readonly Workload[] = [
  {
    name: 'snapshots, compaction, and again',
    options: TIGHT,
    steps: [
      vote,
      add(24),
      syncAll,
      add(60),
      add(24),
      syncAll,
      commit,
      add(100),
      syncAll,
      snapshot,
      add(24),
      syncAll,
      compact,
      replace(1, 100),
      commit,
      add(24),
      syncAll,
      snapshot,
      sync,
      vote,
      syncAll,
      compact,
      prune,
      add(100),
      syncAll,
      close,
      compact,
      add(24),
      syncAll,
    ],
  },
  {
    name: 'installed snapshots',
    options: TIGHT,
    steps: [
      vote,
      add(24),
      syncAll,
      add(24, 24),
      syncAll,
      install(2),
      syncAll,
      reset(),
      syncAll,
      compact,
      add(60),
      add(24),
      syncAll,
      // Above the commit index, and within the log: it contradicts the log's end.
      install(-1),
      add(24),
      syncAll,
      reset(24, 100),
      sync,
      prune,
      vote,
      syncAll,
      compact,
      close,
      add(24),
      syncAll,
    ],
  },
  {
    name: 'entries that replaced those of a removed segment',
    options: TIGHT,
    steps: [
      vote,
      add(24),
      add(24),
      syncAll,
      add(100),
      syncAll,
      add(24),
      syncAll,
      replace(2, 8, 8, 8),
      syncAll,
      add(24),
      syncAll,
      commit,
      snapshot,
      syncAll,
      compact,
      add(24),
      syncAll,
    ],
  },
  {
    name: 'a reset in a torn batch',
    options: ROOMY,
    steps: [
      vote,
      add(24),
      add(24),
      syncAll,
      add(24),
      syncAll,
      install(1),
      syncAll,
      reset(500, 24),
      vote,
      syncAll,
    ],
  },
  {
    name: 'installed, and deaths in between',
    options: TIGHT,
    steps: [
      vote,
      add(24),
      syncAll,
      install(3),
      syncAll,
      kill,
      add(24),
      sync,
      commit,
      add(100),
      syncAll,
      snapshot,
      add(24),
      sync,
      kill,
      add(60),
      install(-1),
      sync,
      allTorn,
      add(24),
      syncAll,
      compact,
      firstLost,
      reset(),
      add(24),
      syncAll,
      prune,
    ],
  },
  {
    name: 'a recovery by an installed snapshot',
    options: TIGHT,
    recovery: 7,
    steps: [
      install(3),
      syncAll,
      firstLost,
      reset(24),
      add(24),
      syncAll,
      recovered,
      sync,
      add(100),
      syncAll,
      compact,
      vote,
      syncAll,
    ],
  },
];

/**
 * Several segments, all of it reported durable. Some end with a vote that no mark follows, and the next begins with entries that
 * replace earlier ones, so that the loss of a segment's last record would leave no gap behind it.
 */
export type DamageEnd = 'closed' | 'idle' | 'just rotated' | 'one snapshot' | 'two snapshots';

export function damageWorkload(end: DamageEnd): Workload {
  const settled = (...steps: Step[]): Step[] => steps.flatMap((step) => [step, syncAll]);
  const steps = [
    ...settled(vote, add(24), add(24, 8), vote, replace(2, 24), add(60), vote, add(24)),
    ...[add(100), vote, vote, syncAll],
    ...settled(replace(1, 100), vote, add(24, 24)),
  ];
  const older = settled(commit, snapshot, compact);
  const newer = settled(add(60), add(100), commit, snapshot, vote);
  const last: Readonly<Record<DamageEnd, readonly Step[]>> = {
    closed: [close],
    idle: [],
    'just rotated': [add(100), syncAll, add(100), syncAll],
    // Nothing else holds the first entries; and one more that the log holds as well.
    'one snapshot': [...older, ...settled(add(100), add(60), add(100)), close],
    'two snapshots': [...older, ...newer, ...settled(add(60), add(100)), close],
  };
  return {
    name: `several segments, ${end}`,
    options: TIGHT,
    steps: [...steps, ...last[end]],
  };
}
