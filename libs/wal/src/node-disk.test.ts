import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { logIndex, term } from '@quorate/raft';
import type { SnapshotPoint } from '@quorate/raft';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WalLockedError, WalNotEmptyError } from './errors.js';
import { lockFolder } from './folder-lock.js';
import { NodeDisk } from './node-disk.js';
import { formatWal, readIdentity } from './segment.js';
import { entry, hardState, IDENTITY } from './simulated-machine.testing.js';
import { SNAPSHOT_CHUNK_BYTES } from './snapshot-layout.js';
import type { SnapshotInfo } from './snapshot-layout.js';
import { openWal } from './wal.js';
import type { Wal, WalBatch } from './wal.js';

let home = '';
beforeEach(() => {
  home = realpathSync(mkdtempSync(join(tmpdir(), 'wal-')));
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

function append(wal: Wal, batch: WalBatch): Promise<void> {
  return new Promise((resolve, reject) => {
    wal.append(batch, (error) => (error === null ? resolve() : reject(error)));
  });
}

function close(wal: Wal): Promise<Error | null> {
  return new Promise((resolve) => {
    wal.close(resolve);
  });
}

describe('NodeDisk', () => {
  it('round trip on a real folder, over several segments and restarts', async () => {
    const disk = new NodeDisk();
    const folder = join(home, 'deep', 'er', 'wal');
    formatWal(disk, folder, IDENTITY);
    expect(readIdentity(disk, folder)).toEqual(IDENTITY);
    expect(() => formatWal(disk, folder, IDENTITY)).toThrow(WalNotEmptyError);
    const entries = Array.from({ length: 30 }, (_, position) =>
      entry(position + 1, 1, 'v'.repeat(position * 20)),
    );
    for (const part of [entries.slice(0, 17), entries.slice(17)]) {
      const { wal } = openWal(disk, folder, { segmentBytesMax: 2000 });
      for (let at = 0; at < part.length; at += 5) {
        const group = part.slice(at, at + 5);
        await Promise.all(group.map((one) => append(wal, { hardState: hardState(1, 3, 0), entries: [one] })));
      }
      expect(wal.stats.syncs).toBeLessThan(part.length);
      expect(await close(wal)).toBeNull();
    }
    const { wal, recovered } = openWal(disk, folder);
    expect(recovered.entries).toEqual(entries);
    expect(recovered.hardState).toEqual(hardState(1, 3, 0));
    expect(await close(wal)).toBeNull();
    expect(readdirSync(folder).length).toBeGreaterThan(3);
  });

  it('P10: snapshots, compaction and a reset on a real folder', async () => {
    const disk = new NodeDisk();
    formatWal(disk, home, IDENTITY);
    const { wal, snapshots } = openWal(disk, home, { segmentBytesMax: 2000 });
    for (let index = 1; index <= 30; index += 1)
      await append(wal, { hardState: hardState(1, 3, 0), entries: [entry(index, 1, 'v'.repeat(200))] });
    const payload = Buffer.alloc(SNAPSHOT_CHUNK_BYTES + 5, 'state');
    const take = (point: SnapshotPoint): Promise<SnapshotInfo | null> =>
      new Promise((resolve, reject) => {
        const writer = snapshots.create(point);
        writer.append(payload);
        writer.sync(() => {});
        writer.finish((error, info) => (error === null ? resolve(info) : reject(error)));
      });
    await take({ index: logIndex(25), term: term(1) });
    const before = wal.stats;
    wal.compact(logIndex(25));
    expect(wal.stats.segments).toBeLessThan(before.segments);
    expect(wal.stats.logBytes).toBeLessThan(before.logBytes);
    const installed = { index: logIndex(100), term: term(2) };
    const info = await take(installed);
    expect(info).toMatchObject({ ...installed, chunkCount: 2, digest: crc32(payload) });
    await append(wal, {
      hardState: hardState(2, null, 100),
      reset: installed,
      entries: [entry(101, 2, 'behind')],
    });
    snapshots.prune([]);
    expect(await close(wal)).toBeNull();
    const { wal: reopened, recovered, snapshots: found } = openWal(disk, home);
    expect(recovered).toMatchObject({ base: installed, snapshot: info, hardState: hardState(2, null, 100) });
    expect(recovered.entries).toEqual([entry(101, 2, 'behind')]);
    expect(found.readChunk(logIndex(100), 1)).toHaveLength(5);
    expect(await close(reopened)).toBeNull();
  });

  it('one write call takes several chunks, at a position', () => {
    const disk = new NodeDisk();
    const file = disk.openFile(join(home, 'f'), { create: true });
    expect(file.write([Buffer.from('abc'), Buffer.from('def')], 2)).toBe(6);
    expect(file.size).toBe(8);
    expect(Buffer.from(file.read(1, 4)).toString('latin1')).toBe('\0abc');
    expect(Buffer.from(file.read(6, 100)).toString('latin1')).toBe('ef');
    expect(file.read(8, 10)).toHaveLength(0);
    file.syncNow();
    file.close();
    expect(Buffer.from(disk.readFile(join(home, 'f'))).toString('latin1')).toBe('\0\0abcdef');
    expect(() => disk.openFile(join(home, 'f'), { create: true })).toThrow('EEXIST');
    expect(() => disk.openFile(join(home, 'g'), { create: false })).toThrow('ENOENT');
  });

  it('a handle closed while it syncs is released only after the sync', async () => {
    const disk = new NodeDisk();
    const file = disk.openFile(join(home, 'f'), { create: true });
    const synced = new Promise<Error | null>((resolve) => {
      file.sync(resolve);
    });
    file.close();
    expect(await synced).toBeNull();
  });

  it('P20: a real full disk fails the log', async () => {
    const disk = new NodeDisk();
    formatWal(disk, home, IDENTITY);
    // Opened for real, then each write goes to a device that is always full.
    const full = new NodeDisk().openFile('/dev/full', { create: false });
    const { wal } = openWal(
      Object.assign(new NodeDisk(), {
        openFile: (path: string, options: { create: boolean }) => {
          const file = disk.openFile(path, options);
          return {
            size: file.size,
            read: file.read.bind(file),
            write: full.write.bind(full),
            sync: file.sync.bind(file),
            syncNow: () => file.syncNow(),
            close: () => file.close(),
          };
        },
      }),
      home,
    );
    await expect(append(wal, { hardState: null, entries: [entry(1, 1, 'a')] })).rejects.toThrow('ENOSPC');
    full.close();
  });
});

describe('P33: the folder lock', () => {
  it('P33: a second holder is refused, a released folder is free', async () => {
    const first = await lockFolder(home);
    await expect(lockFolder(home)).rejects.toThrow(WalLockedError);
    await first.release();
    await first.release();
    const second = await lockFolder(home);
    expect(readdirSync(home)).toHaveLength(1);
    await second.release();
    expect(readdirSync(home)).toEqual([]);
  });

  it('P33: of many that start at once, at most one gets in', async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(home)));
    const held = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    expect(held.length).toBeLessThanOrEqual(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(WalLockedError);
    }
    for (const lock of held) await lock.release();
    await (await lockFolder(home)).release();
  });

  it('P33: a lock whose process was killed is taken over, and a living one in another process is not', async () => {
    const socket = join(home, 'lock.0badcafe');
    const script = `require('node:net').createServer().listen(process.argv[1], () => console.log('listening'))`;
    const child = spawn(process.execPath, ['-e', script, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await expect(lockFolder(home)).rejects.toThrow(WalLockedError);
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    expect(readdirSync(home)).toEqual(['lock.0badcafe']);
    const lock = await lockFolder(home);
    expect(readdirSync(home)).not.toContain('lock.0badcafe');
    await lock.release();
  });

  it('P33: works in a folder whose path is too long for a socket', async () => {
    const folder = join(home, 'a'.repeat(90), 'b'.repeat(90));
    mkdirSync(folder, { recursive: true });
    const lock = await lockFolder(folder);
    await expect(lockFolder(folder)).rejects.toThrow(WalLockedError);
    expect(readdirSync(folder)).toHaveLength(1);
    await lock.release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('a locked folder can be formatted and opened', async () => {
    const lock = await lockFolder(home);
    formatWal(new NodeDisk(), home, IDENTITY);
    const { wal } = openWal(new NodeDisk(), home);
    expect(await close(wal)).toBeNull();
    await lock.release();
    expect(readdirSync(home)).toEqual(['00000001.wal']);
  });
});
