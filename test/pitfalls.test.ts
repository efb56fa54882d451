import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ABSENT = 'the feature does not exist';
const SCENARIO_FOLDERS = ['libs/raft/testdata', 'apps/simulator/regressions'];
/** A table from names to runs, each of which is a test. */
const DIRECTED_RUNS = 'apps/simulator/src/scenarios.ts';

interface Row {
  readonly id: string;
  /** Where it happened; may be empty. */
  readonly incident: string;
  readonly rule: string;
  readonly evidence: readonly string[];
}

function rowsOf(text: string): Row[] {
  return text
    .split('\n')
    .filter((line) => /^\| [PR]\d+ \|/.test(line))
    .map((line) => {
      const [, id = '', , rule = '', heldBy = '', incident = '', ...rest] = line
        .split('|')
        .map((cell) => cell.trim());
      expect(rest, `${id} has five cells`).toEqual(['']);
      return {
        id,
        incident,
        rule,
        evidence: [...heldBy.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ''),
      };
    });
}

/** The sources of all tests and directed runs, with quotes inside strings as they are printed. */
function testSources(): string {
  return ['libs', 'apps', 'test']
    .flatMap((top) =>
      readdirSync(top, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.test.ts') && !name.includes('node_modules'))
        .map((name) => join(top, name)),
    )
    .filter((path) => path !== join('test', 'pitfalls.test.ts'))
    .concat(DIRECTED_RUNS)
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n')
    .replaceAll("\\'", "'");
}

/** What is cited and is neither a scenario file nor the whole title of a test. */
function missing(rows: readonly Row[], sources: string): string[] {
  // As the first argument of a test, on its line or the next one, or as a name in the table of directed runs.
  const isTitle = (title: string): boolean =>
    [`'${title}'`, `"${title}"`, `\`${title}\``].some((quoted) =>
      [`(${quoted}`, `\n    ${quoted},`, `\n  ${quoted}:`].some((place) => sources.includes(place)),
    );
  return rows.flatMap(({ id, evidence }) =>
    evidence
      .filter((cited) =>
        cited.endsWith('.txt')
          ? !SCENARIO_FOLDERS.some((folder) => existsSync(join(folder, cited)))
          : !isTitle(cited),
      )
      .map((cited) => `${id}: ${cited}`),
  );
}

describe.each([
  { page: 'docs/pitfalls.md', letter: 'P', count: 40, unseenMax: 0 },
  { page: 'docs/races.md', letter: 'R', count: 27, unseenMax: 9 },
])('$page', ({ page, letter, count, unseenMax }) => {
  const rows = rowsOf(readFileSync(page, 'utf8'));

  it('has each of them once, in order', () => {
    expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: count }, (_, i) => `${letter}${i + 1}`));
  });

  it('says where most of them happened', () => {
    expect(rows.filter(({ incident }) => incident === '').length).toBeLessThanOrEqual(unseenMax);
  });

  it('cites scenarios and tests that exist', () => {
    expect(missing(rows, testSources())).toEqual([]);
  });

  it('cites rules that exist', () => {
    for (const { id, rule } of rows)
      for (const [, library = '', list = ''] of rule.matchAll(
        /\b(raft|kv|cache|feed) ([A-Z]\d+(?:, [A-Z]\d+)*)/g,
      )) {
        const specification = readFileSync(`libs/${library}/SPEC.md`, 'utf8');
        for (const one of list.split(', '))
          expect(specification, `${id}: ${library} ${one}`).toContain(`**${one}**`);
      }
  });

  it('has evidence for everything but what does not exist', () => {
    for (const { id, rule, evidence } of rows) {
      expect(rule, id).not.toBe('');
      expect(evidence.length === 0, id).toBe(rule === ABSENT);
    }
  });

  it('would find a title or a scenario that is gone', () => {
    const row = {
      id: 'P1',
      incident: '',
      rule: 'raft V1',
      evidence: ['no such scenario.txt', 'no such test', 'one'],
    };
    expect(missing([row], "it('one', () => {")).toEqual(['P1: no such scenario.txt', 'P1: no such test']);
    expect(missing([{ ...row, evidence: ['one'] }], "it('one and more', () => {")).toEqual(['P1: one']);
  });
});
