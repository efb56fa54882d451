import type { SeededRandom } from './random.js';
import type { World } from './world.js';

/** A link that went silent is noticed by missing heartbeats, one that came back by the next attempt to connect. */
const NOTICES_SILENCE_MS: readonly [number, number] = [200, 1_500];
const NOTICES_RETURN_MS: readonly [number, number] = [0, 300];
/** With the pauses between attempts to connect. */
const REDIALS_MS: readonly [number, number] = [0, 1_300];

interface Observed {
  reachable: boolean;
  sinceMs: number;
  /** When the change that is under way will be noticed. Null: what is observed is so. */
  noticedAtMs: number | null;
}

/**
 * What a member believes of its links. Late, like the real one: a leader that is cut off goes on for a while in the belief that it is
 * not, and only Raft keeps it from answering.
 */
export class LinkWatch {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #links = new Map<string, Observed>();

  readonly #returnMs: readonly [number, number];

  constructor(world: World, redials: boolean) {
    this.#world = world;
    this.#returnMs = redials ? REDIALS_MS : NOTICES_RETURN_MS;
    this.#random = world.random.fork();
  }

  /** `refused`: the other end says so itself, at once. */
  look(
    link: string,
    truth: { readonly reachable: boolean; readonly refused: boolean },
  ): Pick<Observed, 'reachable' | 'sinceMs'> {
    const { nowMs } = this.#world;
    const observed = this.#links.get(link) ?? {
      reachable: truth.reachable,
      sinceMs: nowMs,
      noticedAtMs: null,
    };
    this.#links.set(link, observed);
    if (truth.reachable === observed.reachable) {
      observed.noticedAtMs = null;
      return observed;
    }
    const [low, high] = truth.reachable ? this.#returnMs : NOTICES_SILENCE_MS;
    observed.noticedAtMs ??= nowMs + this.#random.between(low, high);
    if (nowMs < observed.noticedAtMs && !truth.refused) return observed;
    observed.reachable = truth.reachable;
    observed.sinceMs = nowMs;
    observed.noticedAtMs = null;
    return observed;
  }
}
