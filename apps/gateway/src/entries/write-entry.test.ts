import { describe, expect, it } from 'vitest';
import { checkedIdempotencyKey } from './write-entry.js';

describe('checkedIdempotencyKey', () => {
  it.each(['k', 'order 1/2', 'k'.repeat(255), 'ü'.repeat(127), '😀'])('takes %s', (key) => {
    expect(checkedIdempotencyKey(key)).toBe(key);
  });

  it('takes that there is none', () => {
    expect(checkedIdempotencyKey(undefined)).toBeNull();
  });

  it.each([
    ['nothing', ''],
    ['256 bytes', 'k'.repeat(256)],
    ['128 characters of two bytes', 'ü'.repeat(128)],
    ['half of a character', 'a\ud83d'],
    ['NUL', 'a\0'],
    ['a line break', 'a\nb'],
    ['DEL', 'a\u007f'],
  ])('refuses %s', (_name, key) => {
    expect(() => checkedIdempotencyKey(key)).toThrow(/255 bytes in UTF-8/);
  });
});
