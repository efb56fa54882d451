import {
  connectedMajority,
  cutsOfGraph,
  describeGraph,
  hasPossibleLeader,
  type ConnectivityGraph,
} from './graphs.js';
import { begin } from './scenarios.js';
import type { Simulation } from './simulation.js';
import { STRICT_NAMESPACE } from './namespaces.js';

/** In a graph with a fully connected majority a write that is asked for again and again succeeds within this simulated time. */
export const LIVE_WITHIN_MS = 15_000;
const LOAD_MS = 500;
const UNDER_GRAPH_MS = 2_000;
const DEADLINE_PAUSE_MS = 100;

export interface GraphRun {
  readonly description: string;
  /** Some majority is fully connected in both directions: there Raft must be live. */
  readonly mustLive: boolean;
  /** How long it took, simulated milliseconds, until the first write succeeded, and later another one. Null: not within the bound. */
  readonly servedMs: readonly (number | null)[];
  /** Terms that got a leader while the links were broken. */
  readonly elections: number;
}

/**
 * A healthy cluster under load; then only the links of the graph are left between the members, with the present leader at `leader`.
 * Users and the operator reach every member. In the end all links are mended. Safety is judged in any case: throws a violation.
 */
export function runGraph(seed: number, graph: ConnectivityGraph, leader: number): GraphRun {
  const simulation = begin(seed, { memberCount: graph.size, clientCount: 1, operationGapMs: 100 });
  const { world, cluster, network, checkers } = simulation;
  for (const user of simulation.users) user.start();
  world.runUntil(world.nowMs + LOAD_MS);
  const names = cluster.members.map(({ host }) => host.name);
  const leads = cluster.members.findIndex((member) => member === cluster.leader);
  if (leads < 0) world.violation('the scenario', 'a healthy cluster has a leader');
  const atLeader = names[leader] ?? '';
  names[leader] = names[leads] ?? '';
  names[leads] = atLeader;
  const description = `${describeGraph(graph)}, ${leader + 1} leads`;
  world.tell(`from here on the members hear ${description}`);
  for (const [from, to] of cutsOfGraph(graph, names)) network.cut(from, to);
  const electionsBefore = checkers.elections.elections;
  const servedMs: (number | null)[] = [];
  const mustLive = connectedMajority(graph) !== null;
  for (let round = 0; round < 2; round += 1) {
    world.runUntil(world.nowMs + UNDER_GRAPH_MS);
    servedMs.push(serve(simulation));
    // Where nothing is promised, one long wait says enough.
    if (servedMs[round] === null) break;
  }
  if (!hasPossibleLeader(graph) && servedMs[0] !== null) {
    world.violation('no quorum, no write', `a write was acknowledged where ${description}`);
  }
  const elections = checkers.elections.elections - electionsBefore;
  network.mendAll();
  simulation.converge(cluster.members);
  simulation.judge();
  return { description, mustLive, servedMs, elections };
}

/** As an operator would: asks again until it is done. */
function serve({ world, operatorUser }: Simulation): number | null {
  const beganMs = world.nowMs;
  while (world.nowMs < beganMs + LIVE_WITHIN_MS) {
    let outcome: string | null = null;
    operatorUser.put(STRICT_NAMESPACE, 'key-0', undefined, (operation) => (outcome = operation.outcome));
    world.runUntil(beganMs + LIVE_WITHIN_MS, () => outcome !== null);
    if (outcome === 'done') return world.nowMs - beganMs;
    world.runUntil(world.nowMs + DEADLINE_PAUSE_MS);
  }
  return null;
}
