import type { Chronicle } from '../chronicle.js';
import { describeRead, type CacheReadRecord } from '../gateway.js';
import type { ClientOperation } from '../history.js';
import { CACHED_NAMESPACE } from '../traffic.js';
import type { World } from '../world.js';

/** A revision that some client had been told of by a certain time. */
interface Acknowledged {
  readonly atMs: number;
  readonly revision: number;
}

/**
 * What a gateway's cache may say. Never strict data. What it shows is the state of the key at the revision that it names, nothing
 * mixed. A stated staleness is never too small: every write of cached data that was acknowledged before then is in it. A bounded answer
 * keeps its bound, a session its revision, and a linearizable answer has everything acknowledged before it was asked.
 * One process never shows an older revision than it has shown.
 */
export function checkCacheReads(
  world: World,
  reads: readonly CacheReadRecord[],
  operations: readonly ClientOperation[],
  chronicle: Chronicle,
): void {
  const acknowledged = acknowledgedByTime(operations);
  const shown = new Map<string, CacheReadRecord>();
  for (const read of reads) {
    const { outcome } = read;
    if (outcome.type !== 'hit') continue;
    if (read.namespace !== CACHED_NAMESPACE) {
      world.violation('strict data is never cached', describeRead(read));
    }
    checkContent(world, read, outcome.entry?.revision ?? null, outcome.revision, chronicle);
    checkLevel(world, read, outcome, acknowledged);
    const life = `${read.gateway}/${read.process}`;
    const before = shown.get(life)?.outcome;
    if (before?.type === 'hit' && before.revision > outcome.revision) {
      world.violation(
        'a cache never goes back',
        `${describeRead(read)}, after it had shown revision ${before.revision}`,
      );
    }
    shown.set(life, read);
  }
}

function checkContent(
  world: World,
  read: CacheReadRecord,
  entryRevision: number | null,
  watermark: number,
  chronicle: Chronicle,
): void {
  const latest = chronicle.latest(read.namespace, read.key, watermark);
  const expected = latest === null || latest.value === null ? null : latest;
  if ((expected?.revision ?? null) !== entryRevision || (expected?.value ?? null) !== read.value) {
    world.violation(
      'a cache shows what was',
      `${describeRead(read)}; at that revision the store had ${expected === null ? 'nothing' : `${expected.value} of ${expected.revision}`}`,
    );
  }
}

function checkLevel(
  world: World,
  read: CacheReadRecord,
  hit: CacheReadRecord['outcome'] & { readonly type: 'hit' },
  acknowledged: readonly Acknowledged[],
): void {
  const { level, minRevision } = read;
  const { stalenessMs, revision } = hit;
  if (minRevision !== null && revision < minRevision) {
    world.violation('a session never goes back', describeRead(read));
  }
  if (level.type === 'bounded' && (stalenessMs === null || stalenessMs > level.boundMs)) {
    world.violation('a bound is kept', `${describeRead(read)}, bound ${level.boundMs} ms`);
  }
  const asOf: number[] = [];
  if (stalenessMs !== null) asOf.push(read.answeredMs - stalenessMs / read.clockRate);
  if (level.type === 'linearizable') asOf.push(read.invokedMs);
  for (const atMs of asOf) {
    const needed = newestBefore(acknowledged, atMs);
    if (needed > revision) {
      world.violation(
        level.type === 'linearizable' ? 'linearizable means now' : 'staleness is never understated',
        `${describeRead(read)}: revision ${needed} had been acknowledged before ${atMs.toFixed(1)} ms`,
      );
    }
  }
}

function acknowledgedByTime(operations: readonly ClientOperation[]): Acknowledged[] {
  const writes = operations
    .flatMap(({ namespace, outcome, revision, completedMs }) =>
      namespace === CACHED_NAMESPACE && outcome === 'done' && revision !== null && completedMs !== null
        ? [{ atMs: completedMs, revision }]
        : [],
    )
    .sort((one, other) => one.atMs - other.atMs);
  let highest = 0;
  return writes.map(({ atMs, revision }) => {
    highest = Math.max(highest, revision);
    return { atMs, revision: highest };
  });
}

function newestBefore(acknowledged: readonly Acknowledged[], atMs: number): number {
  let low = 0;
  let high = acknowledged.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((acknowledged[middle]?.atMs ?? Infinity) < atMs) low = middle + 1;
    else high = middle;
  }
  return acknowledged[low - 1]?.revision ?? 0;
}
