import { CACHED_VIEW_DEFAULTS, type CacheLoad } from '@quorate/cache';
import { STATE_MACHINE_DEFAULTS, type StateMachineOptions } from '@quorate/kv';
import type { MemberLimits } from '../limits.js';
import type { World } from '../world.js';
import type { MemberView, RunningChecker } from './member-view.js';

/**
 * No entry, message or change of a simulated world is larger: what may lie over a bound that is checked
 * before something is added.
 */
const ONE_BYTES_MAX = 4 * 1024;
/**
 * Readys that a disk holds up: the replica's own bound, and one for each change of term or batch that came in
 * meanwhile.
 */
const READYS_MAX = 1_000;
/** The view's own bound, see PROBE_TARGETS_MAX. */
const UNCONFIRMED_PROBES_MAX = 16;
/** Looking at every step would cost more than all else. */
const LOOK_AT_EACH = 8;

/**
 * Bounded memory (design: "bounds on every queue, buffer, loop and wait"): whatever a member, a gateway or a
 * client keeps for others stays within its configured bound, whatever is slow, cut off or dead. Many worlds
 * have bounds so small that traffic runs into them.
 */
export class BoundedMemoryChecker implements RunningChecker {
  readonly #world: World;
  readonly #limits: MemberLimits;
  readonly #state: Required<StateMachineOptions>;
  /** The highest value seen of each, for the record. */
  readonly highest = new Map<string, number>();
  #observations = 0;

  constructor(world: World, limits: MemberLimits, state: StateMachineOptions) {
    this.#world = world;
    this.#limits = limits;
    this.#state = { ...STATE_MACHINE_DEFAULTS, ...state };
  }

  observe(member: MemberView): void {
    this.#observations += 1;
    if (this.#observations % LOOK_AT_EACH === 0) this.look(member);
  }

  look(member: MemberView): void {
    const who = `member ${member.id}`;
    const { raft: limits, waitingMax } = this.#limits;
    const { proposals, held, reads, readsToApply, readys, raft } = member.replica.load;
    this.#within(who, 'proposals that wait for a transfer', held, waitingMax);
    this.#within(who, 'proposals waiting', proposals, waitingMax);
    this.#within(who, 'reads waiting', reads, waitingMax);
    this.#within(who, 'confirmed reads waiting for apply', readsToApply, 2 * waitingMax);
    this.#within(who, 'Readys waiting for the disk', readys, READYS_MAX);
    this.#within(who, 'writes waiting for the disk', raft.writesPending, READYS_MAX);
    this.#within(who, 'uncommitted bytes', raft.uncommittedBytes, limits.uncommittedBytesMax + ONE_BYTES_MAX);
    this.#within(who, 'reads in rounds', raft.readsWaiting, limits.readsWaitingMax);
    this.#within(
      who,
      'messages in flight to one follower',
      raft.inflightMessages,
      limits.inflightMessagesMax,
    );
    this.#within(
      who,
      'bytes in flight to one follower',
      raft.inflightBytes,
      limits.inflightBytesMax + limits.appendBytesMax + ONE_BYTES_MAX,
    );
    this.#lookAtState(who, member);
  }

  #lookAtState(who: string, { machine }: MemberView): void {
    const { registrations, answersPerClient, idempotencyKeys, retainedBytes, namespaces } = machine.load;
    this.#within(who, 'registrations', registrations, this.#state.registrationsMax);
    this.#within(who, 'answers kept for one client', answersPerClient, this.#state.answersPerClientMax);
    this.#within(who, 'idempotency keys', idempotencyKeys, this.#state.idempotencyKeysMax);
    this.#within(who, 'bytes of retained changes', retainedBytes, this.#state.retainedBytesMax);
    this.#within(who, 'namespaces', namespaces, this.#state.namespacesMax);
  }

  /** A gateway's view of so many bytes. */
  lookAtCache(
    gateway: string,
    load: CacheLoad,
    entryBytes: number,
    bounds: { readonly bytesMax: number; readonly wholeBytesMax: number },
  ): void {
    this.#within(gateway, 'bytes of entries', entryBytes, bounds.bytesMax);
    this.#within(gateway, 'bytes of whole namespaces', load.wholeBytes, bounds.wholeBytesMax);
    this.#within(gateway, 'waiting reads', load.waitingReads, CACHED_VIEW_DEFAULTS.waitingReadsMax);
    this.#within(gateway, 'reads in lists', load.listedReads, 2 * CACHED_VIEW_DEFAULTS.waitingReadsMax);
    this.#within(gateway, 'fills', load.fills, CACHED_VIEW_DEFAULTS.fillsMax);
    this.#within(gateway, 'floors', load.floors, CACHED_VIEW_DEFAULTS.floorsMax);
    this.#within(gateway, 'unconfirmed probes', load.unconfirmedProbes, UNCONFIRMED_PROBES_MAX);
    this.#within(gateway, 'namespaces', load.namespaces, CACHED_VIEW_DEFAULTS.namespacesMax);
  }

  /** In the end, with nobody asking any more, nothing waits anywhere: what is left over was forgotten. */
  nothingLeft(who: string, what: string, count: number): void {
    if (count === 0) return;
    this.#world.violation('nothing is left over', `${who}: ${count} ${what} with nobody asking any more`);
  }

  #within(who: string, what: string, value: number, limit: number): void {
    if (value > (this.highest.get(what) ?? 0)) this.highest.set(what, value);
    if (value <= limit) return;
    this.#world.violation('bounded memory', `${who} has ${value} ${what}, the bound is ${limit}`);
  }
}
