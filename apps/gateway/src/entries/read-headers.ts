import {
  HEADERS,
  QuorateError,
  formatAge,
  formatCacheStatus,
  formatReadLevel,
  formatStaleness,
  type ReadLevel,
} from '@quorate/api';
import { revision, type Revision } from '@quorate/kv';
import { ViewRefusal } from './read-levels.js';
import { problemAnswer, type Answer } from '../http/answer.js';
import { errorHeaders } from '../request/problem.filter.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import type { View, ViewProof, ViewState } from '../store/store.js';

/** `quorum=?1` says that one answered within so long. */
const QUORUM_RECENT_MS = 2000;

/** Milliseconds since this was called. */
export type ElapsedMs = () => number;

/**
 * Starts to count, at least as much as really passes: the monotonic clock stands still while the machine sleeps, the wall
 * clock may be set back.
 */
export function startElapsed(): ElapsedMs {
  const monotonicMs = performance.now();
  const wallMs = Date.now();
  return () => Math.max(0, performance.now() - monotonicMs, Date.now() - wallMs);
}

/** What an answer of the view says of its age: `Staleness`, `Cache-Status`, and `Age` when that is known: of what an earlier process held by the wall clock alone, without a bound. */
export function heldHeaders(proof: ViewProof, state: ViewState, isFilled: boolean): Record<string, string> {
  const { stalenessMs, ageMs, lag, revision, quorum } = proof;
  const headers: Record<string, string> = {
    [HEADERS.staleness]: formatStaleness({ ms: stalenessMs, lag, revision, quorum }),
    [HEADERS.cacheStatus]: formatCacheStatus(!isFilled, state),
  };
  if (ageMs !== null) {
    headers[HEADERS.age] = formatAge(ageMs);
  }
  return headers;
}

/**
 * What an answer of the store says of its age. Its quorum round began after the request had come: nothing is missing that
 * was acknowledged before that.
 */
export function provenHeaders(head: Revision, elapsedMs: ElapsedMs): Record<string, string> {
  const staleness = { ms: elapsedMs(), lag: 0, revision: head, quorum: true };
  return { [HEADERS.staleness]: formatStaleness(staleness) };
}

/** A read that ended in an error, and what is known about it. */
export interface RefusedRead {
  /** What was to be had. */
  readonly level: ReadLevel;
  /** The view that could have answered; null: only the store could. */
  readonly view: View | null;
  readonly elapsedMs: ElapsedMs;
}

/**
 * The error of a read as an answer that says as much of level, revision and bound as an answer with data does. What the
 * store decided (no such namespace, a token that is ahead) is linearizable; what the view decided about the caller has the level of its answers. Where nobody decided, `Read-Consistency` is
 * the level that could not be had, and `Staleness` tells what the cache could have offered. Throws what is no refusal.
 */
export function refusedAnswer(error: unknown, tokens: ConsistencyTokens, read: RefusedRead): Answer {
  if (!(error instanceof QuorateError) || error.code === 'INTERNAL') {
    throw error;
  }
  const headers = errorHeaders(error, tokens);
  const { head } = error.details;
  if (error.status < 500 && !(error instanceof ViewRefusal)) {
    headers[HEADERS.readConsistency] = formatReadLevel({ level: 'linearizable' });
    if (head !== undefined) Object.assign(headers, provenHeaders(revision(head), read.elapsedMs));
    return problemAnswer(error, headers);
  }
  headers[HEADERS.readConsistency] = formatReadLevel(
    read.view === null ? { level: 'linearizable' } : read.level,
  );
  if (read.view !== null) Object.assign(headers, offeredHeaders(read.view, error));
  return problemAnswer(error, headers);
}

/** How old an answer of the view would be now. Nothing but its state before the first sync. */
function offeredHeaders(view: View, error: QuorateError): Record<string, string> {
  const { state, revision, stalenessMs, lag } = view.status();
  const headers = { [HEADERS.cacheStatus]: formatCacheStatus(false, state) };
  if (revision === null) return headers;
  const isCutOff = error.code === 'NO_QUORUM' || error.code === 'STORE_UNREACHABLE';
  const quorum = !isCutOff && stalenessMs !== null && stalenessMs <= QUORUM_RECENT_MS;
  return { ...headers, [HEADERS.staleness]: formatStaleness({ ms: stalenessMs, lag, revision, quorum }) };
}
