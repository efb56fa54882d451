import { join } from 'node:path';

export interface ReadyFacts {
  readonly folder: string;
  readonly gatewayPort: number;
  readonly natsPort: number | null;
  readonly leader: number;
  readonly leaderPid: number;
  readonly memberCount: number;
  readonly runningCount: number;
  /** How to call this program. */
  readonly command: string;
  readonly seconds: number;
}

/** The line that begins with `ready`, and commands that can be pasted as they are. */
export function readyText(facts: ReadyFacts): string {
  const { folder, gatewayPort, natsPort, leader, leaderPid, memberCount, runningCount, command, seconds } =
    facts;
  const url = `http://127.0.0.1:${gatewayPort}`;
  const auth = `-H "Authorization: Bearer $(cat ${join(folder, 'admin.token')})"`;
  const json = `-H 'Content-Type: application/json'`;
  const dir = folder === '.quorate' ? '' : ` --dir ${folder}`;
  const nats =
    natsPort === null ? 'no NATS' : `NATS 127.0.0.1:${natsPort} (${join(folder, 'nats-client.json')})`;
  const members =
    memberCount === 1
      ? '1 member'
      : `${runningCount === memberCount ? '' : `${runningCount} of `}${memberCount} members`;
  const check = JSON.stringify({
    principal: { type: 'User', id: 'ann' },
    action: 'read',
    resource: { type: 'Document', id: 'plan' },
    context: {},
  });
  const survive =
    // Killing one must leave a majority.
    runningCount - 1 <= memberCount / 2
      ? []
      : [
          `Kill member ${leader}, the leader; the others elect a new one, and both reads and writes go on:`,
          `  kill -9 ${leaderPid}`,
          `  curl -X PUT ${url}/v1/namespaces/content/entries/greeting ${auth} ${json} -d '"still here"'`,
          `  ${command} member start ${leader}${dir}`,
        ];
  return [
    `ready in ${seconds.toFixed(1)} s: ${url}, ${members}, leader ${leader}, ${nats}`,
    '',
    'Make a cached namespace, put a value, get it back (from the cache; -i shows how stale it can be at most):',
    `  curl -X PUT ${url}/v1/namespaces/content ${auth} ${json} -d '{"kind":"cached"}'`,
    `  curl -X PUT ${url}/v1/namespaces/content/entries/greeting ${auth} ${json} -d '{"text":"hello"}'`,
    `  curl -i ${url}/v1/namespaces/content/entries/greeting ${auth}`,
    'Ask whether somebody may do something (denied: there is no policy yet):',
    `  curl -X POST ${url}/v1/access/check ${auth} ${json} -d '${check}'`,
    ...survive,
    'Ctrl-C stops everything.',
  ].join('\n');
}
