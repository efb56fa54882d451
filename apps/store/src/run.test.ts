import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeFeedMessage } from '@quorate/feed';
import { revision } from '@quorate/kv';
import type { Operation } from '@quorate/kv';
import type { LinkConnection } from '@quorate/link';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestCluster, ask } from './cluster.testing.js';
import { NodeDisk } from '@quorate/wal';
import { parseConfiguration } from './configuration/configuration.js';
import { writeDivergenceMark } from './data-folder/divergence-mark.js';
import { Log } from './log.js';
import { runMember } from './run.js';

let cluster: TestCluster;
const apps: NestFastifyApplication[] = [];
const connections: LinkConnection[] = [];
let lines: string[] = [];

beforeEach(async () => {
  lines = [];
  cluster = await TestCluster.make(1);
});
afterEach(async () => {
  for (const connection of connections.splice(0)) connection.close();
  for (const app of apps.splice(0)) await app.close();
  cluster.remove();
});

async function start(id = 1): Promise<NestFastifyApplication> {
  const configuration = parseConfiguration(cluster.environment(id));
  const log = new Log('log', id, (line) => lines.push(line));
  const app = await runMember({
    configuration,
    log,
    fatal: (error) => {
      throw error;
    },
  });
  apps.push(app);
  return app;
}

function connect(role: 'gateway' | 'client', onPush?: (bytes: Uint8Array) => void): LinkConnection {
  const connection = cluster.connect(1, role, onPush);
  connections.push(connection);
  return connection;
}

const value = (text: string): Uint8Array => new TextEncoder().encode(text);
const put = (text: string): Operation => ({
  type: 'put',
  namespace: 'content',
  key: 'greeting',
  value: value(text),
  condition: { type: 'none' },
  ifNamespaceRevision: null,
});

async function write(connection: LinkConnection, clientId: number, sequence: number, operation: Operation) {
  return ask(connection, {
    type: 'write',
    token: cluster.token,
    registration: { clientId, sequence, completedThrough: sequence - 1 },
    idempotencyKey: null,
    operation,
  });
}

async function register(connection: LinkConnection): Promise<number> {
  const answer = await ask(connection, { type: 'register' });
  if (answer.type !== 'registered') throw new Error(`not registered: ${JSON.stringify(answer)}`);
  return answer.clientId;
}

const createContent: Operation = { type: 'createNamespace', namespace: 'content', kind: 'cached' };
const read = { type: 'get', namespace: 'content', key: 'greeting' } as const;

