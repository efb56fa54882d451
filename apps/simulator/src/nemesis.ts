import type { Cluster } from './cluster.js';
import type { SimulatedGateway } from './gateway.js';
import type { SimulatedMember } from './member.js';
import type { SimulatedNetwork } from './network.js';
import type { SeededRandom } from './random.js';
import type { SimulatedFeed } from './simulated-feed.js';
import type { FaultRates } from './swarm.js';
import type { World } from './world.js';

export interface NemesisTargets {
  readonly cluster: Cluster;
  readonly network: SimulatedNetwork;
  readonly feed: SimulatedFeed;
  readonly gateways: readonly SimulatedGateway[];
  /** All hosts that a partition may separate: members, clients, gateways. */
  readonly hostNames: readonly string[];
}

/** Breaks things at random moments, each kind at its own pace, until told to stop. What it broke, it also mends, later. */
export class Nemesis {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #cluster: Cluster;
  readonly #network: SimulatedNetwork;
  readonly #hostNames: readonly string[];
  #stopped = false;

  readonly #feed: SimulatedFeed;
  readonly #gateways: readonly SimulatedGateway[];

  constructor(world: World, targets: NemesisTargets) {
    this.#world = world;
    this.#random = world.random.fork();
    this.#cluster = targets.cluster;
    this.#network = targets.network;
    this.#feed = targets.feed;
    this.#gateways = targets.gateways;
    this.#hostNames = targets.hostNames;
  }

