import * as cedar from '@cedar-policy/cedar-wasm/nodejs';
import { isRecord, entityReference } from './json.js';
import { POLICY_BYTES_MAX } from './limits.js';
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

/** What is wrong with the text of a policy, in Cedar's words; null: nothing. */
export function validatePolicy(text: string): string | null {
  if (new TextEncoder().encode(text).length > POLICY_BYTES_MAX) return 'the policy is longer than 64 KiB';
  if (/\p{Surrogate}/u.test(text)) return 'the policy is not well-formed text';
  const parts = cedar.policySetTextToParts(text);
  if (parts.type === 'failure') return cedarMessage(parts.errors);
  if (parts.policy_templates.length > 0) return 'templates (?principal, ?resource) are not supported';
  if (parts.policies.length !== 1) {
    return `exactly one policy is needed under one id, but there are ${parts.policies.length}`;
  }
  const parsed = cedar.checkParsePolicySet({ staticPolicies: { policy: text } });
  return parsed.type === 'failure' ? cedarMessage(parsed.errors) : null;
}

/** What is wrong with all policies together; null: nothing. */
export function validatePolicySet(policies: Readonly<Record<string, string>>): string | null {
  const parsed = cedar.checkParsePolicySet({ staticPolicies: { ...policies } });
  return parsed.type === 'failure' ? cedarMessage(parsed.errors) : null;
}

/** Cedar's first error as one line. */
export function cedarMessage(errors: readonly cedar.DetailedError[]): string {
  const [error] = errors;
  if (error === undefined) return 'Cedar gave no message';
  const place = error.sourceLocations?.[0];
  const at = place === undefined ? '' : ` at character ${place.start}`;
  const label = place?.label ? ` (${place.label})` : '';
  const help = error.help ? `; ${error.help}` : '';
  const message = error.message.replace(/^failed to parse policy with id `[^`]*` from string: /, '');
  return `${message}${at}${label}${help}`.replace(/\s+/g, ' ');
}

/**
 * The entities that a policy's conditions name literally and may look into. Without them in the slice,
 * `forbid ... when { User::"x" in Group::"banned" }` would find no parents and quietly not apply. Literals that are
 * merely compared, or stand to the right of `in`, need not be there. `text` must be a valid policy.
 */
export function entitiesNamedBy(text: string): readonly EntityReference[] {
  const answer = cedar.policyToJson(text);
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
