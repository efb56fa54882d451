import { describe, expect, it } from 'vitest';
import { Host } from './host.js';
import { HEALTHY_NETWORK, SimulatedNetwork } from './network.js';
import { World } from './world.js';

const CLOCK = { rate: 1, wallOffsetMs: 0 };

function begin(): {
  readonly world: World;
  readonly network: SimulatedNetwork;
  readonly hosts: readonly [Host, Host];
  readonly arrived: string[];
  readonly send: (label: string) => void;
  readonly pass: (ms: number) => void;
} {
  const world = new World(1);
  const network = new SimulatedNetwork(world, HEALTHY_NETWORK);
  const hosts = [new Host(world, 'a', CLOCK), new Host(world, 'b', CLOCK)] as const;
  const arrived: string[] = [];
  return {
    world,
    network,
    hosts,
    arrived,
    send: (label) => network.send(hosts[0], hosts[1], label, () => arrived.push(label), false),
    pass: (ms) => void world.runUntil(world.nowMs + ms),
  };
}

describe('the simulated network', () => {
  it('holds back what a clogged link carries, and lets it all go when the last clog is gone', () => {
    const { network, arrived, send, pass } = begin();
    network.clog('a', 'b');
    network.clog('a', 'b');
    send('one');
    send('two');
    pass(100);
    network.unclog('a', 'b');
    pass(100);
    expect(arrived).toEqual([]);
    network.unclog('a', 'b');
    pass(1);
    expect(arrived.toSorted()).toEqual(['one', 'two']);
  });

  it('loses about half of what is on its way when a connection is reset, and nothing that is sent later', () => {
    const { network, arrived, send, pass } = begin();
    for (let count = 0; count < 100; count += 1) send('before');
    network.reset('b', 'a');
    for (let count = 0; count < 100; count += 1) send('after');
    pass(100);
    const before = arrived.filter((label) => label === 'before').length;
    expect(before).toBeGreaterThan(20);
    expect(before).toBeLessThan(80);
    expect(arrived.length - before).toBe(100);
  });

  it('cuts add up, and only in one direction', () => {
    const { network, arrived, send, pass } = begin();
    network.cut('a', 'b');
    network.cut('a', 'b');
    expect([network.isCut('a', 'b'), network.isCut('b', 'a')]).toEqual([true, false]);
    network.mend('a', 'b');
    send('lost');
    network.mendAll();
    send('arrives');
    pass(100);
    expect(arrived).toEqual(['arrives']);
  });

  it('slows one link, and loses bursts on one link', () => {
    const { world, network, arrived, send, pass } = begin();
    network.slow('a', 'b', 1_000);
    for (let count = 0; count < 20; count += 1) send('slow');
    pass(20);
    expect(arrived.length).toBeLessThan(5);
    pass(20_000);
    expect(arrived).toHaveLength(20);
    network.slow('a', 'b', 0);
    network.lose('a', 'b', 1);
    send('lost');
    network.lose('a', 'b', 0);
    send('fast');
    pass(50);
    expect(arrived.slice(20)).toEqual(['fast']);
    expect(world.faults.get('message lost in a burst')).toBe(1);
  });

  it('reaches a sleeping machine late or never', () => {
    const { network, hosts, arrived, send, pass } = begin();
    hosts[1].suspend();
    for (let count = 0; count < 100; count += 1) send('packet');
    pass(100);
    expect(arrived).toEqual([]);
    hosts[1].resume();
    pass(1);
    expect(arrived.length).toBeGreaterThan(20);
    expect(arrived.length).toBeLessThan(80);
    expect(network.delivered).toBe(arrived.length);
  });
});
