import assert from 'node:assert/strict';
import { describeOperation } from './describe.js';
import type { HistoryOperation, ReadOperation, Verdict, WriteOperation } from './history.js';
import { placeOpenDeletions, type AbsenceGap, type OpenDeletion } from './open-deletions.js';

/** A write at the revision where it took effect: acknowledged, or open and seen by somebody. */
interface PlacedWrite {
  readonly operation: WriteOperation;
  readonly revision: number;
}

/** `entryRevision` was the newest write of the key when the store stood at `head`: a read, or a write's condition. */
interface Observation {
  readonly operation: HistoryOperation;
  readonly key: string;
  readonly head: number;
  readonly entryRevision: number | null;
  readonly value: string | null | undefined;
}

class Violation extends Error {
  constructor(
    message: string,
    readonly offending: readonly HistoryOperation[],
  ) {
    super(message);
  }
}

/**
 * Is the history linearizable, given that each completed operation says at which revision of the store it took effect
 * (write) or which revision it saw (read)? O(n log n).
 *
 * The revisions fix the order: a write with revision r stands at point 2r, a read at head h at 2h+1, after write h and
 * before write h+1. What is left to check: (1) no two writes share a revision; (2) each observation names the latest
 * write of its key at or below its head; (3) real time embeds in that order: nothing that was invoked after another
 * operation completed stands before it; (4) a refused write is never seen; (5) every absence that no acknowledged
 * deletion explains is explained by a deletion with unknown outcome.
 */
export function checkRevisionSweep(history: readonly HistoryOperation[]): Verdict {
  try {
    sweep(history);
    return { linearizable: true, operations: history.length };
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    const offending = error.offending.map((operation) => operation.id);
    return { linearizable: false, reason: error.message, offending };
  }
}

function sweep(history: readonly HistoryOperation[]): void {
  const writes = history.filter((operation) => operation.type === 'write');
  const reads = history.filter((operation) => operation.type === 'read');
  const observations: Observation[] = reads.map(observationOfRead);
  for (const write of writes) observeCondition(write, observations);

  const byRevision = placeKnownWrites(writes);
  const placedOpen = placeSeenOpenWrites(writes, observations, byRevision);
  for (const { operation, revision } of byRevision.values()) {
    if (operation.outcome === 'unknown') addCondition(operation, revision, observations);
  }
  const timeline = new Timeline(reads, writes);
  placeByRevisionOnly(writes, observations, byRevision, placedOpen, timeline);

  checkRealTime(reads, byRevision, timeline);
  const gaps = checkObservations(observations, byRevision);
  const open = openDeletions(writes, placedOpen, timeline);
  const unexplained = placeOpenDeletions(gaps, open, byRevision);
  if (unexplained !== null) {
    const { put, absence } = unexplained;
    throw new Violation(
      `${describeOperation(absence)} although ${describeOperation(put)} was the latest write of the key and nobody deleted it`,
      [put, absence],
    );
  }
}

function observationOfRead(read: ReadOperation): Observation {
  const { key, head, entryRevision, value } = read;
  if (entryRevision === null && typeof value === 'string') {
    throw new Violation(`operation ${read.id} read ${value} in ${key}, but no entry`, [read]);
  }
  if (entryRevision !== null && entryRevision > head) {
    throw new Violation(
      `${describeOperation(read)} at an older revision of the store than that of the entry itself`,
      [read],
    );
  }
  return { operation: read, key, head, entryRevision, value };
}

function observeCondition(write: WriteOperation, observations: Observation[]): void {
  if (write.outcome !== 'done') return;
  assert(write.revision !== null, `operation ${write.id} is done but has no revision`);
  addCondition(write, write.revision, observations);
}

function addCondition(write: WriteOperation, revision: number, observations: Observation[]): void {
  const { key, replaced } = write;
  if (replaced === undefined) return;
  const value = replaced === null ? null : undefined;
  observations.push({ operation: write, key, head: revision - 1, entryRevision: replaced, value });
}

