import { describe, expect, it } from 'vitest';
import { FakeCluster, FakeWorkload, planOf } from './fakes.testing.js';
import { Recorder } from './history.js';
import type { Plan, Step } from './plan.js';
import { type ChaosResult, isPassed, runChaos } from './run.js';

const CUT = { kind: 'cut', from: ['leader'], to: ['follower1', 'follower2'] } as const;
const KILL = { kind: 'kill', parts: ['leader'] } as const;

class Bench {
  readonly cluster = new FakeCluster();
  readonly recorder: Recorder;
  readonly workload: FakeWorkload;
  readonly told: string[] = [];
  readonly interrupt = new AbortController();
  readonly #startedMs = performance.now();

  constructor() {
    this.recorder = new Recorder(() => this.nowMs());
    this.workload = new FakeWorkload(this.cluster, this.recorder);
  }

  nowMs(): number {
    return performance.now() - this.#startedMs;
  }

  run(
    plan: Plan,
    change: { operationsMax?: number; requestsPerSecondMax?: number } = {},
  ): Promise<ChaosResult> {
    return runChaos({
      cluster: this.cluster,
      plan,
      workloads: [this.workload],
      recorder: this.recorder,
      nowMs: () => this.nowMs(),
      seed: 1,
      requestsPerSecondMax: 1_000,
      operationsMax: 10_000,
      recoveryTimeoutMs: 400,
      signal: this.interrupt.signal,
      tell: (line) => this.told.push(line),
      ...change,
    });
  }
}

function steps(...changes: readonly Partial<Step>[]): Plan {
  return planOf(changes);
}

describe('a run', () => {
  it('begins and ends its faults at their times while clients go on, heals, lets workloads finish, and judges', async () => {
    const bench = new Bench();
    const result = await bench.run(
      steps({ holdMs: 400, faults: [CUT] }, { atMs: 60, holdMs: 40, faults: [KILL] }),
    );
    expect(bench.cluster.diary).toEqual([
      '+ store2 cut from store3, store1',
      '+ kill -9 store2',
      '- kill -9 store2',
      '- store2 cut from store3, store1',
    ]);
    expect(result.failures).toEqual([]);
    expect(isPassed(result)).toBe(true);
    expect(bench.workload.calls).toEqual(['prepare', 'finish', 'judge true']);
    expect(result.faults.map(({ kind }) => kind)).toEqual(['cut', 'kill']);
    for (const { fromMs, toMs } of result.faults) expect(toMs - fromMs).toBeGreaterThanOrEqual(19);
    expect(result.recoveryMs).toBeLessThan(300);
    expect(new Set(result.operations.map(({ client }) => client))).toEqual(new Set(['fake/0', 'fake/1']));
    expect(result.operations.length).toBeGreaterThan(20);
  });

  it('what was expected is compared with what was seen', async () => {
    const refused = { kind: 'refused', gateways: ['gateway1', 'gateway2', 'gateway9'] } as const;
    const fresh = { kind: 'fresh', gateways: ['gateway1'], belowMs: 5, settleMs: 0 } as const;
    const result = await new Bench().run(steps({ holdMs: 200, faults: [CUT], expect: [refused, fresh] }));
    expect(result.observations.map(({ isMet }) => isMet)).toEqual([true, true, false]);
    expect(isPassed(result)).toBe(false);
  });

  it('a step that waits for readiness begins after the one before has ended, and moves those after it', async () => {
    const bench = new Bench();
    const waiting = { atMs: 30, holdMs: 10, whenReady: true, faults: [KILL] };
    await bench.run(steps({ faults: [CUT] }, waiting));
    expect(bench.cluster.diary.map((line) => line.slice(0, 8))).toEqual([
      '+ store2',
      '- store2',
      '+ kill -',
      '- kill -',
    ]);
  });

  it('a fault that cannot begin or end fails the run with a sentence; the others are ended', async () => {
    const begins = new Bench();
    const beginning = begins.run(steps({ holdMs: 400, faults: [CUT] }, { atMs: 200, faults: [KILL] }));
    setTimeout(() => (begins.cluster.beginFails = 'no rights'), 30);
    const result = await beginning;
    expect(result.failures).toContain('could not begin: kill -9 store2: no rights');
    expect(begins.cluster.diary.at(-1)).toBe('- store2 cut from store3, store1');
    expect(isPassed(result)).toBe(false);

    const ends = new Bench();
    ends.cluster.endFails = 'still there';
    expect((await ends.run(steps({ faults: [KILL] }))).failures).toContain(
      'could not end: kill -9 store2: still there',
    );
  });

  it('a scenario whose fault cannot be done fails; a random plan leaves it out and says so', async () => {
    const disk = { faults: [{ kind: 'diskFull', part: 'leader' }] } as const;
    const scenario = await new Bench().run(steps(disk));
    expect(scenario.failures[0]).toBe('could not begin: disk of store2 full: there are no disks here');
    const nemesis = await new Bench().run(
      planOf(
        [{ faults: [KILL] }, { atMs: 30, faults: [{ kind: 'pause', parts: ['leader'] }] }, disk],
        'nemesis',
      ),
    );
    expect(nemesis.failures).toEqual([]);
    expect(nemesis.leftOut).toEqual([
      'store2 paused: it would meet "kill -9 store2"',
      'disk of store2 full: it would meet "kill -9 store2"',
    ]);
  });

  it('a cluster that does not come back fails the run, in bounded time', async () => {
    const bench = new Bench();
    const running = bench.run(steps({ faults: [KILL] }));
    setTimeout(() => (bench.cluster.ready = false), 30);
    const result = await running;
    expect(result.recoveryMs).toBeNull();
    expect(result.failures).toEqual(['0 s after the end of the last fault: not all is ready']);
  });

  it('a workload that throws fails the run', async () => {
    const bench = new Bench();
    bench.workload.stepFails = 'a bug';
    const { failures } = await bench.run(steps({ faults: [KILL] }));
    expect(failures).toContain('workload fake, client 0: a bug');
  });

  it('interrupted: faults are ended, and what there is is judged', async () => {
    const bench = new Bench();
    const running = bench.run(steps({ faults: [CUT], holdMs: 60_000 }));
    setTimeout(() => bench.interrupt.abort(), 60);
    const result = await running;
    expect(result.isInterrupted).toBe(true);
    expect(bench.cluster.inForce.size).toBe(0);
    expect(bench.workload.calls).toEqual(['prepare', 'finish', 'judge true']);
    expect(isPassed(result)).toBe(false);
  });

  it('is bounded by count, and by requests a second', async () => {
    const counted = new Bench();
    const plan = planOf([], 'nemesis');
    const few = await counted.run({ ...plan, lengthMs: 60_000 }, { operationsMax: 30 });
    expect(few.operations.length).toBeLessThan(1_000);
    const slow = new Bench();
    const { operations } = await slow.run({ ...plan, lengthMs: 500 }, { requestsPerSecondMax: 40 });
    expect(operations.length).toBeGreaterThan(3);
    expect(operations.length).toBeLessThan(60);
  });
});
