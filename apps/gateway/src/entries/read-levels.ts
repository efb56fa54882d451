import { QuorateError, type ConsistencyToken, type ErrorCode, type ReadLevel } from '@quorate/api';
import type { View, ViewOutcome, ViewProof, ViewRead } from '../store/store.js';

/** How new an answer of the view must be. */
type ViewPlan = Pick<ViewRead, 'level' | 'minRevision'>;

/**
 * What to ask of the view. `session` is an eventual read with a floor; a token of another epoch says nothing about
 * this one's revisions, so that read becomes linearizable.
 */
export function planViewRead(level: ReadLevel, seen: ConsistencyToken | null, epoch: number): ViewPlan {
  switch (level.level) {
    case 'eventual':
      return { level: { type: 'eventual' }, minRevision: null };
    case 'bounded':
      return { level: { type: 'bounded', boundMs: level.ms }, minRevision: null };
    case 'linearizable':
      return { level: { type: 'linearizable' }, minRevision: null };
    case 'session':
      return seen !== null && seen.epoch !== epoch
        ? { level: { type: 'linearizable' }, minRevision: null }
        : { level: { type: 'eventual' }, minRevision: seen?.revision ?? null };
  }
}

/**
 * The view's answer alone does not do for this token. A linearizable one behind it: strict writes do not move the view,
 * so only the store's own head says whether something is missing. A session one of another epoch: its revisions and
 * the token's do not compare.
 */
export function needsProof(hit: ViewProof, level: ReadLevel, seen: ConsistencyToken | null): boolean {
  if (seen === null) {
    return false;
  }
  const isBehind = seen.epoch === hit.epoch && seen.revision > hit.revision;
  return hit.level === 'linearizable'
    ? isBehind
    : level.level === 'session' && (isBehind || seen.epoch !== hit.epoch);
}

/** Whether what is held has the level without anybody being asked. */
export function hasLevel(held: ViewProof, level: ReadLevel, seen: ConsistencyToken | null): boolean {
  switch (level.level) {
    case 'eventual':
      return true;
    case 'bounded':
      return isWithin(held, level.ms);
    case 'session':
      return !needsProof(held, level, seen);
    case 'linearizable':
      return false;
  }
}

/** Whether it is proven to be at most so old. */
export function isWithin({ stalenessMs }: ViewProof, boundMs: number): boolean {
  return stalenessMs !== null && stalenessMs <= boundMs;
}

/** What the view has decided about the caller, by the tokens and readers that it holds: as new as the view is, and not as the store. */
export class ViewRefusal extends QuorateError {}

/** Throws a ViewRefusal if that is what came of a read. */
export function refuseDenied(outcome: ViewOutcome): void {
  if (outcome.type === 'denied') throw new ViewRefusal(outcome.code, outcome.message);
}

/** Of `only-if-cached`. */
export function notCached(view: View, text: string): QuorateError {
  const { revision } = view.status();
  return new QuorateError('NOT_CACHED', text, revision === null ? {} : { head: revision });
}

/** The store could not be asked. */
const UNAVAILABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'NO_QUORUM',
  'STORE_UNREACHABLE',
  'TIMED_OUT',
]);
/** What comes of that, as the caller is told. Not among them: what the store decided, and that nothing is held. */
export const STALE_INSTEAD_OF: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...UNAVAILABLE,
  'STALENESS_BOUND_EXCEEDED',
  'TOKEN_NOT_REACHED',
]);

/**
 * What the caller is told when the store cannot stand in for the view. "Cached reads go on" would be a lie before the
 * first sync; a session read learns that its token was not reached. The facts of the store's answer go along.
 */
export function fallbackFailure(error: unknown, level: ReadLevel, outcome: ViewOutcome): unknown {
  if (!(error instanceof QuorateError) || !UNAVAILABLE.has(error.code) || level.level === 'linearizable') {
    return error;
  }
  if (outcome.type === 'refused') {
    return new QuorateError('CACHE_NOT_READY', undefined, error.details);
  }
  const isSession = outcome.type === 'fallback' && level.level === 'session';
  return isSession ? new QuorateError('TOKEN_NOT_REACHED', undefined, error.details) : error;
}
