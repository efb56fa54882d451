import type { LinkFault, Part } from '../fault.js';

/** What happens now to all that one part sends to another. */
export interface Condition {
  readonly isCut: boolean;
  /** How much later each byte arrives: the sum of all delays in force. */
  readonly delayMs: number;
  readonly jitterMs: number;
  /** The slowest link in force; null: no limit. */
  readonly bytesPerSecond: number | null;
  /** Of all packets, independently of each other. */
  readonly lossPercent: number;
}

interface InForce {
  readonly fault: LinkFault;
  /** Only a flap changes it. */
  isCut: boolean;
}

/**
 * Which link faults are in force, and what they come to for one pair. Faults overlap freely: a pair is whole again when the last fault
 * that cuts it has ended. `changed` puts the new conditions into force.
 */
export class Links {
  readonly #inForce = new Set<InForce>();

  constructor(private readonly changed: () => unknown) {}

  /** Resolves when the fault is in force, with what ends it; ending it twice is harmless. */
  async begin(fault: LinkFault): Promise<() => Promise<void>> {
    const own: InForce = { fault, isCut: ['cut', 'cutOneWay', 'flap'].includes(fault.kind) };
    this.#inForce.add(own);
    const stopFlapping = fault.kind === 'flap' ? this.#flap(own, fault.cutMs, fault.healedMs) : undefined;
    await this.changed();
    return async () => {
      stopFlapping?.();
      if (this.#inForce.delete(own)) await this.changed();
    };
  }

  /** Ends whatever is in force; to end one of them once more stays harmless. */
  async endAll(): Promise<void> {
    this.#inForce.clear();
    await this.changed();
  }

  /** What happens to that which `from` sends to `to`. */
  condition(from: Part, to: Part): Condition {
    let [isCut, delayMs, jitterMs, passed] = [false, 0, 0, 1];
    let bytesPerSecond: number | null = null;
    for (const { fault, isCut: cuts } of this.#inForce) {
      if (!concerns(fault, from, to)) continue;
      isCut ||= cuts;
      if (fault.kind === 'delay') {
        delayMs += fault.ms;
        jitterMs += fault.jitterMs;
      }
      if (fault.kind === 'loss') passed *= 1 - fault.percent / 100;
      if (fault.kind === 'slowLink')
        bytesPerSecond = Math.min(bytesPerSecond ?? Number.POSITIVE_INFINITY, fault.bytesPerSecond);
    }
    return { isCut, delayMs, jitterMs, bytesPerSecond, lossPercent: (1 - passed) * 100 };
  }

  #flap(own: InForce, cutMs: number, healedMs: number): () => void {
    let timer: NodeJS.Timeout;
    const turn = (): void => {
      timer = setTimeout(
        () => {
          if (!this.#inForce.has(own)) return;
          own.isCut = !own.isCut;
          // The next turn waits for nothing: a slow change makes a shorter cut, not a longer flap.
          void Promise.resolve(this.changed()).catch(() => undefined);
          turn();
        },
        own.isCut ? cutMs : healedMs,
      );
      timer.unref();
    };
    turn();
    return () => clearTimeout(timer);
  }
}

function concerns(fault: LinkFault, from: Part, to: Part): boolean {
  const forward = fault.from.includes(from) && fault.to.includes(to);
  return forward || (fault.kind !== 'cutOneWay' && fault.from.includes(to) && fault.to.includes(from));
}
