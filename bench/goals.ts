export type Unit = 'per second' | 'CPU s/10k' | 'ms' | 'MiB';

/** One figure of ours beside a peer's, or beside a fixed number. */
export interface Verdict {
  /** Which line of the goals. */
  readonly line: string;
  readonly case: string;
  readonly ours: number;
  readonly unit: Unit;
  /** Null: floor and aim are absolute numbers. */
  readonly peer: { readonly title: string; readonly value: number } | null;
  /** Ours divided by the peer's; without a peer ours itself. */
  readonly ratio: number;
  readonly better: 'higher' | 'lower';
  /** Null: only an aim. */
  readonly floor: number | null;
  readonly aim: number;
}

export function meets({ ratio, better }: Verdict, goal: number | null): boolean | null {
  if (goal === null || Number.isNaN(ratio)) return null;
  return better === 'higher' ? ratio >= goal : ratio <= goal;
}

export type Goal = Pick<Verdict, 'floor' | 'aim' | 'better' | 'unit'>;

export const WRITES: Goal = { floor: 1.5, aim: 4, better: 'higher', unit: 'per second' };
export const MEMBER_CPU: Goal = { floor: 0.7, aim: 0.25, better: 'lower', unit: 'CPU s/10k' };
export const READS: Goal = { floor: 4, aim: 10, better: 'higher', unit: 'per second' };
export const ABOVE: Goal = { floor: null, aim: 1, better: 'higher', unit: 'per second' };
export const REST_WRITES: Goal = { floor: 1.3, aim: 2, better: 'higher', unit: 'per second' };
export const REST_READS: Goal = { floor: 4, aim: 6, better: 'higher', unit: 'per second' };
export const CHECKS: Goal = { floor: 10_000, aim: 60_000, better: 'higher', unit: 'per second' };
export const FIRST_REFUSAL: Goal = { floor: 2_000, aim: 1_200, better: 'lower', unit: 'ms' };
export const LATER_REFUSAL: Goal = { floor: 50, aim: 5, better: 'lower', unit: 'ms' };
export const VISIBILITY: Goal = { floor: 1.5, aim: 0.7, better: 'lower', unit: 'ms' };
export const MEMORY: Goal = { floor: 1, aim: 0.6, better: 'lower', unit: 'MiB' };
export const RESTART: Goal = { floor: 1, aim: 0.5, better: 'lower', unit: 'ms' };
