import type { HistoryOperation } from './history.js';

/** When it is over; Infinity if it was never answered. */
export function endOf(operation: HistoryOperation): number {
  return operation.completedAt ?? Infinity;
}

/** One lane per client; operations without a client share lanes in which nothing overlaps. Lanes are numbered from 0. */
export function lanesOf(history: readonly HistoryOperation[]): Map<HistoryOperation, number> {
  const lanes = new Map<HistoryOperation, number>();
  const ofClient = new Map<string, number>();
  const freeFrom: { lane: number; at: number }[] = [];
  let count = 0;
  for (const operation of history.toSorted((left, right) => left.invokedAt - right.invokedAt)) {
    if (operation.client !== undefined) {
      const lane = ofClient.get(operation.client) ?? count++;
      ofClient.set(operation.client, lane);
      lanes.set(operation, lane);
      continue;
    }
    let slot = freeFrom.find(({ at }) => at < operation.invokedAt);
    if (slot === undefined) {
      slot = { lane: count++, at: 0 };
      freeFrom.push(slot);
    }
    slot.at = endOf(operation);
    lanes.set(operation, slot.lane);
  }
  return lanes;
}
