import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { natsPortOf, portsOf } from '@quorate/api';
import { type Readiness, readiness } from '../../../apps/cli/src/health.js';
import {
  isListening,
  memberDataFolder,
  memberEnvironment,
  natsVariables,
} from '../../../apps/cli/src/member.js';
import { prepareNats } from '../../../apps/cli/src/nats.js';
import { endingWithParent, lastMessage } from '../../../apps/cli/src/processes.js';
import { secretPaths } from '../../../apps/cli/src/secrets.js';
import {
  cleanEnvironment,
  clusterFilePath,
  gatewayProgram,
  setUpCluster,
  storeProgram,
} from '../../../apps/cli/src/setup.js';
import { atEnd, signalProcess } from '../../../bench/lifetimes.js';
import { freeBasePort, natsServer } from '../../e2e/cluster.js';
import { until } from '../../rest.js';
import type { Part } from '../fault.js';

/** Processes of ours end when the pipe to this program closes, also when it is killed. */
const PRELOAD = join(import.meta.dirname, '../../../apps/cli/dist/exit-with-parent.js');
const LOOPBACK = '127.0.0.1';
const START_TIMEOUT_MS = 120_000;
/** What a process gets to end by itself. */
const STOP_TIMEOUT_MS = 15_000;
/** The REST ports of the gateways, counted from the base port, below those of the members. */
const GATEWAY_PORT_OFFSET = 5;

/** Where the processes are, and how they reach each other: what one way of breaking things has of its own. */
export interface Placement {
  /** What cluster.json says of a member: the same for all who read it. */
  advertisedHost(member: Part): string;
  /** Where a part listens. This program reaches it there, whatever is cut. */
  host(part: Part): string;
  /** Where a part finds NATS. */
  natsAddress(part: Part, port: number): { readonly host: string; readonly port: number };
  /** Variables besides those of the product. */
  environment(part: Part): NodeJS.ProcessEnv;
  /** Words before its command, such as those that enter a network namespace. They must not fork: the pid is to be the program's. */
  prefix(part: Part): readonly string[];
}

/** All on 127.0.0.1, reaching each other directly. */
export const ON_LOOPBACK: Placement = {
  advertisedHost: () => LOOPBACK,
  host: () => LOOPBACK,
  natsAddress: (_, port) => ({ host: LOOPBACK, port }),
  environment: () => ({}),
  prefix: () => [],
};

/** For the files of one cluster. */
export function newClusterFolder(): string {
  return mkdtempSync(join(tmpdir(), 'quorate-cluster-'));
}

export interface LocalClusterOptions {
  /** It belongs to the cluster, and goes with it. */
  readonly folder: string;
  readonly members: 3 | 5;
  readonly gateways: number;
  readonly placement: Placement;
  /** Hears of a process that ended though nobody had ended it, with its last words. */
  readonly tell: (line: string) => void;
  /** The folder is empty, and is formatted next. */
  readonly prepareDataFolder?: (part: Part, folder: string) => Promise<void>;
  /** The process is there; its program has hardly begun. */
  readonly onStarted?: (part: Part, pid: number) => void;
  /** Nobody listens there any more. */
  readonly onEnded?: (part: Part) => void;
}

interface Running {
  readonly child: ChildProcess;
  /** Of the program itself: NATS has a shell around it. */
  readonly pid: number;
  readonly ended: Promise<void>;
}

/** Members, gateways and, where there is one, NATS: each a process that can be killed, stopped, paused and started again by its name. */
export class LocalCluster {
  readonly folder: string;
  readonly hasNats = natsServer !== undefined;
  readonly members: readonly Part[];
  readonly gateways: readonly Part[];
  readonly #options: LocalClusterOptions;
  readonly #running = new Map<Part, Running>();
  /** Whoever ends one of these was told to. */
  readonly #expected = new Set<number>();
  readonly #forget: () => void;
  #basePort = 0;
  #programs = { store: '', gateway: '' };
  #isKept = false;

  private constructor(options: LocalClusterOptions) {
    this.#options = options;
    this.folder = options.folder;
    this.members = numbers(options.members).map((number): Part => `store${number}`);
    this.gateways = numbers(options.gateways).map((number): Part => `gateway${number}`);
    this.#forget = atEnd(() => {
      for (const part of this.#running.keys()) this.signal(part, 'SIGKILL');
      if (!this.#isKept) rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
    });
  }

  /** A new cluster. Nothing runs yet. */
  static async make(options: LocalClusterOptions): Promise<LocalCluster> {
    const cluster = new LocalCluster(options);
    try {
      await cluster.#setUp();
      return cluster;
    } catch (error) {
      await cluster.destroy(false);
      throw error;
    }
  }

