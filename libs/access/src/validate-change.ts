import { ACCESS_NAMESPACE, type Operation } from '@quorate/kv';
import { parseEntity, showEntity, validateEntity } from './entities.js';
import { entityKey, parseAccessKey } from './keys.js';
import { clip } from './json.js';
import { POLICIES_BYTES_MAX, POLICIES_MAX, POLICIES_TOKENS_MAX, SLICE_ENTITIES_MAX } from './limits.js';
import { policyBytes, policyText, validatePolicy, validatePolicySet } from './policies.js';
import { policyShape } from './policy-shape.js';
import { parsedEntity } from './slice.js';
import type { AccessSnapshot, EntityReference } from './types.js';

export interface AccessChangeFault {
  readonly code: 'INVALID_POLICY' | 'INVALID_ENTITY';
  readonly message: string;
}

/** Whether a change of the namespace `access` may be proposed. */
export type AccessChangeVerdict = { readonly ok: true } | ({ readonly ok: false } & AccessChangeFault);

const OK: AccessChangeVerdict = { ok: true };

/** As the API has it: the answer to a check names up to 256 of them, and must stay small. */
const POLICY_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Validates a change before it is proposed, against the policies and entities at the snapshot's revision. The command
 * must carry "if access revision = that": apply never runs Cedar. Other namespaces' operations are all right.
 * Never throws: what cannot be validated, whatever the reason, is refused with a sentence of bounded length.
 */
export function validateAccessChange(snapshot: AccessSnapshot, operation: Operation): AccessChangeVerdict {
  if (operation.namespace !== ACCESS_NAMESPACE || operation.type === 'createNamespace') return OK;
  if (operation.type === 'deleteNamespace') return invalidEntity('the namespace access cannot be deleted');
  if (operation.type === 'setReaders') return invalidEntity('the namespace access has no readers');
  // Taking away leaves a set that parses; whatever then misses an entity is denied.
  if (operation.type === 'delete') return OK;
  const key = parseAccessKey(operation.key);
  if (key === null) {
    return invalidEntity('the namespace access holds policies/<id> and entities/<type>/<id> only');
  }
  const { value } = operation;
  if (key.kind === 'policy') {
    return refusingFaults(invalidPolicy, () => validatePolicyChange(snapshot, key.id, value));
  }
  return refusingFaults(invalidEntity, () => validateEntityChange(snapshot, key.reference, value));
}

/** The leader must not end with a change that it cannot look at: the client would send it to the next one. */
function refusingFaults(
  refuse: (message: string) => AccessChangeVerdict,
  validate: () => AccessChangeVerdict,
): AccessChangeVerdict {
  try {
    return validate();
  } catch (error) {
    return refuse(`it cannot be validated: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function validatePolicyChange(snapshot: AccessSnapshot, id: string, value: Uint8Array): AccessChangeVerdict {
  if (!POLICY_ID.test(id)) return invalidPolicy('a policy id is 1 to 128 letters, digits, dots and dashes');
  const text = policyText(value);
  if (text === null) return invalidPolicy(`policy ${id}: the value must be a JSON string`);
  const fault = validatePolicy(text);
  if (fault !== null) return invalidPolicy(`policy ${id}: ${fault}`);
  const texts = new Map<string, string>([[id, text]]);
  for (const entry of snapshot.policies()) {
    const key = parseAccessKey(entry.key);
    const other = policyText(entry.value);
    if (key?.kind === 'policy' && key.id !== id && other !== null) texts.set(key.id, other);
  }
  if (texts.size > POLICIES_MAX) return invalidPolicy(`there may be at most ${POLICIES_MAX} policies`);
  const bytes = [...texts.values()].reduce((sum, each) => sum + policyBytes(each), 0);
  if (bytes > POLICIES_BYTES_MAX) return invalidPolicy('all policies together would be longer than 1 MiB');
  const tokens = [...texts.values()].reduce((sum, each) => sum + policyShape(each).tokens, 0);
  if (tokens > POLICIES_TOKENS_MAX) {
    return invalidPolicy(`all policies together would have more than ${POLICIES_TOKENS_MAX} words and signs`);
  }
  const together = validatePolicySet(Object.fromEntries(texts));
  return together === null ? OK : invalidPolicy(`together with the other policies: ${together}`);
}

function validateEntityChange(
  snapshot: AccessSnapshot,
  reference: EntityReference,
  value: Uint8Array,
): AccessChangeVerdict {
  const name = `entity ${showEntity(reference)}`;
  const entity = parseEntity(value);
  if ('fault' in entity) return invalidEntity(`${name}: ${entity.fault}`);
  const fault =
    ancestryFault(snapshot, reference, entity.parents) ??
    validateEntity(reference, JSON.parse(decoder.decode(value)));
  return fault === null ? OK : invalidEntity(`${name}: ${fault}`);
}

/** Walks up from the new parents: the entity must not be its own ancestor, nor have more than a decision can take. */
function ancestryFault(
  snapshot: AccessSnapshot,
  reference: EntityReference,
  parents: readonly EntityReference[],
): string | null {
  const own = entityKey(reference);
  const seen = new Set<string>();
  const waiting = [...parents];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const key = entityKey(next);
    if (key === own) return 'it would be its own ancestor';
    if (seen.has(key)) continue;
    seen.add(key);
    if (seen.size >= SLICE_ENTITIES_MAX) return `it would have ${SLICE_ENTITIES_MAX} ancestors or more`;
    const entry = snapshot.get(key);
    const parent = entry === undefined ? undefined : parsedEntity(entry);
    if (parent !== undefined && 'parents' in parent) waiting.push(...parent.parents);
  }
  return null;
}

function invalidPolicy(message: string): AccessChangeVerdict {
  return { ok: false, code: 'INVALID_POLICY', message: clip(message) };
}
function invalidEntity(message: string): AccessChangeVerdict {
  return { ok: false, code: 'INVALID_ENTITY', message: clip(message) };
}
