export { validateEntity } from './entities.js';
export { AccessEngine } from './engine.js';
export { type AccessKey, entityKey, parseAccessKey, policyKey } from './keys.js';
export { POLICIES_MAX, POLICY_BYTES_MAX, SLICE_ENTITIES_MAX } from './limits.js';
export { type MemberAccess, memberAccess } from './member-access.js';
export { validatePolicy } from './policies.js';
export { accessSnapshot } from './snapshot.js';
export type { AccessSnapshot, AccessState, CheckRequest, Decision, EntityReference } from './types.js';
export { type AccessChangeFault, type AccessChangeVerdict, validateAccessChange } from './validate-change.js';
