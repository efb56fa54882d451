import { randomOf } from '../../bench/soak-plan.js';
import type { FaultKind, Part } from './fault.js';
import type { Plan, PlannedFault, Role, Step } from './plan.js';

export interface NemesisOptions {
  readonly seed: number;
  readonly runMs: number;
  readonly members: 3 | 5;
  readonly gateways: number;
  readonly hasNats: boolean;
  /** Those that the cluster can do. */
  readonly kinds: readonly FaultKind[];
}

const FIRST_MS = 3_000;
/** Without faults at the end, so that a run says what is left when all is well. */
const LAST_MS = 5_000;
/** From the beginning of one fault to that of the next: shorter than they hold, so that they meet. */
const GAP_MS = [500, 6_000] as const;
const HOLD_MS = [1_000, 10_000] as const;
/** A disk that hangs is noticed late, and a member that lost its disk needs its time. */
const HOLD_DISK_MS = [3_000, 12_000] as const;
/** Everything ends, the cluster recovers, and the next faults meet one that works. */
const CALM_EVERY_MS = [20_000, 45_000] as const;
const CALM_MS = [4_000, 8_000] as const;
const AT_ONCE_MAX = 4;
/** Kinds are left out of a plan by seed: faults that are always there hide each other's bugs. */
const KIND_SHARE = 0.7;

/** How often each kind is drawn where all are there. Those that break the most interesting things come most often. */
const WEIGHTS: Readonly<Record<FaultKind, number>> = {
  cut: 6,
  cutOneWay: 2,
  flap: 2,
  loss: 1,
  delay: 1,
  slowLink: 1,
  pause: 3,
  kill: 4,
  stop: 1,
  clock: 2,
  diskFull: 1,
  diskReadOnly: 1,
  slowSync: 1,
  hungDisk: 1,
  powerCut: 2,
  memoryLimit: 1,
};

/**
 * Faults that overlap and meet each other, by the seed alone: sometimes beyond what a majority survives, with calm times between, and ended before the
 * end of the run. Whom a place (`leader`, `follower1`) means is known when a fault begins, for that depends on what the faults before have done.
 */
export function planNemesis(options: NemesisOptions): Plan {
  const { seed, runMs, members } = options;
  const random = randomOf(seed);
  const draw = new Draw(random, options);
  const lastMs = runMs - LAST_MS;
  const steps: Step[] = [];
  let calmFromMs = FIRST_MS + draw.between(CALM_EVERY_MS);
  for (let atMs = FIRST_MS; ; atMs += draw.between(GAP_MS)) {
    if (atMs >= calmFromMs) {
      atMs = calmFromMs + draw.between(CALM_MS);
      calmFromMs = atMs + draw.between(CALM_EVERY_MS);
    }
    const fault = draw.fault();
    if (fault === null) break;
    const drawnMs = draw.between(isOfDisk(fault) ? HOLD_DISK_MS : HOLD_MS);
    if (atMs + HOLD_MS[0] > lastMs) break;
    const holdMs = Math.min(drawnMs, calmFromMs - atMs, lastMs - atMs);
    const atOnce = steps.filter((step) => step.atMs + step.holdMs > atMs).length;
    if (holdMs < HOLD_MS[0] || atOnce >= AT_ONCE_MAX) continue;
    steps.push({ atMs, holdMs, faults: [fault], expect: [], whenReady: false });
  }
  return {
    kind: 'nemesis',
    name: 'nemesis',
    sentence: `Random faults that meet each other, seed ${seed}.`,
    members,
    steps,
    lengthMs: runMs,
  };
}

function isOfDisk({ kind }: PlannedFault): boolean {
  return kind === 'diskFull' || kind === 'diskReadOnly' || kind === 'slowSync' || kind === 'hungDisk';
}

class Draw {
  readonly #kinds: readonly FaultKind[];
  readonly #members: readonly Role[];
  readonly #gateways: readonly Part[];
  readonly #hasNats: boolean;

  constructor(
    private readonly random: () => number,
    { members, gateways, hasNats, kinds }: NemesisOptions,
  ) {
    this.#members = ['leader', ...numbers(members - 1).map((number): Role => `follower${number}`)];
    this.#gateways = numbers(gateways).map((number): Part => `gateway${number}`);
    this.#hasNats = hasNats;
    const drawn = kinds.filter(() => random() < KIND_SHARE);
    this.#kinds = drawn.length === 0 ? kinds : drawn;
  }

