import { clusterAnswerSchema } from '@quorate/api';
import type { ClusterAnswer } from '@quorate/api';
import { send } from './rest.js';
import type { GatewayAccess } from './rest.js';

/** Prints what a gateway sees of its cluster. */
export async function clusterStatus(access: GatewayAccess): Promise<readonly string[]> {
  const answer = await send(access, { method: 'GET', path: '/v1/cluster' });
  return statusLines(clusterAnswerSchema.parse(JSON.parse(answer.text)));
}

/** A summary and a table of the members. */
export function statusLines(cluster: ClusterAnswer): readonly string[] {
  const { clusterId, epoch, quorum, leader, members, cache } = cluster;
  const bound =
    cache.stalenessMs === null ? 'of unknown age' : `at most ${Math.ceil(cache.stalenessMs)} ms old`;
  const rows = members.map(({ id, reachable, status }) =>
    status === null
      ? [String(id), reachable ? 'no answer' : 'unreachable', '-', '-', '-', '-', '-', '-']
      : [
          String(id),
          status.role,
          status.term,
          status.lastIndex,
          status.commitIndex,
          status.appliedIndex,
          status.revision,
          status.stateHash.slice(0, 8),
        ].map(String),
  );
  return [
    `cluster ${clusterId}, epoch ${epoch}: ${quorum ? 'has a quorum' : 'NO QUORUM'}, leader ${leader ?? 'unknown'}`,
    `cache of this gateway: ${cache.state}, revision ${cache.revision}, ${bound}`,
    ...table([['member', 'role', 'term', 'last', 'commit', 'applied', 'revision', 'hash'], ...rows]),
  ];
}

/** Pads columns to their widest cell. */
export function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
