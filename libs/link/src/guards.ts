import type { ErrorDetails, MemberStatus } from '@quorate/api';

type Unknown = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Unknown {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isCountOrNull(value: unknown): boolean {
  return value === null || isCount(value);
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value);
}

/** What each known detail must look like. Unknown ones are let through: a newer peer may have more to say. */
const DETAIL: Record<keyof ErrorDetails, (value: unknown) => boolean> = {
  leader: isCountOrNull,
  members: isPeerStates,
  retryAfterMs: isNumber,
  currentRevision: isCountOrNull,
  head: isCount,
  field: (value) => typeof value === 'string',
};

function isPeerStates(value: unknown): boolean {
  return Array.isArray(value) && value.every(isPeerState);
}

function isPeerState(value: unknown): boolean {
  return (
    isObject(value) &&
    isCount(value['id']) &&
    typeof value['reachable'] === 'boolean' &&
    isNumber(value['sinceMs'])
  );
}

/** True when every known detail that is present has its type. */
export function isErrorDetails(value: unknown): value is ErrorDetails {
  if (!isObject(value)) return false;
  return Object.entries(DETAIL).every(([name, check]) => value[name] === undefined || check(value[name]));
}

const STATUS: Record<keyof MemberStatus, (value: unknown) => boolean> = {
  id: isCount,
  clusterId: (value) => typeof value === 'string',
  epoch: isCount,
  role: (value) => value === 'leader' || value === 'follower' || value === 'candidate',
  term: isCount,
  leader: isCountOrNull,
  quorum: (value) => typeof value === 'boolean',
  commitIndex: isCount,
  appliedIndex: isCount,
  lastIndex: isCount,
  revision: isCount,
  stateHash: (value) => typeof value === 'string',
  entries: isCount,
  firstIndex: isCount,
  snapshotIndex: isCount,
  logBytes: isCount,
  diskStalled: (value) => typeof value === 'boolean',
  diverged: (value) => typeof value === 'boolean',
  recovering: (value) => typeof value === 'boolean',
  peers: isPeerStates,
};

/** True when every field of a member's status is there and has its type. */
export function isMemberStatus(value: unknown): value is MemberStatus {
  return isObject(value) && Object.entries(STATUS).every(([name, check]) => check(value[name]));
}
