import type { Host } from '../host.js';
import type { SimulatedMember } from '../member.js';
import { bothWays, pickRunningMember, restartLater, type FaultContext } from './context.js';

function kindOf({ cluster, gateways }: FaultContext, host: Host): 'member' | 'gateway' | 'client' {
  if (cluster.members.some((member) => member.host === host)) return 'member';
  return gateways.some((gateway) => gateway.host === host) ? 'gateway' : 'client';
}

/** Members are what most depends on. */
function pickHost({ random, cluster, hosts }: FaultContext): Host {
  return random.chance(0.5) ? random.pick(cluster.members).host : random.pick(hosts);
}

/**
 * Figure 8 of the Raft paper, again and again: a leader reaches one follower only, so that entries of its term stand in a
 * minority; then it falls, and comes back soon enough to campaign with them.
 */
export function fellLeader(context: FaultContext): void {
  const { random, cluster, network, fault, later, undoLater } = context;
  const { leader } = cluster;
  const others = cluster.members.filter((member) => member !== leader && member.host.isUp);
  if (leader === null || others.length === 0) return;
  const confidant = random.pick(others);
  fault('leader falls', `${leader.host.name} reaches only ${confidant.host.name}, then falls`);
  const cutOff = others.filter((member) => member !== confidant).map(({ host }) => host.name);
  const cuts = bothWays([leader.host.name], cutOff);
  for (const [from, to] of cuts) network.cut(from, to);
  const { process } = leader.host;
  const fallsInMs = random.between(50, 900);
  undoLater(fallsInMs, () => {
    for (const [from, to] of cuts) network.mend(from, to);
  });
  later(fallsInMs, () => {
    if (leader.host.process !== process) return;
    leader.stop(random.pick(['power', 'process']));
    later(random.between(10, 500), () => {
      if (!leader.host.isUp) leader.start();
    });
    // Its successor next, while the first is on its way back with a longer, older log (P25).
    if (random.chance(0.6)) later(random.between(100, 800), () => fellLeader(context));
  });
}

export function crash(context: FaultContext): void {
  const { random, cluster, fault } = context;
  const member = pickRunningMember(context);
  if (member === null) return;
  const how = random.pick(['process', 'power', 'power', 'powerAtDisk'] as const);
  if (how === 'powerAtDisk') return cutPowerAtDisk(context, member);
  if (random.chance(0.3)) {
    fault('shut down', `${member.host.name} is shut down in order`);
    member.shutDown();
    return restartAfterShutdown(context, member);
  }
  fault(how === 'power' ? 'power loss' : 'process killed', `${member.host.name} stops: ${how}`);
  member.stop(how);
  // The machine is still there to refuse connections.
  if (how === 'process' && random.chance(0.5)) cluster.peerGone(member);
  restartLater(context, member);
}

function restartAfterShutdown({ random, later }: FaultContext, member: SimulatedMember): void {
  later(2_000 + random.exponential(500), () => {
    if (!member.host.isUp) member.start();
  });
}

/** The power goes at one of the next disk operations: also between a write and its fsync, or in the middle of a rotation. */
function cutPowerAtDisk(context: FaultContext, member: SimulatedMember): void {
  const operations = 1 + context.random.below(12);
  context.fault(
    'power loss at a disk operation',
    `${member.host.name} loses power in ${operations} disk operations`,
  );
  member.cutPowerAfter(operations, () => restartLater(context, member));
}

export function crashAll(context: FaultContext): void {
  context.fault('power loss everywhere', 'all members lose power at once');
  for (const member of context.cluster.members) {
    if (!member.host.isUp) continue;
    member.stop('power');
    restartLater(context, member);
  }
}

export function crashGateway({ random, gateways, fault, later }: FaultContext): void {
  if (gateways.length === 0) return;
  const gateway = random.pick(gateways);
  if (!gateway.host.isUp) return;
  fault('gateway restarted', `${gateway.host.name} stops`);
  gateway.crash();
  later(random.exponential(500), () => {
    if (!gateway.host.isUp) gateway.start();
  });
}

/** SIGSTOP: the process stands still, its clocks go on. */
export function freeze(context: FaultContext): void {
  const { random, fault, undoLater } = context;
  const host = pickHost(context);
  if (!host.isRunning) return;
  const kind = kindOf(context, host);
  fault(kind === 'member' ? 'process frozen' : `${kind} frozen`, `${host.name} freezes`);
  host.freeze();
  undoLater(random.exponential(1_500), () => host.thaw());
}

/** The machine sleeps: its monotonic clock stands still, the wall clock goes on. */
export function suspend(context: FaultContext): void {
  const { random, fault, undoLater, tell } = context;
  const host = pickHost(context);
  if (!host.mayMeddleWithTime) return;
  fault(`${kindOf(context, host)} suspended`, `${host.name} falls asleep`);
  host.suspend();
  undoLater(random.exponential(2_000), () => {
    if (host.isSuspended) tell(`${host.name} wakes`);
    host.resume();
  });
}

export function jumpClock(context: FaultContext): void {
  const { random, fault } = context;
  const host = pickHost(context);
  if (!host.mayMeddleWithTime) return;
  const byMs = random.between(-1, 1) * random.pick([1_000, 60_000, 3_600_000]);
  fault('wall clock jumped', `the wall clock of ${host.name} jumps by ${byMs.toFixed(0)} ms`);
  host.jumpWallClock(byMs);
}

/** From now on its clocks run at another pace. */
export function changeClockRate(context: FaultContext): void {
  const { random, fault, undoLater } = context;
  const host = pickHost(context);
  const rate = random.pick([0.5, 0.8, 1.25, 2]) * random.between(0.95, 1.05);
  fault('clock rate changed', `the clocks of ${host.name} run at ${rate.toFixed(3)} of true time`);
  host.setClockRate(rate);
  undoLater(random.exponential(4_000), () => host.setClockRate(null));
}
