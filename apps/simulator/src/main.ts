#!/usr/bin/env node
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { simulate, type SimulationReport } from './simulation.js';

const USAGE = `Usage: npm run simulate -- [options]
  --seeds N         run N seeds (default 200)
  --first-seed K    the first of them (default 1)
  --seed X          run one seed
  --trace           write the steps of the run in sentences (with --seed)
  --fault-phase MS  mean length of the phase with faults, simulated milliseconds (default 15000)
  --json FILE       write the totals to a file
`;

interface Totals {
  seeds: number;
  steps: number;
  simulatedMs: number;
  elections: number;
  committed: number;
  statesCompared: number;
  operations: { done: number; none: number; unknown: number };
  faults: Record<string, number>;
  marks: Record<string, number>;
  violations: { seed: number; checker: string; sentence: string }[];
}

function main(): number {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '200' },
      'first-seed': { type: 'string', default: '1' },
      seed: { type: 'string' },
      trace: { type: 'boolean', default: false },
      'fault-phase': { type: 'string', default: '15000' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const first = wholeNumber(values.seed ?? values['first-seed']);
  const count = values.seed === undefined ? wholeNumber(values.seeds) : 1;
  const totals: Totals = {
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
  const beganMs = performance.now();
  for (let seed = first; seed < first + count; seed += 1) {
    const report = simulate(seed, {
      keepTrace: values.trace,
      faultPhaseMs: wholeNumber(values['fault-phase']),
    });
    add(totals, report);
    if (values.trace) process.stdout.write(`${report.trace.join('\n')}\n`);
    if (report.violation !== null) {
      const { checker, sentence, atMs } = report.violation;
      process.stdout.write(`seed ${seed} at ${atMs.toFixed(0)} ms: ${checker}: ${sentence}\n`);
      process.stdout.write(`  replay: npm run simulate -- --seed ${seed} --trace\n`);
    }
  }
  print(totals, performance.now() - beganMs);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(totals, null, 2)}\n`);
  return totals.violations.length === 0 ? 0 : 1;
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`not a whole number: ${text}\n${USAGE}`);
  return value;
}

function add(totals: Totals, report: SimulationReport): void {
  totals.seeds += 1;
  totals.steps += report.steps;
  totals.simulatedMs += report.simulatedMs;
  totals.elections += report.elections;
  totals.committed += report.committed;
  totals.statesCompared += report.statesCompared;
  totals.operations.done += report.operations.done;
  totals.operations.none += report.operations.none;
  totals.operations.unknown += report.operations.unknown;
  for (const [kind, count] of report.faults) totals.faults[kind] = (totals.faults[kind] ?? 0) + count;
  for (const [name, count] of report.marks) totals.marks[name] = (totals.marks[name] ?? 0) + count;
  if (report.violation !== null) {
    const { checker, sentence } = report.violation;
    totals.violations.push({ seed: report.seed, checker, sentence });
  }
}

function print(totals: Totals, tookMs: number): void {
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
  process.stdout.write(`${lines.join('\n')}\n`);
}

function rows(counts: Record<string, number>): string[] {
  return Object.entries(counts)
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([name, count]) => `  ${String(count).padStart(8)}  ${name}`);
}

process.exitCode = main();
