import { JSON_DEPTH_MAX, JSON_NODES_MAX } from './limits.js';
import type { EntityReference } from './types.js';

/** True for a JSON object, not an array. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reads {type, id} of non-empty strings; null for anything else. */
export function entityReference(value: unknown): EntityReference | null {
  if (!isRecord(value)) return null;
  const { type, id } = value;
  if (typeof type !== 'string' || typeof id !== 'string' || type === '' || id === '') return null;
  return /\p{Surrogate}/u.test(type + id) ? null : { type, id };
}

export type Inspected =
  | { readonly fault: string }
  | { readonly fault: null; readonly references: readonly EntityReference[] };

/**
 * Looks through attributes or a context before they go to Cedar: bounds them, refuses what Cedar would refuse or JSON
 * has already bent (a number beyond 2^53 has lost its digits), and collects the entities that they refer to.
 * Walks without recursion: what JSON.parse took may be nested deeper than the stack.
 */
export function inspectJson(root: unknown): Inspected {
  const references: EntityReference[] = [];
  const waiting: { readonly value: unknown; readonly depth: number }[] = [{ value: root, depth: 1 }];
  let nodes = 1;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { value, depth } = next;
    if (typeof value === 'string' || typeof value === 'boolean') continue;
    if (typeof value === 'number') {
      if (!Number.isSafeInteger(value)) return { fault: 'numbers must be integers within 2^53' };
      continue;
    }
    if (value === null) return { fault: 'null is not a value that policies know' };
    if (typeof value !== 'object') return { fault: 'it is not JSON' };
    if (depth > JSON_DEPTH_MAX) return { fault: `it is nested more than ${JSON_DEPTH_MAX} deep` };
    if (isRecord(value) && Object.hasOwn(value, '__entity')) {
      const reference = entityReference(value['__entity']);
      if (reference === null) return { fault: '__entity must be an object of type and id' };
      references.push(reference);
    }
    const children = Object.values(value);
    nodes += children.length;
    if (nodes > JSON_NODES_MAX) return { fault: `it has more than ${JSON_NODES_MAX} values` };
    for (const child of children) waiting.push({ value: child, depth: depth + 1 });
  }
  return { fault: null, references };
}
