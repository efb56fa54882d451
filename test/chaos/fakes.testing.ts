import { setTimeout as sleep } from 'node:timers/promises';
import type { ChaosCluster } from './cluster.js';
import { type Fault, type Part, describeFault } from './fault.js';
import type { Recorder } from './history.js';
import type { Operation, Tier } from './operation.js';
import type { Plan, Step } from './plan.js';
import type { Workload } from './workload.js';

/** No processes: it keeps a diary of what is done to it. */
export class FakeCluster implements ChaosCluster {
  readonly driver = 'proxies';
  readonly members: readonly Part[] = ['store1', 'store2', 'store3'];
  readonly gateways: readonly Part[] = ['gateway1', 'gateway2'];
  readonly hasNats: boolean = true;
  readonly folder = 'nowhere';
  readonly adminToken = 'token';
  readonly diary: string[] = [];
  readonly inForce = new Set<Fault>();
  leads: Part | null = 'store2';
  /** The sentence with which the next call of this sort fails. */
  beginFails: string | null = null;
  endFails: string | null = null;
  ready = true;

  gatewayAddress(): { readonly host: string; readonly port: number } {
    return { host: '127.0.0.1', port: 1 };
  }
  whyNot(fault: Fault): string | null {
    return fault.kind === 'diskFull' ? 'there are no disks here' : null;
  }
  async begin(fault: Fault): Promise<() => Promise<void>> {
    await sleep(1);
    if (this.beginFails !== null) throw new Error(this.beginFails);
    this.diary.push(`+ ${describeFault(fault)}`);
    this.inForce.add(fault);
    return async () => {
      await sleep(1);
      this.inForce.delete(fault);
      if (this.endFails !== null) throw new Error(this.endFails);
      this.diary.push(`- ${describeFault(fault)}`);
    };
  }
  async leader(): Promise<Part | null> {
    return this.leads;
  }
  async isReady(): Promise<boolean> {
    return this.ready && this.inForce.size === 0;
  }
  async destroy(): Promise<void> {
    this.diary.push('destroyed');
  }
}

/** Strict requests are refused while anything is in force; content always has an answer, whose age grows meanwhile. */
export class FakeWorkload implements Workload {
  readonly name = 'fake';
  readonly clients = 2;
  readonly calls: string[] = [];
  stepFails: string | null = null;

  constructor(
    private readonly cluster: FakeCluster,
    private readonly recorder: Recorder,
  ) {}

  async prepare(): Promise<void> {
    this.calls.push('prepare');
  }
  async step(_client: unknown, number: number): Promise<void> {
    if (this.stepFails !== null) throw new Error(this.stepFails);
    for (const tier of ['strict', 'content'] as const) await this.#ask(tier, number);
  }
  async finish(): Promise<void> {
    this.calls.push('finish');
  }
  judge(history: readonly Operation[]): readonly [] {
    this.calls.push(`judge ${history.every(({ workload }) => workload === 'fake')}`);
    return [];
  }

  async #ask(tier: Tier, number: number): Promise<void> {
    const complete = this.recorder.begin({
      client: `fake/${number}`,
      workload: 'fake',
      gateway: number + 1,
      tier,
      action: tier === 'strict' ? 'check' : 'page',
      namespace: 'any',
      key: 'any',
      written: null,
      isWrite: false,
    });
    const wasRefused = tier === 'strict' && this.cluster.inForce.size > 0;
    await sleep(1);
    const isRefused = wasRefused || (tier === 'strict' && this.cluster.inForce.size > 0);
    if (isRefused) complete({ outcome: 'none', status: 503, code: 'NO_QUORUM', level: 'linearizable' });
    else complete({ outcome: 'done', status: 200, level: tier === 'strict' ? 'linearizable' : 'eventual' });
  }
}

export function operation(change: Partial<Operation>): Operation {
  return {
    id: 1,
    client: 'fake/0',
    workload: 'fake',
    gateway: 1,
    tier: 'strict',
    action: 'check',
    namespace: 'any',
    key: 'any',
    written: null,
    invokedMs: 0,
    completedMs: 1,
    status: 200,
    outcome: 'done',
    code: null,
    revision: null,
    attempts: 1,
    level: 'linearizable',
    head: null,
    stalenessMs: null,
    quorum: null,
    tokenSent: null,
    token: null,
    ...change,
  };
}

export function planOf(steps: readonly Partial<Step>[], kind: Plan['kind'] = 'scenario'): Plan {
  const whole = steps.map((step): Step => ({
    atMs: 20,
    holdMs: 60,
    faults: [],
    expect: [],
    whenReady: false,
    ...step,
  }));
  return { kind, name: 'fake', sentence: 'A fake.', members: 3, steps: whole, lengthMs: 120 };
}
