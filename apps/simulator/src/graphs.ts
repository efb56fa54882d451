import type { SeededRandom } from './random.js';

/**
 * Who reaches whom among `size` members, numbered from 0. An undirected graph has each of its edges in both directions.
 */
export interface ConnectivityGraph {
  readonly size: number;
  /** For each member a bit mask of the members that it reaches. */
  readonly reaches: readonly number[];
}

export type Edge = readonly [number, number];

/** All pairs of members, in one order. */
function pairsOf(size: number): Edge[] {
  const pairs: Edge[] = [];
  for (let one = 0; one < size; one += 1)
    for (let other = one + 1; other < size; other += 1) pairs.push([one, other]);
  return pairs;
}

function graphOf(size: number, edges: readonly Edge[]): ConnectivityGraph {
  const reaches = Array.from({ length: size }, () => 0);
  for (const [from, to] of edges) reaches[from] = (reaches[from] ?? 0) | (1 << to);
  return { size, reaches };
}

function undirected(size: number, edges: readonly Edge[]): ConnectivityGraph {
  return graphOf(
    size,
    edges.flatMap(([one, other]): Edge[] => [
      [one, other],
      [other, one],
    ]),
  );
}

export function mayPass(graph: ConnectivityGraph, from: number, to: number): boolean {
  return ((graph.reaches[from] ?? 0) & (1 << to)) !== 0;
}

function hearEachOther(graph: ConnectivityGraph, one: number, other: number): boolean {
  return mayPass(graph, one, other) && mayPass(graph, other, one);
}

/** All undirected graphs of labelled members: 1,024 of five. */
export function allGraphs(size: number): ConnectivityGraph[] {
  const pairs = pairsOf(size);
  return Array.from({ length: 2 ** pairs.length }, (_, mask) =>
    undirected(
      size,
      pairs.filter((_pair, bit) => (mask & (1 << bit)) !== 0),
    ),
  );
}

function permutations(items: readonly number[]): number[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((first) =>
    permutations(items.filter((item) => item !== first)).map((rest) => [first, ...rest]),
  );
}

/** The graph as one number, its members in the given order. */
function codeOf(graph: ConnectivityGraph, order: readonly number[]): number {
  let code = 0;
  for (const [one, other] of pairsOf(graph.size)) {
    code = code * 2 + (mayPass(graph, order[one] ?? 0, order[other] ?? 0) ? 1 : 0);
  }
  return code;
}

export interface RootedGraph {
  readonly graph: ConnectivityGraph;
  /** Number of the graph up to isomorphism, from 1. */
  readonly shape: number;
  /** Who leads when the links break, from 0. */
  readonly leader: number;
}

/**
 * All undirected graphs with each position of the leader, up to a renaming of the members: 34 graphs of five, 90 with a leader. Members are
 * alike but for who leads, so each of the 1,024 times 5 labelled cases is one of these under other names.
 */
export function rootedGraphs(size: number): RootedGraph[] {
  const orders = permutations(Array.from({ length: size }, (_, member) => member));
  const shapes = new Map<number, number>();
  const seen = new Set<string>();
  const rooted: RootedGraph[] = [];
  for (const graph of allGraphs(size)) {
    const canonical = Math.min(...orders.map((order) => codeOf(graph, order)));
    if (!shapes.has(canonical)) shapes.set(canonical, shapes.size + 1);
    for (let leader = 0; leader < size; leader += 1) {
      const around = orders.filter((order) => order[0] === leader).map((order) => codeOf(graph, order));
      const name = `${canonical}/${Math.min(...around)}`;
      if (seen.has(name)) continue;
      seen.add(name);
      rooted.push({ graph, shape: shapes.get(canonical) ?? 0, leader });
    }
  }
  return rooted;
}

export function randomGraph(random: SeededRandom, size: number): ConnectivityGraph {
  const density = random.between(0.2, 0.9);
  return undirected(
    size,
    pairsOf(size).filter(() => random.chance(density)),
  );
}

export function randomDirectedGraph(random: SeededRandom, size: number): ConnectivityGraph {
  const density = random.between(0.3, 0.95);
  const edges = pairsOf(size).flatMap(([one, other]): Edge[] => [
    [one, other],
    [other, one],
  ]);
  return graphOf(
    size,
    edges.filter(() => random.chance(density)),
  );
}

/** A majority of members of which each hears each, in both directions; null: there is none. */
export function connectedMajority(graph: ConnectivityGraph): readonly number[] | null {
  const { size } = graph;
  const needed = Math.floor(size / 2) + 1;
  for (let mask = 0; mask < 2 ** size; mask += 1) {
    const members = Array.from({ length: size }, (_, member) => member).filter((one) => mask & (1 << one));
    if (members.length !== needed) continue;
    const all = members.every((one) =>
      members.every((other) => one === other || hearEachOther(graph, one, other)),
    );
    if (all) return members;
  }
  return null;
}

/** Is there a member that a majority, itself included, hears and answers? Without one nobody can lead and commit. */
export function hasPossibleLeader(graph: ConnectivityGraph): boolean {
  const members = Array.from({ length: graph.size }, (_, member) => member);
  return members.some((one) => {
    const near = members.filter((other) => one === other || hearEachOther(graph, one, other));
    return near.length > graph.size / 2;
  });
}

/** The links that the graph lacks, by the members' host names. */
export function cutsOfGraph(graph: ConnectivityGraph, names: readonly string[]): [string, string][] {
  return names.flatMap((from, one) =>
    names.flatMap((to, other): [string, string][] =>
      one === other || mayPass(graph, one, other) ? [] : [[from, to]],
    ),
  );
}

/** `1-2 2>3`: members from 1; a dash is an edge in both directions. */
export function describeGraph(graph: ConnectivityGraph): string {
  const edges = pairsOf(graph.size).flatMap(([one, other]) => {
    if (hearEachOther(graph, one, other)) return [`${one + 1}-${other + 1}`];
    if (mayPass(graph, one, other)) return [`${one + 1}>${other + 1}`];
    return mayPass(graph, other, one) ? [`${other + 1}>${one + 1}`] : [];
  });
  return edges.length === 0 ? 'nobody' : edges.join(' ');
}
