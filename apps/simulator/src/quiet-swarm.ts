import { SNAPSHOT_CHUNK_BYTES } from '@quorate/wal';
import { NO_FAULTS } from './nemesis/faults.js';
import { HEALTHY_NETWORK } from './network.js';
import { HEALTHY_FEED } from './simulated-feed.js';
import type { SwarmParameters } from './swarm.js';

export { NO_FAULTS };

/** A world in which nothing goes wrong by itself: for scenarios that direct their own faults. */
export const QUIET_SWARM: SwarmParameters = {
  memberCount: 3,
  clientCount: 2,
  gatewayCount: 0,
  keyCount: 3,
  faultPhaseMs: 5_000,
  operationGapMs: 120,
  network: HEALTHY_NETWORK,
  feed: HEALTHY_FEED,
  stateMachine: {},
  syncMeanMs: 1,
  clockRateSpread: 0,
  electionTimeoutTicks: 10,
  snapshots: { snapshotLogBytes: 5_000, snapshotLogShare: 0.25 },
  snapshotChunkBytes: SNAPSHOT_CHUNK_BYTES,
  hashEveryEntries: 50,
  turnMeanMs: 0,
  linksAreRedialled: false,
  faults: NO_FAULTS,
};
