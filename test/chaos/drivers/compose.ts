import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { atEnd } from '../../../bench/lifetimes.js';
import { until } from '../../rest.js';
import type { ChaosCluster } from '../cluster.js';
import { type Fault, type FaultKind, type Part, isLinkFault } from '../fault.js';
import { brokenInvariantsIn } from '../invariants.js';
import { runCommand } from './command.js';
import { ComposeProject } from './compose-project.js';
import { FakeClock, findFakeClock } from './fake-clock.js';
import { ContainerFaults } from './container-faults.js';
import { ContainerNetworks } from './container-networks.js';
import { allTakePart, leaderOf, type GatewayAddress } from './gateways.js';
import { ImageDisk, unmountBelow } from './image-disk.js';
import { DISKS_OF_CONTAINERS } from './own-namespaces.js';

/** Where containers find their fake clock. */
const CLOCK_FOLDER = '/faketime';

/** One at a time on a machine: whatever has this name is an earlier run's, and is taken away. */
const PROJECT = 'quorate-chaos';
const SHIPPED_FILE = 'docker-compose.yml';
const CHAOS_FILE = 'test/chaos/docker-compose.chaos.yml';
const IMAGE = 'quorate:0.1.0';
/** Not those that a user's own cluster has. */
const VARIABLES = {
  QUORATE_GATEWAY1_PORT: '28080',
  QUORATE_GATEWAY2_PORT: '28081',
  QUORATE_NATS_PORT: '24222',
};
const LOGS = 'logs';
const FOLDER_PREFIX = join(tmpdir(), DISKS_OF_CONTAINERS);
/** The user `node` of the image. */
const OWNER = 1_000;
/** Of one member; only what is written takes up room. */
const DISK_BYTES = 512 << 20;
const READY_TIMEOUT_MS = 120_000;

const MEMBERS: readonly Part[] = ['store1', 'store2', 'store3'];
const GATEWAYS: readonly Part[] = ['gateway1', 'gateway2'];
const PARTS: readonly Part[] = [...MEMBERS, ...GATEWAYS, 'nats'];
const DISK_KINDS: readonly FaultKind[] = ['diskFull', 'diskReadOnly', 'slowSync', 'hungDisk', 'powerCut'];

export interface ComposeOptions {
  readonly members: 3 | 5;
  readonly seed: number;
  tell(line: string): void;
}

/**
 * The shipped docker-compose.yml and images as a project of its own on other ports, with what the suite lays over it. Packets are dropped, delayed
 * and shaped inside the containers' own networks, members' data lies on small file systems of their own, and wall clocks come from a
 * library that is mounted into them: each where the machine allows it, else `whyNot` says why not. Needs a docker engine.
 */
export async function startComposeCluster(options: ComposeOptions): Promise<ChaosCluster> {
  if (options.members !== 3)
    throw new Error('the shipped docker-compose.yml has three members: run five with another driver');
  const folder = mkdtempSync(FOLDER_PREFIX);
  const generatedFile = join(folder, 'override.json');
  writeFileSync(generatedFile, '{}');
  const files = [SHIPPED_FILE, CHAOS_FILE, generatedFile];
  let cluster: ComposeCluster | null = null;
  try {
    const project = await ComposeProject.make(PROJECT, files, VARIABLES);
    cluster = new ComposeCluster(project, options, folder, generatedFile);
    await cluster.setUp();
    return cluster;
  } catch (error) {
    if (cluster === null) rmSync(folder, { recursive: true, force: true });
    else {
      options.tell(`it did not come up: its logs are in ${folder}`);
      await cluster.destroy(true);
    }
    throw error;
  }
}

class ComposeCluster implements ChaosCluster {
  readonly driver = 'compose';
  readonly members = MEMBERS;
  readonly gateways = GATEWAYS;
  readonly hasNats = true;
  readonly #networks: ContainerNetworks;
  readonly #faults: ContainerFaults;
  /** Why kinds of faults cannot be had here. */
  readonly #missing = new Map<FaultKind, string>();
  readonly #forget: () => void;
  #adminToken = '';

