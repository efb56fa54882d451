import { grouped } from './results.js';
import { type Verdict, meets } from './goals.js';

/** A table in Markdown, its columns aligned for a terminal too; all columns but the first to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((text, column) =>
    Math.max(text.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

/** Three significant digits, without an exponent. */
export function figure(number: number): string {
  if (!Number.isFinite(number)) return '-';
  const rounded = Number(number.toPrecision(3));
  return Math.abs(rounded) >= 1_000 ? Math.round(number).toLocaleString('en-US') : String(rounded);
}

/** One table for each line of what must be shown. */
export function verdictTables(verdicts: readonly Verdict[], oursTitle: string): string[] {
  const goal = (verdict: Verdict, value: number | null): string =>
    value === null ? '-' : `${verdict.better === 'higher' ? '>=' : '<='} ${figure(value)}`;
  const met = (is: boolean | null): string => (is === null ? '-' : is ? 'yes' : 'NO');
  return grouped(verdicts, ({ line }) => line).map((of) => {
    const unit = of[0]?.unit ?? '';
    const rows = of.map((verdict) => [
      verdict.case,
      figure(verdict.ours),
      verdict.peer === null ? '-' : figure(verdict.peer.value),
      verdict.peer?.title ?? '-',
      verdict.peer === null ? '-' : `${figure(verdict.ratio)}x`,
      goal(verdict, verdict.floor),
      met(meets(verdict, verdict.floor)),
      goal(verdict, verdict.aim),
      met(meets(verdict, verdict.aim)),
    ]);
    const head = ['case', oursTitle, 'peer', 'which', 'ratio', 'floor', 'met', 'aim', 'met'];
    return `### ${of[0]?.line} (${unit})\n\n${table(head, rows)}`;
  });
}
