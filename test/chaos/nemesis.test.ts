import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FaultKind } from './fault.js';
import { type NemesisOptions, planNemesis } from './nemesis.js';

const KINDS: readonly FaultKind[] = [
  ...(['cut', 'cutOneWay', 'flap', 'loss', 'delay', 'slowLink', 'pause', 'kill', 'stop', 'clock'] as const),
  ...(['diskFull', 'diskReadOnly', 'slowSync', 'hungDisk', 'powerCut', 'memoryLimit'] as const),
];

const anyOptions = fc.record({
  seed: fc.nat(),
  runMs: fc.integer({ min: 15_000, max: 600_000 }),
  members: fc.constantFrom(3 as const, 5 as const),
  gateways: fc.integer({ min: 1, max: 3 }),
  hasNats: fc.boolean(),
  kinds: fc.subarray([...KINDS], { minLength: 1 }),
});

function many(change: Partial<NemesisOptions> = {}) {
  const base = { runMs: 120_000, members: 3, gateways: 2, hasNats: true, kinds: KINDS } as const;
  return Array.from({ length: 300 }, (_, seed) => planNemesis({ ...base, ...change, seed }));
}

describe('the random plan', () => {
  it('follows from its options alone', () => {
    fc.assert(
      fc.property(anyOptions, (options) => {
        expect(planNemesis(options)).toEqual(planNemesis(options));
      }),
    );
  });

  it('every fault ends before the run does, in order, for a bounded time, at most four at once, of kinds that can be done', () => {
    fc.assert(
      fc.property(anyOptions, (options) => {
        const { steps, lengthMs } = planNemesis(options);
        for (const [index, step] of steps.entries()) {
          expect(step.atMs).toBeGreaterThanOrEqual(steps[index - 1]?.atMs ?? 0);
          expect(step.holdMs).toBeGreaterThanOrEqual(1_000);
          expect(step.holdMs).toBeLessThanOrEqual(12_000);
          expect(step.atMs + step.holdMs).toBeLessThanOrEqual(lengthMs - 5_000);
          const others = steps.filter(({ atMs, holdMs }) => atMs <= step.atMs && atMs + holdMs > step.atMs);
          expect(others.length).toBeLessThanOrEqual(4);
          for (const { kind } of step.faults) expect(options.kinds).toContain(kind);
        }
        if (!options.hasNats) expect(JSON.stringify(steps)).not.toContain('nats');
      }),
    );
  });

  it('every kind comes often enough, and is absent from many plans', () => {
    const plans = many();
    for (const kind of KINDS) {
      const share =
        plans.filter(({ steps }) => steps.some(({ faults }) => faults.some((fault) => fault.kind === kind)))
          .length / plans.length;
      expect(share, kind).toBeGreaterThan(0.2);
      expect(share, kind).toBeLessThan(0.85);
    }
  });

  it('faults meet, calm times lie between them, and sometimes no majority is left', () => {
    const plans = many();
    const meet = plans.filter(({ steps }) =>
      steps.some(({ atMs }, index) => steps.slice(0, index).some((one) => one.atMs + one.holdMs > atMs)),
    );
    expect(meet.length).toBeGreaterThan(plans.length * 0.9);
    const isCalm = plans.filter(({ steps }) =>
      steps.some(
        ({ atMs }, index) =>
          index > 0 && Math.max(...steps.slice(0, index).map((one) => one.atMs + one.holdMs)) <= atMs - 4_000,
      ),
    );
    expect(isCalm.length).toBeGreaterThan(plans.length * 0.9);
    const isBeyond = plans.filter(({ steps }) =>
      steps.some(({ faults }) =>
        faults.some((fault) => (fault.kind === 'kill' || fault.kind === 'pause') && fault.parts.length >= 2),
      ),
    );
    expect(isBeyond.length).toBeGreaterThan(plans.length * 0.15);
  });
});
