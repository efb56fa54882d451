import type * as cedar from '@cedar-policy/cedar-wasm/nodejs';
import { useCedar } from './cedar.js';
import { clip, entityReference, inspectJson, isRecord } from './json.js';
import { SLICE_ENTITIES_MAX } from './limits.js';
import { cedarMessage, faultOf } from './policies.js';
import type { EntityReference } from './types.js';

/** An entity as it goes to Cedar, with every entity that it refers to, parents included. */
export interface StoredEntity {
  readonly attrs: Record<string, cedar.CedarValueJson>;
  readonly parents: readonly EntityReference[];
  readonly references: readonly EntityReference[];
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads a stored value {attrs, parents} (both may be left out), or says what is wrong with it. */
export function parseEntity(value: Uint8Array): StoredEntity | { readonly fault: string } {
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(value));
  } catch {
    return { fault: 'it is not JSON' };
  }
  return readEntity(json);
}

function readEntity(json: unknown): StoredEntity | { readonly fault: string } {
  if (!isRecord(json)) return { fault: 'it must be an object of attrs and parents' };
  const { attrs = {}, parents = [], ...rest } = json;
  const [unknownField] = Object.keys(rest);
  if (unknownField !== undefined) return { fault: clip(`it has a field ${JSON.stringify(unknownField)}`) };
  if (!isRecord(attrs)) return { fault: 'attrs must be an object' };
  if (!Array.isArray(parents)) return { fault: 'parents must be an array' };
  if (parents.length >= SLICE_ENTITIES_MAX) return { fault: `it has ${SLICE_ENTITIES_MAX} parents or more` };
  const inspected = inspectJson(attrs);
  if (inspected.fault !== null) return { fault: `attrs: ${inspected.fault}` };
  const parentReferences: EntityReference[] = [];
  for (const parent of parents) {
    const reference = entityReference(parent);
    if (reference === null || Object.keys(parent).length !== 2) {
      return { fault: 'each parent must be an object of type and id' };
    }
    parentReferences.push(reference);
  }
  return {
    attrs: attrs as Record<string, cedar.CedarValueJson>,
    parents: parentReferences,
    references: [...parentReferences, ...inspected.references],
  };
}

/** What is wrong with an entity on its own, in Cedar's words where they are Cedar's; null: nothing. Never throws. */
export function validateEntity(reference: EntityReference, json: unknown): string | null {
  const entity = readEntity(json);
  if ('fault' in entity) return entity.fault;
  if (entityReference(reference) === null) return 'its type or id is not well-formed text, or too long';
  const entities = [entityJson(reference, entity)];
  return faultOf(() => {
    const parsed = useCedar((instance) => instance.checkParseEntities({ entities, schema: null }));
    return parsed.type === 'failure' ? cedarMessage(parsed.errors) : null;
  });
}

/** The form that Cedar takes. */
export function entityJson({ type, id }: EntityReference, entity: StoredEntity): cedar.EntityJson {
  return {
    uid: { type, id },
    attrs: entity.attrs,
    parents: entity.parents.map((parent) => ({ type: parent.type, id: parent.id })),
  };
}

/** `User::"alice"`, for messages. */
export function showEntity({ type, id }: EntityReference): string {
  return `${type}::${JSON.stringify(id)}`;
}