describe('a member', () => {
  it('writes and reads over the link, and has it all again after a restart', async () => {
    const app = await start();
    const connection = connect('client');
    const clientId = await register(connection);
    expect(await write(connection, clientId, 1, createContent)).toMatchObject({
      type: 'written',
      revision: 1,
    });
    expect(await write(connection, clientId, 2, put('"hello"'))).toMatchObject({
      type: 'written',
      created: true,
    });
    expect(await ask(connection, { ...read, token: cluster.token })).toMatchObject({
      type: 'entry',
      entry: { key: 'greeting', value: value('"hello"'), version: 1 },
    });
    await app.close();

    await start();
    const again = await ask(connection, { ...read, token: cluster.token });
    expect(again).toMatchObject({ type: 'entry', entry: { value: value('"hello"'), revision: 2 } });
    // The registration survived too: a repeated request is answered, not done again.
    expect(await write(connection, clientId, 2, put('"twice"'))).toMatchObject({
      type: 'written',
      revision: 2,
    });
  });

  it('that found its state to differ stays out after a restart, until it begins anew', async () => {
    const app = await start();
    const connection = connect('client');
    const clientId = await register(connection);
    await write(connection, clientId, 1, createContent);
    await app.close();
    const divergence = { index: 2, revision: 1, stateHash: 'aa', stateHashOfMajority: 'bb' };
    writeDivergenceMark(new NodeDisk(), cluster.dataFolder(1), divergence);
    lines = [];
    const out = await start();
    expect(lines.join('\n')).toContain('was found to differ');
    const asked = connect('client');
    expect(await ask(asked, { ...read, token: cluster.token })).toMatchObject({ code: 'DIVERGED' });
    expect(await ask(asked, { type: 'register' })).toMatchObject({ code: 'DIVERGED' });
    expect(await ask(asked, { type: 'snapshot', token: cluster.token })).toMatchObject({ code: 'DIVERGED' });
    await out.close();
    // A folder with the mark alone is no empty one.
    for (const name of readdirSync(cluster.dataFolder(1)))
      if (name !== 'diverged') rmSync(join(cluster.dataFolder(1), name), { recursive: true });
    await expect(cluster.format(1)).rejects.toThrow('is not empty (it holds diverged)');
    rmSync(join(cluster.dataFolder(1), 'diverged'));
    await cluster.format(1);
    await start();
    expect(await ask(connect('client'), { type: 'register' })).toMatchObject({ type: 'registered' });
  });

  it('starts from its snapshot, and refuses in one sentence when a bit of its content flipped', async () => {
    const app = await start();
    const connection = connect('client');
    const clientId = await register(connection);
    await write(connection, clientId, 1, createContent);
    await write(connection, clientId, 2, put('"kept"'));
    expect(await ask(connection, { type: 'snapshot', token: cluster.token })).toMatchObject({
      type: 'snapshotTaken',
      revision: 2,
    });
    await app.close();
    await start().then((again) => again.close());

    const folder = cluster.dataFolder(1);
    const name = readdirSync(folder).find((each) => each.startsWith('snapshot-')) ?? '';
    const whole = readFileSync(join(folder, name));
    const flip = (place: number): void => {
      const damaged = Buffer.from(whole);
      damaged[place]! ^= 1;
      writeFileSync(join(folder, name), damaged);
    };
    const kept = async (): Promise<void> => {
      const running = await start();
      const answer = await ask(connect('client'), { ...read, token: cluster.token });
      expect(answer).toMatchObject({ type: 'entry', entry: { value: value('"kept"') } });
      await running.close();
    };
    flip(whole.length >> 1);
    await expect(start()).rejects.toThrow(/^The log in .* is damaged: snapshot-/);
    // Nothing was changed, and nobody holds the folder: with the bit as it was, the member starts.
    writeFileSync(join(folder, name), whole);
    await kept();
    // A file that is not even a snapshot is seen at once, and here the log still holds everything.
    flip(20);
    await kept();
    expect(readdirSync(folder).filter((each) => each.startsWith('snapshot-'))).toEqual([]);
  });

  it('does nothing without the token, whoever asks', async () => {
    await start();
    const connection = connect('gateway');
    await register(connection);
    for (const token of ['', 'wrong']) {
      expect(await ask(connection, { ...read, token })).toMatchObject({
        type: 'failed',
        code: 'UNAUTHENTICATED',
      });
    }
  });

  it('pushes the signed feed over the link to a gateway that subscribed', async () => {
    await start();
    const received: Uint8Array[] = [];
    const gateway = connect('gateway', (bytes) => received.push(bytes));
    const clientId = await register(gateway);
    expect(await ask(gateway, { type: 'feedSubscribe' })).toEqual({ type: 'subscribed' });
    await write(gateway, clientId, 1, createContent);
    await write(gateway, clientId, 2, put('1'));
    await expect.poll(() => received.length).toBeGreaterThanOrEqual(2);
    const feedKey = await ask(gateway, { type: 'feedKey' });
    if (feedKey.type !== 'feedKey') throw new Error('no feed key');
    const decoded = received.map((bytes) => decodeFeedMessage(feedKey.key, cluster.cluster.clusterId, bytes));
    expect(JSON.stringify(decoded)).toContain('greeting');
    const clientLink = connect('client');
    expect(await ask(clientLink, { type: 'feedKey' })).toMatchObject({ type: 'failed', code: 'FORBIDDEN' });
  });

  it('denies a check without a policy and allows it with one; a policy that does not parse is refused', async () => {
    await start();
    const connection = connect('client');
    const clientId = await register(connection);
    const access = (key: string, text: string): Operation => ({
      ...put(text),
      type: 'put',
      namespace: 'access',
      key,
      value: value(text),
      condition: { type: 'none' },
      ifNamespaceRevision: null,
    });
    const check = {
      type: 'check',
      token: cluster.token,
      check: {
        principal: { type: 'User', id: 'ann' },
        action: 'read',
        resource: { type: 'Document', id: 'plan' },
        context: {},
      },
    } as const;
    expect(await ask(connection, check)).toMatchObject({ type: 'decision', decision: { allowed: false } });
    const entity = '{"attrs":{},"parents":[]}';
    expect(await write(connection, clientId, 1, access('entities/User/ann', entity))).toMatchObject({
      type: 'written',
    });
    expect(await write(connection, clientId, 2, access('entities/Document/plan', entity))).toMatchObject({
      type: 'written',
    });
    expect(await write(connection, clientId, 3, access('policies/all', '"permit(nonsense"'))).toMatchObject({
      type: 'failed',
      code: 'INVALID_POLICY',
    });
    const policy = JSON.stringify('permit(principal == User::"ann", action, resource);');
    expect(await write(connection, clientId, 4, access('policies/all', policy))).toMatchObject({
      type: 'written',
    });
    expect(await ask(connection, check)).toMatchObject({
      type: 'decision',
      decision: { allowed: true, policies: ['all'], revision: revision(3) },
    });
  });

  it('tells its health and its numbers over HTTP', async () => {
    await start();
    const ready = async (): Promise<unknown> => (await fetch(`${cluster.healthUrl(1)}/readyz`)).json();
    await expect.poll(ready, { timeout: 10_000 }).toMatchObject({
      status: 'ok',
      info: { member: { role: 'leader', leader: 1, quorum: true, caughtUp: true } },
    });
    const health = await fetch(`${cluster.healthUrl(1)}/healthz`);
    expect(health.status).toBe(200);
    const metrics = await fetch(`${cluster.healthUrl(1)}/metrics`);
    expect(metrics.headers.get('content-type')).toContain('text/plain');
    const text = await metrics.text();
    expect(text).toMatch(/^quorate_raft_leads 1$/m);
    expect(text).toMatch(/^quorate_raft_term [1-9]/m);
    expect(text).toMatch(/^quorate_wal_syncs [1-9]/m);
  });

  it('logs changes of state as JSON lines in plain words', async () => {
    const app = await start();
    await expect.poll(() => lines.join(''), { timeout: 10_000 }).toContain('became leader of term 1');
    await app.close();
    const messages = lines.map((line): unknown => JSON.parse(line));
    expect(messages).toContainEqual(
      expect.objectContaining({ level: 'log', member: 1, message: 'member 1 of 1 runs' }),
    );
    expect(messages.at(-1)).toMatchObject({ message: 'stopped' });
  });
});

describe('a member that must not start', () => {
  it('has an empty folder: MEMBER_WIPED, and what to do', async () => {
    const { rmSync } = await import('node:fs');
    rmSync(cluster.dataFolder(1), { recursive: true });
    await expect(start()).rejects.toThrow(/^MEMBER_WIPED: .*holds no log.*mount it/);
  });

  it('has a folder that another process uses', async () => {
    await start();
    await expect(start()).rejects.toThrow('is in use by another process: stop that one first.');
    // The one that runs is not harmed.
    expect(await ask(connect('client'), { type: 'status' })).toMatchObject({
      type: 'status',
      status: { id: 1 },
    });
  });

  it('finds its port taken, and leaves the folder free', async () => {
    const { createServer } = await import('node:net');
    const server = createServer();
    const port = cluster.cluster.members[0]?.linkPort ?? 0;
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    await expect(start()).rejects.toThrow(`The link port ${port} on 127.0.0.1 cannot be opened`);
    await new Promise((resolve) => server.close(resolve));
    await start();
  });
});
