import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, constants, mkdir } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { CommandError } from './command-error.js';
import { keepOrMake, secretPaths, writeSecret } from './secrets.js';

const run = promisify(execFile);

const PASSWORD_FILE = 'nats.password';
/** Room for the largest feed message (512 KiB of changes, encoded) and the largest API request. */
const MAX_PAYLOAD_BYTES = 1024 * 1024;

export interface NatsPasswords {
  readonly member: string;
  readonly gateway: string;
  readonly client: string;
}

/**
 * The configuration of a NATS server for one cluster. Three users: members publish the feed, gateways take the feed
 * and answer API requests, clients send API requests. Nobody but a member can publish on a feed subject, and the
 * feed is signed besides. All end clients share one user, so whoever has its password can read the replies of others: it is
 * for those who may read everything, and tokens decide the rest.
 */
export function natsConfig(
  clusterId: string,
  listen: { readonly host: string; readonly port: number },
  passwords: NatsPasswords,
): string {
  const feed = `quorate.${clusterId}.v1.feed`;
  const all = `quorate.${clusterId}.v1.>`;
  return `# Written by quorate; made anew at each start. Change nothing here.
listen: "${listen.host}:${listen.port}"
server_name: "quorate-${clusterId}"
max_payload: ${MAX_PAYLOAD_BYTES}
authorization {
  users = [
    {
      user: "member", password: "${passwords.member}"
      permissions: { publish: { allow: ["quorate.>"] }, subscribe: { allow: ["quorate.>"] } }
    }
    {
      user: "gateway", password: "${passwords.gateway}"
      permissions: { publish: { allow: ["_INBOX.>"] }, subscribe: { allow: ["${all}"] } }
    }
    {
      user: "client", password: "${passwords.client}"
      permissions: { publish: { allow: ["${all}"], deny: ["${feed}"] }, subscribe: { allow: ["_INBOX.>"] } }
    }
  ]
}
`;
}

/** Makes the passwords that do not exist yet and writes nats.conf and nats-client.json, all of mode 0600. */
export async function prepareNats(
  folder: string,
  clusterId: string,
  listen: { readonly host: string; readonly port: number },
  advertisedHost: string,
): Promise<void> {
  const paths = secretPaths(folder);
  const password = async (path: string): Promise<string> =>
    (await keepOrMake(path, () => randomBytes(16).toString('hex'))).text;
  const passwords = {
    member: await password(join(paths.memberFolder, PASSWORD_FILE)),
    gateway: await password(join(paths.gatewayFolder, PASSWORD_FILE)),
    client: await password(join(paths.clientFolder, PASSWORD_FILE)),
  };
  const config = natsConfig(clusterId, listen, passwords);
  await writeSecret(paths.natsConfig, config);
  // Once more in a folder with nothing else in it, for the container that runs NATS.
  await mkdir(dirname(paths.mountedNatsConfig), { recursive: true, mode: 0o700 });
  await writeSecret(paths.mountedNatsConfig, config);
  const client = {
    url: `nats://${advertisedHost}:${listen.port}`,
    user: 'client',
    password: passwords.client,
    subjects: `quorate.${clusterId}.v1.>`,
  };
  await writeSecret(paths.natsClient, `${JSON.stringify(client, null, 2)}\n`);
}

/** The password file of a role, for QUORATE_NATS_PASSWORD_FILE. */
export function natsPasswordFile(folder: string, role: 'member' | 'gateway'): string {
  const paths = secretPaths(folder);
  return join(role === 'member' ? paths.memberFolder : paths.gatewayFolder, PASSWORD_FILE);
}

/**
 * Finds a `nats-server`: the variable NATS_SERVER, then PATH, then the folders where Debian and Homebrew put it (they
 * are not on every user's PATH). Returns null when there is none; a NATS_SERVER that is not executable is an error.
 */
export async function findNatsServer(environment: NodeJS.ProcessEnv): Promise<string | null> {
  const named = environment['NATS_SERVER'];
  if (named !== undefined && named !== '') {
    if (await isExecutable(named)) return named;
    throw new CommandError(`NATS_SERVER is "${named}", which is not an executable file.`);
  }
  const folders = (environment['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const folder of [...folders, '/usr/sbin', '/usr/local/bin', '/opt/homebrew/bin']) {
    const path = join(folder, 'nats-server');
    if (await isExecutable(path)) return path;
  }
  return null;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Installs Debian's nats-server. Needs root and apt-get; otherwise says how to get one. */
export async function installNatsServer(): Promise<void> {
  const aptGet = await isExecutable('/usr/bin/apt-get');
  if (!aptGet || process.getuid?.() !== 0) {
    throw new CommandError(
      aptGet
        ? 'Installing nats-server needs root: run "sudo apt-get install nats-server", or start with --nats off.'
        : 'There is no apt-get here: install nats-server from https://nats.io, set NATS_SERVER to it, or start with --nats off.',
    );
  }
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    await run('/usr/bin/apt-get', ['install', '-y', '--no-install-recommends', 'nats-server'], {
      env: environment,
      timeout: 180_000,
    });
  } catch {
    // Package lists may be missing altogether (a fresh container): fetch them and try once more.
    try {
      await run('/usr/bin/apt-get', ['update'], { env: environment, timeout: 180_000 });
      await run('/usr/bin/apt-get', ['install', '-y', '--no-install-recommends', 'nats-server'], {
        env: environment,
        timeout: 180_000,
      });
    } catch (error) {
      const reason = error instanceof Error ? (error.message.trim().split('\n').at(-1) ?? '') : String(error);
      throw new CommandError(`apt-get could not install nats-server: ${reason}`);
    }
  }
}
