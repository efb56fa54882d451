import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mutate } from '../loader/instrument.mjs';
import { BROKEN_BUILDS } from './broken-builds.js';
import { readOptions } from './options.js';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

describe('the catalogue of broken builds', () => {
  it('is numbered without a gap, and says each bug once', () => {
    expect(BROKEN_BUILDS.map(({ id }) => id)).toEqual(BROKEN_BUILDS.map((_, place) => `B${place + 1}`));
    expect(new Set(BROKEN_BUILDS.map(({ bug }) => bug)).size).toBe(BROKEN_BUILDS.length);
  });

  it.each(BROKEN_BUILDS)('$id still fits the source: its text occurs exactly once', ({ change }) => {
    expect(mutate(read(change.file), change)).not.toBe(read(change.file));
  });

  it.each(BROKEN_BUILDS)('$id asks for one run that there is', ({ words, promises }) => {
    const wish = readOptions(words, 1);
    if (wish === 'list' || 'judge' in wish) throw new Error('not a run');
    expect(wish.scenarios.length + (wish.nemesis === null ? 0 : 1)).toBe(1);
    expect(promises.length).toBeGreaterThan(0);
  });

  it('says what each row of the table in docs/chaos.md says, and by what it was convicted', () => {
    const rows = read('docs/chaos.md')
      .split('\n')
      .filter((line) => /^\| B\d/.test(line))
      .map((line) => line.split('|').map((cell) => cell.trim()));
    for (const [, id, bug, , , by = ''] of rows) {
      const build = BROKEN_BUILDS.find((one) => one.id === id);
      expect(bug).toBe(build?.bug);
      expect(by.split(', ').filter((promise) => build?.promises.includes(promise))).not.toEqual([]);
    }
  });
});
