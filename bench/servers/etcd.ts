import type { Found } from '../packages.js';
import { HttpPool } from '../wire/http.js';
import { HOST, type Peer, type PeerKind, type PeerNode, printed } from './peer.js';

export const ETCD: PeerKind = {
  wanted: {
    name: 'etcd',
    package: 'etcd-server',
    dependencies: null,
    file: 'usr/bin/etcd',
    newestFirst: true,
  },
  make: etcd,
};

function etcd({ path, origin }: Found): Peer {
  const version = /etcd Version: (\S+)/.exec(printed(path, ['--version']))?.[1] ?? 'of unknown version';
  const clientUrl = ({ ports }: PeerNode): string => `http://${HOST}:${ports[0]}`;
  const peerUrl = ({ ports }: PeerNode): string => `http://${HOST}:${ports[1]}`;
  return {
    name: 'etcd',
    title: `etcd ${version}`,
    origin,
    isDurable: true,
    durability: 'on the disks of a majority (log synced, batched)',
    reads: 'linearizable (ReadIndex)',
    nodes: 3,
    warmMs: 2_000,
    command: (node, all) => ({
      command: path,
      parameters: [
        ...['--name', `n${node.index}`, '--data-dir', node.folder, '--logger', 'zap', '--log-level', 'warn'],
        ...['--listen-client-urls', clientUrl(node), '--advertise-client-urls', clientUrl(node)],
        ...['--listen-peer-urls', peerUrl(node), '--initial-advertise-peer-urls', peerUrl(node)],
        ...['--initial-cluster', all.map((one) => `n${one.index}=${peerUrl(one)}`).join(',')],
      ],
    }),
    leads: async (node) => {
      const pool = new HttpPool({ host: HOST, port: node.ports[0] });
      try {
        const status = JSON.parse(await pool.request('POST', '/v3/maintenance/status', '{}'));
        return status.leader !== undefined && status.leader === status.header.member_id;
      } finally {
        pool.close();
      }
    },
  };
}
