import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { marksOf } from '../../../test/loader/instrument.mjs';
import { FAULTS_COUNTED } from './nemesis/faults.js';
import { simulate } from './simulation.js';
import type { Totals } from './totals.js';

/** The same worlds each time: what they reach is known, and is asserted. */
const SEEDS = 260;
/** Never seen before: each run of CI looks somewhere else. The numbers are printed, and each is a whole world. */
const FRESH_SEEDS = 100;
const FAULT_PHASE_MS = 6_000;
const TIMEOUT_MS = 600_000;

const root = fileURLToPath(new URL('../../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'quorate-simulation-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** `npm run simulate`, as a person would. Resolves with the totals and with what it printed about violations. */
function runSeeds(first: number, count: number): Promise<{ totals: Totals; printed: string }> {
  const file = join(folder, `${first}.json`);
  const numbers = ['--first-seed', first, '--seeds', count, '--fault-phase', FAULT_PHASE_MS].map(String);
  const command = ['--import', './test/loader/register.mjs', 'apps/simulator/src/main.ts', ...numbers];
  return new Promise((resolve) => {
    execFile(process.execPath, [...command, '--json', file], { cwd: root }, (_, __, printed) =>
      resolve({ totals: JSON.parse(readFileSync(file, 'utf8')) as Totals, printed }),
    );
  });
}

/** Every mark of the sources: rare paths of the code under test. */
function marksOfSources(): string[] {
  const rooms = ['libs', 'apps'].flatMap((kind) =>
    readdirSync(join(root, kind)).map((room) => join(root, kind, room, 'src')),
  );
  return rooms
    .flatMap((room) => readdirSync(room, { recursive: true }).map((name) => join(room, String(name))))
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
    .flatMap((path) => marksOf(readFileSync(path, 'utf8')));
}

/** Rare things that worlds tell of themselves. */
const MARKS_OF_WORLDS = [
  'a torn tail was cut off',
  'a wiped member was refused',
  'a damaged log was refused',
  'a damaged log was set aside',
  'a log that could not be read was refused',
  'a member ended itself after a disk fault',
  'a follower was told that its leader is gone',
  'a member was shut down in order',
  'a disk had lied about the last writes: its member stays away',
  'the power went in the middle of a disk operation',
  'the end of the feed was lost',
  'a snapshot of several chunks was fetched',
  'a snapshot was fetched although chunks were lost',
  'a snapshot was fetched from one leader after the other',
  'a member ended with a part of a fetched snapshot on its disk',
  'left for ever: half cut off',
  'left for ever: one-way link',
  'left for ever: flapping link',
  'left for ever: dead',
  'left for ever: frozen',
  'left for ever: suspended',
  'left for ever: disk hangs',
  'left for ever: slow disk',
  'left for ever: wrong clock rate',
];

describe('a cluster with faults, by seed', () => {
  let totals: Totals;
  let printed: string;
  beforeAll(async () => {
    ({ totals, printed } = await runSeeds(1, SEEDS));
  }, TIMEOUT_MS);

  it(`seeds 1 to ${SEEDS} are sound`, () => {
    expect(printed).toBe('');
    expect(totals).toMatchObject({ seeds: SEEDS, violations: [] });
    expect(totals.operations.done).toBeGreaterThan(100_000);
    expect(totals.operations.unknown).toBeGreaterThan(200);
  });

  it('reached every fault', () => {
    expect(Object.keys(totals.faults).toSorted()).toEqual(FAULTS_COUNTED.toSorted());
  });

  it('reached every rare path', () => {
    const marks = [...marksOfSources(), ...MARKS_OF_WORLDS];
    expect(new Set(marks).size).toBe(marks.length);
    expect(marks.length).toBeGreaterThan(50);
    expect(marks.filter((mark) => totals.marks[mark] === undefined)).toEqual([]);
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

it(
  'fresh seeds are sound',
  async () => {
    const first = 1_000_000 + (Math.floor(Date.now() / 1_000) % 1_000_000) * 1_000;
    process.stdout.write(`fresh seeds from ${first} on\n`);
    const { totals, printed } = await runSeeds(first, FRESH_SEEDS);
    expect(printed).toBe('');
    expect(totals).toMatchObject({ seeds: FRESH_SEEDS, violations: [] });
  },
  TIMEOUT_MS,
);

describe('seeds that once found something', () => {
  const regressions = new URL('../regressions/', import.meta.url);
  for (const name of readdirSync(regressions)) {
    it(
      `${name}`,
      () => {
        const seed = Number(/^seed: (\d+)$/m.exec(readFileSync(new URL(name, regressions), 'utf8'))?.[1]);
        expect(simulate(seed).violation).toBeNull();
      },
      TIMEOUT_MS,
    );
  }
});
