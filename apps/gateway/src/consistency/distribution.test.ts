import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Distribution, LIMITS_MS } from './distribution.js';

describe('a distribution of durations', () => {
  it('knows nothing at first', () => {
    const empty = new Distribution();
    expect([empty.count, empty.maxMs, empty.percentileMs(50), empty.countWithin(0)]).toEqual([
      0,
      null,
      null,
      0,
    ]);
  });

  it('counts within its limits exactly, and gives percentiles to three figures', () => {
    const ms = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 100_000, noNaN: true }), fc.nat(100));
    fc.assert(
      fc.property(fc.array(ms, { minLength: 1, maxLength: 300 }), (durations) => {
        const measured = new Distribution();
        for (const duration of durations) measured.record(duration);
        const sorted = durations.toSorted((a, b) => a - b);
        expect(measured.count).toBe(durations.length);
        expect(measured.maxMs).toBe(sorted.at(-1));
        for (const [position, limitMs] of LIMITS_MS.entries()) {
          expect(measured.countWithin(position)).toBe(sorted.filter((value) => value <= limitMs).length);
        }
        for (const percent of [50, 99, 99.9, 100]) {
          const exact = sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? 0;
          const told = measured.percentileMs(percent) ?? -1;
          expect(Math.abs(told - exact)).toBeLessThanOrEqual(0.0011 + exact / 1000);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('takes what is longer than it can tell apart', () => {
    const measured = new Distribution();
    measured.record(1e12);
    expect(measured.maxMs).toBe(1e12);
    expect(measured.percentileMs(50)).toBeGreaterThan(3_590_000);
  });
});
