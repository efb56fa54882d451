import { BASE_PORT } from '@quorate/api';
import type { ClusterFile } from '@quorate/api';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readClusterFile } from './cluster-file.js';
import { readiness } from './health.js';
import { isListening, memberDataFolder, memberEnvironment, natsVariables } from './member.js';
import { findNatsServer, installNatsServer, prepareNats } from './nats.js';
import { CommandError } from './command-error.js';
import { basePortOf, planDevCluster } from './plan.js';
import type { DevPlan } from './plan.js';
import { requireFreePorts } from './ports.js';
import type { NeededPort } from './ports.js';
import { Processes, endingWithParent } from './processes.js';
import type { ExitOf } from './processes.js';
import { readyText } from './ready-text.js';
import type { ReadyFacts } from './ready-text.js';
import { secretPaths } from './secrets.js';
import { cleanEnvironment, clusterFilePath, gatewayProgram, setUpCluster, storeProgram } from './setup.js';

/** How many members a new cluster has unless told otherwise. */
export const DEFAULT_MEMBERS = 3;

export interface DevOptions {
  readonly folder: string;
  readonly port: number;
  /** Null: not asked for; the cluster's own number, or the default. */
  readonly memberCount: number | null;
  readonly basePort: number | null;
  readonly nats: 'auto' | 'off' | 'install';
  /** Receives every line of progress. */
  readonly print: (line: string) => void;
  /** Ends the cluster. */
  readonly stop: AbortSignal;
}

const HOST = '127.0.0.1';
/** How long everything together may take to become ready. */
const READY_TIMEOUT_MS = 60_000;
const NATS_READY_TIMEOUT_MS = 5_000;
const POLL_MS = 100;
const RETURN_POLL_MS = 1_000;

/**
 * Runs a whole cluster on this machine until `stop` is aborted: members, a gateway, NATS when there is one. Throws
 * CommandError when it cannot be started; then nothing is left running.
 */
export async function dev(options: DevOptions): Promise<void> {
  const startedMs = performance.now();
  const { folder, print, stop } = options;
  const existed = (await readClusterFile(clusterFilePath(folder))) !== null;
  const plan = await choosePlan(options);
  await requireFreePorts(portsOf(plan, options.port, existed));
  const natsServer = await chooseNats(options);
  const count = plan.members.length;
  print(
    existed
      ? `Resuming the cluster of ${count} in ${folder}`
      : `First start: making ${count} members, keys and an admin token in ${folder}`,
  );
  const dataFolders = new Map(plan.members.map(({ id }) => [id, memberDataFolder(folder, id)]));
  const { cluster } = await setUpCluster(folder, plan.members, dataFolders);
  if (stop.aborted) return;

  const run = new DevRun(options, cluster, plan, natsServer);
  try {
    await run.start();
    const ready = await run.waitUntilReady();
    if (ready === null) return;
    print(readyText({ ...ready, seconds: (performance.now() - startedMs) / 1000 }));
    run.watchReturns();
    await aborted(stop);
    print('Stopping ...');
  } finally {
    await run.stop();
  }
  print('Stopped. The data stays; the next start resumes it.');
}

/** The cluster's own plan when there is one; options that contradict it are refused, not ignored. */
async function choosePlan(options: DevOptions): Promise<DevPlan> {
  const { folder, memberCount, basePort } = options;
  const cluster = await readClusterFile(clusterFilePath(folder));
  if (cluster === null) {
    return planDevCluster(memberCount ?? DEFAULT_MEMBERS, basePort ?? BASE_PORT);
  }
  const { members } = cluster;
  if (memberCount !== null && memberCount !== members.length) {
    throw new CommandError(
      `The cluster in ${folder} has ${members.length} members, not ${memberCount}: ` +
        'leave --members out, or choose another folder with --dir.',
    );
  }
  if (basePort !== null && basePort !== basePortOf(members)) {
    throw new CommandError(
      `The cluster in ${folder} uses the ports from ${basePortOf(members)}, not ${basePort}: ` +
        'leave --base-port out, or choose another folder with --dir.',
    );
  }
  return { members, natsPort: basePortOf(members) + 1 };
}

function portsOf(plan: DevPlan, gatewayPort: number, existed: boolean): readonly NeededPort[] {
  // An existing cluster keeps its ports; most likely it is running already.
  const option = existed ? 'a new --dir with its own --base-port' : '--base-port';
  return [
    { port: gatewayPort, host: HOST, purpose: 'gateway', option: '--port' },
    ...plan.members.flatMap(({ id, linkPort, healthPort }) => [
      { port: linkPort, host: HOST, purpose: `link of member ${id}`, option },
      { port: healthPort, host: HOST, purpose: `health of member ${id}`, option },
    ]),
    { port: plan.natsPort, host: HOST, purpose: 'NATS', option },
  ];
}