  constructor(
    private readonly project: ComposeProject,
    private readonly options: ComposeOptions,
    readonly folder: string,
    private readonly generatedFile: string,
  ) {
    this.#networks = new ContainerNetworks(
      fixedAddresses(),
      async (part) => (await this.project.state(part)).pid,
      options.seed,
      (line) => options.tell(line),
    );
    this.#faults = new ContainerFaults(project, (part) => this.#networks.renew(part));
    this.#forget = atEnd(() => {
      this.#networks.end();
      // Before the containers: what waits for a frozen disk cannot be killed.
      unmountBelow(folder);
      project.downNow();
      rmSync(folder, { recursive: true, force: true });
    });
  }

  get adminToken(): string {
    return this.#adminToken;
  }
  gatewayAddress(gateway: Part): GatewayAddress {
    const number = this.gateways.indexOf(gateway) + 1;
    if (number !== 1 && number !== 2) throw new Error(`there is no ${gateway}`);
    return { host: '127.0.0.1', port: Number(VARIABLES[`QUORATE_GATEWAY${number}_PORT`]) };
  }

  async setUp(): Promise<void> {
    const tell = (line: string): void => this.options.tell(line);
    await this.project.down();
    for (const folder of leftFolders(this.folder)) {
      unmountBelow(folder);
      // With logs it was kept on purpose.
      if (!existsSync(join(folder, LOGS))) rmSync(folder, { recursive: true, force: true });
    }
    tell('building the image');
    await this.project.build();
    for (const [kind, why] of await ContainerNetworks.missing()) this.#missing.set(kind, why);
    const disks = await this.#makeDisks();
    const clocks = await this.#makeClocks();
    for (const part of PARTS) this.#faults.add(part, disks.get(part) ?? null, clocks.get(part) ?? null);
    writeFileSync(this.generatedFile, JSON.stringify(overrideOf(disks, clocks), null, 2));
    tell('starting the containers');
    await this.project.up(PARTS);
    await this.project.listen((part) => {
      this.#renew(part).catch((error: unknown) =>
        tell(`faults of ${part} were not renewed: ${String(error)}`),
      );
    });
    this.#adminToken = (await this.project.runOnce('admin', 'cat', '/cluster/admin.token')).trim();
    await until('everything is ready and healthy', () => this.#isHealthy(), READY_TIMEOUT_MS);
  }

  whyNot(fault: Fault): string | null {
    const parts = isLinkFault(fault)
      ? [...fault.from, ...fault.to]
      : 'parts' in fault
        ? fault.parts
        : [fault.part];
    const unknown = parts.find((part) => !PARTS.includes(part));
    if (unknown !== undefined) return `the shipped docker-compose.yml has no ${unknown}`;
    if (fault.kind === 'clock' && parts.includes('nats'))
      return 'the message broker does not ask the C library for the time';
    if (DISK_KINDS.includes(fault.kind) && !parts.every((part) => MEMBERS.includes(part)))
      return 'only members have a disk';
    return this.#missing.get(fault.kind) ?? null;
  }

  async begin(fault: Fault): Promise<() => Promise<void>> {
    const why = this.whyNot(fault);
    if (why !== null) throw new Error(why);
    return isLinkFault(fault) ? await this.#networks.begin(fault) : await this.#faults.begin(fault);
  }

  async leader(): Promise<Part | null> {
    return await leaderOf(this.#gatewayAddresses, this.adminToken);
  }
  async isReady(): Promise<boolean> {
    return await allTakePart(this.#gatewayAddresses, this.adminToken);
  }

  async brokenInvariants(): Promise<readonly string[]> {
    await this.#saveLogs();
    return brokenInvariantsIn(join(this.folder, LOGS));
  }

  async destroy(keep: boolean): Promise<void> {
    this.#networks.end();
    await this.#faults.release();
    if (keep) await this.#saveLogs();
    await this.project.down();
    unmountBelow(this.folder);
    this.#forget();
    if (!keep) rmSync(this.folder, { recursive: true, force: true });
  }

  /** A container that starts has a new network and new limits. */
  async #renew(part: Part): Promise<void> {
    await this.#networks.renew(part);
    await this.#faults.renew(part);
  }

  async #isHealthy(): Promise<boolean> {
    if (!(await this.isReady())) return false;
    const format = '{{.State.Health.Status}}';
    const ids = [...MEMBERS, ...GATEWAYS].map((part) => this.project.id(part));
    return (await this.project.docker('inspect', '-f', format, ...ids))
      .split('\n')
      .every((health) => health === 'healthy');
  }

  async #saveLogs(): Promise<void> {
    const folder = join(this.folder, LOGS);
    mkdirSync(folder, { recursive: true });
    await Promise.all(
      PARTS.filter((part) => this.project.has(part)).map((part) =>
        this.project.saveLog(part, join(folder, `${part}.log`)),
      ),
    );
  }

  async #makeDisks(): Promise<ReadonlyMap<Part, ImageDisk>> {
    const disks = new Map<Part, ImageDisk>();
    try {
      for (const part of MEMBERS)
        disks.set(part, await ImageDisk.make(join(this.folder, 'disks', part), DISK_BYTES, OWNER));
      return disks;
    } catch (error) {
      const why = `it takes root on Linux to give a member a disk of its own: ${messageOf(error)}`;
      for (const kind of DISK_KINDS) this.#missing.set(kind, why);
      unmountBelow(this.folder);
      return new Map();
    }
  }

  /** Tried out in the image: its C library may be older than the one that this machine's library wants. */
  async #makeClocks(): Promise<ReadonlyMap<Part, FakeClock>> {
    const library = findFakeClock();
    try {
      if (library === null) throw new Error('libfaketime is not installed');
      const clocks = new Map(
        [...MEMBERS, ...GATEWAYS].map((part) => [
          part,
          new FakeClock(library, join(this.folder, 'clocks', part), CLOCK_FOLDER),
        ]),
      );
      const probe = new FakeClock(library, join(this.folder, 'clocks', 'probe'), CLOCK_FOLDER);
      probe.set(1_000_000_000);
      const variables = Object.entries(probe.environment).flatMap(([name, value]) => [
        '-e',
        `${name}=${value}`,
      ]);
      const program = ['node', '-e', 'console.log(Date.now())'];
      const run = ['run', '--rm', '--network=none', '-v', probe.volume, ...variables, IMAGE, ...program];
      const toldMs = Number(await runCommand('docker', run));
      if (Math.abs(toldMs - Date.now() - 1_000_000_000) > 60_000)
        throw new Error('libfaketime has no effect in the image');
      return clocks;
    } catch (error) {
      this.#missing.set('clock', `wall clocks cannot be set here: ${messageOf(error)}`);
      return new Map();
    }
  }

  get #gatewayAddresses(): readonly GatewayAddress[] {
    return this.gateways.map((gateway) => this.gatewayAddress(gateway));
  }
}

