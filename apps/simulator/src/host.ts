import type { QueuedEvent } from './event-queue.js';
import type { SeededRandom } from './random.js';
import type { World } from './world.js';

export interface HostClock {
  /** Seconds of this host's clocks per second of true time, at the start. */
  readonly rate: number;
  /** What its wall clock is off by at the start, milliseconds. */
  readonly wallOffsetMs: number;
}

interface Timer {
  readonly dueMonotonicMs: number;
  readonly task: () => void;
  event: QueuedEvent | null;
}

/** From here on the host's clocks ran at this rate. */
interface ClockStretch {
  readonly fromTrueMs: number;
  /** What the host had counted by then, sleep included. */
  readonly fromCountedMs: number;
  readonly rate: number;
}

const WALL_EPOCH_MS = 1_750_000_000_000;
/** By then every process that runs has looked at its clocks, however slow they are. */
const CLOCK_LOOK_MS = 500;

/**
 * A machine: clocks of its own, a process that can be frozen, or killed and started again. Work that was scheduled for
 * a process dies with it; work that falls due while it is frozen runs, in order, when it thaws.
 *
 * Frozen (SIGSTOP): the clocks go on. Suspended (the machine sleeps): the monotonic clock and all timers stand still, the wall
 * clock goes on, what arrives is lost or late.
 */
export class Host {
  readonly name: string;
  readonly random: SeededRandom;
  readonly #world: World;
  readonly #wallOffsetMs: number;
  readonly #stretches: ClockStretch[];
  readonly #timers = new Set<Timer>();
  readonly #backlog: (() => void)[] = [];
  /** Called after each piece of work of this host's process: here the checkers look. */
  afterWork: () => void = () => {};
  /** What came out of a piece of work that should have ended normally. */
  onError: (error: unknown) => void = (error) => {
    throw error;
  };
  #wallJumpMs = 0;
  #clockUnrulyUntilMs = 0;
  #process = 0;
  #frozen = false;
  #dead = false;
  /** What the host had counted when it fell asleep; null: it is awake. */
  #asleepSinceCountedMs: number | null = null;
  #sleptMs = 0;

  constructor(world: World, name: string, clock: HostClock) {
    this.name = name;
    this.random = world.random.fork();
    this.#world = world;
    this.#wallOffsetMs = clock.wallOffsetMs;
    this.#stretches = [{ fromTrueMs: 0, fromCountedMs: 0, rate: clock.rate }];
  }

  get isUp(): boolean {
    return !this.#dead;
  }
  get isFrozen(): boolean {
    return this.#frozen;
  }
  get isSuspended(): boolean {
    return this.#asleepSinceCountedMs !== null;
  }
  /** Does its process run now? Who asks it anything else gets no answer. */
  get isRunning(): boolean {
    return !this.#dead && !this.#frozen && !this.isSuspended;
  }
  get clockRate(): number {
    return this.#stretch.rate;
  }
  /** Which process this is: +1 for each start. */
  get process(): number {
    return this.#process;
  }

