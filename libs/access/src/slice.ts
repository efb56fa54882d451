import type { EntityJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { Entry } from '@quorate/kv';
import { entityJson, parseEntity, showEntity, type StoredEntity } from './entities.js';
import { entityKey } from './keys.js';
import { SLICE_ENTITIES_MAX, SLICE_REFERENCES_MAX } from './limits.js';
import type { AccessSnapshot, EntityReference } from './types.js';

export type Slice =
  | { readonly fault: string }
  | { readonly fault: null; readonly entities: EntityJson[]; readonly keys: ReadonlySet<string> };

// An Entry is never mutated, so what was parsed from it stays true. Weak: an entry that is replaced takes it along.
const parsedEntities = new WeakMap<Entry, StoredEntity | { readonly fault: string }>();

/**
 * The entities that a decision may rest on: the roots, their ancestors, and whatever attributes refer to, to the end.
 * A reference to an entity that does not exist is left open: that is the true state of it.
 */
export function collectSlice(snapshot: AccessSnapshot, roots: readonly EntityReference[]): Slice {
  const seen = new Set<string>();
  const keys = new Set<string>();
  const entities: EntityJson[] = [];
  const waiting = [...roots];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const key = entityKey(next);
    if (seen.has(key)) continue;
    seen.add(key);
    if (seen.size > SLICE_REFERENCES_MAX) return { fault: tooLarge(`${SLICE_REFERENCES_MAX} references`) };
    const entry = snapshot.get(key);
    if (entry === undefined) continue;
    const entity = parsedEntity(entry);
    if ('fault' in entity) return { fault: `entity ${showEntity(next)} cannot be used: ${entity.fault}` };
    if (entities.length === SLICE_ENTITIES_MAX) return { fault: tooLarge(`${SLICE_ENTITIES_MAX} entities`) };
    keys.add(key);
    entities.push(entityJson(next, entity));
    for (const reference of entity.references) waiting.push(reference);
  }
  return { fault: null, entities, keys };
}

function tooLarge(limit: string): string {
  return `ACCESS_SLICE_TOO_LARGE: it would rest on more than ${limit}`;
}

/** The stored entity of an entry; parsed once. */
export function parsedEntity(entry: Entry): StoredEntity | { readonly fault: string } {
  let entity = parsedEntities.get(entry);
  if (entity === undefined) {
    entity = parseEntity(entry.value);
    parsedEntities.set(entry, entity);
  }
  return entity;
}
