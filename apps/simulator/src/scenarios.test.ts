import { describe, expect, it } from 'vitest';
import type { ClientOperation } from './history.js';
import { QUIET_SWARM } from './quiet-swarm.js';
import { Simulation } from './simulation.js';
import type { SwarmParameters } from './swarm.js';
import { STRICT_NAMESPACE } from './traffic.js';
import { World } from './world.js';

function begin(seed: number, swarm: Partial<SwarmParameters> = {}): Simulation {
  const simulation = new Simulation(new World(seed), { swarm: { ...QUIET_SWARM, ...swarm } });
  simulation.setUp();
  return simulation;
}

/** To the end: heal, converge, judge. Throws on a violation; returns how many operations were done. */
function finish(simulation: Simulation): number {
  simulation.converge(simulation.heal());
  simulation.judge();
  return simulation.history.operations.filter(({ outcome }) => outcome === 'done').length;
}

function pass(simulation: Simulation, ms: number): void {
  simulation.world.runUntil(simulation.world.nowMs + ms);
}

function put(simulation: Simulation, key: string): ClientOperation | null {
  let told: ClientOperation | null = null;
  simulation.operatorUser.put(STRICT_NAMESPACE, key, undefined, (operation) => (told = operation));
  simulation.world.runUntil(simulation.world.nowMs + 10_000, () => told !== null);
  return told;
}

function get(simulation: Simulation, key: string): ClientOperation | null {
  let told: ClientOperation | null = null;
  simulation.operatorUser.get(STRICT_NAMESPACE, key, (operation) => (told = operation));
  simulation.world.runUntil(simulation.world.nowMs + 10_000, () => told !== null);
  return told;
}

describe('directed scenarios', { timeout: 120_000 }, () => {
  it('all members lose power at once, twenty times, under load', () => {
    const simulation = begin(1);
    for (const user of simulation.users) user.start();
    for (let round = 0; round < 20; round += 1) {
      pass(simulation, 1_500);
      for (const member of simulation.cluster.members) member.stop('power');
      pass(simulation, 50);
      for (const member of simulation.cluster.members) member.start();
    }
    pass(simulation, 3_000);
    finish(simulation);
    expect(simulation.history.operations.filter(({ outcome }) => outcome === 'done').length).toBeGreaterThan(
      50,
    );
  });

  it('a single member loses power between its write and its fsync', () => {
    const simulation = begin(2, { memberCount: 1, syncMeanMs: 30 });
    for (const user of simulation.users) user.start();
    for (let round = 0; round < 20; round += 1) {
      pass(simulation, 700 + round);
      simulation.cluster.member(1).stop('power');
      simulation.cluster.member(1).start();
    }
    pass(simulation, 3_000);
    finish(simulation);
    expect(simulation.history.operations.filter(({ outcome }) => outcome === 'done').length).toBeGreaterThan(
      20,
    );
  });

  it('a wiped member is refused, and the other two go on', () => {
    const simulation = begin(3);
    const victim = simulation.cluster.members.find((member) => member.replica?.raft.role !== 'leader');
    expect(victim).toBeDefined();
    victim?.stop('power');
    victim?.wipe();
    victim?.start();
    pass(simulation, 10_000);
    expect(put(simulation, 'after-wipe')).toMatchObject({ outcome: 'done' });
    expect(victim?.replica?.raft.lastIndex).toBe(0);
    expect(victim?.replica?.raft.role).not.toBe('leader');
    expect(simulation.world.marks.get('a wiped member was refused')).toBeGreaterThan(0);
    finish(simulation);
  });

  it('two of three stopped: refused with NO_QUORUM; started again: served', () => {
    const simulation = begin(4);
    expect(put(simulation, 'before')).toMatchObject({ outcome: 'done' });
    const [first, second] = simulation.cluster.members;
    first?.stop('process');
    second?.stop('power');
    pass(simulation, 4_000);
    expect(put(simulation, 'without')).toMatchObject({ outcome: 'none', code: 'NO_QUORUM' });
    expect(get(simulation, 'before')).toMatchObject({ outcome: 'none', code: 'NO_QUORUM' });
    first?.start();
    second?.start();
    pass(simulation, 4_000);
    expect(put(simulation, 'again')).toMatchObject({ outcome: 'done' });
    finish(simulation);
  });

  it('figure 8: leaders replicate to one follower, then fall, again and again', () => {
    for (const seed of [5, 6]) {
      const simulation = begin(seed, { memberCount: 5, operationGapMs: 120 });
      const { world, network, cluster } = simulation;
      for (const user of simulation.users) user.start();
      for (let round = 0; round < 12; round += 1) {
        world.runUntil(world.nowMs + 10_000, () => cluster.leader !== null);
        const { leader } = cluster;
        if (leader === null) throw new Error('no leader in ten seconds');
        const others = cluster.members.filter((member) => member !== leader && member.host.isUp);
        const confidant = world.random.pick(others);
        for (const other of others) if (other !== confidant) network.cut(leader.host.name, other.host.name);
        pass(simulation, world.random.between(20, 400));
        leader.stop('power');
        network.mendAll();
        // At least a quorum stays up: the one that fell longest ago comes back.
        const down = cluster.members.filter((member) => !member.host.isUp && member !== leader);
        if (down.length > 0) world.random.pick(down).start();
        pass(simulation, world.random.between(0, 3_000));
      }
      expect(finish(simulation)).toBeGreaterThan(20);
    }
  });

  it('a leader that is cut off answers no reads with what it remembers', () => {
    const simulation = begin(8);
    for (const user of simulation.users) user.start();
    for (let round = 0; round < 6; round += 1) {
      const { leader } = simulation.cluster;
      if (leader !== null) {
        for (const other of simulation.cluster.members) {
          if (other === leader) continue;
          simulation.network.cut(leader.host.name, other.host.name);
          simulation.network.cut(other.host.name, leader.host.name);
        }
      }
      pass(simulation, 3_000);
      simulation.network.mendAll();
      pass(simulation, 2_000);
    }
    expect(finish(simulation)).toBeGreaterThan(20);
  });

  it('a process that freezes in the middle of leading does not serve old reads when it thaws', () => {
    const simulation = begin(9);
    for (const user of simulation.users) user.start();
    for (let round = 0; round < 6; round += 1) {
      pass(simulation, 1_000);
      const { leader } = simulation.cluster;
      leader?.host.freeze();
      pass(simulation, 3_500);
      leader?.host.thaw();
    }
    expect(finish(simulation)).toBeGreaterThan(20);
  });

  it('a cache that finds a stale member first leaves it for one that knows more', () => {
    // Found by seed 2004: a follower that is cut off from its leader went on answering pulls, with nothing new, for ever.
    for (let seed = 10; seed < 16; seed += 1) {
      const simulation = begin(seed, { gatewayCount: 2 });
      const { cluster, network, gateways } = simulation;
      const stale = cluster.members.find((member) => member !== cluster.leader);
      if (stale === undefined) throw new Error('no follower');
      const others = cluster.members.filter((member) => member !== stale);
      pass(simulation, 1_000);
      for (const gateway of gateways) gateway.crash();
      for (const other of others) network.cut(other.host.name, stale.host.name);
      // Without the feed a cache lives by pulling, from whichever member it happens to ask first.
      simulation.feed.down = true;
      for (const user of simulation.users) user.start();
      pass(simulation, 1_000);
      for (const gateway of gateways) gateway.start();
      simulation.converge(others);
      simulation.judge();
      for (const gateway of gateways) expect(gateway.driver?.stalenessMs).toBeLessThan(3_000);
    }
  });
});
