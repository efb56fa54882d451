import { encodeCommand } from './codec.js';
import type { Stamps } from './commands.testing.js';
import { commandOf, createNamespace, deleteNamespace, put, remove, setReaders } from './commands.testing.js';
import type { StateMachine, StateMachineOptions } from './state-machine.js';
import type { ApplyResult, Operation } from './types.js';

/** Small enough to be reached, large enough that every table has more than one level. */
export const WIDE: StateMachineOptions = {
  registrationsMax: 150,
  answersPerClientMax: 8,
  idempotencyKeysMax: 200,
};

const NAMESPACES = 80;
const KEYS = 120;

/** A command over many namespaces, keys, clients and idempotency keys, applied to each machine at its next index. */
export function wideStep(
  random: (bound: number) => number,
  machines: readonly StateMachine[],
  timeMs: number,
): ApplyResult[] {
  const choice = random(40);
  if (choice === 0) {
    for (const machine of machines) machine.applyNoop(machine.appliedIndex + 1);
    return [];
  }
  const command =
    choice < 4
      ? commandOf('register', { timeMs })
      : commandOf(operationOf(random, choice), stampsOf(random, timeMs));
  const bytes = encodeCommand(command);
  return machines.map((machine) => machine.apply(machine.appliedIndex + 1, bytes));
}

function operationOf(random: (bound: number) => number, choice: number): Operation {
  const namespace = `n${random(random(2) === 0 ? 3 : NAMESPACES)}`;
  if (choice < 9) return createNamespace(namespace, random(20) === 0 ? 'strict' : 'cached');
  if (choice === 9) return deleteNamespace(namespace);
  if (choice === 10) return setReaders(namespace, random(2) === 0 ? null : [`p${random(9)}`]);
  const key = `key ${random(KEYS)}`;
  if (choice < 18) return remove(namespace, key);
  return put(namespace, key, new Uint8Array(random(1_200)).fill(random(256)));
}

function stampsOf(random: (bound: number) => number, timeMs: number): Stamps {
  const sequence = 1 + random(30);
  const completedThrough = Math.max(0, sequence - 1 - random(8));
  return {
    timeMs,
    ...(random(2) === 0 ? { registration: { clientId: 1 + random(400), sequence, completedThrough } } : {}),
    ...(random(2) === 0 ? { idempotency: { key: `i${random(600)}` } } : {}),
  };
}
