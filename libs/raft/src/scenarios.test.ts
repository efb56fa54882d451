import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Scenario } from './scenario.testing.js';

// Each file: why it exists (lines with #), then commands, each followed by what it must print, indented.
// UPDATE=1 rewrites the expected lines; the diff is what a reviewer reads.
const folder = join(import.meta.dirname, '../testdata');
const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));

describe('scenarios', () => {
  it('there are some', () => {
    expect(files.length).toBeGreaterThanOrEqual(10);
  });

  it.each(files)('%s', (name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    const scenario = new Scenario();
    const actual = text
      .split('\n')
      .filter((line) => !line.startsWith('  '))
      .flatMap((line) => {
        if (line.startsWith('#') || line === '') return [line];
        return [
          line,
          ...scenario
            .run(line)
            .split('\n')
            .map((out) => `  ${out}`),
        ];
      })
      .join('\n');
    if (process.env['UPDATE'] === '1') writeFileSync(join(folder, name), actual);
    else expect(actual).toBe(text);
  });
});
