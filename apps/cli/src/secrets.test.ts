import { createHash } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { natsConfig, prepareNats } from './nats.js';
import { prepareSecrets, secretPaths } from './secrets.js';

let folder: string;
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'quorate-cli-')), 'cluster');
});
afterEach(() => rm(join(folder, '..'), { recursive: true, force: true }));

async function contents(directory: string): Promise<Map<string, string>> {
  const names = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = names.filter((name) => name.isFile()).map((name) => join(name.parentPath, name.name));
  return new Map(await Promise.all(files.map(async (file) => [file, await readFile(file, 'utf8')] as const)));
}

describe('secrets', () => {
  it('are readable by their owner only, whatever the umask', async () => {
    const before = process.umask(0);
    try {
      await prepareSecrets(folder);
      await prepareNats(folder, '0123456789abcdef', { host: '127.0.0.1', port: 1 }, '127.0.0.1');
    } finally {
      process.umask(before);
    }
    const all = await readdir(folder, { recursive: true, withFileTypes: true });
    expect(all.filter((name) => name.isFile()).length).toBeGreaterThan(10);
    for (const name of all) {
      const { mode } = await stat(join(name.parentPath, name.name));
      expect((mode & 0o777).toString(8), name.name).toBe(name.isFile() ? '600' : '700');
    }
  });

  it('are made once: a second run changes no byte', async () => {
    const made = await prepareSecrets(folder);
    const first = await contents(folder);
    expect(made.length).toBe(first.size);
    expect(await prepareSecrets(folder)).toEqual([]);
    expect(await contents(folder)).toEqual(first);
  });

  it('give a gateway its own key and the token key, and no key of a member', async () => {
    await prepareSecrets(folder);
    const { memberFolder, gatewayFolder, clientFolder } = secretPaths(folder);
    expect((await readdir(gatewayFolder)).toSorted()).toEqual([
      'admin.token.sha256',
      'gateway.key',
      'token.key',
    ]);
    expect(await readdir(clientFolder)).toEqual(['client.key']);
    for (const name of await readdir(gatewayFolder)) {
      expect(await readFile(join(gatewayFolder, name), 'utf8')).toBe(
        await readFile(join(memberFolder, name), 'utf8'),
      );
    }
    const keys = await Promise.all(
      ['member', 'gateway', 'client', 'token', 'feed'].map((key) =>
        readFile(join(memberFolder, `${key}.key`), 'utf8'),
      ),
    );
    expect(new Set(keys).size).toBe(5);
    for (const key of keys) expect(key).toMatch(/^[0-9a-f]{64}$/);
  });

  it('keep the token itself apart from its hash, and make no second one when it was moved away', async () => {
    await prepareSecrets(folder);
    const { adminToken, memberFolder } = secretPaths(folder);
    const token = await readFile(adminToken, 'utf8');
    const hash = createHash('sha256').update(token).digest('hex');
    expect(await readFile(join(memberFolder, 'admin.token.sha256'), 'utf8')).toBe(hash);
    await rm(adminToken);
    expect(await prepareSecrets(folder)).toEqual([]);
    await expect(stat(adminToken)).rejects.toThrow('ENOENT');
  });

  it('are finished by the next run when the first was cut short', async () => {
    await prepareSecrets(folder);
    const { gatewayFolder, memberFolder } = secretPaths(folder);
    await rm(join(gatewayFolder, 'gateway.key'));
    expect(await prepareSecrets(folder)).toEqual([join(gatewayFolder, 'gateway.key')]);
    expect(await readFile(join(gatewayFolder, 'gateway.key'), 'utf8')).toBe(
      await readFile(join(memberFolder, 'gateway.key'), 'utf8'),
    );
  });
});

describe('nats.conf', () => {
  const text = natsConfig(
    '0123456789abcdef',
    { host: '127.0.0.1', port: 7401 },
    { member: 'm'.repeat(32), gateway: 'g'.repeat(32), client: 'c'.repeat(32) },
  );
  const permissionsOf = (user: string): string =>
    text
      .slice(text.indexOf(`user: "${user}"`))
      .split('\n')[1]
      ?.trim() ?? '';

  it('lets nobody but members publish the feed', () => {
    expect(permissionsOf('gateway')).toContain('publish: { allow: ["_INBOX.>"] }');
    expect(permissionsOf('client')).toContain('deny: ["quorate.0123456789abcdef.v1.feed"]');
    expect(permissionsOf('member')).toContain('publish: { allow: ["quorate.>"] }');
  });

  it('lets clients read nothing but their replies', () => {
    expect(permissionsOf('client')).toContain('subscribe: { allow: ["_INBOX.>"] }');
  });

  it('listens where it is told and knows no user without a password', () => {
    expect(text).toContain('listen: "127.0.0.1:7401"');
    expect(text.match(/user: /g)?.length).toBe(3);
    expect(text.match(/password: "[mgc]{32}"/g)?.length).toBe(3);
  });

  it('keeps its passwords from run to run, and tells clients where to go', async () => {
    await prepareSecrets(folder);
    const prepare = (): Promise<void> =>
      prepareNats(folder, '0123456789abcdef', { host: '0.0.0.0', port: 4222 }, 'nats.example');
    await prepare();
    const first = await contents(folder);
    await prepare();
    expect(await contents(folder)).toEqual(first);
    const client: unknown = JSON.parse(await readFile(secretPaths(folder).natsClient, 'utf8'));
    expect(client).toMatchObject({ url: 'nats://nats.example:4222', user: 'client' });
  });
});
