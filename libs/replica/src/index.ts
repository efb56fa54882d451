export { ElapsedTicks, TICK_MS } from './elapsed-ticks.js';
export { Replica, WAITING_MAX } from './replica.js';
export type { ReplicaConfig, ReplicaEnvironment, ReplicaLoad, ReplicaObserver } from './replica.js';
export { RequestHandler } from './requests.js';
export type { RequestPolicies } from './requests.js';
