import type { SeededRandom } from '../random.js';
import type { FaultContext } from './context.js';
import * as disk from './disk-faults.js';
import * as feed from './feed-faults.js';
import * as host from './host-faults.js';
import * as network from './network-faults.js';
import * as operator from './operator-acts.js';
import * as snapshot from './snapshot-faults.js';

export interface FaultEntry {
  /** In how many worlds it is there at all: always-on faults hide each other's bugs. */
  readonly probability: number;
  /** If it is there: between which limits the mean time from one to the next lies, milliseconds. */
  readonly meanMs: readonly [number, number];
  readonly run: (context: FaultContext) => void;
  /** Under which names it is counted. */
  readonly counted: readonly string[];
}

/** All faults that come and go. A new one is one more entry here: nothing else knows them by name. */
export const FAULTS = {
  partition: {
    probability: 0.6,
    meanMs: [1_000, 6_000],
    run: network.partition,
    counted: ['partition in two', 'one-way partition', 'leader isolated'],
  },
  leaderFall: { probability: 0.4, meanMs: [700, 5_000], run: host.fellLeader, counted: ['leader falls'] },
  crash: {
    probability: 0.6,
    meanMs: [800, 6_000],
    run: host.crash,
    counted: ['process killed', 'shut down', 'power loss', 'power loss at a disk operation'],
  },
  crashAll: {
    probability: 0.25,
    meanMs: [4_000, 12_000],
    run: host.crashAll,
    counted: ['power loss everywhere'],
  },
  freeze: {
    probability: 0.4,
    meanMs: [1_500, 8_000],
    run: host.freeze,
    counted: ['process frozen', 'gateway frozen', 'client frozen'],
  },
  clockJump: {
    probability: 0.3,
    meanMs: [2_000, 8_000],
    run: host.jumpClock,
    counted: ['wall clock jumped'],
  },
  diskFault: {
    probability: 0.4,
    meanMs: [2_000, 8_000],
    run: disk.breakDisk,
    counted: ['sync fails', 'write fails', 'disk full', 'short write', 'sync hangs'],
  },
  wipe: { probability: 0.15, meanMs: [5_000, 15_000], run: disk.wipe, counted: ['disk wiped', 'disk lost'] },
  bitFlip: { probability: 0.15, meanMs: [5_000, 15_000], run: disk.flipBit, counted: ['bit flipped'] },
  feedOutage: { probability: 0.3, meanMs: [2_000, 8_000], run: feed.stopFeed, counted: ['feed outage'] },
  gatewayCrash: {
    probability: 0.3,
    meanMs: [2_000, 8_000],
    run: host.crashGateway,
    counted: ['gateway restarted'],
  },
  partialGraph: {
    probability: 0.2,
    meanMs: [2_000, 8_000],
    run: network.partialGraph,
    counted: ['partial graph', 'directed partial graph'],
  },
  flap: { probability: 0.2, meanMs: [2_000, 8_000], run: network.flap, counted: ['link flaps'] },
  slowLink: { probability: 0.2, meanMs: [1_500, 6_000], run: network.slowLink, counted: ['link slow'] },
  clog: { probability: 0.2, meanMs: [1_000, 5_000], run: network.clog, counted: ['link clogged'] },
  swizzle: { probability: 0.15, meanMs: [3_000, 10_000], run: network.swizzle, counted: ['links swizzled'] },
  lossBurst: {
    probability: 0.2,
    meanMs: [1_000, 5_000],
    run: network.loseBurst,
    counted: ['burst of losses'],
  },
  connectionReset: {
    probability: 0.3,
    meanMs: [300, 3_000],
    run: network.resetConnections,
    counted: ['connection reset'],
  },
  leaderReportedGone: {
    probability: 0.15,
    meanMs: [1_000, 5_000],
    run: network.reportLeaderGone,
    counted: ['leader wrongly taken for gone'],
  },
  suspend: {
    probability: 0.3,
    meanMs: [1_000, 6_000],
    run: host.suspend,
    counted: ['member suspended', 'gateway suspended', 'client suspended'],
  },
  clockRate: {
    probability: 0.2,
    meanMs: [1_500, 8_000],
    run: host.changeClockRate,
    counted: ['clock rate changed'],
  },
  slowDisk: { probability: 0.2, meanMs: [2_000, 8_000], run: disk.slowDisk, counted: ['disk slow'] },
  misdirectedWrite: {
    probability: 0.15,
    meanMs: [3_000, 10_000],
    run: disk.misdirectWrite,
    counted: ['write misdirected', 'write lost'],
  },
  readFault: { probability: 0.15, meanMs: [3_000, 10_000], run: disk.failRead, counted: ['read fails'] },
  feedSplit: { probability: 0.2, meanMs: [2_000, 8_000], run: feed.splitFeed, counted: ['feed split'] },
  feedTail: {
    probability: 0.2,
    meanMs: [1_000, 5_000],
    run: feed.loseFeedTail,
    counted: ['feed tail lost'],
  },
  transfer: {
    probability: 0.3,
    meanMs: [500, 4_000],
    run: operator.transferLeadership,
    counted: ['leadership transferred'],
  },
  snapshot: {
    probability: 0.3,
    meanMs: [500, 4_000],
    run: operator.takeSnapshot,
    counted: ['snapshot by command'],
  },
  backup: { probability: 0.3, meanMs: [1_000, 5_000], run: operator.takeBackup, counted: ['backup'] },
  interruptedFetch: {
    probability: 0.6,
    meanMs: [1_000, 5_000],
    run: snapshot.interruptFetch,
    counted: ['member left behind', 'fetch of a snapshot struck'],
  },
} as const satisfies Record<string, FaultEntry>;

export type FaultKind = keyof typeof FAULTS;

/** Means in milliseconds between faults of a kind. Infinity: this world has none of them. */
export type FaultRates = Readonly<Record<FaultKind, number>>;

export const FAULT_ENTRIES: readonly (readonly [FaultKind, FaultEntry])[] = Object.entries(FAULTS).map(
  ([kind, entry]) => [kind as FaultKind, entry],
);

/** What the network and the feed do to single messages; counted as well. */
const MESSAGE_FAULTS = [
  'message lost',
  'message lost in a burst',
  'message duplicated',
  'message delayed beyond later ones',
  'message cut off by a partition',
  'feed message lost',
  'feed message doubled',
  'feed message forged',
  'feed message delayed beyond later ones',
  'feed message cut off by a split',
];

/** Every name under which a fault is counted: worlds enough must reach each. */
export const FAULTS_COUNTED: readonly string[] = [
  ...MESSAGE_FAULTS,
  ...FAULT_ENTRIES.flatMap(([, { counted }]) => counted),
];

function rates(rateOf: (entry: FaultEntry) => number): FaultRates {
  return Object.fromEntries(FAULT_ENTRIES.map(([kind, entry]) => [kind, rateOf(entry)])) as FaultRates;
}

export function drawFaultRates(random: SeededRandom): FaultRates {
  return rates(({ probability, meanMs: [low, high] }) =>
    random.chance(probability) ? random.between(low, high) : Infinity,
  );
}

export const NO_FAULTS: FaultRates = rates(() => Infinity);
