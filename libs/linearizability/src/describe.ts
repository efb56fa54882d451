import type { HistoryOperation } from './history.js';

/** One clause for a person. */
export function describeOperation(operation: HistoryOperation): string {
  const { id, key } = operation;
  if (operation.type === 'read') {
    const { value, entryRevision, head } = operation;
    const seen = entryRevision === null ? 'nothing' : `${value ?? 'an entry'} of revision ${entryRevision}`;
    return `operation ${id} read ${seen} in ${key} at head ${head}`;
  }
  const what = operation.value === null ? `deleted ${key}` : `wrote ${operation.value} to ${key}`;
  switch (operation.outcome) {
    case 'done':
      return `operation ${id} ${what} at revision ${operation.revision}`;
    case 'none':
      return `operation ${id} (it would have: ${what}) was refused as having no effect`;
    case 'unknown':
      return `operation ${id} with unknown outcome ${what}`;
  }
}
