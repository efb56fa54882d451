import type { DriverName } from './cluster.js';
import { figuresOf } from './report.js';
import { type ChaosResult, isPassed } from './run.js';

/** One line of the table of a whole program: a run, or why there was none. */
export type Row =
  | { readonly kind: 'run'; readonly result: ChaosResult }
  | {
      readonly kind: 'skipped';
      readonly name: string;
      readonly driver: DriverName;
      /** One sentence. */
      readonly reason: string;
    }
  /** The cluster did not even start, or could not be taken away. */
  | {
      readonly kind: 'broken';
      readonly name: string;
      readonly driver: DriverName;
      readonly reason: string;
    };

export type Word = 'passed' | 'failed' | 'skipped';

export function wordOf(row: Row): Word {
  if (row.kind === 'run') return isPassed(row.result) ? 'passed' : 'failed';
  return row.kind === 'broken' ? 'failed' : 'skipped';
}

const HEADS = [
  'scenario',
  'driver',
  'operations',
  'unknown',
  'rejected',
  'violations',
  'recovered after, s',
  'result',
];

/** Markdown, a line each. */
export function tableOf(rows: readonly Row[]): readonly string[] {
  return [
    `| ${HEADS.join(' | ')} |`,
    '|---|---|--:|--:|--:|--:|--:|---|',
    ...rows.map((row) => `| ${cellsOf(row).join(' | ')} |`),
  ];
}

function cellsOf(row: Row): readonly string[] {
  if (row.kind !== 'run') {
    return [row.name, row.driver, '', '', '', '', '', `${wordOf(row)}: ${cell(row.reason)}`];
  }
  const { result } = row;
  const { operations, unknown, rejected, violations } = figuresOf(result);
  const recovered = result.recoveryMs === null ? 'not in time' : (result.recoveryMs / 1_000).toFixed(1);
  const unmet = result.observations.filter(({ isMet }) => !isMet).map(({ text, seen }) => `${text}: ${seen}`);
  return [
    result.plan.name,
    result.driver,
    ...[operations, unknown, rejected].map((count) => count.toLocaleString('en')),
    String(violations),
    recovered,
    cell([wordOf(row), ...result.failures, ...unmet].join('; ')),
  ];
}

/** What a command said may have lines. */
function cell(text: string): string {
  return text
    .replaceAll('|', '/')
    .replaceAll(/\s*\n\s*/g, ' ')
    .trim();
}

/** The last line of a program: `3 passed, 0 failed, 1 skipped`. */
export function lastLineOf(rows: readonly Row[]): string {
  const count = (word: Word): number => rows.filter((row) => wordOf(row) === word).length;
  return `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`;
}
