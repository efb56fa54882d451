import { randomInt } from 'node:crypto';
import { memberAccess } from '@quorate/access';
import type { LinkRole, StoreRequest, StoreResponse } from '@quorate/api';
import { failure } from '@quorate/api';
import { connectFeed } from '@quorate/feed/nats';
import type { FeedConnection, FeedConnectionCounters } from '@quorate/feed/nats';
import { memberId } from '@quorate/raft';
import { type Divergence, type MemberCondition, Replica, RequestHandler } from '@quorate/replica';
import { NodeDisk, type WalStats } from '@quorate/wal';
import { errorText, type OwnCluster } from '../configuration/cluster-file.js';
import type { NatsConfiguration, StoreConfiguration } from '../configuration/configuration.js';
import { readPassword } from '../configuration/secrets.js';
import type { MemberSecrets } from '../configuration/secrets.js';
import {
  DamagedFolderError,
  closeFolder,
  identityOf,
  openFolder,
  setFolderAside,
  startError,
} from '../data-folder/data-folder.js';
import type { OpenFolder } from '../data-folder/data-folder.js';
import { writeDivergenceMark } from '../data-folder/divergence-mark.js';
import type { Links } from '../link/links.js';
import type { Log } from '../log.js';
import { FeedOutlets } from './feed-outlets.js';
import type { FeedCounts } from './feed-outlets.js';
import { MemberLog } from './member-log.js';
import { Ticker } from './ticker.js';

export interface MemberOptions extends OwnCluster {
  readonly configuration: StoreConfiguration;
  readonly secrets: MemberSecrets;
  readonly links: Links;
  readonly log: Log;
  /** The member cannot go on: the process is to end at once. */
  readonly fatal: (error: Error) => void;
  /** One request was answered; for metrics. */
  readonly answered?: (request: StoreRequest['type'], outcome: string) => void;
}

/**
 * Followers that lose their leader together campaign one after the other, in the order of their numbers: far enough apart for the first one to
 * win before the second asks. Random delays alone would let two of them split the votes now and then, and that costs an election timeout.
 */
const CAMPAIGN_STEP_MS = 40;
const CAMPAIGN_JITTER_MS = 10;
/** A word of a seed is below. */
const SEED_WORD_LIMIT = 2 ** 32;
/** A graceful stop waits so long for another leader. */
const HAND_OVER_MS_MAX = 1_000;

/** The parts that exist while the member runs. */
interface Running {
  readonly folder: OpenFolder;
  readonly replica: Replica;
  readonly handler: RequestHandler;
  readonly feed: FeedOutlets;
  readonly nats: FeedConnection | null;
  readonly ticker: Ticker;
}

export interface MemberCounts {
  readonly wal: WalStats;
  readonly feed: FeedCounts;
  /** Null: no NATS is configured. */
  readonly nats: FeedConnectionCounters | null;
  readonly natsConnected: boolean;
}

