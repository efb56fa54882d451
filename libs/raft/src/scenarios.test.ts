import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SCENARIO_FOLDER as folder, playScenario, scenarioFiles } from './play-scenarios.testing.js';

// Each file: why it exists (lines with #), then commands, each followed by what it must print, indented.
// UPDATE=1 rewrites the expected lines; the diff is what a reviewer reads.
const files = scenarioFiles();

describe('scenarios', () => {
  it('there are at least sixty, and each tells its rule and the bug that it would catch', () => {
    expect(files.length).toBeGreaterThanOrEqual(60);
    const specification = readFileSync(join(import.meta.dirname, '../SPEC.md'), 'utf8');
    for (const name of files) {
      const story = readFileSync(join(folder, name), 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('#'))
        .join('\n');
      expect(story, name).toMatch(/^# \[[A-Z]\d+\] /);
      expect(story, name).toMatch(/^# Catches: /m);
      for (const [, rule] of story.matchAll(/\[([A-Z]\d+)\]/g))
        expect(specification).toContain(`**${rule}** `);
    }
  });

  it('every rule about the behaviour of members has a scenario', () => {
    const specification = readFileSync(join(import.meta.dirname, '../SPEC.md'), 'utf8');
    const stories = files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
    const rules = [...specification.matchAll(/\*\*([A-Z]\d+)\*\*/g)].map(([, rule]) => rule ?? '');
    const without = rules.filter((rule) => !stories.includes(`[${rule}]`));
    expect(without).toEqual(['U1']); // that the same inputs give the same outputs is what every scenario relies on
  });

  it.each(files)('%s', (name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    const actual = playScenario(text);
    if (process.env['UPDATE'] === '1') writeFileSync(join(folder, name), actual);
    else expect(actual).toBe(text);
  });
});
