import type { Fault, Part } from './fault.js';

export type DriverName = 'proxies' | 'namespaces' | 'compose' | 'deployment';

/** A running cluster of real processes, and what can be done to it. One implementation per way of breaking things. */
export interface ChaosCluster {
  readonly driver: DriverName;
  /** `store1`.. */
  readonly members: readonly Part[];
  /** `gateway1`.. */
  readonly gateways: readonly Part[];
  readonly hasNats: boolean;
  /** Where the logs are, for a person. They stay when a run failed. */
  readonly folder: string;
  readonly adminToken: string;
  /** Where clients reach a gateway. Never part of a fault. */
  gatewayAddress(gateway: Part): { readonly host: string; readonly port: number };
  /** Null: it can be done here. Else one sentence that says why not. */
  whyNot(fault: Fault): string | null;
  /** Resolves when the fault is in force, with what ends it; that resolves when it is ended, not when the cluster has recovered. */
  begin(fault: Fault): Promise<() => Promise<void>>;
  /** Who leads in the view of those that answer; null: nobody is known. */
  leader(): Promise<Part | null>;
  /** All members take part, all gateways are ready. */
  isReady(): Promise<boolean>;
  /** What its processes say of invariants that broke, a sentence each. Absent: their logs are out of reach. */
  brokenInvariants?(): Promise<readonly string[]>;
  /** Ends every process that it started and takes away what it made. `keep`: the folder with logs and data stays. */
  destroy(keep: boolean): Promise<void>;
}
