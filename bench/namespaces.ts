import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NamespaceNetwork } from '../test/chaos/drivers/namespace-network.js';
import { until } from '../test/rest.js';

const CLI = join(import.meta.dirname, '../apps/cli/dist/main.js');
const STORE = join(import.meta.dirname, '../apps/store/dist/main.js');

/** A member's own view. */
interface MemberFacts {
  readonly role: string;
  readonly term: number;
  readonly leader: number | null;
  readonly appliedIndex: number;
}

/**
 * Three members, each in a network namespace of its own (Linux, root): so that a machine can vanish from the network without a word, which no
 * fault on loopback shows. Links are TLS, as they are between machines. For a program in namespaces of its own, as NamespaceNetwork says.
 */
export class NamespaceCluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'quorate-netns-'));
  readonly #network = new NamespaceNetwork();
  readonly #children = new Map<number, ChildProcess>();

  static async start(): Promise<NamespaceCluster> {
    const cluster = new NamespaceCluster();
    try {
      for (const id of cluster.ids) cluster.#network.add(namespaceOf(id), id);
      const hosts = cluster.ids.map((id) => cluster.#addressOf(id)).join(',');
      const data = cluster.ids.flatMap((id) => ['--data', `${id}=${join(cluster.folder, `member-${id}`)}`]);
      execFileSync(process.execPath, [CLI, 'init', '--dir', cluster.folder, '--hosts', hosts, ...data]);
      for (const id of cluster.ids) cluster.#startMember(id);
      await cluster.leader();
      return cluster;
    } catch (error) {
      await cluster.destroy();
      throw error;
    }
  }

  get ids(): readonly number[] {
    return [1, 2, 3];
  }
  get token(): string {
    return readFileSync(join(this.folder, 'admin.token'), 'utf8').trim();
  }

  /** No packet passes to or from this member any more; nobody is told. */
  cut(id: number): void {
    this.#network.setLink(namespaceOf(id), 'down');
  }
  mend(id: number): void {
    this.#network.setLink(namespaceOf(id), 'up');
  }

  /** The leader that a majority follows. */
  async leader(): Promise<number> {
    let leader = 0;
    await until('a majority follows a leader', async () => {
      const facts = await Promise.all(this.ids.map((id) => this.#facts(id)));
      const newest = facts.filter((one) => one !== null).toSorted((one, other) => other.term - one.term)[0];
      leader = newest?.leader ?? 0;
      return leader !== 0 && facts.filter((one) => one?.leader === leader).length >= 2;
    });
    return leader;
  }

  /** Waits until all members have applied the same. */
  async converge(): Promise<void> {
    await until('all members are equal', async () => {
      const facts = await Promise.all(this.ids.map((id) => this.#facts(id)));
      return new Set(facts.map((one) => one?.appliedIndex ?? Math.random())).size === 1;
    });
  }

  async destroy(): Promise<void> {
    for (const child of this.#children.values()) child.kill('SIGKILL');
    await Promise.all(
      [...this.#children.values()].map(
        (child) =>
          new Promise((resolve) =>
            (child.exitCode ?? child.signalCode) !== null ? resolve(null) : child.once('exit', resolve),
          ),
      ),
    );
    this.#network.destroy();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #addressOf(id: number): string {
    return this.#network.address(namespaceOf(id));
  }

  #startMember(id: number): void {
    const [program = '', ...words] = this.#network.prefix(namespaceOf(id));
    const child = spawn(program, [...words, process.execPath, STORE], {
      env: {
        PATH: process.env['PATH'],
        QUORATE_MEMBER: String(id),
        QUORATE_CLUSTER_FILE: join(this.folder, 'cluster.json'),
        QUORATE_DATA_DIR: join(this.folder, `member-${id}`),
        QUORATE_SECRETS_DIR: join(this.folder, 'secrets/member'),
        QUORATE_HOST: this.#addressOf(id),
      },
      stdio: 'ignore',
    });
    this.#children.set(id, child);
  }

  async #facts(id: number): Promise<MemberFacts | null> {
    const file = JSON.parse(readFileSync(join(this.folder, 'cluster.json'), 'utf8'));
    const { healthPort } = file.members.find((member: { id: number }) => member.id === id);
    try {
      // From inside: it answers also while it is cut off.
      const [program = '', ...words] = this.#network.prefix(namespaceOf(id));
      const answer = execFileSync(
        program,
        [
          ...words,
          process.execPath,
          '-e',
          `fetch('http://${this.#addressOf(id)}:${healthPort}/readyz', { signal: AbortSignal.timeout(1000) }).then((r) => r.text()).then(console.log)`,
        ],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
      );
      return JSON.parse(answer).details.member as MemberFacts;
    } catch {
      return null;
    }
  }
}

function namespaceOf(id: number): string {
  return `store${id}`;
}
