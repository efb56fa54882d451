import { failure, type LinkRole, type PeerState, type StoreRequest, type StoreResponse } from '@quorate/api';
import type { StateMachineOptions } from '@quorate/kv';
import { memberId, quorumSize, type Message } from '@quorate/raft';
import type { Checkers } from './checkers/checkers.js';
import { Host, type HostClock } from './host.js';
import { SimulatedMember } from './member.js';
import type { SimulatedNetwork } from './network.js';
import type { Sabotage } from './sabotage.js';
import type { World } from './world.js';

export interface ClusterOptions {
  readonly memberCount: number;
  readonly syncMeanMs: number;
  readonly segmentBytesMax: number;
  readonly stateMachine: StateMachineOptions;
  readonly electionTimeoutTicks: number;
  readonly checkers: Checkers;
  readonly sabotage: Sabotage;
  readonly drawClock: () => HostClock;
}

/** The members, and the links to them: who may talk to whom is decided here as the link's handshake decides it. */
export class Cluster {
  readonly members: readonly SimulatedMember[];
  /** The cluster description: each member's incarnation, as written down when the cluster was made. */
  readonly #described: ReadonlyMap<number, string>;
  readonly #world: World;
  readonly #network: SimulatedNetwork;
  readonly #sabotage: Sabotage;
  readonly #linkSince = new Map<string, { reachable: boolean; sinceMs: number }>();
  /** Set by the feed: the leader's publisher lives with its member. */
  onRoleChanged: (member: SimulatedMember) => void = () => {};
  onApplied: (member: SimulatedMember) => void = () => {};

  constructor(world: World, network: SimulatedNetwork, options: ClusterOptions) {
    this.#world = world;
    this.#network = network;
    this.#sabotage = options.sabotage;
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
    return this.#sabotage.trustWipedMembers === true;
  }

  #carry(message: Message): void {
    const from = this.member(message.from);
    const to = this.member(message.to);
    if (!this.#handshakeHolds(from) || !this.#handshakeHolds(to)) return;
    const sender = from.incarnation;
    const deliver = (): void => {
      // What was sent before one end was wiped came over a connection that the wiped one never had.
      if (from.incarnation === sender && this.#handshakeHolds(to)) to.replica?.receive(message);
    };
    this.#network.send(from.host, to.host, describeMessage(message), deliver, true);
  }

  #peersOf(self: number): PeerState[] {
    const from = this.member(self);
    return this.members
      .filter((peer) => peer.id !== self)
      .map((peer) => {
        const reachable =
          peer.host.isUp &&
          !peer.host.isFrozen &&
          !this.#network.isCut(from.host.name, peer.host.name) &&
          !this.#network.isCut(peer.host.name, from.host.name) &&
          peer.wiped === from.wiped;
        const link = `${self}>${peer.id}`;
        let state = this.#linkSince.get(link);
        if (state === undefined || state.reachable !== reachable) {
          state = { reachable, sinceMs: this.#world.nowMs };
          this.#linkSince.set(link, state);
        }
        return { id: peer.id, reachable, sinceMs: Math.floor(this.#world.nowMs - state.sinceMs) };
      });
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
    let answered = false;
    const answer = (response: StoreResponse): void => {
      if (answered) return;
      answered = true;
      callback(response);
    };
    if (!this.#handshakeHolds(member)) {
      from.post(0, () =>
        answer(failure('STORE_UNREACHABLE', `Member ${to} is not the one that was configured.`)),
      );
      return;
    }
    const route = `${from.name}>m${to}`;
    const deliver = (): void => {
      member.handler?.handle(role, request, deadlineMs, (response) => {
        const told = this.#sabotage.answer?.(response, to) ?? response;
        const label = `m${to}>${from.name} ${describeResponse(told)}`;
        this.#network.send(member.host, from, label, () => answer(told), false);
      });
    };
    this.#network.send(from, member.host, `${route} ${request.type}`, deliver, false);
    from.setTimer(deadlineMs, () => {
      if (answered) return;
      answered = true;
      lost();
    });
  }

  /** Would a link between the two stand? */
  isLinked(host: Host, id: number): boolean {
    const member = this.member(id);
    const cut =
      this.#network.isCut(host.name, member.host.name) || this.#network.isCut(member.host.name, host.name);
    // The link's own heartbeats stay unanswered by a frozen process.
    return member.host.isUp && !member.host.isFrozen && !cut && this.#handshakeHolds(member);
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
    default:
      return `${head} last ${message.lastIndex}@${message.lastTerm}`;
  }
}
