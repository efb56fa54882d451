import { pickMemberToLose, pickRunningMember, restartLater, type FaultContext } from './context.js';

export function breakDisk(context: FaultContext): void {
  const { random, fault, later } = context;
  const member = pickRunningMember(context);
  if (member === null) return;
  const kind = random.pick(['sync fails', 'write fails', 'disk full', 'short write', 'sync hangs'] as const);
  fault(kind, `disk of ${member.host.name}: ${kind}`);
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
  const { process } = member.host;
  // Somebody notices, and starts it anew, if it has not ended itself.
  later(random.exponential(2_000), () => {
    if (member.host.process === process) member.stop('process');
    if (!member.host.isUp) member.start();
  });
}

/** Syncs take very long, and end. */
export function slowDisk(context: FaultContext): void {
  const { random, fault, undoLater } = context;
  const member = random.pick(context.cluster.members);
  const meanMs = random.pick([100, 500, 2_000]);
  fault('disk slow', `a sync of ${member.host.name} takes ${meanMs} ms`);
  member.slowSyncs(meanMs);
  undoLater(random.exponential(4_000), () => member.slowSyncs(null));
}

/** What one member's disk reports as written is on the platter in another place, or nowhere. */
export function misdirectWrite(context: FaultContext): void {
  const { random, fault, later } = context;
  const member = pickMemberToLose(context);
  if (member === null || !member.host.isUp) return;
  const how = random.pick(['misdirected', 'lost'] as const);
  fault(`write ${how}`, `the next write of ${member.host.name} is ${how}`);
  member.misdirectNextWrite(how);
  later(random.exponential(2_000), () => {
    if (member.host.isUp) member.stop('power');
    restartLater(context, member);
  });
}

/** A member stops, and cannot read its log when it starts: the next attempt goes well. */
export function failRead(context: FaultContext): void {
  const member = pickRunningMember(context);
  if (member === null) return;
  context.fault('read fails', `${member.host.name} stops, and will not be able to read its disk at first`);
  member.stop(context.random.pick(['power', 'process']));
  member.nextStartFailsToRead = true;
  member.start();
  restartLater(context, member);
}

export function wipe(context: FaultContext): void {
  const member = pickMemberToLose(context);
  if (member === null) return;
  if (member.host.isUp) member.stop('power');
  if (context.cluster.members.length === 1 || context.random.chance(0.2)) {
    context.fault(
      'disk wiped',
      `${member.host.name} loses its disk, which is formatted as another machine's`,
    );
    member.wipe();
  } else {
    context.fault('disk lost', `${member.host.name} loses its disk, and begins anew`);
    member.loseFolder();
  }
  restartLater(context, member);
}

export function flipBit(context: FaultContext): void {
  const member = pickMemberToLose(context);
  if (member === null) return;
  context.fault('bit flipped', `${member.host.name} stops, and a bit on its disk is flipped`);
  if (member.host.isUp) member.stop(context.random.pick(['power', 'process']));
  member.flipBit();
  restartLater(context, member);
}
