import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { planDevCluster } from '../apps/cli/src/plan.js';
import { memberDataFolder } from '../apps/cli/src/member.js';
import { setUpCluster } from '../apps/cli/src/setup.js';
import { DevCluster, freeBasePort, isAlive, natsServer } from '../test/e2e/cluster.js';
import { until } from '../test/rest.js';
import { POLICIES, accessEntities } from './access.js';
import type { QuorateTarget } from './adapters/adapter.js';
import { CACHED_NAMESPACE, STRICT_NAMESPACE } from './adapters/quorate.js';
import { atEnd, killChildrenOf, signalProcess } from './lifetimes.js';

const HOST = '127.0.0.1';

/** Our own cluster: what `quorate dev` starts, members, a gateway and, if asked for and to be had, NATS. */
export class QuorateCluster {
  readonly title: string;
  /** Names and kind of a cluster's parts are those of the tests. */
  readonly dev: DevCluster;
  readonly ids: readonly number[];
  #nats: boolean;
  readonly #gatewayPid: number;
  readonly #forget: () => void;

  private constructor(dev: DevCluster, ids: readonly number[], nats: boolean, forget: () => void) {
    this.title = quorateTitle();
    this.dev = dev;
    this.ids = ids;
    this.#nats = nats;
    this.#gatewayPid = Number(/gateway \(pid (\d+)\)/.exec(dev.output)?.[1]);
    this.#forget = forget;
  }

  /** Starts `count` members on empty folders, with the namespaces that the adapters use. */
  static async start(options: { readonly nats: boolean; readonly count?: number }): Promise<QuorateCluster> {
    const { count = 3 } = options;
    const nats = options.nats && natsServer !== undefined;
    const made = {
      folder: mkdtempSync(join(tmpdir(), 'quorate-bench-own-')),
      basePort: await freeBasePort(),
    };
    const { folder } = made;
    // `quorate dev` is this program's child, and what it starts ends with it.
    const end = (): void => {
      killChildrenOf(folder);
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    };
    const forget = atEnd(end);
    let cluster: QuorateCluster | null = null;
    try {
      const { members } = planDevCluster(count, made.basePort);
      const ids = members.map(({ id }) => id);
      await setUpCluster(folder, members, new Map(ids.map((id) => [id, memberDataFolder(folder, id)])));
      cluster = new QuorateCluster(await DevCluster.start({ nats, made }), ids, nats, forget);
      await cluster.leader();
      await cluster.dev.createNamespace(STRICT_NAMESPACE, 'strict');
      await cluster.dev.createNamespace(CACHED_NAMESPACE, 'cached');
      return cluster;
    } catch (error) {
      await cluster?.destroy();
      end();
      forget();
      throw error;
    }
  }

  get hasNats(): boolean {
    return this.#nats;
  }

  /** Process ids of the members that run. */
  get memberPids(): readonly number[] {
    return this.ids.flatMap((id) => {
      const pid = this.#pidOf(id);
      return pid === null ? [] : [pid];
    });
  }

  /** Everything that takes part in an answer of the gateway. */
  get gatewayPids(): readonly number[] {
    return [...this.memberPids, this.#gatewayPid, ...(this.#nats ? [this.dev.natsPid()] : [])];
  }

  /** Kills NATS, if it runs. */
  async endNats(): Promise<void> {
    if (!this.#nats) return;
    const pid = this.dev.natsPid();
    signalProcess(pid, 'SIGKILL');
    await until('NATS is gone', () => !isAlive(pid));
    this.#nats = false;
  }

  /** The member that leads. */
  leader(): Promise<number> {
    return this.dev.leader();
  }

  pidOf(id: number): number {
    return this.dev.memberPid(id);
  }

  target(): QuorateTarget {
    return {
      type: 'quorate',
      folder: this.dev.folder,
      gateway: { host: HOST, port: Number(new URL(this.dev.url).port) },
      nats: this.#nats ? { host: HOST, port: this.dev.natsPort } : null,
    };
  }

  /** Writes the policies and entities that checks are measured with. */
  async loadAccess(): Promise<void> {
    const put = async (path: string, body: unknown): Promise<void> => {
      const answer = await this.dev.request('PUT', path, { body });
      if (answer.status !== 200 && answer.status !== 201) {
        throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      }
    };
    for (const { type, id, attrs, parents } of accessEntities()) {
      await put(`/v1/access/entities/${type}/${id}`, { attrs, parents });
    }
    for (const [id, text] of Object.entries(POLICIES)) await put(`/v1/access/policies/${id}`, text);
  }

  async destroy(): Promise<void> {
    // A member that stands still cannot end.
    for (const pid of this.memberPids) signalProcess(pid, 'SIGCONT');
    await this.dev.destroy();
    this.#forget();
  }

  #pidOf(id: number): number | null {
    try {
      return this.dev.memberPid(id);
    } catch {
      return null;
    }
  }
}

/** `Quorate 0.1.0`, from the root's package.json. */
export function quorateTitle(): string {
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8'));
  return `Quorate ${manifest.version}`;
}
