import { setTimeout as sleep } from 'node:timers/promises';
import { randomOf } from '../../bench/soak-plan.js';
import { until } from '../rest.js';
import { ChaosClient } from './client.js';
import type { ChaosCluster, DriverName } from './cluster.js';
import { type Held, type Observation, numberOf, observe } from './expectations.js';
import { type Fault, type Part, describeFault } from './fault.js';
import type { Recorder } from './history.js';
import type { FaultSpan, Operation } from './operation.js';
import { type Plan, type Step, castFault, doCollide, touchedBy } from './plan.js';
import { type JudgeContext, type Verdict, judge } from './verdict.js';
import type { Workload } from './workload.js';

export interface RunOptions {
  /** All of it is ready. It is not destroyed. */
  readonly cluster: ChaosCluster;
  readonly plan: Plan;
  readonly workloads: readonly Workload[];
  /** Its clock is `nowMs`. */
  readonly recorder: Recorder;
  /** Milliseconds of a monotonic clock since the beginning of the run. */
  readonly nowMs: () => number;
  readonly seed: number;
  /** Of all clients together, so that a history can still be checked. */
  readonly requestsPerSecondMax: number;
  /** The run ends orderly when there are so many. */
  readonly operationsMax: number;
  readonly recoveryTimeoutMs?: number;
  /** Aborted: everything is healed, and what there is is judged. */
  readonly signal?: AbortSignal;
  tell(line: string): void;
}

export interface ChaosResult {
  readonly plan: Plan;
  readonly driver: DriverName;
  readonly gateways: readonly Part[];
  readonly seed: number;
  readonly workloads: readonly string[];
  readonly lengthMs: number;
  readonly operations: readonly Operation[];
  readonly faults: readonly FaultSpan[];
  readonly observations: readonly Observation[];
  /** Faults of a random plan that could not begin at their time, and why. */
  readonly leftOut: readonly string[];
  /** From the end of the last fault until all was ready and strict requests were answered at every gateway; null: not in time. */
  readonly recoveryMs: number | null;
  /** What processes said of invariants that broke. */
  readonly brokenInvariants: readonly string[];
  /** What went wrong with the run itself; empty: nothing. */
  readonly failures: readonly string[];
  readonly isInterrupted: boolean;
  readonly verdict: Verdict;
}

/** No violation, everything seen that was expected, and the run itself went as planned. */
export function isPassed({ verdict, observations, failures }: ChaosResult): boolean {
  return verdict.violations.length === 0 && observations.every(({ isMet }) => isMet) && failures.length === 0;
}

/** A busy machine takes longer to start a process: none is asked for more than what this one was seen to need. */
export function judgeContext(
  gateways: readonly Part[],
  recoveryMs: number | null,
  brokenInvariants: readonly string[],
): JudgeContext {
  return {
    brokenInvariants,
    gateways: gateways.map(numberOf),
    settleMs: Math.max(SETTLE_MS, (recoveryMs ?? 0) + SETTLE_MARGIN_MS),
  };
}

const SETTLE_MS = 10_000;
const SETTLE_MARGIN_MS = 2_000;
const RECOVERY_TIMEOUT_MS = 90_000;
/** Longer than a client waits for an answer. */
const CLIENTS_END_TIMEOUT_MS = 60_000;
const POLL_MS = 50;
const LEADER_TIMEOUT_MS = 3_000;

/** A fault that has begun. */
interface Live {
  readonly fault: Fault;
  readonly span: FaultSpan;
  readonly end: () => Promise<void>;
}

/**
 * Workloads go on while the faults of the plan begin and end; then everything is healed, all has to be ready again, each workload reads what it needs, and
 * the whole history is judged. Never rejects: what went wrong is in `failures`.
 */
export async function runChaos(options: RunOptions): Promise<ChaosResult> {
  const run = new Run(options);
  try {
    await run.carryOut();
  } catch (error) {
    run.failures.push(sentenceOf(error));
  }
  await run.lookAtInvariants();
  return run.result();
}

