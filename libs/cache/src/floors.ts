/**
 * Own acknowledged writes that the watermark has not reached: a read of the key waits for at least that
 * revision. Below the
 * watermark no floor is needed, every held value is as new as the watermark.
 */
export class Floors {
  readonly #countMax: number;
  readonly #floors = new Map<string, number>();
  // Of all keys: where single floors go when there are too many. Reads then wait longer than needed, never
  // shorter.
  #common = 0;
  #highest = 0;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** The highest ever raised; 0: none. */
  get highest(): number {
    return this.#highest;
  }

  get size(): number {
    return this.#floors.size;
  }

  raise(id: string, revision: number): void {
    this.#highest = Math.max(this.#highest, revision);
    const floor = Math.max(this.#floors.get(id) ?? 0, revision);
    this.#floors.delete(id);
    this.#floors.set(id, floor);
    if (this.#floors.size <= this.#countMax) return;
    const oldest = this.#floors.entries().next();
    if (oldest.done === true) return;
    const [oldestId, oldestFloor] = oldest.value;
    this.#floors.delete(oldestId);
    this.#common = Math.max(this.#common, oldestFloor);
  }

  /** 0 when there is none. */
  of(id: string): number {
    return Math.max(this.#common, this.#floors.get(id) ?? 0);
  }

  /** Forgets all when the watermark has passed the highest; single ones wait for that. */
  reached(watermark: number): void {
    if (this.#highest > 0 && watermark >= this.#highest) this.clear();
  }

  clear(): void {
    this.#floors.clear();
    this.#common = 0;
    this.#highest = 0;
  }
}
