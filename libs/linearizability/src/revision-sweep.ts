import assert from 'node:assert/strict';
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
  const observations = [...reads.map(observationOfRead), ...writes.flatMap(observationOfCondition)];

  const byRevision = placeKnownWrites(writes);
  placeSeenOpenWrites(writes, observations, byRevision);
  observations.push(
    ...[...byRevision.values()].flatMap(({ operation, revision }) =>
      operation.outcome === 'unknown' ? conditionAt(operation, revision) : [],
    ),
  );
  const timeline = new Timeline(reads, writes);
  placeByRevisionOnly(writes, observations, byRevision, timeline);

  checkRealTime(reads, [...byRevision.values()], timeline);
  const gaps = checkObservations(observations, byRevision);
  const open = openDeletions(writes, byRevision, timeline);
  const taken = new Set(byRevision.keys());
  const unexplained = placeOpenDeletions(gaps, open, taken);
  if (unexplained !== null) {
    const { put, absence } = unexplained;
    throw new Violation(
      `${describe(absence)} although ${describe(put)} was the latest write of the key and nobody deleted it`,
      [put, absence],
    );
  }
}

function observationOfRead(read: ReadOperation): Observation {
  const { key, head, entryRevision, value } = read;
  if (entryRevision !== null && entryRevision > head) {
    throw new Violation(`${describe(read)} at an older revision of the store than that of the entry itself`, [
      read,
    ]);
  }
  return { operation: read, key, head, entryRevision, value };
}

function observationOfCondition(write: WriteOperation): Observation[] {
  if (write.outcome !== 'done') return [];
  assert(write.revision !== null, `operation ${write.id} is done but has no revision`);
  return conditionAt(write, write.revision);
}

function conditionAt(write: WriteOperation, revision: number): Observation[] {
  if (write.replaced === undefined) return [];
  const value = write.replaced === null ? null : undefined;
  return [{ operation: write, key: write.key, head: revision - 1, entryRevision: write.replaced, value }];
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
    throw new Violation(`${describe(write)} and ${describe(other)}: both at revision ${revision}`, [
      write,
      other,
    ]);
  }
  byRevision.set(revision, { operation: write, revision });
}

/** An open write whose value somebody saw did take effect, at the revision that the observer saw. */
function placeSeenOpenWrites(
  writes: readonly WriteOperation[],
  observations: readonly Observation[],
  byRevision: Map<number, PlacedWrite>,
): void {
  const writerOf = new Map<string, WriteOperation>();
  for (const write of writes) {
    if (write.value === null) continue;
    assert(!writerOf.has(write.value), `value ${write.value} is written twice: values must be unique`);
    writerOf.set(write.value, write);
  }
  const placed = new Map<WriteOperation, number>();
  for (const { operation, revision } of byRevision.values()) placed.set(operation, revision);
  for (const seen of observations) {
    if (seen.value === null || seen.value === undefined || seen.entryRevision === null) continue;
    const writer = writerOf.get(seen.value);
    if (writer === undefined || writer.key !== seen.key) {
      throw new Violation(`${describe(seen.operation)}, which nobody wrote to ${seen.key}`, [seen.operation]);
    }
    if (writer.outcome === 'none') {
      throw new Violation(`${describe(seen.operation)}, but ${describe(writer)}`, [writer, seen.operation]);
    }
    const at = placed.get(writer);
    if (at === undefined) {
      place(byRevision, writer, seen.entryRevision);
      placed.set(writer, seen.entryRevision);
    } else if (at !== seen.entryRevision) {
      throw new Violation(
        `${describe(seen.operation)} at revision ${seen.entryRevision}, but ${describe(writer)} was at revision ${at}: ` +
          'applied twice, or answered with a wrong revision',
        [writer, seen.operation],
      );
    }
  }
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
  timeline: Timeline,
): void {
  const missing = observations
    .filter((seen) => seen.entryRevision !== null && !byRevision.has(seen.entryRevision))
    .sort((left, right) => (left.entryRevision ?? 0) - (right.entryRevision ?? 0));
  if (missing.length === 0) return;
  const placed = new Set([...byRevision.values()].map(({ operation }) => operation));
  const candidates = writes.filter(
    (write) => write.outcome === 'unknown' && write.value !== null && !placed.has(write),
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
      throw new Violation(`${describe(seen.operation)}, but nobody wrote at revision ${at}`, [
        seen.operation,
      ]);
    }
    candidates.splice(index, 1);
    place(byRevision, write, at);
  }
}

