import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Found } from '../packages.js';
import { JetStreamBucket } from '../wire/jetstream.js';
import { HOST, type Peer, type PeerKind, printed } from './peer.js';

export const NATS: PeerKind = {
  wanted: {
    name: 'nats',
    package: 'nats-server',
    dependencies: null,
    file: 'usr/sbin/nats-server',
    newestFirst: true,
  },
  make: nats,
};

function nats({ path, origin }: Found): Peer {
  const version = /v(\d+)\.(\d+)\.\S+/.exec(printed(path, ['--version']));
  const isSynced = Number(version?.[1]) > 2 || Number(version?.[2]) >= 10;
  return {
    name: 'nats',
    title: `NATS ${version?.[0].slice(1) ?? 'of unknown version'} KV${isSynced ? ' synced' : ''}`,
    origin,
    isDurable: isSynced,
    durability: isSynced
      ? 'on the disks of a majority (log synced, in newer versions batched)'
      : 'in the memory of a majority (this version syncs every 2 minutes only)',
    reads: "the stream leader's answer: not linearizable (a leader that is cut off still answers)",
    nodes: 3,
    warmMs: 2_000,
    command: (node, all) => {
      const file = join(node.folder, 'nats.conf');
      const routes = all.map(({ ports }) => `"nats://${HOST}:${ports[1]}"`).join(', ');
      const lines = [
        `server_name: n${node.index}`,
        `listen: "${HOST}:${node.ports[0]}"`,
        `jetstream { store_dir: "${node.folder}"${isSynced ? ', sync_interval: always' : ''} }`,
        `cluster { name: bench, listen: "${HOST}:${node.ports[1]}", routes: [${routes}] }`,
      ];
      writeFileSync(file, `${lines.join('\n')}\n`);
      return { command: path, parameters: ['-c', file] };
    },
    leads: async (node, all) => {
      const bucket = await JetStreamBucket.open({ host: HOST, port: node.ports[0] });
      try {
        return (await bucket.leader(all.length)) === `n${node.index}`;
      } finally {
        await bucket.close();
      }
    },
  };
}
