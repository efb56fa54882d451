import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { atEnd } from '../../../bench/lifetimes.js';
import { LoopDisk, canMount } from '../../loop-disk.js';
import type { LinkFault, Fault, Part } from '../fault.js';
import { CLOCK_SETTLE_MS, FakeClock, findFakeClock } from './fake-clock.js';
import { type LocalCluster, isMember } from './local-cluster.js';
import { MemoryGroup } from './memory-limit.js';

/** Of one member; only what is written takes up room. */
const DISK_BYTES = 256 * 1024 * 1024;
const SLOW_DISK = pathToFileURL(join(import.meta.dirname, 'slow-disk.mjs')).href;

export type PartFault = Exclude<Fault, LinkFault>;

/** What is done to one part at the moment: every fault in force counts once, and what ends is undone when the last of its kind ends. */
interface State {
  readonly faults: Set<PartFault>;
  readonly disk: LoopDisk | null;
  mounted: 'writable' | 'readOnly' | 'broken' | 'no';
  isFilled: boolean;
  readonly clock: FakeClock | null;
  readonly memory: MemoryGroup | null;
  readonly orders: string;
  /** One change after the other. */
  turn: Promise<void>;
}

/**
 * The faults of processes, disks, clocks and memory, for every cluster whose processes are started here. They overlap freely: a part that
 * is killed twice is started when both have ended, one that was paused meanwhile is paused when it is there again.
 */
export class PartFaults {
  readonly #folder: string;
  readonly #states = new Map<Part, State>();
  readonly #hasDisks: boolean;
  readonly #library: string | null;
  readonly #forget: () => void;
  #cluster: LocalCluster | null = null;

