import type { HistoryOperation } from './history.js';
import { endOf, lanesOf } from './lanes.js';

/**
 * The history for Porcupine (github.com/anishathalye/porcupine): one JSON object a line, each the fields of its `Operation`. The
 * format, and a Go program that reads it, stand in PORCUPINE.md. Refused writes are left out: they never happened. Times become
 * their ranks, because Porcupine wants int64; equal times stay equal. A write that was never answered returns after all others.
 */
export function toPorcupine(history: readonly HistoryOperation[]): string {
  const happened = history.filter((operation) => operation.type === 'read' || operation.outcome !== 'none');
  const times = happened.flatMap((operation) => [operation.invokedAt, endOf(operation)]);
  const sorted = [...new Set(times)].sort((left, right) => left - right);
  const rankOf = new Map(sorted.map((time, rank) => [time, rank]));
  // An open write must outlast even an operation that is invoked at the very end.
  rankOf.set(Infinity, sorted.length + 1);
  const lanes = lanesOf(happened);
  return happened
    .map((operation) => {
      const { id, invokedAt } = operation;
      const line = {
        ClientId: lanes.get(operation) ?? 0,
        Input: inputOf(operation),
        Call: rankOf.get(invokedAt),
        Output: outputOf(operation),
        Return: rankOf.get(endOf(operation)),
        Metadata: id,
      };
      return `${JSON.stringify(line)}\n`;
    })
    .join('');
}

/** `Replaced`: the revision that the entry must have; 0: there must be none; -1: no condition. */
function inputOf(operation: HistoryOperation): object {
  const { key } = operation;
  if (operation.type === 'read') return { Key: key, Kind: 'read', Value: '', Replaced: -1 };
  const kind = operation.value === null ? 'delete' : 'put';
  const replaced = operation.replaced === undefined ? -1 : (operation.replaced ?? 0);
  return { Key: key, Kind: kind, Value: operation.value ?? '', Replaced: replaced };
}

/** `Revision`: of a read, the revision of the entry, 0 if there was none; of a write, its own, -1 if it was not told. */
function outputOf(operation: HistoryOperation): object {
  if (operation.type === 'write') {
    const happened = operation.outcome === 'done' || operation.revision !== null;
    return { Happened: happened, Value: '', ValueSeen: false, Revision: operation.revision ?? -1 };
  }
  const { value, entryRevision } = operation;
  const seen = typeof value === 'string';
  return { Happened: true, Value: value ?? '', ValueSeen: seen, Revision: entryRevision ?? 0 };
}
