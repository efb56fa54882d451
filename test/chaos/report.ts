import type { Operation, Violation } from './operation.js';
import { escaped, pictureOf } from './picture.js';
import { type ChaosResult, isPassed } from './run.js';

const VIOLATIONS_MAX = 50;
const OPERATIONS_MAX = 40;

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2733; --soft: #66717f; --line: #dfe4ea; --paper: #ffffff; --card: #f5f7f9; --good: #2e7d4f; --bad: #b03a2e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ef; --soft: #98a3b0; --line: #323c48; --paper: #161c23; --card: #1e262f; --good: #5bbd86; --bad: #f0776a; } }
body { margin: 0 auto; padding: 24px; max-width: 1120px; background: var(--paper); color: var(--ink); font: 14px/1.5 system-ui, sans-serif; }
h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 28px 0 8px; }
p { margin: 4px 0; } .soft { color: var(--soft); }
.verdict { display: inline-block; padding: 2px 12px; border-radius: 12px; color: #fff; font-weight: 600; font-size: 14px; vertical-align: 3px; margin-left: 10px; }
.passed { background: #2e7d4f; } .failed { background: #b03a2e; }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 16px 0; }
.tile { background: var(--card); border-radius: 8px; padding: 8px 16px; min-width: 104px; }
.tile b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); }
svg { width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; } td, th { text-align: left; padding: 3px 14px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 500; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
code, pre { font: 12px ui-monospace, monospace; background: var(--card); border-radius: 4px; } code { padding: 1px 5px; } pre { padding: 10px 14px; overflow-x: auto; }
.story { border-left: 4px solid var(--bad); background: var(--card); padding: 8px 14px; margin: 12px 0; border-radius: 0 6px 6px 0; }
`;

/** Figures of a run that tables are made of. */
export interface Figures {
  readonly operations: number;
  /** Writes of which nobody knows whether they happened. */
  readonly unknown: number;
  /** Strict requests that were refused, without effect. */
  readonly rejected: number;
  readonly violations: number;
}

export function figuresOf({ operations, verdict }: ChaosResult): Figures {
  return {
    operations: operations.length,
    unknown: operations.filter(({ outcome }) => outcome === 'unknown').length,
    rejected: operations.filter(
      ({ tier, outcome, status }) =>
        tier === 'strict' && outcome === 'none' && (status === 503 || status === 504 || status === 429),
    ).length,
    violations: verdict.violations.length,
  };
}

/** One page with everything about a run; it loads nothing. `replay`: commands, a line each. */
export function reportOf(result: ChaosResult, replay: readonly string[]): string {
  const { plan, driver, seed, lengthMs, recoveryMs, leftOut, isInterrupted, verdict } = result;
  const { operations, unknown, rejected, violations } = figuresOf(result);
  const passed = isPassed(result);
  const recovery = recoveryMs === null ? '-' : `${(recoveryMs / 1_000).toFixed(1)} s`;
  const tiles = [
    ['operations', operations.toLocaleString('en'), ''],
    ['outcome unknown', unknown.toLocaleString('en'), ''],
    ['strict, refused', rejected.toLocaleString('en'), ''],
    ['violations', String(violations), violations === 0 ? 'good' : 'bad'],
    ['to recover', recovery, recoveryMs === null ? 'bad' : ''],
  ] as const;
  const word = passed ? 'passed' : 'failed';
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escaped(`${plan.name}, ${driver}: ${word}`)}</title><style>${STYLE}</style></head><body>`,
    `<h1>${escaped(plan.name)}<span class="verdict ${word}">${word}</span></h1>`,
    `<p>${escaped(plan.sentence)}</p>`,
    `<p class="soft">Driver ${driver}, ${plan.members} members, seed ${seed}, ${(lengthMs / 1_000).toFixed(0)} s${isInterrupted ? ', interrupted' : ''}. Workloads: ${escaped(result.workloads.join(', '))}.</p>`,
    '<div class="tiles">',
    ...tiles.map(
      ([name, value, tone]) => `<div class="tile"><b class="${tone}">${escaped(value)}</b>${name}</div>`,
    ),
    '</div>',
    ...result.failures.map((failure) => `<div class="story"><b>The run</b>: ${escaped(failure)}</div>`),
    `<div class="wide">${pictureOf(result)}</div>`,
    ...violationsOf(verdict.violations, result.operations),
    ...observationsOf(result),
    '<h2>Workloads</h2>',
    table(
      ['workload', 'operations', 'done', 'without effect', 'unknown'],
      countsOf(result.operations, result.workloads),
    ),
    '<h2>Age of content, as the caches stated it</h2>',
    table(
      ['gateway', 'answers', 'p50', 'p99', 'max', 'without a bound', 'without a quorum'],
      verdict.staleness.map((one) => [
        `gateway${one.gateway}`,
        String(one.answers),
        ...[one.p50Ms, one.p99Ms, one.maxMs].map((ms) => (ms === null ? '-' : `${ms} ms`)),
        String(one.withoutBound),
        String(one.withoutQuorum),
      ]),
    ),
    '<h2>Faults</h2>',
    table(
      ['what', 'from', 'to'],
      result.faults.map(({ text, fromMs, toMs }) => [text, seconds(fromMs), seconds(toMs)]),
    ),
    ...listed('Left out of the plan', leftOut),
    ...listed('Not decided by the checkers', verdict.undecided),
    '<h2>Once more</h2>',
    `<pre>${replay.map(escaped).join('\n')}</pre>`,
    '</body></html>\n',
  ].join('\n');
}