  /** `folder`: is made, for what this needs of its own. Make this before the cluster: disks are unmounted before their folder is removed. */
  constructor(
    folder: string,
    private readonly tell: (line: string) => void,
  ) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
    this.#hasDisks = process.getuid?.() === 0 && canMount();
    this.#library = findFakeClock();
    this.#forget = atEnd(() => this.#leaveNothing());
  }

  /** Before the part is formatted or started for the first time. */
  prepare(part: Part, dataFolder: string | null): void {
    const needsDisk = this.#hasDisks && dataFolder !== null;
    if (needsDisk) mkdirSync(dataFolder, { mode: 0o700 });
    const disk = needsDisk ? new LoopDisk(this.#folder, dataFolder, DISK_BYTES) : null;
    const clock =
      this.#library === null || part === 'nats'
        ? null
        : new FakeClock(this.#library, join(this.#folder, `${part}.clock`));
    const state: State = {
      faults: new Set(),
      disk,
      mounted: 'no',
      isFilled: false,
      clock,
      memory: MemoryGroup.make(part),
      orders: join(this.#folder, `${part}.disk.json`),
      turn: Promise.resolve(),
    };
    this.#states.set(part, state);
    this.#mount(state);
    if (disk !== null) rmSync(join(disk.mountPoint, 'lost+found'), { recursive: true });
  }

  /** The cluster whose parts were prepared. */
  set cluster(cluster: LocalCluster) {
    this.#cluster = cluster;
  }

  /** Variables that a part needs so that its faults can begin while it runs. `preloads`: what else is to be loaded first, as URLs. */
  environment(part: Part, preloads: readonly string[] = []): NodeJS.ProcessEnv {
    const state = this.#states.get(part);
    const all = [...preloads, ...(isMember(part) ? [SLOW_DISK] : [])];
    return {
      ...state?.clock?.environment,
      CHAOS_DISK: state?.orders,
      NODE_OPTIONS: all.map((url) => `--import=${url}`).join(' '),
    };
  }

  /** To be called when the process of a part was started. */
  started(part: Part, pid: number): void {
    this.#states.get(part)?.memory?.add(pid);
  }

  whyNot(fault: PartFault): string | null {
    const parts = partsOf(fault);
    const states = parts.map((part) => this.#states.get(part));
    const missing = parts.find((part) => !this.#states.has(part));
    if (missing !== undefined) return `There is no ${missing} here.`;
    switch (fault.kind) {
      case 'clock':
        if (parts.includes('nats')) return 'The clock of NATS is of no importance here.';
        return states.every((state) => state?.clock) ? null : 'There is no libfaketime here.';
      case 'slowSync':
      case 'hungDisk':
        return parts.every(isMember) ? null : 'Only members keep what must be on disk.';
      case 'diskFull':
      case 'diskReadOnly':
      case 'powerCut':
        if (!parts.every(isMember)) return 'Only members keep what must be on disk.';
        return states.every((state) => state?.disk)
          ? null
          : 'It takes root, and a kernel that mounts files, to give a member a disk of its own.';
      case 'memoryLimit':
        return states.every((state) => state?.memory)
          ? null
          : 'There are no control groups here that may be written.';
      case 'pause':
      case 'kill':
      case 'stop':
        return null;
    }
  }

  /** Resolves when it is in force, with what ends it; ending it twice is harmless. */
  async begin(fault: PartFault): Promise<() => Promise<void>> {
    const parts = partsOf(fault);
    await Promise.all(parts.map((part) => this.#inTurn(part, (state) => this.#begin(part, state, fault))));
    // The process looks at its clock only now and then.
    if (fault.kind === 'clock') await sleep(CLOCK_SETTLE_MS);
    let hasEnded = false;
    return async () => {
      if (hasEnded) return;
      hasEnded = true;
      await Promise.all(parts.map((part) => this.#inTurn(part, (state) => this.#end(part, state, fault))));
      if (fault.kind === 'clock') await sleep(CLOCK_SETTLE_MS);
    };
  }

  async #begin(part: Part, state: State, fault: PartFault): Promise<void> {
    state.faults.add(fault);
    const cluster = this.#need();
    switch (fault.kind) {
      case 'pause':
        return cluster.signal(part, 'SIGSTOP');
      case 'kill':
        return cluster.kill(part);
      case 'stop':
        // One that is paused cannot hear it; it ends when it goes on, or at the latest when it is to be started again.
        if (!(await cluster.stop(part, has(state, 'pause') ? 0 : undefined)) && !has(state, 'pause'))
          this.tell(`${part} was asked to stop and goes on`);
        return;
      case 'powerCut':
        if (state.mounted !== 'broken') state.disk?.cutPower();
        state.mounted = 'broken';
        return cluster.kill(part);
      case 'diskReadOnly':
        if (state.mounted === 'writable') {
          state.disk?.abort();
          state.mounted = 'readOnly';
        }
        return;
      default:
        return this.#putInForce(part, state);
    }
  }

  async #end(part: Part, state: State, fault: PartFault): Promise<void> {
    state.faults.delete(fault);
    const cluster = this.#need();
    if (!has(state, 'pause')) cluster.signal(part, 'SIGCONT');
    await this.#putInForce(part, state);
    if (has(state, 'kill') || has(state, 'stop') || has(state, 'powerCut')) return;
    // Still there because it was paused when it was asked to stop.
    if (fault.kind === 'stop' && cluster.isRunning(part) && !(await cluster.stop(part)))
      await cluster.kill(part);
    // What was done to its disk stays in the kernel's hands until nobody has it open.
    const wants = has(state, 'diskReadOnly') ? 'readOnly' : 'writable';
    if (state.disk !== null && state.mounted !== wants) {
      await cluster.kill(part);
      if (state.mounted !== 'no') await state.disk.unmount();
      state.mounted = 'no';
      this.#mount(state);
    }
    await this.#putInForce(part, state);
    // Killed by a fault, or ended by itself because of one.
    await cluster.start(part);
    if (has(state, 'pause')) cluster.signal(part, 'SIGSTOP');
  }

  #mount(state: State): void {
    const isReadOnly = has(state, 'diskReadOnly');
    state.disk?.mount(isReadOnly ? 'loop,ro' : 'loop');
    state.mounted = isReadOnly ? 'readOnly' : 'writable';
    state.isFilled = false;
  }

  /** The faults that are a setting, each as all that are in force together want it. */
  async #putInForce(part: Part, state: State): Promise<void> {
    const { faults, disk, clock, memory } = state;
    let [offsetMs, syncMs, bytesMax] = [0, 0, Number.POSITIVE_INFINITY];
    for (const fault of faults) {
      if (fault.kind === 'clock') offsetMs += fault.offsetMs;
      if (fault.kind === 'slowSync') syncMs += fault.ms;
      if (fault.kind === 'memoryLimit') bytesMax = Math.min(bytesMax, fault.bytes);
    }
    clock?.set(offsetMs);
    writeFileSync(`${state.orders}.new`, JSON.stringify({ syncMs, hangs: has(state, 'hungDisk') }));
    renameSync(`${state.orders}.new`, state.orders);
    if (disk !== null && state.mounted === 'writable') {
      if (!has(state, 'diskFull')) disk.makeRoom();
      else if (!state.isFilled) disk.fill();
      state.isFilled = has(state, 'diskFull');
    }
    const isWithin = memory?.limit(Number.isFinite(bytesMax) ? bytesMax : null) ?? true;
    // Some kernels refuse a limit below what is held, others kill for it.
    if (!isWithin) await this.#need().kill(part);
  }

  #inTurn(part: Part, change: (state: State) => Promise<void>): Promise<void> {
    const state = this.#states.get(part);
    if (state === undefined) throw new Error(`there is no ${part}`);
    const done = state.turn.then(() => change(state));
    state.turn = done.catch(() => undefined);
    return done;
  }

  #need(): LocalCluster {
    if (this.#cluster === null) throw new Error('there is no cluster yet');
    return this.#cluster;
  }

  /** All processes have ended. */
  async destroy(): Promise<void> {
    await Promise.all([...this.#states.values()].map(({ turn }) => turn));
    for (const state of this.#states.values()) {
      state.memory?.remove();
      if (state.mounted !== 'no') await state.disk?.unmount();
      state.mounted = 'no';
    }
    this.#forget();
  }

  #leaveNothing(): void {
    for (const { disk, mounted, memory } of this.#states.values()) {
      if (mounted !== 'no') disk?.detach();
      memory?.remove();
    }
  }
}

function has({ faults }: State, kind: PartFault['kind']): boolean {
  return [...faults].some((fault) => fault.kind === kind);
}

function partsOf(fault: PartFault): readonly Part[] {
  return 'parts' in fault ? fault.parts : [fault.part];
}
