import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClusterFile } from '@quorate/api';
import { readiness } from '../apps/cli/src/health.js';
import { isListening, memberDataFolder, memberEnvironment, natsVariables } from '../apps/cli/src/member.js';
import { prepareNats } from '../apps/cli/src/nats.js';
import { planDevCluster } from '../apps/cli/src/plan.js';
import { endingWithParent } from '../apps/cli/src/processes.js';
import { secretPaths } from '../apps/cli/src/secrets.js';
import {
  cleanEnvironment,
  clusterFilePath,
  gatewayProgram,
  setUpCluster,
  storeProgram,
} from '../apps/cli/src/setup.js';
import { freeBasePort, isAlive, natsServer } from '../test/e2e/cluster.js';
import { until } from '../test/rest.js';
import { atEnd, signalProcess } from './lifetimes.js';

const HOST = '127.0.0.1';
const MEMBERS = 3;
export const GATEWAYS = 2;
/** Processes of ours end when the pipe to this program closes, also when it is killed. */
const PRELOAD = join(import.meta.dirname, '../apps/cli/dist/exit-with-parent.js');
const START_TIMEOUT_MS = 60_000;

interface Running {
  readonly child: ChildProcess;
  /** Of the program itself: NATS has a shell around it. */
  readonly pid: number;
}