function violationsOf(violations: readonly Violation[], operations: readonly Operation[]): readonly string[] {
  if (violations.length === 0) return ['<h2>Verdict</h2><p class="good">No promise was broken.</p>'];
  const known = new Map(operations.map((operation) => [operation.id, operation]));
  const stories = violations.slice(0, VIOLATIONS_MAX).map(({ promise, story, operations: ids }) => {
    const shown = ids.slice(0, OPERATIONS_MAX).flatMap((id) => known.get(id) ?? []);
    const more = ids.length > shown.length ? `<p class="soft">${ids.length - shown.length} more</p>` : '';
    return `<div class="story"><b>${escaped(promise)}</b>: ${escaped(story)}<div class="wide">${operationTable(shown)}</div>${more}</div>`;
  });
  const more = violations.length - stories.length;
  return [
    `<h2 class="bad">Broken promises: ${violations.length}</h2>`,
    ...stories,
    ...(more > 0 ? [`<p class="soft">${more} more in run.json</p>`] : []),
  ];
}

function operationTable(operations: readonly Operation[]): string {
  if (operations.length === 0) return '';
  return table(
    ['id', 'client', 'gateway', 'what', 'wrote', 'saw', 'revision', 'from', 'to', 'answer', 'age'],
    operations.map((one) => [
      String(one.id),
      one.client,
      String(one.gateway),
      `${one.action} ${one.namespace}/${one.key}`,
      one.written === null ? '' : JSON.stringify(one.written),
      one.value === undefined ? '' : JSON.stringify(one.value),
      one.revision === null ? '' : String(one.revision),
      seconds(one.invokedMs, 3),
      one.completedMs === null ? 'never' : seconds(one.completedMs, 3),
      `${one.status ?? 'none'} ${one.code ?? one.outcome}`,
      one.stalenessMs === null ? '' : `${one.stalenessMs} ms`,
    ]),
  );
}

function observationsOf({ observations }: ChaosResult): readonly string[] {
  if (observations.length === 0) return [];
  return [
    '<h2>What had to be seen</h2>',
    '<table><tr><th></th><th>expected while the faults were in force</th><th>seen</th></tr>',
    ...observations.map(
      ({ text, seen, isMet }) =>
        `<tr><td class="${isMet ? 'good' : 'bad'}">${isMet ? 'yes' : 'NO'}</td><td>${escaped(text)}</td><td>${escaped(seen)}</td></tr>`,
    ),
    '</table>',
  ];
}

function countsOf(
  operations: readonly Operation[],
  workloads: readonly string[],
): readonly (readonly string[])[] {
  return workloads.map((name) => {
    const own = operations.filter(({ workload }) => workload === name);
    const count = (outcome: Operation['outcome']): string =>
      String(own.filter((one) => one.outcome === outcome).length);
    return [name, String(own.length), count('done'), count('none'), count('unknown')];
  });
}

function listed(title: string, lines: readonly string[]): readonly string[] {
  if (lines.length === 0) return [];
  return [`<h2>${title}</h2><ul>`, ...lines.map((line) => `<li>${escaped(line)}</li>`), '</ul>'];
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const cell = (tag: 'td' | 'th', text: string): string =>
    `<${tag}${/^[\d.,]+( ms| s)?$/.test(text) ? ' class="number"' : ''}>${escaped(text)}</${tag}>`;
  const lines = rows.map((row) => `<tr>${row.map((text) => cell('td', text)).join('')}</tr>`);
  return `<table><tr>${heads.map((head) => cell('th', head)).join('')}</tr>${lines.join('')}</table>`;
}

function seconds(ms: number, digits = 1): string {
  return Number.isFinite(ms) ? `${(ms / 1_000).toFixed(digits)} s` : 'the end';
}
