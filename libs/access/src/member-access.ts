import type { Operation } from '@quorate/kv';
import { AccessEngine } from './engine.js';
import { accessSnapshot } from './snapshot.js';
import type { AccessState, CheckRequest, Decision } from './types.js';
import { type AccessChangeFault, validateAccessChange } from './validate-change.js';

/**
 * What a member's request handler needs of access. Every call looks at the state as it is then, and is
 * synchronous.
 */
export interface MemberAccess {
  /** Never throws; a refusal to decide is a denial that says so. */
  decide(state: AccessState, check: CheckRequest): Decision;
  /** Why a change of the namespace `access` may not be proposed; null: it may. */
  changeFault(state: AccessState, operation: Operation): AccessChangeFault | null;
}

/**
 * The one wiring of decisions and validation to a state machine, for real members and for simulated ones. One
 * for each member.
 */
export function memberAccess(): MemberAccess {
  const engine = new AccessEngine();
  return {
    decide: (state, check) => engine.decide(accessSnapshot(state), check),
    changeFault: (state, operation) => {
      const verdict = validateAccessChange(accessSnapshot(state), operation);
      return verdict.ok ? null : { code: verdict.code, message: `${verdict.message}.` };
    },
  };
}
