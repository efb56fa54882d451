import { expect, test } from 'vitest';
import { FIRST_PEEK_SEED, KEYS, PEEK_WORLDS, run } from './cached-view-worlds.testing.js';

test('[C21] [C20] random faults: nothing shown is older than stated, and every view converges', () => {
  const total = { hits: 0, filled: 0, lists: 0, linearizable: 0, bounded: 0, fallbacks: 0, refused: 0 };
  const events = {
    gaps: 0,
    duplicates: 0,
    pulls: 0,
    evictions: 0,
    loads: 0,
    loadsFailed: 0,
    epoch: 0,
    compacted: 0,
  };
  const wholes = { held: 0, tooLarge: 0 };
  for (let seed = 1; seed <= 120; seed += 1) {
    try {
      const world = run(seed, 250);
      expect(world.reads.size).toBe(0);
      expect([world.view.epoch, world.view.watermark]).toEqual([world.epoch, world.head]);
      const before = world.seen.hits;
      for (const key of KEYS) {
        world.read({ type: 'eventual' }, key);
        world.read({ type: 'linearizable' }, key);
        for (let step = 0; step < 10; step += 1) world.pass(10);
      }
      expect(world.seen.hits - before).toBe(2 * KEYS.length);
      const { counters } = world.view;
      for (const name of [
        'hits',
        'filled',
        'lists',
        'linearizable',
        'bounded',
        'fallbacks',
        'refused',
      ] as const)
        total[name] += world.seen[name];
      for (const name of ['gaps', 'duplicates', 'pulls', 'evictions', 'loads', 'loadsFailed'] as const)
        events[name] += counters[name];
      wholes.held += world.view.load.wholeNamespaces;
      wholes.tooLarge += counters.wholesTooLarge;
      events.epoch += counters.resyncs.epoch;
      events.compacted += counters.resyncs.compacted;
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  // The rare paths were reached, often enough to mean something.
  expect(wholes.held).toBeGreaterThan(20);
  expect(wholes.tooLarge).toBeGreaterThan(20);
  for (const count of [...Object.values(total), ...Object.values(events)]) expect(count).toBeGreaterThan(50);
});

test('[C30] [C31] [C33] random faults: a peek shows what an eventual read shows, its bound and proofs are true', () => {
  const total = { shown: 0, misses: 0, notReady: 0, bounds: 0, proofs: 0, unproven: 0 };
  for (let seed = FIRST_PEEK_SEED; seed < FIRST_PEEK_SEED + PEEK_WORLDS; seed += 1) {
    try {
      const world = run(seed, 250, true);
      world.lookAtPeeked();
      expect([world.view.epoch, world.view.watermark]).toEqual([world.epoch, world.head]);
      expect(world.openProofs).toBe(0);
      for (const name of ['shown', 'misses', 'notReady', 'bounds', 'proofs', 'unproven'] as const)
        total[name] += world.peeks[name];
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  for (const count of Object.values(total)) expect(count).toBeGreaterThan(50);
});
