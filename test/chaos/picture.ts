import { numberOf } from './expectations.js';
import type { FaultSpan, Operation, Tier } from './operation.js';
import type { ChaosResult } from './run.js';

const [WIDTH, LEFT, RIGHT, TOP] = [1_120, 150, 60, 52];
const CHART = WIDTH - LEFT - RIGHT;
const [FAULT_ROW, LANE, GAP, LATENCY] = [18, 66, 14, 96];
/** More columns than this cannot be told apart. */
const COLUMNS_MAX = 240;
const FAULT_ROWS_MAX = 8;
/** About so many pixels of a letter at this size. */
const LETTER = 5.9;

/** What became of an operation, in the order in which a bar is stacked. */
const FATES = ['answered', 'decided', 'beyond', 'refused', 'unknown', 'silent'] as const;
type Fate = (typeof FATES)[number];

const FATE_WORDS: Readonly<Record<Fate, string>> = {
  answered: '200',
  decided: '4xx, decided (condition, absent)',
  beyond: '503, asked for a bound or a session',
  refused: '503, refused',
  unknown: '504, in doubt',
  silent: 'no answer',
};

const STYLE = `
.chaos { --ink: #1d2733; --soft: #66717f; --line: #dfe4ea; --paper: #ffffff; --band: #b3541e14; --fault: #c9703a; --fault-ink: #ffffff;
  --answered: #3d8b5f; --decided: #a9d3b9; --beyond: #f1deb4; --refused: #e0a030; --unknown: #b03a2e; --silent: #8d97a3; --age: #2456a6; --p50: #2456a6; --p99: #9a3fa0; }
@media (prefers-color-scheme: dark) { .chaos { --ink: #e4e9ef; --soft: #98a3b0; --line: #323c48; --paper: #161c23; --band: #e08a4a1c; --fault: #c9703a;
  --answered: #4fa877; --decided: #2f5c45; --beyond: #66532a; --refused: #d99a2b; --unknown: #e0604f; --silent: #6b7682; --age: #7eb0ff; --p50: #7eb0ff; --p99: #d58adb; } }
.chaos text { fill: var(--ink); font: 11px system-ui, sans-serif; }
.chaos .soft { fill: var(--soft); }
.chaos .title { font-size: 15px; font-weight: 600; }
.chaos .name { font-weight: 600; }
.chaos .on-fault { fill: var(--fault-ink); }
.chaos .line { stroke: var(--line); }
.chaos .band { fill: var(--band); }
.chaos .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
`;

/** Counts and times of one tier at one gateway, in columns of equal time. */
interface Lane {
  readonly columns: readonly Readonly<Record<Fate, number>>[];
  /** The largest staleness that content reads stated in each column; null: none was stated. */
  readonly agesMs: readonly (number | null)[];
}

interface Scale {
  readonly columnMs: number;
  readonly columns: number;
  x(ms: number): number;
}

/** The run as one SVG: faults, both tiers at each gateway, latency. It needs nothing else and follows the reader's light or dark. */
export function pictureOf(result: ChaosResult): string {
  const { plan, driver, seed, operations, faults, gateways, lengthMs } = result;
  const columnMs = 1_000 * Math.max(1, Math.ceil(lengthMs / 1_000 / COLUMNS_MAX));
  const columns = Math.max(1, Math.ceil(lengthMs / columnMs));
  const scale: Scale = {
    columnMs,
    columns,
    x: (ms) => LEFT + (CHART * Math.min(Math.max(0, ms), columns * columnMs)) / (columns * columnMs),
  };
  const rows = packed(faults);
  const parts: string[] = [];
  let y = TOP;
  parts.push(...faultRows(rows, y, scale));
  y += Math.max(1, rows.length) * FAULT_ROW + GAP;
  const chartTop = y;
  for (const tier of ['strict', 'content'] as const) {
    for (const gateway of gateways) {
      const own = operations.filter((one) => one.tier === tier && one.gateway === numberOf(gateway));
      parts.push(...lane(tier, gateway, laneOf(own, scale), y, scale));
      y += LANE + GAP;
    }
  }
  parts.push(...latency(operations, y, scale));
  y += LATENCY;
  const height = y + 54;
  const bands = merged(faults, columns * columnMs).map(
    ([fromMs, toMs]) =>
      `<rect class="band" x="${px(scale.x(fromMs))}" y="${chartTop - GAP / 2}" width="${px(scale.x(toMs) - scale.x(fromMs))}" height="${y - chartTop + GAP / 2}"/>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" class="chaos" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<style>${STYLE}</style>`,
    `<rect width="${WIDTH}" height="${height}" fill="var(--paper)"/>`,
    `<text class="title" x="12" y="22">${escaped(plan.name)}</text>`,
    `<text class="soft" x="12" y="39">${escaped(`driver ${driver}, ${plan.members} members, seed ${seed}, ${operations.length.toLocaleString('en')} operations`)}</text>`,
    ...bands,
    ...parts,
    ...timeAxis(chartTop, y, scale),
    ...legend(y + 40),
    '</svg>',
  ].join('\n');
}

