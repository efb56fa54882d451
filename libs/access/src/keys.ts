import type { EntityReference } from './types.js';

const POLICIES = 'policies/';
const ENTITIES = 'entities/';

/** Everything below this prefix is a policy. */
export const POLICY_PREFIX = POLICIES;

/** The key of a policy in the namespace `access`. `id` must be well-formed text. */
export function policyKey(id: string): string {
  return POLICIES + encodeURIComponent(id);
}

/** The key of an entity. Type and id are percent-encoded, so that a slash within an id is not a separator. */
export function entityKey({ type, id }: EntityReference): string {
  return `${ENTITIES}${encodeURIComponent(type)}/${encodeURIComponent(id)}`;
}

/** What a key of the namespace `access` names. */
export type AccessKey =
  | { readonly kind: 'policy'; readonly id: string }
  | { readonly kind: 'entity'; readonly reference: EntityReference };

/** Reads a key; null when it is neither of the two. Only the canonical spelling counts: two keys never name one thing. */
export function parseAccessKey(key: string): AccessKey | null {
  try {
    if (key.startsWith(POLICIES)) {
      const id = decodeURIComponent(key.slice(POLICIES.length));
      return id !== '' && policyKey(id) === key ? { kind: 'policy', id } : null;
    }
    if (!key.startsWith(ENTITIES)) return null;
    const [type = '', id = '', ...rest] = key.slice(ENTITIES.length).split('/').map(decodeURIComponent);
    if (type === '' || id === '' || rest.length > 0) return null;
    return entityKey({ type, id }) === key ? { kind: 'entity', reference: { type, id } } : null;
  } catch {
    // A stray % sign.
    return null;
  }
}
