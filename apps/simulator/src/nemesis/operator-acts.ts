import { StateMachine } from '@quorate/kv';
import { ADMIN_TOKEN } from '../member.js';
import { pickRunningMember, type FaultContext } from './context.js';

const DEADLINE_MS = 2_000;

/** Leadership is moved by command, to a member that may be down, slow or far behind. */
export function transferLeadership({ random, cluster, fault, tell }: FaultContext): void {
  const { leader } = cluster;
  if (leader === null || !leader.host.isRunning) return;
  const to = random.chance(0.3) ? null : random.pick(cluster.members).id;
  fault('leadership transferred', `${leader.host.name} is told to hand over to ${to ?? 'anybody'}`);
  const { replica } = leader;
  leader.host.accept(() =>
    replica?.transfer(to, DEADLINE_MS, (outcome) =>
      tell(
        `the transfer to ${to ?? 'anybody'}: ${'moved' in outcome ? `moved ${outcome.moved}` : outcome.code}`,
      ),
    ),
  );
}

/** A member is told to take a snapshot now. */
export function takeSnapshot(context: FaultContext): void {
  const member = pickRunningMember(context);
  const replica = member?.replica;
  if (member === null || replica === null || replica === undefined) return;
  context.fault('snapshot by command', `${member.host.name} is told to take a snapshot`);
  member.host.accept(() => replica.takeSnapshot(DEADLINE_MS, () => {}));
}

/** A backup is read chunk by chunk, while everything else goes on: what it restores is a state that there was. */
export function takeBackup({ random, cluster, hosts, fault, tell, ...context }: FaultContext): void {
  const from = random.pick(hosts);
  if (!from.isRunning) return;
  fault('backup', `${from.name} reads a backup`);
  const minRevision = context.acknowledgedRevision();
  const chunks: Uint8Array[] = [];
  const next = (member: number, index: number | null): void => {
    const request = { type: 'backup', token: ADMIN_TOKEN, index, chunk: chunks.length } as const;
    cluster.request(from, member, 'client', request, DEADLINE_MS, (response) => {
      if (response.type !== 'backupChunk') return tell(`the backup ends: ${response.type}`);
      chunks.push(response.data);
      if (chunks.length < response.chunkCount) return next(member, response.index);
      context.stateWas(StateMachine.restore(chunks), minRevision, `the backup of index ${response.index}`);
    });
  };
  // Any member may be asked: one that does not lead asks its leader for the quorum round.
  const asked = random.chance(0.5) ? cluster.leader : null;
  next(asked?.id ?? random.pick(cluster.members).id, null);
}
