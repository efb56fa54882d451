import assert from 'node:assert/strict';

export interface QueuedEvent {
  readonly atMs: number;
  /** Breaks ties: what was scheduled first runs first. */
  readonly sequence: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** A binary heap of events in the order (time, sequence): one order, whatever the machine. */
export class EventQueue {
  readonly #heap: QueuedEvent[] = [];
  #nextSequence = 1;

  get size(): number {
    return this.#heap.length;
  }

  push(atMs: number, run: () => void): QueuedEvent {
    assert(Number.isFinite(atMs));
    const event: QueuedEvent = { atMs, sequence: this.#nextSequence++, run, cancelled: false };
    this.#heap.push(event);
    this.#siftUp(this.#heap.length - 1);
    return event;
  }

  /** The next event that was not cancelled, or null when nothing is left. */
  pop(): QueuedEvent | null {
    for (;;) {
      const first = this.#heap[0];
      const last = this.#heap.pop();
      if (first === undefined || last === undefined) return null;
      if (first !== last) {
        this.#heap[0] = last;
        this.#siftDown(0);
      }
      if (!first.cancelled) return first;
    }
  }

  #siftUp(start: number): void {
    let index = start;
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      if (!this.#isBefore(index, parent)) return;
      this.#swap(index, parent);
      index = parent;
    }
  }

  #siftDown(start: number): void {
    let index = start;
    for (;;) {
      const left = 2 * index + 1;
      const right = left + 1;
      let first = index;
      if (left < this.#heap.length && this.#isBefore(left, first)) first = left;
      if (right < this.#heap.length && this.#isBefore(right, first)) first = right;
      if (first === index) return;
      this.#swap(index, first);
      index = first;
    }
  }

  #isBefore(one: number, other: number): boolean {
    const [left, right] = [this.#heap[one], this.#heap[other]];
    assert(left !== undefined && right !== undefined);
    return left.atMs < right.atMs || (left.atMs === right.atMs && left.sequence < right.sequence);
  }

  #swap(one: number, other: number): void {
    const [left, right] = [this.#heap[one], this.#heap[other]];
    assert(left !== undefined && right !== undefined);
    this.#heap[one] = right;
    this.#heap[other] = left;
  }
}
