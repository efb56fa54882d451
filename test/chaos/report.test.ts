import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { operation, planOf } from './fakes.testing.js';
import { judgeAgain, keepRun } from './keep.js';
import { UsageError, readOptions } from './options.js';
import { pictureOf } from './picture.js';
import { reportOf } from './report.js';
import type { ChaosResult } from './run.js';
import { scenarios } from './scenarios.js';
import { lastLineOf, tableOf } from './table.js';
import { judge } from './verdict.js';

function resultOf(change: Partial<ChaosResult> = {}): ChaosResult {
  const operations = Array.from({ length: 400 }, (_, index) => {
    const invokedMs = index * 50;
    const isCut = invokedMs > 5_000 && invokedMs < 12_000;
    const times = { id: index + 1, invokedMs, completedMs: invokedMs + 3 };
    if (index % 2 === 0) {
      return operation({ ...times, ...(isCut ? { status: 503, outcome: 'none', code: 'NO_QUORUM' } : {}) });
    }
    const stalenessMs = isCut ? Math.round(invokedMs - 5_000) : 100;
    return operation({ ...times, tier: 'content', level: 'eventual', stalenessMs });
  });
  const faults = [{ text: 'a <cut>', kind: 'cut', parts: ['store1'], fromMs: 5_000, toMs: 12_000 }];
  return {
    plan: planOf([]),
    driver: 'proxies',
    gateways: ['gateway1', 'gateway2'],
    seed: 7,
    workloads: [],
    lengthMs: 20_000,
    operations,
    faults,
    observations: [{ text: 'strict refused', seen: '70 refused', isMet: true }],
    leftOut: [],
    recoveryMs: 1_234,
    brokenInvariants: [],
    failures: [],
    isInterrupted: false,
    verdict: judge([], operations, faults, { gateways: [1, 2] }),
    ...change,
  };
}

describe('the report', () => {
  it('loads nothing, escapes what it shows, and says how it went', () => {
    const page = reportOf(resultOf(), ['npm run chaos -- --judge there']);
    expect(page).not.toMatch(/<script|<link|\bsrc=|\bhref=|url\(|@import/);
    expect(page).toContain('a &lt;cut&gt;');
    expect(page).toContain('No promise was broken.');
    expect(page).toContain('--judge there');
    expect(page).toContain('>passed<');
  });

  it('shows the operations of a violation', () => {
    const result = resultOf();
    const violation = { promise: 'staleness bound', story: 'it was <older>', operations: [20, 21] };
    const page = reportOf({ ...result, verdict: { ...result.verdict, violations: [violation] } }, []);
    expect(page).toContain('Broken promises: 1');
    expect(page).toContain('it was &lt;older&gt;');
    expect(page).toContain('<td class="number">20</td>');
    expect(page).toContain('>failed<');
  });

  it('the picture has a lane for each tier at each gateway, and only finite numbers', () => {
    const picture = pictureOf(resultOf());
    for (const lane of ['strict, gateway1', 'strict, gateway2', 'content, gateway1', 'content, gateway2']) {
      expect(picture).toContain(lane);
    }
    expect(picture).not.toMatch(/NaN|Infinity|undefined/);
    const empty = pictureOf(resultOf({ operations: [], faults: [], lengthMs: 0 }));
    expect(empty).not.toMatch(/NaN|Infinity|undefined/);
    const open = [{ text: 'x', kind: 'cut', parts: [], fromMs: 5, toMs: Infinity }];
    expect(pictureOf(resultOf({ faults: open }))).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('a kept run is judged again with the same operations and faults', () => {
    const folder = mkdtempSync(join(tmpdir(), 'quorate-kept-'));
    try {
      const faults = [{ text: 'x', kind: 'cut', parts: ['store1'], fromMs: 5, toMs: Infinity }];
      const result = resultOf({ faults });
      keepRun(folder, result, ['npm run chaos -- --seed 7']);
      const again = judgeAgain(folder);
      expect(again.operations).toEqual(result.operations);
      expect(again.faults).toEqual(faults);
      expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('--seed 7');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('the table', () => {
  it('tells passed, failed and skipped apart, with reasons', () => {
    const rows = [
      { kind: 'run', result: resultOf() },
      { kind: 'run', result: resultOf({ failures: ['it ended |\n badly\n'] }) },
      { kind: 'run', result: resultOf({ observations: [{ text: 'seen', seen: 'no', isMet: false }] }) },
      { kind: 'skipped', name: 'disk-full', driver: 'proxies', reason: 'no root' },
      { kind: 'broken', name: 'ring', driver: 'compose', reason: 'no engine' },
    ] as const;
    const lines = tableOf(rows);
    expect(lines[2]).toBe('| fake | proxies | 400 | 0 | 69 | 0 | 1.2 | passed |');
    expect(lines[3]).toContain('failed; it ended / badly');
    expect(lines[4]).toContain('failed; seen: no');
    expect(lines[5]).toBe('| disk-full | proxies |  |  |  |  |  | skipped: no root |');
    expect(lastLineOf(rows)).toBe('1 passed, 3 failed, 1 skipped');
  });
});

describe('the command line', () => {
  const read = (words: string) => readOptions(words.split(' '), 99);

  it('says what to run', () => {
    expect(read('--scenario all')).toMatchObject({ driver: 'proxies', scenarios, nemesis: null, seed: 99 });
    expect(read('--nemesis --minutes 2 --seed 5 --members 5')).toMatchObject({
      scenarios: [],
      nemesis: { runMs: 120_000, rounds: 1, members: 5 },
      seed: 5,
    });
    expect(read('--ci --driver compose')).toMatchObject({ driver: 'compose', nemesis: { members: 3 } });
    expect(read('--judge there')).toEqual({ judge: 'there' });
    expect(read('--list')).toBe('list');
    expect(read('--nemesis --gateways http://a,http://b --token-file t')).toMatchObject({
      driver: 'deployment',
      deployment: { gateways: 'http://a,http://b', adminTokenFile: 't' },
    });
  });

  it.each([
    '--seed 5',
    '--scenario nothing',
    '--nemesis --minutes 0',
    '--nemesis --members 4',
    '--nemesis --driver magic',
    '--nemesis --gateways http://a',
    '--unknown',
  ])('%s is not understood', (words) => {
    expect(() => read(words)).toThrow(UsageError);
  });
});
