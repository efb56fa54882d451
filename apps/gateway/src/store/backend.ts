import { QuorateError, type ClusterFile } from '@quorate/api';
import { CachedViewDriver, QuorateClient, type StoreClient } from '@quorate/client';
import { connectStore, systemClock } from '@quorate/client/link';
import { connectFeed } from '@quorate/feed/nats';
import { Logger } from '@nestjs/common';
import type { Environment } from '../configuration/environment.js';
import type { Secrets } from '../configuration/secrets.js';
import type { Backend, ObservedMember, Store, View, ViewOutcome } from './store.js';

/** A member that does not say how it is within this time counts as silent. */
const STATUS_DEADLINE_MS = 1000;
/** A transfer may wait for a follower to catch up, and is given up by the leader after about two seconds. */
const TRANSFER_DEADLINE_MS = 5_000;
/** Taking a snapshot writes the whole state to disk. */
const SNAPSHOT_DEADLINE_MS = 60_000;
/** Reading a part of one does not. */
const BACKUP_CHUNK_DEADLINE_MS = 10_000;

/** Opens the links, starts the cached view and its feed. Returns at once: everything comes up in the background. */
export function connectBackend(environment: Environment, cluster: ClusterFile, secrets: Secrets): Backend {
  const logger = new Logger('Store');
  if (environment.QUORATE_PLAINTEXT) {
    logger.warn('QUORATE_PLAINTEXT: links to members are not encrypted.');
  }
  const links = connectStore({
    cluster,
    role: 'gateway',
    key: secrets.gatewayKey,
    ...(environment.QUORATE_PLAINTEXT && { plaintext: true }),
    onRefused: (member, refusal) =>
      logger.warn(`Member ${member} and this gateway disagree: ${JSON.stringify(refusal)}`),
  });
  const driver = new CachedViewDriver({
    source: links.client,
    clock: systemClock,
    random: Math.random,
    clusterId: cluster.clusterId,
    bytesMax: environment.QUORATE_CACHE_BYTES_MAX,
    onRebuild: (error) =>
      logger.error(error, 'The cached view broke an invariant of its own and is rebuilt.'),
  });
  const feed = openFeed(environment, cluster, secrets, links, (bytes) => driver.receiveFeed(bytes));
  driver.start();
  return {
    store: storeOver(links.client, cluster),
    view: viewOver(driver),
    close: async () => {
      driver.stop();
      await feed.close();
      links.close();
    },
  };
}

/** Changes come over NATS when there is one, else over a link. What either loses, the view pulls. */
function openFeed(
  environment: Environment,
  cluster: ClusterFile,
  secrets: Secrets,
  links: ReturnType<typeof connectStore>,
  onBytes: (bytes: Uint8Array) => void,
): { close: () => Promise<void> } {
  if (environment.QUORATE_NATS_URL === undefined) {
    const unsubscribe = links.subscribeFeed(onBytes);
    return { close: async () => unsubscribe() };
  }
  const feed = connectFeed({
    servers: [environment.QUORATE_NATS_URL.replace(/^[a-z]+:\/\//, '')],
    user: environment.QUORATE_NATS_USER ?? '',
    pass: secrets.natsPassword ?? '',
    clusterId: cluster.clusterId,
    name: 'quorate-gateway-feed',
    ...(environment.QUORATE_NATS_URL.startsWith('tls:') && { tls: {} }),
  });
  feed.subscribe(onBytes);
  return feed;
}

function storeOver(client: StoreClient, cluster: ClusterFile): Store {
  const quorate = new QuorateClient({ store: client });
  return {
    get: (token, namespace, key) => quorate.get(namespace, key, { token }),
    list: (token, namespace, prefix, limit) => quorate.list(namespace, { token, prefix, limit }),
    write: (token, operation, idempotencyKey) =>
      quorate.write(operation, { token, ...(idempotencyKey !== null && { idempotencyKey }) }),
    namespace: (token, namespace) => quorate.namespace(namespace, { token }),
    namespaces: (token) => quorate.namespaces({ token }),
    check: async (token, check) => {
      const answer = await quorate.request({ type: 'check', token, check });
      if (answer.type !== 'decision') {
        throw new QuorateError('INTERNAL', `The store answered a check with ${answer.type}.`);
      }
      return answer;
    },
    members: () => Promise.all(cluster.members.map(({ id }) => observe(quorate, id))),
    transfer: (token, to) => quorate.transfer(to, { token, deadlineMs: TRANSFER_DEADLINE_MS }),
    snapshot: (token) => quorate.snapshot({ token, deadlineMs: SNAPSHOT_DEADLINE_MS }),
    backup: (token, index, chunk) => {
      const deadlineMs = index === null ? SNAPSHOT_DEADLINE_MS : BACKUP_CHUNK_DEADLINE_MS;
      return quorate.backup(index, chunk, { token, deadlineMs });
    },
  };
}

async function observe(quorate: QuorateClient, id: number): Promise<ObservedMember> {
  try {
    return { id, status: await quorate.status(id, { deadlineMs: STATUS_DEADLINE_MS }) };
  } catch {
    return { id, status: null };
  }
}

function viewOver(driver: CachedViewDriver): View {
  return {
    read: ({ namespace, key, level, minRevision }) =>
      new Promise<ViewOutcome>((resolve) => driver.read(namespace, key, level, resolve, minRevision)),
    ownWrite: (namespace, key, revision) => driver.ownWrite(namespace, key, revision),
    get state() {
      return driver.state;
    },
    status: () => ({
      state: driver.state,
      epoch: driver.epoch,
      revision: driver.watermark,
      stalenessMs: driver.stalenessMs,
      entries: driver.entryCount,
      bytes: driver.entryBytes,
      counters: driver.counters,
    }),
  };
}
