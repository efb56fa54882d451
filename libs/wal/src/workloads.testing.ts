import type { HardState, LogEntry } from '@quorate/raft';
import { entry, hardState } from './simulated-machine.testing.js';
import type { WalBatch, WalOptions } from './wal.js';

/** The log as its user knows it. */
export interface Model {
  readonly hardState: HardState;
  readonly entries: readonly LogEntry[];
}

export type Restart = 'close' | 'kill' | 'power, first lost' | 'power, all torn';

export type Step =
  | { readonly type: 'append'; readonly batch: (model: Model, number: number) => WalBatch }
  /** The fsync in flight ends; or all do, and those that follow. */
  | { readonly type: 'sync' | 'syncAll' }
  /** The process ends in one way or another, and a new one opens the log. */
  | { readonly type: 'restart'; readonly how: Restart };

export interface Workload {
  readonly name: string;
  readonly options: WalOptions & { readonly segmentBytesMax: number };
  readonly steps: readonly Step[];
}

const sync: Step = { type: 'sync' };
const syncAll: Step = { type: 'syncAll' };
const close: Step = { type: 'restart', how: 'close' };
const kill: Step = { type: 'restart', how: 'kill' };
const firstLost: Step = { type: 'restart', how: 'power, first lost' };
const allTorn: Step = { type: 'restart', how: 'power, all torn' };

function append(batch: (model: Model, number: number) => WalBatch): Step {
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
  hardState: hardState(state.term + 1, 1 + (number % 3), state.commit),
  entries: [],
}));

/** Only the commit index moves: no fsync is owed. */
const commit = append(({ hardState: state, entries }) => ({
  hardState: hardState(state.term, state.vote, Math.max(state.commit, entries.length - 2)),
  entries: [],
  sync: false,
}));

/** What a follower far behind gets: entries, and the commit index that covers them, in one batch. */
const addCommitted = append(({ hardState: state, entries }, number) => ({
  hardState: hardState(state.term, state.vote, entries.length + 1),
  // Over a sector's boundary: it may be torn behind the hard state.
  entries: [entry(entries.length + 1, state.term, text(number, 600))],
}));

/** A new leader's entries take the place of the last `back` ones. */
function replace(back: number, ...sizes: number[]): Step {
  return append(({ hardState: state, entries }, number) => {
    const first = Math.max(state.commit, entries.length - back) + 1;
    return {
      hardState: hardState(state.term + 1, null, state.commit),
      entries: sizes.map((size, at) => entry(first + at, state.term + 1, text(number, size))),
    };
  });
}

const ROOMY = { segmentBytesMax: 1 << 20 };
/** A segment is full after three or four records. */
const TIGHT = { segmentBytesMax: 256 };

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
    options: { segmentBytesMax: 2048 },
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
];

/**
 * Several segments, all of it reported durable. Some end with a vote that no mark follows, and the next begins with entries that
 * replace earlier ones, so that the loss of a segment's last record would leave no gap behind it.
 */
export function damageWorkload(end: 'closed' | 'idle' | 'just rotated'): Workload {
  const settled = (...steps: Step[]): Step[] => steps.flatMap((step) => [step, syncAll]);
  const steps = [
    ...settled(vote, add(24), add(24, 8), vote, replace(2, 24), add(60), vote, add(24)),
    ...[add(100), vote, vote, syncAll],
    ...settled(replace(1, 100), vote, add(24, 24)),
  ];
  const last =
    end === 'closed' ? [close] : end === 'just rotated' ? [add(100), syncAll, add(100), syncAll] : [];
  return {
    name: `several segments, ${end}`,
    options: TIGHT,
    steps: [...steps, ...last],
  };
}
