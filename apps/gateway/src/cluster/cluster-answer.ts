import type { ClusterAnswer, ClusterFile, MemberStatus } from '@quorate/api';
import { revision } from '@quorate/kv';
import { sawQuorum, type ObservedMember, type ViewStatus } from '../store/store.js';

/** Believed first: who has a quorum, then the newest term, then the leader itself over who only names it. */
function mostCredible(members: readonly ObservedMember[]): MemberStatus | null {
  const rank = ({ quorum, term, role }: MemberStatus): readonly number[] => [
    Number(quorum),
    term,
    Number(role === 'leader'),
  ];
  const isBefore = (left: MemberStatus, right: MemberStatus): boolean => {
    const ranks = rank(right);
    const difference = rank(left).findIndex((value, position) => value !== ranks[position]);
    return difference >= 0 && (rank(left)[difference] ?? 0) > (ranks[difference] ?? 0);
  };
  return members.reduce<MemberStatus | null>(
    (best, { status }) => (status !== null && (best === null || isBefore(status, best)) ? status : best),
    null,
  );
}

/** What this gateway sees of the cluster: it may reach followers only, and they know their leader. */
export function clusterAnswer(
  cluster: ClusterFile,
  members: readonly ObservedMember[],
  view: ViewStatus,
): ClusterAnswer {
  const witness = mostCredible(members);
  return {
    clusterId: cluster.clusterId,
    epoch: cluster.epoch,
    quorum: witness?.quorum ?? false,
    leader: witness === null ? null : witness.role === 'leader' ? witness.id : witness.leader,
    members: members.map(({ id, status }) => ({
      id,
      reachable: status !== null,
      status: status === null ? null : { ...status, peers: [...status.peers] },
    })),
    cache: {
      state: view.state,
      epoch: view.epoch ?? cluster.epoch,
      revision: view.revision ?? revision(0),
      stalenessMs: view.stalenessMs,
      quorum: sawQuorum(view),
    },
  };
}
