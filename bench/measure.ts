import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** The kernel counts CPU time in hundredths of a second (USER_HZ), whatever its own tick is. */
const TICKS_PER_SECOND = 100;

/** CPU seconds, user and system, that a process with all its threads has used; 0 when it is gone. */
export function cpuSeconds(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The program's name, in brackets, may hold anything.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    return 0;
  }
}

/** CPU seconds of several processes together. */
export function cpuSecondsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
}

export interface MachineCpu {
  /** Seconds, of all cores. */
  readonly busy: number;
  /** Seconds that the host gave to others. */
  readonly steal: number;
}

export function machineCpu(): MachineCpu {
  const line = readFileSync('/proc/stat', 'latin1').split('\n')[0] ?? '';
  const [user = 0, nice = 0, system = 0, , , interrupt = 0, softInterrupt = 0, steal = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map((text) => Number(text) / TICKS_PER_SECOND);
  return { busy: user + nice + system + interrupt + softInterrupt, steal };
}

/** Cores that processes other than `ownPids` use meanwhile, and cores stolen by the host. */
export interface Noise {
  readonly foreignCores: number;
  readonly stealCores: number;
}

/** Starts to watch the machine; the returned function ends it. */
export function watchNoise(ownPids: readonly number[]): () => Noise {
  const [machine, own, startedMs] = [machineCpu(), cpuSecondsOf(ownPids), performance.now()];
  return () => {
    const seconds = (performance.now() - startedMs) / 1_000;
    const now = machineCpu();
    const foreign = now.busy - machine.busy - (cpuSecondsOf(ownPids) - own);
    return {
      foreignCores: Math.max(0, foreign) / seconds,
      stealCores: (now.steal - machine.steal) / seconds,
    };
  };
}

/** What a process holds in memory, in bytes; 0 when it is gone. */
export interface Memory {
  readonly resident: number;
  /** Without pages of files, which the kernel can take back. */
  readonly anonymous: number;
}

export function memoryOf(pid: number): Memory {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1');
    const bytes = (name: string): number =>
      Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(text)?.[1] ?? 0) * 1_024;
    return { resident: bytes('VmRSS'), anonymous: bytes('RssAnon') };
  } catch {
    return { resident: 0, anonymous: 0 };
  }
}

/** How often a second this disk makes an append of 4 KiB durable: what every durable write waits for. */
export function syncsPerSecond(folder: string, ms: number): number {
  const path = join(folder, `sync-${process.pid}.bin`);
  const file = openSync(path, 'w');
  const block = Buffer.alloc(4_096, 1);
  const startedMs = performance.now();
  let count = 0;
  while (performance.now() < startedMs + ms) {
    writeSync(file, block);
    fdatasyncSync(file);
    count += 1;
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  closeSync(file);
  rmSync(path);
  return count / seconds;
}

/** NaN when there is nothing. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.filter((number) => !Number.isNaN(number)).toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** The value that the share `of` (0 to 1) of all stays below; NaN when there is nothing. */
export function quantile(numbers: readonly number[], of: number): number {
  const sorted = numbers.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(of * sorted.length))] ?? NaN;
}