  between([low, high]: readonly [number, number]): number {
    return Math.round(low + this.random() * (high - low));
  }

  /** Null: nothing can be done here. */
  fault(): PlannedFault | null {
    const total = this.#kinds.reduce((sum, kind) => sum + WEIGHTS[kind], 0);
    let place = this.random() * total;
    const kind = this.#kinds.find((one) => (place -= WEIGHTS[one]) < 0);
    return kind === undefined ? null : this.#faultOf(kind);
  }

  #faultOf(kind: FaultKind): PlannedFault {
    switch (kind) {
      case 'cut':
      case 'cutOneWay':
        return { kind, ...this.#sides() };
      case 'flap':
        return {
          kind,
          ...this.#sides(),
          cutMs: this.between([300, 2_000]),
          healedMs: this.between([300, 2_000]),
        };
      case 'loss':
        return { kind, ...this.#sides(), percent: this.between([5, 40]) };
      case 'delay':
        return { kind, ...this.#sides(), ms: this.between([20, 300]), jitterMs: this.between([0, 100]) };
      case 'slowLink':
        return { kind, ...this.#sides(), bytesPerSecond: this.between([16_384, 262_144]) };
      case 'pause':
      case 'kill':
      case 'stop':
        return { kind, parts: this.#parts() };
      case 'clock':
        return { kind, parts: this.#partsWithClocks(), offsetMs: this.between([-120_000, 120_000]) };
      case 'slowSync':
        return { kind, part: this.#member(), ms: this.between([20, 600]) };
      case 'memoryLimit':
        return { kind, part: this.#member(), bytes: this.between([64, 128]) * 1024 * 1024 };
      case 'diskFull':
      case 'diskReadOnly':
      case 'hungDisk':
      case 'powerCut':
        return { kind, part: this.#member() };
    }
  }

  /** The leader half of the time: what happens to it matters most. */
  #member(): Role {
    const [leader = 'leader', ...followers] = this.#members;
    return this.random() < 0.5 ? leader : this.#oneOf(followers);
  }

  /** Mostly one; sometimes a gateway or NATS; sometimes so many members that no majority is left, up to all of them. */
  #parts(): readonly Role[] {
    const chance = this.random();
    if (chance < 0.2) return [this.#oneOf(this.#gateways)];
    if (chance < 0.3 && this.#hasNats) return ['nats'];
    if (chance < 0.8) return [this.#member()];
    const count = this.between([2, this.#members.length]);
    return this.#shuffled(this.#members).slice(0, count);
  }

  /** Nothing asks NATS for the time. */
  #partsWithClocks(): readonly Role[] {
    const parts = this.#parts().filter((part) => part !== 'nats');
    return parts.length === 0 ? [this.#member()] : parts;
  }

  /** Two sides: members among themselves, the whole network in two, or a gateway against members, NATS or both. */
  #sides(): { readonly from: readonly Role[]; readonly to: readonly Role[] } {
    const chance = this.random();
    const members = this.#shuffled(this.#members);
    if (chance < 0.45) {
      const count = this.between([1, members.length - 1]);
      return { from: members.slice(0, count), to: members.slice(count) };
    }
    if (chance < 0.6) {
      // Two of them only: the rest hears both.
      return { from: members.slice(0, 1), to: members.slice(1, 2) };
    }
    const gateway = this.#oneOf(this.#gateways);
    if (chance < 0.75) {
      const everybody = this.#shuffled<Role>([
        ...this.#members,
        ...this.#gateways,
        ...(this.#hasNats ? (['nats'] as const) : []),
      ]);
      const count = this.between([1, everybody.length - 1]);
      return { from: everybody.slice(0, count), to: everybody.slice(count) };
    }
    if (chance < 0.9 || !this.#hasNats) {
      return { from: [gateway], to: members.slice(0, this.between([1, members.length])) };
    }
    return this.random() < 0.5
      ? { from: [gateway], to: ['nats'] }
      : { from: ['nats'], to: [...this.#members, ...this.#gateways] };
  }

  #oneOf<T>(values: readonly [T, ...T[]] | readonly T[]): T {
    const value = values[Math.floor(this.random() * values.length)];
    if (value === undefined) throw new Error('nothing to draw from');
    return value;
  }

  #shuffled<T>(values: readonly T[]): readonly T[] {
    return values
      .map((value) => ({ value, place: this.random() }))
      .toSorted((one, other) => one.place - other.place)
      .map(({ value }) => value);
  }
}

function numbers(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}
