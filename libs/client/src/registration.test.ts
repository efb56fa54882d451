import { AssertionError } from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Registration } from './registration.js';

describe('registration', () => {
  it('completes through the lowest outstanding number less one, in whatever order they end', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 60 }), (choices) => {
        const registration = new Registration(1);
        const outstanding = new Set<number>();
        let last = 0;
        for (const choice of choices) {
          const ended = [...outstanding][choice % (outstanding.size * 2 + 1)];
          if (ended === undefined) outstanding.add((last = registration.assign()));
          else {
            outstanding.delete(ended);
            registration.complete(ended);
          }
          const lowest = Math.min(last + 1, ...outstanding);
          expect(registration.window).toBe(last - (lowest - 1));
          for (const sequence of outstanding) {
            expect(registration.stamp(sequence)).toEqual({
              clientId: 1,
              sequence,
              completedThrough: lowest - 1,
            });
          }
        }
      }),
      { numRuns: 300, seed: 3 },
    );
  });

  it('treats a second completion, or sending a completed number, as a programmer error', () => {
    const registration = new Registration(1);
    const sequence = registration.assign();
    registration.complete(sequence);
    expect(() => registration.complete(sequence)).toThrow(AssertionError);
    expect(() => registration.stamp(sequence)).toThrow(AssertionError);
    expect(() => registration.complete(2)).toThrow(AssertionError);
  });
});
