import { consistencyAnswerSchema, type ConsistencyAnswer } from '@quorate/api';
import { table } from './cluster-commands.js';
import { send } from './rest.js';
import type { GatewayAccess } from './rest.js';

/** Of the plot, in characters. */
const BAR_LENGTH_MAX = 40;

type Delay = ConsistencyAnswer['visibility']['sinceSent'];

/** Prints what a gateway measures of its own consistency. */
export async function consistency(access: GatewayAccess): Promise<readonly string[]> {
  const answer = await send(access, { method: 'GET', path: '/v1/consistency' });
  return consistencyLines(consistencyAnswerSchema.parse(JSON.parse(answer.text)));
}

/** A summary, the plot of visibility, and tables of audit, reads and events. docs/consistency.md explains each number. */
export function consistencyLines(answer: ConsistencyAnswer): readonly string[] {
  return [
    cacheLine(answer),
    '',
    ...visibilityLines(answer),
    '',
    ...auditLines(answer),
    '',
    ...readLines(answer),
    servedLine(answer),
    '',
    eventLine(answer),
  ];
}

function cacheLine({ cache }: ConsistencyAnswer): string {
  const bound =
    cache.stalenessMs === null ? 'of unknown age' : `at most ${Math.ceil(cache.stalenessMs)} ms old`;
  const lag = cache.lag === null ? '' : `, ${cache.lag} behind`;
  const quorum = cache.quorum ? 'sees a quorum' : 'sees NO QUORUM';
  return `cache of this gateway: ${cache.state}, revision ${cache.revision ?? 'none'}${lag}, ${bound}, ${quorum}`;
}

/** The share of writes that were visible after so long. The bar is of the span that is never too short. */
function visibilityLines({ visibility }: ConsistencyAnswer): readonly string[] {
  const { sinceAcknowledged, sinceSent, waiting, waitingOldestMs, dropped } = visibility;
  if (sinceSent.count === 0) return ['own writes: none was measured yet', ...waitingLines(visibility)];
  const row = (name: string, { p50Ms, p99Ms, p999Ms, maxMs }: Delay): readonly string[] => [
    name,
    ...[p50Ms, p99Ms, p999Ms, maxMs].map(milliseconds),
  ];
  const points = upToAll(sinceSent).map(({ withinMs, share }) => {
    const known = sinceAcknowledged.points.find((point) => point.withinMs === withinMs);
    return [`${withinMs} ms`, percent(known?.share ?? 0), percent(share), bar(share)];
  });
  return [
    `own writes until they are visible here, ${sinceSent.count} measured${dropped > 0 ? `, ${dropped} given up` : ''}`,
    ...table([
      ['', 'p50', 'p99', 'p99.9', 'max'],
      row('since acknowledged', sinceAcknowledged),
      row('since sent', sinceSent),
    ]),
    ...(waiting > 0 ? waitingLines({ waiting, waitingOldestMs }) : []),
    '',
    ...table([['within', 'since acknowledged', 'since sent'], ...points]),
  ];
}

function waitingLines({
  waiting,
  waitingOldestMs,
}: {
  readonly waiting: number;
  readonly waitingOldestMs: number | null;
}): readonly string[] {
  if (waiting === 0) return [];
  return [`not visible yet: ${waiting}, the oldest for ${milliseconds(waitingOldestMs)}`];
}

/** Up to the first limit within which everything was visible: behind it nothing is to be seen. */
function upToAll({ points }: Delay): Delay['points'] {
  const end = points.findIndex(({ share }) => share === 1);
  return end === -1 ? points : points.slice(0, end + 1);
}

function auditLines({ audit }: ConsistencyAnswer): readonly string[] {
  const { sampleEvery, samplesUnderWay, skipped, windows } = audit;
  const rows = windows.map(({ afterMs, results, nines }) =>
    [
      `${afterMs / 1000} s`,
      results.ok,
      results.stale,
      results.wrong,
      results.absent,
      results.refused,
      nines ?? '-',
    ].map(String),
  );
  const wrong = windows.reduce((sum, { results }) => sum + results.wrong, 0);
  return [
    `audit of one in ${sampleEvery} of them: ${samplesUnderWay} under way, ${skipped} skipped`,
    ...table([['after', 'ok', 'stale', 'wrong', 'absent', 'refused', 'nines'], ...rows]),
    ...(wrong > 0 ? [`ALARM ${wrong} times the cache showed less than it claimed to have: report it`] : []),
  ];
}

function readLines({ reads }: ConsistencyAnswer): readonly string[] {
  const levels = ['eventual', 'bounded', 'session', 'linearizable'] as const;
  const rows = levels.map((level) => [
    level,
    ...[reads.cache[level], reads.store[level], reads.refused[level]].map(String),
  ]);
  return table([['reads', 'cache', 'store', 'refused'], ...rows]);
}

function servedLine({ stalenessServed }: ConsistencyAnswer): string {
  const { p50Ms, p99Ms, maxMs, unknown } = stalenessServed;
  const known = `p50 ${milliseconds(p50Ms)}, p99 ${milliseconds(p99Ms)}, max ${milliseconds(maxMs)}`;
  return `bounds stated below linearizable: ${known}, unknown ${unknown} times`;
}

function eventLine({ counters }: ConsistencyAnswer): string {
  const { hits, misses, fallbacks, gaps, resyncs } = counters;
  const reasons = Object.entries(resyncs).map(([reason, count]) => `${reason} ${count}`);
  return `hits ${hits}, misses ${misses}, fallbacks ${fallbacks}, gaps ${gaps}, resyncs: ${reasons.join(', ')}`;
}

function milliseconds(ms: number | null): string {
  return ms === null ? '-' : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** Rounded down: what is not all is not said to be. */
function percent(share: number): string {
  return `${(Math.floor(share * 10_000) / 100).toFixed(2)} %`;
}

function bar(share: number): string {
  return '#'.repeat(Math.floor(share * BAR_LENGTH_MAX));
}
