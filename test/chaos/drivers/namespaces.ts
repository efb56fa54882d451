import type { ChaosCluster } from '../cluster.js';
import type { LinkFault, Part } from '../fault.js';
import { Links } from './links.js';
import { isMember, numberOf } from './local-cluster.js';
import { type DriverOptions, GATEWAYS, MachineCluster, type Network } from './machine-cluster.js';
import { NamespaceNetwork } from './namespace-network.js';
import { hasOwnNamespace } from './own-namespaces.js';

/** Last numbers of addresses: members from 1. */
const FIRST_GATEWAY = 101;
const NATS = 90;
/** How much a slow link keeps before it drops, as a switch does. */
const QUEUE_S = 1;
const QUEUE_BYTES_MIN = 128 * 1024;

/**
 * A cluster in which each process has a network namespace of its own: real packets, real TCP, TLS between members and gateways. Linux, root, and this
 * program must have been run by `runInOwnNamespaces(['net', 'mount'])`.
 */
export async function startNamespacesCluster(options: DriverOptions): Promise<ChaosCluster> {
  if (!hasOwnNamespace('net') || !hasOwnNamespace('mount'))
    throw new Error('the driver "namespaces" runs in namespaces of its own only');
  return MachineCluster.start(new NamespacedNetwork(options.members), options);
}

class NamespacedNetwork implements Network {
  readonly driver = 'namespaces';
  readonly links = new Links(() => this.#putInForce());
  readonly #network = new NamespaceNetwork();
  readonly #parts: readonly Part[];
  /** What is in force in each namespace, as it was given to the kernel. */
  readonly #rules = new Map<Part, string>();
  readonly #queues = new Map<Part, string>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(members: number) {
    const numbers = Array.from({ length: members }, (_, place): [Part, number] => [
      `store${place + 1}`,
      place + 1,
    ]);
    for (let place = 0; place < GATEWAYS; place += 1)
      numbers.push([`gateway${place + 1}`, FIRST_GATEWAY + place]);
    numbers.push(['nats', NATS]);
    for (const [part, number] of numbers) this.#network.add(part, number);
    this.#parts = numbers.map(([part]) => part);
  }

  readonly placement = {
    advertisedHost: (part: Part) => this.#network.address(part),
    host: (part: Part) => this.#network.address(part),
    natsAddress: (_: Part, port: number) => ({ host: this.#network.address('nats'), port }),
    prefix: (part: Part) => this.#network.prefix(part),
  };

  preloads(): readonly string[] {
    return [];
  }

  /** Nothing leaves the bridge: clients may send their tokens as they are. */
  environment(part: Part): NodeJS.ProcessEnv {
    return isMember(part) || part === 'nats' ? {} : { QUORATE_HTTP_PLAINTEXT: 'true' };
  }

  whyNot(fault: LinkFault): string | null {
    return fault.kind === 'delay'
      ? 'Packets cannot be held back here: the driver "proxies" delays bytes.'
      : null;
  }

  async open(): Promise<void> {
    // All is there already.
  }
  onStarted(): void {
    // Namespaces outlive what runs in them.
  }
  onEnded(): void {
    // And so do their rules.
  }

  /** One change after the other; each brings about what holds when its turn comes. */
  #putInForce(): Promise<unknown> {
    const done = this.#turn.then(() => Promise.all(this.#parts.map((part) => this.#putInForceIn(part))));
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #putInForceIn(part: Part): Promise<void> {
    await this.#change(part, this.#rules, this.#filterOf(part), ['iptables-restore']);
    await this.#change(part, this.#queues, this.#shapingOf(part), ['tc', '-batch', '-']);
  }

  async #change(
    part: Part,
    inForce: Map<Part, string>,
    wanted: string,
    command: readonly string[],
  ): Promise<void> {
    if ((inForce.get(part) ?? '') === wanted) return;
    inForce.set(part, wanted);
    await this.#network.run(part, command, wanted);
  }

  /** What is dropped of that which arrives: one way, so that a cut is two of these. */
  #filterOf(part: Part): string {
    const rules = this.#parts.flatMap((from) => {
      const { isCut, lossPercent } = this.links.condition(from, part);
      const of = `-A INPUT -s ${this.#network.address(from)}`;
      if (isCut) return [`${of} -j DROP`];
      const chance = (lossPercent / 100).toFixed(6);
      return lossPercent > 0 ? [`${of} -m statistic --mode random --probability ${chance} -j DROP`] : [];
    });
    if (rules.length === 0 && !this.#rules.has(part)) return '';
    return ['*filter', ':INPUT ACCEPT [0:0]', ...rules, 'COMMIT', ''].join('\n');
  }

  /** How slowly what is sent leaves: a queue for each slow peer, and none for the others. */
  #shapingOf(part: Part): string {
    const lines = this.#parts.flatMap((to) => {
      const { bytesPerSecond } = this.links.condition(part, to);
      if (bytesPerSecond === null) return [];
      const address = this.#network.address(to);
      const own = numberOf(to) + (isMember(to) ? 0 : to === 'nats' ? NATS : FIRST_GATEWAY);
      const queueBytes = Math.max(QUEUE_BYTES_MIN, Math.ceil(bytesPerSecond * QUEUE_S));
      return [
        `class add dev eth0 parent 1: classid 1:${own} htb rate ${Math.ceil(bytesPerSecond * 8)}bit burst 4kb`,
        `qdisc add dev eth0 parent 1:${own} handle ${own + 1}: bfifo limit ${queueBytes}`,
        `filter add dev eth0 parent 1: protocol ip u32 match ip dst ${address}/32 flowid 1:${own}`,
      ];
    });
    if (lines.length === 0 && !this.#queues.has(part)) return '';
    const begin = lines.length === 0 ? [] : ['qdisc add dev eth0 root handle 1: htb'];
    const end = this.#queues.get(part)?.includes('htb') === true ? ['qdisc del dev eth0 root'] : [];
    return [...end, ...begin, ...lines, ''].join('\n');
  }

  async close(): Promise<void> {
    await this.#turn;
    this.#network.destroy();
  }
}
