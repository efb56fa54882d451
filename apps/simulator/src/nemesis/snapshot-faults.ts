import type { SimulatedMember } from '../member.js';
import { bothWays, pickRunningMember, restartLater, type FaultContext } from './context.js';

const DEADLINE_MS = 2_000;
/** So often it is looked whether the member has begun to fetch, for so long. */
const LOOK_MS = 5;
const LOOKS_MAX = 600;
/** So often the others take snapshots while the member is away, and for so long at most. */
const SNAPSHOT_EVERY_MS = 200;
const AWAY_MS_MAX = 4_000;
const STRUCK = 'fetch of a snapshot struck';

/**
 * A member is left behind until it needs a snapshot, and is struck in the middle of fetching it: transfers are short, and no other fault
 * would often come just then. The others snapshot at the same moments, so that another leader may well have the same one.
 */
export function interruptFetch(context: FaultContext): void {
  const { random, cluster, network, fault, later, undoLater } = context;
  const member = pickRunningMember(context);
  if (member === null || cluster.members.length < 3 || member === cluster.leader) return;
  const others = cluster.members.filter((other) => other !== member);
  const { name } = member.host;
  fault('member left behind', `${name} is left behind until it needs a snapshot`);
  const links = bothWays(
    [name],
    others.map(({ host }) => host.name),
  );
  for (const [from, to] of links) network.cut(from, to);
  const mend = (): void => {
    for (const [from, to] of links) network.mend(from, to);
  };
  undoLater(AWAY_MS_MAX, mend);
  const slowMs = random.pick([5, 20, 100]);
  const comeBack = (): void => {
    mend();
    for (const [from, to] of links) network.slow(from, to, slowMs);
    strikeWhenFetching(context, member, LOOKS_MAX);
    undoLater(LOOK_MS * LOOKS_MAX, () => {
      for (const [from, to] of links) network.slow(from, to, 0);
    });
  };
  // The log behind the last snapshot but one is kept, so it takes two of them, with commits between them.
  const look = (looks: number): void => {
    if (looks === 0) return;
    if (needsSnapshot(member, cluster.leader)) return comeBack();
    others.forEach(takeSnapshot);
    later(SNAPSHOT_EVERY_MS, () => look(looks - 1));
  };
  look(AWAY_MS_MAX / SNAPSHOT_EVERY_MS);
}

function needsSnapshot({ replica }: SimulatedMember, leader: SimulatedMember | null): boolean {
  const firstIndex = leader?.replica?.raft.firstIndex ?? 0;
  return replica !== null && firstIndex > replica.raft.lastIndex + 1;
}

function takeSnapshot({ host, replica }: SimulatedMember): void {
  host.accept(() => replica?.takeSnapshot(DEADLINE_MS, () => {}));
}

function strikeWhenFetching(context: FaultContext, member: SimulatedMember, looks: number): void {
  const { random, later } = context;
  if (looks === 0) return;
  // Not always at the first chunk.
  if (member.fetchesSnapshot && random.chance(0.3)) return strike(context, member);
  later(LOOK_MS, () => strikeWhenFetching(context, member, looks - 1));
}

function strike(context: FaultContext, member: SimulatedMember): void {
  const { random, cluster, network, fault, undoLater } = context;
  const { leader } = cluster;
  if (leader === null || member === leader) return;
  const [name, leaderName] = [member.host.name, leader.host.name];
  switch (random.pick(['member', 'leader', 'link', 'successor', 'successor'] as const)) {
    case 'member':
      fault(STRUCK, `${name} falls while it fetches a snapshot`);
      member.stop(random.pick(['power', 'process']));
      return restartLater(context, member);
    case 'leader':
      fault(STRUCK, `${leaderName} falls while ${name} fetches a snapshot of it`);
      leader.stop(random.pick(['power', 'process']));
      cluster.peerGone(leader);
      return restartLater(context, leader);
    case 'link': {
      fault(STRUCK, `${name} loses ${leaderName} while it fetches a snapshot`);
      const cuts = bothWays([name], [leaderName]);
      for (const [from, to] of cuts) network.cut(from, to);
      return undoLater(random.exponential(700), () => {
        for (const [from, to] of cuts) network.mend(from, to);
      });
    }
    case 'successor':
      return handOver(context, leader, member);
  }
}

/** Another leads, if possible one with the same snapshot: the member goes on where it stopped. */
function handOver(
  { random, cluster, fault }: FaultContext,
  leader: SimulatedMember,
  member: SimulatedMember,
): void {
  const others = cluster.members.filter(
    (other) => other !== leader && other !== member && other.host.isRunning,
  );
  const indexOf = ({ replica }: SimulatedMember): number => replica?.raft.snapshotPoint?.index ?? 0;
  const equals = others.filter((other) => indexOf(other) === indexOf(leader));
  const candidates = equals.length > 0 ? equals : others;
  if (candidates.length === 0 || !leader.host.isRunning) return;
  const to = random.pick(candidates);
  fault(STRUCK, `${leader.host.name} hands over to ${to.host.name} while ${member.host.name} fetches`);
  leader.host.accept(() => leader.replica?.transfer(to.id, DEADLINE_MS, () => {}));
}
