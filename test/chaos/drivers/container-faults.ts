import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LinkFault, Fault, Part } from '../fault.js';
import { failureOf } from './command.js';
import type { ComposeProject, ContainerState } from './compose-project.js';
import { CLOCK_SETTLE_MS, type FakeClock } from './fake-clock.js';
import type { ImageDisk } from './image-disk.js';

export type PartFault = Exclude<Fault, LinkFault>;

/** A sync is a write and a flush: twice as many operations a second as syncs. */
const OPERATIONS_PER_SYNC = 2;
const PAUSE_TRIES = 10;
const PAUSE_RETRY_MS = 300;

interface Condition {
  readonly faults: Set<PartFault>;
  readonly disk: ImageDisk | null;
  readonly clock: FakeClock | null;
  /** `refusing`: until the next mount no write is taken; `dead`: nothing is. */
  mounted: 'writable' | 'refusing' | 'dead';
  isFull: boolean;
  isFrozen: boolean;
  clockOffsetMs: number;
  /** Null: no limit was ever set. */
  memoryBytes: number | null;
  syncMs: number;
  /** One change after the other. */
  turn: Promise<void>;
}

/**
 * The faults of containers, their clocks, memory and disks. They overlap freely: a part that is killed twice is started when both have ended, the
 * offsets of clocks add up, the smallest limit holds. A kill is a `docker kill`, after which the restart policy of the shipped file does not
 * apply; it does apply to whatever ends by itself, as on a full disk, and then to as many starts as it takes.
 */
export class ContainerFaults {
  readonly #conditions = new Map<Part, Condition>();

  constructor(
    private readonly project: ComposeProject,
    /** Called when this started a container, before anybody counts on it. It must not call back: the part is still being worked on. */
    private readonly started: (part: Part) => Promise<void>,
  ) {}

