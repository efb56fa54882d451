import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Found } from '../packages.js';
import { HOST, type Peer, type PeerKind, printed } from './peer.js';

export const REDIS: PeerKind = {
  wanted: {
    name: 'redis',
    package: 'redis-server',
    dependencies: /^(redis-tools|libjemalloc|liblua5|lua-|liblzf|libatomic)/,
    file: 'usr/bin/redis-server',
    newestFirst: false,
  },
  make: redis,
};

function redis({ path, root, origin }: Found): Peer {
  const libraries: Record<string, string> = root === '/' ? {} : { LD_LIBRARY_PATH: libraryFolder(root) };
  const version = /v=(\S+)/.exec(printed(path, ['--version'], libraries))?.[1] ?? 'of unknown version';
  return {
    name: 'redis',
    title: `Redis ${version}`,
    origin,
    isDurable: false,
    durability: 'in the memory of one server, neither replicated nor on a disk',
    reads: 'one server: no quorum is asked, and none is needed',
    nodes: 1,
    warmMs: 1_000,
    command: (node) => ({
      command: path,
      parameters: [
        ...['--port', String(node.ports[0]), '--bind', HOST, '--dir', node.folder],
        ...['--save', '', '--appendonly', 'no'],
      ],
      environment: libraries,
    }),
    leads: async () => true,
  };
}

/** Of the packages that were unpacked beside the program. */
function libraryFolder(root: string): string {
  const folder = join(root, 'usr/lib');
  return join(folder, readdirSync(folder).find((name) => name.endsWith('-linux-gnu')) ?? '');
}
