import type { Point } from './point.js';
import type { Refusal } from './refusal.js';
import type { StateCost } from './state.js';
import type { Visibility } from './visibility.js';

/** One leader that went, as the bench of failover writes it. */
export interface Failover {
  readonly fault: string;
  /** Longest time between two acknowledgements, milliseconds. */
  readonly gapMs: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
}

/** All that one run has measured. */
export interface Results {
  readonly throughput: readonly Point[];
  readonly visibility: readonly Visibility[];
  readonly refusals: readonly Refusal[];
  readonly failovers: readonly Failover[];
  readonly states: readonly StateCost[];
  readonly costs: readonly Point[];
}

export function noResults(): Results {
  return { throughput: [], visibility: [], refusals: [], failovers: [], states: [], costs: [] };
}

/** Groups in the order in which they first come. */
export function grouped<Item>(items: readonly Item[], keyOf: (item: Item) => string): Item[][] {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups.values()];
}
