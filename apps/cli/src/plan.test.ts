import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { readyText } from './ready-text.js';
import {
  basePortOf,
  parseDataFolder,
  parseMemberCount,
  parsePort,
  planDevCluster,
  planHosts,
} from './plan.js';
import { requireFreePorts } from './ports.js';

describe('a development cluster', () => {
  it('takes all its ports from one base', () => {
    const plan = planDevCluster(3, 7400);
    expect(plan.natsPort).toBe(7401);
    expect(plan.members.map(({ id, linkPort, healthPort }) => [id, linkPort, healthPort])).toEqual([
      [1, 7410, 7411],
      [2, 7420, 7421],
      [3, 7430, 7431],
    ]);
    expect(basePortOf(plan.members)).toBe(7400);
  });
});

describe('a cluster of hosts', () => {
  it('has one member per host, the same ports everywhere', () => {
    expect(planHosts(['a', 'b', 'c'], 3, 7410, 7411)).toEqual([
      { id: 1, host: 'a', linkPort: 7410, healthPort: 7411 },
      { id: 2, host: 'b', linkPort: 7410, healthPort: 7411 },
      { id: 3, host: 'c', linkPort: 7410, healthPort: 7411 },
    ]);
  });

  it.each([
    ['another number of hosts', ['a', 'b'], 3, 7411, 'names 2 hosts, but --members is 3'],
    ['a host twice', ['a', 'a', 'b'], 3, 7411, 'names a host twice'],
    ['one port for two purposes', ['a', 'b', 'c'], 3, 7410, 'must differ'],
  ])('refuses %s', (_, hosts, members, healthPort, sentence) => {
    expect(() => planHosts(hosts, members, 7410, healthPort)).toThrow(sentence);
  });
});

describe('options', () => {
  it.each(['1', '3', '5', '7'])('take %s members', (text) => {
    expect(parseMemberCount(text)).toBe(Number(text));
  });
  it.each(['0', '2', '4', '9', '-1', '3.0', '', 'three', '33'])('refuse "%s" members', (text) => {
    expect(() => parseMemberCount(text)).toThrow('--members must be 1, 3, 5 or 7');
  });
  it.each(['0', '65536', '-1', '80 ', '8e1', '', '123456'])('refuse "%s" as a port', (text) => {
    expect(() => parsePort('--port', text)).toThrow('--port must be a port from 1 to 65535');
  });
  it('take a port, and none whose derived ports would not exist', () => {
    expect(parsePort('--port', '8080')).toBe(8080);
    expect(() => parsePort('--base-port', '65500', 65_464)).toThrow('1 to 65464');
  });
  it('name data folders by member', () => {
    expect(parseDataFolder('2=/a=b')).toEqual({ id: 2, folder: '/a=b' });
    for (const text of ['/a', '0=/a', '1=', '=/a', 'x=/a'])
      expect(() => parseDataFolder(text)).toThrow('--data');
  });
});

describe('ports', () => {
  it('that are in use are named in one sentence with what to do', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const needed = { host: '127.0.0.1', port, purpose: 'gateway', option: '--port' };
    try {
      await expect(requireFreePorts([needed])).rejects.toThrow(
        `Port ${port} (gateway) on 127.0.0.1 is in use: stop what uses it, or choose another with --port. Nothing was started.`,
      );
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    await expect(requireFreePorts([needed])).resolves.toBeUndefined();
  });
});

describe('the text of a cluster that is ready', () => {
  const facts = {
    folder: '.quorate',
    gatewayPort: 8080,
    natsPort: 7401,
    leader: 2,
    leaderPid: 4711,
    memberCount: 3,
    runningCount: 3,
    command: 'node apps/cli/dist/main.js',
    seconds: 2.34,
  };
  it('begins a line with ready and has commands with real values', () => {
    const text = readyText(facts);
    expect(text).toMatch(
      /^ready in 2\.3 s: http:\/\/127\.0\.0\.1:8080, 3 members, leader 2, NATS 127\.0\.0\.1:7401/,
    );
    expect(text).toContain('  kill -9 4711\n');
    expect(text).toContain('  node apps/cli/dist/main.js member start 2\n');
    expect(text).toContain('Bearer $(cat .quorate/admin.token)');
  });
  it('offers to kill nobody when nobody could go on', () => {
    expect(readyText({ ...facts, memberCount: 1, runningCount: 1 })).not.toContain('kill -9');
  });
  it('says how many members run, and does not propose to kill the majority', () => {
    const text = readyText({ ...facts, runningCount: 2 });
    expect(text).toContain('2 of 3 members');
    expect(text).not.toContain('kill -9');
  });
  it('names a folder that is not the usual one in every command', () => {
    const text = readyText({ ...facts, folder: '/tmp/q', natsPort: null });
    expect(text).toContain('$(cat /tmp/q/admin.token)');
    expect(text).toContain('member start 2 --dir /tmp/q');
    expect(text).toContain('no NATS');
  });
});
