import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkByKey, type KeyCheckOptions } from './check-by-key.js';
import { comparesBlindly, legalHistory, mutated } from './histories.testing.js';
import type { HistoryOperation } from './history.js';
import { checkByPermutation } from './permutation-checker.testing.js';
import { checkRevisionSweep } from './revision-sweep.js';

describe('revision sweep against every permutation', () => {
  it('agrees on 20,000 legal histories, and accepts them', () => {
    for (let seed = 0; seed < 20_000; seed += 1) {
      const history = legalHistory(seed, 1 + (seed % 7), { blindReads: seed % 2 === 0 });
      const verdict = checkRevisionSweep(history);
      expect({ seed, verdict }).toEqual({
        seed,
        verdict: { linearizable: true, operations: history.length },
      });
      if (seed % 4 === 0) expect({ seed, legal: checkByPermutation(history) }).toEqual({ seed, legal: true });
    }
  });

  it('agrees on 20,000 histories with one lie', () => {
    let convicted = 0;
    for (let seed = 0; seed < 20_000; seed += 1) {
      const history = mutated(legalHistory(seed, 2 + (seed % 6)), seed);
      if (comparesBlindly(history)) continue;
      const legal = checkByPermutation(history);
      const verdict = checkRevisionSweep(history);
      if (verdict.linearizable !== legal) expect({ seed, legal, verdict, history }).toBe('agreement');
      if (!legal) convicted += 1;
    }
    // Neither side may be idle: a good part of the lies shows, a good part does not.
    expect(convicted).toBeGreaterThan(2_000);
    expect(convicted).toBeLessThan(17_000);
  });

  it('never convicts what some permutation allows, when values are not always seen', () => {
    for (let seed = 0; seed < 10_000; seed += 1) {
      const history = mutated(legalHistory(seed, 2 + (seed % 6), { blindReads: true }), seed);
      if (comparesBlindly(history)) continue;
      const verdict = checkRevisionSweep(history);
      if (!verdict.linearizable && checkByPermutation(history)) {
        expect({ seed, verdict, history }).toBe('a sound conviction');
      }
    }
  });

  it('does not depend on the order in which operations are listed', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 2, max: 7 }), fc.boolean(), (seed, count, lie) => {
        const legal = legalHistory(seed, count);
        const history = lie ? mutated(legal, seed) : legal;
        const forwards = checkRevisionSweep(history).linearizable;
        expect(checkRevisionSweep([...history].reverse()).linearizable).toBe(forwards);
      }),
      { numRuns: 500 },
    );
  });
});

/** Every length of window must come to the same verdict: the cuts are not part of the question. */
function optionsOf(seed: number, revisions: KeyCheckOptions['revisions']): Partial<KeyCheckOptions> {
  return { revisions, windowOperationsMax: [1, 2, 3, 5, 64][seed % 5] ?? 64 };
}

function severalLies(seed: number, legal: readonly HistoryOperation[]): readonly HistoryOperation[] {
  let history = legal;
  for (let lie = 0; lie < seed % 4; lie += 1) history = mutated(history, seed + 1_000_003 * lie);
  return history;
}

describe('search of Wing, Gong and Lowe against the sweep', () => {
  it('agrees on 24,000 histories of one key, where the revisions of the store are those of the key', () => {
    let convicted = 0;
    for (let seed = 0; seed < 24_000; seed += 1) {
      const history = severalLies(seed, legalHistory(seed, 2 + (seed % 16), { keys: ['k'] }));
      if (comparesBlindly(history)) continue;
      const sweep = checkRevisionSweep(history).linearizable;
      const search = checkByKey(history, optionsOf(seed, 'rising')).outcome;
      if ((search === 'linearizable') !== sweep) expect({ seed, search, sweep, history }).toBe('agreement');
      if (!sweep) convicted += 1;
    }
    expect(convicted).toBeGreaterThan(3_000);
    expect(convicted).toBeLessThan(21_000);
  });

  it('never convicts one of 12,000 histories of two keys that the sweep acquits', () => {
    const convicted = { sweep: 0, rising: 0, opaque: 0 };
    for (let seed = 0; seed < 12_000; seed += 1) {
      const history = severalLies(seed, legalHistory(seed, 2 + (seed % 16)));
      if (comparesBlindly(history)) continue;
      const sweep = checkRevisionSweep(history).linearizable;
      if (!sweep) convicted.sweep += 1;
      for (const revisions of ['rising', 'opaque'] as const) {
        const search = checkByKey(history, optionsOf(seed, revisions)).outcome;
        if (search === 'linearizable') continue;
        convicted[revisions] += 1;
        if (sweep) expect({ seed, revisions, history }).toBe('an acquittal');
      }
    }
    // The less a checker is told, the less it sees; but each sees much.
    expect(convicted.opaque).toBeGreaterThan(700);
    expect(convicted.rising).toBeGreaterThan(convicted.opaque);
    expect(convicted.sweep).toBeGreaterThan(convicted.rising);
    expect(convicted.sweep).toBeLessThan(10_000);
  });
});

describe('search of Wing, Gong and Lowe against every permutation', () => {
  it('agrees on 12,000 histories of one key, also if values are not always seen and conditions are blind', () => {
    let convicted = 0;
    for (let seed = 0; seed < 12_000; seed += 1) {
      const legal = legalHistory(seed, 2 + (seed % 6), { keys: ['k'], blindReads: true });
      const history = severalLies(seed, legal);
      const permutation = checkByPermutation(history);
      const rising = checkByKey(history, optionsOf(seed, 'rising')).outcome;
      if ((rising === 'linearizable') !== permutation) expect({ seed, rising, history }).toBe('agreement');
      const opaque = checkByKey(history, optionsOf(seed, 'opaque')).outcome;
      if (permutation) expect({ seed, opaque }).toEqual({ seed, opaque: 'linearizable' });
      else convicted += 1;
    }
    expect(convicted).toBeGreaterThan(1_000);
    expect(convicted).toBeLessThan(11_000);
  });

  it('contradicts itself on none of 4,000 histories when it is short of memory', () => {
    let undecided = 0;
    for (let seed = 0; seed < 4_000; seed += 1) {
      const history = severalLies(seed, legalHistory(seed, 16, { keys: ['k'] }));
      const full = checkByKey(history).outcome;
      const short = checkByKey(history, {
        memoEntriesMax: 4,
        configurationsMax: 2,
        windowOperationsMax: 4,
      }).outcome;
      if (short === 'undecided') undecided += 1;
      else if (full !== short) expect({ seed, full, short, history }).toBe('agreement');
    }
    expect(undecided).toBeGreaterThan(400);
  });
});