function placeKnownWrites(writes: readonly WriteOperation[]): Map<number, PlacedWrite> {
  const byRevision = new Map<number, PlacedWrite>();
  for (const write of writes) {
    if (write.outcome !== 'none' && write.revision !== null) place(byRevision, write, write.revision);
  }
  return byRevision;
}

function place(byRevision: Map<number, PlacedWrite>, write: WriteOperation, revision: number): void {
  const other = byRevision.get(revision)?.operation;
  if (other !== undefined) {
    throw new Violation(
      `${describeOperation(write)} and ${describeOperation(other)}: both at revision ${revision}`,
      [write, other],
    );
  }
  byRevision.set(revision, { operation: write, revision });
}

/**
 * An open write whose value somebody saw did take effect, at the revision that the observer saw. Returns the open writes that did,
 * with their revisions.
 */
function placeSeenOpenWrites(
  writes: readonly WriteOperation[],
  observations: readonly Observation[],
  byRevision: Map<number, PlacedWrite>,
): Map<WriteOperation, number> {
  const writerOf = new Map<string, WriteOperation>();
  for (const write of writes) {
    if (write.value === null) continue;
    assert(!writerOf.has(write.value), `value ${write.value} is written twice: values must be unique`);
    writerOf.set(write.value, write);
  }
  const placedOpen = new Map<WriteOperation, number>();
  for (const { operation, revision } of byRevision.values()) {
    if (operation.outcome === 'unknown') placedOpen.set(operation, revision);
  }
  for (const seen of observations) {
    if (seen.value === null || seen.value === undefined || seen.entryRevision === null) continue;
    const writer = writerOf.get(seen.value);
    if (writer === undefined || writer.key !== seen.key) {
      throw new Violation(`${describeOperation(seen.operation)}, which nobody wrote to ${seen.key}`, [
        seen.operation,
      ]);
    }
    if (writer.outcome === 'none') {
      throw new Violation(`${describeOperation(seen.operation)}, but ${describeOperation(writer)}`, [
        writer,
        seen.operation,
      ]);
    }
    const at = writer.revision ?? placedOpen.get(writer);
    if (at === undefined) {
      place(byRevision, writer, seen.entryRevision);
      placedOpen.set(writer, seen.entryRevision);
    } else if (at !== seen.entryRevision) {
      throw new Violation(
        `${describeOperation(seen.operation)} at revision ${seen.entryRevision}, but ${describeOperation(writer)} was at revision ${at}: ` +
          'applied twice, or answered with a wrong revision',
        [writer, seen.operation],
      );
    }
  }
  return placedOpen;
}

/**
 * A revision was seen without its value: some open write of the key must be there, invoked early enough. Which of several it
 * was is not known and not asked (its condition is not held against it): here the checker may acquit, never convict, too often.
 * What may serve one revision may serve every higher one, so from the lowest up any will do.
 */
function placeByRevisionOnly(
  writes: readonly WriteOperation[],
  observations: readonly Observation[],
  byRevision: Map<number, PlacedWrite>,
  placedOpen: Map<WriteOperation, number>,
  timeline: Timeline,
): void {
  const missing = observations
    .filter((seen) => seen.entryRevision !== null && !byRevision.has(seen.entryRevision))
    .sort((left, right) => (left.entryRevision ?? 0) - (right.entryRevision ?? 0));
  if (missing.length === 0) return;
  const candidates = writes.filter(
    (write) => write.outcome === 'unknown' && write.value !== null && !placedOpen.has(write),
  );
  for (const seen of missing) {
    const at = seen.entryRevision;
    if (at === null || byRevision.has(at)) continue;
    const index = candidates.findIndex(
      ({ key, replaced, invokedAt }) =>
        key === seen.key && Math.max(replaced ?? 0, timeline.revisionBefore(invokedAt)) < at,
    );
    const write = candidates[index];
    if (write === undefined) {
      throw new Violation(`${describeOperation(seen.operation)}, but nobody wrote at revision ${at}`, [
        seen.operation,
      ]);
    }
    candidates.splice(index, 1);
    place(byRevision, write, at);
    placedOpen.set(write, at);
  }
}

