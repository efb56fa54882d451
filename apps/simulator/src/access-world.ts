import { entityKey, policyKey } from '@quorate/access';
import type { CheckRequest } from '@quorate/api';
import type { SeededRandom } from './random.js';

/**
 * The policies and entities of a simulated world, so simple that a decision follows from two memberships: who
 * is of the staff may open the door, unless he is barred. The real engine gets them as Cedar; the checkers
 * look them up by hand.
 */

const STAFF = 'staff';
const BARRED = 'barred';
const DOOR = { type: 'Door', id: 'front' };
const OPEN = 'open';
const PERSONS = ['ada', 'ben', 'eve'];

const PERMIT = `permit (principal in Group::"${STAFF}", action == Action::"${OPEN}", resource);`;
const FORBID = `forbid (principal in Group::"${BARRED}", action, resource);`;

/**
 * A key of the namespace `access`, and what to put there; null: nothing, delete it. `name` is unique in its
 * world, and so is each value.
 */
export interface AccessChange {
  readonly key: string;
  readonly value: string | null;
}

/** What must be there before anybody comes in. */
export function accessFoundation(freshName: () => string): AccessChange[] {
  return [
    policyChange(STAFF, PERMIT, freshName()),
    policyChange(BARRED, FORBID, freshName()),
    { key: entityKey(DOOR), value: entity([], freshName()) },
  ];
}

/** Somebody is granted something, or loses it, or goes. */
export function drawPersonChange(random: SeededRandom, name: string): AccessChange {
  const key = entityKey(user(random.pick(PERSONS)));
  if (random.chance(0.1)) return { key, value: null };
  const groups = [...(random.chance(0.65) ? [STAFF] : []), ...(random.chance(0.25) ? [BARRED] : [])];
  return { key, value: entity(groups, name) };
}

/** One of the two policies is taken away, or written anew. */
export function drawPolicyChange(random: SeededRandom, name: string): AccessChange {
  const [id, text] = random.chance(0.7) ? ([BARRED, FORBID] as const) : ([STAFF, PERMIT] as const);
  if (random.chance(0.4)) return { key: policyKey(id), value: null };
  return policyChange(id, text, name);
}

export function drawCheck(random: SeededRandom): CheckRequest {
  const resource = random.chance(0.95) ? DOOR : { type: 'Door', id: 'none' };
  const action = random.chance(0.9) ? OPEN : 'paint';
  return { principal: user(random.pick(PERSONS)), action, resource, context: {} };
}

/** A check of the person that a change is about. */
export function checkOf(change: AccessChange, random: SeededRandom): CheckRequest {
  const person = PERSONS.find((id) => entityKey(user(id)) === change.key);
  return { ...drawCheck(random), ...(person === undefined ? {} : { principal: user(person) }) };
}

export interface SimpleDecision {
  readonly allowed: boolean;
  readonly policies: readonly string[];
}

/**
 * The decision by hand: no Cedar, no slices, nothing remembered. `value`: what is stored under a key; null:
 * nothing.
 */
export function evaluateSimply(check: CheckRequest, value: (key: string) => string | null): SimpleDecision {
  const person = value(entityKey(check.principal));
  if (person === null || value(entityKey(check.resource)) === null) return { allowed: false, policies: [] };
  const groups = groupsOf(person);
  if (groups.includes(BARRED) && value(policyKey(BARRED)) !== null)
    return { allowed: false, policies: [BARRED] };
  const isStaff = groups.includes(STAFF) && value(policyKey(STAFF)) !== null;
  return isStaff && check.action === OPEN
    ? { allowed: true, policies: [STAFF] }
    : { allowed: false, policies: [] };
}

function user(id: string): { readonly type: string; readonly id: string } {
  return { type: 'User', id };
}

function policyChange(id: string, text: string, name: string): AccessChange {
  return { key: policyKey(id), value: JSON.stringify(`// ${name}\n${text}`) };
}

function entity(groups: readonly string[], name: string): string {
  return JSON.stringify({ attrs: { by: name }, parents: groups.map((id) => ({ type: 'Group', id })) });
}

function groupsOf(value: string): string[] {
  const parsed: unknown = JSON.parse(value);
  if (typeof parsed !== 'object' || parsed === null || !('parents' in parsed)) return [];
  const parents: unknown = parsed.parents;
  return Array.isArray(parents) ? parents.map((parent: { readonly id: string }) => parent.id) : [];
}
