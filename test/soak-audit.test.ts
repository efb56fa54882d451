import { describe, expect, it } from 'vitest';
import {
  Acknowledgements,
  AuditTally,
  Lives,
  type SeenRead,
  judge,
  memoryTrend,
  ninesOf,
  verdictOf,
} from '../bench/soak-audit.js';
import { LOSS_MARGIN_MS, LOSS_MS, planFaults, randomOf } from '../bench/soak-plan.js';

const READ: SeenRead = {
  gateway: 0,
  key: 'k',
  asked: { level: 'eventual' },
  isLinearizable: false,
  stalenessMs: null,
  value: 1,
  sentMs: 1_000,
};

function written(...atMs: readonly number[]): Acknowledgements {
  const acknowledgements = new Acknowledgements();
  for (const [before, at] of atMs.entries()) {
    acknowledgements.send('k', before + 1);
    acknowledgements.acknowledge('k', before + 1, at);
  }
  return acknowledgements;
}

function broken(read: Partial<SeenRead>, acknowledgements: Acknowledgements): readonly string[] {
  return judge({ ...READ, ...read }, acknowledgements).map((violation) => violation.broken);
}

describe('the judgement of an answer', () => {
  it('knows what had been acknowledged when', () => {
    const acknowledgements = written(100, 200);
    expect([99, 100, 199, 200].map((atMs) => acknowledgements.floor('k', atMs))).toEqual([0, 1, 1, 2]);
    expect(acknowledgements.floor('other', 200)).toBe(0);
  });

  it('forgets what is long ago, and never says too much of it', () => {
    const acknowledgements = written(...Array.from({ length: 1_000 }, (_, number) => number * 1_000));
    expect(acknowledgements.floor('k', 999_000)).toBe(1_000);
    expect(acknowledgements.floor('k', 915_500)).toBe(916);
    expect(acknowledgements.floor('k', 5_000)).toBe(0);
  });

  it('lets an eventual answer be old, but not older than it says', () => {
    const acknowledgements = written(100, 900);
    expect(broken({}, acknowledgements)).toEqual([]);
    expect(broken({ stalenessMs: 101 }, acknowledgements)).toEqual([]);
    expect(broken({ stalenessMs: 100 }, acknowledgements)).toEqual(['staleness']);
    expect(broken({ stalenessMs: 100, value: 2 }, acknowledgements)).toEqual([]);
  });

  it('holds a bound, by what is sure', () => {
    const acknowledgements = written(100, 900);
    expect(broken({ asked: { level: 'bounded', ms: 101 } }, acknowledgements)).toEqual([]);
    expect(broken({ asked: { level: 'bounded', ms: 100 } }, acknowledgements)).toEqual(['bound']);
  });

  it('holds a token', () => {
    const acknowledgements = written(100, 900);
    expect(broken({ asked: { level: 'session', value: 1 } }, acknowledgements)).toEqual([]);
    expect(broken({ asked: { level: 'session', value: 2 } }, acknowledgements)).toEqual(['session']);
  });

  it('holds linearizability, asked for or given', () => {
    const acknowledgements = written(100, 1_000);
    expect(broken({ asked: { level: 'linearizable' }, sentMs: 999 }, acknowledgements)).toEqual([]);
    expect(broken({ asked: { level: 'linearizable' } }, acknowledgements)).toEqual(['linearizable']);
    expect(broken({ isLinearizable: true }, acknowledgements)).toEqual(['linearizable']);
  });

  it('knows values that nobody sent', () => {
    const acknowledgements = written(100);
    acknowledgements.send('k', 2);
    expect(broken({ value: 2 }, acknowledgements)).toEqual([]);
    expect(broken({ value: 3 }, acknowledgements)).toEqual(['never sent']);
  });
});

