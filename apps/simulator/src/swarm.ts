import type { StateMachineOptions } from '@quorate/kv';
import { SNAPSHOT_CHUNK_BYTES } from '@quorate/wal';
import { drawFaultRates, type FaultRates } from './nemesis/faults.js';
import type { SnapshotPolicy } from '@quorate/replica';
import type { NetworkParameters } from './network.js';
import type { SeededRandom } from './random.js';
import type { FeedParameters } from './simulated-feed.js';

/** What kind of world a seed is. Each fault is absent from many worlds: always-on faults hide each other's bugs. */
export interface SwarmParameters {
  readonly memberCount: number;
  readonly clientCount: number;
  readonly gatewayCount: number;
  readonly keyCount: number;
  readonly faultPhaseMs: number;
  readonly operationGapMs: number;
  readonly network: NetworkParameters;
  readonly feed: FeedParameters;
  /** Small bounds make rare things common: forgotten registrations, compacted changes. The same for all members. */
  readonly stateMachine: StateMachineOptions;
  readonly syncMeanMs: number;
  readonly clockRateSpread: number;
  /** Short ones make for many elections. */
  readonly electionTimeoutTicks: number;
  /** Small thresholds: a snapshot every few entries. */
  readonly snapshots: SnapshotPolicy;
  /** Small ones: a snapshot of many chunks, each of which can be lost, and many syncs of its file. */
  readonly snapshotChunkBytes: number;
  readonly hashEveryEntries: number;
  readonly turnMeanMs: number;
  readonly linksAreRedialled: boolean;
  readonly faults: FaultRates;
}

export interface SwarmLimits {
  readonly faultPhaseMs: number;
}

export function drawSwarm(random: SeededRandom, limits: SwarmLimits): SwarmParameters {
  const sometimes = (probability: number, low: number, high: number): number =>
    random.chance(probability) ? random.between(low, high) : 0;
  const memberCount = random.pick([1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5]);
  return {
    memberCount,
    clientCount: 2 + random.below(4),
    gatewayCount: random.below(3),
    keyCount: 2 + random.below(5),
    faultPhaseMs: limits.faultPhaseMs * random.between(0.5, 1.5),
    operationGapMs: random.pick([10, 40, 100]),
    network: {
      delayMinMs: random.between(0.1, 2),
      delayMeanMs: random.pick([0.5, 2, 10, 40]),
      linkSpread: random.pick([1, 1, 1, 3, 10]),
      lossProbability: sometimes(0.5, 0, 0.3),
      duplicateProbability: sometimes(0.5, 0, 0.3),
      stragglerProbability: sometimes(0.5, 0, 0.1),
      stragglerMeanMs: random.between(50, 1500),
    },
    feed: {
      lossProbability: sometimes(0.6, 0, 0.5),
      duplicateProbability: sometimes(0.6, 0, 0.5),
      forgeryProbability: sometimes(0.5, 0, 0.2),
      delayMeanMs: random.pick([1, 20, 200]),
      stragglerProbability: sometimes(0.4, 0, 0.2),
      stragglerMeanMs: random.between(50, 2_000),
    },
    stateMachine: {
      ...(random.chance(0.3) ? { registrationsMax: 2 + random.below(4) } : {}),
      ...(random.chance(0.3) ? { retainedChangesMin: 5 + random.below(50), retainedMs: 100 } : {}),
    },
    syncMeanMs: random.pick([0.1, 1, 5, 30]),
    clockRateSpread: random.pick([0, 0.001, 0.05, 0.3]),
    electionTimeoutTicks: random.pick([3, 5, 10, 10]),
    snapshots: {
      snapshotLogBytes: random.pick([200, 1_000, 5_000, 20_000, 1_000_000]),
      snapshotLogShare: random.pick([0, 0.25]),
    },
    hashEveryEntries: random.pick([2, 10, 100]),
    turnMeanMs: random.pick([0, 0, 1, 5]),
    linksAreRedialled: random.chance(0.5),
    faults: drawFaultRates(random),
    snapshotChunkBytes: random.pick([50, 100, 200, 500, SNAPSHOT_CHUNK_BYTES]),
  };
}
