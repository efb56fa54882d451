import { EventQueue, type QueuedEvent } from './event-queue.js';
import { SeededRandom } from './random.js';

export interface Violation {
  readonly checker: string;
  readonly sentence: string;
  readonly atMs: number;
  /** Operations of the history that cannot all be right, if it is about such. */
  readonly offending?: readonly number[];
}

/** Thrown to end a run at the first violation: what happens after it proves nothing. */
export class ViolationError extends Error {
  override readonly name = 'ViolationError';
  constructor(readonly violation: Violation) {
    super(`${violation.checker}: ${violation.sentence}`);
  }
}

const TRACE_KEPT_MAX = 2_000_000;
/** More events than this within one simulated millisecond, and the world will not get out of it. */
export const EVENTS_PER_MS_MAX = 50_000;
/** Of one world: a hundred times what a usual one takes. */
export const STEPS_MAX = 10_000_000;

/** Time, chance and the record of what happened, for one seed. Nothing in a world asks the machine for anything. */
export class World {
  readonly seed: number;
  readonly random: SeededRandom;
  /** Faults and rare paths, by kind: what a run is worth. */
  readonly faults = new Map<string, number>();
  readonly marks = new Map<string, number>();
  readonly #queue = new EventQueue();
  readonly #trace: string[] | null;
  #nowMs = 0;
  #steps = 0;
  readonly #stepsMax: number;
  #busyMs = -1;
  #eventsInMs = 0;
  #observation = 0;
  #hashLow = 0x811c9dc5;
  #hashHigh = 0x01234567;

  constructor(
    seed: number,
    options: { readonly keepTrace?: boolean | undefined; readonly stepsMax?: number | undefined } = {},
  ) {
    this.seed = seed;
    this.#stepsMax = options.stepsMax ?? STEPS_MAX;
    this.random = new SeededRandom(seed);
    this.#trace = options.keepTrace === true ? [] : null;
  }

  /** Milliseconds since the beginning of the world, fractions included. True time: no host sees it. */
  get nowMs(): number {
    return this.#nowMs;
  }
  get steps(): number {
    return this.#steps;
  }
  /** Counts up at each call: orders invocations and completions that happen at one moment. */
  nextObservation(): number {
    this.#observation += 1;
    return this.#observation;
  }

  schedule(delayMs: number, run: () => void): QueuedEvent {
    return this.#queue.push(this.#nowMs + Math.max(0, delayMs), run);
  }

  /** Runs the next event. False: there is none. */
  step(): boolean {
    const event = this.#queue.pop();
    if (event === null) return false;
    this.#nowMs = event.atMs;
    this.#steps += 1;
    this.#goesOn();
    event.run();
    return true;
  }

  /** Events that schedule each other for ever would be a run that never ends; so they are a violation. */
  #goesOn(): void {
    const ms = Math.floor(this.#nowMs);
    if (ms !== this.#busyMs) {
      this.#busyMs = ms;
      this.#eventsInMs = 0;
    }
    this.#eventsInMs += 1;
    if (this.#eventsInMs > EVENTS_PER_MS_MAX) {
      this.violation('the world goes on', `more than ${EVENTS_PER_MS_MAX} events in one millisecond`);
    }
    if (this.#steps > this.#stepsMax) {
      this.violation('the world goes on', `more than ${this.#stepsMax} steps`);
    }
  }

  /** Runs events until the given time, or until `done` says so. Returns whether it did. */
  runUntil(atMs: number, done: () => boolean = () => false): boolean {
    const progress = { reached: false };
    const end = this.schedule(atMs - this.#nowMs, () => {
      progress.reached = true;
    });
    while (!progress.reached) {
      if (done()) {
        end.cancelled = true;
        return true;
      }
      this.step();
    }
    return done();
  }

  /** One step of the story. It goes into the hash that proves two runs of a seed to be the same run. */
  tell(sentence: string): void {
    const stamped = `${this.#nowMs.toFixed(3)} ${sentence}`;
    let [low, high] = [this.#hashLow, this.#hashHigh];
    for (let index = 0; index < stamped.length; index += 1) {
      const code = stamped.charCodeAt(index);
      low = Math.imul(low ^ code, 0x01000193);
      high = Math.imul(high ^ code, 0x85ebca6b) ^ (low >>> 15);
    }
    this.#hashLow = low;
    this.#hashHigh = high;
    if (this.#trace !== null && this.#trace.length < TRACE_KEPT_MAX) this.#trace.push(stamped);
  }

  get traceHash(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
    return hex(this.#hashHigh) + hex(this.#hashLow);
  }
  get trace(): readonly string[] {
    return this.#trace ?? [];
  }

  countFault(kind: string): void {
    this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1);
  }
  /** A rare path was reached. The soak test insists that each is, sooner or later. */
  mark(name: string): void {
    this.marks.set(name, (this.marks.get(name) ?? 0) + 1);
  }

  violation(checker: string, sentence: string, offending: readonly number[] = []): never {
    this.tell(`VIOLATION ${checker}: ${sentence}`);
    throw new ViolationError({ checker, sentence, atMs: this.#nowMs, offending });
  }
}
