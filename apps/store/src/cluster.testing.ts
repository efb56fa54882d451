import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClusterFile, StoreRequest, StoreResponse } from '@quorate/api';
import { memberListHash } from '@quorate/api';
import { LinkConnection } from '@quorate/link';
import type { LostResponse } from '@quorate/link';
import { readClusterFile } from './configuration/cluster-file.js';
import { formatFolder, identityOf } from './data-folder/data-folder.js';

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** The files of a cluster in a temporary folder: cluster.json, secrets, one formatted data folder per member. */
export class TestCluster {
  readonly token = randomBytes(16).toString('hex');

  private constructor(
    readonly folder: string,
    readonly cluster: ClusterFile,
    readonly keys: ReadonlyMap<string, Buffer>,
  ) {}

  static async make(memberCount: number): Promise<TestCluster> {
    const folder = mkdtempSync(join(tmpdir(), 'quorate-store-'));
    const ports = await freePorts(2 * memberCount);
    const cluster: ClusterFile = {
      format: 1,
      clusterId: randomBytes(8).toString('hex'),
      epoch: 1,
      members: Array.from({ length: memberCount }, (_, at) => ({
        id: at + 1,
        host: '127.0.0.1',
        linkPort: ports[2 * at] ?? 0,
        healthPort: ports[2 * at + 1] ?? 0,
        incarnation: randomBytes(8).toString('hex'),
      })),
    };
    const names = ['member', 'gateway', 'client', 'feed', 'token'];
    const keys = new Map(names.map((name) => [name, randomBytes(32)]));
    const made = new TestCluster(folder, cluster, keys);
    made.#write();
    for (const { id } of cluster.members) await made.format(id);
    return made;
  }

  #write(): void {
    const secrets = join(this.folder, 'secrets');
    mkdirSync(secrets);
    for (const [name, key] of this.keys) writeFileSync(join(secrets, `${name}.key`), key.toString('hex'));
    writeFileSync(
      join(secrets, 'admin.token.sha256'),
      `${createHash('sha256').update(this.token).digest('hex')}\n`,
    );
    writeFileSync(join(this.folder, 'cluster.json'), JSON.stringify(this.cluster));
  }

  dataFolder(id: number): string {
    return join(this.folder, `member-${id}`);
  }

  async format(id: number): Promise<boolean> {
    const { cluster, self } = readClusterFile(join(this.folder, 'cluster.json'), id);
    return formatFolder(this.dataFolder(id), identityOf(cluster, self), 'newCluster');
  }

  environment(id: number): Record<string, string> {
    return {
      QUORATE_MEMBER: String(id),
      QUORATE_CLUSTER_FILE: join(this.folder, 'cluster.json'),
      QUORATE_DATA_DIR: this.dataFolder(id),
      QUORATE_SECRETS_DIR: join(this.folder, 'secrets'),
    };
  }

  healthUrl(id: number): string {
    return `http://127.0.0.1:${this.cluster.members[id - 1]?.healthPort ?? 0}`;
  }

  /** A link to a member, as a gateway or a client would open it. */
  connect(id: number, role: 'gateway' | 'client', onPush?: (bytes: Uint8Array) => void): LinkConnection {
    const to = this.cluster.members.find((member) => member.id === id);
    const key = this.keys.get(role);
    if (to === undefined || key === undefined) throw new Error('no such member or role');
    const { clusterId, epoch, members } = this.cluster;
    return new LinkConnection({
      to,
      cluster: { clusterId, epoch, memberListHash: memberListHash(members) },
      role,
      key,
      from: null,
      ...(onPush === undefined ? {} : { onPush }),
    });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Asks until the answer is none of the passing refusals of a member that is starting. At most ten seconds. */
export async function ask(
  connection: LinkConnection,
  request: StoreRequest,
): Promise<StoreResponse | LostResponse> {
  for (let attempt = 1; ; attempt += 1) {
    const response = await new Promise<StoreResponse | LostResponse>((resolve) =>
      connection.request(request, 2_000, resolve),
    );
    // A lost answer may be asked for again: writes carry their sequence.
    const passing =
      response.type === 'lost' ||
      (response.type === 'failed' &&
        ['STORE_UNREACHABLE', 'NO_QUORUM', 'NOT_LEADER', 'NOT_CAUGHT_UP'].includes(response.code));
    if (!passing || attempt === 100) return response;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