  add(part: Part, disk: ImageDisk | null, clock: FakeClock | null): void {
    this.#conditions.set(part, {
      faults: new Set(),
      disk,
      clock,
      mounted: 'writable',
      isFull: false,
      isFrozen: false,
      clockOffsetMs: 0,
      memoryBytes: null,
      syncMs: 0,
      turn: Promise.resolve(),
    });
  }

  /** In force when it resolves; the returned function ends it. */
  async begin(fault: PartFault): Promise<() => Promise<void>> {
    const parts = partsOf(fault);
    const end = async (): Promise<void> => {
      await this.#forEach(parts, (part, condition) =>
        condition.faults.delete(fault) ? this.#settle(part, condition, true) : Promise.resolve(),
      );
    };
    try {
      await this.#forEach(parts, (part, condition) => {
        condition.faults.add(fault);
        return this.#settle(part, condition, false);
      });
    } catch (error) {
      await end().catch(() => undefined);
      throw error;
    }
    return end;
  }

  /** To be called when a container was started by whomever: what throttles its disk went with its last process. */
  renew(part: Part): Promise<void> {
    return this.#forEach([part], async (_, condition) => {
      if (condition.syncMs !== 0) await this.#throttle(part, condition);
    });
  }

  /** The kernel gives up to freeze what is in the middle of a system call that takes long, as on a machine or a disk that is busy. */
  async #pause(id: string): Promise<void> {
    for (let left = PAUSE_TRIES; ; left -= 1) {
      try {
        await this.project.docker('pause', id);
        return;
      } catch (error) {
        if (left === 1) throw error;
        await sleep(PAUSE_RETRY_MS);
      }
    }
  }

  /** So that everything can be ended: nothing is frozen or paused any more. Containers that were down stay down. */
  async release(): Promise<void> {
    await this.#forEach([...this.#conditions.keys()], async (part, condition) => {
      condition.faults.clear();
      if (condition.isFrozen) await failureOf('fsfreeze', ['--unfreeze', condition.disk?.mountPoint ?? '']);
      condition.isFrozen = false;
      if ((await this.project.state(part)).status === 'paused')
        await this.project.docker('unpause', this.project.id(part));
    });
  }

  async #forEach(
    parts: readonly Part[],
    change: (part: Part, condition: Condition) => Promise<void>,
  ): Promise<void> {
    const turns = parts.map((part) => {
      const condition = this.#conditions.get(part);
      if (condition === undefined) throw new Error(`there is no part ${part}`);
      const turn = condition.turn.catch(() => undefined).then(() => change(part, condition));
      condition.turn = turn;
      return turn;
    });
    const failed = (await Promise.allSettled(turns)).find((turn) => turn.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** Does whatever is missing between how a part is and how its faults want it. */
  async #settle(part: Part, condition: Condition, isEnding: boolean): Promise<void> {
    const faults = [...condition.faults];
    const has = (...kinds: Fault['kind'][]): boolean => faults.some(({ kind }) => kinds.includes(kind));
    const id = this.project.id(part);
    const { disk } = condition;
    const isDown = has('kill', 'stop', 'powerCut');
    await this.#limitMemory(part, condition);
    if (disk !== null) {
      const mounted = has('powerCut') ? 'dead' : has('diskReadOnly') ? 'refusing' : 'writable';
      // Nobody can do anything to a frozen disk, not even this program.
      if (mounted !== condition.mounted || has('diskFull') !== condition.isFull) await this.#thaw(condition);
      await this.#mountAs(part, condition, disk, mounted);
    }
    if (isDown) await this.#takeDown(part, condition, !has('kill', 'powerCut'));
    if (disk !== null) {
      if (condition.mounted === 'writable' && has('diskFull') !== condition.isFull) {
        if (has('diskFull')) await disk.fill();
        else disk.makeRoom();
        condition.isFull = has('diskFull');
      }
      if (!has('hungDisk')) await this.#thaw(condition);
      else if (!condition.isFrozen && condition.mounted === 'writable') {
        await disk.freeze();
        condition.isFrozen = true;
      }
    }
    await this.#setClock(condition);
    if (isEnding && !isDown) await this.#bringUp(part);
    const syncMs = Math.max(0, ...faults.map((fault) => (fault.kind === 'slowSync' ? fault.ms : 0)));
    if (condition.syncMs !== syncMs || syncMs !== 0) {
      condition.syncMs = syncMs;
      await this.#throttle(part, condition);
    }
    const { status } = await this.project.state(part);
    if (has('pause') && status === 'running') await this.#pause(id);
    if (!has('pause') && status === 'paused') await this.project.docker('unpause', id);
  }

  async #mountAs(
    part: Part,
    condition: Condition,
    disk: ImageDisk,
    mounted: Condition['mounted'],
  ): Promise<void> {
    if (mounted === condition.mounted) return;
    // Only a new mount makes a disk well.
    if (condition.mounted === 'dead' || mounted === 'writable') {
      await this.#takeDown(part, condition, false);
      await disk.unmount();
      await disk.mount();
      disk.makeRoom();
      condition.isFull = false;
    }
    if (mounted === 'dead') await disk.cutPower();
    if (mounted === 'refusing') await disk.refuseWrites();
    condition.mounted = mounted;
  }

  async #takeDown(part: Part, condition: Condition, isOrderly: boolean): Promise<void> {
    const { status } = await this.project.state(part);
    if (status === 'exited') return;
    // Neither a frozen process nor one that waits for a frozen disk would end.
    await this.#thaw(condition);
    if (status === 'paused') await this.project.docker('unpause', this.project.id(part));
    if (isOrderly) await this.project.docker('stop', this.project.id(part));
    else await this.project.forceDown(part);
  }

  async #thaw(condition: Condition): Promise<void> {
    if (condition.isFrozen) await condition.disk?.thaw();
    condition.isFrozen = false;
  }

  /** Not by the restart policy: it waits longer after each of many failures. */
  async #bringUp(part: Part): Promise<void> {
    const { status } = await this.project.state(part);
    if (status === 'running' || status === 'paused') return;
    if (status === 'restarting') await this.project.forceDown(part);
    await this.project.docker('start', this.project.id(part));
    await this.started(part);
  }

  async #limitMemory(part: Part, condition: Condition): Promise<void> {
    const limits = [...condition.faults].map((fault) =>
      fault.kind === 'memoryLimit' ? fault.bytes : totalmem(),
    );
    const bytes = Math.floor(Math.min(totalmem(), ...limits));
    if (bytes === (condition.memoryBytes ?? Math.floor(totalmem()))) return;
    const limit = [`--memory=${bytes}`, `--memory-swap=${bytes}`];
    const update = ['update', ...limit, this.project.id(part)];
    if ((await failureOf('docker', update)) !== null) {
      // It uses more already: the kernel would have killed it.
      await this.project.forceDown(part);
      await this.project.docker(...update);
      await this.#bringUp(part);
    }
    condition.memoryBytes = bytes;
  }

  async #setClock(condition: Condition): Promise<void> {
    const offsets = [...condition.faults].map((fault) => (fault.kind === 'clock' ? fault.offsetMs : 0));
    const offsetMs = offsets.reduce((sum, one) => sum + one, 0);
    if (offsetMs === condition.clockOffsetMs) return;
    condition.clock?.set(offsetMs);
    condition.clockOffsetMs = offsetMs;
    await sleep(CLOCK_SETTLE_MS);
  }

  /** So few operations a second on its disk that each sync takes so long. A limit of its control group, hence gone with its last process. */
  async #throttle(part: Part, condition: Condition): Promise<void> {
    const { pid }: ContainerState = await this.project.state(part);
    if (pid === 0 || condition.disk === null) return;
    const { syncMs, disk } = condition;
    throttleWrites(
      pid,
      disk.device,
      syncMs === 0 ? null : Math.max(1, Math.round((OPERATIONS_PER_SYNC * 1_000) / syncMs)),
    );
  }
}

/** Null: as many as it likes. Throws where the kernel has no such limit. */
export function throttleWrites(pid: number, device: string, operationsPerSecond: number | null): void {
  const groups = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n');
  const pathOf = (controller: string): string | undefined =>
    groups
      .find((line) => line.split(':')[1]?.split(',').includes(controller))
      ?.split(':')
      .slice(2)
      .join(':');
  const [first, second] = [pathOf('blkio'), pathOf('')];
  const firstFile = join('/sys/fs/cgroup/blkio', first ?? '', 'blkio.throttle.write_iops_device');
  if (first !== undefined && existsSync(firstFile))
    return writeFileSync(firstFile, `${device} ${operationsPerSecond ?? 0}`);
  const secondFile = join('/sys/fs/cgroup', second ?? '', 'io.max');
  if (second !== undefined && existsSync(secondFile))
    return writeFileSync(secondFile, `${device} wiops=${operationsPerSecond ?? 'max'}`);
  throw new Error('no control group limits the writes of a container here');
}

function partsOf(fault: PartFault): readonly Part[] {
  return [...new Set('parts' in fault ? fault.parts : [fault.part])];
}
