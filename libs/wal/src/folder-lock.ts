import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, realpathSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WalLockedError } from './errors.js';

/** Names that a lock may leave in its folder. */
export const LOCK_NAME = /^lock\.[0-9a-f]{8}(\.new)?$/;
const HELD_NAME = /^lock\.[0-9a-f]{8}$/;
/** A unix socket's path is limited to 104 (macOS) or 108 (Linux) bytes, the final NUL included. */
const SOCKET_PATH_BYTES_MAX = 100;
const SOCKET_NAME_BYTES = '/lock.00000000.new'.length;
const ATTEMPTS = 3;
const RETRY_DELAY_MS = 40;

export interface FolderLock {
  /** Lets others in. Idempotent. */
  release(): Promise<void>;
}

/**
 * P33: keeps a second process out of a data folder. Rejects with `WalLockedError` if another process holds it.
 *
 * The lock is a listening unix socket in the folder: it ends with its process, however that ends, and it works between
 * containers that share a volume (within one kernel; a network file system shared by two hosts is not covered).
 *
 * Taking over one stale socket file by unlinking it would be a race: two newcomers, and the slower unlinks the faster
 * one's new socket. So each process has a socket of its own, and the rule is: first be visible and answering, then look
 * around, and give way to anyone who answers. Of two processes the one who looks later sees the other; so never do two
 * hold the folder. Two that start at the same moment may both give way, hence the retries after a random delay.
 */
export async function lockFolder(directory: string): Promise<FolderLock> {
  for (let attempt = 1; ; attempt += 1) {
    const lock = await tryLock(directory);
    if (lock !== null) return lock;
    if (attempt === ATTEMPTS) throw new WalLockedError(directory);
    await delay(RETRY_DELAY_MS * (0.5 + randomBytes(1).readUInt8() / 128));
  }
}

async function tryLock(directory: string): Promise<FolderLock | null> {
  const name = `lock.${randomBytes(4).toString('hex')}`;
  const alias = shortAlias(directory);
  let server: Server | null = null;
  try {
    server = await listen(join(alias.path, `${name}.new`));
    // Only a socket that already listens gets a name that others ask: a refused connection means a dead process.
    renameSync(join(directory, `${name}.new`), join(directory, name));
    for (const other of readdirSync(directory)) {
      if (other === name || !HELD_NAME.test(other)) continue;
      if (await isAlive(join(alias.path, other))) {
        await giveUp(server, join(directory, name));
        return null;
      }
      rmSync(join(directory, other), { force: true });
    }
    const held = server;
    return { release: () => giveUp(held, join(directory, name)) };
  } catch (error) {
    if (server !== null) await giveUp(server, join(directory, name));
    throw error;
  } finally {
    alias.remove();
  }
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      // An error while accepting (out of descriptors) must not end the process: the socket goes on listening.
      server.on('error', () => {});
      // The lock does not keep a process alive that has nothing else to do.
      server.unref();
      resolve(server);
    });
  });
}

async function giveUp(server: Server, path: string): Promise<void> {
  rmSync(path, { force: true });
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
}

/** False only if surely nobody listens; anything unclear counts as alive. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}

/**
 * A path to the folder that is short enough for a socket in it: the folder's own, the one relative to the working
 * directory, or a symbolic link in the folder for temporary files. The socket itself is always in the folder.
 */
function shortAlias(directory: string): { readonly path: string; remove(): void } {
  const absolute = realpathSync(directory);
  for (const path of [absolute, relative(process.cwd(), absolute) || '.']) {
    if (Buffer.byteLength(path) + SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES_MAX)
      return { path, remove: () => {} };
  }
  const holder = mkdtempSync(join(tmpdir(), 'quorate-'));
  const link = join(holder, 'd');
  symlinkSync(absolute, link);
  return { path: link, remove: () => rmSync(holder, { recursive: true, force: true }) };
}
