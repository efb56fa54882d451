import type { SimulatedMember } from './member.js';
import { startFlapping } from './nemesis/network-faults.js';
import type { SimulatedNetwork } from './network.js';
import type { SeededRandom } from './random.js';
import type { World } from './world.js';

export interface PermanentFaultContext {
  readonly world: World;
  readonly network: SimulatedNetwork;
  readonly random: SeededRandom;
  readonly member: SimulatedMember;
  /** The members that are well: they must serve, whatever this one does. */
  readonly core: readonly SimulatedMember[];
}

/** Ways in which a member of a minority never gets well again. */
export const PERMANENT_FAULTS: Readonly<Record<string, (context: PermanentFaultContext) => void>> = {
  'half cut off': cutHalf,
  'one-way link': cutOneWay,
  'flapping link': flapForEver,
  dead: ({ member }) => {
    if (member.host.isUp) member.stop('power');
  },
  frozen: ({ member }) => {
    runAgain(member);
    member.host.freeze();
  },
  suspended: ({ member }) => {
    runAgain(member);
    member.host.suspend();
  },
  // It answers, votes and heartbeats as far as its memory goes, and must not be in anybody's way (P22).
  'disk hangs': ({ member }) => {
    runAgain(member);
    member.diskFaulty = true;
    member.disk.hangSyncs = true;
  },
  'slow disk': ({ member, random }) => {
    runAgain(member);
    member.slowSyncs(random.pick([300, 1_500]));
  },
  'wrong clock rate': ({ member, random }) => {
    runAgain(member);
    member.host.setClockRate(random.pick([0.3, 0.5, 2, 3]));
  },
};

/** Whatever happened to it before: from here on it has one fault only. */
export function runAgain(member: SimulatedMember): void {
  member.host.thaw();
  member.host.resume();
  member.disk.onOperation = null;
  if ((member.diskFaulty || member.isShuttingDown) && member.host.isUp) member.stop('process');
  if (!member.host.isUp) member.start();
}

function cutHalf({ member, core, network, random }: PermanentFaultContext): void {
  runAgain(member);
  const inward = random.chance(0.5);
  for (const other of core) {
    if (inward || random.chance(0.5)) network.cut(other.host.name, member.host.name);
    if (!inward || random.chance(0.5)) network.cut(member.host.name, other.host.name);
  }
}

/**
 * Cut off from all of the core in one direction. From one of them only would be another matter: a leader that half of a quorum hears is
 * lawful, and nobody else brings the others up to date.
 */
function cutOneWay({ member, core, network, random }: PermanentFaultContext): void {
  runAgain(member);
  const inward = random.chance(0.5);
  for (const { host } of core) {
    if (inward) network.cut(host.name, member.host.name);
    else network.cut(member.host.name, host.name);
  }
}

function flapForEver({ world, member, core, network, random }: PermanentFaultContext): void {
  runAgain(member);
  const later = (delayMs: number, task: () => void): void => void world.schedule(delayMs, task);
  const meanMs = random.between(20, 200);
  for (const { host } of core) {
    const cuts = [
      [host.name, member.host.name],
      [member.host.name, host.name],
    ] as const;
    startFlapping(meanMs, cuts, { network, random, later });
  }
}
