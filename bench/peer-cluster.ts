import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PeerTarget } from './adapters/adapter.js';
import { atEnd, signalProcess } from './lifetimes.js';
import type { Peer, PeerNode } from './servers/peer.js';
import { freePort } from './ports.js';

const HOST = '127.0.0.1';
const LEADER_LIMIT_MS = 60_000;
const LOOK_LIMIT_MS = 1_500;
/** After an election followers still connect. */
const SETTLE_MS = 1_500;

/** The servers of one peer: real processes on loopback, each with a folder on the same disk. */
export class PeerCluster {
  readonly #peer: Peer;
  readonly #folder: string;
  readonly #nodes: readonly PeerNode[];
  readonly #processes = new Map<number, ChildProcess>();
  readonly #forget: () => void;

  private constructor(peer: Peer, folder: string, nodes: readonly PeerNode[]) {
    this.#peer = peer;
    this.#folder = folder;
    this.#nodes = nodes;
    this.#forget = atEnd(() => {
      for (const pid of this.pids) signalProcess(pid, 'SIGKILL');
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    });
  }

  /** Starts the servers on empty folders and waits until one leads. */
  static async start(peer: Peer, count = peer.nodes): Promise<PeerCluster> {
    const folder = mkdtempSync(join(tmpdir(), `quorate-bench-${peer.name}-`));
    const nodes: PeerNode[] = [];
    for (let index = 0; index < count; index += 1) {
      const own = join(folder, `n${index}`);
      mkdirSync(own);
      nodes.push({ index, folder: own, ports: [await freePort(), await freePort(), await freePort()] });
    }
    const cluster = new PeerCluster(peer, folder, nodes);
    try {
      for (const { index } of nodes) cluster.startNode(index);
      await cluster.leader();
      if (count > 1) await sleep(SETTLE_MS);
      return cluster;
    } catch (error) {
      await cluster.destroy();
      throw error;
    }
  }

  get size(): number {
    return this.#nodes.length;
  }

  /** Process ids of the servers that run. */
  get pids(): readonly number[] {
    return [...this.#processes.values()].filter(isRunning).map(({ pid }) => pid ?? 0);
  }

  pidOf(index: number): number {
    return this.#processes.get(index)?.pid ?? 0;
  }

  /** Starts a server that does not run, on the folder that it had. */
  startNode(index: number): void {
    const node = this.#node(index);
    const { command, parameters, environment } = this.#peer.command(node, this.#nodes);
    const log = openSync(join(this.#folder, `n${index}.log`), 'a');
    const stdio = ['ignore', log, log] as const;
    const env = { ...process.env, ...environment };
    const child = spawn(command, parameters, { stdio: [...stdio], cwd: node.folder, env });
    closeSync(log);
    // A program that cannot be started leads to nobody leading: that is reported.
    child.on('error', () => undefined);
    this.#processes.set(index, child);
  }

  async kill(index: number): Promise<void> {
    const child = this.#processes.get(index);
    if (child === undefined || !isRunning(child)) return;
    await new Promise((resolve) => {
      child.once('exit', resolve);
      child.kill('SIGKILL');
    });
  }

  signal(index: number, signal: NodeJS.Signals): void {
    this.#processes.get(index)?.kill(signal);
  }

  /** Index of the server that leads; rejects when nobody does within a minute. */
  async leader(): Promise<number> {
    const deadlineMs = performance.now() + LEADER_LIMIT_MS;
    while (performance.now() < deadlineMs) {
      for (const node of this.#nodes) {
        const child = this.#processes.get(node.index);
        if (child === undefined || !isRunning(child)) continue;
        const looked = this.#peer.leads(node, this.#nodes).catch(() => false);
        if (await Promise.race([looked, sleep(LOOK_LIMIT_MS, false)])) return node.index;
      }
      await sleep(100);
    }
    throw new Error(`nobody leads after ${LEADER_LIMIT_MS} ms; the log ends with: ${this.#lastWords()}`);
  }

  async target(): Promise<PeerTarget> {
    const leader = await this.leader();
    const other = (leader + 1) % this.#nodes.length;
    return { type: 'peer', leader: this.address(leader), other: this.address(other) };
  }

  address(index: number): PeerTarget['leader'] {
    return { host: HOST, port: this.#node(index).ports[0] };
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#processes.keys()].map((index) => this.kill(index)));
    this.#forget();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #lastWords(): string {
    const text = readFileSync(join(this.#folder, 'n0.log'), 'utf8').trim();
    return text.slice(-300).replaceAll('\n', ' / ');
  }

  #node(index: number): PeerNode {
    const node = this.#nodes[index];
    if (node === undefined) throw new Error(`${this.#peer.name} has no server ${index}`);
    return node;
  }
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}