async function chooseNats({ nats, print }: DevOptions): Promise<string | null> {
  if (nats === 'off') {
    print('NATS is off (--nats off): the NATS API is off, the feed runs over the link');
    return null;
  }
  const found = await findNatsServer(process.env);
  if (found !== null) return found;
  if (nats === 'install') {
    print('Installing nats-server with apt-get ...');
    await installNatsServer();
    const installed = await findNatsServer(process.env);
    if (installed === null) throw new CommandError('nats-server was installed, but cannot be found.');
    return installed;
  }
  print(
    'No nats-server found (PATH, NATS_SERVER): the NATS API is off, the feed runs over the link. --nats install fetches one',
  );
  return null;
}

type Ready = Omit<ReadyFacts, 'seconds'>;

/** One run of a development cluster: its processes, and what is said about them. */
class DevRun {
  readonly #processes: Processes;
  /** Members that ended although nobody here stopped them. */
  readonly #ended = new Set<number>();
  /** Those of them that somebody has started again. */
  readonly #returned = new Set<number>();
  /** Why the start cannot succeed any more. */
  #failure: string | null = null;
  #ready = false;
  #returns: NodeJS.Timeout | null = null;

  constructor(
    private readonly options: DevOptions,
    private readonly cluster: ClusterFile,
    private readonly plan: DevPlan,
    private readonly natsServer: string | null,
  ) {
    this.#processes = new Processes(join(options.folder, 'logs'), (exit) => this.#onExit(exit));
  }

