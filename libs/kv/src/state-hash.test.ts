import { describe, expect, test } from 'vitest';
import { seededRandom } from './commands.testing.js';
import { WIDE, wideStep } from './random-commands.testing.js';
import { LazyRowSum, RowSum, type SummedRow, rowHash } from './state-hash.js';
import { StateMachine } from './state-machine.js';

describe('state hash', () => {
  interface Item extends SummedRow {
    text: string;
  }
  const itemOf = (text: string): Item => ({ text, hash: null, isGone: false });
  const itemHash = ({ text }: Item) => rowHash(Buffer.from(text));

  test.each([1, 2])(
    '[K27] a sum that is hashed late is the sum of the rows that are there, as they are now, seed %i',
    (seed) => {
      const random = seededRandom(seed);
      const rows = new Map<number, Item>();
      let hashes = 0;
      const sum = new LazyRowSum<Item>((item) => {
        hashes += 1;
        return itemHash(item);
      });
      for (let step = 0; step < 20_000; step += 1) {
        const number = random(6_000);
        const row = rows.get(number);
        if (row === undefined) {
          const added = itemOf(`${number} ${step}`);
          rows.set(number, added);
          sum.add(added);
        } else if (random(3) > 0) {
          row.text = `${number} ${step}`;
          sum.change(row);
        } else {
          rows.delete(number);
          sum.remove(row);
        }
        if (random(1_500) > 0 && step !== 19_999) continue;
        const lazy = sum.value.slice();
        hashes = 0;
        expect(sum.value).toEqual(lazy);
        expect(hashes).toBe(0);
        const expected = new RowSum();
        for (const present of rows.values()) expected.add(itemHash(present));
        expect(lazy).toEqual(expected.value);
      }
    },
  );

  test('[K27] what comes and goes before anybody asks is not hashed, and never are many left to be hashed at once', () => {
    let hashes = 0;
    const sum = new LazyRowSum<Item>((item) => {
      hashes += 1;
      return itemHash(item);
    });
    for (let number = 0; number < 100_000; number += 1) {
      const item = itemOf(`${number}`);
      sum.add(item);
      item.text += ' changed';
      sum.change(item);
      sum.remove(item);
    }
    // A list that is full is hashed even so: its last one was still there.
    expect(hashes).toBeLessThan(100);
    hashes = 0;
    for (let number = 0; number < 100_000; number += 1) sum.add(itemOf(`${number}`));
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
