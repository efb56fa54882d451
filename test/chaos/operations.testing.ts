import type { FaultSpan, Operation, Violation } from './operation.js';
import type { Workload } from './workload.js';

/** What a test says of an operation; `ms`: invoked and completed (null: no answer). */
export type Told = Partial<Omit<Operation, 'invokedMs' | 'completedMs'>> & {
  readonly ms: readonly [number, number | null];
};

/** Operations in the order of their invocation, as a recorder numbers them. */
export function historyOf(told: readonly Told[]): Operation[] {
  return told
    .toSorted((one, other) => one.ms[0] - other.ms[0])
    .map(({ ms: [invokedMs, completedMs], ...rest }, at) => ({
      id: at + 1,
      client: 'test/0',
      workload: 'test',
      gateway: 1,
      tier: 'strict',
      action: 'get',
      namespace: 'test',
      key: 'k',
      written: null,
      invokedMs,
      completedMs,
      status: completedMs === null ? null : 200,
      outcome: 'done',
      code: null,
      revision: null,
      attempts: 1,
      level: null,
      head: null,
      stalenessMs: null,
      quorum: null,
      tokenSent: null,
      token: null,
      ...rest,
    }));
}

/** Refused, surely without effect. */
export function refusal(code: string, status = 503): Pick<Operation, 'outcome' | 'code' | 'status'> {
  return { outcome: 'none', code, status };
}

/** A request that was sent and never answered. */
export const NO_ANSWER = { outcome: 'unknown', status: null } as const;

export function spanOf(kind: string, parts: readonly string[], fromMs: number, toMs: number): FaultSpan {
  return { text: `${kind} ${parts.join(', ')}`, kind, parts, fromMs, toMs };
}

/** The promises that a workload's own judge finds broken. */
export function brokenBy(
  workload: Workload,
  told: readonly Told[],
  faults: readonly FaultSpan[] = [],
): readonly string[] {
  return promisesOf(workload.judge(historyOf(told), faults));
}

export function promisesOf(violations: readonly Violation[]): readonly string[] {
  return violations.map(({ promise }) => promise);
}
