import fc from 'fast-check';
import { expect, it } from 'vitest';
import { EventQueue } from './event-queue.js';
import { SeededRandom } from './random.js';

it('runs events by time, and by order of scheduling at equal times', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 5 })), (times) => {
      const queue = new EventQueue();
      const ran: [number, number][] = [];
      times.forEach((atMs, index) => queue.push(atMs, () => ran.push([atMs, index])));
      for (let event = queue.pop(); event !== null; event = queue.pop()) event.run();
      const sorted = times
        .map((atMs, index): [number, number] => [atMs, index])
        .sort(([one, first], [other, second]) => one - other || first - second);
      expect(ran).toEqual(sorted);
    }),
  );
});

it('skips what was cancelled', () => {
  const queue = new EventQueue();
  const first = queue.push(1, () => undefined);
  const second = queue.push(2, () => undefined);
  first.cancelled = true;
  expect(queue.pop()).toBe(second);
  expect(queue.pop()).toBeNull();
});

it('draws the same numbers from the same seed, evenly enough', () => {
  const [one, other] = [new SeededRandom(7), new SeededRandom(7)];
  const counts = Array.from({ length: 10 }, () => 0);
  for (let draw = 0; draw < 10_000; draw += 1) {
    const drawn = one.below(10);
    expect(other.below(10)).toBe(drawn);
    counts[drawn] = (counts[drawn] ?? 0) + 1;
  }
  for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(150);
  expect(new SeededRandom(8).uint32()).not.toBe(new SeededRandom(7).uint32());
});
