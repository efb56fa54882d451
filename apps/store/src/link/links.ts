import { memberListHash, type PeerState } from '@quorate/api';
import { LinkConnection, LinkServer, isLoopbackHost } from '@quorate/link';
import type { LinkServerCounts, LinkServerOptions } from '@quorate/link';
import type { Message } from '@quorate/raft';
import type { OwnCluster } from '../configuration/cluster-file.js';
import { errorText } from '../configuration/cluster-file.js';
import { StartError } from '../configuration/configuration.js';
import type { MemberSecrets } from '../configuration/secrets.js';
import type { Log } from '../log.js';

export interface LinksOptions extends OwnCluster {
  readonly secrets: MemberSecrets;
  /** The address to listen on. */
  readonly host: string;
  readonly plaintext: boolean;
  readonly log: Log;
}

/** Who takes what comes in. */
export interface LinkHandlers extends Pick<
  LinkServerOptions,
  'onRequest' | 'onRaftMessage' | 'onFeedSubscribe'
> {
  /** An open link was lost and an immediate redial was refused: the peer's process is gone. */
  readonly onPeerGone: (peer: number) => void;
}

const REFUSAL_LOG_INTERVAL_MS = 10_000;
const REFUSALS_REMEMBERED_MAX = 64;

/** All links of one member: the port that others dial, and a connection dialled to each peer. */
export class Links {
  readonly #options: LinksOptions;
  readonly #connections = new Map<number, LinkConnection>();
  readonly #refusals = new Map<string, { readonly loggedMs: number; suppressed: number }>();
  #server: LinkServer | null = null;

  constructor(options: LinksOptions) {
    this.#options = options;
  }

  /** Starts to listen and to dial. Throws StartError when the port cannot be had. */
  async open({ onPeerGone, ...handlers }: LinkHandlers): Promise<void> {
    const { cluster, self, secrets, host, plaintext, log } = this.#options;
    const identity = {
      clusterId: cluster.clusterId,
      epoch: cluster.epoch,
      memberListHash: memberListHash(cluster.members),
    };
    const own = { id: self.id, incarnation: self.incarnation };
    if (plaintext && !isLoopbackHost(host)) {
      log.warn('links to other machines are not encrypted (QUORATE_PLAINTEXT=true)');
    }
    const server = new LinkServer({
      ...handlers,
      cluster: identity,
      member: own,
      members: cluster.members,
      keys: { member: secrets.memberKey, gateway: secrets.gatewayKey, client: secrets.clientKey },
      plaintext,
      onRefused: ({ code, message }, remoteAddress) => this.#logRefusal(code, message, remoteAddress),
    });
    try {
      await server.listen(host, self.linkPort);
    } catch (error) {
      throw new StartError(
        `The link port ${self.linkPort} on ${host} cannot be opened: ${errorText(error)}.`,
      );
    }
    this.#server = server;
    for (const peer of cluster.members) {
      if (peer.id === self.id) continue;
      const connection = new LinkConnection({
        to: peer,
        cluster: identity,
        role: 'member',
        key: secrets.memberKey,
        from: own,
        // Not given, the link encrypts whatever leaves the machine.
        ...(plaintext ? { plaintext } : {}),
        onPeerGone: () => onPeerGone(peer.id),
        onRefused: ({ code, message, byPeer }) =>
          log.warn(
            `${byPeer ? `member ${peer.id} refused the link` : `the link to member ${peer.id} was refused`}: ${message}`,
            {
              code,
            },
          ),
      });
      connection.onOpenChange(() =>
        log.info(connection.open ? `link to member ${peer.id} is open` : `link to member ${peer.id} is lost`),
      );
      this.#connections.set(peer.id, connection);
    }
  }

  /** Whoever can reach the port can cause refusals: the same one is logged once in a while, with how often it came. */
  #logRefusal(code: string, message: string, remoteAddress: string): void {
    const nowMs = performance.now();
    const last = this.#refusals.get(message);
    if (last !== undefined && nowMs - last.loggedMs < REFUSAL_LOG_INTERVAL_MS) {
      last.suppressed += 1;
      return;
    }
    if (this.#refusals.size >= REFUSALS_REMEMBERED_MAX) this.#refusals.clear();
    this.#refusals.set(message, { loggedMs: nowMs, suppressed: 0 });
    const suppressed = last?.suppressed ?? 0;
    this.#options.log.warn(`refused a connection: ${message}`, { code, remoteAddress, suppressed });
  }

  /** Sends a Raft message, or drops it when there is no connection: Raft repeats what matters. */
  send(message: Message): void {
    this.#connections.get(message.to)?.sendRaft(message);
  }

  /** The peers as the dialled connections see them. */
  peers(): readonly PeerState[] {
    return [...this.#connections.values()].map(({ member, open, sinceMs }) => ({
      id: member,
      reachable: open,
      sinceMs: Math.floor(sinceMs),
    }));
  }

  /** Counters of the listening end; null when it does not listen. */
  get counts(): LinkServerCounts | null {
    return this.#server?.counts ?? null;
  }

  /** Raft messages that were not sent. */
  get raftDropped(): number {
    return [...this.#connections.values()].reduce((sum, connection) => sum + connection.raftDropped, 0);
  }

  /** Closes everything. Requests under way get no answer any more. */
  async close(): Promise<void> {
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
    await this.#server?.close();
    this.#server = null;
  }
}
