import { describeOperation } from './describe.js';
import type { HistoryOperation } from './history.js';
import { endOf, lanesOf } from './lanes.js';

/** Any verdict that convicts: of the sweep, or of the search by key. */
export interface Conviction {
  readonly reason: string;
  readonly offending: readonly number[];
}

const OPERATIONS_MAX = 40;
const TEXT_LENGTH_MAX = 100;
const REASON_LENGTH_MAX = 500;
const LANE_HEIGHT = 26;
const LABEL_WIDTH = 90;
const CHART_WIDTH = 900;

const STYLE = `:root{color-scheme:light dark}body{font:14px system-ui,sans-serif;margin:16px;background:Canvas;color:CanvasText}
svg{width:100%;height:auto}text{font:11px system-ui,sans-serif;fill:CanvasText}.bar{fill:#7aa7d9}.write{fill:#4f9d69}.open{opacity:.55}
.offending{fill:#d9480f;stroke:CanvasText;stroke-width:1.5}.lane{stroke:GrayText;stroke-opacity:.35}`;

/**
 * A violation as one HTML file without anything from outside: the sentence on top, below it one lane per client with a bar for each
 * of the operations in question and some of the same keys around them. Bounded: at most 40 operations, less than 40 KB.
 */
export function renderTimeline(history: readonly HistoryOperation[], verdict: Conviction): string {
  const offending = new Set(verdict.offending);
  const shown = pick(history, offending);
  const body = `<h1 style="font-size:16px">${escape(verdict.reason, REASON_LENGTH_MAX)}</h1>${chart(shown, offending)}`;
  return (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Not linearizable</title>' +
    `<style>${STYLE}</style></head><body>${body}<p>${shown.length} of ${history.length} operations. ` +
    'Orange: they cannot all be right. Green: writes. Blue: reads. Faint: outcome unknown. Hover for details.</p></body></html>\n'
  );
}

/** The offending operations, and of the others on the same keys those that are nearest to them in time. */
function pick(history: readonly HistoryOperation[], offending: ReadonlySet<number>): HistoryOperation[] {
  const culprits = history.filter(({ id }) => offending.has(id)).slice(0, OPERATIONS_MAX);
  const keys = new Set(culprits.map(({ key }) => key));
  const distance = (operation: HistoryOperation): number =>
    Math.min(
      ...culprits.map((culprit) =>
        Math.max(0, culprit.invokedAt - endOf(operation), operation.invokedAt - endOf(culprit)),
      ),
      ...culprits.map((culprit) => Math.abs(culprit.invokedAt - operation.invokedAt)),
    );
  const near = history
    .filter(({ id, key }) => keys.has(key) && !offending.has(id))
    .map((operation) => ({ operation, at: distance(operation) }))
    .sort((left, right) => left.at - right.at)
    .slice(0, OPERATIONS_MAX - culprits.length);
  return [...culprits, ...near.map(({ operation }) => operation)];
}

function chart(shown: readonly HistoryOperation[], offending: ReadonlySet<number>): string {
  // Ranks instead of times: bursts and pauses then take the same room.
  const times = shown.flatMap((operation) => [operation.invokedAt, endOf(operation)]);
  const sorted = [...new Set(times.filter((time) => time < Infinity))].sort((left, right) => left - right);
  const rankOf = new Map(sorted.map((time, rank) => [time, rank]));
  const scale = CHART_WIDTH / (sorted.length + 1);
  const lanes = lanesOf(shown);
  const names: string[] = [];
  for (const [operation, lane] of lanes) names[lane] = operation.client ?? '';
  const height = names.length * LANE_HEIGHT + 8;
  const rows = names.map((name, lane) => {
    const y = lane * LANE_HEIGHT + LANE_HEIGHT / 2 + 4;
    return (
      `<line class="lane" x1="${LABEL_WIDTH}" x2="${LABEL_WIDTH + CHART_WIDTH}" y1="${y}" y2="${y}"/>` +
      `<text x="0" y="${y + 4}">${escape(name, 14)}</text>`
    );
  });
  // Open bars reach the right edge: drawn first, they do not hide what the client did next.
  const bars = shown
    .toSorted((left, right) => Number(left.completedAt !== null) - Number(right.completedAt !== null))
    .map((operation) => {
      const x = LABEL_WIDTH + (rankOf.get(operation.invokedAt) ?? 0) * scale;
      const end = LABEL_WIDTH + (rankOf.get(endOf(operation)) ?? sorted.length) * scale;
      const y = (lanes.get(operation) ?? 0) * LANE_HEIGHT + 6;
      return bar(operation, offending.has(operation.id), { x, y, width: Math.max(4, end - x) });
    });
  return `<svg viewBox="0 0 ${LABEL_WIDTH + CHART_WIDTH} ${height}" role="img">${rows.join('')}${bars.join('')}</svg>`;
}

function bar(
  operation: HistoryOperation,
  isOffending: boolean,
  { x, y, width }: { x: number; y: number; width: number },
): string {
  const kinds = ['bar', operation.type];
  if (operation.completedAt === null) kinds.push('open');
  if (isOffending) kinds.push('offending');
  const end = operation.completedAt ?? 'never answered';
  const details = `${operation.invokedAt} to ${end}: ${describeOperation(operation)}`;
  const condition =
    operation.type === 'write' && operation.replaced !== undefined
      ? `, replacing ${operation.replaced ?? 'nothing'}`
      : '';
  return (
    `<g><title>${escape(details, TEXT_LENGTH_MAX)}${condition}</title>` +
    `<rect class="${kinds.join(' ')}" x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="18" rx="3"/>` +
    `<text x="${(x + 3).toFixed(1)}" y="${y + 13}">${operation.id}</text></g>`
  );
}

/** Cut before it is escaped, so that no entity is cut in two. Control characters and odd halves of pairs become question marks. */
function escape(text: string, lengthMax: number): string {
  const short = text.length > lengthMax ? `${text.slice(0, lengthMax)}...` : text;
  return short.replaceAll(/[&<>"'\p{Cc}\p{Cs}]/gu, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x20 || code > 0x7e ? '?' : `&#${code};`;
  });
}