/** What the machine adds to the Compose files. */
function overrideOf(
  disks: ReadonlyMap<Part, ImageDisk>,
  clocks: ReadonlyMap<Part, FakeClock>,
): Readonly<Record<string, unknown>> {
  const volumes = [...disks].map(([part, { dataFolder }]) => [
    part.replace('store', 'data'),
    { driver: 'local', driver_opts: { type: 'none', o: 'bind', device: dataFolder } },
  ]);
  const services = [...clocks].map(([part, { environment, volume }]) => [
    part,
    { environment, volumes: [volume] },
  ]);
  return {
    ...(volumes.length === 0 ? {} : { volumes: Object.fromEntries(volumes) }),
    ...(services.length === 0 ? {} : { services: Object.fromEntries(services) }),
  };
}

/** As the chaos file gives them in its list of hosts: `store1:10.91.38.11`. */
function fixedAddresses(): ReadonlyMap<Part, string> {
  const text = readFileSync(join(import.meta.dirname, '../docker-compose.chaos.yml'), 'utf8');
  return new Map(
    PARTS.map((part) => {
      const address = new RegExp(`^ *- ${part}:([0-9.]+)$`, 'm').exec(text)?.[1];
      if (address === undefined) throw new Error(`${CHAOS_FILE} has no address of ${part}`);
      return [part, address];
    }),
  );
}

/** Of runs that were killed. */
function leftFolders(own: string): readonly string[] {
  const folder = dirname(FOLDER_PREFIX);
  return readdirSync(folder)
    .filter((name) => name.startsWith(basename(FOLDER_PREFIX)))
    .map((name) => join(folder, name))
    .filter((name) => name !== own);
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll('\n', ' ');
}
