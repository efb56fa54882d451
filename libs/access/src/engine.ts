import type * as cedar from '@cedar-policy/cedar-wasm/nodejs';
import type { Entry, Revision } from '@quorate/kv';
import { cedarGeneration, useCedar } from './cedar.js';
import { showEntity } from './entities.js';
import { clip, entityReference, inspectJson } from './json.js';
import { entityKey, parseAccessKey } from './keys.js';
import { REMEMBERED_DECISIONS_MAX } from './limits.js';
import { cedarMessage, entitiesNamedBy, policyText } from './policies.js';
import { policyShape } from './policy-shape.js';
import { collectSlice } from './slice.js';
import type { AccessSnapshot, CheckRequest, Decision, EntityReference } from './types.js';

// Cedar keeps parsed policy sets per thread under an id and never frees one, so there is a single fixed id. Engines of
// several members in one thread (the simulator) take turns: each parses again when another one was in between.
const POLICY_SET_ID = 'quorate-access';
let policySetHolder: PreparedPolicies | null = null;
// The instance of Cedar that holds them.
let policySetGeneration = -1;

interface PreparedPolicies {
  readonly entries: readonly Entry[];
  readonly texts: Record<string, string>;
  /** Entities that conditions name literally: they belong to every slice. */
  readonly named: readonly EntityReference[];
  /** Not null: no policy can be trusted, every check is denied. */
  readonly fault: string | null;
}

interface Refusal {
  readonly reason: string;
  readonly policies: readonly string[];
}

// An Entry is never mutated; weak, so that it goes with its entry.
const namedByEntry = new WeakMap<Entry, readonly EntityReference[]>();

/**
 * Decides from policies and entities at one revision. Synchronous: between the read barrier and the decision there is
 * no await, so no check sees half a change. Fails closed: whatever is missing, broken or cannot be evaluated is a
 * denial with its reason. One engine belongs to one state machine: it remembers by access revision.
 */
export class AccessEngine {
  /** Of #decisions, and of the policies last compared; null: none yet, or the last attempt failed. */
  #revision: Revision | null = null;
  #prepared: PreparedPolicies | null = null;
  readonly #decisions = new Map<string, Decision>();

  /** Never throws; a refusal to decide is a denial that says so. */
  decide(snapshot: AccessSnapshot, check: CheckRequest): Decision {
    const { revision } = snapshot;
    try {
      const context = inspectJson(check.context);
      if (context.fault !== null)
        return denial(revision, `denied: the context cannot be used: ${context.fault}`);
      const prepared = this.#prepare(snapshot);
      if (prepared.fault !== null) return denial(revision, `denied: ${prepared.fault}`);
      // Within one access revision a check has one answer; #prepare has dropped those of other revisions.
      const memo = JSON.stringify([check.principal, check.action, check.resource, check.context]);
      const remembered = this.#decisions.get(memo);
      if (remembered !== undefined) return remembered;
      const decision = evaluate(snapshot, prepared, check, context.references);
      if (this.#decisions.size >= REMEMBERED_DECISIONS_MAX) this.#decisions.clear();
      this.#decisions.set(memo, decision);
      return decision;
    } catch (error) {
      // A trap in Cedar must not let anyone in. What it held parsed went with the instance, see useCedar.
      const message = error instanceof Error ? error.message : String(error);
      return denial(revision, `denied: the check could not be evaluated: ${message}`);
    }
  }

  #prepare(snapshot: AccessSnapshot): PreparedPolicies {
    let prepared = this.#prepared;
    if (prepared === null || this.#revision !== snapshot.revision) {
      this.#decisions.clear();
      this.#revision = null;
      const entries = [...snapshot.policies()];
      // Most changes are of entities: parsing takes far longer than comparing, and an Entry is never mutated.
      if (prepared === null || !isSameList(prepared.entries, entries)) prepared = readPolicies(entries);
      this.#prepared = prepared;
      this.#revision = snapshot.revision;
    }
    if (prepared.fault !== null) return prepared;
    if (policySetHolder === prepared && policySetGeneration === cedarGeneration()) return prepared;
    policySetHolder = null;
    const staticPolicies = prepared.texts;
    const parsed = useCedar((instance) => instance.preparsePolicySet(POLICY_SET_ID, { staticPolicies }));
    if (parsed.type === 'failure') {
      this.#prepared = {
        ...prepared,
        fault: `the policies cannot be parsed: ${cedarMessage(parsed.errors)}`,
      };
      return this.#prepared;
    }
    policySetHolder = prepared;
    policySetGeneration = cedarGeneration();
    return prepared;
  }
}

