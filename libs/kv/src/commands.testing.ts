import type { ApplyResult, Command, Condition, Operation, RegistrationStamp } from './types.js';
import { revision } from './types.js';
import { encodeCommand } from './codec.js';
import type { StateMachine } from './state-machine.js';

/** Text as bytes. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

const NONE: Condition = { type: 'none' };

/** An unconditional put, unless told otherwise. */
export function put(
  namespace: string,
  key: string,
  value: string | Uint8Array = 'value',
  options: { condition?: Condition; ifNamespaceRevision?: number } = {},
): Operation {
  const bytes = typeof value === 'string' ? utf8(value) : value;
  return { type: 'put', namespace, key, value: bytes, ...target(options) };
}

/** An unconditional delete, unless told otherwise. */
export function remove(
  namespace: string,
  key: string,
  options: { condition?: Condition; ifNamespaceRevision?: number } = {},
): Operation {
  return { type: 'delete', namespace, key, ...target(options) };
}

function target(options: { condition?: Condition; ifNamespaceRevision?: number }) {
  const { condition = NONE, ifNamespaceRevision } = options;
  return {
    condition,
    ifNamespaceRevision: ifNamespaceRevision === undefined ? null : revision(ifNamespaceRevision),
  };
}

export function createNamespace(namespace: string, kind: 'strict' | 'cached' = 'cached'): Operation {
  return { type: 'createNamespace', namespace, kind };
}

export function deleteNamespace(namespace: string): Operation {
  return { type: 'deleteNamespace', namespace };
}

export function setReaders(namespace: string, readers: readonly string[] | null): Operation {
  return { type: 'setReaders', namespace, readers };
}

export interface Stamps {
  readonly ifTokensRevision?: number;
  readonly timeMs?: number;
  readonly registration?: RegistrationStamp;
  readonly idempotency?: { principal?: string; key: string; fingerprint?: string };
}

export function commandOf(operation: Operation | 'register', stamps: Stamps = {}): Command {
  const { timeMs = 0, registration = null, idempotency, ifTokensRevision } = stamps;
  return {
    timeMs,
    registration,
    idempotency:
      idempotency === undefined
        ? null
        : {
            principal: idempotency.principal ?? 'alice',
            key: idempotency.key,
            fingerprint: utf8(idempotency.fingerprint ?? 'f'),
          },
    ifTokensRevision: ifTokensRevision === undefined ? null : revision(ifTokensRevision),
    body: operation === 'register' ? { type: 'register' } : { type: 'operation', operation },
  };
}

/** Applies one command at the next index. */
export function run(
  machine: StateMachine,
  operation: Operation | 'register',
  stamps: Stamps = {},
): ApplyResult {
  return machine.apply(machine.appliedIndex + 1, encodeCommand(commandOf(operation, stamps)));
}

/** The code of a failure, or the type of anything else. */
export function codeOf(result: ApplyResult): string {
  return result.type === 'failed' ? result.code : result.type;
}

/** The same numbers for the same seed: 0 <= n < bound. */
export function seededRandom(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

/** All chunks of a snapshot as one array. */
export function joined(chunks: Iterable<Uint8Array>): Uint8Array {
  return new Uint8Array(Buffer.concat([...chunks]));
}
