import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FaultSpan, Operation } from './operation.js';
import { pictureOf } from './picture.js';
import { reportOf } from './report.js';
import { type ChaosResult, judgeContext } from './run.js';
import { judge } from './verdict.js';
import { makeWorkloads } from './workloads.js';

const [RUN, HISTORY, REPORT, PICTURE] = ['run.json', 'history.jsonl', 'report.html', 'picture.svg'];
/** Lines are written in pieces of so many: one text of a whole history may be too long for a string. */
const LINES_AT_ONCE = 10_000;

/** All but the history, which has a file of its own. */
type Kept = Omit<ChaosResult, 'operations' | 'faults' | 'brokenInvariants'> & {
  /** Absent: kept before they were looked for. */
  readonly brokenInvariants?: readonly string[];
  readonly replay: readonly string[];
  readonly faults: readonly (Omit<FaultSpan, 'toMs'> & {
    /** Null: never ended; JSON has no infinity. */
    readonly toMs: number | null;
  })[];
};

/**
 * Writes everything about a run into its folder: the plan, the faults and the verdict (`run.json`), the history (`history.jsonl`, an operation a line),
 * the page (`report.html`) and its picture alone.
 */
export function keepRun(folder: string, result: ChaosResult, replay: readonly string[]): void {
  mkdirSync(folder, { recursive: true });
  const { operations, faults, ...rest } = result;
  const ended = faults.map((fault) => ({ ...fault, toMs: Number.isFinite(fault.toMs) ? fault.toMs : null }));
  const kept: Kept = { ...rest, faults: ended, replay };
  writeFileSync(join(folder, RUN), `${JSON.stringify(kept, null, 2)}\n`);
  writeFileSync(join(folder, HISTORY), '');
  for (let from = 0; from < operations.length; from += LINES_AT_ONCE) {
    const lines = operations.slice(from, from + LINES_AT_ONCE).map((one) => `${JSON.stringify(one)}\n`);
    writeFileSync(join(folder, HISTORY), lines.join(''), { flag: 'a' });
  }
  writeFileSync(join(folder, REPORT), reportOf(result, replay));
  writeFileSync(join(folder, PICTURE), `${pictureOf(result)}\n`);
}

/** A kept run, judged once more by the checkers as they are now, and its report written anew. Throws when the folder holds none. */
export function judgeAgain(folder: string): ChaosResult {
  const { replay, ...kept } = JSON.parse(readFileSync(join(folder, RUN), 'utf8')) as Kept;
  const operations = linesOf(readFileSync(join(folder, HISTORY))).map(
    (line) => JSON.parse(line) as Operation,
  );
  const faults = kept.faults.map((fault) => ({ ...fault, toMs: fault.toMs ?? Infinity }));
  const context = judgeContext(kept.gateways, kept.recoveryMs, kept.brokenInvariants ?? []);
  const verdict = judge(makeWorkloads(kept.workloads), operations, faults, context);
  const result = { ...kept, brokenInvariants: kept.brokenInvariants ?? [], operations, faults, verdict };
  keepRun(folder, result, replay);
  return result;
}

function linesOf(bytes: Buffer): readonly string[] {
  const lines: string[] = [];
  for (let from = 0; from < bytes.length;) {
    const newline = bytes.indexOf(0x0a, from);
    const to = newline === -1 ? bytes.length : newline;
    lines.push(bytes.toString('utf8', from, to));
    from = to + 1;
  }
  return lines;
}