/** 2r for the write of revision r, 2h+1 for a read at head h. */
interface Point {
  readonly operation: HistoryOperation;
  readonly point: number;
}

/** What had been completed when: the running maximum of the points of all operations that were ever completed. */
class Timeline {
  /** Ascending. */
  readonly #completedAt: Float64Array;
  /** By position in `#completedAt`: the highest point of what was completed by then, and whose it is. */
  readonly #points: Float64Array;
  readonly #owners: HistoryOperation[];

  constructor(reads: readonly ReadOperation[], writes: readonly WriteOperation[]) {
    const acknowledged = writes.filter(
      ({ outcome, revision, completedAt }) => outcome === 'done' && revision !== null && completedAt !== null,
    );
    const completed: HistoryOperation[] = [...reads, ...acknowledged];
    // Numbers sort many times faster than operations; where each operation stands among them is then looked up.
    this.#completedAt = Float64Array.from(completed, ({ completedAt }) => completedAt ?? Infinity).sort();
    this.#points = new Float64Array(completed.length);
    this.#owners = [...completed];
    for (const operation of completed) {
      const point = operation.type === 'read' ? 2 * operation.head + 1 : 2 * (operation.revision ?? 0);
      this.#raise(this.#countBefore(operation.completedAt ?? Infinity), point, operation);
    }
    for (let position = 1; position < completed.length; position += 1) {
      const owner = this.#owners[position - 1];
      assert(owner !== undefined);
      this.#raise(position, this.#points[position - 1] ?? 0, owner);
    }
  }