function isSameList(left: readonly Entry[], right: readonly Entry[]): boolean {
  return (
    left !== null && left.length === right.length && left.every((entry, index) => entry === right[index])
  );
}

function readPolicies(entries: readonly Entry[]): PreparedPolicies {
  const texts: [string, string][] = [];
  const named: EntityReference[] = [];
  for (const entry of entries) {
    const key = parseAccessKey(entry.key);
    const text = policyText(entry.value);
    if (key?.kind !== 'policy' || text === null) {
      // Leaving it out could leave out a forbid.
      return { entries, texts: {}, named: [], fault: `${entry.key} is not a policy` };
    }
    let references = namedByEntry.get(entry);
    if (references === undefined) {
      // Validated before it was stored, unless by an older release: a trap at each check would be a way to stall.
      const { fault } = policyShape(text);
      if (fault !== null) {
        return { entries, texts: {}, named: [], fault: `policy ${key.id} cannot be used: ${fault}` };
      }
      references = entitiesNamedBy(text);
      namedByEntry.set(entry, references);
    }
    texts.push([key.id, text]);
    named.push(...references);
  }
  return { entries, texts: Object.fromEntries(texts), named, fault: null };
}

function evaluate(
  snapshot: AccessSnapshot,
  prepared: PreparedPolicies,
  check: CheckRequest,
  inContext: readonly EntityReference[],
): Decision {
  const { revision } = snapshot;
  const principal = entityReference(check.principal);
  const resource = entityReference(check.resource);
  const action = entityReference({ type: 'Action', id: check.action });
  if (principal === null || resource === null || action === null) {
    return denial(revision, 'denied: principal, action and resource must be named by type and id');
  }
  const slice = collectSlice(snapshot, [principal, action, resource, ...inContext, ...prepared.named]);
  if (slice.fault !== null) return denial(revision, `denied: ${slice.fault}`);
  if (!slice.keys.has(entityKey(principal))) {
    return denial(revision, `denied: there is no principal ${showEntity(principal)}`);
  }
  if (!slice.keys.has(entityKey(resource))) {
    return denial(revision, `denied: there is no resource ${showEntity(resource)}`);
  }
  const call: cedar.StatefulAuthorizationCall = {
    preparsedPolicySetId: POLICY_SET_ID,
    principal: { ...principal },
    action: { ...action },
    resource: { ...resource },
    // inspectJson has looked through it.
    context: check.context as cedar.Context,
    entities: slice.entities,
  };
  const answer = useCedar((instance) => instance.statefulIsAuthorized(call));
  const refusal = refusalOf(answer);
  if (refusal !== null) return { ...denial(revision, refusal.reason), policies: refusal.policies };
  const policies = answer.type === 'success' ? [...answer.response.diagnostics.reason].sort() : [];
  return { allowed: true, revision, policies, reason: clip(`allowed by ${policyNames(policies)}`) };
}

/** Null only for an allow by a policy without any error on the way. */
function refusalOf(answer: cedar.AuthorizationAnswer): Refusal | null {
  if (answer.type === 'failure') {
    return {
      reason: `denied: the check could not be evaluated: ${cedarMessage(answer.errors)}`,
      policies: [],
    };
  }
  const { decision, diagnostics } = answer.response;
  const [error] = diagnostics.errors;
  // Cedar skips a policy that errs, so an erring forbid would let the request through. Here any error denies.
  if (error !== undefined) {
    const reason = `denied: policy ${error.policyId} could not be evaluated: ${cedarMessage([error.error])}`;
    return { reason, policies: diagnostics.errors.map(({ policyId }) => policyId).sort() };
  }
  const policies = [...diagnostics.reason].sort();
  if (decision !== 'allow') {
    const reason =
      policies.length === 0 ? 'denied: no policy permits it' : `denied by ${policyNames(policies)}`;
    return { reason, policies };
  }
  return policies.length === 0 ? { reason: 'denied: no policy permits it', policies } : null;
}

function policyNames(ids: readonly string[]): string {
  return `${ids.length === 1 ? 'policy' : 'policies'} ${ids.join(', ')}`;
}

function denial(revision: Revision, reason: string): Decision {
  return { allowed: false, revision, policies: [], reason: clip(reason) };
}
