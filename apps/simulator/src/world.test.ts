import { describe, expect, it } from 'vitest';
import { EVENTS_PER_MS_MAX, World } from './world.js';

describe('a world', () => {
  it('ends when events schedule each other within one instant for ever', () => {
    const world = new World(1);
    const again = (): void => void world.schedule(0, again);
    again();
    expect(() => world.runUntil(10)).toThrow('the world goes on: more than');
    expect(world.steps).toBe(EVENTS_PER_MS_MAX + 1);
    expect(world.nowMs).toBe(0);
  });

  it('ends when it takes more steps than it may', () => {
    const world = new World(1, { stepsMax: 100 });
    const again = (): void => void world.schedule(1, again);
    again();
    expect(() => world.runUntil(1_000)).toThrow('the world goes on: more than 100 steps');
  });
});
