import type { StateMachine } from '@quorate/kv';
import type { Cluster } from '../cluster.js';
import type { SimulatedGateway } from '../gateway.js';
import type { Host } from '../host.js';
import type { SimulatedMember } from '../member.js';
import type { SimulatedNetwork } from '../network.js';
import type { SeededRandom } from '../random.js';
import type { SimulatedFeed } from '../simulated-feed.js';

/** What a fault may touch, and how it tells of itself. */
export interface FaultContext {
  readonly random: SeededRandom;
  readonly cluster: Cluster;
  readonly network: SimulatedNetwork;
  readonly feed: SimulatedFeed;
  readonly gateways: readonly SimulatedGateway[];
  /** All machines that can break: of members, clients and gateways. */
  readonly hosts: readonly Host[];
  readonly hostNames: readonly string[];
  /** Counts a fault of the kind, and says in the story what it does. */
  readonly fault: (kind: string, sentence: string) => void;
  readonly tell: (sentence: string) => void;
  /** The newest revision that any user was told of so far. */
  readonly acknowledgedRevision: () => number;
  /** A violation unless the members had this state at this index, and it holds everything up to `minRevision`. */
  readonly stateWas: (machine: StateMachine, minRevision: number, what: string) => void;
  /** Later, unless all faults have ended by then. */
  readonly later: (delayMs: number, task: () => void) => void;
  /** The end of a fault: later, and at the latest when all faults end. Runs once. */
  readonly undoLater: (delayMs: number, undo: () => void) => void;
}

/** One-way cuts, from and to. */
export type Cuts = readonly (readonly [string, string])[];

export function bothWays(ones: readonly string[], others: readonly string[]): Cuts {
  return ones.flatMap((one) =>
    others.flatMap((other): [string, string][] => [
      [one, other],
      [other, one],
    ]),
  );
}

/** Two hosts between which messages go: a member and anybody else. */
export function pickPair({ random, cluster, hostNames }: FaultContext): [string, string] {
  const one = random.pick(cluster.members).host.name;
  return [one, random.pick(hostNames.filter((name) => name !== one))];
}

export function pickRunningMember({ random, cluster }: FaultContext): SimulatedMember | null {
  const member = random.pick(cluster.members);
  return member.host.isUp ? member : null;
}

/** A member that may be lost for good. Never more than a minority, ever: there is no way back, by design. */
export function pickMemberToLose({ random, cluster }: FaultContext): SimulatedMember | null {
  const lost = cluster.members.filter((member) => member.isLost).length;
  if (lost >= cluster.members.length - cluster.quorumSize) return null;
  const member = random.pick(cluster.members);
  return member.isLost ? null : member;
}

export function restartLater({ random, later }: FaultContext, member: SimulatedMember): void {
  const { process } = member.host;
  later(random.exponential(1_000), () => {
    if (!member.host.isUp && member.host.process === process) member.start();
  });
}
