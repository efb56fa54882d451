import { execFile } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DevCluster, freeBasePort } from './cluster.js';
import { until, type Json } from '../rest.js';
import { Writer, liesOf } from '../writer.js';

const CLI = join(import.meta.dirname, '../../apps/cli/dist/main.js');
const STORE = join(import.meta.dirname, '../../apps/store/dist/main.js');

function quorate(...args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...args], (error, out, errors) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: out + errors }),
    );
  });
}

describe('looking after a cluster', () => {
  let cluster: DevCluster;
  const remote = (): string[] => ['--url', cluster.url, '--token-file', join(cluster.folder, 'admin.token')];
  beforeAll(async () => {
    cluster = await DevCluster.start({ nats: false });
    await cluster.createNamespace('limits', 'strict');
  });
  afterAll(() => cluster.destroy());

  async function memberStatus(id: number): Promise<Json> {
    return (await cluster.status()).members.find((member: Json) => member.id === id)?.status;
  }

  /** `quorate-store` for a member that does not run. */
  function store(id: number, ...command: string[]): Promise<{ code: number; output: string }> {
    const env = {
      ...process.env,
      QUORATE_MEMBER: String(id),
      QUORATE_CLUSTER_FILE: join(cluster.folder, 'cluster.json'),
      QUORATE_DATA_DIR: join(cluster.folder, `member-${id}`),
      QUORATE_SECRETS_DIR: join(cluster.folder, 'secrets/member'),
    };
    return new Promise((resolve) => {
      execFile(process.execPath, [STORE, ...command], { env }, (error, out, errors) =>
        resolve({ code: error === null ? 0 : Number(error.code), output: out + errors }),
      );
    });
  }

  it('a member that was away while the log was compacted comes back by snapshot, and restarts from it', async () => {
    const leader = await cluster.leader();
    const away = [1, 2, 3].find((id) => id !== leader)!;
    await cluster.kill(away);
    for (let round = 0; round < 2; round++) {
      const value = 'x'.repeat(100_000);
      for (let i = 0; i < 8; i++)
        await cluster.request('PUT', `/v1/namespaces/limits/entries/large-${i}`, {
          body: `${round}${value}`,
        });
      const taken = await quorate('cluster', 'snapshot', ...remote());
      expect(taken).toMatchObject({ code: 0 });
    }
    const behind = (await memberStatus(leader)).firstIndex;
    cluster.startMember(away);
    await until('it has caught up', async () => (await memberStatus(away))?.snapshotIndex >= behind);
    await cluster.converge();
    await cluster.kill(away);
    cluster.startMember(away);
    await cluster.converge();
    expect((await memberStatus(away)).firstIndex).toBeGreaterThan(1);
    expect(
      readdirSync(join(cluster.folder, `member-${away}`)).filter((name) => name.endsWith('.tmp')),
    ).toEqual([]);
  });

  it('leadership moves by command and on SIGTERM of the leader, under writes, and no write is in doubt', async () => {
    const writer = new Writer(cluster, 'limits', { prefix: 'move' }).start();
    for (let round = 0; round < 3; round++) {
      const from = await cluster.leader();
      const to = (from % 3) + 1;
      const moved = await quorate('cluster', 'transfer', '--to', String(to), ...remote());
      expect(moved).toEqual({ code: 0, output: expect.stringContaining('leads') });
      expect(await cluster.leader()).toBe(to);
      expect((await quorate('cluster', 'transfer', '--to', String(to), ...remote())).code).toBe(0);
    }
    const leader = await cluster.leader();
    cluster.signal(leader, 'SIGTERM');
    const before = writer.acknowledged.length;
    await until('writes go on', () => writer.acknowledged.length > before + 50);
    cluster.startMember(leader);
    const records = await writer.stop();
    await cluster.converge();
    expect(records.filter(({ outcome }) => outcome !== 'acknowledged')).toEqual([]);
    expect(await liesOf(cluster, 'limits', records)).toEqual([]);
  });

  it('a folder that is lost, and a log that is damaged, are made good by the others under writes, and then the member counts', async () => {
    const writer = new Writer(cluster, 'limits', { prefix: 'lost' }).start();
    const leader = await cluster.leader();
    const [first, second] = [1, 2, 3].filter((id) => id !== leader) as [number, number];

    // Its folder is gone: it does not start before somebody says so.
    await cluster.kill(first);
    const folder = join(cluster.folder, `member-${first}`);
    rmSync(folder, { recursive: true });
    expect(await store(first)).toMatchObject({
      code: 1,
      output: expect.stringMatching(/MEMBER_WIPED.*quorate-store format/),
    });
    expect(await store(first, 'format')).toMatchObject({
      code: 0,
      output: expect.stringContaining('takes no part until'),
    });
    cluster.startMember(first);
    const takesPart = (id: number) => async (): Promise<boolean> => {
      const status = await memberStatus(id);
      return status?.recovering === false && status.leader !== null;
    };
    await until('it takes part again', takesPart(first));

    // A bit of the other one's log flips: it sees that, keeps the log under another name, and fetches everything.
    await cluster.kill(second);
    const damaged = join(cluster.folder, `member-${second}`);
    const log = readdirSync(damaged).find((name) => /^\d{8}\.wal$/.test(name))!;
    const bytes = readFileSync(join(damaged, log));
    bytes[bytes.length >> 3]! ^= 4;
    bytes[100]! ^= 4;
    writeFileSync(join(damaged, log), bytes);
    cluster.startMember(second);
    await until('it takes part again', takesPart(second));
    expect(readdirSync(damaged)).toContain(`set-aside-1-${log}`);

    // With the leader gone, the two that had lost everything are the majority.
    await cluster.kill(leader);
    const before = writer.acknowledged.length;
    await until('writes go on', () => writer.acknowledged.length > before + 50);
    cluster.startMember(leader);
    const records = await writer.stop();
    await cluster.converge();
    expect(await liesOf(cluster, 'limits', records)).toEqual([]);
  });

  it('a backup is verified, restores into a new cluster of the next epoch, and a damaged one is refused', async () => {
    const file = join(cluster.folder, 'all.backup');
    await cluster.request('PUT', '/v1/namespaces/limits/entries/kept', { body: { kept: true } });
    expect(await quorate('cluster', 'backup', file, ...remote())).toMatchObject({ code: 0 });
    await cluster.request('PUT', '/v1/namespaces/limits/entries/kept', { body: { kept: false } });
    expect((await quorate('cluster', 'backup', file, ...remote())).code).not.toBe(0);
    expect(await quorate('cluster', 'verify', file)).toMatchObject({ code: 0 });

    const damaged = join(cluster.folder, 'damaged.backup');
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1]! ^= 4;
    writeFileSync(damaged, bytes);
    expect((await quorate('cluster', 'verify', damaged)).code).not.toBe(0);
    const folder = join(cluster.folder, 'restored');
    expect((await quorate('cluster', 'restore', damaged, '--data', folder)).code).not.toBe(0);

    rmSync(folder, { recursive: true, force: true });
    const basePort = await freeBasePort();
    const restore = ['cluster', 'restore', file, '--data', folder, '--base-port', String(basePort)];
    expect(await quorate(...restore)).toMatchObject({ code: 0 });
    expect((await quorate(...restore)).code).not.toBe(0);
    expect(existsSync(join(folder, 'cluster.json'))).toBe(true);
    const epoch = (await memberStatus(await cluster.leader())).epoch;
    await cluster.stop();
    const restored = await DevCluster.start({ nats: false, made: { folder, basePort } });
    try {
      const entry = await restored.request('GET', '/v1/namespaces/limits/entries/kept');
      expect(entry.body.value).toEqual({ kept: true });
      const put = await restored.request('PUT', '/v1/namespaces/limits/entries/kept', { body: 1 });
      expect(put.status).toBe(200);
      expect(put.body.revision).toBeGreaterThan(entry.body.revision);
      expect((await restored.status()).members[0].status.epoch).toBe(epoch + 1);
      await restored.converge();
    } finally {
      await restored.stop();
    }
  });
});
