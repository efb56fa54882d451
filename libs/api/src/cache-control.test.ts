import fc from 'fast-check';
import { codeOf } from './code-of.testing.js';
import { describe, expect, it } from 'vitest';
import {
  type CacheDirectives,
  NO_DIRECTIVES,
  parseCacheControl,
  strengthenedLevel,
} from './cache-control.js';
import { BOUNDED_MS_MAX, formatReadLevel, parseReadLevel } from './headers.js';

describe('Cache-Control of a request', () => {
  it.each<[string, Partial<CacheDirectives>]>([
    ['', {}],
    ['max-age=5', { maxAgeSeconds: 5 }],
    ['max-age="5"', { maxAgeSeconds: 5 }],
    ['max-age="\\5"', { maxAgeSeconds: 5 }],
    ['Max-Age=0', { maxAgeSeconds: 0 }],
    ['max-age=99999999999999999999999999', { maxAgeSeconds: 2 ** 31 }],
    ['max-age=60, max-age=5, max-age=7', { maxAgeSeconds: 5 }],
    ['min-fresh=3, min-fresh=1', { minFreshSeconds: 3 }],
    ['stale-if-error=600, stale-if-error=60', { staleIfErrorSeconds: 60 }],
    ['no-cache', { noCache: true }],
    ['only-if-cached', { onlyIfCached: true }],
    [
      'no-cache,\tONLY-IF-CACHED , stale-if-error=60',
      { noCache: true, onlyIfCached: true, staleIfErrorSeconds: 60 },
    ],
    [', ,max-age=5,, ', { maxAgeSeconds: 5 }],
    ['no-store, no-transform, max-stale, max-stale=5', {}],
    ['private="a, max-age=1", x-unheard-of=7, community="UCI"', {}],
    ['unheard-of="a \\" , no-cache", max-age=5', { maxAgeSeconds: 5 }],
  ])('%j', (header, directives) => {
    expect(parseCacheControl(header)).toEqual({ ...NO_DIRECTIVES, ...directives });
  });

  it('is nothing when there is none', () => {
    expect(parseCacheControl(undefined)).toBe(NO_DIRECTIVES);
    expect(parseCacheControl(null)).toBe(NO_DIRECTIVES);
  });

  it.each([
    'max-age',
    'max-age=',
    'max-age=-1',
    'max-age=1.5',
    'max-age=1e3',
    'max-age=0x10',
    'max-age=""',
    'max-age="5',
    'max-age = 5',
    'max-age=5 60',
    'min-fresh',
    'min-fresh=soon',
    'stale-if-error',
    'stale-if-error=yes',
    'no-cache=1',
    'no-cache="Set-Cookie"',
    'only-if-cached=true',
    'max-age=5; min-fresh=1',
    '=5',
    '"no-cache"',
    'no-cache\u0000',
    'max-age=5'.padEnd(2000, ','),
  ])('%j is refused: what cannot be read is not guessed', (header) => {
    expect(codeOf(() => parseCacheControl(header))).toBe('INVALID_REQUEST');
  });

  it('is total: any text gives directives or one typed error', () => {
    const parts = fc.constantFrom('max-age', 'no-cache', '=', '"', '\\', ',', ' ', '5', 'x', '\t', '\u00e9');
    const text = fc.oneof(
      fc.string(),
      fc.array(parts).map((all) => all.join('')),
    );
    fc.assert(
      fc.property(text, (header) => {
        expect(['no error', 'INVALID_REQUEST']).toContain(codeOf(() => parseCacheControl(header)));
      }),
    );
  });
});

describe('the level that directives make of the one asked for', () => {
  const DAY = `bounded;ms=${BOUNDED_MS_MAX}`;
  it.each<[string | null, string, string | null]>([
    // nothing that strengthens
    [null, '', null],
    ['eventual', 'max-stale, no-store', 'eventual'],
    ['session', 'stale-if-error=5, only-if-cached', 'session'],
    ['linearizable', 'max-stale=1000', 'linearizable'],
    // no-cache
    [null, 'no-cache', 'linearizable'],
    ['eventual', 'no-cache, max-age=60', 'linearizable'],
    ['session', 'no-cache', 'linearizable'],
    ['bounded;ms=5', 'no-cache', 'linearizable'],
    // max-age
    [null, 'max-age=5', 'bounded;ms=5000'],
    ['eventual', 'max-age=5', 'bounded;ms=5000'],
    ['bounded;ms=200', 'max-age=5', 'bounded;ms=200'],
    ['bounded;ms=9000', 'max-age=5', 'bounded;ms=5000'],
    [null, 'max-age=0', 'linearizable'],
    [null, 'max-age=31536000', DAY],
    ['session', 'max-age=5', 'linearizable'],
    ['linearizable', 'max-age=5', 'linearizable'],
    // min-fresh: taken off the bound that there is
    [null, 'min-fresh=1', 'linearizable'],
    [null, 'min-fresh=0', 'linearizable'],
    ['eventual', 'min-fresh=1', 'linearizable'],
    ['session', 'min-fresh=1', 'linearizable'],
    [null, 'max-age=5, min-fresh=2', 'bounded;ms=3000'],
    [null, 'max-age=5, min-fresh=0', 'bounded;ms=5000'],
    [null, 'max-age=5, min-fresh=5', 'linearizable'],
    [null, 'max-age=5, min-fresh=9', 'linearizable'],
    ['bounded;ms=2500', 'min-fresh=2', 'bounded;ms=500'],
    ['bounded;ms=2500', 'min-fresh=2, max-age=60', 'bounded;ms=500'],
    ['bounded;ms=2000', 'min-fresh=2', 'linearizable'],
    ['linearizable', 'min-fresh=2', 'linearizable'],
  ])('%s with %j is %s', (asked, header, level) => {
    const held = strengthenedLevel(parseReadLevel(asked), parseCacheControl(header));
    expect(held === null ? null : formatReadLevel(held)).toBe(level);
  });

  it('is never weaker than what was asked for, and can be read back', () => {
    const level = fc.oneof(
      fc.constantFrom(null, 'eventual', 'session', 'linearizable'),
      fc.integer({ min: 1, max: BOUNDED_MS_MAX }).map((ms) => `bounded;ms=${ms}`),
    );
    const seconds = fc.option(fc.nat({ max: 200_000 }));
    fc.assert(
      fc.property(level, seconds, seconds, fc.boolean(), (text, maxAgeSeconds, minFreshSeconds, noCache) => {
        const asked = parseReadLevel(text);
        const directives = { ...NO_DIRECTIVES, maxAgeSeconds, minFreshSeconds, noCache };
        const held = strengthenedLevel(asked, directives);
        if (held !== null) expect(parseReadLevel(formatReadLevel(held))).toEqual(held);
        if (held?.level === 'linearizable') return;
        expect(noCache).toBe(false);
        expect(held?.level === asked?.level || held?.level === 'bounded').toBe(true);
        expect(asked?.level === 'session' && held?.level === 'bounded').toBe(false);
        if (held?.level !== 'bounded') return;
        if (asked?.level === 'bounded') expect(held.ms).toBeLessThanOrEqual(asked.ms);
        if (maxAgeSeconds !== null) expect(held.ms).toBeLessThanOrEqual(maxAgeSeconds * 1000);
      }),
    );
  });
});
