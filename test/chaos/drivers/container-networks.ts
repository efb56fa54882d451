import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { LinkFault, FaultKind, Part } from '../fault.js';
import { failureOf, runCommand } from './command.js';
import { type ActiveLink, type DelayQueue, packetRulesOf } from './packet-rules.js';

const DELAY_PROGRAM = join(import.meta.dirname, 'delay-queue.py');
const DELAY_START_TIMEOUT_MS = 10_000;
const NUMBER_MAX = 65_535;

type DelayProcess = ChildProcessByStdio<Writable, Readable, Readable>;

/** What is in force in one namespace. A container that starts again has another namespace, in which nothing is. */
interface InForce {
  readonly pid: number;
  readonly interfaceName: string;
  shaping: string;
  readonly queues: Map<number, DelayProcess>;
}

/** The network faults between containers, as rules inside their own network namespaces (Linux, root): nothing of the host is touched. */
export class ContainerNetworks {
  readonly #links = new Map<number, { readonly fault: LinkFault; isCutNow: boolean }>();
  readonly #inForce = new Map<Part, InForce>();
  readonly #last = new Map<Part, Promise<void>>();
  #number = 0;

  constructor(
    private readonly addresses: ReadonlyMap<Part, string>,
    /** Of the container's first process; 0: it does not run. */
    private readonly pidOf: (part: Part) => Promise<number>,
    private readonly seed: number,
    private readonly tell: (line: string) => void,
  ) {}

  /** Why kinds of faults cannot be had on this machine, tried out in a namespace of nobody. */
  static async missing(): Promise<ReadonlyMap<FaultKind, string>> {
    const missing = new Map<FaultKind, string>();
    const refuse = (kinds: readonly FaultKind[], why: string): void => {
      for (const kind of kinds) if (!missing.has(kind)) missing.set(kind, why);
    };
    const all = ['cut', 'cutOneWay', 'flap', 'loss', 'delay', 'slowLink'] as const;
    if (process.platform !== 'linux' || process.getuid?.() !== 0) {
      refuse(all, 'rules inside the networks of containers need root on Linux');
      return missing;
    }
    const parts: readonly Part[] = ['store1', 'store2'];
    const addresses = new Map<Part, string>(parts.map((part, at) => [part, `10.0.0.${at + 1}`]));
    const [from, to] = [['store1'], ['store2']] as const;
    const samples: readonly LinkFault[] = [
      { kind: 'cut', from, to },
      { kind: 'loss', from, to, percent: 1 },
      { kind: 'delay', from, to, ms: 1, jitterMs: 0 },
      { kind: 'slowLink', from, to, bytesPerSecond: 10_000 },
    ];
    for (const fault of samples) {
      const link: ActiveLink = { number: 1, fault, isCutNow: true };
      const rules = packetRulesOf('store1', [link], addresses, 'lo');
      const alone = ['--net', '--'];
      const why =
        (await failureOf('unshare', [...alone, 'iptables-restore', '-w'], { input: rules.filter })) ??
        (fault.kind === 'slowLink'
          ? await failureOf('unshare', [...alone, 'tc', '-batch', '-'], { input: rules.shaping })
          : null) ??
        (fault.kind === 'delay'
          ? await failureOf('unshare', [...alone, 'python3', DELAY_PROGRAM, '1', '1', '0', '1'])
          : null);
      if (why !== null) refuse(fault.kind === 'cut' ? all : [fault.kind], why);
    }
    return missing;
  }

