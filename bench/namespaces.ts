import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../test/rest.js';

const CLI = join(import.meta.dirname, '../apps/cli/dist/main.js');
const STORE = join(import.meta.dirname, '../apps/store/dist/main.js');
const SUBNET = '10.91.37';
const BRIDGE = 'qrbench0';

/** A member's own view. */
interface MemberFacts {
  readonly role: string;
  readonly term: number;
  readonly leader: number | null;
  readonly appliedIndex: number;
}

/**
 * Three members, each in a network namespace of its own (Linux, root), joined by a bridge that this class makes and removes: so that a machine can
 * vanish from the network without a word, which no fault on loopback shows. Links are TLS, as they are between machines. To be used in a network
 * namespace of its own (`unshare --net`): with a docker engine on the machine its rules would stop what passes a bridge.
 */
export class NamespaceCluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'quorate-netns-'));
  readonly #children = new Map<number, ChildProcess>();

  static async start(): Promise<NamespaceCluster> {
    const cluster = new NamespaceCluster();
    try {
      cluster.#makeNetwork();
      const hosts = cluster.ids.map((id) => `${SUBNET}.${id}`).join(',');
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
    ip('link', 'set', `qr-bench-${id}`, 'down');
  }
  mend(id: number): void {
    ip('link', 'set', `qr-bench-${id}`, 'up');
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
    for (const id of this.ids) tryIp('netns', 'del', namespaceOf(id));
    tryIp('link', 'del', BRIDGE);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #makeNetwork(): void {
    ip('link', 'add', BRIDGE, 'type', 'bridge');
    ip('addr', 'add', `${SUBNET}.254/24`, 'dev', BRIDGE);
    ip('link', 'set', BRIDGE, 'up');
    for (const id of this.ids) {
      const [namespace, outside] = [namespaceOf(id), `qr-bench-${id}`];
      ip('netns', 'add', namespace);
      ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
      ip('link', 'set', outside, 'master', BRIDGE, 'up');
      ip('-n', namespace, 'addr', 'add', `${SUBNET}.${id}/24`, 'dev', 'eth0');
      ip('-n', namespace, 'link', 'set', 'eth0', 'up');
      ip('-n', namespace, 'link', 'set', 'lo', 'up');
    }
  }

  #startMember(id: number): void {
    const child = spawn('ip', ['netns', 'exec', namespaceOf(id), process.execPath, STORE], {
      env: {
        PATH: process.env['PATH'],
        QUORATE_MEMBER: String(id),
        QUORATE_CLUSTER_FILE: join(this.folder, 'cluster.json'),
        QUORATE_DATA_DIR: join(this.folder, `member-${id}`),
        QUORATE_SECRETS_DIR: join(this.folder, 'secrets/member'),
        QUORATE_HOST: `${SUBNET}.${id}`,
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
      const answer = execFileSync(
        'ip',
        [
          'netns',
          'exec',
          namespaceOf(id),
          process.execPath,
          '-e',
          `fetch('http://${SUBNET}.${id}:${healthPort}/readyz', { signal: AbortSignal.timeout(1000) }).then((r) => r.text()).then(console.log)`,
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
  return `quorate-bench-${id}`;
}

function ip(...parameters: string[]): void {
  execFileSync('ip', parameters, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function tryIp(...parameters: string[]): void {
  try {
    ip(...parameters);
  } catch {
    // It was never made, or is gone already.
  }
}
