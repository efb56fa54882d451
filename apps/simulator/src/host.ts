import type { SeededRandom } from './random.js';
import type { World } from './world.js';

export interface HostClock {
  /** Seconds of this host's clocks per second of true time. */
  readonly rate: number;
  /** What its wall clock is off by at the start, milliseconds. */
  readonly wallOffsetMs: number;
}

const WALL_EPOCH_MS = 1_750_000_000_000;

/**
 * A machine: clocks of its own, a process that can be frozen, or killed and started again. Work that was scheduled for
 * a process dies with it; work that falls due while it is frozen runs, in order, when it thaws.
 */
export class Host {
  readonly name: string;
  readonly random: SeededRandom;
  readonly #world: World;
  readonly #clock: HostClock;
  readonly #backlog: (() => void)[] = [];
  /** Called after each piece of work of this host's process: here the checkers look. */
  afterWork: () => void = () => {};
  /** What came out of a piece of work that should have ended normally. */
  onError: (error: unknown) => void = (error) => {
    throw error;
  };
  #wallJumpMs = 0;
  #process = 0;
  #frozen = false;
  #dead = false;

  constructor(world: World, name: string, clock: HostClock) {
    this.name = name;
    this.random = world.random.fork();
    this.#world = world;
    this.#clock = clock;
  }

  get isUp(): boolean {
    return !this.#dead;
  }
  get isFrozen(): boolean {
    return this.#frozen;
  }
  get clockRate(): number {
    return this.#clock.rate;
  }
  /** Which process this is: +1 for each start. */
  get process(): number {
    return this.#process;
  }

  monotonicMs(): number {
    return this.#world.nowMs * this.#clock.rate;
  }
  wallMs(): number {
    return WALL_EPOCH_MS + this.#clock.wallOffsetMs + this.#wallJumpMs + this.#world.nowMs * this.#clock.rate;
  }
  jumpWallClock(byMs: number): void {
    this.#wallJumpMs += byMs;
  }

  /** Runs `task` in this host's process after `delayMs` of its own clock. The returned function cancels it. */
  setTimer(delayMs: number, task: () => void): () => void {
    return this.post(delayMs / this.#clock.rate, task);
  }

  /** The same in true time: for what reaches the host from outside. */
  post(delayMs: number, task: () => void): () => void {
    const process = this.#process;
    const event = this.#world.schedule(delayMs, () => this.#run(process, task));
    return () => {
      event.cancelled = true;
    };
  }

  /** Now, for whichever process is there: something arrived from outside. */
  accept(task: () => void): void {
    this.#run(this.#process, task);
  }

  #run(process: number, task: () => void): void {
    if (this.#dead || process !== this.#process) return;
    if (this.#frozen) {
      this.#backlog.push(() => this.#run(process, task));
      return;
    }
    try {
      task();
    } catch (error) {
      this.onError(error);
    }
    this.afterWork();
  }

  freeze(): void {
    this.#frozen = true;
  }
  thaw(): void {
    this.#frozen = false;
    // In order, as separate events: each may schedule more.
    for (const run of this.#backlog.splice(0)) this.#world.schedule(0, run);
  }

  /** The process ends at once. */
  kill(): void {
    this.#dead = true;
    this.#frozen = false;
    this.#backlog.length = 0;
    this.#process += 1;
  }
  /** A new process. */
  boot(): void {
    this.#dead = false;
    this.#process += 1;
  }
}