  start(rates: FaultRates): void {
    this.#every(rates.partition, () => this.#partition());
    this.#every(rates.leaderFall, () => this.#fellLeader());
    this.#every(rates.crash, () => this.#crash());
    this.#every(rates.crashAll, () => this.crashAll());
    this.#every(rates.freeze, () => this.#freeze());
    this.#every(rates.clockJump, () => this.#jumpClock());
    this.#every(rates.diskFault, () => this.#breakDisk());
    this.#every(rates.wipe, () => this.#wipe());
    this.#every(rates.bitFlip, () => this.#flipBit());
    this.#every(rates.feedOutage, () => this.#stopFeed());
    if (this.#gateways.length > 0) this.#every(rates.gatewayCrash, () => this.#crashGateway());
  }

  stop(): void {
    this.#stopped = true;
  }

  #every(meanMs: number, fault: () => void): void {
    if (meanMs === Infinity) return;
    this.#later(this.#random.exponential(meanMs), () => {
      fault();
      this.#every(meanMs, fault);
    });
  }

  /** Later, unless the nemesis has been stopped by then. */
  #later(delayMs: number, task: () => void): void {
    this.#world.schedule(delayMs, () => {
      if (!this.#stopped) task();
    });
  }

  #fault(kind: string, sentence: string): void {
    this.#world.countFault(kind);
    this.#world.tell(`FAULT ${sentence}`);
  }

  #partition(): void {
    const cuts = this.#random.pick([
      () => this.#split(),
      () => this.#oneWay(),
      () => this.#isolateLeader(),
    ])();
    for (const [from, to] of cuts) this.#network.cut(from, to);
    this.#later(this.#random.exponential(2_000), () => {
      this.#world.tell(`mended: ${cuts.length} one-way cuts`);
      for (const [from, to] of this.#random.shuffled(cuts)) {
        // One after the other: while some links are back and others not, rare things happen.
        this.#later(this.#random.exponential(50), () => this.#network.mend(from, to));
      }
    });
  }

  #split(): [string, string][] {
    const names = this.#random.shuffled(this.#hostNames);
    const size = 1 + this.#random.below(names.length - 1);
    const [one, other] = [names.slice(0, size), names.slice(size)];
    this.#fault('partition in two', `partition: ${one.join(' ')} | ${other.join(' ')}`);
    return one.flatMap((left) =>
      other.flatMap((right): [string, string][] => [
        [left, right],
        [right, left],
      ]),
    );
  }

  #oneWay(): [string, string][] {
    const names = this.#hostNames;
    const cuts: [string, string][] = [];
    for (const from of names)
      for (const to of names) if (from !== to && this.#random.chance(0.25)) cuts.push([from, to]);
    this.#fault('one-way partition', `one-way cuts: ${cuts.map(([from, to]) => `${from}>${to}`).join(' ')}`);
    return cuts;
  }

  #isolateLeader(): [string, string][] {
    const leader = this.#cluster.leader?.host.name;
    if (leader === undefined) return [];
    // Its clients may still reach it: a deposed leader that does not know it yet.
    const members = this.#cluster.members.map((member) => member.host.name).filter((name) => name !== leader);
    this.#fault('leader isolated', `${leader} is cut off from the other members`);
    return members.flatMap((name): [string, string][] => [
      [leader, name],
      [name, leader],
    ]);
  }

  /**
   * Figure 8 of the Raft paper, again and again: a leader reaches one follower only, so that entries of its term stand in a
   * minority; then it falls, and comes back soon enough to campaign with them.
   */
  #fellLeader(): void {
    const { leader } = this.#cluster;
    const others = this.#cluster.members.filter((member) => member !== leader && member.host.isUp);
    if (leader === null || others.length === 0) return;
    const confidant = this.#random.pick(others);
    this.#fault('leader falls', `${leader.host.name} reaches only ${confidant.host.name}, then falls`);
    const cuts = others
      .filter((member) => member !== confidant)
      .flatMap((member): [string, string][] => [
        [leader.host.name, member.host.name],
        [member.host.name, leader.host.name],
      ]);
    for (const [from, to] of cuts) this.#network.cut(from, to);
    const { process } = leader.host;
    this.#later(this.#random.between(50, 900), () => {
      for (const [from, to] of cuts) this.#network.mend(from, to);
      if (leader.host.process !== process) return;
      leader.stop(this.#random.pick(['power', 'process']));
      this.#later(this.#random.between(10, 500), () => {
        if (!leader.host.isUp) leader.start();
      });
      // Its successor next, while the first is on its way back with a longer, older log (P25).
      if (this.#random.chance(0.6)) this.#later(this.#random.between(100, 800), () => this.#fellLeader());
    });
  }

  #crash(): void {
    const member = this.#random.pick(this.#cluster.members);
    if (!member.host.isUp) return;
    const how = this.#random.pick(['process', 'power', 'power', 'powerAtDisk'] as const);
    if (how === 'powerAtDisk') return this.#cutPowerAtDisk(member);
    this.#fault(how === 'power' ? 'power loss' : 'process killed', `${member.host.name} stops: ${how}`);
    member.stop(how);
    this.restartLater(member);
  }

  /** The power goes at one of the next disk operations: also between a write and its fsync, or in the middle of a rotation. */
  #cutPowerAtDisk(member: SimulatedMember): void {
    const operations = 1 + this.#random.below(12);
    this.#fault(
      'power loss at a disk operation',
      `${member.host.name} loses power in ${operations} disk operations`,
    );
    member.cutPowerAfter(operations, () => this.restartLater(member));
  }

  crashAll(): void {
    this.#fault('power loss everywhere', 'all members lose power at once');
    for (const member of this.#cluster.members) {
      if (!member.host.isUp) continue;
      member.stop('power');
      this.restartLater(member);
    }
  }

  restartLater(member: SimulatedMember): void {
    const process = member.host.process;
    this.#later(this.#random.exponential(1_000), () => {
      if (!member.host.isUp && member.host.process === process) member.start();
    });
  }

  #freeze(): void {
    const { host } = this.#random.pick(this.#cluster.members);
    if (!host.isUp || host.isFrozen) return;
    this.#fault('process frozen', `${host.name} freezes`);
    host.freeze();
    this.#later(this.#random.exponential(1_500), () => host.thaw());
  }

  #jumpClock(): void {
    const { host } = this.#random.pick(this.#cluster.members);
    const byMs = this.#random.between(-1, 1) * this.#random.pick([1_000, 60_000, 3_600_000]);
    this.#fault('wall clock jumped', `the wall clock of ${host.name} jumps by ${byMs.toFixed(0)} ms`);
    host.jumpWallClock(byMs);
  }

  #breakDisk(): void {
    const member = this.#random.pick(this.#cluster.members);
    if (!member.host.isUp) return;
    const kind = this.#random.pick([
      'sync fails',
      'write fails',
      'disk full',
      'short write',
      'sync hangs',
    ] as const);
    this.#fault(kind, `disk of ${member.host.name}: ${kind}`);
    if (kind !== 'short write') member.diskFaulty = true;
    switch (kind) {
      case 'sync fails':
        member.disk.nextSyncFails = true;
        break;
      case 'write fails':
        member.disk.nextWriteFault = 'EIO';
        break;
      case 'disk full':
        member.disk.nextWriteFault = 'ENOSPC';
        break;
      case 'short write':
        member.disk.nextWriteFault = 'short';
        break;
      case 'sync hangs':
        member.disk.hangSyncs = true;
        break;
    }
    const process = member.host.process;
    // Somebody notices, and starts it anew, if it has not ended itself.
    this.#later(this.#random.exponential(2_000), () => {
      if (member.host.process === process) member.stop('process');
      if (!member.host.isUp) member.start();
    });
  }

  /** A member that may be lost for good. Never more than a minority, ever: there is no way back, by design. */
  #nextToLose(): SimulatedMember | null {
    const lost = this.#cluster.members.filter((member) => member.isLost).length;
    if (lost >= this.#cluster.members.length - this.#cluster.quorumSize) return null;
    const member = this.#random.pick(this.#cluster.members);
    return member.isLost ? null : member;
  }

  #wipe(): void {
    const member = this.#nextToLose();
    if (member === null) return;
    this.#fault('disk wiped', `${member.host.name} loses its disk and is formatted anew`);
    if (member.host.isUp) member.stop('power');
    member.wipe();
    this.restartLater(member);
  }

  #flipBit(): void {
    const member = this.#nextToLose();
    if (member === null) return;
    this.#fault('bit flipped', `${member.host.name} stops, and a bit on its disk is flipped`);
    if (member.host.isUp) member.stop(this.#random.pick(['power', 'process']));
    member.flipBit();
    this.restartLater(member);
  }

  #stopFeed(): void {
    this.#fault('feed outage', 'the feed carries nothing');
    this.#feed.down = true;
    this.#later(this.#random.exponential(2_000), () => {
      this.#feed.down = false;
    });
  }

  #crashGateway(): void {
    const gateway = this.#random.pick(this.#gateways);
    if (!gateway.host.isUp) return;
    this.#fault('gateway restarted', `${gateway.host.name} stops`);
    gateway.crash();
    this.#later(this.#random.exponential(500), () => {
      if (!gateway.host.isUp) gateway.start();
    });
  }
}