interface Point {
  readonly operation: HistoryOperation;
  /** 2r for the write of revision r, 2h+1 for a read at head h. */
  readonly point: number;
  readonly completedAt: number;
}

/** What had been completed when: the running maximum of the points of all operations that were ever completed. */
class Timeline {
  readonly #completions: readonly Point[];
  readonly #highest: readonly Point[];

  constructor(reads: readonly ReadOperation[], writes: readonly WriteOperation[]) {
    const completions: Point[] = reads.map((read) => pointOfRead(read));
    for (const operation of writes) {
      const { outcome, revision, completedAt } = operation;
      if (outcome !== 'done' || revision === null || completedAt === null) continue;
      completions.push({ operation, point: 2 * revision, completedAt });
    }
    this.#completions = completions.sort((left, right) => left.completedAt - right.completedAt);
    const highest: Point[] = [];
    for (const completion of this.#completions) {
      const before = highest.at(-1);
      highest.push(before !== undefined && before.point >= completion.point ? before : completion);
    }
    this.#highest = highest;
  }

  /** Of all that was completed strictly before, what stands furthest. */
  highestBefore(time: number): Point | undefined {
    let low = 0;
    let high = this.#completions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const completion = this.#completions[middle];
      assert(completion !== undefined);
      if (completion.completedAt < time) low = middle + 1;
      else high = middle;
    }
    return this.#highest[low - 1];
  }

  /** A write that was invoked then can only have taken effect above this revision. */
  revisionBefore(time: number): number {
    return Math.floor((this.highestBefore(time)?.point ?? 0) / 2);
  }
}

function pointOfRead(operation: ReadOperation): Point {
  return { operation, point: 2 * operation.head + 1, completedAt: operation.completedAt };
}

/** Nothing that was invoked after another operation completed may stand before it. */
function checkRealTime(
  reads: readonly ReadOperation[],
  writes: readonly PlacedWrite[],
  timeline: Timeline,
): void {
  const points = [
    ...reads.map((read) => ({ operation: read, point: 2 * read.head + 1 })),
    ...writes.map(({ operation, revision }) => ({ operation, point: 2 * revision })),
  ];
  for (const { operation, point } of points) {
    const before = timeline.highestBefore(operation.invokedAt);
    if (before !== undefined && before.point > point) {
      throw new Violation(
        `${describe(operation)} although it was invoked after this had completed: ${describe(before.operation)}`,
        [before.operation, operation],
      );
    }
  }
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
        `${describe(lastPresent.operation)}, but already earlier ${describe(firstAbsent.operation)}`,
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
    throw new Violation(`${describe(operation)}, but ${describe(written)}`, [written, operation]);
  }
  if (seen.value !== undefined && seen.value !== written.value) {
    throw new Violation(`${describe(operation)}, but ${describe(written)}`, [written, operation]);
  }
  if (latest === undefined || latest.revision < entryRevision) {
    throw new Violation(`${describe(operation)}, before ${describe(written)} took effect`, [
      written,
      operation,
    ]);
  }
  if (latest.revision > entryRevision) {
    throw new Violation(
      `${describe(operation)}, but a newer write was in force: ${describe(latest.operation)}`,
      [latest.operation, operation],
    );
  }
}

function writesByKey(byRevision: ReadonlyMap<number, PlacedWrite>): Map<string, PlacedWrite[]> {
  const byKey = new Map<string, PlacedWrite[]>();
  for (const write of [...byRevision.values()].sort((left, right) => left.revision - right.revision)) {
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
  byRevision: ReadonlyMap<number, PlacedWrite>,
  timeline: Timeline,
): OpenDeletion[] {
  const placed = new Set([...byRevision.values()].map(({ operation }) => operation));
  return writes
    .filter((write) => write.outcome === 'unknown' && write.value === null && !placed.has(write))
    .map((operation) => ({ operation, after: timeline.revisionBefore(operation.invokedAt) }));
}

function describe(operation: HistoryOperation): string {
  const { id, key } = operation;
  if (operation.type === 'read') {
    const { value, entryRevision, head } = operation;
    const seen = entryRevision === null ? 'nothing' : `${value ?? 'an entry'} of revision ${entryRevision}`;
    return `operation ${id} read ${seen} in ${key} at head ${head}`;
  }
  const what = operation.value === null ? `deleted ${key}` : `wrote ${operation.value} to ${key}`;
  switch (operation.outcome) {
    case 'done':
      return `operation ${id} ${what} at revision ${operation.revision}`;
    case 'none':
      return `operation ${id} (it would have: ${what}) was refused as having no effect`;
    case 'unknown':
      return `operation ${id} with unknown outcome ${what}`;
  }
}