describe('a life of a gateway', () => {
  const see = (lives: Lives, value: number, before = lives.before(0, 'k')): string | undefined =>
    lives.see({ ...READ, value }, before)?.broken;

  it('goes forward only', () => {
    const lives = new Lives(2);
    expect(see(lives, 2)).toBeUndefined();
    expect(see(lives, 2)).toBeUndefined();
    expect(see(lives, 1)).toBe('backwards');
  });

  it('orders only reads that follow each other', () => {
    const lives = new Lives(2);
    const early = lives.before(0, 'k');
    expect(see(lives, 2)).toBeUndefined();
    expect(see(lives, 1, early)).toBeUndefined();
    expect(see(lives, 1)).toBe('backwards');
  });

  it('ends with the gateway, and says nothing of another one', () => {
    const lives = new Lives(2);
    expect(see(lives, 2)).toBeUndefined();
    const before = lives.before(0, 'k');
    expect(lives.see({ ...READ, gateway: 1, value: 1 }, lives.before(1, 'k'))).toBeNull();
    lives.end(0);
    expect(see(lives, 1, before)).toBeUndefined();
    expect(see(lives, 1)).toBeUndefined();
  });
});

describe('the audit', () => {
  it('tells old from unavailable, and takes newer for good', () => {
    expect([null, 1, 2, 3].map((value) => verdictOf(value, 2))).toEqual(['unavailable', 'stale', 'ok', 'ok']);
  });

  it('counts nines per window and gateway, without those that were unavailable', () => {
    const tally = new AuditTally();
    for (let count = 0; count < 999; count += 1) tally.add(0, 5, 'ok');
    tally.add(0, 5, 'stale');
    tally.add(0, 5, 'unavailable');
    tally.add(1, 1, 'ok');
    expect(tally.rows()).toEqual([
      { gateway: 1, windowSeconds: 1, ok: 1, stale: 0, unavailable: 0, nines: '> 0.0' },
      { gateway: 0, windowSeconds: 5, ok: 999, stale: 1, unavailable: 1, nines: '3.0' },
    ]);
  });

  it('says no more nines than were tried', () => {
    expect([ninesOf(0, 0), ninesOf(10_000, 0), ninesOf(99, 1), ninesOf(0, 1)]).toEqual([
      '-',
      '> 4.0',
      '2.0',
      '0.0',
    ]);
  });
});

describe('memory over time', () => {
  it('compares the first third with the last', () => {
    expect(memoryTrend([1, 2, 3, 9, 9, 9, 1, 2, 3])).toEqual({
      samples: 9,
      first: 2,
      last: 2,
      word: 'flat',
    });
    expect(memoryTrend([1, 1, 1, 2, 2, 2, 3, 3, 3]).word).toBe('growing');
    expect(memoryTrend([1, 2]).word).toBe('too short');
  });
});

describe('the plan of faults', () => {
  const runMs = 600_000;
  const seeds = Array.from({ length: 200 }, (_, seed) => seed);

  it('follows from the seed', () => {
    const plan = planFaults({ seed: 7, runMs, hasNats: true });
    expect(planFaults({ seed: 7, runMs, hasNats: true })).toEqual(plan);
    expect(planFaults({ seed: 8, runMs, hasNats: true })).not.toEqual(plan);
    const random = randomOf(1);
    const numbers = Array.from({ length: 1_000 }, random);
    expect(numbers.every((number) => number >= 0 && number < 1)).toBe(true);
  });

  it('has never two of a kind away, all members once, and then nothing else', () => {
    for (const seed of seeds) {
      const plan = planFaults({ seed, runMs, hasNats: true });
      const losses = plan.filter(({ part }) => part === 'store');
      expect(losses).toHaveLength(1);
      const [loss] = losses;
      const isNear = (one: { atMs: number; downMs: number }): boolean =>
        one.atMs + one.downMs > (loss?.atMs ?? 0) - LOSS_MARGIN_MS &&
        one.atMs < (loss?.atMs ?? 0) + LOSS_MS + LOSS_MARGIN_MS;
      expect(plan.filter(isNear)).toEqual(losses);
      for (const part of ['member', 'gateway', 'nats']) {
        const own = plan.filter((fault) => fault.part === part);
        expect(own.length).toBeGreaterThan(2);
        for (const [at, fault] of own.entries()) {
          expect(fault.atMs).toBeGreaterThan((own[at - 1]?.atMs ?? 0) + (own[at - 1]?.downMs ?? 0));
        }
      }
    }
  });

  it('leaves NATS out where there is none', () => {
    for (const seed of seeds) {
      expect(planFaults({ seed, runMs, hasNats: false }).some(({ part }) => part === 'nats')).toBe(false);
    }
  });
});
