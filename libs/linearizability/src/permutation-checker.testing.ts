import type { HistoryOperation, WriteOperation } from './history.js';

interface State {
  readonly revision: number;
  readonly entries: ReadonlyMap<string, { readonly value: string; readonly revision: number }>;
}

/**
 * The judge of the judge: tries every order that real time allows, and for each open write every revision it could
 * have had, and never having happened. Exponential, obviously right, for histories of a handful of operations.
 */
export function checkByPermutation(history: readonly HistoryOperation[]): boolean {
  const operations = history.filter((operation) => operation.type === 'read' || operation.outcome !== 'none');
  const highest = Math.max(
    0,
    ...operations.map((operation) =>
      operation.type === 'read' ? operation.head : (operation.revision ?? 0),
    ),
  );
  return search({ revision: 0, entries: new Map() }, operations, highest);
}

function search(state: State, left: readonly HistoryOperation[], highest: number): boolean {
  if (left.every((operation) => operation.type === 'write' && operation.outcome === 'unknown')) {
    // An open write whose revision was learnt from the log did happen.
    if (left.every((operation) => operation.type === 'write' && operation.revision === null)) return true;
  }
  const barrier = Math.min(...left.map(completionOf));
  for (const operation of left) {
    if (operation.invokedAt > barrier) continue;
    const rest = left.filter((other) => other !== operation);
    for (const next of outcomes(state, operation, highest)) if (search(next, rest, highest)) return true;
  }
  return false;
}

function completionOf(operation: HistoryOperation): number {
  if (operation.type === 'read') return operation.completedAt;
  return operation.outcome === 'done' ? (operation.completedAt ?? Infinity) : Infinity;
}

function outcomes(state: State, operation: HistoryOperation, highest: number): State[] {
  const entry = state.entries.get(operation.key);
  if (operation.type === 'read') {
    const same = (entry?.revision ?? null) === operation.entryRevision;
    const sameValue = operation.value === undefined || (entry?.value ?? null) === operation.value;
    return operation.head >= state.revision && same && sameValue
      ? [{ revision: operation.head, entries: state.entries }]
      : [];
  }
  if (operation.replaced !== undefined && (entry?.revision ?? null) !== operation.replaced) return [];
  const states: State[] = [];
  const lowest = operation.revision ?? state.revision + 1;
  for (let revision = lowest; revision <= (operation.revision ?? highest); revision += 1) {
    if (revision > state.revision) states.push(write(state, operation, revision));
  }
  return states;
}

function write(state: State, operation: WriteOperation, revision: number): State {
  const entries = new Map(state.entries);
  if (operation.value === null) entries.delete(operation.key);
  else entries.set(operation.key, { value: operation.value, revision });
  return { revision, entries };
}
