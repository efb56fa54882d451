import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { simulate, type SimulationReport } from './simulation.js';

const SEEDS = 208;
const SEEDS_PER_TEST = 16;
const FAULT_PHASE_MS = 6_000;
const TIMEOUT_MS = 240_000;

/** What 208 worlds together must have reached; if one of them is never reached, the worlds have become too tame. */
const FAULTS_EXPECTED = [
  'message lost',
  'message duplicated',
  'message delayed beyond later ones',
  'message cut off by a partition',
  'partition in two',
  'one-way partition',
  'leader isolated',
  'leader falls',
  'process killed',
  'power loss',
  'power loss at a disk operation',
  'power loss everywhere',
  'process frozen',
  'wall clock jumped',
  'sync fails',
  'sync hangs',
  'write fails',
  'disk full',
  'short write',
  'disk wiped',
  'bit flipped',
  'feed message lost',
  'feed message doubled',
  'feed message forged',
  'feed outage',
  'gateway restarted',
];
const MARKS_EXPECTED = [
  'a torn tail was cut off',
  'a wiped member was refused',
  'a damaged log was refused',
  'a member ended itself after a disk fault',
  'the power went in the middle of a disk operation',
  'left for ever: half cut off',
  'left for ever: dead',
  'left for ever: frozen',
  'left for ever: disk hangs',
];

const reports: SimulationReport[] = [];

function run(seed: number): SimulationReport {
  const report = simulate(seed, { faultPhaseMs: FAULT_PHASE_MS });
  reports.push(report);
  return report;
}

/** A failing seed in one line, with the command that shows it. */
function verdict({ seed, violation }: SimulationReport): string {
  if (violation === null) return 'sound';
  const replay = `npm run simulate -- --seed ${seed} --fault-phase ${FAULT_PHASE_MS} --trace`;
  return `${violation.checker}: ${violation.sentence} (${replay})`;
}

describe('a cluster with faults, by seed', () => {
  for (let first = 1; first <= SEEDS; first += SEEDS_PER_TEST) {
    const last = first + SEEDS_PER_TEST - 1;
    it(
      `seeds ${first} to ${last} are sound`,
      () => {
        for (let seed = first; seed <= last; seed += 1) {
          expect({ seed, verdict: verdict(run(seed)) }).toEqual({ seed, verdict: 'sound' });
        }
      },
      TIMEOUT_MS,
    );
  }

  it('reached every fault and every rare path', () => {
    const faults = new Set(reports.flatMap((report) => [...report.faults.keys()]));
    const marks = new Set(reports.flatMap((report) => [...report.marks.keys()]));
    expect([...faults].toSorted()).toEqual(FAULTS_EXPECTED.toSorted());
    for (const mark of MARKS_EXPECTED) expect([...marks]).toContain(mark);
    const done = reports.reduce((sum, report) => sum + report.operations.done, 0);
    const unknown = reports.reduce((sum, report) => sum + report.operations.unknown, 0);
    expect(reports).toHaveLength(SEEDS);
    expect(done).toBeGreaterThan(50_000);
    expect(unknown).toBeGreaterThan(200);
  });

  it('is the same world again for the same seed', () => {
    for (const seed of [3, 14, 15, 92]) {
      const [one, other] = [1, 2].map(() => simulate(seed, { faultPhaseMs: 3_000 }));
      expect(other?.traceHash).toBe(one?.traceHash);
      expect(other?.steps).toBe(one?.steps);
    }
    expect(simulate(3, { faultPhaseMs: 3_000 }).traceHash).not.toBe(
      simulate(4, { faultPhaseMs: 3_000 }).traceHash,
    );
  });
});

describe('seeds that once found something', () => {
  const folder = new URL('../regressions/', import.meta.url);
  for (const name of readdirSync(folder)) {
    it(
      `${name}`,
      () => {
        const seed = Number(/^seed: (\d+)$/m.exec(readFileSync(new URL(name, folder), 'utf8'))?.[1]);
        expect(verdict(simulate(seed))).toBe('sound');
      },
      TIMEOUT_MS,
    );
  }
});
