import { cpus, release, tmpdir, totalmem } from 'node:os';
import { median, syncsPerSecond, watchNoise } from './measure.js';
import type { Point } from './point.js';

const SYNC_MS = 500;

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly node: string;
  /** Appends of 4 KiB made durable, one after the other. */
  readonly syncsPerSecond: number;
  /** Cores that others used just before the first measurement. */
  readonly foreignCoresBefore: number;
}

export async function describeMachine(): Promise<Machine> {
  const noise = watchNoise([process.pid]);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const { foreignCores } = noise();
  return {
    processor: cpus()[0]?.model ?? 'unknown processor',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    syncsPerSecond: Math.round(syncsPerSecond(tmpdir(), SYNC_MS)),
    foreignCoresBefore: foreignCores,
  };
}

/** How much of the machine others had while points were measured, in one sentence. */
export function noiseSentence(points: readonly Point[]): string {
  if (points.length === 0) return 'noise: no closed loop was measured';
  const foreign = points.map(({ foreignCores }) => foreignCores);
  const steal = points.map(({ stealCores }) => stealCores);
  const of = (numbers: readonly number[]): string =>
    `median ${median(numbers).toFixed(2)}, at most ${Math.max(...numbers).toFixed(2)}`;
  return `noise while measuring: cores used by others ${of(foreign)}; stolen by the host ${of(steal)}`;
}
