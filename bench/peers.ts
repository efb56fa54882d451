import { findProgram } from './packages.js';
import { ETCD } from './servers/etcd.js';
import { NATS } from './servers/nats.js';
import type { Peer, PeerKind } from './servers/peer.js';
import { REDIS } from './servers/redis.js';
import { ZOOKEEPER } from './servers/zookeeper.js';

export const PEER_NAMES = ['etcd', 'zookeeper', 'nats', 'redis'] as const;
export type PeerName = (typeof PEER_NAMES)[number];

const KINDS: Readonly<Record<PeerName, PeerKind>> = {
  etcd: ETCD,
  zookeeper: ZOOKEEPER,
  nats: NATS,
  redis: REDIS,
};

/** The peer, or null when its program can neither be found nor fetched; `tell` hears why. */
export function findPeer(name: PeerName, tell: (line: string) => void): Peer | null {
  const { wanted, make } = KINDS[name];
  return findProgram(wanted, make, tell);
}