  /** In force when it resolves; the returned function ends it. */
  async begin(fault: LinkFault): Promise<() => Promise<void>> {
    const number = this.#nextNumber();
    const link = { fault, isCutNow: true };
    const parts = [...new Set([...fault.from, ...fault.to])];
    this.#links.set(number, link);
    const end = async (): Promise<void> => {
      if (this.#links.delete(number)) await this.#renewAll(parts);
    };
    try {
      await this.#renewAll(parts);
    } catch (error) {
      await end().catch(() => undefined);
      throw error;
    }
    if (fault.kind !== 'flap') return end;
    let turn: Promise<void> = Promise.resolve();
    let timer = setTimeout(takeTurn, fault.cutMs, this);
    let isEnding = false;
    const { cutMs, healedMs } = fault;
    async function change(networks: ContainerNetworks): Promise<void> {
      link.isCutNow = !link.isCutNow;
      try {
        await networks.#renewAll(parts);
      } catch (error) {
        networks.tell(`a flapping link stays as it is: ${String(error)}`);
      }
      if (!isEnding) timer = setTimeout(takeTurn, link.isCutNow ? cutMs : healedMs, networks);
    }
    function takeTurn(networks: ContainerNetworks): void {
      turn = change(networks);
    }
    return async () => {
      isEnding = true;
      clearTimeout(timer);
      await turn;
      await end();
    };
  }

  /** To be called when a container has started: its network namespace is a new one. */
  async renew(part: Part): Promise<void> {
    const turn = (this.#last.get(part) ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => this.#apply(part));
    this.#last.set(part, turn);
    await turn;
  }

  /** Without waiting, for the end of a program. The rules go with the containers. */
  end(): void {
    this.#links.clear();
    for (const { queues } of this.#inForce.values())
      for (const child of queues.values()) child.kill('SIGKILL');
    this.#inForce.clear();
  }

  async #renewAll(parts: readonly Part[]): Promise<void> {
    const turns = await Promise.allSettled(parts.map((part) => this.renew(part)));
    const failed = turns.find((turn) => turn.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async #apply(part: Part): Promise<void> {
    const links = [...this.#links].map(([number, link]): ActiveLink => ({ number, ...link }));
    // Nothing was ever done to it, and nothing is to be.
    if (links.length === 0 && !this.#inForce.has(part)) return;
    const pid = await this.pidOf(part);
    if (this.#inForce.get(part)?.pid !== pid) this.#forget(part);
    // It gets its rules when it starts.
    if (pid === 0) return;
    try {
      await this.#applyTo(part, pid, links);
    } catch (error) {
      // Gone meanwhile: its next start is told.
      if ((await this.pidOf(part)) !== pid) return this.#forget(part);
      throw error;
    }
  }

  async #applyTo(part: Part, pid: number, links: readonly ActiveLink[]): Promise<void> {
    const inNetwork = networkOf(pid);
    let inForce = this.#inForce.get(part);
    if (inForce === undefined) {
      const interfaceName = await interfaceOf(inNetwork, this.addresses.get(part) ?? '');
      inForce = { pid, interfaceName, shaping: '', queues: new Map() };
      this.#inForce.set(part, inForce);
    }
    const { interfaceName, queues } = inForce;
    const rules = packetRulesOf(part, links, this.addresses, interfaceName);
    for (const queue of rules.queues)
      if (!queues.has(queue.number)) queues.set(queue.number, await this.#startDelay(part, inNetwork, queue));
    await runCommand('nsenter', [...inNetwork, 'iptables-restore', '-w'], { input: rules.filter });
    if (rules.shaping !== inForce.shaping) {
      if (inForce.shaping !== '')
        await runCommand('nsenter', [...inNetwork, 'tc', 'qdisc', 'del', 'dev', interfaceName, 'root']);
      inForce.shaping = '';
      if (rules.shaping !== '')
        await runCommand('nsenter', [...inNetwork, 'tc', '-batch', '-'], { input: rules.shaping });
      inForce.shaping = rules.shaping;
    }
    const wanted = new Set(rules.queues.map(({ number }) => number));
    for (const [number, child] of queues) {
      if (wanted.has(number)) continue;
      queues.delete(number);
      // It lets go of what still waits.
      child.stdin.end();
    }
  }

  async #startDelay(part: Part, inNetwork: readonly string[], queue: DelayQueue): Promise<DelayProcess> {
    const { number, ms, jitterMs } = queue;
    const figures = [number, ms, jitterMs, this.seed + number].map(String);
    const child = spawn('nsenter', [...inNetwork, 'python3', DELAY_PROGRAM, ...figures], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let said = '';
    child.stdin.on('error', () => undefined);
    child.stderr.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString('utf8')}`.slice(-400)));
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        reject(new Error(`packets of ${part} cannot be held back: no answer`));
      }, DELAY_START_TIMEOUT_MS);
      const fail = (why: string): void => {
        clearTimeout(timer);
        reject(new Error(`packets of ${part} cannot be held back: ${why}`));
      };
      child.once('error', (error) => fail(error.message));
      child.once('exit', () => fail(said));
      child.stdout.once('data', () => {
        clearTimeout(timer);
        resolve();
      });
    });
    child.once('exit', (code, signal) => {
      if (code !== 0 && this.#inForce.get(part)?.queues.get(number) === child)
        this.tell(`packets of ${part} are no longer held back (${signal ?? code}): ${said}`);
    });
    return child;
  }

  #forget(part: Part): void {
    const inForce = this.#inForce.get(part);
    this.#inForce.delete(part);
    for (const child of inForce?.queues.values() ?? []) child.kill('SIGKILL');
  }

  #nextNumber(): number {
    do this.#number = (this.#number % NUMBER_MAX) + 1;
    while (this.#links.has(this.#number));
    return this.#number;
  }
}

/** How to run something in the namespace of this process. Never in that of the host: the rules would be the host's. */
function networkOf(pid: number): readonly string[] {
  if (readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync('/proc/self/ns/net'))
    throw new Error(`process ${pid} has no network of its own`);
  return ['--target', String(pid), '--net', '--'];
}

/** By its address: after it was plugged in again it has another number. */
async function interfaceOf(inNetwork: readonly string[], address: string): Promise<string> {
  const line = await runCommand('nsenter', [
    ...inNetwork,
    ...['ip', '-o', '-4', 'addr', 'show', 'to', `${address}/32`],
  ]);
  const name = line.split(/\s+/)[1]?.split('@')[0];
  if (name === undefined || name === '') throw new Error(`no interface has the address ${address}`);
  return name;
}