/** Faults in rows so that none covers another. What would need too many rows shares the last one. */
function packed(faults: readonly FaultSpan[]): readonly (readonly FaultSpan[])[] {
  const rows: FaultSpan[][] = [];
  for (const fault of faults.toSorted((one, other) => one.fromMs - other.fromMs)) {
    const free = rows.find((row) => (row.at(-1)?.toMs ?? 0) <= fault.fromMs);
    if (free !== undefined) free.push(fault);
    else if (rows.length < FAULT_ROWS_MAX) rows.push([fault]);
    else rows.at(-1)?.push(fault);
  }
  return rows;
}

/** The times when anything was in force. */
function merged(faults: readonly FaultSpan[], endMs: number): readonly (readonly [number, number])[] {
  const out: [number, number][] = [];
  for (const { fromMs, toMs } of faults.toSorted((one, other) => one.fromMs - other.fromMs)) {
    const last = out.at(-1);
    if (last !== undefined && fromMs <= last[1]) last[1] = Math.max(last[1], Math.min(toMs, endMs));
    else out.push([fromMs, Math.min(toMs, endMs)]);
  }
  return out;
}

function faultRows(rows: readonly (readonly FaultSpan[])[], top: number, scale: Scale): readonly string[] {
  const label = `<text class="name" x="${LEFT - 10}" y="${top + 12}" text-anchor="end">faults</text>`;
  if (rows.length === 0) return [label, `<text class="soft" x="${LEFT + 4}" y="${top + 12}">none</text>`];
  const bars = rows.flatMap((row, index) =>
    row.map((fault, place) => {
      const [from, to] = [scale.x(fault.fromMs), scale.x(fault.toMs)];
      const y = top + index * FAULT_ROW;
      const next = row[place + 1];
      const inside = Math.floor((to - from - 8) / LETTER);
      const room = Math.floor(((next === undefined ? LEFT + CHART : scale.x(next.fromMs)) - to - 8) / LETTER);
      const isInside = fault.text.length <= inside || inside >= room;
      const text = shortened(fault.text, isInside ? inside : room);
      const span = `${seconds(fault.fromMs)} to ${Number.isFinite(fault.toMs) ? seconds(fault.toMs) : 'the end'}`;
      return [
        `<g><title>${escaped(`${fault.text}, ${span}`)}</title>`,
        `<rect x="${px(from)}" y="${y + 1}" width="${px(Math.max(2, to - from))}" height="${FAULT_ROW - 4}" rx="3" fill="var(--fault)"/>`,
        isInside
          ? `<text class="on-fault" x="${px(from + 5)}" y="${y + 12}">${escaped(text)}</text>`
          : `<text x="${px(to + 5)}" y="${y + 12}">${escaped(text)}</text>`,
        '</g>',
      ].join('');
    }),
  );
  return [label, ...bars];
}

function shortened(text: string, letters: number): string {
  if (text.length <= letters) return text;
  return letters < 6 ? '' : `${text.slice(0, letters - 1)}…`;
}

function fateOf({ tier, level, outcome, status, completedMs }: Operation): Fate {
  if (completedMs === null || status === null) return 'silent';
  if (outcome === 'done') return 'answered';
  if (status === 504 || outcome === 'unknown') return 'unknown';
  if (status < 500 && status !== 429) return 'decided';
  // By right: a cache alone cannot prove what such a read asks for.
  return tier === 'content' && level !== null && level !== 'eventual' ? 'beyond' : 'refused';
}

