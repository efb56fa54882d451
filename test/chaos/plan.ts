import type { ChaosCluster } from './cluster.js';
import type { Fault, Part } from './fault.js';
import type { Tier } from './operation.js';

/**
 * A part, or the place that it has when the fault begins: who leads then, and the members after the leader in the order of their numbers
 * (`follower1` is the next one). So a plan is plain data that says the same whoever happens to lead.
 */
export type Role = Part | 'leader' | `follower${number}`;

type Planned<F> = F extends Fault
  ? {
      readonly [Name in keyof F]: F[Name] extends Part
        ? Role
        : F[Name] extends readonly Part[]
          ? readonly Role[]
          : F[Name];
    }
  : never;

/** A fault whose parts may be places. */
export type PlannedFault = Planned<Fault>;

/** What must be seen at each of these gateways while the faults are in force. */
export type Expectation =
  /** Requests of this tier get an answer of success: at least this share of them, from `settleMs` after the faults came into force. */
  | {
      readonly kind: 'answered';
      readonly tier: Tier;
      readonly gateways: readonly Part[];
      readonly shareMin: number;
      readonly settleMs: number;
    }
  /** Strict requests are refused, and not one is answered. */
  | { readonly kind: 'refused'; readonly gateways: readonly Part[] }
  /** The staleness that content reads state grows with the time that passes. */
  | { readonly kind: 'ageGrows'; readonly gateways: readonly Part[] }
  /** The staleness that content reads state stays below this. */
  | {
      readonly kind: 'fresh';
      readonly gateways: readonly Part[];
      readonly belowMs: number;
      readonly settleMs: number;
    };

/** Faults that begin together and end together. */
export interface Step {
  /** From the beginning of the traffic. */
  readonly atMs: number;
  readonly holdMs: number;
  readonly faults: readonly PlannedFault[];
  readonly expect: readonly Expectation[];
  /** It begins when all is ready, and whatever comes later is late by as much. */
  readonly whenReady: boolean;
}

/** What is done to a cluster in one run. Plain data: it is kept with a run. */
export interface Plan {
  /** Of a scenario every step has to be carried out; of a random plan those are left out that cannot be at their time. */
  readonly kind: 'scenario' | 'nemesis';
  readonly name: string;
  readonly sentence: string;
  readonly members: 3 | 5;
  /** In the order of `atMs`. */
  readonly steps: readonly Step[];
  /** The traffic goes on until here at least, and until all has recovered. */
  readonly lengthMs: number;
}

export type Parts = Pick<ChaosCluster, 'members' | 'gateways' | 'hasNats'>;

/** The parts that this role, or these, stand for now; those that this cluster does not have are left out. */
function partsOf(roles: readonly Role[], cluster: Parts, leader: Part): readonly Part[] {
  return roles.flatMap((role) => {
    const part = partOf(role, cluster.members, leader);
    const exists =
      part === 'nats' ? cluster.hasNats : cluster.members.includes(part) || cluster.gateways.includes(part);
    return exists ? [part] : [];
  });
}

function partOf(role: Role, members: readonly Part[], leader: Part): Part {
  if (role === 'leader') return leader;
  if (!isFollower(role)) return role;
  const place = members.indexOf(leader) + Number(role.slice('follower'.length));
  return members[place % members.length] ?? leader;
}

function isFollower(role: Exclude<Role, 'leader'>): role is `follower${number}` {
  return role.startsWith('follower');
}

/**
 * The fault with its places filled. A sentence instead, when the cluster has nobody whom it could be done to. Parts that are missing (a cluster
 * may have no NATS, or one gateway) are left out where others stand beside them.
 */
export function castFault(planned: PlannedFault, cluster: Parts, leader: Part): Fault | string {
  const parts = (roles: readonly Role[]): readonly Part[] => partsOf(roles, cluster, leader);
  const missing = (roles: readonly Role[]): string => `this cluster has no ${roles.join(', no ')}`;
  switch (planned.kind) {
    case 'cut':
    case 'cutOneWay':
    case 'flap':
    case 'loss':
    case 'delay':
    case 'slowLink': {
      const [from, to] = [parts(planned.from), parts(planned.to)];
      if (from.length === 0) return missing(planned.from);
      if (to.length === 0) return missing(planned.to);
      return { ...planned, from, to };
    }
    case 'pause':
    case 'kill':
    case 'stop':
    case 'clock': {
      const cast = parts(planned.parts);
      return cast.length === 0 ? missing(planned.parts) : { ...planned, parts: cast };
    }
    default: {
      const [part] = parts([planned.part]);
      return part === undefined ? missing([planned.part]) : { ...planned, part };
    }
  }
}

/** Whom a fault touches. */
export function touchedBy(fault: Fault): readonly Part[] {
  if ('from' in fault) return [...fault.from, ...fault.to];
  return 'parts' in fault ? fault.parts : [fault.part];
}

/** What a fault takes hold of, at a link or at a part. */
const GRIPS: Readonly<Record<Fault['kind'], 'passage' | 'loss' | 'delay' | 'rate' | 'process' | 'clock'>> = {
  cut: 'passage',
  cutOneWay: 'passage',
  flap: 'passage',
  loss: 'loss',
  delay: 'delay',
  slowLink: 'rate',
  pause: 'process',
  kill: 'process',
  stop: 'process',
  powerCut: 'process',
  memoryLimit: 'process',
  // A member whose disk fails ends.
  diskFull: 'process',
  diskReadOnly: 'process',
  slowSync: 'process',
  hungDisk: 'process',
  clock: 'clock',
};

/**
 * Two faults that a driver should not have to hold at once, for the end of one could undo the other: they take hold of the same thing, at the
 * same link or at the same part.
 */
export function doCollide(one: Fault, other: Fault): boolean {
  if (GRIPS[one.kind] !== GRIPS[other.kind]) return false;
  if ('from' in one && 'from' in other) {
    const pairs = pairsOf(one);
    return pairsOf(other).some((pair) => pairs.includes(pair));
  }
  const touched = touchedBy(one);
  return touchedBy(other).some((part) => touched.includes(part));
}

function pairsOf({ from, to }: Extract<Fault, { readonly from: unknown }>): readonly string[] {
  return from.flatMap((one) => to.map((other) => [one, other].toSorted().join(' ')));
}

/** Why this plan cannot be carried out here; null: it can. Whoever leads may be taken for the first member: a driver treats all members alike. */
export function whyNotPlan(plan: Plan, cluster: Parts & Pick<ChaosCluster, 'whyNot'>): string | null {
  const [leader] = cluster.members;
  if (leader === undefined) return 'the members of this cluster are not known';
  if (cluster.members.length !== plan.members) return `it is for ${plan.members} members`;
  for (const { faults } of plan.steps) {
    for (const planned of faults) {
      const fault = castFault(planned, cluster, leader);
      const reason = typeof fault === 'string' ? fault : cluster.whyNot(fault);
      if (reason !== null) return reason;
    }
  }
  return null;
}
