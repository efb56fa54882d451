/** One kill -9 with the restart that follows it. Times are milliseconds from the beginning of the run. */
export interface Fault {
  readonly part: 'member' | 'gateway' | 'nats' | 'store';
  /** A member's number, 0 for whoever leads; a gateway's place, from 0. Nothing is chosen where there is one: 0. */
  readonly victim: number;
  readonly atMs: number;
  readonly downMs: number;
}

export interface PlanOptions {
  readonly seed: number;
  readonly runMs: number;
  readonly hasNats: boolean;
}

const MEMBERS = 3;
const GATEWAYS = 2;
const FIRST_MS = 8_000;
/** From one kill to the next. */
const PAUSE_MS = [5_000, 15_000] as const;
/** How long a part stays away. NATS long enough that there is a calm time without it. */
const DOWN_MS = { member: [1_000, 8_000], gateway: [500, 4_000], nats: [9_000, 16_000] } as const;
/** A part that came back may need as long until it takes part again: its like are spared meanwhile. */
const SETTLE_MS = 8_000;
/** All members away: once, in the middle of the run. */
export const LOSS_MS = 20_000;
/** What is said of the loss is compared with the time just before and after it, which nothing else disturbs. */
export const LOSS_MARGIN_MS = 20_000;
/** Without faults, so that the end of a run says what is left when all is well. */
const LAST_MS = 12_000;

/**
 * The faults of a run, in their order: by the seed alone. Never more than one member, one gateway and NATS are away at once, except for the
 * `store`, which is all members, when nothing else is.
 */
export function planFaults({ seed, runMs, hasNats }: PlanOptions): readonly Fault[] {
  const random = randomOf(seed);
  const between = ([low, high]: readonly [number, number]): number =>
    Math.round(low + random() * (high - low));
  const loss: Fault = { part: 'store', victim: 0, atMs: Math.round((runMs - LOSS_MS) / 2), downMs: LOSS_MS };
  const quietFromMs = loss.atMs - LOSS_MARGIN_MS;
  const quietToMs = loss.atMs + loss.downMs + LOSS_MARGIN_MS;
  const parts = ['member', 'gateway', ...(hasNats ? (['nats'] as const) : [])] as const;
  const freeFromMs = { member: 0, gateway: 0, nats: 0 };
  const faults: Fault[] = [loss];
  for (let atMs = FIRST_MS; atMs < runMs - LAST_MS; atMs += between(PAUSE_MS)) {
    const part = parts[Math.floor(random() * parts.length)] ?? 'member';
    const downMs = between(DOWN_MS[part]);
    const victims = part === 'member' ? MEMBERS + 1 : GATEWAYS;
    const victim = part === 'nats' ? 0 : Math.floor(random() * victims);
    const settledMs = atMs + downMs + SETTLE_MS;
    const isQuiet = settledMs > quietFromMs && atMs < quietToMs;
    if (isQuiet || freeFromMs[part] > atMs || atMs + downMs > runMs - LAST_MS) continue;
    freeFromMs[part] = settledMs;
    faults.push({ part, victim, atMs, downMs });
  }
  return faults.toSorted((one, other) => one.atMs - other.atMs);
}

/** Numbers in [0, 1) that follow from the seed (splitmix32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let word = state;
    word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
    word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
    return ((word ^ (word >>> 15)) >>> 0) / 0x1_0000_0000;
  };
}
