import { describe, expect, it } from 'vitest';
import { Host } from './host.js';
import { World } from './world.js';

function begin(rate = 1): {
  readonly world: World;
  readonly host: Host;
  readonly pass: (ms: number) => void;
} {
  const world = new World(1);
  const host = new Host(world, 'h1', { rate, wallOffsetMs: 0 });
  return { world, host, pass: (ms) => void world.runUntil(world.nowMs + ms) };
}

describe('a host', () => {
  it('sleeps: its monotonic clock and its timers stand still, its wall clock goes on', () => {
    const { world, host, pass } = begin();
    const firedMs: number[] = [];
    host.setTimer(100, () => firedMs.push(world.nowMs));
    pass(40);
    const wallMs = host.wallMs();
    host.suspend();
    pass(1_000);
    expect(firedMs).toEqual([]);
    expect(host.monotonicMs()).toBe(40);
    expect(host.wallMs() - wallMs).toBe(1_000);
    host.resume();
    pass(1_000);
    expect(firedMs).toEqual([1_100]);
    expect(host.monotonicMs()).toBe(1_040);
  });

  it('frozen: its clocks go on, what fell due runs in order when it thaws', () => {
    const { host, pass } = begin();
    const told: string[] = [];
    host.setTimer(10, () => told.push('timer'));
    host.post(20, () => told.push('packet'));
    host.freeze();
    pass(50);
    expect(told).toEqual([]);
    expect(host.monotonicMs()).toBe(50);
    host.thaw();
    pass(1);
    expect(told).toEqual(['timer', 'packet']);
  });

  it('changes the pace of its clocks in the middle of a timer, and no clock steps', () => {
    const { world, host, pass } = begin();
    const firedMs: number[] = [];
    host.setTimer(100, () => firedMs.push(world.nowMs));
    pass(50);
    host.setClockRate(2);
    expect(host.monotonicMs()).toBe(50);
    pass(10);
    host.setClockRate(0.5);
    expect(host.monotonicMs()).toBe(70);
    pass(100);
    expect(firedMs).toEqual([120]);
    host.setClockRate(null);
    expect(host.clockRate).toBe(1);
  });

  it('knows the mean pace of its clocks over what it counted last, sleep included', () => {
    const { host, pass } = begin(2);
    pass(100);
    host.setClockRate(0.5);
    host.suspend();
    pass(100);
    // 50 of its milliseconds took 100, the 100 before them took 50.
    expect(host.meanClockRate(50)).toBeCloseTo(0.5);
    expect(host.meanClockRate(150)).toBeCloseTo(1);
    expect(host.meanClockRate(0)).toBe(0.5);
  });

  it('is killed in its sleep: nothing of that process runs any more, and its clock is right', () => {
    const { host, pass } = begin();
    const told: string[] = [];
    host.setTimer(10, () => told.push('timer'));
    host.suspend();
    pass(30);
    host.kill();
    host.boot();
    pass(30);
    expect(told).toEqual([]);
    expect(host.isRunning).toBe(true);
    expect(host.monotonicMs()).toBe(30);
  });
});
