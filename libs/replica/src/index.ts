export { ElapsedTicks, TICK_MS } from './elapsed-ticks.js';
export { Replica, WAITING_MAX } from './replica.js';
export type {
  MemberCondition,
  ReplicaConfig,
  ReplicaEnvironment,
  ReplicaLoad,
  ReplicaObserver,
  ReplicaStorage,
} from './replica.js';
export { RequestHandler } from './requests.js';
export type { RequestPolicies } from './requests.js';
export { restoreState } from './restore-state.js';
export { SNAPSHOT_POLICY } from './snapshots.js';
export type { SnapshotPolicy, TakenSnapshot } from './snapshots.js';
export { HASH_EVERY_ENTRIES } from './state-hashes.js';
export type { Divergence } from './state-hashes.js';