/** One member of the cluster: wires log, Raft, state machine, links and feed together. Every rule is in what it wires. */
export class Member {
  readonly #options: MemberOptions;
  readonly #memberLog: MemberLog;
  #running: Running | null = null;
  #stopping = false;
  #leads = false;
  #caughtUp = false;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.#memberLog = new MemberLog(options.log);
  }

  /** Null while it does not run. */
  condition(): MemberCondition | null {
    return this.#running?.replica.condition() ?? null;
  }

  /** Null while it does not run. */
  counts(): MemberCounts | null {
    if (this.#running === null) return null;
    const { folder, feed, nats } = this.#running;
    return {
      wal: folder.wal.stats,
      feed: feed.counts,
      nats: nats?.counters ?? null,
      natsConnected: nats?.connected ?? false,
    };
  }

  /** Has it, at any time since its start, been as new as its leader was? Then it stays ready, with a quorum or without. */
  get caughtUp(): boolean {
    return this.#caughtUp;
  }

  /**
   * Opens the folder, rebuilds the state from its log and takes part. Throws StartError for whatever the operator can put
   * right; then nothing is left open.
   */
  async start(): Promise<void> {
    const { configuration, cluster, self, links, log } = this.#options;
    const nats = natsLogin(configuration.nats);
    const running = await this.#openOrBeginAnew(nats);
    const { recovered } = running.folder;
    this.#running = running;
    try {
      await links.open({
        onRequest: (caller, request, deadlineMs, respond) =>
          this.#take(running, caller.role, request, deadlineMs, respond),
        onRaftMessage: (message) => this.#guarded(() => running.replica.receive(message)),
        onFeedSubscribe: (subscriber) =>
          this.#guarded(() => {
            if (running.replica.divergedFailure === null) running.feed.subscribe(subscriber);
          }),
        onPeerGone: (peer) => this.#peerGone(running, peer),
      });
    } catch (error) {
      await this.stop();
      throw error;
    }
    running.ticker.start();
    if (running.replica.raft.recovery !== 0) {
      log.warn(
        'this member lost what it had: it fetches everything from the others, and neither votes nor acknowledges until it has it',
      );
    }
    const { divergence } = running.folder;
    if (divergence !== null) {
      log.error(
        `the state of this member was found to differ from the majority's at log index ${divergence.index}, revision ${divergence.revision}: it does not serve. Keep its folder for the analysis, and give the member an empty log.`,
      );
    }
    log.info(`member ${self.id} of ${cluster.members.length} runs`, {
      linkPort: self.linkPort,
      term: recovered.hardState.term,
      entries: recovered.entries.length,
    });
  }

  /** P18: a damaged log does not end the member, as long as there are others to fetch everything from. */
  async #openOrBeginAnew(nats: NatsLogin | null): Promise<Running> {
    const { configuration, cluster, self, log } = this.#options;
    try {
      return await this.#openAndWire(nats);
    } catch (error) {
      if (!(error instanceof DamagedFolderError) || cluster.members.length === 1) throw error;
      const names = await setFolderAside(configuration.dataDirectory, identityOf(cluster, self));
      log.error(`${error.damage} Its files are kept under other names, and the member begins anew.`, {
        kept: names.join(' '),
      });
      return this.#openAndWire(nats);
    }
  }

  async #openAndWire(nats: NatsLogin | null): Promise<Running> {
    const { configuration, cluster, self, log } = this.#options;
    const folder = await openFolder(configuration.dataDirectory, identityOf(cluster, self));
    const { tornBytes } = folder.recovered;
    if (tornBytes > 0) log.info('cut an unfinished write off the end of the log', { bytes: tornBytes });
    try {
      return this.#wire(folder, nats);
    } catch (error) {
      // A snapshot that is not whole is found when it is read.
      await closeFolder(folder);
      throw startError(configuration.dataDirectory, error);
    }
  }

  /** Hands over, answers what waits, closes the links, flushes and closes the log. Harmless when it does not run. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (running === null || this.#stopping) return;
    this.#stopping = true;
    // P29: whoever leads hands over first, so that nobody has to wait for an election.
    await new Promise<void>((resolve) =>
      this.#guarded(() => running.replica.handOver(HAND_OVER_MS_MAX, resolve)),
    );
    this.#running = null;
    running.ticker.stop();
    running.replica.stop();
    running.feed.stop();
    await this.#options.links.close();
    await running.nats?.close();
    await closeFolder(running.folder);
    this.#options.log.info('stopped');
  }

  /** Fast failover: a leader that was killed need not be waited for as one that is silent. */
  #peerGone({ replica }: Running, peer: number): void {
    if (!replica.peerGone(memberId(peer))) return;
    this.#options.log.info(`member ${peer}, the leader, is gone`);
    const { cluster, self } = this.#options;
    const before = cluster.members.filter(({ id }) => id < self.id && id !== peer).length;
    setTimeout(
      () => this.#guarded(() => replica.campaignWithoutLeader()),
      before * CAMPAIGN_STEP_MS + Math.random() * CAMPAIGN_JITTER_MS,
    );
  }

  #wire(folder: OpenFolder, natsLoginOrNull: NatsLogin | null): Running {
    const { cluster, self, secrets, links } = this.#options;
    const replica = new Replica(
      {
        self: memberId(self.id),
        members: cluster.members.map(({ id }) => memberId(id)),
        clusterId: cluster.clusterId,
        epoch: cluster.epoch,
        priorityOf: (id) => cluster.members.find((member) => member.id === id)?.priority ?? 0,
        stateMachine: { keyHashSeed: [randomInt(SEED_WORD_LIMIT), randomInt(SEED_WORD_LIMIT)] },
      },
      {
        send: (message) => links.send(message),
        peers: () => links.peers(),
        defer: setImmediate,
        random: Math.random,
        wallClockMs: Date.now,
        monotonicMs: () => performance.now(),
        fatal: (error) => this.#options.fatal(error),
      },
      folder,
      {
        roleChanged: (condition) => this.#roleChanged(condition),
        applied: () => this.#running?.feed.look(),
        installed: (index) => this.#installed(index),
        diverged: (divergence) => this.#diverged(divergence),
      },
    );
    const nats = natsLoginOrNull === null ? null : this.#connectNats(natsLoginOrNull);
    const feed = new FeedOutlets(() => replica.machine, {
      key: secrets.feedKey,
      clusterId: cluster.clusterId,
      epoch: cluster.epoch,
      publish: nats === null ? null : (bytes) => nats.publish(bytes),
    });
    const access = memberAccess();
    const handler = new RequestHandler(replica, {
      adminTokenHash: secrets.adminTokenHash,
      decide: (state, check) => access.decide(state, check),
      validateAccessChange: (state, operation) => {
        const fault = access.changeFault(state, operation);
        return fault === null ? null : failure(fault.code, fault.message);
      },
      feedKey: secrets.feedKey,
    });
    return { folder, replica, handler, feed, nats, ticker: new Ticker(() => this.#tick()) };
  }

  #connectNats({ configuration, password }: NatsLogin): FeedConnection {
    const { cluster, self } = this.#options;
    const { protocol, host } = new URL(configuration.url);
    return connectFeed({
      servers: [host],
      user: configuration.login?.user ?? '',
      pass: password,
      clusterId: cluster.clusterId,
      name: `quorate-member-${self.id}`,
      tls: protocol === 'tls:' ? {} : null,
    });
  }

  #take(
    running: Running,
    role: LinkRole,
    request: StoreRequest,
    deadlineMs: number,
    respond: (response: StoreResponse) => void,
  ): void {
    const { answered } = this.#options;
    this.#guarded(() =>
      running.handler.handle(role, request, deadlineMs, (response) => {
        answered?.(request.type, response.type === 'failed' ? response.code : 'done');
        respond(response);
      }),
    );
  }

  /**
   * A link takes an error thrown while it reads for a broken peer, and closes. One of ours is a broken assertion: the state
   * is not to be trusted with another message, so the process ends.
   */
  #guarded(task: () => void): void {
    try {
      task();
    } catch (error) {
      this.#options.fatal(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #tick(): void {
    const running = this.#running;
    if (running === null) return;
    running.replica.tick();
    running.feed.schedule();
    const condition = running.replica.condition();
    this.#caughtUp ||= running.replica.caughtUp && !condition.recovering;
    this.#memberLog.quorum(condition);
    this.#memberLog.recovering(condition);
  }

  /** Told once: by then nothing is answered from this state any more. */
  #diverged(divergence: Divergence): void {
    const { log, configuration } = this.#options;
    const { index, revision } = divergence;
    this.#running?.feed.stop();
    log.error(
      `the state of this member differs from the majority's at log index ${index}, revision ${revision}: it has stopped serving, also after a restart. Keep its folder for the analysis.`,
    );
    try {
      writeDivergenceMark(new NodeDisk(), configuration.dataDirectory, divergence);
    } catch (error) {
      log.error(`that could not be written down: do not restart this member. ${errorText(error)}`);
    }
  }

  #installed(index: number): void {
    this.#options.log.info(`took over the leader's snapshot of log index ${index}`, { index });
    this.#running?.feed.schedule();
  }

  #roleChanged(condition: MemberCondition): void {
    this.#memberLog.roleChanged(condition);
    const leads = condition.role === 'leader';
    if (leads === this.#leads) return;
    this.#leads = leads;
    this.#running?.feed.leading(leads);
  }
}

interface NatsLogin {
  readonly configuration: NatsConfiguration;
  readonly password: string;
}

function natsLogin(configuration: NatsConfiguration | null): NatsLogin | null {
  if (configuration === null) return null;
  const { login } = configuration;
  return { configuration, password: login === null ? '' : readPassword(login.passwordFile) };
}