/** Three members, two gateways and, where there is one, NATS: each a process that can be killed and started again by its name. */
export class SoakCluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'quorate-soak-'));
  readonly hasNats = natsServer !== undefined;
  readonly #running = new Map<string, Running>();
  readonly #forget: () => void;
  #file: ClusterFile | null = null;
  #basePort = 0;
  #programs = { store: '', gateway: '' };
  #isKept = false;

  private constructor() {
    this.#forget = atEnd(() => {
      for (const name of this.#running.keys()) this.#signal(name);
      if (!this.#isKept) rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
    });
  }

  /** A new cluster in a folder of its own, all of it ready. */
  static async start(): Promise<SoakCluster> {
    const cluster = new SoakCluster();
    try {
      await cluster.#setUp();
      return cluster;
    } catch (error) {
      await cluster.destroy();
      throw error;
    }
  }

  async #setUp(): Promise<void> {
    const { folder } = this;
    this.#basePort = await freeBasePort();
    this.#programs = { store: await storeProgram(), gateway: await gatewayProgram() };
    const { members } = planDevCluster(MEMBERS, this.#basePort);
    const dataFolders = new Map(members.map(({ id }) => [id, memberDataFolder(folder, id)]));
    const { cluster } = await setUpCluster(folder, members, dataFolders);
    this.#file = cluster;
    mkdirSync(join(folder, 'logs'));
    if (this.hasNats) {
      await prepareNats(folder, cluster.clusterId, { host: HOST, port: this.natsPort }, HOST);
      await this.start('nats');
    }
    for (const id of this.memberIds) await this.start(`member-${id}`);
    for (let gateway = 0; gateway < GATEWAYS; gateway += 1) await this.start(`gateway-${gateway + 1}`);
    await until('all is ready', () => this.isReady(), START_TIMEOUT_MS);
  }

  get memberIds(): readonly number[] {
    return this.#file?.members.map(({ id }) => id) ?? [];
  }
  get natsPort(): number {
    return this.#basePort + 1;
  }
  get adminToken(): string {
    return readFileSync(secretPaths(this.folder).adminToken, 'utf8').trim();
  }
  gatewayAddress(gateway: number): { readonly host: string; readonly port: number } {
    return { host: HOST, port: this.#basePort + 5 + gateway };
  }

  isRunning(name: string): boolean {
    const running = this.#running.get(name);
    return running !== undefined && isAlive(running.pid);
  }

  /** Names and pids of what runs. */
  processes(): readonly { readonly name: string; readonly pid: number }[] {
    return [...this.#running].map(([name, { pid }]) => ({ name, pid }));
  }

  /** Does this member take part, in its own view? */
  async isMemberReady(id: number): Promise<boolean> {
    const member = this.#file?.members.find((one) => one.id === id);
    return member !== undefined && (await readiness(HOST, member.healthPort))?.ready === true;
  }

  async isReady(): Promise<boolean> {
    const members = await Promise.all(this.memberIds.map((id) => this.isMemberReady(id)));
    const ports = [0, 1].map((gateway) => this.gatewayAddress(gateway).port);
    const gateways = await Promise.all(ports.map((port) => readiness(HOST, port)));
    return members.every(Boolean) && gateways.every((gateway) => gateway?.ready === true);
  }

  /** Who leads, in the view of a member that runs; null: nobody is known. */
  async leader(): Promise<number | null> {
    const members = this.#file?.members ?? [];
    const views = await Promise.all(members.map(({ healthPort }) => readiness(HOST, healthPort)));
    return views.find((view) => view?.quorum === true)?.leader ?? null;
  }

  /** kill -9, and the process is gone when this resolves. */
  async kill(name: string): Promise<void> {
    const pid = this.#running.get(name)?.pid;
    if (pid === undefined) return;
    this.#signal(name);
    await until(`${name} is gone`, () => !isAlive(pid));
    this.#running.delete(name);
  }

  /** Starts `member-1`, `gateway-2` or `nats`, on the data that it has. Resolves when the process is there, not when it is ready. */
  async start(name: string): Promise<void> {
    if (name === 'nats') return this.#startNats();
    const number = Number(name.split('-')[1]);
    const isMember = name.startsWith('member');
    const environment = isMember
      ? memberEnvironment(this.folder, number, this.hasNats ? this.natsPort : null)
      : this.#gatewayEnvironment(number);
    const { store, gateway } = this.#programs;
    const program = ['--import', PRELOAD, isMember ? store : gateway];
    const child = await this.#spawn(name, process.execPath, program, environment);
    this.#running.set(name, { child, pid: child.pid ?? 0 });
  }

  #gatewayEnvironment(number: number): NodeJS.ProcessEnv {
    const { folder } = this;
    return {
      ...cleanEnvironment(),
      QUORATE_CLUSTER_FILE: clusterFilePath(folder),
      QUORATE_SECRETS_DIR: secretPaths(folder).gatewayFolder,
      QUORATE_HOST: HOST,
      QUORATE_PORT: String(this.gatewayAddress(number - 1).port),
      QUORATE_LAST_KNOWN_GOOD_FILE: join(folder, `gateway-${number}.held`),
      ...(this.hasNats ? natsVariables(folder, this.natsPort, 'gateway') : {}),
    };
  }

  async #startNats(): Promise<void> {
    const server = endingWithParent(natsServer ?? '', ['-c', secretPaths(this.folder).natsConfig]);
    const child = await this.#spawn('nats', '/bin/sh', server, cleanEnvironment());
    let pid = 0;
    await until('nats-server runs', () => (pid = childNamed(child.pid ?? 0, 'nats-server')) !== 0);
    this.#running.set('nats', { child, pid });
    await until('nats-server listens', () => isListening(HOST, this.natsPort));
  }

  async #spawn(
    name: string,
    command: string,
    parameters: readonly string[],
    env: NodeJS.ProcessEnv,
  ): Promise<ChildProcess> {
    const log = openSync(join(this.folder, 'logs', `${name}.log`), 'a', 0o600);
    const child = spawn(command, [...parameters], { env, stdio: ['pipe', log, log] });
    closeSync(log);
    child.stdin?.on('error', () => undefined);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    return child;
  }

  #signal(name: string): void {
    const pid = this.#running.get(name)?.pid ?? 0;
    // 0 would be this program's whole group.
    if (pid > 0) signalProcess(pid, 'SIGKILL');
  }

  /** Ends every process. `keep`: the folder with its logs stays. */
  async destroy(keep = false): Promise<void> {
    this.#isKept = keep;
    for (const name of this.#running.keys()) await this.kill(name);
    if (!keep) rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
    this.#forget();
  }
}

/** The pid of a child of this process whose program has this name; 0: there is none (Linux). */
function childNamed(parent: number, name: string): number {
  try {
    const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ');
    const isNamed = (pid: string): boolean =>
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0]?.endsWith(name) === true;
    return Number(children.find((pid) => pid !== '' && isNamed(pid)) ?? 0);
  } catch {
    return 0;
  }
}