  #raise(position: number, point: number, owner: HistoryOperation): void {
    if ((this.#points[position] ?? 0) > point) return;
    this.#points[position] = point;
    this.#owners[position] = owner;
  }

  /** How many operations were completed strictly before. */
  #countBefore(time: number): number {
    let low = 0;
    let high = this.#completedAt.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#completedAt[middle] ?? Infinity) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Was anything completed strictly before that stands after this point? What stands furthest, if so. */
  completedBeyond(point: number, time: number): HistoryOperation | undefined {
    const position = this.#countBefore(time) - 1;
    return (this.#points[position] ?? 0) > point ? this.#owners[position] : undefined;
  }

  /** A write that was invoked then can only have taken effect above this revision. */
  revisionBefore(time: number): number {
    return Math.floor((this.#points[this.#countBefore(time) - 1] ?? 0) / 2);
  }
}

/** Nothing that was invoked after another operation completed may stand before it. */
function checkRealTime(
  reads: readonly ReadOperation[],
  byRevision: ReadonlyMap<number, PlacedWrite>,
  timeline: Timeline,
): void {
  for (const read of reads) checkPoint({ operation: read, point: 2 * read.head + 1 }, timeline);
  for (const { operation, revision } of byRevision.values()) {
    checkPoint({ operation, point: 2 * revision }, timeline);
  }
}

function checkPoint({ operation, point }: Point, timeline: Timeline): void {
  const before = timeline.completedBeyond(point, operation.invokedAt);
  if (before === undefined) return;
  throw new Violation(
    `${describeOperation(operation)} although it was invoked after this had completed: ${describeOperation(before)}`,
    [before, operation],
  );
}

/** Each observation must name the latest write of its key; what looks like an unacknowledged deletion is returned. */
function checkObservations(
  observations: readonly Observation[],
  byRevision: ReadonlyMap<number, PlacedWrite>,
): AbsenceGap[] {
  const byKey = writesByKey(byRevision);
  interface Sightings {
    readonly put: PlacedWrite;
    lastPresent: Observation | null;
    firstAbsent: Observation | null;
  }
  const sightings = new Map<number, Sightings>();
  for (const seen of observations) {
    const latest = latestAtOrBelow(byKey.get(seen.key) ?? [], seen.head);
    checkObservation(seen, latest, byRevision);
    if (latest === undefined || latest.operation.value === null) continue;
    const sighting = sightings.get(latest.revision) ?? { put: latest, lastPresent: null, firstAbsent: null };
    sightings.set(latest.revision, sighting);
    if (seen.entryRevision === null) {
      if (seen.head < (sighting.firstAbsent?.head ?? Infinity)) sighting.firstAbsent = seen;
    } else if (seen.head > (sighting.lastPresent?.head ?? -1)) {
      sighting.lastPresent = seen;
    }
  }
  const gaps: AbsenceGap[] = [];
  for (const { put, lastPresent, firstAbsent } of sightings.values()) {
    if (firstAbsent === null) continue;
    if (lastPresent !== null && lastPresent.head >= firstAbsent.head) {
      throw new Violation(
        `${describeOperation(lastPresent.operation)}, but already earlier ${describeOperation(firstAbsent.operation)}`,
        [firstAbsent.operation, lastPresent.operation],
      );
    }
    const after = Math.max(put.revision, lastPresent?.head ?? 0);
    gaps.push({
      key: put.operation.key,
      put: put.operation,
      putRevision: put.revision,
      absence: firstAbsent.operation,
      after,
      through: firstAbsent.head,
    });
  }
  return gaps;
}

function checkObservation(
  seen: Observation,
  latest: PlacedWrite | undefined,
  byRevision: ReadonlyMap<number, PlacedWrite>,
): void {
  const { operation, entryRevision } = seen;
  if (entryRevision === null) return;
  const named = byRevision.get(entryRevision);
  assert(named !== undefined, 'each revision that was seen has been placed');
  const written = named.operation;
  if (written.key !== seen.key || written.value === null) {
    throw new Violation(`${describeOperation(operation)}, but ${describeOperation(written)}`, [
      written,
      operation,
    ]);
  }
  if (seen.value !== undefined && seen.value !== written.value) {
    throw new Violation(`${describeOperation(operation)}, but ${describeOperation(written)}`, [
      written,
      operation,
    ]);
  }
  if (latest === undefined || latest.revision < entryRevision) {
    throw new Violation(`${describeOperation(operation)}, before ${describeOperation(written)} took effect`, [
      written,
      operation,
    ]);
  }
  if (latest.revision > entryRevision) {
    throw new Violation(
      `${describeOperation(operation)}, but a newer write was in force: ${describeOperation(latest.operation)}`,
      [latest.operation, operation],
    );
  }
}

function writesByKey(byRevision: ReadonlyMap<number, PlacedWrite>): Map<string, PlacedWrite[]> {
  const byKey = new Map<string, PlacedWrite[]>();
  for (const revision of Float64Array.from(byRevision.keys()).sort()) {
    const write = byRevision.get(revision);
    assert(write !== undefined);
    const writes = byKey.get(write.operation.key);
    if (writes === undefined) byKey.set(write.operation.key, [write]);
    else writes.push(write);
  }
  return byKey;
}

function latestAtOrBelow(writes: readonly PlacedWrite[], head: number): PlacedWrite | undefined {
  let low = 0;
  let high = writes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const write = writes[middle];
    assert(write !== undefined);
    if (write.revision <= head) low = middle + 1;
    else high = middle;
  }
  return writes[low - 1];
}

function openDeletions(
  writes: readonly WriteOperation[],
  placedOpen: ReadonlyMap<WriteOperation, number>,
  timeline: Timeline,
): OpenDeletion[] {
  return writes
    .filter((write) => write.outcome === 'unknown' && write.value === null && !placedOpen.has(write))
    .map((operation) => ({ operation, after: timeline.revisionBefore(operation.invokedAt) }));
}
