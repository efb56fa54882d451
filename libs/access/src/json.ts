import { isWellFormed } from '@quorate/kv';
import {
  ENTITY_ID_LENGTH_MAX,
  ENTITY_TYPE_LENGTH_MAX,
  JSON_DEPTH_MAX,
  JSON_NODES_MAX,
  MESSAGE_LENGTH_MAX,
} from './limits.js';
import type { EntityReference } from './types.js';

/** True for a JSON object, not an array. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The beginning of a message that is too long for an answer. */
export function clip(message: string): string {
  if (message.length <= MESSAGE_LENGTH_MAX) return message;
  // The first half of a surrogate pair must not stay behind alone.
  return `${message.slice(0, MESSAGE_LENGTH_MAX - 1).replace(/[\ud800-\udbff]$/, '')}\u2026`;
}

/** Reads {type, id} of non-empty, well-formed strings of bounded length; null for anything else. */
export function entityReference(value: unknown): EntityReference | null {
  if (!isRecord(value)) return null;
  const { type, id } = value;
  if (typeof type !== 'string' || typeof id !== 'string' || type === '' || id === '') return null;
  if (type.length > ENTITY_TYPE_LENGTH_MAX || id.length > ENTITY_ID_LENGTH_MAX) return null;
  return isWellFormed(type) && isWellFormed(id) ? { type, id } : null;
}

export type Inspected =
  | { readonly fault: string }
  | { readonly fault: null; readonly references: readonly EntityReference[] };

/**
 * Looks through attributes or a context before they go to Cedar: bounds them, refuses what Cedar would refuse or JSON
 * has already bent (a number beyond 2^53 has lost its digits, half a surrogate pair has no UTF-8 form), and collects the entities that they refer to.
 * Walks without recursion: what JSON.parse took may be nested deeper than the stack.
 */
export function inspectJson(root: unknown): Inspected {
  const references: EntityReference[] = [];
  const waiting: { readonly value: unknown; readonly depth: number }[] = [{ value: root, depth: 1 }];
  let nodes = 1;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { value, depth } = next;
    if (typeof value === 'boolean') continue;
    if (typeof value === 'string') {
      if (!isWellFormed(value)) return { fault: 'it holds text that is not well-formed' };
      continue;
    }
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
    const keys = Array.isArray(value) ? [] : Object.keys(value);
    if (!keys.every(isWellFormed)) return { fault: 'it has a name that is not well-formed text' };
    // Copying an object may drop it without a word, and a condition on it then sees another object.
    if (keys.includes('__proto__')) return { fault: '__proto__ is not allowed as a name' };
    const children: unknown[] = Object.values(value);
    nodes += children.length;
    if (nodes > JSON_NODES_MAX) return { fault: `it has more than ${JSON_NODES_MAX} values` };
    for (const child of children) waiting.push({ value: child, depth: depth + 1 });
  }
  return { fault: null, references };
}
