import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { requireFreePorts } from './ports.js';

const built = (path: string): string => fileURLToPath(new URL(`../../${path}/dist/main.js`, import.meta.url));
// Real processes run what `tsc -b` made.
const isBuilt = ['cli', 'store', 'gateway'].every((app) => existsSync(built(app)));
const TIMEOUT_MS = 120_000;

interface Dev {
  readonly child: ChildProcess;
  /** Everything it has printed. */
  readonly text: () => string;
  readonly exited: Promise<number | null>;
}

describe.skipIf(!isBuilt)('quorate dev', () => {
  let folder: string;
  let basePort: number;
  const running: Dev[] = [];

  beforeAll(async () => {
    folder = join(await mkdtemp(join(tmpdir(), 'quorate-dev-')), 'cluster');
    basePort = await freeBasePort();
  });
  afterAll(async () => {
    for (const { child, exited } of running) {
      child.kill('SIGTERM');
      await exited;
    }
    await rm(join(folder, '..'), { recursive: true, force: true });
  });

  function start(...parameters: string[]): Dev {
    const port = String(basePort + 2);
    const child = spawn(
      process.execPath,
      [built('cli'), 'dev', '--dir', folder, '--port', port, ...parameters],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let said = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
    const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
    const dev = { child, exited, text: () => said };
    running.push(dev);
    return dev;
  }

  async function until(dev: Dev, pattern: RegExp): Promise<void> {
    await expect.poll(dev.text, { timeout: TIMEOUT_MS, interval: 100 }).toMatch(pattern);
  }
  const token = (): string => readFileSync(join(folder, 'admin.token'), 'utf8');

  async function call(
    method: string,
    path: string,
    body?: string,
  ): Promise<{ status: number; text: string }> {
    const response = await fetch(`http://127.0.0.1:${basePort + 2}${path}`, {
      method,
      headers: { authorization: `Bearer ${token()}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body }),
    });
    return { status: response.status, text: await response.text() };
  }

  it(
    'runs a cluster that survives its leader, ends with it, and resumes its data',
    async () => {
      const first = start('--base-port', String(basePort));
      await until(first, /^ready in .*3 members/m);
      expect((await call('PUT', '/v1/namespaces/limits', '{"kind":"strict"}')).status).toBe(201);
      expect((await call('PUT', '/v1/namespaces/limits/entries/max', '10')).status).toBe(201);

      const leaderPid = Number(/kill -9 (\d+)/.exec(first.text())?.[1]);
      process.kill(leaderPid, 'SIGKILL');
      await until(
        first,
        /^Member \d \(pid \d+\) was ended by SIGKILL\. 2 of 3 run: the cluster goes on\. Start it again: /m,
      );
      await expect
        .poll(async () => (await call('PUT', '/v1/namespaces/limits/entries/max', '11')).status, {
          timeout: 20_000,
        })
        .toBe(200);

      // Killed without a chance to tidy up: what it started notices by itself.
      const pids = pidsOf(first.text());
      expect(pids.length).toBe(4);
      first.child.kill('SIGKILL');
      await first.exited;
      await expect.poll(() => pids.filter(isAlive), { timeout: 20_000 }).toEqual([]);

      const second = start();
      await until(second, /^ready in .*3 members/m);
      expect(second.text()).toContain(`Resuming the cluster of 3 in ${folder}`);
      expect(await call('GET', '/v1/namespaces/limits/entries/max')).toMatchObject({
        status: 200,
        text: expect.stringContaining('"value":11,'),
      });
      second.child.kill('SIGTERM');
      expect(await second.exited).toBe(0);
      expect(pidsOf(second.text()).filter(isAlive)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it(
    'says in one line that a member has lost its folder, and goes on with the others',
    async () => {
      await rm(join(folder, 'member-2'), { recursive: true });
      const dev = start('--nats', 'off');
      await until(dev, /^ready in .*2 of 3 members/m);
      expect(dev.text()).toMatch(/^Member 2 \(pid \d+\) ended with exit code 1: MEMBER_WIPED: /m);
      expect(dev.text()).toContain('NATS API is off');
      expect(readdirSync(folder)).not.toContain('member-2');
      dev.child.kill('SIGINT');
      expect(await dev.exited).toBe(0);
    },
    TIMEOUT_MS,
  );

  it('refuses another number of members than the cluster has', async () => {
    const dev = start('--members', '5');
    expect(await dev.exited).toBe(1);
    expect(dev.text()).toContain(`The cluster in ${folder} has 3 members, not 5: leave --members out`);
  });
});

describe.skipIf(!isBuilt)('quorate init', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quorate-init-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function init(hosts = 'store1,store2,store3'): Promise<{ code: number | null; text: string }> {
    const data = [1, 2, 3].flatMap((id) => ['--data', `${id}=${join(folder, `data${id}`)}`]);
    const child = spawn(
      process.execPath,
      [built('cli'), 'init', '--dir', join(folder, 'cluster'), '--hosts', hosts, ...data],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (part: string) => (text += part));
    }
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { code, text };
  }
  const read = (path: string): string => readFileSync(join(folder, path), 'latin1');

  it('formats every folder once; a second run changes nothing and formats nothing that was lost', async () => {
    expect(await init()).toMatchObject({ code: 0, text: expect.stringContaining('Formatted ') });
    const files = [
      'cluster/cluster.json',
      'cluster/nats.conf',
      'cluster/secrets/member/member.key',
      'data1/00000001.wal',
    ];
    const before = files.map(read);
    expect(read('cluster/secrets/gateway/cluster.json')).toBe(before[0]);
    expect(read('cluster/secrets/nats/nats.conf')).toBe(before[1]);
    await rm(join(folder, 'data2'), { recursive: true });
    expect(await init()).toMatchObject({ code: 0, text: expect.stringContaining('nothing changed') });
    expect(files.map(read)).toEqual(before);
    expect(existsSync(join(folder, 'data2'))).toBe(false);
    expect(await init('a,b,c')).toMatchObject({
      code: 1,
      text: expect.stringContaining('describes other members'),
    });
  });

  it('goes on where an earlier run was cut off', async () => {
    await init();
    const cluster = read('cluster/cluster.json');
    // As if the run had ended before the last folder was formatted and cluster.json got its name.
    await rename(join(folder, 'cluster/cluster.json'), join(folder, 'cluster/cluster.json.preparing'));
    await rm(join(folder, 'data3'), { recursive: true });
    expect(await init()).toMatchObject({ code: 0 });
    expect(read('cluster/cluster.json')).toBe(cluster);
    expect(existsSync(join(folder, 'data3/00000001.wal'))).toBe(true);
  });
});

function pidsOf(text: string): number[] {
  return [...(/^Started members .*$/m.exec(text)?.[0] ?? '').matchAll(/pid (\d+)/g)].map((match) =>
    Number(match[1]),
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function freeBasePort(): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const base = 20_000 + 40 * Math.floor(Math.random() * 700);
    const offsets = [1, 2, 10, 11, 20, 21, 30, 31];
    const ports = offsets.map((offset) => ({
      port: base + offset,
      host: '127.0.0.1',
      purpose: '',
      option: '',
    }));
    const free = await requireFreePorts(ports).then(
      () => true,
      () => false,
    );
    if (free) return base;
  }
  throw new Error('no free ports');
}
