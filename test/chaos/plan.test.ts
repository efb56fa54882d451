import { describe, expect, it } from 'vitest';
import { FakeCluster, planOf } from './fakes.testing.js';
import type { FaultKind } from './fault.js';
import { castFault, doCollide, touchedBy, whyNotPlan } from './plan.js';
import { SCENARIOS_OF_CI, scenarios } from './scenarios.js';

/** A kind that is missing here is an error of types. */
const KINDS: Readonly<Record<FaultKind, true>> = {
  cut: true,
  cutOneWay: true,
  flap: true,
  loss: true,
  delay: true,
  slowLink: true,
  pause: true,
  kill: true,
  stop: true,
  clock: true,
  diskFull: true,
  diskReadOnly: true,
  slowSync: true,
  hungDisk: true,
  powerCut: true,
  memoryLimit: true,
};

describe('places of a plan', () => {
  const cluster = new FakeCluster();

  it('are filled by whoever leads when a fault begins', () => {
    const planned = { kind: 'cut', from: ['leader'], to: ['follower1', 'follower2', 'nats'] } as const;
    expect(castFault(planned, cluster, 'store2')).toEqual({
      kind: 'cut',
      from: ['store2'],
      to: ['store3', 'store1', 'nats'],
    });
  });

  it('are left out when the cluster does not have them, as long as somebody is left', () => {
    const poor = { ...cluster, members: cluster.members, gateways: ['gateway1'] as const, hasNats: false };
    const cut = { kind: 'cut', from: ['leader'], to: ['follower1', 'gateway2', 'nats'] } as const;
    expect(castFault(cut, poor, 'store1')).toMatchObject({ to: ['store2'] });
    expect(castFault({ kind: 'kill', parts: ['nats'] }, poor, 'store1')).toBe('this cluster has no nats');
  });

  it('two cuts of one link collide, and two faults of one process; a cut and a loss do not, nor a cut and a kill', () => {
    const cut = { kind: 'cut', from: ['store1'], to: ['store2', 'store3'] } as const;
    const kill = { kind: 'kill', parts: ['store2'] } as const;
    expect(doCollide(cut, { kind: 'cutOneWay', from: ['store3'], to: ['store1'] })).toBe(true);
    expect(doCollide(cut, { kind: 'cutOneWay', from: ['store3'], to: ['store2'] })).toBe(false);
    expect(doCollide(cut, { kind: 'loss', from: ['store3'], to: ['store1'], percent: 5 })).toBe(false);
    expect(doCollide(kill, { kind: 'hungDisk', part: 'store2' })).toBe(true);
    expect(doCollide(kill, { kind: 'clock', parts: ['store2'], offsetMs: 5 })).toBe(false);
    expect(doCollide(kill, cut)).toBe(false);
  });

  it('a plan that cannot be carried out says why', () => {
    const disk = planOf([{ faults: [{ kind: 'diskFull', part: 'leader' }] }]);
    expect(whyNotPlan(disk, cluster)).toBe('there are no disks here');
    expect(whyNotPlan({ ...disk, members: 5 }, cluster)).toBe('it is for 5 members');
    expect(whyNotPlan(planOf([{ faults: [{ kind: 'kill', parts: ['leader'] }] }]), cluster)).toBeNull();
  });
});

describe('scenarios', () => {
  it('have names of their own, and each lets something be seen', () => {
    const names = scenarios.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const { steps } of scenarios) for (const { expect: seen } of steps) expect(seen).not.toEqual([]);
    expect(names).toEqual(expect.arrayContaining([...SCENARIOS_OF_CI]));
  });

  it('have every kind of fault among them', () => {
    const used = new Set(
      scenarios.flatMap(({ steps }) => steps.flatMap(({ faults }) => faults.map(({ kind }) => kind))),
    );
    expect(used).toEqual(new Set(Object.keys(KINDS)));
  });

  it.each(scenarios)(
    '$name: its faults fit a cluster and do not collide, and it ends after the last',
    (plan) => {
      const members = Array.from({ length: plan.members }, (_, index) => `store${index + 1}` as const);
      const cluster = { members, gateways: ['gateway1', 'gateway2'] as const, hasNats: true };
      for (const leader of members) {
        for (const { faults, atMs, holdMs } of plan.steps) {
          const cast = faults.map((planned) => castFault(planned, cluster, leader));
          const begun = cast.filter((one) => typeof one !== 'string');
          expect(begun.length).toBe(faults.length);
          for (const one of begun) {
            expect(new Set(touchedBy(one)).size).toBe(touchedBy(one).length);
            expect(begun.some((other) => other !== one && doCollide(one, other))).toBe(false);
          }
          expect(atMs + holdMs).toBeLessThan(plan.lengthMs);
        }
      }
    },
  );
});
