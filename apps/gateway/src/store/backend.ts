import { authorizeToken, QuorateError, type ClusterFile } from '@quorate/api';
import {
  CachedViewDriver,
  type FeedTransport,
  followFeed,
  type HeldState,
  QuorateClient,
  type ReaderQuestion,
  type ReaderRefusal,
  type StoreClient,
} from '@quorate/client';
import { connectStore, systemClock } from '@quorate/client/link';
import { connectFeed } from '@quorate/feed/nats';
import { Logger } from '@nestjs/common';
import type { Environment } from '../configuration/environment.js';
import type { Secrets } from '../configuration/secrets.js';
import { readLastKnownGood, writeLastKnownGood } from './last-known-good.js';
import type { Backend, ObservedMember, Store, View, ViewOutcome } from './store.js';

/** A member that does not say how it is within this time counts as silent. */
const STATUS_DEADLINE_MS = 1000;
/** A transfer may wait for a follower to catch up, and is given up by the leader after about two seconds. */
const TRANSFER_DEADLINE_MS = 5_000;
/** Taking a snapshot writes the whole state to disk. */
const SNAPSHOT_DEADLINE_MS = 60_000;
/** Reading a part of one does not. */
const BACKUP_CHUNK_DEADLINE_MS = 10_000;

/** Of all namespaces that are held whole, unless the cache is to be small. */
const WHOLE_BYTES_MAX = 32 * 1024 * 1024;
/** How old the file of the last known good state is at most, while the gateway runs. */
const LAST_KNOWN_GOOD_INTERVAL_MS = 10_000;

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
  const keeper = new LastKnownGood(environment.QUORATE_LAST_KNOWN_GOOD_FILE, cluster.clusterId, logger);
  let onAdvance: Parameters<View['onAdvance']>[0] = () => undefined;
  const driver = new CachedViewDriver({
    source: links.client,
    clock: systemClock,
    random: Math.random,
    clusterId: cluster.clusterId,
    bytesMax: environment.QUORATE_CACHE_BYTES_MAX,
    // Beside it, but never more than half of it: whoever has little memory says so once.
    wholeBytesMax: Math.min(WHOLE_BYTES_MAX, Math.floor(environment.QUORATE_CACHE_BYTES_MAX / 2)),
    restore: () => keeper.read(),
    mayRead: (question) => refusalOf(secrets.adminTokenHash, question),
    onRebuild: (error) =>
      logger.error(error, 'The cached view broke an invariant of its own and is rebuilt.'),
    onAdvance: (revision, epoch) => onAdvance(revision, epoch),
  });
  const source = natsFeed(environment, cluster, secrets);
  const closeFeed = followFeed({ source, links, clock: systemClock }, (bytes) => driver.receiveFeed(bytes));
  driver.start();
  keeper.start(() => driver.held());
  return {
    store: storeOver(links.client, cluster),
    view: viewOver(driver, (listener) => {
      onAdvance = listener;
      const { watermark, epoch } = driver;
      if (watermark !== null && epoch !== null) listener(watermark, epoch);
    }),
    close: async () => {
      await keeper.stop();
      driver.stop();
      await closeFeed();
      links.close();
    },
  };
}

/** The one function by which members decide about a token, too; here on what the chain has brought. */
function refusalOf(adminTokenHash: string, question: ReaderQuestion): ReaderRefusal | null {
  const decision = authorizeToken({ adminTokenHash, need: 'entries:read', ...question });
  if (!('type' in decision)) return null;
  const code = decision.code === 'UNAUTHENTICATED' ? 'UNAUTHENTICATED' : 'FORBIDDEN';
  return { code, message: decision.message };
}

/** Keeps what the view holds in a file, if there is to be one, for a start when nobody gives anything. */
class LastKnownGood {
  readonly #path: string | undefined;
  readonly #clusterId: string;
  readonly #logger: Logger;
  #held: () => HeldState | null = () => null;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> | null = null;

  constructor(path: string | undefined, clusterId: string, logger: Logger) {
    this.#path = path;
    this.#clusterId = clusterId;
    this.#logger = logger;
  }

  read(): HeldState | null {
    if (this.#path === undefined) return null;
    try {
      const held = readLastKnownGood(this.#path, this.#clusterId);
      if (held !== null)
        this.#logger.warn(
          `No member gives the state: beginning with revision ${held.revision} of ${this.#path}.`,
        );
      return held;
    } catch (error) {
      // Without a state that is sure to be right it starts empty, as it would without the file.
      this.#logger.error(`${this.#path} is not used: ${String(error)}`);
      return null;
    }
  }

  start(held: () => HeldState | null): void {
    if (this.#path === undefined) return;
    this.#held = held;
    this.#timer = setInterval(() => this.#write(), LAST_KNOWN_GOOD_INTERVAL_MS);
  }

  /** Writes a last time. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#writing;
    this.#write();
    await this.#writing;
  }

  #write(): void {
    const [path, held] = [this.#path, this.#held()];
    // A disk that is slower than the timer gets one at a time.
    if (path === undefined || held === null || this.#writing !== null) return;
    this.#writing = writeLastKnownGood(path, this.#clusterId, held)
      .catch((error: unknown) => this.#logger.error(`${path} was not written: ${String(error)}`))
      .finally(() => {
        this.#writing = null;
      });
  }
}

/** Changes come over NATS when there is one and it is reached, else over a link. What either loses, the view pulls. */
function natsFeed(environment: Environment, cluster: ClusterFile, secrets: Secrets): FeedTransport | null {
  if (environment.QUORATE_NATS_URL === undefined) return null;
  return connectFeed({
    servers: [environment.QUORATE_NATS_URL.replace(/^[a-z]+:\/\//, '')],
    user: environment.QUORATE_NATS_USER ?? '',
    pass: secrets.natsPassword ?? '',
    clusterId: cluster.clusterId,
    name: 'quorate-gateway-feed',
    ...(environment.QUORATE_NATS_URL.startsWith('tls:') && { tls: {} }),
  });
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
    caller: async (token, need) => {
      const answer = await quorate.request({ type: 'caller', token, need });
      if (answer.type !== 'caller') {
        throw new QuorateError('INTERNAL', `The store answered who a caller is with ${answer.type}.`);
      }
      return answer;
    },
    tokens: async (token, prefix, limit) => {
      const answer = await quorate.request({ type: 'tokens', token, prefix, limit });
      if (answer.type !== 'tokens') {
        throw new QuorateError('INTERNAL', `The store answered a list of tokens with ${answer.type}.`);
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

function viewOver(driver: CachedViewDriver, onAdvance: View['onAdvance']): View {
  return {
    onAdvance,
    read: ({ namespace, key, level, minRevision, token }) =>
      new Promise<ViewOutcome>((resolve) => driver.read(namespace, key, level, resolve, minRevision, token)),
    readHeld: (namespace, key, token) => driver.readHeld(namespace, key, token),
    list: ({ level, minRevision, token, ...list }) =>
      new Promise<ViewOutcome>((resolve) => driver.list(list, level, resolve, minRevision, token)),
    ownWrite: (namespace, key, revision) => driver.ownWrite(namespace, key, revision),
    get state() {
      return driver.state;
    },
    status: () => ({
      state: driver.state,
      epoch: driver.epoch,
      revision: driver.watermark,
      stalenessMs: driver.stalenessMs,
      lag: driver.lag,
      entries: driver.entryCount,
      bytes: driver.entryBytes,
      counters: driver.counters,
    }),
  };
}
