import { describe, expect, it } from 'vitest';
import { runGraph, type GraphRun } from './graph-liveness.js';
import {
  allGraphs,
  connectedMajority,
  cutsOfGraph,
  describeGraph,
  randomDirectedGraph,
  rootedGraphs,
} from './graphs.js';
import { SeededRandom } from './random.js';

const SIZE = 5;
const DIRECTED_GRAPHS = 18;
const runs: { readonly shape: number; readonly run: GraphRun }[] = [];

describe('the graphs', () => {
  it('are 1,024 of five labelled members, 34 up to their names, 90 with a leader', () => {
    expect(allGraphs(SIZE)).toHaveLength(1_024);
    const rooted = rootedGraphs(SIZE);
    expect(new Set(rooted.map(({ shape }) => shape)).size).toBe(34);
    expect(rooted).toHaveLength(90);
    expect([2, 3, 4].map((size) => rootedGraphs(size).length)).toEqual([2, 6, 20]);
  });

  it('know their majorities and their missing links', () => {
    const full = allGraphs(3).at(-1);
    const chain = allGraphs(3).find((graph) => describeGraph(graph) === '1-2 2-3');
    if (full === undefined || chain === undefined) throw new Error('a graph is missing');
    expect(describeGraph(full)).toBe('1-2 1-3 2-3');
    expect(cutsOfGraph(full, ['a', 'b', 'c'])).toEqual([]);
    expect(cutsOfGraph(chain, ['a', 'b', 'c'])).toEqual([
      ['a', 'c'],
      ['c', 'a'],
    ]);
    expect(connectedMajority(chain)).toEqual([0, 1]);
    const oneWay = { size: 3, reaches: [0b010, 0b100, 0b001] };
    expect(describeGraph(oneWay)).toBe('1>2 3>1 2>3');
    expect(connectedMajority(oneWay)).toBeNull();
  });
});

/** Served at first, and still some seconds later. */
function lived({ servedMs }: GraphRun): boolean {
  return servedMs.every((ms) => ms !== null);
}

/** A leader that a broken minority deposes again and again would be one more each election timeout. */
const ELECTIONS_MAX = 3;

/** What is wrong with a run in a graph in which Raft must be live; null: nothing. */
function complaint(run: GraphRun): string | null {
  if (!run.mustLive) return null;
  if (!lived(run)) return `not live: ${run.description}`;
  return run.elections > ELECTIONS_MAX ? `${run.elections} elections: ${run.description}` : null;
}

describe('five members under every graph of links', { timeout: 600_000 }, () => {
  const rooted = rootedGraphs(SIZE);
  for (const shape of new Set(rooted.map((one) => one.shape))) {
    const cases = rooted.filter((one) => one.shape === shape);
    const [first] = cases;
    if (first === undefined) continue;
    const must = connectedMajority(first.graph) === null ? 'sound' : 'sound and live';
    it(`graph ${shape} (${describeGraph(first.graph)}) is ${must}, whoever of them leads`, () => {
      for (const { graph, leader } of cases) {
        const run = runGraph(1_000 * shape + leader, graph, leader);
        runs.push({ shape, run });
        expect(complaint(run)).toBeNull();
      }
    });
  }

  it('measured: which graphs were live although nothing is promised there', () => {
    const dead = new Set(runs.flatMap(({ shape, run }) => (lived(run) ? [] : [shape])));
    const free = new Set(runs.flatMap(({ shape, run }) => (run.mustLive ? [] : [shape])));
    expect(runs).toHaveLength(90);
    // Of 34: 20 are promised to live. Of the other 14 only those die in which no member has a quorum around it.
    expect({ promised: 34 - free.size, dead: [...dead] }).toEqual({ promised: 20, dead: [1, 2, 7] });
  });
});

describe('five members under random one-way links', { timeout: 600_000 }, () => {
  for (let first = 1; first <= DIRECTED_GRAPHS; first += 6) {
    it(`graphs ${first} to ${first + 5} are sound, and live where a majority is fully connected`, () => {
      for (let seed = first; seed < first + 6; seed += 1) {
        const random = new SeededRandom(seed);
        const run = runGraph(100_000 + seed, randomDirectedGraph(random, SIZE), random.below(SIZE));
        expect(complaint(run)).toBeNull();
      }
    });
  }
});
