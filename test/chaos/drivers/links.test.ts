import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Links } from './links.js';

const WHOLE = { isCut: false, delayMs: 0, jitterMs: 0, bytesPerSecond: null, lossPercent: 0 };

describe('the faults of links', () => {
  it('concern the pairs between both sides and no other, a one-way cut one direction', async () => {
    const links = new Links(() => undefined);
    await links.begin({ kind: 'cut', from: ['store1'], to: ['store2', 'nats'] });
    await links.begin({ kind: 'cutOneWay', from: ['store2'], to: ['store3'] });
    expect(links.condition('store1', 'store2').isCut).toBe(true);
    expect(links.condition('nats', 'store1').isCut).toBe(true);
    expect(links.condition('store1', 'store3')).toEqual(WHOLE);
    expect(links.condition('store2', 'nats')).toEqual(WHOLE);
    expect(links.condition('store2', 'store3').isCut).toBe(true);
    expect(links.condition('store3', 'store2')).toEqual(WHOLE);
  });

  it('overlap: a pair is whole when the last cut has ended, and to end one twice changes nothing', async () => {
    const changed = vi.fn<() => void>();
    const links = new Links(changed);
    const cut = { kind: 'cut', from: ['store1'], to: ['store2'] } as const;
    const [first, second] = [await links.begin(cut), await links.begin(cut)];
    await first();
    await first();
    expect(links.condition('store1', 'store2').isCut).toBe(true);
    await second();
    expect(links.condition('store1', 'store2')).toEqual(WHOLE);
    expect(changed).toHaveBeenCalledTimes(4);
  });

  it('add up: delays their sum, slow links the slowest, losses independently of each other', async () => {
    const links = new Links(() => undefined);
    const pair = { from: ['store1'], to: ['store2'] } as const;
    await links.begin({ kind: 'delay', ...pair, ms: 100, jitterMs: 10 });
    await links.begin({ kind: 'delay', ...pair, ms: 50, jitterMs: 0 });
    await links.begin({ kind: 'slowLink', ...pair, bytesPerSecond: 1_000 });
    await links.begin({ kind: 'slowLink', ...pair, bytesPerSecond: 500 });
    await links.begin({ kind: 'loss', ...pair, percent: 50 });
    await links.begin({ kind: 'loss', ...pair, percent: 50 });
    const sum = { isCut: false, delayMs: 150, jitterMs: 10, bytesPerSecond: 500, lossPercent: 75 };
    expect(links.condition('store1', 'store2')).toEqual(sum);
    expect(links.condition('store2', 'store1')).toEqual(sum);
    await links.endAll();
    expect(links.condition('store1', 'store2')).toEqual(WHOLE);
  });

  describe('a flap', () => {
    beforeEach(() => void vi.useFakeTimers());
    afterEach(() => void vi.useRealTimers());

    it('is cut and healed in turn, and whole for good once it has ended', async () => {
      const links = new Links(() => undefined);
      const end = await links.begin({
        kind: 'flap',
        from: ['store1'],
        to: ['store2'],
        cutMs: 300,
        healedMs: 100,
      });
      const seen: boolean[] = [];
      for (let step = 0; step < 8; step += 1) {
        seen.push(links.condition('store1', 'store2').isCut);
        await vi.advanceTimersByTimeAsync(100);
      }
      expect(seen).toEqual([true, true, true, false, true, true, true, false]);
      await end();
      expect(links.condition('store1', 'store2')).toEqual(WHOLE);
      expect(vi.getTimerCount()).toBe(0);
    });
  });
});
