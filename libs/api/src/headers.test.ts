import fc from 'fast-check';
import { codeOf } from './code-of.testing.js';
import { revision } from '@quorate/kv';
import { describe, expect, it } from 'vitest';
import {
  BOUNDED_MS_MAX,
  effectiveLevel,
  formatAge,
  formatCacheStatus,
  formatReadLevel,
  formatRetryAfter,
  formatStaleness,
  isNotModified,
  parseCondition,
  parseReadLevel,
  parseStaleness,
  strongEtag,
  weakEtag,
} from './headers.js';

describe('Read-Consistency', () => {
  it('reads the four levels and writes them back', () => {
    for (const text of [
      'eventual',
      'session',
      'linearizable',
      'bounded;ms=500',
      `bounded;ms=${BOUNDED_MS_MAX}`,
    ]) {
      const level = parseReadLevel(text);
      expect(level && formatReadLevel(level)).toBe(text);
    }
    expect(parseReadLevel(' bounded; ms=1 ')).toEqual({ level: 'bounded', ms: 1 });
    expect(parseReadLevel(undefined)).toBeNull();
  });

  it.each([
    '',
    'strong',
    'Linearizable',
    'bounded',
    'bounded;ms=0',
    'bounded;ms=-1',
    'bounded;ms=1.5',
    'bounded;ms=1e3',
    `bounded;ms=${BOUNDED_MS_MAX + 1}`,
    'bounded;ms=5;ms=500',
    'eventual;ms=5',
    'eventual, linearizable',
    '"linearizable"',
    'x'.repeat(5000),
  ])('refuses %j rather than weakening it', (text) => {
    expect(codeOf(() => parseReadLevel(text))).toBe('UNKNOWN_READ_CONSISTENCY');
  });

  it('is total: any text gives a level or one typed error', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(['no error', 'UNKNOWN_READ_CONSISTENCY']).toContain(codeOf(() => parseReadLevel(text)));
      }),
    );
  });

  it('may only be strengthened: strict and unknown namespaces stay linearizable', () => {
    for (const requested of [
      null,
      { level: 'eventual' },
      { level: 'session' },
      { level: 'bounded', ms: 5 },
    ] as const) {
      expect(effectiveLevel(requested, 'strict')).toEqual({ level: 'linearizable' });
      expect(effectiveLevel(requested, null)).toEqual({ level: 'linearizable' });
      expect(effectiveLevel(requested, 'cached')).toEqual(requested ?? { level: 'eventual' });
    }
    expect(effectiveLevel({ level: 'linearizable' }, 'cached')).toEqual({ level: 'linearizable' });
  });
});

describe('validators', () => {
  it('a strong tag becomes the condition of a write; a weak one never does', () => {
    expect(parseCondition(strongEtag(revision(5)), undefined)).toEqual({ type: 'revision', revision: 5 });
    expect(codeOf(() => parseCondition(weakEtag(revision(5)), undefined))).toBe('WEAK_VALIDATOR');
    expect(codeOf(() => parseCondition('"m5", W/"m6"', undefined))).toBe('WEAK_VALIDATOR');
  });

  it('knows the wildcards', () => {
    expect(parseCondition('*', undefined)).toEqual({ type: 'present' });
    expect(parseCondition(undefined, ' * ')).toEqual({ type: 'absent' });
    expect(parseCondition(undefined, undefined)).toEqual({ type: 'none' });
  });

  it.each([
    ['"m5", "m6"', undefined],
    ['m5', undefined],
    ['', undefined],
    ['"m5",', undefined],
    [',"m5"', undefined],
    ['"m5" "m6"', undefined],
    ['"abc"', undefined],
    ['"m0"', undefined],
    ['"m05"', undefined],
    ['"m9007199254740992"', undefined],
    ['"m1"', '*'],
    [undefined, '"m5"'],
    ['"m5"'.repeat(1000), undefined],
  ])('refuses If-Match %j with If-None-Match %j', (ifMatch, ifNoneMatch) => {
    expect(codeOf(() => parseCondition(ifMatch, ifNoneMatch))).toBe('INVALID_REQUEST');
  });

  it('a GET compares weakly: both forms of the tag, alone or in a list, give 304', () => {
    const now = revision(7);
    for (const header of ['"m7"', 'W/"m7"', '"m6", W/"m7"', '"other" ,\t"m7"', '*']) {
      expect(isNotModified(header, now), header).toBe(true);
    }
    for (const header of [undefined, '', '"m6"', '"M7"', 'm7', '"m7', '"m7",,', '"m70"']) {
      expect(isNotModified(header, now), String(header)).toBe(false);
    }
  });

  it('is total over any pair of headers', () => {
    const header = fc.option(fc.string({ unit: fc.constantFrom('"', 'm', '5', ',', ' ', 'W', '/', '*') }), {
      nil: undefined,
    });
    fc.assert(
      fc.property(header, header, (ifMatch, ifNoneMatch) => {
        isNotModified(ifNoneMatch, revision(5));
        const outcome = codeOf(() => parseCondition(ifMatch, ifNoneMatch));
        expect(['no error', 'INVALID_REQUEST', 'WEAK_VALIDATOR']).toContain(outcome);
      }),
    );
  });
});

describe('Staleness, Cache-Status, Age', () => {
  it('writes what the design shows', () => {
    const staleness = { ms: 84, lag: 3, revision: revision(1234), quorum: true };
    expect(formatStaleness(staleness)).toBe('ms=84, lag=3, revision=1234, quorum=?1');
    expect(formatCacheStatus(true, 'live')).toBe('quorate; hit; detail=live');
    expect(formatCacheStatus(false, 'stale')).toBe('quorate; fwd=miss; detail=stale');
  });

  it('states no number that is not proven, and never rounds a bound down', () => {
    const unknown = { ms: null, lag: null, revision: revision(9), quorum: false };
    expect(formatStaleness(unknown)).toBe('revision=9, quorum=?0');
    expect(formatStaleness({ ...unknown, ms: 84.001 })).toContain('ms=85');
    expect(formatAge(1)).toBe('1');
    expect(formatAge(0)).toBe('0');
    expect(formatAge(2001)).toBe('3');
    expect(formatRetryAfter(10)).toBe('1');
  });

  it('reads back what it wrote, and null for anything else', () => {
    const count = fc.option(fc.nat(), { nil: null });
    fc.assert(
      fc.property(count, count, fc.nat(), fc.boolean(), (ms, lag, at, quorum) => {
        const staleness = { ms, lag, revision: revision(at), quorum };
        expect(parseStaleness(formatStaleness(staleness))).toEqual(staleness);
      }),
    );
    for (const text of ['', 'ms=84', 'revision=1', 'revision=99999999999999999999, quorum=?1']) {
      expect(parseStaleness(text)).toBeNull();
    }
  });
});