function laneOf(operations: readonly Operation[], { columns, columnMs }: Scale): Lane {
  const counts = Array.from({ length: columns }, () => ({
    answered: 0,
    decided: 0,
    beyond: 0,
    refused: 0,
    unknown: 0,
    silent: 0,
  }));
  const agesMs: (number | null)[] = Array.from({ length: columns }, () => null);
  for (const operation of operations) {
    const column = Math.floor((operation.completedMs ?? operation.invokedMs) / columnMs);
    const count = counts[column];
    if (count === undefined) continue;
    count[fateOf(operation)] += 1;
    const { tier, outcome, stalenessMs } = operation;
    if (tier === 'content' && outcome === 'done' && stalenessMs !== null) {
      agesMs[column] = Math.max(agesMs[column] ?? 0, stalenessMs);
    }
  }
  return { columns: counts, agesMs };
}

function lane(
  tier: Tier,
  gateway: string,
  { columns, agesMs }: Lane,
  top: number,
  scale: Scale,
): readonly string[] {
  const totals = columns.map((one) => FATES.reduce((sum, fate) => sum + one[fate], 0));
  const most = Math.max(1, ...totals);
  const width = CHART / scale.columns;
  const bars = columns.map((counts, index) => {
    let y = top + LANE;
    const [x, total] = [LEFT + index * width, totals[index] ?? 0];
    if (total === 0) return '';
    const shown = FATES.filter((fate) => counts[fate] > 0);
    const stack = shown.map((fate) => {
      const height = (LANE * counts[fate]) / most;
      y -= height;
      return `<rect x="${px(x)}" y="${px(y)}" width="${px(Math.max(0.6, width - 0.6))}" height="${px(height)}" fill="var(--${fate})"/>`;
    });
    const words = shown.map((fate) => `${counts[fate]} × ${FATE_WORDS[fate]}`).join(', ');
    const age = agesMs[index];
    const aged = age === null || age === undefined ? '' : `; age up to ${age} ms`;
    return `<g><title>${escaped(`${seconds(index * scale.columnMs)}: ${words}${aged}`)}</title>${stack.join('')}</g>`;
  });
  const what =
    tier === 'strict' ? ['strict', 'CP: answered or refused'] : ['content', 'AP: answered, with age'];
  const perSecond = (most * 1_000) / scale.columnMs;
  return [
    `<text class="name" x="${LEFT - 10}" y="${top + 14}" text-anchor="end">${what[0]}, ${gateway}</text>`,
    `<text class="soft" x="${LEFT - 10}" y="${top + 29}" text-anchor="end">${what[1]}</text>`,
    `<text class="soft" x="${LEFT - 10}" y="${top + 44}" text-anchor="end">up to ${perSecond.toFixed(0)} a second</text>`,
    `<line class="line" x1="${LEFT}" x2="${LEFT + CHART}" y1="${top + LANE}" y2="${top + LANE}"/>`,
    ...bars,
    ...(tier === 'content' ? ageCurve(agesMs, top, scale) : []),
  ];
}

/** The age that was stated, over the bars, with a scale of its own at the right. */
function ageCurve(agesMs: readonly (number | null)[], top: number, scale: Scale): readonly string[] {
  const mostMs = Math.max(1_000, ...agesMs.map((age) => age ?? 0));
  const y = (ms: number): number => top + LANE - ((LANE - 4) * ms) / mostMs;
  return [
    ...curve(agesMs, (ms) => y(ms), 'var(--paper)', scale, 4.5),
    ...curve(agesMs, (ms) => y(ms), 'var(--age)', scale),
    `<text x="${LEFT + CHART + 6}" y="${px(y(mostMs) + 8)}" style="fill: var(--age)">${seconds(mostMs)}</text>`,
    `<text class="soft" x="${LEFT + CHART + 6}" y="${px(y(mostMs) + 22)}">age</text>`,
  ];
}

