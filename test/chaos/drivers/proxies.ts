import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { randomOf } from '../../../bench/soak-plan.js';
import type { ChaosCluster } from '../cluster.js';
import type { LinkFault, Part } from '../fault.js';
import { Links } from './links.js';
import { type LocalCluster, isMember } from './local-cluster.js';
import { type DriverOptions, MachineCluster, type Network } from './machine-cluster.js';
import { ProxiedLink } from './proxied-link.js';

const PROXY_HOST = '127.0.0.1';
/** Members listen where nobody is told that they do: a connection that goes round the proxies finds nobody, and the cluster never gets ready. */
const MEMBER_HOST = process.platform === 'linux' ? '127.0.0.2' : '::1';
const DIAL_BY_PROXY = pathToFileURL(join(import.meta.dirname, 'dial-by-proxy.mjs')).href;

interface ProxiedPair {
  readonly from: Part;
  readonly to: Part;
  readonly link: ProxiedLink;
}

/**
 * A cluster on loopback in which every process reaches every other through a proxy of its own, in this program: no root, any system.
 * What it cannot show is said by `whyNot`. What is not as on a wire: a connection through a cut is accepted (and silent), and after a cut TCP is not
 * slow to come back.
 */
export function startProxiesCluster(options: DriverOptions): Promise<ChaosCluster> {
  return MachineCluster.start(new ProxiedNetwork(randomOf(options.seed)), options);
}

class ProxiedNetwork implements Network {
  readonly driver = 'proxies';
  readonly links = new Links(() => {
    for (const { link } of this.#pairs) link.changed();
  });
  readonly #pairs: ProxiedPair[] = [];
  #cluster: LocalCluster | null = null;

  constructor(private readonly random: () => number) {}

  readonly placement = {
    advertisedHost: () => PROXY_HOST,
    host: (part: Part) => (isMember(part) ? MEMBER_HOST : PROXY_HOST),
    natsAddress: (part: Part, port: number) => ({
      host: PROXY_HOST,
      port: this.#pairs.find(({ from, to }) => from === part && to === 'nats')?.link.port ?? port,
    }),
    prefix: () => [],
  };

  preloads(part: Part): readonly string[] {
    return part === 'nats' ? [] : [DIAL_BY_PROXY];
  }

  environment(part: Part): NodeJS.ProcessEnv {
    const own = this.#pairs.filter(({ from, to }) => from === part && isMember(to));
    const ports = own.map(({ to, link }) => [this.#cluster?.linkPort(to), link.port]);
    return { CHAOS_DIAL: JSON.stringify(Object.fromEntries(ports)) };
  }

  whyNot(fault: LinkFault): string | null {
    return fault.kind === 'loss'
      ? 'A stream of bytes cannot lose a part of itself: the driver "namespaces" loses packets.'
      : null;
  }

  async open(cluster: LocalCluster): Promise<void> {
    this.#cluster = cluster;
    for (const from of [...cluster.members, ...cluster.gateways]) {
      for (const to of [...cluster.members, ...(cluster.hasNats ? (['nats'] as const) : [])]) {
        if (from !== to) this.#pairs.push({ from, to, link: this.#link(cluster, from, to) });
      }
    }
    await Promise.all(this.#pairs.map(({ link }) => link.open()));
  }

  #link(cluster: LocalCluster, from: Part, to: Part): ProxiedLink {
    const port = to === 'nats' ? cluster.natsPort : cluster.linkPort(to);
    return new ProxiedLink({
      host: PROXY_HOST,
      target: { host: this.placement.host(to), port },
      conditions: () => ({
        forward: this.links.condition(from, to),
        back: this.links.condition(to, from),
      }),
      random: this.random,
    });
  }

  onStarted(part: Part): void {
    this.#setGone(part, false);
  }
  onEnded(part: Part): void {
    this.#setGone(part, true);
  }
  #setGone(part: Part, isGone: boolean): void {
    for (const { to, link } of this.#pairs) if (to === part) link.setTargetGone(isGone);
  }

  async close(): Promise<void> {
    for (const { link } of this.#pairs) link.close();
  }
}
