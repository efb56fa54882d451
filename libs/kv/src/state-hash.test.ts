import { describe, expect, test } from 'vitest';
import { seededRandom } from './commands.testing.js';
import { WIDE, wideStep } from './random-commands.testing.js';
import { LazyRowSum, RowSum, rowHash } from './state-hash.js';
import { StateMachine } from './state-machine.js';

describe('state hash', () => {
  test.each([1, 2])(
    '[K27] a sum that is hashed late is the sum of the rows that are there, seed %i',
    (seed) => {
      const random = seededRandom(seed);
      const rows = new Map<number, number>();
      let hashes = 0;
      const hashOf = (item: number) => {
        hashes += 1;
        return rowHash(Buffer.from(`${item} ${rows.get(item)}`));
      };
      const sum = new LazyRowSum<number>(hashOf);
      for (let step = 0; step < 20_000; step += 1) {
        const item = random(6_000);
        if (rows.has(item)) sum.remove(item);
        rows.delete(item);
        if (random(4) > 0) {
          rows.set(item, step);
          sum.add(item);
        }
        if (random(1_500) > 0 && step !== 19_999) continue;
        const lazy = sum.value.slice();
        hashes = 0;
        expect(sum.value).toEqual(lazy);
        expect(hashes).toBe(0);
        const expected = new RowSum();
        for (const present of rows.keys()) expected.add(hashOf(present));
        expect(lazy).toEqual(expected.value);
      }
    },
  );

  test('[K27] what comes and goes before anybody asks is not hashed, and never are many left to be hashed at once', () => {
    let hashes = 0;
    const sum = new LazyRowSum<number>((item) => {
      hashes += 1;
      return rowHash(Buffer.from(`${item}`));
    });
    for (let item = 0; item < 100_000; item += 1) {
      sum.add(item);
      sum.remove(item);
    }
    expect(hashes).toBe(0);
    for (let item = 0; item < 100_000; item += 1) sum.add(item);
    expect(hashes).toBeGreaterThan(97_000);
  });

  test.each([3, 4])('[K1] [K27] is the same whenever and however often it was asked for, seed %i', (seed) => {
    const random = seededRandom(seed);
    const [always, never] = [new StateMachine(WIDE), new StateMachine(WIDE)];
    for (let step = 0; step < 4_000; step += 1) {
      wideStep(random, [always, never], step);
      always.stateHash();
    }
    expect(never.stateHash()).toBe(always.stateHash());
  });
});
