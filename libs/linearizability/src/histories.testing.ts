import type { HistoryOperation } from './history.js';

/** A small seeded generator (mulberry32): a failing history is found again by its seed. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const KEYS = ['k', 'l'];

/** A history of a real store: each operation takes effect at one moment between its invocation and its completion. */
export function legalHistory(
  seed: number,
  count: number,
  { blindReads = false, keys = KEYS }: { blindReads?: boolean; keys?: readonly string[] } = {},
): HistoryOperation[] {
  const random = randomFrom(seed);
  const plans = Array.from({ length: count }, (_, index) => {
    const effectAt = 10 + random(60) * 4 + index / 100;
    return {
      id: index + 1,
      effectAt,
      invokedAt: effectAt - random(40) - 1,
      completedAt: effectAt + random(40) + 1,
    };
  }).sort((left, right) => left.effectAt - right.effectAt);
  const entries = new Map<string, { value: string; revision: number; acknowledged: boolean }>();
  let revision = 0;
  return plans.map(({ id, invokedAt, completedAt }): HistoryOperation => {
    // Revisions of others (namespaces, other tests) leave holes.
    if (random(8) === 0) revision += 1;
    const key = keys[random(keys.length)] ?? 'k';
    const entry = entries.get(key);
    const kind = random(10);
    if (kind < 4) {
      // A refused comparison sees the revision of an entry, but not its value.
      const value = blindReads && entry !== undefined && kind === 0 ? undefined : (entry?.value ?? null);
      const entryRevision = entry?.revision ?? null;
      return { type: 'read', id, key, invokedAt, completedAt, head: revision, entryRevision, value };
    }
    const value = kind < 8 ? `v${id}` : null;
    // Nobody compares with a revision that he was never told.
    const compares = random(3) === 0 && entry?.acknowledged !== false;
    const replaced = compares ? (entry?.revision ?? null) : undefined;
    const fate = random(6);
    const common = { type: 'write', id, key, invokedAt, value, replaced } as const;
    if (fate === 0) return { ...common, outcome: 'none', completedAt, revision: null };
    if (fate === 1) return { ...common, outcome: 'unknown', completedAt: null, revision: null };
    revision += 1;
    if (value === null) entries.delete(key);
    else entries.set(key, { value, revision, acknowledged: fate > 2 });
    if (fate === 2) return { ...common, outcome: 'unknown', completedAt: null, revision: null };
    if (fate === 3 && random(2) === 0) return { ...common, outcome: 'unknown', completedAt: null, revision };
    return { ...common, outcome: 'done', completedAt, revision };
  });
}

/** One lie somewhere. The result may still be legal: that is for the checkers to find out, and to agree upon. */
export function mutated(history: readonly HistoryOperation[], seed: number): HistoryOperation[] {
  const random = randomFrom(seed ^ 0x5eed);
  const victim = random(history.length);
  const shift = random(2) === 0 ? 1 : -1;
  return history.map((operation, index) => {
    if (index !== victim) return operation;
    if (operation.type === 'read') {
      const another = history[random(history.length)];
      switch (random(4)) {
        case 0:
          return { ...operation, head: Math.max(0, operation.head + shift) };
        case 1:
          return { ...operation, value: null, entryRevision: null };
        case 2:
          return { ...operation, completedAt: operation.invokedAt + 0.5 };
        default:
          return another?.type === 'read'
            ? { ...operation, value: another.value, entryRevision: another.entryRevision }
            : operation;
      }
    }
    switch (random(4)) {
      case 0:
        return operation.revision === null
          ? operation
          : { ...operation, revision: Math.max(1, operation.revision + shift) };
      case 1:
        return operation.outcome === 'done' ? { ...operation, outcome: 'none', revision: null } : operation;
      case 2:
        return operation.outcome === 'done'
          ? { ...operation, invokedAt: operation.invokedAt - 60, completedAt: operation.invokedAt - 20 }
          : operation;
      default:
        return operation.replaced === undefined ? operation : { ...operation, replaced: null };
    }
  });
}

/**
 * Does some condition name a revision at which nothing is known to have been written? No real client compares with a revision that
 * it was never told; a lie can make it look so. Which open write it was is then a guess, and the two checkers guess differently.
 */
export function comparesBlindly(history: readonly HistoryOperation[]): boolean {
  const known = new Set<number | null | undefined>([null, undefined]);
  for (const operation of history) {
    if (operation.type === 'write') known.add(operation.revision);
    else if (operation.value !== undefined) known.add(operation.entryRevision);
  }
  return history.some((operation) => operation.type === 'write' && !known.has(operation.replaced));
}

export interface BusyPlan {
  readonly seed: number;
  readonly clients: number;
  readonly operations: number;
  readonly keys: number;
}

/** What clients that never rest see of a store that never lies: half reads, conditions, deletions, one write in fifty unanswered. */
export function busyHistory({ seed, clients, operations, keys }: BusyPlan): HistoryOperation[] {
  const random = randomFrom(seed);
  const clock = Array.from({ length: clients }, () => random(100));
  const plans = Array.from({ length: operations }, (_, index) => {
    const client = index % clients;
    const invokedAt = (clock[client] ?? 0) + 1 + random(10);
    const effectAt = invokedAt + 1 + random(50);
    const completedAt = effectAt + 1 + random(50);
    clock[client] = completedAt;
    return { id: index + 1, client: `c${client}`, invokedAt, effectAt, completedAt };
  });
  plans.sort((left, right) => left.effectAt - right.effectAt);
  const entries = new Map<string, { value: string; revision: number; told: boolean }>();
  let head = 0;
  return plans.map(({ id, client, invokedAt, completedAt }): HistoryOperation => {
    const key = `k${random(keys)}`;
    const entry = entries.get(key);
    const common = { id, client, key, invokedAt };
    if (random(2) === 0) {
      if (entry !== undefined) entry.told = true;
      const seen = { value: entry?.value ?? null, entryRevision: entry?.revision ?? null };
      return { ...common, type: 'read', completedAt, head, ...seen };
    }
    const value = random(8) === 0 ? null : `v${id}`;
    // Nobody compares with a revision that he was never told.
    const compares = random(4) === 0 && entry?.told !== false;
    const replaced = compares ? (entry?.revision ?? null) : undefined;
    const write = { ...common, type: 'write', value, replaced } as const;
    const fate = random(100);
    if (fate === 0) return { ...write, outcome: 'unknown', completedAt: null, revision: null };
    if (fate === 1) return { ...write, outcome: 'none', completedAt, revision: null };
    head += 1;
    if (value === null) entries.delete(key);
    else entries.set(key, { value, revision: head, told: fate > 2 });
    if (fate === 2) return { ...write, outcome: 'unknown', completedAt: null, revision: null };
    return { ...write, outcome: 'done', completedAt, revision: head };
  });
}
