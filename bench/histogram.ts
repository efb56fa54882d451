const SMALLEST_US = 0.1;
const BUCKET_WIDTH = 0.01;
/** Up to a thousand seconds. */
const BUCKETS = 2_400;

/** Latencies in buckets 1 % wide, small enough to be sent between processes. */
export class Histogram {
  readonly #counts = new Uint32Array(BUCKETS);
  #total = 0;

  add(us: number): void {
    const bucket = us <= SMALLEST_US ? 0 : Math.round(Math.log(us / SMALLEST_US) / BUCKET_WIDTH);
    const at = Math.min(bucket, BUCKETS - 1);
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#total += 1;
  }

  get total(): number {
    return this.#total;
  }

  /** Microseconds that the share `of` (0 to 1) of all stays below; NaN when there is nothing. */
  quantileUs(of: number): number {
    let left = of * this.#total;
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count;
      if (left <= 0 && count > 0) return SMALLEST_US * Math.exp(bucket * BUCKET_WIDTH);
    }
    return NaN;
  }
}
