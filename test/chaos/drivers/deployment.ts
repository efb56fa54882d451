import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atEnd } from '../../../bench/lifetimes.js';
import type { ChaosCluster } from '../cluster.js';
import type { Fault, FaultKind, Part } from '../fault.js';
import { runCommand } from './command.js';
import { allTakePart, clusterView, leaderOf, type GatewayAddress } from './gateways.js';
import { TlsForwarder } from './tls-forwarder.js';

const COMMAND_TIMEOUT_MS = 120_000;

export interface DeploymentOptions {
  /** Must be what the cluster has. */
  readonly members: 3 | 5;
  readonly seed: number;
  tell(line: string): void;
  /** `https://a.example:8080,http://10.0.0.7:8080`: `gateway1`, `gateway2`.. in this order. At least two. */
  readonly gateways: string;
  /** Holds the admin token, as `quorate init` writes it. */
  readonly adminTokenFile: string;
  /** Who signed the gateways' certificates, as PEM; without it, whom Node trusts. */
  readonly caFile?: string;
  /** A program that makes faults. Without it there are none: workloads and verdict only. */
  readonly faultCommand?: string;
  /** `yes` if gateways and members are joined by NATS. */
  readonly nats?: string;
}

/**
 * Somebody's own cluster, known by the addresses of its gateways and an admin token. It is neither started nor stopped here, and the workloads' namespaces
 * stay in it. Faults are made by a program of his, called as
 *
 *     COMMAND kinds                    prints the kinds of faults that it can make, one a line, and exits 0
 *     COMMAND begin '<fault as JSON>'  exits 0 when the fault is in force
 *     COMMAND end '<fault as JSON>'    exits 0 when it is ended
 *
 * with a fault as in fault.ts: `{"kind":"cut","from":["store1"],"to":["store2","store3"]}`. It must not wait for the cluster to recover.
 * Rejects in one sentence when something that it needs is missing or wrong.
 */
export async function startDeployment(options: DeploymentOptions): Promise<ChaosCluster> {
  const { caFile, faultCommand: command = null } = options;
  const urls = options.gateways.split(',').map(gatewayUrl);
  if (urls.length < 2)
    throw new Error('two gateways are needed: what one has written is read through the other');
  const adminToken = readText(options.adminTokenFile, 'the admin token').trim();
  const ca = caFile === undefined ? null : readText(caFile, 'the certificate authority');
  const kinds = command === null ? [] : await kindsOf(command);
  const forwarders: TlsForwarder[] = [];
  try {
    const addresses: GatewayAddress[] = [];
    for (const { protocol, hostname, port } of urls) {
      const isTls = protocol === 'https:';
      const address = { host: hostname, port: port === '' ? (isTls ? 443 : 80) : Number(port) };
      if (!isTls) {
        addresses.push(address);
        continue;
      }
      const forwarder = await TlsForwarder.start(address.host, address.port, ca);
      forwarders.push(forwarder);
      addresses.push(forwarder.address);
    }
    const members = await membersOf(addresses, adminToken, urls);
    if (members.length !== options.members)
      throw new Error(`the cluster has ${members.length} members, not ${options.members}`);
    return new Deployment(addresses, members, adminToken, options.nats === 'yes', command, kinds, forwarders);
  } catch (error) {
    for (const forwarder of forwarders) await forwarder.close();
    throw error;
  }
}

class Deployment implements ChaosCluster {
  readonly driver = 'deployment';
  readonly gateways: readonly Part[];
  readonly folder = mkdtempSync(join(tmpdir(), 'quorate-deployment-'));
  /** Somebody's cluster must not stay broken because this program was interrupted. */
  readonly #inForce = new Set<Fault>();
  readonly #forget: () => void;

  constructor(
    private readonly addresses: readonly GatewayAddress[],
    readonly members: readonly Part[],
    readonly adminToken: string,
    readonly hasNats: boolean,
    private readonly command: string | null,
    private readonly kinds: readonly FaultKind[],
    private readonly forwarders: readonly TlsForwarder[],
  ) {
    this.gateways = addresses.map((_, at): Part => `gateway${at + 1}`);
    this.#forget = atEnd(() => {
      for (const fault of this.#inForce)
        execFileSync(this.command ?? '', ['end', JSON.stringify(fault)], { timeout: COMMAND_TIMEOUT_MS });
    });
    mkdirSync(join(this.folder, 'logs'));
    writeFileSync(join(this.folder, 'logs/README'), 'The logs of the cluster are with whoever runs it.\n');
  }

  gatewayAddress(gateway: Part): GatewayAddress {
    const address = this.addresses[this.gateways.indexOf(gateway)];
    if (address === undefined) throw new Error(`there is no ${gateway}`);
    return address;
  }

  whyNot(fault: Fault): string | null {
    if (this.command === null) return 'no fault can be made without a program that makes it';
    if (!this.kinds.includes(fault.kind)) return `the fault command does not know "${fault.kind}"`;
    return null;
  }

  async begin(fault: Fault): Promise<() => Promise<void>> {
    const why = this.whyNot(fault);
    if (why !== null) throw new Error(why);
    // From here on it may be half in force.
    this.#inForce.add(fault);
    const end = async (): Promise<void> => {
      if (!this.#inForce.has(fault)) return;
      await this.#call('end', fault);
      this.#inForce.delete(fault);
    };
    try {
      await this.#call('begin', fault);
    } catch (error) {
      await end().catch(() => undefined);
      throw error;
    }
    return end;
  }

  async leader(): Promise<Part | null> {
    return await leaderOf(this.addresses, this.adminToken);
  }
  async isReady(): Promise<boolean> {
    return await allTakePart(this.addresses, this.adminToken);
  }

  async destroy(keep: boolean): Promise<void> {
    for (const forwarder of this.forwarders) await forwarder.close();
    for (const fault of this.#inForce) await this.#call('end', fault);
    this.#forget();
    if (!keep) rmSync(this.folder, { recursive: true, force: true });
  }

  async #call(what: 'begin' | 'end', fault: Fault): Promise<void> {
    await runCommand(this.command ?? '', [what, JSON.stringify(fault)], { timeoutMs: COMMAND_TIMEOUT_MS });
  }
}

function gatewayUrl(text: string): URL {
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.pathname !== '/')
    throw new Error(`"${text}" is not the address of a gateway: http://HOST:PORT or https://HOST:PORT`);
  return url;
}

function readText(file: string, what: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`${what} cannot be read from ${file}`, { cause: error });
  }
}

async function kindsOf(command: string): Promise<readonly FaultKind[]> {
  const output = await runCommand(command, ['kinds'], { timeoutMs: COMMAND_TIMEOUT_MS });
  return output.split(/\s+/).filter((word): word is FaultKind => word !== '');
}

/** Every gateway must answer, and the token be right, before anything is done. */
async function membersOf(
  addresses: readonly GatewayAddress[],
  adminToken: string,
  urls: readonly URL[],
): Promise<readonly Part[]> {
  const views = await Promise.all(addresses.map((address) => clusterView(address, adminToken)));
  const silent = urls.filter((_, at) => views[at] === null).map(({ origin }) => origin);
  if (silent.length > 0)
    throw new Error(
      `no view of the cluster from ${silent.join(', ')}: not reachable, or the token is refused`,
    );
  return (views[0]?.members ?? []).map(({ id }): Part => `store${id}`);
}
