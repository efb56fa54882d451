import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mutate } from '../loader/instrument.mjs';
import { MUTATIONS } from './catalogue.js';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

describe('the catalogue of seeded bugs', () => {
  it('is numbered without a gap, and says each bug once', () => {
    expect(MUTATIONS.map(({ id }) => id)).toEqual(MUTATIONS.map((_, index) => `M${index + 1}`));
    expect(new Set(MUTATIONS.map(({ bug }) => bug)).size).toBe(MUTATIONS.length);
  });

  it.each(MUTATIONS)('$id still fits the source', (mutation) => {
    expect(mutate(read(mutation.file), mutation)).not.toBe(read(mutation.file));
  });

  it('and its published table agree, row by row, and every bug was found', () => {
    const rows = read('docs/mutations.md')
      .split('\n')
      .filter((line) => line.startsWith('| M'))
      .map((line) => line.split('|').map((cell) => cell.trim()));
    expect(rows.map(([, id, rule, bug]) => [id, rule, bug])).toEqual(
      MUTATIONS.map(({ id, rule, bug }) => [id, rule, bug]),
    );
    for (const [, id, , , finder, effort] of rows) {
      expect({ id, finder }).not.toEqual({ id, finder: 'not found' });
      expect(Number(effort)).toBeGreaterThan(0);
    }
  });
});