class Run {
  readonly failures: string[] = [];
  readonly #options: RunOptions;
  readonly #faults: FaultSpan[] = [];
  readonly #observations: Observation[] = [];
  readonly #leftOut: string[] = [];
  readonly #live = new Set<Live>();
  readonly #endings: Promise<void>[] = [];
  /** Aborted: no more faults begin, and those in force are ended now. */
  readonly #stop = new AbortController();
  #isTraffic = true;
  #carriedOut = 0;
  #beganMs = 0;
  #leader: Part | null = null;
  #recoveryMs: number | null = null;
  #brokenInvariants: readonly string[] = [];

  constructor(options: RunOptions) {
    this.#options = options;
    const { signal } = options;
    if (signal?.aborted === true) this.#stop.abort();
    signal?.addEventListener('abort', () => this.#stop.abort(), { once: true });
  }

  async carryOut(): Promise<void> {
    const { workloads, nowMs, plan } = this.#options;
    for (const workload of workloads) {
      await this.#withClient(workload, 'prepare', (client) => workload.prepare(client));
    }
    this.#beganMs = nowMs();
    const pacer = new Pacer(this.#options.requestsPerSecondMax, this.#options.recorder, nowMs);
    const clients = workloads.flatMap((workload) =>
      Array.from({ length: workload.clients }, (_, number) => this.#runClient(workload, number, pacer)),
    );
    await this.#runPlan(plan).catch((error: unknown) => this.#fail(sentenceOf(error)));
    this.#stop.abort();
    await Promise.all(this.#endings);
    await this.#recover();
    this.#isTraffic = false;
    await this.#clientsEnded(clients);
    this.#tell(`${this.#options.recorder.operations.length} operations; the last reads`);
    for (const workload of workloads) {
      await this.#withClient(workload, 'finish', (client) => workload.finish(client));
    }
  }

  async lookAtInvariants(): Promise<void> {
    try {
      this.#brokenInvariants = (await this.#options.cluster.brokenInvariants?.()) ?? [];
    } catch (error) {
      this.#fail(`the logs could not be read: ${sentenceOf(error)}`);
    }
  }

  result(): ChaosResult {
    const { cluster, plan, workloads, recorder, nowMs, seed, signal } = this.#options;
    const operations = recorder.operations.toSorted((one, other) => one.id - other.id);
    return {
      plan,
      driver: cluster.driver,
      gateways: cluster.gateways,
      seed,
      workloads: workloads.map(({ name }) => name),
      lengthMs: nowMs(),
      operations,
      faults: this.#faults,
      observations: this.#observations,
      leftOut: this.#leftOut,
      recoveryMs: this.#recoveryMs,
      brokenInvariants: this.#brokenInvariants,
      failures: this.failures,
      isInterrupted: signal?.aborted === true,
      verdict: judge(
        workloads,
        operations,
        this.#faults,
        judgeContext(cluster.gateways, this.#recoveryMs, this.#brokenInvariants),
      ),
    };
  }

  async #runPlan({ kind, steps, lengthMs }: Plan): Promise<void> {
    let lateMs = 0;
    for (const step of steps) {
      await this.#waitUntil(step.atMs + lateMs);
      if (step.whenReady && !this.#stop.signal.aborted) {
        await Promise.all(this.#endings);
        await this.#untilReady();
        lateMs = Math.max(lateMs, this.#nowMs() - step.atMs);
      }
      if (this.#stop.signal.aborted) break;
      await this.#begin(step);
    }
    await Promise.all(this.#endings);
    await this.#waitUntil(lengthMs + lateMs);
    if (kind === 'scenario' && this.#carriedOut < steps.length) {
      this.#fail(`${steps.length - this.#carriedOut} of ${steps.length} steps were not carried out`);
    }
  }

  /** Since the beginning of the traffic. */
  #nowMs(): number {
    return this.#options.nowMs() - this.#beganMs;
  }

  /** Returns at once when the run is to end. */
  async #waitUntil(atMs: number): Promise<void> {
    const { signal } = this.#stop;
    await sleep(Math.max(0, atMs - this.#nowMs()), null, { signal }).catch(() => null);
  }

  async #begin(step: Step): Promise<void> {
    const cast = await this.#castOf(step);
    const begun = await Promise.allSettled(cast.map((fault) => this.#beginOne(fault)));
    const live = begun.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const fromMs = this.#options.nowMs();
    const isWhole = begun.every(({ status }) => status === 'fulfilled');
    const ending = this.#endLater(step, live, isWhole ? fromMs : null);
    this.#endings.push(ending);
    for (const one of begun) if (one.status === 'rejected') this.#fail(sentenceOf(one.reason));
    if (!isWhole) this.#stop.abort();
  }

  async #castOf(step: Step): Promise<readonly Fault[]> {
    const { cluster, plan } = this.#options;
    this.#leader = (await this.#whoLeads()) ?? this.#leader;
    // A cluster that says nothing of its members is still one whose members are alike.
    const leader = this.#leader ?? cluster.members[0];
    if (leader === undefined) throw new Error('the members of this cluster are not known');
    if (this.#leader === null) this.#tell(`nobody says who leads: taken to be ${leader}`);
    return step.faults.flatMap((planned) => {
      const fault = castFault(planned, cluster, leader);
      const reason = typeof fault === 'string' ? fault : this.#whyNotNow(fault);
      if (reason === null && typeof fault !== 'string') return [fault];
      const text = `${typeof fault === 'string' ? planned.kind : describeFault(fault)}: ${reason}`;
      if (plan.kind === 'scenario') throw new Error(`could not begin: ${text}`);
      this.#leftOut.push(text);
      this.#tell(`left out: ${text}`);
      return [];
    });
  }

  #whyNotNow(fault: Fault): string | null {
    const met = [...this.#live].find((other) => doCollide(fault, other.fault));
    if (met !== undefined) return `it would meet "${met.span.text}"`;
    return this.#options.cluster.whyNot(fault);
  }

  /** A cluster in which much is broken may not answer. */
  async #whoLeads(): Promise<Part | null> {
    return Promise.race([this.#options.cluster.leader(), sleep(LEADER_TIMEOUT_MS, null)]).catch(() => null);
  }

  async #beginOne(fault: Fault): Promise<Live> {
    const text = describeFault(fault);
    const span: FaultSpan = {
      text,
      kind: fault.kind,
      parts: touchedBy(fault),
      // From when it was asked for: what happens meanwhile may be its doing.
      fromMs: this.#options.nowMs(),
      toMs: Infinity,
    };
    this.#faults.push(span);
    this.#tell(text);
    try {
      const live: Live = { fault, span, end: await this.#options.cluster.begin(fault) };
      this.#live.add(live);
      return live;
    } catch (error) {
      throw new Error(`could not begin: ${text}: ${sentenceOf(error)}`, { cause: error });
    }
  }

  /** `fromMs`: since when all faults of the step are in force; null: they are not. */
  async #endLater(step: Step, live: readonly Live[], fromMs: number | null): Promise<void> {
    await this.#waitUntil(this.#nowMs() + step.holdMs);
    const toMs = this.#options.nowMs();
    const isWhole = !this.#stop.signal.aborted;
    // The last first, as they lie on each other.
    for (const one of live.toReversed()) await this.#end(one);
    if (fromMs === null || !isWhole) return;
    this.#carriedOut += 1;
    this.#observe(step, { fromMs, toMs });
  }

  async #end(live: Live): Promise<void> {
    try {
      await live.end();
      this.#tell(`ended: ${live.span.text}`);
    } catch (error) {
      this.#fail(`could not end: ${live.span.text}: ${sentenceOf(error)}`);
      this.#stop.abort();
    }
    live.span.toMs = this.#options.nowMs();
    this.#live.delete(live);
  }

  #observe(step: Step, held: Held): void {
    const { recorder, cluster } = this.#options;
    for (const expectation of step.expect) {
      const gateways = expectation.gateways.filter((gateway) => cluster.gateways.includes(gateway));
      for (const seen of observe({ ...expectation, gateways }, recorder.operations, held)) {
        this.#observations.push(seen);
        this.#tell(`${seen.isMet ? 'as expected' : 'NOT AS EXPECTED'}: ${seen.text}: ${seen.seen}`);
      }
    }
  }

  async #untilReady(): Promise<void> {
    const { cluster, recoveryTimeoutMs = RECOVERY_TIMEOUT_MS } = this.#options;
    const isReady = (): Promise<boolean> => cluster.isReady().catch(() => false);
    await until('all is ready', () => this.#stop.signal.aborted || isReady(), recoveryTimeoutMs);
  }

  /** All is healed: waits until all is ready and every gateway that answered strict requests before does so again. */
  async #recover(): Promise<void> {
    const { cluster, recorder, nowMs, recoveryTimeoutMs = RECOVERY_TIMEOUT_MS } = this.#options;
    const { operations } = recorder;
    const healedMs = nowMs();
    const isOfStore = ({ tier, outcome }: Operation): boolean => tier === 'strict' && outcome === 'done';
    const known = new Set(operations.filter(isOfStore).map(({ gateway }) => gateway));
    const awaited = new Set(cluster.gateways.map(numberOf).filter((gateway) => known.has(gateway)));
    const firstAt = operations.length;
    let isReady = false;
    while (!isReady || awaited.size > 0) {
      if (nowMs() - healedMs > recoveryTimeoutMs) {
        const where = [...awaited].map((gateway) => `gateway${gateway}`).join(', ');
        const what = isReady ? `no strict request is answered at ${where}` : 'not all is ready';
        this.#fail(`${(recoveryTimeoutMs / 1_000).toFixed(0)} s after the end of the last fault: ${what}`);
        return;
      }
      isReady ||= await cluster.isReady().catch(() => false);
      for (const one of operations.slice(firstAt)) if (isOfStore(one)) awaited.delete(one.gateway);
      await sleep(POLL_MS);
    }
    this.#recoveryMs = nowMs() - healedMs;
    this.#tell(`all is well ${(this.#recoveryMs / 1_000).toFixed(1)} s after the end of the last fault`);
  }

  async #runClient(workload: Workload, number: number, pacer: Pacer): Promise<void> {
    const client = this.#connect(workload, String(number));
    try {
      while (this.#isTraffic) {
        await pacer.turn();
        if (!this.#isTraffic) return;
        await workload.step(client, number);
        if (this.#options.recorder.operations.length >= this.#options.operationsMax) this.#stop.abort();
      }
    } catch (error) {
      this.#fail(`workload ${workload.name}, client ${number}: ${sentenceOf(error)}`);
      this.#stop.abort();
    } finally {
      client.close();
    }
  }

  async #clientsEnded(clients: readonly Promise<void>[]): Promise<void> {
    const timer = new AbortController();
    const tooLong = sleep(CLIENTS_END_TIMEOUT_MS, true, { signal: timer.signal }).catch(() => false);
    const isTooLong = await Promise.race([Promise.all(clients).then(() => false), tooLong]);
    timer.abort();
    if (isTooLong) this.#fail(`not within ${CLIENTS_END_TIMEOUT_MS} ms: every client ended`);
  }

  async #withClient(
    workload: Workload,
    what: 'prepare' | 'finish',
    work: (client: ChaosClient) => Promise<void>,
  ): Promise<void> {
    const client = this.#connect(workload, String(workload.clients));
    try {
      await work(client);
    } catch (error) {
      throw new Error(`workload ${workload.name}, ${what}: ${sentenceOf(error)}`, { cause: error });
    } finally {
      client.close();
    }
  }

  #connect({ name }: Workload, client: string): ChaosClient {
    const { cluster, recorder, seed } = this.#options;
    const random = randomOf(hashOf(`${seed} ${name} ${client}`));
    return new ChaosClient({ cluster, recorder, workload: name, client: `${name}/${client}`, random });
  }

  #fail(sentence: string): void {
    this.failures.push(sentence);
    this.#tell(`FAILED: ${sentence}`);
  }

  #tell(line: string): void {
    this.#options.tell(`${(this.#nowMs() / 1_000).toFixed(1).padStart(7)} s  ${line}`);
  }
}

/** Turns of all clients together, no more than so many requests a second on average, however many a step makes. */
class Pacer {
  readonly #intervalMs: number;
  #counted = 0;
  #nextMs = 0;

  constructor(
    requestsPerSecondMax: number,
    private readonly recorder: Recorder,
    private readonly nowMs: () => number,
  ) {
    this.#intervalMs = 1_000 / requestsPerSecondMax;
  }

  async turn(): Promise<void> {
    const sent = this.recorder.operations.length;
    // What was not used while clients waited is lost: it must not become a burst.
    this.#nextMs =
      Math.max(this.#nextMs, this.nowMs()) + this.#intervalMs * Math.max(1, sent - this.#counted);
    this.#counted = Math.max(this.#counted, sent);
    await sleep(this.#nextMs - this.nowMs());
  }
}

function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const character of text) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  }
  return hash >>> 0;
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