  get #stretch(): ClockStretch {
    const stretch = this.#stretches.at(-1);
    if (stretch === undefined) throw new RangeError('a host has a clock');
    return stretch;
  }

  /** Milliseconds of its own since the beginning, sleep included. */
  #countedMs(): number {
    const { fromTrueMs, fromCountedMs, rate } = this.#stretch;
    return fromCountedMs + (this.#world.nowMs - fromTrueMs) * rate;
  }

  monotonicMs(): number {
    return (this.#asleepSinceCountedMs ?? this.#countedMs()) - this.#sleptMs;
  }
  wallMs(): number {
    return WALL_EPOCH_MS + this.#wallOffsetMs + this.#wallJumpMs + this.#countedMs();
  }

  /**
   * Somebody sets the wall clock. A sleep and a wall clock set back between two looks at the clocks cannot be told from no sleep at all
   * (libs/cache, R27 names it): worlds keep the two apart, see `mayMeddleWithTime`.
   */
  jumpWallClock(byMs: number): void {
    this.#wallJumpMs += byMs;
    this.#clockIsUnruly();
  }

  /** Both clocks go on at another rate; neither steps. Null: the rate of the start. */
  setClockRate(newRate: number | null): void {
    const rate = newRate ?? this.#stretches[0]?.rate ?? 1;
    if (rate === this.clockRate) return;
    const monotonicMs = this.monotonicMs();
    this.#stretches.push({ fromTrueMs: this.#world.nowMs, fromCountedMs: this.#countedMs(), rate });
    if (this.isSuspended) return;
    for (const timer of this.#timers) {
      if (timer.event !== null) timer.event.cancelled = true;
      this.#arm(timer, monotonicMs);
    }
  }

  /** False: it sleeps, stands still or has slept or been set just now, and has had no time to look at its clocks since. */
  get mayMeddleWithTime(): boolean {
    return this.isRunning && this.#world.nowMs >= this.#clockUnrulyUntilMs;
  }
  #clockIsUnruly(): void {
    this.#clockUnrulyUntilMs = this.#world.nowMs + CLOCK_LOOK_MS;
  }

  /** The mean rate of this host's clocks while it counted the last `countedMs`: by it a time that it measured is off. */
  meanClockRate(countedMs: number): number {
    const fromCountedMs = this.#countedMs() - countedMs;
    const stretch =
      this.#stretches.findLast((one) => one.fromCountedMs <= fromCountedMs) ?? this.#stretches[0];
    if (stretch === undefined || countedMs <= 0) return this.clockRate;
    const fromTrueMs = stretch.fromTrueMs + (fromCountedMs - stretch.fromCountedMs) / stretch.rate;
    return countedMs / (this.#world.nowMs - fromTrueMs);
  }

  /** Runs `task` in this host's process after `delayMs` of its own monotonic clock. The returned function cancels it. */
  setTimer(delayMs: number, task: () => void): () => void {
    const process = this.#process;
    const nowMs = this.monotonicMs();
    const timer: Timer = {
      dueMonotonicMs: nowMs + Math.max(0, delayMs),
      event: null,
      task: () => {
        this.#timers.delete(timer);
        this.#run(process, task);
      },
    };
    this.#timers.add(timer);
    if (!this.isSuspended) this.#arm(timer, nowMs);
    return () => this.#disarm(timer);
  }

  #arm(timer: Timer, nowMonotonicMs: number): void {
    const delayMs = Math.max(0, timer.dueMonotonicMs - nowMonotonicMs) / this.clockRate;
    timer.event = this.#world.schedule(delayMs, timer.task);
  }
  #disarm(timer: Timer): void {
    if (timer.event !== null) timer.event.cancelled = true;
    timer.event = null;
    this.#timers.delete(timer);
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
    if (this.#frozen || this.isSuspended) {
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
    if (!this.#frozen) return;
    this.#frozen = false;
    this.#clockIsUnruly();
    this.#catchUp();
  }

  /** The machine sleeps. */
  suspend(): void {
    if (this.isSuspended) return;
    for (const timer of this.#timers) {
      if (timer.event !== null) timer.event.cancelled = true;
      timer.event = null;
    }
    this.#asleepSinceCountedMs = this.#countedMs();
  }
  resume(): void {
    if (!this.isSuspended) return;
    this.#wakeClocks();
    this.#clockIsUnruly();
    const nowMs = this.monotonicMs();
    for (const timer of this.#timers) this.#arm(timer, nowMs);
    this.#catchUp();
  }

  #wakeClocks(): void {
    if (this.#asleepSinceCountedMs === null) return;
    this.#sleptMs += this.#countedMs() - this.#asleepSinceCountedMs;
    this.#asleepSinceCountedMs = null;
  }

  #catchUp(): void {
    if (this.#frozen || this.isSuspended) return;
    // In order, as separate events: each may schedule more.
    for (const run of this.#backlog.splice(0)) this.#world.schedule(0, run);
  }

  /** The process ends at once. */
  kill(): void {
    this.#wakeClocks();
    this.#dead = true;
    this.#frozen = false;
    this.#backlog.length = 0;
    for (const timer of this.#timers) if (timer.event !== null) timer.event.cancelled = true;
    this.#timers.clear();
    this.#process += 1;
  }
  /** A new process. */
  boot(): void {
    this.#dead = false;
    this.#process += 1;
  }
}
