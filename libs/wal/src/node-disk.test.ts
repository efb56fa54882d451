import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WalLockedError, WalNotEmptyError } from './errors.js';
import { lockFolder } from './folder-lock.js';
import { NodeDisk } from './node-disk.js';
import { formatWal, readIdentity } from './segment.js';
import { entry, hardState, IDENTITY } from './simulated-machine.testing.js';
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

  it('one write call takes several chunks, at a position', () => {
    const disk = new NodeDisk();
    const file = disk.openFile(join(home, 'f'), { create: true });
    expect(file.write([Buffer.from('abc'), Buffer.from('def')], 2)).toBe(6);
    expect(file.size).toBe(8);
    file.truncate(4);
    file.syncNow();
    file.close();
    expect(Buffer.from(disk.readFile(join(home, 'f'))).toString('latin1')).toBe('\0\0ab');
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
            write: full.write.bind(full),
            sync: file.sync.bind(file),
            syncNow: () => file.syncNow(),
            truncate: (size: number) => file.truncate(size),
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