/** A line through the middles of the columns; it is broken where there is nothing. */
function curve(
  values: readonly (number | null)[],
  y: (value: number) => number,
  colour: string,
  { columns }: Scale,
  width = 1.8,
): readonly string[] {
  const paths: string[][] = [[]];
  for (const [index, value] of values.entries()) {
    if (value === null) paths.push([]);
    else paths.at(-1)?.push(`${px(LEFT + ((index + 0.5) * CHART) / columns)},${px(y(value))}`);
  }
  return paths
    .filter((points) => points.length > 0)
    .map((points) => {
      const [only = ''] = points;
      const line = points.length === 1 ? `M${only}h1` : `M${points.join('L')}`;
      return `<path class="curve" d="${line}" stroke="${colour}" style="stroke-width: ${width}"/>`;
    });
}

/** Of what was answered: the median and the slowest hundredth of each tier, on a logarithmic scale from 1 ms to 10 s. */
function latency(operations: readonly Operation[], top: number, scale: Scale): readonly string[] {
  const y = (ms: number): number =>
    top + LATENCY - (LATENCY * Math.log10(Math.min(10_000, Math.max(1, ms)))) / 4;
  const grid = [1, 10, 100, 1_000, 10_000].flatMap((ms) => [
    `<line class="line" x1="${LEFT}" x2="${LEFT + CHART}" y1="${px(y(ms))}" y2="${px(y(ms))}"/>`,
    `<text class="soft" x="${LEFT + CHART + 6}" y="${px(y(ms) + 4)}">${ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s`}</text>`,
  ]);
  const lines = (['strict', 'content'] as const).flatMap((tier) => {
    const times = Array.from({ length: scale.columns }, (): number[] => []);
    for (const { tier: own, outcome, invokedMs, completedMs } of operations) {
      if (own !== tier || outcome !== 'done' || completedMs === null) continue;
      times[Math.floor(completedMs / scale.columnMs)]?.push(completedMs - invokedMs);
    }
    for (const column of times) column.sort((one, other) => one - other);
    const at = (share: number): readonly (number | null)[] =>
      times.map((column) => column[Math.min(column.length - 1, Math.floor(column.length * share))] ?? null);
    const dash = tier === 'strict' ? '' : ' stroke-dasharray="3 3"';
    const style = (paths: readonly string[]): readonly string[] =>
      paths.map((path) => path.replace('<path', `<path${dash}`));
    return [
      ...style(curve(at(0.5), y, 'var(--p50)', scale)),
      ...style(curve(at(0.99), y, 'var(--p99)', scale)),
    ];
  });
  return [
    `<text class="name" x="${LEFT - 10}" y="${top + 14}" text-anchor="end">latency</text>`,
    `<text class="soft" x="${LEFT - 10}" y="${top + 29}" text-anchor="end">of what was done</text>`,
    `<text x="${LEFT - 10}" y="${top + 46}" text-anchor="end"><tspan style="fill: var(--p50)">p50</tspan> <tspan style="fill: var(--p99)">p99</tspan></text>`,
    `<text class="soft" x="${LEFT - 10}" y="${top + 61}" text-anchor="end">content dashed</text>`,
    ...grid,
    ...lines,
  ];
}

function timeAxis(top: number, bottom: number, scale: Scale): readonly string[] {
  const lengthSeconds = (scale.columns * scale.columnMs) / 1_000;
  const every =
    [1, 2, 5, 10, 20, 60, 120, 300, 600, 1_200, 3_600].find((one) => lengthSeconds / one <= 16) ?? 7_200;
  const marks = Array.from({ length: Math.floor(lengthSeconds / every) + 1 }, (_, index) => index * every);
  return marks.flatMap((second) => {
    const x = px(scale.x(second * 1_000));
    return [
      `<line class="line" x1="${x}" x2="${x}" y1="${top - GAP / 2}" y2="${bottom + 4}" stroke-dasharray="1 4"/>`,
      `<text class="soft" x="${x}" y="${bottom + 17}" text-anchor="middle">${every < 60 ? `${second} s` : `${second / 60} min`}</text>`,
    ];
  });
}

function legend(y: number): readonly string[] {
  let x = LEFT;
  return FATES.map((fate) => {
    const word = FATE_WORDS[fate];
    const item = `<rect x="${px(x)}" y="${y - 9}" width="11" height="11" rx="2" fill="var(--${fate})"/><text x="${px(x + 16)}" y="${y}">${escaped(word)}</text>`;
    x += 34 + word.length * LETTER;
    return item;
  });
}

function px(value: number): string {
  return value.toFixed(1);
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

export function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
