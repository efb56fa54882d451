import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HistoryOperation } from './history.js';
import { checkByPermutation } from './permutation-checker.testing.js';
import { checkRevisionSweep } from './revision-sweep.js';

/** A small seeded generator (mulberry32): a failing history is found again by its seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const KEYS = ['k', 'l'];

/** A history of a real store: each operation takes effect at one moment between its invocation and its completion. */
function legalHistory(seed: number, count: number, blindReads: boolean): HistoryOperation[] {
  const random = randomFrom(seed);
  const plans = Array.from({ length: count }, (_, index) => {
    const effectAt = 10 + random(60) * 4 + index / 100;
    return {
      id: index + 1,
      effectAt,
      invokedAt: effectAt - random(40) - 1,
      completedAt: effectAt + random(40) + 1,
    };
  }).sort((left, right) => left.effectAt - right.effectAt);
  const entries = new Map<string, { value: string; revision: number; acknowledged: boolean }>();
  let revision = 0;
  return plans.map(({ id, invokedAt, completedAt }): HistoryOperation => {
    // Revisions of others (namespaces, other tests) leave holes.
    if (random(8) === 0) revision += 1;
    const key = KEYS[random(KEYS.length)] ?? 'k';
    const entry = entries.get(key);
    const kind = random(10);
    if (kind < 4) {
      // A refused comparison sees the revision of an entry, but not its value.
      const value = blindReads && entry !== undefined && kind === 0 ? undefined : (entry?.value ?? null);
      const entryRevision = entry?.revision ?? null;
      return { type: 'read', id, key, invokedAt, completedAt, head: revision, entryRevision, value };
    }
    const value = kind < 8 ? `v${id}` : null;
    // Nobody compares with a revision that he was never told.
    const compares = random(3) === 0 && entry?.acknowledged !== false;
    const replaced = compares ? (entry?.revision ?? null) : undefined;
    const fate = random(6);
    const common = { type: 'write', id, key, invokedAt, value, replaced } as const;
    if (fate === 0) return { ...common, outcome: 'none', completedAt, revision: null };
    if (fate === 1) return { ...common, outcome: 'unknown', completedAt: null, revision: null };
    revision += 1;
    if (value === null) entries.delete(key);
    else entries.set(key, { value, revision, acknowledged: fate > 2 });
    if (fate === 2) return { ...common, outcome: 'unknown', completedAt: null, revision: null };
    if (fate === 3 && random(2) === 0) return { ...common, outcome: 'unknown', completedAt: null, revision };
    return { ...common, outcome: 'done', completedAt, revision };
  });
}

/** One lie somewhere. The result may still be legal: that is for the checkers to find out, and to agree upon. */
function mutated(history: readonly HistoryOperation[], seed: number): HistoryOperation[] {
  const random = randomFrom(seed ^ 0x5eed);
  const victim = random(history.length);
  const shift = random(2) === 0 ? 1 : -1;
  return history.map((operation, index) => {
    if (index !== victim) return operation;
    if (operation.type === 'read') {
      const another = history[random(history.length)];
      switch (random(4)) {
        case 0:
          return { ...operation, head: Math.max(0, operation.head + shift) };
        case 1:
          return { ...operation, value: null, entryRevision: null };
        case 2:
          return { ...operation, completedAt: operation.invokedAt + 0.5 };
        default:
          return another?.type === 'read'
            ? { ...operation, value: another.value, entryRevision: another.entryRevision }
            : operation;
      }
    }
    switch (random(4)) {
      case 0:
        return operation.revision === null
          ? operation
          : { ...operation, revision: Math.max(1, operation.revision + shift) };
      case 1:
        return operation.outcome === 'done' ? { ...operation, outcome: 'none', revision: null } : operation;
      case 2:
        return operation.outcome === 'done'
          ? { ...operation, invokedAt: operation.invokedAt - 60, completedAt: operation.invokedAt - 20 }
          : operation;
      default:
        return operation.replaced === undefined ? operation : { ...operation, replaced: null };
    }
  });
}

/**
 * Does some condition name a revision at which nothing is known to have been written? No real client compares with a revision that
 * it was never told; a lie can make it look so. Which open write it was is then a guess, and the two checkers guess differently.
 */
function comparesBlindly(history: readonly HistoryOperation[]): boolean {
  const known = new Set<number | null | undefined>([null, undefined]);
  for (const operation of history) {
    if (operation.type === 'write') known.add(operation.revision);
    else if (operation.value !== undefined) known.add(operation.entryRevision);
  }
  return history.some((operation) => operation.type === 'write' && !known.has(operation.replaced));
}

describe('revision sweep against every permutation', () => {
  it('agrees on 20,000 legal histories, and accepts them', () => {
    for (let seed = 0; seed < 20_000; seed += 1) {
      const history = legalHistory(seed, 1 + (seed % 7), seed % 2 === 0);
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
      const history = mutated(legalHistory(seed, 2 + (seed % 6), false), seed);
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
      const history = mutated(legalHistory(seed, 2 + (seed % 6), true), seed);
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
        const legal = legalHistory(seed, count, false);
        const history = lie ? mutated(legal, seed) : legal;
        const forwards = checkRevisionSweep(history).linearizable;
        expect(checkRevisionSweep([...history].reverse()).linearizable).toBe(forwards);
      }),
      { numRuns: 500 },
    );
  });
});
