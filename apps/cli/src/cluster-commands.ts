import { clusterAnswerSchema, snapshotAnswerSchema, transferAnswerSchema } from '@quorate/api';
import type { ClusterAnswer } from '@quorate/api';
import { send } from './rest.js';
import type { GatewayAccess } from './rest.js';

/** Taking a snapshot writes the whole state; the gateway gives it a minute. */
const SNAPSHOT_TIMEOUT_MS = 70_000;

/** Prints what a gateway sees of its cluster. */
export async function clusterStatus(access: GatewayAccess): Promise<readonly string[]> {
  const answer = await send(access, { method: 'GET', path: '/v1/cluster' });
  return statusLines(clusterAnswerSchema.parse(JSON.parse(answer.text)));
}

/** Hands leadership over; `to` null: to the follower that is nearest. */
export async function transfer(access: GatewayAccess, to: number | null): Promise<readonly string[]> {
  const body = JSON.stringify(to === null ? {} : { to });
  const answer = await send(access, { method: 'POST', path: '/v1/cluster/transfer', body });
  const { leader, moved } = transferAnswerSchema.parse(JSON.parse(answer.text));
  return [moved ? `member ${leader} leads now` : `member ${leader} led already: nothing changed`];
}

/** Makes a member, as a rule the leader, take a snapshot now. */
export async function snapshot(access: GatewayAccess): Promise<readonly string[]> {
  const request = { method: 'POST', path: '/v1/cluster/snapshot', body: '{}' } as const;
  const answer = await send(access, { ...request, timeoutMs: SNAPSHOT_TIMEOUT_MS });
  const { index, revision, payloadBytes, taken } = snapshotAnswerSchema.parse(JSON.parse(answer.text));
  const what = `at log index ${index}, revision ${revision}, ${payloadBytes} bytes`;
  return [taken ? `snapshot taken ${what}` : `the newest snapshot is of this state already: ${what}`];
}

const COLUMNS = [
  'member',
  'role',
  'term',
  'quorum',
  'log',
  'commit',
  'applied',
  'snapshot',
  'log bytes',
  'revision',
  'hash',
];

/** A summary, a table of the members, and a line for each alarm. */
export function statusLines(cluster: ClusterAnswer): readonly string[] {
  const { clusterId, epoch, quorum, leader, members, cache } = cluster;
  const bound =
    cache.stalenessMs === null ? 'of unknown age' : `at most ${Math.ceil(cache.stalenessMs)} ms old`;
  const rows = members.map(({ id, reachable, status }) =>
    status === null
      ? [String(id), reachable ? 'no answer' : 'unreachable', ...COLUMNS.slice(2).map(() => '-')]
      : [
          status.id,
          status.role,
          status.term,
          status.quorum ? 'yes' : 'NO',
          // Behind a snapshot there may be no entry yet.
          status.firstIndex > status.lastIndex ? 'empty' : `${status.firstIndex}-${status.lastIndex}`,
          status.commitIndex,
          status.appliedIndex,
          status.snapshotIndex === 0 ? 'none' : status.snapshotIndex,
          status.logBytes,
          status.revision,
          status.stateHash.slice(0, 8),
        ].map(String),
  );
  return [
    `cluster ${clusterId}, epoch ${epoch}: ${quorum ? 'has a quorum' : 'NO QUORUM'}, leader ${leader ?? 'unknown'}`,
    `cache of this gateway: ${cache.state}, revision ${cache.revision}, ${bound}`,
    ...table([COLUMNS, ...rows]),
    ...alarmLines(cluster),
  ];
}

/** What somebody has to look at. */
function alarmLines({ members }: ClusterAnswer): readonly string[] {
  return members.flatMap(({ id, status }) => {
    if (status === null) return [`ALARM member ${id}: does not answer this gateway`];
    const stalled = 'its disk does not finish writes; it does not lead';
    const diverged = "its state differs from the majority's at the same log index; it stopped serving";
    const recovers = 'it lost its log and fetches everything from the others; it takes no part until then';
    return [
      ...(status.recovering ? [`ALARM member ${id}: ${recovers}`] : []),
      ...(status.diskStalled ? [`ALARM member ${id}: ${stalled}`] : []),
      ...(status.diverged ? [`ALARM member ${id}: ${diverged}`] : []),
    ];
  });
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
