import type { SimulationReport } from './simulation.js';

export interface FailedSeed {
  readonly seed: number;
  readonly checker: string;
  readonly sentence: string;
}

/** What many seeds came to together. */
export interface Totals {
  readonly seeds: number;
  readonly steps: number;
  readonly simulatedMs: number;
  readonly elections: number;
  readonly committed: number;
  readonly statesCompared: number;
  readonly operations: { readonly done: number; readonly none: number; readonly unknown: number };
  readonly faults: Readonly<Record<string, number>>;
  readonly marks: Readonly<Record<string, number>>;
  readonly violations: readonly FailedSeed[];
}

export const NO_TOTALS: Totals = {
  seeds: 0,
  steps: 0,
  simulatedMs: 0,
  elections: 0,
  committed: 0,
  statesCompared: 0,
  operations: { done: 0, none: 0, unknown: 0 },
  faults: {},
  marks: {},
  violations: [],
};

export function totalsOf(report: SimulationReport): Totals {
  const { seed, violation, steps, simulatedMs, elections, committed, statesCompared, operations } = report;
  return {
    seeds: 1,
    steps,
    simulatedMs,
    elections,
    committed,
    statesCompared,
    operations,
    faults: Object.fromEntries(report.faults),
    marks: Object.fromEntries(report.marks),
    violations:
      violation === null ? [] : [{ seed, checker: violation.checker, sentence: violation.sentence }],
  };
}

export function sum(one: Totals, other: Totals): Totals {
  return {
    seeds: one.seeds + other.seeds,
    steps: one.steps + other.steps,
    simulatedMs: one.simulatedMs + other.simulatedMs,
    elections: one.elections + other.elections,
    committed: one.committed + other.committed,
    statesCompared: one.statesCompared + other.statesCompared,
    operations: {
      done: one.operations.done + other.operations.done,
      none: one.operations.none + other.operations.none,
      unknown: one.operations.unknown + other.operations.unknown,
    },
    faults: sumCounts(one.faults, other.faults),
    marks: sumCounts(one.marks, other.marks),
    violations: [...one.violations, ...other.violations],
  };
}

export function sumCounts(
  one: Readonly<Record<string, number>>,
  other: Readonly<Record<string, number>>,
): Record<string, number> {
  const counts = { ...one };
  for (const [name, count] of Object.entries(other)) counts[name] = (counts[name] ?? 0) + count;
  return counts;
}

/** For a person. */
export function describeTotals(totals: Totals, tookMs: number): string {
  const { done, none, unknown } = totals.operations;
  const lines = [
    `${totals.seeds} seeds, ${totals.steps} steps, ${(totals.simulatedMs / 1000).toFixed(0)} simulated seconds in ${(tookMs / 1000).toFixed(1)} s`,
    `${done + none + unknown} operations: ${done} done, ${none} surely not done, ${unknown} unknown`,
    `${totals.elections} terms with a leader, ${totals.committed} entries committed, ${totals.statesCompared} states compared`,
    'faults:',
    ...rows(totals.faults),
    'rare paths:',
    ...rows(totals.marks),
    totals.violations.length === 0 ? 'no violation' : `${totals.violations.length} VIOLATIONS`,
  ];
  return `${lines.join('\n')}\n`;
}

function rows(counts: Readonly<Record<string, number>>): string[] {
  return Object.entries(counts)
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([name, count]) => `  ${String(count).padStart(8)}  ${name}`);
}
