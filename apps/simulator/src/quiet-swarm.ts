import { HEALTHY_NETWORK } from './network.js';
import type { FaultRates, SwarmParameters } from './swarm.js';

export const NO_FAULTS: FaultRates = {
  partition: Infinity,
  leaderFall: Infinity,
  crash: Infinity,
  crashAll: Infinity,
  freeze: Infinity,
  clockJump: Infinity,
  diskFault: Infinity,
  wipe: Infinity,
  bitFlip: Infinity,
  feedOutage: Infinity,
  gatewayCrash: Infinity,
};

/** A world in which nothing goes wrong by itself: for scenarios that direct their own faults. */
export const QUIET_SWARM: SwarmParameters = {
  memberCount: 3,
  clientCount: 2,
  gatewayCount: 0,
  keyCount: 3,
  faultPhaseMs: 5_000,
  operationGapMs: 120,
  network: HEALTHY_NETWORK,
  feed: { lossProbability: 0, duplicateProbability: 0, forgeryProbability: 0, delayMeanMs: 2 },
  stateMachine: {},
  syncMeanMs: 1,
  clockRateSpread: 0,
  electionTimeoutTicks: 10,
  faults: NO_FAULTS,
};
