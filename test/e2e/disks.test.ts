import { execFileSync } from 'node:child_process';
import { cpSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DevCluster, isAlive } from './cluster.js';
import { LoopDisk, canMount } from '../loop-disk.js';
import { until } from '../rest.js';
import { Writer, liesOf } from '../writer.js';

function run(command: string, ...parameters: string[]): void {
  execFileSync(command, parameters, { stdio: ['ignore', 'ignore', 'pipe'] });
}

describe.runIf(canMount())('members on disks of their own', () => {
  let cluster: DevCluster;
  let disks: Map<number, LoopDisk>;
  beforeEach(async () => {
    cluster = await DevCluster.start({ nats: false });
    await cluster.createNamespace('limits', 'strict');
    disks = new Map();
    for (const id of [1, 2, 3]) {
      const folder = join(cluster.folder, `member-${id}`);
      await cluster.kill(id);
      const disk = new LoopDisk(cluster.folder, folder);
      renameSync(folder, `${folder}.before`);
      run('mkdir', folder);
      disk.mount();
      run('rmdir', join(folder, 'lost+found'));
      cpSync(`${folder}.before`, folder, { recursive: true, filter: (name) => !name.includes('lock.') });
      run('sync', '-f', folder);
      disks.set(id, disk);
      cluster.startMember(id);
    }
    await cluster.converge();
  });
  afterEach(async () => {
    await cluster.stop();
    for (const disk of disks.values()) await disk.unmount();
    await cluster.destroy();
  });

  it('the power of all three goes at once, three times: nothing acknowledged is lost, nothing is invented', async () => {
    const writer = new Writer(cluster, 'limits', { prefix: 'power' }).start();
    for (let round = 0; round < 3; round++) {
      const before = writer.acknowledged.length;
      await until(`writes flow in round ${round}`, () => writer.acknowledged.length > before + 100, 30_000);
      const pids = [1, 2, 3].map((id) => cluster.memberPid(id));
      for (const disk of disks.values()) disk.cutPower();
      // Each says why it ends; whoever has nothing to write at that moment is ended.
      await until('one says so', () => /cannot go on: .*EIO|cannot go on: .*failed/.test(cluster.output));
      for (const [at, id] of [1, 2, 3].entries()) {
        const pid = pids[at] ?? 0;
        if (isAlive(pid)) await cluster.kill(id).catch(() => {});
        await until('it is gone', () => !isAlive(pid));
      }
      for (const [id, disk] of disks) {
        await disk.unmount();
        disk.mount();
        cluster.startMember(id);
      }
    }
    const before = writer.acknowledged.length;
    await until('writes flow at the end', () => writer.acknowledged.length > before, 30_000);
    const records = await writer.stop();
    await cluster.converge();
    expect(await liesOf(cluster, 'limits', records)).toEqual([]);
  });

  it('a full disk ends its member in one sentence, the others go on, and with room it comes back', async () => {
    const writer = new Writer(cluster, 'limits', { prefix: 'full' }).start();
    const leader = await cluster.leader();
    const pid = cluster.memberPid(leader);
    disks.get(leader)?.fill();
    // Bytes that its log had room for in advance are written first.
    for (let i = 0; isAlive(pid) && i < 60; i++)
      await cluster.request('PUT', `/v1/namespaces/limits/entries/large-${i}`, { body: 'x'.repeat(200_000) });
    await until('it ends', () => !isAlive(pid));
    expect(cluster.output).toMatch(/cannot go on: .*ENOSPC/);
    const before = writer.acknowledged.length;
    await until('writes go on', () => writer.acknowledged.length > before + 50);
    disks.get(leader)?.makeRoom();
    cluster.startMember(leader);
    const records = await writer.stop();
    await cluster.converge();
    expect(await liesOf(cluster, 'limits', records)).toEqual([]);
  });

  it('a disk that has become read-only ends the start of its member in one sentence, and writable again it comes back', async () => {
    const writer = new Writer(cluster, 'limits', { prefix: 'readonly' }).start();
    const member = ((await cluster.leader()) % 3) + 1;
    const disk = disks.get(member);
    await cluster.kill(member);
    await disk?.unmount();
    disk?.mount('loop,ro');
    cluster.startMember(member);
    await until('it says why', () => /EROFS: read-only file system/.test(cluster.output));
    await until('it ends', () => !cluster.isRunning(member));
    await disk?.unmount();
    disk?.mount();
    cluster.startMember(member);
    const records = await writer.stop();
    await cluster.converge();
    expect(await liesOf(cluster, 'limits', records)).toEqual([]);
  });

  it('a disk that hangs costs the leadership, and nothing else', async () => {
    const writer = new Writer(cluster, 'limits', { prefix: 'hung' }).start();
    await until('writes flow', () => writer.acknowledged.length > 50);
    const leader = await cluster.leader();
    disks.get(leader)?.freeze();
    try {
      await until('another one leads', async () => {
        const { body } = await cluster.request('GET', '/v1/cluster');
        return body.quorum === true && body.leader !== null && body.leader !== leader;
      });
      const before = writer.acknowledged.length;
      await until('writes go on', () => writer.acknowledged.length > before + 50);
    } finally {
      disks.get(leader)?.thaw();
    }
    const records = await writer.stop();
    await cluster.converge();
    expect(await liesOf(cluster, 'limits', records)).toEqual([]);
  });
});

describe('folders in the wrong place', () => {
  let cluster: DevCluster;
  beforeEach(async () => {
    cluster = await DevCluster.start({ nats: false });
  });
  afterEach(() => cluster.destroy());

  it('swapped or copied, they are refused with the two numbers, and put back they serve', async () => {
    const folder = (id: number): string => join(cluster.folder, `member-${id}`);
    await cluster.createNamespace('limits', 'strict');
    await cluster.kill(2);
    await cluster.kill(3);
    renameSync(folder(2), `${folder(2)}.mine`);
    renameSync(folder(3), folder(2));
    cpSync(folder(1), folder(3), { recursive: true, filter: (name) => !name.includes('lock.') });
    for (const id of [2, 3]) cluster.startMember(id);
    await until('both are refused', () =>
      /belongs to member 3, not to member 2[^]*belongs to member 1, not to member 3|belongs to member 1, not to member 3[^]*belongs to member 3, not to member 2/.test(
        cluster.output,
      ),
    );
    rmSync(folder(3), { recursive: true });
    renameSync(folder(2), folder(3));
    renameSync(`${folder(2)}.mine`, folder(2));
    for (const id of [2, 3]) cluster.startMember(id);
    expect(await cluster.converge()).toMatch(/^[0-9a-f]+$/);
  });

  it('a segment that was cut short is no ground to vote on: everything is fetched anew', async () => {
    await cluster.createNamespace('limits', 'strict');
    const writer = new Writer(cluster, 'limits', { prefix: 'cut' }).start();
    await until('writes flow', () => writer.acknowledged.length > 50);
    await cluster.kill(3);
    // Shorter than its own start: never taken for a write that a power loss cut short.
    writeFileSync(join(cluster.folder, 'member-3/00000001.wal'), new Uint8Array(70));
    cluster.startMember(3);
    await until('it takes part again', async () => {
      const { members } = await cluster.status();
      const { status } = members[2];
      return status?.recovering === false && status.leader !== null;
    });
    expect(cluster.output).toMatch(/is damaged: 00000001.wal at byte/);
    const records = await writer.stop();
    await cluster.converge();
    expect(await liesOf(cluster, 'limits', records)).toEqual([]);
  });
});
