import { median } from './measure.js';
import type { Peer } from './servers/peer.js';
import type { Point } from './point.js';
import { FAULTS } from './refusal.js';
import { type Results, grouped } from './results.js';
import { figure, table } from './tables.js';

function microseconds(us: number): string {
  return Math.abs(us) < 1_000 ? `${figure(us)} us` : `${figure(us / 1_000)} ms`;
}

function mebibytes(bytes: number): string {
  return String(Math.round(bytes / 1024 / 1024));
}

/** Every figure that was measured, medians of the repetitions. */
export function detailTables(results: Results): string[] {
  return [
    pointTable('closed loops', results.throughput, ({ clients }) => `${clients}`, 'clients'),
    visibilityTable(results),
    refusalTable(results),
    failoverTable(results),
    stateTable(results),
    pointTable(
      'cost: cluster size, value size, number of keys',
      results.costs,
      ({ servers, valueBytes, keys }) => `${servers} x ${valueBytes} B x ${keys}`,
      'servers x value x keys',
    ),
  ].filter((text) => text !== '');
}

function pointTable(
  title: string,
  points: readonly Point[],
  settingOf: (point: Point) => string,
  settingTitle: string,
): string {
  if (points.length === 0) return '';
  const groups = grouped(points, (point) =>
    [point.operation, settingOf(point), point.title, point.client].join('|'),
  );
  const order = ['put', 'read', 'nearRead', 'check'];
  const rows = groups
    .toSorted(([one], [other]) => order.indexOf(one?.operation ?? '') - order.indexOf(other?.operation ?? ''))
    .flatMap((of) => {
      const [first] = of;
      if (first === undefined) return [];
      const middle = (figureOf: (point: Point) => number): number => median(of.map(figureOf));
      const rates = of.map(({ operationsPerSecond }) => operationsPerSecond);
      const failures = of.reduce(
        (sum, point) => sum + Object.values(point.failures).reduce((a, b) => a + b, 0),
        0,
      );
      return [
        [
          first.operation,
          settingOf(first),
          first.title,
          first.client,
          figure(median(rates)),
          `${figure(Math.min(...rates))}-${figure(Math.max(...rates))}`,
          microseconds(middle(({ p50Us }) => p50Us)),
          microseconds(middle(({ p99Us }) => p99Us)),
          figure(middle(({ serverCpuPer10k }) => serverCpuPer10k)),
          figure(middle(({ clientCpuPer10k }) => clientCpuPer10k)),
          figure(middle(({ foreignCores }) => foreignCores)),
          String(failures),
        ],
      ];
    });
  const head = [
    'operation',
    settingTitle,
    'product',
    'client',
    '/s',
    'min-max',
    'p50',
    'p99',
    'servers CPU s/10k',
    'client CPU s/10k',
    'foreign cores',
    'failures',
  ];
  return `### ${title}\n\n${table(head, rows)}`;
}

function visibilityTable({ visibility }: Results): string {
  if (visibility.length === 0) return '';
  const rows = grouped(visibility, ({ title, way }) => `${title}|${way}`).map((of) => {
    const middle = (figureOf: (one: (typeof of)[number]) => number): string =>
      microseconds(median(of.map(figureOf)));
    return [
      of[0]?.title ?? '',
      of[0]?.way ?? '',
      middle((one) => one.acknowledgedP50Us),
      middle((one) => one.acknowledgedP99Us),
      middle((one) => one.acknowledgedMaxUs),
      middle((one) => one.sentP50Us),
      middle((one) => one.sentP99Us),
      String(of.reduce((sum, { missing, failed }) => sum + missing + failed, 0)),
    ];
  });
  const head = [
    'product',
    'seen by',
    'acknowledged to seen p50',
    'p99',
    'max',
    'sent to seen p50',
    'p99',
    'not seen',
  ];
  return `### visibility of a write\n\n${table(head, rows)}`;
}

function refusalTable({ refusals }: Results): string {
  if (refusals.length === 0) return '';
  const keyOf = (one: (typeof refusals)[number]): string =>
    [one.title, one.client, one.operation, one.fault].join('|');
  const rows = grouped(refusals, keyOf).flatMap((of) => {
    const [first] = of;
    if (first === undefined) return [];
    return [
      [
        first.title,
        first.client,
        first.operation,
        FAULTS[first.fault],
        `${figure(median(of.map(({ firstMs }) => firstMs)))} ms`,
        excerpt(first.first),
        `${figure(median(of.map(({ laterMs }) => laterMs)))} ms`,
        excerpt(first.later),
      ],
    ];
  });
  const head = ['product', 'client', 'operation', 'others', 'first answer', 'which', 'later', 'which'];
  return `### without quorum, the old leader left alone\n\n${table(head, rows)}`;
}

function failoverTable({ failovers }: Results): string {
  if (failovers.length === 0) return '';
  const rows = grouped(failovers, ({ fault }) => fault).map((of) => {
    const gaps = of.map(({ gapMs }) => gapMs);
    const unknown = of.reduce((sum, one) => sum + one.unknown, 0);
    return [
      of[0]?.fault ?? '',
      figure(median(gaps)),
      figure(Math.max(...gaps)),
      String(of.length),
      String(unknown),
    ];
  });
  const head = ['the leader gets', 'writes stand still, ms', 'at most', 'trials', 'outcomes unknown'];
  return `### failover, 64 writers\n\n${table(head, rows)}`;
}

function excerpt(text: string): string {
  return text.replaceAll(/[\s|]+/g, ' ').slice(0, 60);
}

function stateTable({ states }: Results): string {
  if (states.length === 0) return '';
  const rows = states.map((one) => [
    one.title,
    one.entries.toLocaleString('en-US'),
    figure(one.loadSeconds),
    one.loaded.map(({ resident }) => mebibytes(resident)).join(' / '),
    one.loaded.map(({ anonymous }) => mebibytes(anonymous)).join(' / '),
    one.empty.map(({ resident }) => mebibytes(resident)).join(' / '),
    figure(one.restartMs),
    mebibytes(one.restarted.resident),
  ]);
  const head = [
    'product',
    'entries',
    'load s',
    'MiB each',
    'of it anonymous',
    'MiB empty',
    'restart ms',
    'MiB then',
  ];
  return `### memory and restart\n\n${table(head, rows)}`;
}

/** Which peers keep what they acknowledge, and whose reads are linearizable. */
export function promiseTable(peers: readonly Peer[], oursTitle: string): string {
  const own = [oursTitle, 'on the disks of a majority (log synced, batched)', 'linearizable (ReadIndex)'];
  const rows = peers.map(({ title, durability, reads }) => [title, durability, reads]);
  const head = ['product', 'an acknowledged write is', 'its strongest read ("read" below) is'];
  return `### who promises what\n\n${table(head, [own, ...rows])}`;
}
