import type { FaultContext } from './context.js';

export function stopFeed({ random, feed, fault, undoLater }: FaultContext): void {
  fault('feed outage', 'the feed carries nothing');
  feed.down = true;
  undoLater(random.exponential(2_000), () => (feed.down = false));
}

/** The feed falls apart: what is published on one side is not heard on the other. */
export function splitFeed({ random, cluster, gateways, feed, fault, undoLater }: FaultContext): void {
  if (gateways.length === 0) return;
  const publishers = cluster.members.map(({ host }) => host.name);
  const subscribers = gateways.map(({ host }) => host.name);
  const isFar = new Map([...publishers, ...subscribers].map((name) => [name, random.chance(0.5)]));
  const cuts = publishers.flatMap((from) =>
    subscribers.filter((to) => isFar.get(from) !== isFar.get(to)).map((to) => [from, to] as const),
  );
  if (cuts.length === 0) return;
  fault('feed split', `the feed is split: ${cuts.map(([from, to]) => `${from}>${to}`).join(' ')}`);
  for (const [from, to] of cuts) feed.cut(from, to);
  undoLater(random.exponential(3_000), () => {
    for (const [from, to] of cuts) feed.mend(from, to);
  });
}

/** The last messages before a silence are lost: no later one shows the gap. */
export function loseFeedTail({ random, feed, fault }: FaultContext): void {
  const quietMs = random.pick([5, 50, 200]);
  fault('feed tail lost', `the feed loses everything until it was silent for ${quietMs} ms`);
  feed.loseTail(quietMs);
}
