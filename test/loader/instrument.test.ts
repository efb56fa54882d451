import { describe, expect, it } from 'vitest';
import { countMarks, marksOf, mutate } from './instrument.mjs';

const SOURCE = `function step(term: number): void {
  if (term < 3) {
    // mark: an old term
    return;
  }
  // A comment about a mark: this one is none.
  go();
}
`;

describe('the test loader', () => {
  it('turns a mark into a call that counts it, on the same line', () => {
    expect(marksOf(SOURCE)).toEqual(['an old term']);
    expect(countMarks(SOURCE).split('\n')[2]).toBe('    globalThis.quorateMark?.("an old term");');
    expect(countMarks(SOURCE).split('\n')).toHaveLength(SOURCE.split('\n').length);
    expect(marksOf(countMarks(SOURCE))).toEqual([]);
  });

  it('puts a bug where its text is, and refuses text that is not there once', () => {
    const file = 'x.ts';
    expect(mutate(SOURCE, { file, find: 'term < 3', replace: '$& false' })).toContain('if ($& false) {');
    expect(() => mutate(SOURCE, { file, find: 'term < 4', replace: '' })).toThrow('occurs 0 times');
    expect(() => mutate(SOURCE, { file, find: 'r', replace: '' })).toThrow('times, not once');
    expect(() => mutate(SOURCE, { file, find: '  go();', replace: '  go();' })).toThrow('changes nothing');
  });
});
