import { failure, type LinkRole, type PeerState, type StoreRequest, type StoreResponse } from '@quorate/api';
import type { StateMachineOptions } from '@quorate/kv';
import { memberId, quorumSize, type Message } from '@quorate/raft';
import type { SnapshotPolicy } from '@quorate/replica';
import type { Checkers } from './checkers/checkers.js';
import { Host, type HostClock } from './host.js';
import type { MemberLimits } from './limits.js';
import { LinkWatch } from './link-watch.js';
import { SimulatedMember } from './member.js';
import type { SimulatedNetwork } from './network.js';
import { Wire } from './wire.js';
import type { World } from './world.js';

/** A reset connection is noticed within this time. */
const NOTICES_RESET_MS = 20;
/** Followers that lost their leader wait a random time up to this before they campaign. */
const CAMPAIGN_SPREAD_MS = 50;

export interface ClusterOptions {
  readonly memberCount: number;
  readonly syncMeanMs: number;
  readonly segmentBytesMax: number;
  readonly stateMachine: StateMachineOptions;
  readonly electionTimeoutTicks: number;
  readonly snapshots: SnapshotPolicy;
  readonly snapshotChunkBytes: number;
  readonly hashEveryEntries: number;
  readonly turnMeanMs: number;
  /** Members say nothing over a link that they believe closed, and take their time to open it again. */
  readonly linksAreRedialled: boolean;
  readonly limits: MemberLimits;
  readonly checkers: Checkers;
  readonly drawClock: () => HostClock;
}

/** The members, and the links to them: who may talk to whom is decided here as the link's handshake decides it. */
export class Cluster {
  readonly members: readonly SimulatedMember[];
  /** The cluster description: each member's incarnation, as written down when the cluster was made. */
  readonly #described: ReadonlyMap<number, string>;
  readonly #world: World;
  readonly #network: SimulatedNetwork;
  readonly #wire: Wire;
  readonly #links: LinkWatch;
  readonly #linksAreRedialled: boolean;
  /** By route: what to do with each unanswered request when its connection ends. */
  readonly #outstanding = new Map<string, Set<() => void>>();
  /** Set by the feed: the leader's publisher lives with its member. */
  onRoleChanged: (member: SimulatedMember) => void = () => {};
  onApplied: (member: SimulatedMember) => void = () => {};

  constructor(world: World, network: SimulatedNetwork, options: ClusterOptions) {
    this.#world = world;
    this.#network = network;
    this.#wire = new Wire(world.random.fork());
    this.#links = new LinkWatch(world, options.linksAreRedialled);
    this.#linksAreRedialled = options.linksAreRedialled;
    const memberIds = Array.from({ length: options.memberCount }, (_, index) => memberId(index + 1));
    this.members = memberIds.map(
      (id) =>
        new SimulatedMember(world, new Host(world, `m${id}`, options.drawClock()), {
          ...options,
          id,
          memberIds,
          surroundings: {
            carry: (message) => this.#carry(message),
            peersOf: (member) => this.#peersOf(member),
            roleChanged: (member) => this.onRoleChanged(member),
            applied: (member) => this.onApplied(member),
          },
        }),
    );
    this.#described = new Map(this.members.map((member) => [member.id, member.incarnation]));
  }

  get quorumSize(): number {
    return quorumSize(this.members.length);
  }

  member(id: number): SimulatedMember {
    const member = this.members[id - 1];
    if (member === undefined) throw new RangeError(`no member ${id}`);
    return member;
  }

  get leader(): SimulatedMember | null {
    const leaders = this.members.filter((member) => !member.wiped && member.replica?.raft.role === 'leader');
    const newest = leaders.sort((one, other) => termOf(other) - termOf(one))[0];
    return newest ?? null;
  }

  /** The handshake: both ends must be who the cluster description says they are. */
  #handshakeHolds(member: SimulatedMember): boolean {
    if (this.#described.get(member.id) === member.incarnation) return true;
    this.#world.mark('a wiped member was refused');
    return false;
  }

