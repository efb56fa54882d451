import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { sendRequest, until, type Answer, type Json, type RequestOptions } from '../rest.js';

const CLI = join(import.meta.dirname, '../../apps/cli/dist/main.js');
const STORE = join(import.meta.dirname, '../../apps/store/dist/main.js');
const GATEWAY = join(import.meta.dirname, '../../apps/gateway/dist/main.js');

/** The nats-server that the tests use: named by NATS_SERVER or found in PATH. In CI there must be one. */
export const natsServer: string | undefined = [
  process.env['NATS_SERVER'] ?? '',
  ...`${process.env['PATH'] ?? ''}${delimiter}/usr/sbin`
    .split(delimiter)
    .map((folder) => join(folder, 'nats-server')),
].find((path) => path !== '' && existsSync(path));
if (natsServer === undefined && process.env['CI'] === 'true') throw new Error('CI needs a nats-server');

interface ClusterJson {
  readonly clusterId: string;
  readonly members: readonly {
    readonly id: number;
    readonly linkPort: number;
    readonly healthPort: number;
  }[];
}

/** A whole development cluster of real processes on free ports of loopback, in a folder of its own. */
export class DevCluster {
  readonly folder: string;
  output = '';
  #dev: ReturnType<typeof spawn> | null = null;
  readonly #extra = new Map<number, ReturnType<typeof spawn>>();
  #port = 0;
  #basePort = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** `made`: the folder and base port of a cluster that was made already; its own new one otherwise. */
  static async start(
    options: { nats?: boolean; made?: { folder: string; basePort: number } } = {},
  ): Promise<DevCluster> {
    const cluster = new DevCluster(options.made?.folder ?? mkdtempSync(join(tmpdir(), 'quorate-e2e-')));
    // Base ports far from the defaults and from the ephemeral range, spread by process.
    cluster.#basePort = options.made?.basePort ?? (await freeBasePort());
    cluster.#port = cluster.#basePort + 5;
    await cluster.resume(options);
    return cluster;
  }

  /** Starts (again) what `stop` ended, on the same data. */
  async resume(options: { nats?: boolean } = {}): Promise<void> {
    const nats = options.nats ?? natsServer !== undefined;
    const args = [
      'dev',
      '--dir',
      this.folder,
      '--port',
      String(this.#port),
      '--base-port',
      String(this.#basePort),
    ];
    const env = { ...process.env, ...(natsServer === undefined ? {} : { NATS_SERVER: natsServer }) };
    const dev = spawn(process.execPath, [CLI, ...args, ...(nats ? [] : ['--nats', 'off'])], { env });
    this.#dev = dev;
    this.output = '';
    const collect = (chunk: Buffer): void => {
      this.output += chunk.toString();
    };
    dev.stdout?.on('data', collect);
    dev.stderr?.on('data', collect);
    await until(
      'the cluster is ready',
      () => {
        if (dev.exitCode !== null) throw new Error(`quorate dev ended:\n${this.output}`);
        return /^ready/m.test(this.output);
      },
      90_000,
    );
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }
  get token(): string {
    return readFileSync(join(this.folder, 'admin.token'), 'utf8').trim();
  }
  get file(): ClusterJson {
    return JSON.parse(readFileSync(join(this.folder, 'cluster.json'), 'utf8')) as ClusterJson;
  }
  get natsPort(): number {
    return this.#basePort + 1;
  }
  get natsConfig(): string {
    return join(this.folder, 'nats.conf');
  }

  /** One REST request with the admin token, unless `headers` say otherwise. */
  request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    return sendRequest(this.url, this.token, method, path, options);
  }

  async createNamespace(name: string, kind: 'strict' | 'cached'): Promise<void> {
    const { status } = await this.request('PUT', `/v1/namespaces/${name}`, { body: { kind } });
    if (status !== 200 && status !== 201) throw new Error(`creating ${name}: ${status}`);
  }

  /** A member's own view, from its health port; null when it does not answer. */
  async memberHealth(id: number): Promise<Json> {
    const { healthPort } = this.file.members.find((member) => member.id === id)!;
    try {
      const response = await fetch(`http://127.0.0.1:${healthPort}/readyz`, {
        signal: AbortSignal.timeout(1000),
      });
      return await response.json();
    } catch {
      return null;
    }
  }

  async status(): Promise<Json> {
    return (await this.request('GET', '/v1/cluster')).body;
  }

  /** The store's revision, when all members have it. */
  async revision(): Promise<number> {
    await this.converge();
    return (await this.status()).members[0].status.revision;
  }

  async leader(): Promise<number> {
    let leader = 0;
    await until('a leader is known', async () => {
      const { body, status } = await this.request('GET', '/v1/cluster');
      leader = status === 200 && body.quorum === true ? (body.leader ?? 0) : 0;
      return leader !== 0;
    });
    return leader;
  }

  /** The pid of a process of this cluster, from the operating system: what runs with this member's data folder. */
  memberPid(id: number): number {
    const pid = this.#findMember(id);
    if (pid === null) throw new Error(`member ${id} does not run`);
    return pid;
  }
  isRunning(id: number): boolean {
    return this.#findMember(id) !== null;
  }
  #findMember(id: number): number | null {
    const wanted = `QUORATE_DATA_DIR=${join(this.folder, `member-${id}`)}`;
    return findProcess((environment) => environment.includes(wanted));
  }
  natsPid(): number {
    const pid = findProcess(
      (_, command) => (command[0] ?? '').endsWith('nats-server') && command.includes(this.natsConfig),
    );
    if (pid === null) throw new Error('nats-server does not run');
    return pid;
  }