  async start(): Promise<void> {
    const { folder, port, print } = this.options;
    if (this.natsServer !== null) await this.#startNats(this.natsServer);
    const natsPort = this.natsServer === null ? null : this.plan.natsPort;
    const preload = ['--import', new URL('./exit-with-parent.js', import.meta.url).href];
    const store = await storeProgram();
    const gateway = await gatewayProgram();
    const pids = await Promise.all(
      this.cluster.members.map(({ id }) =>
        this.#processes.start({
          name: `member-${id}`,
          command: process.execPath,
          arguments: [...preload, store],
          environment: memberEnvironment(folder, id, natsPort),
        }),
      ),
    );
    const gatewayPid = await this.#processes.start({
      name: 'gateway',
      command: process.execPath,
      arguments: [...preload, gateway],
      environment: {
        ...cleanEnvironment(),
        QUORATE_CLUSTER_FILE: clusterFilePath(folder),
        QUORATE_SECRETS_DIR: secretPaths(folder).gatewayFolder,
        QUORATE_HOST: HOST,
        QUORATE_PORT: String(port),
        ...(natsPort === null ? {} : natsVariables(folder, natsPort, 'gateway')),
      },
    });
    print(
      `Started members ${this.cluster.members.map(({ id }, at) => `${id} (pid ${pids[at]})`).join(', ')} ` +
        `and the gateway (pid ${gatewayPid}); logs in ${join(folder, 'logs')}`,
    );
  }

  async #startNats(natsServer: string): Promise<void> {
    const { folder, stop, print } = this.options;
    const listen = { host: HOST, port: this.plan.natsPort };
    await prepareNats(folder, this.cluster.clusterId, listen, HOST);
    await this.#processes.start({
      name: 'nats',
      command: '/bin/sh',
      arguments: endingWithParent(natsServer, ['-c', secretPaths(folder).natsConfig]),
      environment: cleanEnvironment(),
    });
    const deadline = performance.now() + NATS_READY_TIMEOUT_MS;
    while (!(await isListening(HOST, this.plan.natsPort))) {
      if (stop.aborted) return;
      if (this.#failure !== null) throw new CommandError(this.#failure);
      if (performance.now() > deadline) {
        throw new CommandError(
          `${natsServer} did not open port ${this.plan.natsPort} within 5 s: see ${this.#log('nats')}`,
        );
      }
      await sleep(POLL_MS);
    }
    print(`NATS on ${HOST}:${this.plan.natsPort} (${natsServer})`);
  }

  /** Resolves when the gateway serves and a leader has a quorum; null when stopped before. */
  async waitUntilReady(): Promise<Ready | null> {
    const { folder, port, stop } = this.options;
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (!stop.aborted) {
      if (this.#failure !== null) throw new CommandError(this.#failure);
      const [leader, gateway] = await Promise.all([this.#leader(), readiness(HOST, port)]);
      const leaderPid = leader === null ? null : this.#processes.pid(`member-${leader}`);
      if (gateway?.ready === true && leader !== null && leaderPid !== null) {
        this.#ready = true;
        return {
          folder,
          gatewayPort: port,
          natsPort: this.natsServer === null ? null : this.plan.natsPort,
          leader,
          leaderPid,
          memberCount: this.cluster.members.length,
          runningCount: this.cluster.members.length - this.#ended.size,
          command: ownCommand(),
        };
      }
      if (performance.now() > deadline) {
        throw new CommandError(
          `Not ready after ${READY_TIMEOUT_MS / 1000} s (${leader === null ? 'no leader' : 'the gateway does not serve'}): ` +
            `see the logs in ${join(folder, 'logs')}`,
        );
      }
      await sleep(POLL_MS);
    }
    return null;
  }

  async #leader(): Promise<number | null> {
    const answers = await Promise.all(
      this.cluster.members
        .filter(({ id }) => !this.#ended.has(id))
        .map(({ host, healthPort }) => readiness(host, healthPort)),
    );
    return answers.find((answer) => answer?.quorum === true && answer.leader !== null)?.leader ?? null;
  }

  /** From now on says so when a member that had ended answers again, started by somebody else, and when it stops to. */
  watchReturns(): void {
    this.#returns = setInterval(() => void this.#lookForReturned(), RETURN_POLL_MS);
  }

  async #lookForReturned(): Promise<void> {
    for (const { id, host, healthPort } of this.cluster.members) {
      if (!this.#ended.has(id) && !this.#returned.has(id)) continue;
      const answer = await readiness(host, healthPort);
      if (answer?.ready === true && this.#ended.delete(id)) {
        this.#returned.add(id);
        this.options.print(`Member ${id} takes part again. ${this.#whatIsLeft()}`);
      } else if (answer === null && this.#returned.delete(id)) {
        this.#ended.add(id);
        this.options.print(`Member ${id} does not answer any more. ${this.#whatIsLeft()}`);
      }
    }
  }

  async stop(): Promise<void> {
    if (this.#returns !== null) clearInterval(this.#returns);
    // The gateway first: what it has under way is still answered.
    await this.#processes.stopAll('gateway');
  }

  #log(name: string): string {
    return this.#processes.logPath(name);
  }

  #onExit(exit: ExitOf): void {
    const member = /^member-(\d+)$/.exec(exit.name);
    const how = exit.signal === null ? `ended with exit code ${exit.code}` : `was ended by ${exit.signal}`;
    // By its own decision it has a reason to tell; killed, it has none.
    const why =
      exit.signal === null && exit.lastWords !== null ? `: ${exit.lastWords.replace(/\.$/, '')}` : '';
    if (member === null) {
      const name = exit.name === 'nats' ? 'nats-server' : 'The gateway';
      const consequence =
        exit.name === 'nats'
          ? ' The NATS API is off, the feed goes on over the link.'
          : ' Press Ctrl-C and start again.';
      const line = `${name} (pid ${exit.pid}) ${how}${why} (log: ${this.#log(exit.name)}).`;
      if (!this.#ready) this.#failure ??= line;
      else this.options.print(`${line}${consequence}`);
      return;
    }
    const id = Number(member[1]);
    this.#ended.add(id);
    const again =
      exit.signal === null ? '' : ` Start it again: ${ownCommand()} member start ${id}${this.#dirOption()}`;
    this.options.print(`Member ${id} (pid ${exit.pid}) ${how}${why}. ${this.#whatIsLeft()}${again}`);
    const quorum = Math.floor(this.cluster.members.length / 2) + 1;
    if (!this.#ready && this.cluster.members.length - this.#ended.size < quorum) {
      this.#failure ??= `Too few members run for a quorum; see the logs in ${join(this.options.folder, 'logs')}.`;
    }
  }

  #whatIsLeft(): string {
    const total = this.cluster.members.length;
    const running = total - this.#ended.size;
    return running > total / 2
      ? `${running} of ${total} run: the cluster goes on.`
      : `${running} of ${total} run: no quorum, so writes and strict reads are refused.`;
  }

  #dirOption(): string {
    return this.options.folder === '.quorate' ? '' : ` --dir ${this.options.folder}`;
  }
}

/** How this program was called, so that what it prints can be pasted. */
function ownCommand(): string {
  const absolute = fileURLToPath(new URL('./main.js', import.meta.url));
  const fromHere = relative(process.cwd(), absolute);
  return `node ${fromHere.length < absolute.length ? fromHere : absolute}`;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
