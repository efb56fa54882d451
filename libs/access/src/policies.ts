import type * as cedar from '@cedar-policy/cedar-wasm/nodejs';
import { isWellFormed } from '@quorate/kv';
import { useCedar } from './cedar.js';
import { clip, entityReference, isRecord } from './json.js';
import { POLICY_BYTES_MAX } from './limits.js';
import { policyShape } from './policy-shape.js';
import type { EntityReference } from './types.js';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of a policy from a stored value, which is a JSON string; null for anything else. */
export function policyText(value: Uint8Array): string | null {
  try {
    const text: unknown = JSON.parse(decoder.decode(value));
    return typeof text === 'string' ? text : null;
  } catch {
    return null;
  }
}

// Cedar never frees a parsed set; under this one id each replaces the last. Not the engine's: that stays parsed.
const VALIDATED_SET_ID = 'quorate-access-validated';

/** What is wrong with the text of a policy, in Cedar's words where they are Cedar's; null: nothing. Never throws. */
export function validatePolicy(text: string): string | null {
  if (policyBytes(text) > POLICY_BYTES_MAX) return 'the policy is longer than 64 KiB';
  if (!isWellFormed(text)) return 'the policy is not well-formed text';
  const shape = policyShape(text);
  if (shape.fault !== null) return shape.fault;
  return faultOf(() => {
    const parts = useCedar((instance) => instance.policySetTextToParts(text));
    if (parts.type === 'failure') return cedarMessage(parts.errors);
    if (parts.policy_templates.length > 0) return 'templates (?principal, ?resource) are not supported';
    if (parts.policies.length !== 1) {
      return `exactly one policy is needed under one id, but there are ${parts.policies.length}`;
    }
    const parsed = useCedar((instance) => instance.checkParsePolicySet({ staticPolicies: { policy: text } }));
    if (parsed.type === 'failure') return cedarMessage(parsed.errors);
    entitiesNamedBy(text);
    return null;
  });
}

/**
 * What is wrong with all policies together; null: nothing. Never throws. Goes all the way that a decision goes, with a
 * request about nobody: what Cedar cannot evaluate must be found before it is stored, not by the next check.
 */
export function validatePolicySet(policies: Readonly<Record<string, string>>): string | null {
  return faultOf(() => {
    const parsed = useCedar((instance) =>
      instance.preparsePolicySet(VALIDATED_SET_ID, { staticPolicies: { ...policies } }),
    );
    if (parsed.type === 'failure') return cedarMessage(parsed.errors);
    const answer = useCedar((instance) =>
      instance.statefulIsAuthorized({
        preparsedPolicySetId: VALIDATED_SET_ID,
        principal: { type: 'Nobody', id: 'nobody' },
        action: { type: 'Action', id: 'nothing' },
        resource: { type: 'Nothing', id: 'nothing' },
        context: {},
        entities: [],
      }),
    );
    // Policies that err are fine here: there are no entities for them.
    return answer.type === 'failure' ? cedarMessage(answer.errors) : null;
  });
}

/** In bytes of UTF-8. */
export function policyBytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** An exception as a fault: of Cedar's, and of the stack, which may be nearly full where this is called. */
export function faultOf(look: () => string | null): string | null {
  try {
    return look();
  } catch (error) {
    return clip(`Cedar cannot take it: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Cedar's first error as one line, clipped: it may quote all that it was given. */
export function cedarMessage(errors: readonly cedar.DetailedError[]): string {
  const [error] = errors;
  if (error === undefined) return 'Cedar gave no message';
  const place = error.sourceLocations?.[0];
  const at = place === undefined ? '' : ` at character ${place.start}`;
  const label = place?.label ? ` (${place.label})` : '';
  const help = error.help ? `; ${error.help}` : '';
  const message = error.message.replace(/^failed to parse policy with id `[^`]*` from string: /, '');
  return clip(`${message}${at}${label}${help}`.replace(/\s+/g, ' '));
}

/**
 * The entities that a policy's conditions name literally and may look into. Without them in the slice,
 * `forbid ... when { User::"x" in Group::"banned" }` would find no parents and quietly not apply. Literals that are
 * merely compared, or stand to the right of `in`, need not be there. `text` must be a valid policy, or this throws.
 */
export function entitiesNamedBy(text: string): readonly EntityReference[] {
  const answer = useCedar((instance) => instance.policyToJson(text));
  if (answer.type === 'failure') throw new Error(cedarMessage(answer.errors));
  const found: EntityReference[] = [];
  const waiting: unknown[] = answer.json.conditions.map((condition) => condition.body);
  while (waiting.length > 0) {
    const node = waiting.pop();
    if (typeof node !== 'object' || node === null) continue;
    for (const [operator, operand] of Object.entries(node)) {
      const reference = operator === '__entity' ? entityReference(operand) : null;
      if (reference !== null) found.push(reference);
      else if (operator === 'in' && isBinary(operand))
        waiting.push(operand.left, notMerelyValues(operand.right));
      else if ((operator === '==' || operator === '!=') && isBinary(operand)) {
        waiting.push(notMerelyValues(operand.left), notMerelyValues(operand.right));
      } else waiting.push(operand);
    }
  }
  return found;
}

/** A record literal may have a field that is called like an operator: only operands tell the two apart. */
function isBinary(operand: unknown): operand is { left: unknown; right: unknown } {
  return isRecord(operand) && 'left' in operand && 'right' in operand;
}

/** The node, or null when it is a value or a set of values: nothing can be looked into there. */
function notMerelyValues(node: unknown): unknown {
  if (!isRecord(node)) return node;
  const set = node['Set'];
  const merely =
    'Value' in node || (Array.isArray(set) && set.every((member) => isRecord(member) && 'Value' in member));
  return merely ? null : node;
}
