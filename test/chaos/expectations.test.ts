import { describe, expect, it } from 'vitest';
import { observe } from './expectations.js';
import { operation } from './fakes.testing.js';
import type { Operation } from './operation.js';
import type { Expectation } from './plan.js';

const HELD = { fromMs: 1_000, toMs: 11_000 };
const GATEWAYS = ['gateway1'] as const;

function isMet(expectation: Expectation, operations: readonly Operation[]): boolean {
  return observe(expectation, operations, HELD).every((one) => one.isMet);
}

function series(count: number, change: (atMs: number) => Partial<Operation>): readonly Operation[] {
  return Array.from({ length: count }, (_, index) => {
    const atMs = HELD.fromMs + ((index + 0.5) * 10_000) / count;
    return operation({ invokedMs: atMs, completedMs: atMs + 1, ...change(atMs) });
  });
}

describe('what must be seen', () => {
  const answered = {
    kind: 'answered',
    tier: 'strict',
    gateways: GATEWAYS,
    shareMin: 0.9,
    settleMs: 2_000,
  } as const;
  const refused = { kind: 'refused', gateways: GATEWAYS } as const;
  const contentAnswered = { ...answered, tier: 'content', settleMs: 0 } as const;

  it('answered: the share of those asked after the settling time', () => {
    const late = series(100, (atMs) => (atMs < 3_000 ? { status: 503, outcome: 'none' } : {}));
    expect(isMet(answered, late)).toBe(true);
    expect(isMet({ ...answered, settleMs: 0 }, late)).toBe(false);
    expect(
      isMet(
        answered,
        series(100, () => ({ status: 412, outcome: 'none' })),
      ),
    ).toBe(true);
  });

  it('answered: no requests are no answers, neither are those that another gateway got, nor those that wait', () => {
    expect(isMet(answered, [])).toBe(false);
    expect(
      isMet(
        answered,
        series(10, () => ({ gateway: 2 })),
      ),
    ).toBe(false);
    expect(
      isMet(
        answered,
        series(10, () => ({ completedMs: null, status: null, outcome: 'none' })),
      ),
    ).toBe(false);
  });

  it('refused: one answer is too many, and nobody asking is not enough', () => {
    const refusals = series(20, () => ({ status: 503, outcome: 'none' }));
    expect(isMet(refused, refusals)).toBe(true);
    expect(isMet(refused, [...refusals, ...series(1, () => ({}))])).toBe(false);
    expect(
      isMet(
        refused,
        series(5, () => ({ tier: 'content' })),
      ),
    ).toBe(false);
    // An answer that came before the faults were in force says nothing of them.
    expect(isMet(refused, [...refusals, operation({ invokedMs: 999, completedMs: 1_001 })])).toBe(true);
  });

  it('content answered: bounded reads and those with a token may be refused, eventual ones not', () => {
    const eventual = series(20, () => ({ tier: 'content', level: 'eventual' }));
    const bounded = series(20, () => ({ tier: 'content', level: 'bounded', status: 503, outcome: 'none' }));
    expect(isMet(contentAnswered, [...eventual, ...bounded])).toBe(true);
    expect(isMet(contentAnswered, bounded)).toBe(false);
    expect(
      isMet(contentAnswered, [...eventual, ...bounded.map((one) => ({ ...one, level: 'eventual' }))]),
    ).toBe(false);
  });

  it('the age grows with the clock, and stays below a bound', () => {
    const grows = { kind: 'ageGrows', gateways: GATEWAYS } as const;
    const isFresh = { kind: 'fresh', gateways: GATEWAYS, belowMs: 2_000, settleMs: 500 } as const;
    const content = { tier: 'content', level: 'eventual' } as const;
    const growing = series(50, (atMs) => ({ ...content, stalenessMs: Math.round(atMs - HELD.fromMs) }));
    const steady = series(50, () => ({ ...content, stalenessMs: 300 }));
    expect([isMet(grows, growing), isMet(grows, steady)]).toEqual([true, false]);
    expect([isMet(isFresh, growing), isMet(isFresh, steady)]).toEqual([false, true]);
    expect([isMet(grows, []), isMet(isFresh, [])]).toEqual([false, false]);
  });
});
