import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The kernel's two kinds of control groups name the same things differently. */
const V1 = { folder: '/sys/fs/cgroup/memory', limit: 'memory.limit_in_bytes', none: '-1' } as const;
const V2 = { folder: '/sys/fs/cgroup', limit: 'memory.max', none: 'max' } as const;

/**
 * A control group for the memory of one part, whose limit can be set while it runs. Each process belongs to it from its start: what a process
 * holds when it joins is not counted.
 */
export class MemoryGroup {
  private constructor(
    private readonly folder: string,
    private readonly version: typeof V1 | typeof V2,
  ) {}

  /** Null: there are no control groups here that may be written. */
  static make(name: string): MemoryGroup | null {
    const version = existsSync(join(V1.folder, V1.limit)) ? V1 : V2;
    try {
      // Version 1: below the group of this program, so that its own limits go on holding. Version 2 allows no groups below one with processes.
      const own = /^\d+:memory:(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/';
      const folder = join(version.folder, version === V1 ? own : '', `quorate-chaos-${process.pid}-${name}`);
      mkdirSync(folder);
      const group = new MemoryGroup(folder, version);
      if (existsSync(join(folder, version.limit))) return group;
      group.remove();
    } catch {
      // Not root, or a file system that is read-only.
    }
    return null;
  }

  add(pid: number): void {
    try {
      writeFileSync(join(this.folder, 'cgroup.procs'), String(pid));
    } catch {
      // It has ended already.
    }
  }

  /** False: what is there is more than that, and cannot be made less. Null: no limit. */
  limit(bytes: number | null): boolean {
    try {
      writeFileSync(
        join(this.folder, this.version.limit),
        bytes === null ? this.version.none : String(bytes),
      );
      return true;
    } catch {
      return false;
    }
  }

  /** All its processes have ended. */
  remove(): void {
    try {
      rmdirSync(this.folder);
    } catch {
      // A process is only about to end: an empty group of a few bytes stays.
    }
  }
}
