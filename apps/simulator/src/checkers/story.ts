import type { Chronicle } from '../chronicle.js';
import type { CacheReadRecord } from '../gateway.js';
import type { ClientOperation, History } from '../history.js';
import type { World } from '../world.js';

/** A whole run, for what can only be judged afterwards. */
export interface Story {
  readonly world: World;
  readonly history: History;
  /** What really happened. */
  readonly chronicle: Chronicle;
  /** Of all gateways, each in its own order. */
  readonly cacheReads: readonly CacheReadRecord[];
  /** Where in the log each write took effect that can be told by its value: the first place. */
  readonly tookEffect: ReadonlyMap<ClientOperation, number>;
}

/** Finds each put in the log, by its value, which is unique in a world. */
export function tellStory(world: World, told: Pick<Story, 'history' | 'chronicle' | 'cacheReads'>): Story {
  const { history, chronicle } = told;
  const asked = askedByValue(history.operations);
  const tookEffect = new Map<ClientOperation, number>();
  for (const { revision, value } of chronicle.writes) {
    const operation = value === null ? undefined : asked.get(value);
    if (operation !== undefined && !tookEffect.has(operation)) tookEffect.set(operation, revision);
  }
  return { world, ...told, tookEffect };
}

export function askedByValue(operations: readonly ClientOperation[]): ReadonlyMap<string, ClientOperation> {
  return new Map(
    operations.flatMap((operation) => (operation.value === null ? [] : [[operation.value, operation]])),
  );
}

interface Acknowledged {
  readonly atMs: number;
  readonly revision: number;
}

/** The newest revision, of one namespace or of all, that some client had been told of by a certain time. */
export class Acknowledgements {
  readonly #told: readonly Acknowledged[];

  constructor(operations: readonly ClientOperation[], of: string | null = null) {
    const writes = operations
      .flatMap(({ kind, namespace, outcome, revision, completedMs }) =>
        kind !== 'get' &&
        (of === null || namespace === of) &&
        outcome === 'done' &&
        revision !== null &&
        completedMs !== null
          ? [{ atMs: completedMs, revision }]
          : [],
      )
      .sort((one, other) => one.atMs - other.atMs);
    let highest = 0;
    this.#told = writes.map(({ atMs, revision }) => {
      highest = Math.max(highest, revision);
      return { atMs, revision: highest };
    });
  }

  /** 0: none. */
  newestBefore(atMs: number): number {
    let [low, high] = [0, this.#told.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#told[middle]?.atMs ?? Infinity) < atMs) low = middle + 1;
      else high = middle;
    }
    return this.#told[low - 1]?.revision ?? 0;
  }
}