  #carry(message: Message): void {
    const from = this.member(message.from);
    const to = this.member(message.to);
    if (!this.#handshakeHolds(from) || !this.#handshakeHolds(to)) return;
    if (this.#linksAreRedialled && !this.#look(from, to).reachable) return;
    const sender = from.incarnation;
    const arrives = this.#wire.message(message);
    const deliver = (): void => {
      // What was sent before one end was wiped came over a connection that the wiped one never had.
      if (from.incarnation === sender && this.#handshakeHolds(to)) to.replica?.receive(arrives());
    };
    this.#network.send(from.host, to.host, describeMessage(message), deliver, true);
  }

  #peersOf(self: number): PeerState[] {
    const from = this.member(self);
    return this.members
      .filter((peer) => peer.id !== self)
      .map((peer) => {
        const { reachable, sinceMs } = this.#look(from, peer);
        return { id: peer.id, reachable, sinceMs: Math.floor(this.#world.nowMs - sinceMs) };
      });
  }

  /** What a member believes of its link to a peer. */
  #look(from: SimulatedMember, peer: SimulatedMember): ReturnType<LinkWatch['look']> {
    const reachable =
      peer.host.isRunning &&
      !this.#network.isCut(from.host.name, peer.host.name) &&
      !this.#network.isCut(peer.host.name, from.host.name) &&
      peer.wiped === from.wiped;
    return this.#links.look(`${from.id}>${peer.id}`, { reachable, refused: !peer.host.isUp });
  }

  /**
   * One request over a link. Either `callback` runs once, in the asker's process, with the answer; or, when none has come within
   * `deadlineMs` of its clock, `lost`.
   */
  request(
    from: Host,
    to: number,
    role: LinkRole,
    request: StoreRequest,
    deadlineMs: number,
    callback: (response: StoreResponse) => void,
    lost: () => void = () => callback(failure(isWrite(request) ? 'OUTCOME_UNKNOWN' : 'TIMED_OUT')),
  ): void {
    const member = this.member(to);
    if (!this.#handshakeHolds(member)) {
      const refusal = failure('STORE_UNREACHABLE', `Member ${to} is not the one that was configured.`);
      from.post(0, () => callback(refusal));
      return;
    }
    let answered = false;
    const { process } = from;
    const settle = (then: () => void): void => {
      // What a dead process had asked is nothing to the one after it.
      if (answered || from.process !== process) return;
      answered = true;
      cancelDeadline();
      underWay.delete(reset);
      then();
    };
    const route = `${from.name}>m${to}`;
    const underWay = this.#underWay(route);
    const reset = (): void => void from.post(NOTICES_RESET_MS * from.random.fraction(), () => settle(lost));
    underWay.add(reset);
    const cancelDeadline = from.setTimer(deadlineMs, () => settle(lost));
    const asked = this.#wire.request(request);
    const deliver = (): void => {
      member.handler?.handle(role, asked(), deadlineMs, (response) => {
        const label = `m${to}>${from.name} ${describeResponse(response)}`;
        const told = this.#wire.response(response);
        this.#network.send(member.host, from, label, () => settle(() => callback(told())), false);
      });
    };
    this.#network.send(from, member.host, `${route} ${request.type}`, deliver, false);
  }

  #underWay(route: string): Set<() => void> {
    let underWay = this.#outstanding.get(route);
    if (underWay === undefined) {
      underWay = new Set();
      this.#outstanding.set(route, underWay);
    }
    return underWay;
  }

  /** The connection of a host and a member ends and is made anew: nobody knows what became of the requests on it. */
  resetConnection(host: string, id: number): void {
    this.#network.reset(host, this.member(id).host.name);
    const underWay = this.#underWay(`${host}>m${id}`);
    for (const reset of underWay) reset();
    underWay.clear();
  }

  /**
   * A member's links to this one end and an immediate reconnect is refused: its process is gone, or it only looks so. Whoever took
   * it for the leader asks for an election soon (design.md, fast failover).
   */
  peerGone(gone: SimulatedMember): void {
    for (const { host, replica } of this.members) {
      if (host === gone.host || replica === null || this.#network.isCut(gone.host.name, host.name)) continue;
      this.#network.reset(gone.host.name, host.name);
      host.post(host.random.exponential(1), () => {
        if (!replica.peerGone(gone.id)) return;
        this.#world.mark('a follower was told that its leader is gone');
        host.setTimer(host.random.between(0, CAMPAIGN_SPREAD_MS), () => replica.campaignWithoutLeader());
      });
    }
  }

  /** Would a link between the two stand? */
  isLinked(host: Host, id: number): boolean {
    const member = this.member(id);
    const cut =
      this.#network.isCut(host.name, member.host.name) || this.#network.isCut(member.host.name, host.name);
    // The link's own heartbeats stay unanswered by a frozen process.
    return member.host.isRunning && !cut && this.#handshakeHolds(member);
  }
}

function isWrite(request: StoreRequest): boolean {
  return request.type === 'write' || request.type === 'register';
}

function termOf(member: SimulatedMember): number {
  return member.replica?.raft.term ?? -1;
}

function describeResponse(response: StoreResponse): string {
  return response.type === 'failed' ? response.code : response.type;
}

function describeMessage(message: Message): string {
  const head = `m${message.from}>m${message.to} ${message.type} term ${message.term}`;
  switch (message.type) {
    case 'appendRequest':
      return `${head} after ${message.previousIndex}@${message.previousTerm} +${message.entries.length} commit ${message.commit}`;
    case 'appendResponse':
      return message.accepted
        ? `${head} match ${message.matchIndex}`
        : `${head} refused ${message.rejectedIndex}`;
    case 'voteResponse':
    case 'preVoteResponse':
      return `${head} ${message.granted ? 'granted' : 'refused'}`;
    case 'heartbeatRequest':
      return `${head} commit ${message.commit} round ${message.readRound}`;
    case 'heartbeatResponse':
      return `${head} round ${message.readRound}`;
    case 'snapshotOffer':
      return `${head} ${message.snapshotIndex}@${message.snapshotTerm}`;
    case 'snapshotChunkRequest':
      return `${head} ${message.snapshotIndex}@${message.snapshotTerm} chunk ${message.chunk}`;
    case 'snapshotChunk':
      return `${head} ${message.snapshotIndex}@${message.snapshotTerm} chunk ${message.chunk} of ${message.chunkCount}`;
    case 'timeoutNow':
      return head;
    case 'readIndexRequest':
      return `${head} read ${message.readId}`;
    case 'readIndexResponse':
      return `${head} read ${message.readId} at ${message.index}`;
    case 'stateHashReport':
      return `${head} index ${message.index}`;
    default:
      return `${head} last ${message.lastIndex}@${message.lastTerm}`;
  }
}
