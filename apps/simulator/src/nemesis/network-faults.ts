import { memberId } from '@quorate/raft';
import { cutsOfGraph, describeGraph, randomDirectedGraph, randomGraph } from '../graphs.js';
import { bothWays, pickPair, type Cuts, type FaultContext } from './context.js';

export function partition(context: FaultContext): void {
  const cuts = context.random.pick([split, oneWay, isolateLeader])(context);
  cutForAWhile(context, cuts);
}

function cutForAWhile({ random, network, later, undoLater, tell }: FaultContext, cuts: Cuts): void {
  for (const [from, to] of cuts) network.cut(from, to);
  undoLater(random.exponential(2_000), () => {
    tell(`mended: ${cuts.length} one-way cuts`);
    for (const [from, to] of random.shuffled(cuts)) {
      // One after the other: while some links are back and others not, rare things happen.
      later(random.exponential(50), () => network.mend(from, to));
    }
  });
}

function split({ random, hostNames, fault }: FaultContext): Cuts {
  const names = random.shuffled(hostNames);
  const size = 1 + random.below(names.length - 1);
  const [one, other] = [names.slice(0, size), names.slice(size)];
  fault('partition in two', `partition: ${one.join(' ')} | ${other.join(' ')}`);
  return bothWays(one, other);
}

function oneWay({ random, hostNames, fault }: FaultContext): Cuts {
  const cuts: [string, string][] = [];
  for (const from of hostNames)
    for (const to of hostNames) if (from !== to && random.chance(0.25)) cuts.push([from, to]);
  fault('one-way partition', `one-way cuts: ${cuts.map(([from, to]) => `${from}>${to}`).join(' ')}`);
  return cuts;
}

function isolateLeader({ random, cluster, fault }: FaultContext): Cuts {
  const { leader } = cluster;
  if (leader === null) return [];
  // Its clients may still reach it: a deposed leader that does not know it yet.
  const { name } = leader.host;
  const members = cluster.members.map((member) => member.host.name).filter((other) => other !== name);
  fault('leader isolated', `${name} is cut off from the other members`);
  // By a wall that refuses instead of dropping: then they elect another at once, while this one still leads.
  if (random.chance(0.5)) cluster.peerGone(leader);
  return bothWays([name], members);
}

/** Some pairs of members hear each other, others not: any graph, in some cases with one-way edges. */
export function partialGraph(context: FaultContext): void {
  const { random, cluster, fault } = context;
  const size = cluster.members.length;
  if (size < 3) return;
  const directed = random.chance(0.5);
  const graph = directed ? randomDirectedGraph(random, size) : randomGraph(random, size);
  const names = cluster.members.map((member) => member.host.name);
  fault(directed ? 'directed partial graph' : 'partial graph', `members hear ${describeGraph(graph)}`);
  cutForAWhile(context, cutsOfGraph(graph, names));
}

/** A link that goes and comes many times a second. */
export function flap(context: FaultContext): void {
  const { random, network, fault, later, undoLater } = context;
  const [one, other] = pickPair(context);
  const cuts: Cuts = random.chance(0.3) ? [[one, other]] : bothWays([one], [other]);
  fault('link flaps', `the link ${cuts.length === 1 ? `${one}>${other}` : `${one}-${other}`} flaps`);
  const flapping = startFlapping(random.between(10, 150), cuts, { network, random, later });
  undoLater(random.exponential(3_000), flapping.stop);
}

/** Cuts and mends, again and again, until told to stop. Also for links that never get well. */
export function startFlapping(
  meanMs: number,
  cuts: Cuts,
  { network, random, later }: Pick<FaultContext, 'network' | 'random' | 'later'>,
): { readonly stop: () => void } {
  let isCut = false;
  let stopped = false;
  const turn = (): void => {
    if (stopped) return;
    for (const [from, to] of cuts)
      if (isCut) network.mend(from, to);
      else network.cut(from, to);
    isCut = !isCut;
    later(random.exponential(meanMs), turn);
  };
  turn();
  return {
    stop: () => {
      stopped = true;
      if (isCut) for (const [from, to] of cuts) network.mend(from, to);
    },
  };
}

export function slowLink(context: FaultContext): void {
  const { random, network, fault, undoLater } = context;
  const [one, other] = pickPair(context);
  const meanMs = random.pick([20, 100, 500, 2_000]);
  fault('link slow', `${meanMs} ms more from ${one} to ${other}`);
  network.slow(one, other, meanMs);
  undoLater(random.exponential(3_000), () => network.slow(one, other, 0));
}

/** A link holds back what it carries, and lets it all go at once. */
export function clog(context: FaultContext): void {
  const { random, network, fault, undoLater } = context;
  const [one, other] = pickPair(context);
  fault('link clogged', `${one}>${other} is clogged`);
  network.clog(one, other);
  undoLater(random.exponential(1_500), () => network.unclog(one, other));
}

/** FoundationDB's: some links are clogged one after the other, and unclogged in another order. */
export function swizzle({ random, network, cluster, fault, later, undoLater }: FaultContext): void {
  const names = cluster.members.map((member) => member.host.name);
  if (names.length < 2) return;
  const links = names.flatMap((one) =>
    names.filter((other) => other !== one).map((other) => [one, other] as const),
  );
  const chosen = random.shuffled(links).slice(0, 1 + random.below(links.length));
  fault('links swizzled', `clogged one by one: ${chosen.map(([one, other]) => `${one}>${other}`).join(' ')}`);
  let atMs = 0;
  for (const [one, other] of chosen) {
    atMs += random.exponential(100);
    later(atMs, () => network.clog(one, other));
  }
  for (const [one, other] of random.shuffled(chosen)) {
    atMs += random.exponential(100);
    undoLater(atMs, () => network.unclog(one, other));
  }
}

/** For a moment nearly nothing comes through: everywhere, or of what one host says or hears. */
export function loseBurst({ random, network, hostNames, fault, undoLater }: FaultContext): void {
  const victim = random.chance(0.3) ? null : random.pick(hostNames);
  const links = hostNames.flatMap((from) =>
    hostNames
      .filter((to) => to !== from && (victim === null || victim === from || victim === to))
      .map((to) => [from, to] as const),
  );
  fault('burst of losses', `a burst of losses ${victim === null ? 'everywhere' : `around ${victim}`}`);
  for (const [from, to] of links) network.lose(from, to, 0.9);
  undoLater(random.exponential(300), () => {
    for (const [from, to] of links) network.lose(from, to, 0);
  });
}

/** Connections end and are made anew at once: of one pair, or all of one member. */
export function resetConnections(context: FaultContext): void {
  const { random, cluster, hostNames, fault } = context;
  const member = random.pick(cluster.members);
  const ends = hostNames.filter((name) => name !== member.host.name);
  const chosen = random.chance(0.5) ? [random.pick(ends)] : ends;
  fault('connection reset', `${member.host.name} and ${chosen.join(' ')}: connections reset`);
  for (const end of chosen) {
    cluster.resetConnection(end, member.id);
    const other = cluster.members.find(({ host }) => host.name === end);
    if (other !== undefined) cluster.resetConnection(member.host.name, memberId(other.id));
  }
}

/** Its peers are refused a connection and take the leader for dead, which it is not. */
export function reportLeaderGone({ cluster, fault }: FaultContext): void {
  const { leader } = cluster;
  if (leader === null || cluster.members.length < 2) return;
  fault('leader wrongly taken for gone', `the peers of ${leader.host.name} are told that it is gone`);
  cluster.peerGone(leader);
}
