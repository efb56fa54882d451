import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Where the secrets of a cluster lie. Members and gateways get a folder each, so that a gateway holds no member's key. */
export interface SecretPaths {
  readonly adminToken: string;
  readonly memberFolder: string;
  readonly gatewayFolder: string;
  readonly clientFolder: string;
  /** Address, user and password of the NATS API for end clients, as JSON. */
  readonly natsClient: string;
  readonly natsConfig: string;
  readonly mountedNatsConfig: string;
}

/** Paths below a cluster's folder. */
export function secretPaths(folder: string): SecretPaths {
  return {
    adminToken: join(folder, 'admin.token'),
    memberFolder: join(folder, 'secrets', 'member'),
    gatewayFolder: join(folder, 'secrets', 'gateway'),
    clientFolder: join(folder, 'secrets', 'client'),
    natsClient: join(folder, 'nats-client.json'),
    natsConfig: join(folder, 'nats.conf'),
    mountedNatsConfig: join(folder, 'secrets', 'nats', 'nats.conf'),
  };
}

/** Reads a text file; null when there is none. */
export async function readIfPresent(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/**
 * Writes a file that only its owner may read, whatever the umask. It appears whole or not at all, and it is durable (P19): logs are
 * written on the strength of these files, and a power loss must not leave the logs without them.
 */
export async function writeSecret(path: string, text: string): Promise<void> {
  const partial = `${path}.partial`;
  const file = await open(partial, 'w', 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await renameDurably(partial, path);
}

/** Renames within a folder, and makes the new name durable. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  const folder = await open(dirname(to), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Returns the file's text, or writes what `make` returns. A secret, once made, stays. */
export async function keepOrMake(path: string, make: () => string): Promise<{ text: string; made: boolean }> {
  const kept = await readIfPresent(path);
  // An empty file is what an interrupted copy leaves: it never was a secret.
  if (kept !== null && kept.trim() !== '') return { text: kept.trim(), made: false };
  const text = make();
  await writeSecret(path, text);
  return { text, made: true };
}

const randomHex = (bytes: number) => (): string => randomBytes(bytes).toString('hex');

/**
 * Makes every secret that does not exist yet, mode 0600 in folders of mode 0700, and returns the names of those it
 * made. Nothing has a default value: each cluster's secrets are its own.
 */
export async function prepareSecrets(folder: string): Promise<readonly string[]> {
  const paths = secretPaths(folder);
  for (const path of [
    folder,
    join(folder, 'secrets'),
    paths.memberFolder,
    paths.gatewayFolder,
    paths.clientFolder,
  ]) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  }
  const made: string[] = [];
  const keep = async (path: string, make: () => string): Promise<string> => {
    const result = await keepOrMake(path, make);
    if (result.made) made.push(path);
    return result.text;
  };

  // A role is proved by holding its key: members verify all three, the others hold only their own.
  await keep(join(paths.memberFolder, 'member.key'), randomHex(32));
  const gatewayKey = await keep(join(paths.memberFolder, 'gateway.key'), randomHex(32));
  const clientKey = await keep(join(paths.memberFolder, 'client.key'), randomHex(32));
  const tokenKey = await keep(join(paths.memberFolder, 'token.key'), randomHex(32));
  await keep(join(paths.memberFolder, 'feed.key'), randomHex(32));
  await keep(join(paths.gatewayFolder, 'gateway.key'), () => gatewayKey);
  await keep(join(paths.gatewayFolder, 'token.key'), () => tokenKey);
  await keep(join(paths.clientFolder, 'client.key'), () => clientKey);

  // An operator may have moved admin.token to a safer place: its hash alone is enough, and no second token is made.
  const tokenHash = join(paths.memberFolder, 'admin.token.sha256');
  let hash = await readIfPresent(tokenHash);
  if (hash === null) {
    const token = await keep(paths.adminToken, randomHex(32));
    hash = await keep(tokenHash, () => createHash('sha256').update(token).digest('hex'));
  }
  const gatewayHash = hash.trim();
  await keep(join(paths.gatewayFolder, 'admin.token.sha256'), () => gatewayHash);
  return made;
}
