import { memberId, logIndex, term } from '@quorate/raft';
import type { HardState, LogEntry } from '@quorate/raft';
import { SimulatedDisk } from './simulated-disk.js';
import type { WalIdentity } from './segment.js';

/** Test support: a simulated disk whose random numbers come from a seed and whose syncs end when the test says so. */
export class SimulatedMachine {
  readonly disk: SimulatedDisk;
  readonly #tasks: (() => void)[] = [];
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
    this.disk = new SimulatedDisk({
      random: () => this.random(),
      schedule: (task) => this.#tasks.push(task),
    });
  }

  /** mulberry32. */
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  /** Ends the oldest sync in flight; false if there is none. */
  runOne(): boolean {
    const task = this.#tasks.shift();
    task?.();
    return task !== undefined;
  }

  /** Ends all syncs in flight, and those that start meanwhile. */
  runAll(): void {
    for (let turns = 0; turns < 10_000; turns += 1) if (!this.runOne()) return;
    throw new Error('the syncs do not end');
  }
}

export const DIRECTORY = '/data';

export const IDENTITY: WalIdentity = {
  clusterId: '00112233445566aa',
  epoch: 1,
  memberId: memberId(2),
  incarnation: 'fedcba9876543210',
};

export function entry(index: number, termNumber: number, text: string | null): LogEntry {
  return {
    index: logIndex(index),
    term: term(termNumber),
    kind: text === null ? 'noop' : 'command',
    payload: new TextEncoder().encode(text ?? ''),
  };
}

export function hardState(termNumber: number, vote: number | null, commit: number, recovery = 0): HardState {
  return {
    term: term(termNumber),
    vote: vote === null ? null : memberId(vote),
    commit: logIndex(commit),
    recovery,
  };
}
