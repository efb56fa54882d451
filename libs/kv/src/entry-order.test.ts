import { expect, test } from 'vitest';
import { seededRandom } from './commands.testing.js';
import { EntryOrder } from './entry-order.js';

/** Entries whose key is a number of its own: `keys` by entry number. */
class Owner {
  order = new EntryOrder();
  readonly keys: number[] = [];
  readonly live = new Map<number, number>();

  insert(key: number): void {
    const number = this.keys.push(key) - 1;
    this.order.insert(number, this.before(key));
    this.live.set(key, number);
  }

  delete(key: number): void {
    this.order.delete(this.live.get(key) ?? -1, this.before(key));
    this.live.delete(key);
  }

  before(key: number): (number: number) => boolean {
    return (number) => (this.keys[number] ?? NaN) < key;
  }

  keysIn(numbers: Iterable<number>): number[] {
    return Array.from(numbers, (number) => this.keys[number] ?? NaN);
  }

  get sorted(): number[] {
    return [...this.live.keys()].toSorted((one, other) => one - other);
  }
}

test.each([1, 2, 3, 4])(
  '[K26] [K29] numbers stand in the order of keys, and a clone leaves its original as it was, seed %i',
  (seed) => {
    const random = seededRandom(seed);
    const owner = new Owner();
    const frozen: { order: EntryOrder; sorted: number[] }[] = [];
    // It grows to many leaves, shrinks to almost none, and grows again.
    for (let step = 0; step < 30_000; step += 1) {
      const isGrowing = Math.floor(step / 10_000) !== 1;
      const key = random(1_000_000);
      if (random(10) < (isGrowing ? 8 : 1)) {
        if (!owner.live.has(key)) owner.insert(key);
      } else {
        const known = owner.live.keys().next().value;
        if (known !== undefined) owner.delete(known);
      }
      if (random(2_000) === 0) {
        frozen.push({ order: owner.order, sorted: owner.sorted });
        owner.order = owner.order.clone();
      }
    }
    frozen.push({ order: owner.order, sorted: owner.sorted });
    expect(frozen.length).toBeGreaterThan(5);
    for (const { order, sorted } of frozen) {
      expect(order.size).toBe(sorted.length);
      expect(owner.keysIn(order.values())).toEqual(sorted);
      for (let probe = 0; probe < 20; probe += 1) {
        const key = random(1_100_000);
        const rest = sorted.filter((other) => other >= key);
        expect(owner.keysIn(order.from(owner.before(key)))).toEqual(rest);
      }
    }
  },
);

test('[K26] what is appended stands behind all others, and may be searched for at once', () => {
  const owner = new Owner();
  for (let key = 0; key < 2_000; key += 2) {
    owner.order.append(owner.keys.push(key) - 1);
    owner.live.set(key, owner.keys.length - 1);
  }
  for (let key = 1; key < 2_000; key += 2) owner.insert(key);
  expect(owner.keysIn(owner.order.values())).toEqual(owner.sorted);
  for (let key = 0; key < 2_000; key += 1) owner.delete(key);
  expect([owner.order.size, ...owner.order.values()]).toEqual([0]);
});

test('[K26] a number that is not where its key belongs is an error of the program', () => {
  const owner = new Owner();
  for (const key of [1, 2, 3]) owner.insert(key);
  expect(() => owner.order.delete(0, owner.before(2))).toThrow('where its key belongs');
});
