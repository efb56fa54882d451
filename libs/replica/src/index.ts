export { Replica } from './replica.js';
export type { ReplicaConfig, ReplicaEnvironment, ReplicaLoad, ReplicaObserver } from './replica.js';
export { RequestHandler } from './requests.js';
export type { RequestPolicies } from './requests.js';
