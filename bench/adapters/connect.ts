import type { Values } from '../values.js';
import { type Adapter, type PeerTarget, type QuorateTarget, type Target, spread } from './adapter.js';
import { etcdGrpc, etcdJson } from './etcd.js';
import { natsKv } from './nats.js';
import { quorateView } from './quorate-view.js';
import {
  REFUSAL_DEADLINE_MS,
  quorateNats,
  quorateRest,
  quorateSdk,
  quorateVisibleAtGateway,
} from './quorate.js';
import { redis } from './redis.js';
import { zookeeper } from './zookeeper.js';

const MANY = 64;
const SESSIONS = 8;

const PEER_ADAPTERS = {
  'etcd-grpc': etcdGrpc,
  'etcd-grpc-64': (target, values) => spread(MANY, () => etcdGrpc(target, values)),
  'etcd-json': etcdJson,
  'zookeeper-8': (target, values) => spread(SESSIONS, () => zookeeper(target, values)),
  'nats-kv': natsKv,
  redis,
} satisfies Record<string, (target: PeerTarget, values: Values) => Promise<Adapter>>;

const QUORATE_ADAPTERS = {
  'quorate-sdk': quorateSdk(),
  'quorate-sdk-64': (target, values) => spread(MANY, () => quorateSdk()(target, values)),
  'quorate-sdk-hasty': quorateSdk(REFUSAL_DEADLINE_MS),
  'quorate-rest': quorateRest,
  'quorate-nats': quorateNats,
  'quorate-gateway': quorateVisibleAtGateway,
  'quorate-view': quorateView,
} satisfies Record<string, (target: QuorateTarget, values: Values) => Promise<Adapter>>;

export type PeerClientName = keyof typeof PEER_ADAPTERS;
export type QuorateClientName = keyof typeof QUORATE_ADAPTERS;
export type ClientName = PeerClientName | QuorateClientName;

export function connectAdapter(client: ClientName, target: Target, values: Values): Promise<Adapter> {
  if (isPeerClient(client)) {
    if (target.type !== 'peer') throw new Error(`${client} cannot speak to Quorate`);
    return PEER_ADAPTERS[client](target, values);
  }
  if (target.type !== 'quorate') throw new Error(`${client} speaks to Quorate only`);
  return QUORATE_ADAPTERS[client](target, values);
}

function isPeerClient(client: ClientName): client is PeerClientName {
  return client in PEER_ADAPTERS;
}