  /** Starts all of it and waits until it is ready. */
  async startAll(): Promise<void> {
    for (const part of this.parts) await this.start(part);
    await until('all is ready', () => this.isReady(), START_TIMEOUT_MS);
  }

  async #setUp(): Promise<void> {
    const { folder, members } = this;
    const { placement, prepareDataFolder } = this.#options;
    this.#basePort = await freeBasePort(members.length);
    this.#programs = { store: await storeProgram(), gateway: await gatewayProgram() };
    const plan = members.map((part) => {
      const id = numberOf(part);
      return { id, host: placement.advertisedHost(part), ...portsOf(this.#basePort, id) };
    });
    const dataFolders = new Map(members.map((part) => [numberOf(part), this.dataFolder(part)]));
    for (const part of members) await prepareDataFolder?.(part, this.dataFolder(part));
    const { cluster } = await setUpCluster(folder, plan, dataFolders);
    mkdirSync(join(folder, 'logs'));
    if (!this.hasNats) return;
    const host = placement.host('nats');
    await prepareNats(folder, cluster.clusterId, { host, port: this.natsPort }, host);
  }

  /** In the order in which they are started. */
  get parts(): readonly Part[] {
    return [...(this.hasNats ? (['nats'] as const) : []), ...this.members, ...this.gateways];
  }
  get natsPort(): number {
    return natsPortOf(this.#basePort);
  }
  get adminToken(): string {
    return readFileSync(secretPaths(this.folder).adminToken, 'utf8').trim();
  }
  linkPort(member: Part): number {
    return portsOf(this.#basePort, numberOf(member)).linkPort;
  }
  gatewayAddress(gateway: Part): { readonly host: string; readonly port: number } {
    const port = this.#basePort + GATEWAY_PORT_OFFSET + numberOf(gateway) - 1;
    return { host: this.#options.placement.host(gateway), port };
  }
  dataFolder(member: Part): string {
    return memberDataFolder(this.folder, numberOf(member));
  }

  isRunning(part: Part): boolean {
    return this.#running.has(part);
  }
  /** Of the program itself; null: it does not run. */
  pid(part: Part): number | null {
    return this.#running.get(part)?.pid ?? null;
  }
  /** Names and pids of what runs. */
  processes(): readonly { readonly name: Part; readonly pid: number }[] {
    return [...this.#running].map(([name, { pid }]) => ({ name, pid }));
  }

  /** Does this member take part, in its own view? */
  async isMemberReady(member: Part): Promise<boolean> {
    return (await this.#view(member))?.ready === true;
  }

  async isReady(): Promise<boolean> {
    const views = await Promise.all([...this.members, ...this.gateways].map((part) => this.#view(part)));
    return views.every((view) => view?.ready === true);
  }

  /** Who leads, in the view of most of those that see a quorum; null: nobody is known. */
  async leader(): Promise<Part | null> {
    const views = await Promise.all(this.members.map((member) => this.#view(member)));
    const named = views.flatMap((view) =>
      view?.quorum === true && view.leader !== null ? [view.leader] : [],
    );
    const votes = (id: number): number => named.filter((one) => one === id).length;
    const first = named.toSorted((one, other) => votes(other) - votes(one))[0];
    return first === undefined ? null : `store${first}`;
  }

  #view(part: Part): Promise<Readiness | null> {
    const { host, port } = isMember(part)
      ? {
          host: this.#options.placement.host(part),
          port: portsOf(this.#basePort, numberOf(part)).healthPort,
        }
      : this.gatewayAddress(part);
    return readiness(host.includes(':') ? `[${host}]` : host, port);
  }

  /** Sends a signal; nothing happens when it does not run. */
  signal(part: Part, name: NodeJS.Signals): void {
    const pid = this.pid(part) ?? 0;
    // 0 would be this program's whole group.
    if (pid > 0) signalProcess(pid, name);
  }

  /** kill -9, and the process is gone when this resolves. */
  async kill(part: Part): Promise<void> {
    const running = this.#running.get(part);
    if (running === undefined) return;
    this.#expected.add(running.pid);
    this.signal(part, 'SIGKILL');
    await running.ended;
  }

  /** SIGTERM. True: it has ended. False: it has not within the time (seconds), as a paused one cannot; it will when it goes on. */
  async stop(part: Part, timeoutMs = STOP_TIMEOUT_MS): Promise<boolean> {
    const running = this.#running.get(part);
    if (running === undefined) return true;
    this.#expected.add(running.pid);
    this.signal(part, 'SIGTERM');
    const limit = new AbortController();
    const isOver = sleep(timeoutMs, false, { signal: limit.signal, ref: false }).catch(() => false);
    const hasEnded = await Promise.race([running.ended.then(() => true), isOver]);
    limit.abort();
    return hasEnded;
  }

  /** On the data that it has. Resolves when the process is there, not when it is ready. Nothing happens when it runs already. */
  async start(part: Part): Promise<void> {
    if (this.#running.has(part)) return;
    if (part === 'nats') return this.#startNats();
    const program = isMember(part) ? this.#programs.store : this.#programs.gateway;
    const { child, ended } = await this.#spawn(
      part,
      process.execPath,
      ['--import', PRELOAD, program],
      this.#environment(part),
    );
    this.#note(part, child, child.pid ?? 0, ended);
  }

  #environment(part: Part): NodeJS.ProcessEnv {
    const { folder } = this;
    const { placement } = this.#options;
    const own = isMember(part)
      ? memberEnvironment(folder, numberOf(part), null)
      : {
          ...cleanEnvironment(),
          QUORATE_CLUSTER_FILE: clusterFilePath(folder),
          QUORATE_SECRETS_DIR: secretPaths(folder).gatewayFolder,
          QUORATE_PORT: String(this.gatewayAddress(part).port),
          QUORATE_LAST_KNOWN_GOOD_FILE: join(folder, `${part}.held`),
        };
    const nats = placement.natsAddress(part, this.natsPort);
    return {
      ...own,
      QUORATE_HOST: placement.host(part),
      ...(this.hasNats && {
        ...natsVariables(folder, nats.port, isMember(part) ? 'member' : 'gateway'),
        QUORATE_NATS_URL: `nats://${nats.host}:${nats.port}`,
      }),
      ...placement.environment(part),
    };
  }

  async #startNats(): Promise<void> {
    const pidFile = join(this.folder, 'nats.pid');
    rmSync(pidFile, { force: true });
    const server = endingWithParent(natsServer ?? '', [
      '-c',
      secretPaths(this.folder).natsConfig,
      '-P',
      pidFile,
    ]);
    const { child, ended } = await this.#spawn('nats', '/bin/sh', server, {
      ...cleanEnvironment(),
      ...this.#options.placement.environment('nats'),
    });
    const host = this.#options.placement.host('nats');
    await until('nats-server listens', () => isListening(host, this.natsPort));
    this.#note('nats', child, Number(readFileSync(pidFile, 'utf8')), ended);
  }

  #note(part: Part, child: ChildProcess, pid: number, ended: Promise<void>): void {
    const running = { child, pid, ended };
    this.#running.set(part, running);
    const log = this.#logPath(part);
    const offset = sizeOf(log);
    const whenEnded = async (): Promise<void> => {
      await ended;
      if (this.#running.get(part) === running) this.#running.delete(part);
      this.#options.onEnded?.(part);
      if (this.#expected.delete(pid)) return;
      const how = child.signalCode ?? `code ${child.exitCode}`;
      this.#options.tell(`${part} ended by itself (${how}): ${lastMessage(log, offset) ?? 'without a word'}`);
    };
    void whenEnded();
    this.#options.onStarted?.(part, pid);
  }

  #logPath(part: Part): string {
    return join(this.folder, 'logs', `${part}.log`);
  }

  async #spawn(
    part: Part,
    command: string,
    parameters: readonly string[],
    env: NodeJS.ProcessEnv,
  ): Promise<{ readonly child: ChildProcess; readonly ended: Promise<void> }> {
    const log = openSync(this.#logPath(part), 'a', 0o600);
    const [first = '', ...rest] = [...this.#options.placement.prefix(part), command, ...parameters];
    const child = spawn(first, rest, { env, stdio: ['pipe', log, log] });
    closeSync(log);
    child.stdin?.on('error', () => undefined);
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    return { child, ended };
  }

  async killAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((part) => this.kill(part)));
  }

  /** Ends every process. `keep`: the folder with its logs and data stays. */
  async destroy(keep: boolean): Promise<void> {
    this.#isKept = keep;
    await this.killAll();
    if (!keep) rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
    this.#forget();
  }
}

export function isMember(part: Part): boolean {
  return part.startsWith('store');
}

/** 2 of `store2` and of `gateway2`. */
export function numberOf(part: Part): number {
  return Number(/\d+$/.exec(part)?.[0] ?? 0);
}

function numbers(count: number): readonly number[] {
  return Array.from({ length: count }, (_, place) => place + 1);
}

function sizeOf(path: string): number {
  const file = openSync(path, 'r');
  try {
    return fstatSync(file).size;
  } finally {
    closeSync(file);
  }
}
