/**
 * A seeded generator (xoshiro128**, seeded by splitmix32) in 32-bit arithmetic: the same numbers on every machine. All
 * chance in a simulated world comes from one of these, so a seed is a whole world.
 */
export class SeededRandom {
  readonly #state: Uint32Array;

  constructor(seed: number) {
    this.#state = new Uint32Array(4);
    let mixed = seed >>> 0;
    for (let index = 0; index < 4; index += 1) {
      mixed = (mixed + 0x9e3779b9) >>> 0;
      let word = mixed;
      word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
      word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
      this.#state[index] = (word ^ (word >>> 15)) >>> 0;
    }
  }

  /** Uniform over the 32-bit unsigned integers. */
  uint32(): number {
    const state = this.#state;
    const [a = 0, b = 0, c = 0, d = 0] = state;
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    const mixedC = c ^ a;
    const mixedD = d ^ b;
    state[1] = b ^ mixedC;
    state[0] = a ^ mixedD;
    state[2] = mixedC ^ shifted;
    state[3] = rotateLeft(mixedD, 11);
    return result;
  }

  /** Uniform in [0, 1). */
  fraction(): number {
    return this.uint32() / 0x1_0000_0000;
  }

  /** Uniform over the integers in [0, below). */
  below(below: number): number {
    return Math.floor(this.fraction() * below);
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + this.fraction() * (high - low);
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** Around `meanMs`, never zero, at most ten times the mean: the gaps between independent events. */
  exponential(meanMs: number): number {
    return Math.min(-Math.log(1 - this.fraction()), 10) * meanMs + 0.001;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError('cannot pick from nothing');
    return item;
  }

  shuffled<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let last = out.length - 1; last > 0; last -= 1) {
      const other = this.below(last + 1);
      const [one, two] = [out[last], out[other]];
      if (one === undefined || two === undefined) continue;
      out[last] = two;
      out[other] = one;
    }
    return out;
  }

  /** An independent generator: what one part of the world draws does not move the dice of another. */
  fork(): SeededRandom {
    return new SeededRandom(this.uint32());
  }
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
