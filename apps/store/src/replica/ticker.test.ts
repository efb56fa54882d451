import { TICK_MS } from '@quorate/replica';
import { describe, expect, it } from 'vitest';
import { Ticker } from './ticker.js';

function counting(): { advanceTo(nowMs: number): number } {
  let nowMs = 0;
  let ticks = 0;
  const ticker = new Ticker(
    () => {
      ticks += 1;
    },
    () => nowMs,
  );
  return {
    advanceTo: (toMs) => {
      nowMs = toMs;
      const before = ticks;
      ticker.advance();
      return ticks - before;
    },
  };
}

describe('ticks', () => {
  it('[P36] follow the elapsed time, not the number of timer events', () => {
    const ticker = counting();
    expect(ticker.advanceTo(TICK_MS - 1)).toBe(0);
    expect(ticker.advanceTo(TICK_MS)).toBe(1);
    expect(ticker.advanceTo(TICK_MS)).toBe(0);
    expect(ticker.advanceTo(3.5 * TICK_MS)).toBe(2);
    // The half tick is not lost.
    expect(ticker.advanceTo(4 * TICK_MS)).toBe(1);
  });

  it('[P35] [P36] of a long stall or suspend are capped, and the rest is forgotten', () => {
    const ticker = counting();
    expect(ticker.advanceTo(1_000 * TICK_MS)).toBe(5);
    expect(ticker.advanceTo(1_000 * TICK_MS)).toBe(0);
    expect(ticker.advanceTo(1_001 * TICK_MS)).toBe(1);
  });
});
