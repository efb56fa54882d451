import { randomBytes } from 'node:crypto';
import { parseClusterFile } from '@quorate/api';
import type { ClusterFile, ClusterMember } from '@quorate/api';
import { readIfPresent } from './secrets.js';

/** Where a member is to be, before it has an identity. */
export type PlannedMember = Omit<ClusterMember, 'incarnation'>;

/** Which cluster it is, and the how manieth life of it. */
export interface ClusterOrigin {
  readonly clusterId: string;
  readonly epoch: number;
}

/**
 * A new cluster: a random id, and for each member the incarnation that its folder is about to be formatted with. One that is
 * restored keeps its id and begins the next epoch.
 */
export function newCluster(
  members: readonly PlannedMember[],
  restored: ClusterOrigin | null = null,
): ClusterFile {
  return {
    format: 1,
    clusterId: restored?.clusterId ?? randomBytes(8).toString('hex'),
    epoch: (restored?.epoch ?? 0) + 1,
    members: members.map(({ id, host, linkPort, healthPort }) => ({
      id,
      host,
      linkPort,
      healthPort,
      incarnation: randomBytes(8).toString('hex'),
    })),
  };
}

/** The text of cluster.json. */
export function clusterFileText(cluster: ClusterFile): string {
  return `${JSON.stringify(cluster, null, 2)}\n`;
}

/** Reads a cluster.json; null when there is none. Throws QuorateError when it is not one. */
export async function readClusterFile(path: string): Promise<ClusterFile | null> {
  const text = await readIfPresent(path);
  return text === null ? null : parseClusterFile(text);
}

/** True when both lists name the same members at the same addresses. */
export function sameMembers(left: readonly PlannedMember[], right: readonly PlannedMember[]): boolean {
  const line = ({ id, host, linkPort, healthPort }: PlannedMember): string =>
    `${id} ${host} ${linkPort} ${healthPort}`;
  return left.map(line).toSorted().join('\n') === right.map(line).toSorted().join('\n');
}