  signal(id: number, name: NodeJS.Signals): void {
    process.kill(this.memberPid(id), name);
  }
  async kill(id: number): Promise<void> {
    const pid = this.memberPid(id);
    process.kill(pid, 'SIGKILL');
    await until(`member ${id} is gone`, () => !isAlive(pid));
  }

  /** Starts a member that was killed, as its own process. */
  startMember(id: number): void {
    const { folder } = this;
    const member = this.file.members.find((m) => m.id === id);
    if (member === undefined) throw new Error(`no member ${id}`);
    const child = spawn(process.execPath, [STORE], {
      env: {
        PATH: process.env['PATH'],
        QUORATE_MEMBER: String(id),
        QUORATE_CLUSTER_FILE: join(folder, 'cluster.json'),
        QUORATE_DATA_DIR: join(folder, `member-${id}`),
        QUORATE_SECRETS_DIR: join(folder, 'secrets/member'),
        // As the container and the development cluster have it.
        MALLOC_MMAP_THRESHOLD_: '65536',
        ...this.#natsVariables('member'),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const collect = (chunk: Buffer): void => {
      this.output += chunk.toString();
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    this.#extra.set(child.pid ?? 0, child);
  }

  /** A second gateway with a cache of its own; returns its address. */
  async startGateway(port = this.#basePort + 6): Promise<string> {
    const child = spawn(process.execPath, [GATEWAY], {
      env: {
        PATH: process.env['PATH'],
        QUORATE_CLUSTER_FILE: join(this.folder, 'cluster.json'),
        QUORATE_SECRETS_DIR: join(this.folder, 'secrets/gateway'),
        QUORATE_PORT: String(port),
        ...this.#natsVariables('gateway'),
      },
      stdio: 'ignore',
    });
    this.#extra.set(child.pid ?? 0, child);
    const url = `http://127.0.0.1:${port}`;
    await until('the second gateway is ready', async () => {
      const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1000) }).catch(() => null);
      return answer?.status === 200;
    });
    return url;
  }

  #natsVariables(role: 'member' | 'gateway'): Record<string, string> {
    if (!existsSync(this.natsConfig)) return {};
    return {
      QUORATE_NATS_URL: `nats://127.0.0.1:${this.natsPort}`,
      QUORATE_NATS_USER: role,
      QUORATE_NATS_PASSWORD_FILE: join(this.folder, 'secrets', role, 'nats.password'),
    };
  }

  /** Waits until all members have applied the same log and hold the same state; returns the hash. */
  async converge(ids: readonly number[] = [1, 2, 3]): Promise<string> {
    let hash = '';
    await until('all members hold the same state', async () => {
      const { body } = await this.request('GET', '/v1/cluster');
      const members = (body.members ?? []).filter((m: Json) => ids.includes(m.id) && Boolean(m.status));
      const states = new Set(members.map(({ status }: Json) => `${status.revision} ${status.stateHash}`));
      if (members.length !== ids.length || states.size !== 1) return false;
      hash = members[0].status.stateHash;
      return true;
    });
    return hash;
  }

  async stop(): Promise<void> {
    for (const child of this.#extra.values()) child.kill('SIGTERM');
    const dev = this.#dev;
    this.#dev = null;
    if (dev !== null && dev.exitCode === null && dev.signalCode === null) {
      dev.kill('SIGTERM');
      await until('quorate dev ends', () => dev.exitCode !== null || dev.signalCode !== null, 30_000);
    }
    for (const [pid, child] of this.#extra) {
      await until(`process ${pid} ends`, () => child.exitCode !== null || child.signalCode !== null, 20_000);
    }
    this.#extra.clear();
  }

  async destroy(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}

/** Looks through this user's processes by environment and command line (Linux). */
function findProcess(matches: (environment: string[], command: string[]) => boolean): number | null {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const environment = readFileSync(`/proc/${name}/environ`, 'utf8').split('\0');
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      if (command[0] !== '' && matches(environment, command)) return Number(name);
    } catch {
      // gone meanwhile, or not ours
    }
  }
  return null;
}

/** A base port whose neighbours are free now: those of NATS, two gateways and so many members. */
export async function freeBasePort(members = 3): Promise<number> {
  const ofMembers = Array.from({ length: members }, (_, place) => [10 * place + 10, 10 * place + 11]).flat();
  for (let attempt = 0; attempt < 50; attempt++) {
    const base = 20_000 + Math.floor(Math.random() * 1000) * 10;
    const needed = [1, 5, 6, ...ofMembers].map((offset) => base + offset);
    const free = await Promise.all(needed.map(isFree));
    if (free.every(Boolean)) return base;
  }
  throw new Error('no free ports');
}

/** Whether nobody listens on this port of loopback. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
