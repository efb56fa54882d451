import type { Operation, Violation } from '../operation.js';
import { describeOperation } from '../history.js';

/** `register/3/17`: no other value of the run is the same, so what is read tells who wrote it. */
export class UniqueNames {
  readonly #used = new Map<number, number>();

  constructor(private readonly workload: string) {}

  next(client: number): string {
    const number = (this.#used.get(client) ?? 0) + 1;
    this.#used.set(client, number);
    return `${this.workload}/${client}/${number}`;
  }
}

/** `because`: a sentence; the operations are told behind it. */
export function violated(
  promise: string,
  because: string,
  operations: readonly (Operation | undefined)[],
): Violation {
  const shown = operations.filter((operation) => operation !== undefined);
  const story = [because, ...shown.map(describeOperation)].join('; ');
  return { promise, story, operations: shown.map(({ id }) => id) };
}

export function groupedBy<Item>(
  items: readonly Item[],
  nameOf: (item: Item) => string,
): ReadonlyMap<string, readonly Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const name = nameOf(item);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [item]);
    else group.push(item);
  }
  return groups;
}
