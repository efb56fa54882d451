import type { ChaosClient } from './client.js';
import type { FaultSpan, Operation, Violation } from './operation.js';

/**
 * What clients do during a run, and what must be true of it afterwards. One small file each: whatever joins later (transactions, watches,
 * locks) is a file more and a line in `workloads.ts`.
 */
export interface Workload {
  readonly name: string;
  /** How many clients run side by side; each does one step after the other. */
  readonly clients: number;
  /** Namespaces, policies, first values; before any fault. */
  prepare(client: ChaosClient): Promise<void>;
  /** One or a few requests of client `number`. Every request goes through `client`, which records it. */
  step(client: ChaosClient, number: number): Promise<void>;
  /** All is healed and quiet: reads what the verdict needs (final reads are recorded like any other). */
  finish(client: ChaosClient): Promise<void>;
  /** `history`: the operations of this workload in the order of their invocation. */
  judge(history: readonly Operation[], faults: readonly FaultSpan[]): readonly Violation[];
}
