import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CachedViewDriver, QuorateClient, type StoreSource } from '@quorate/client';
import { type StoreLinks, systemClock } from '@quorate/client/link';
import { connectFeed } from '@quorate/feed/nats';
import { type Values, keyText } from '../values.js';
import type { Adapter, QuorateTarget } from './adapter.js';
import { CACHED_NAMESPACE, openLinks, readCluster, readToken } from './quorate.js';

/**
 * A gateway's cache in the load generator's own process, fed as a gateway's is: when it has applied a write, a read at it shows the
 * write. As with a peer's watch, nothing is asked again and again, and the clock is one process' own. Writes go over links of their own.
 */
export async function quorateView(target: QuorateTarget, values: Values): Promise<Adapter> {
  const { folder } = target;
  const links = openLinks(folder, 'gateway');
  const writeLinks = openLinks(folder, 'client');
  const client = new QuorateClient({ store: writeLinks.client, token: readToken(folder) });
  const sight = new Sight();
  // The view has no event for "applied": look after everything that can make it apply.
  const source: StoreSource = {
    request: (request, deadlineMs, callback) =>
      links.client.request(request, deadlineMs, (response) => {
        callback(response);
        sight.look(view);
      }),
  };
  const { clusterId } = readCluster(folder);
  const view = new CachedViewDriver({ source, clock: systemClock, random: Math.random, clusterId });
  const closeFeed = openFeed(target, clusterId, links, (bytes) => {
    view.receiveFeed(bytes);
    sight.look(view);
  });
  view.start();
  const read = (key: number): Promise<unknown> =>
    new Promise((resolve, reject) => {
      view.read(CACHED_NAMESPACE, keyText(key), { type: 'eventual' }, (outcome) => {
        if (outcome.type === 'hit') resolve(outcome);
        else reject(new Error(`the view answered ${outcome.type}`));
      });
    });
  const load = (key: number): Promise<unknown> =>
    client.put(CACHED_NAMESPACE, keyText(key), values.stamped(0));
  return {
    operations: { nearRead: read },
    load,
    putStamped: async (key, stamp) => {
      const { revision } = await client.put(CACHED_NAMESPACE, keyText(key), values.stamped(stamp));
      sight.expect(Number(revision), stamp);
    },
    watch: async (keys, onSeen) => {
      sight.onSeen = onSeen;
      // Held from now on: what a cache does not hold it need not learn of.
      for (let key = 0; key < keys; key += 1) await read(key);
    },
    close: async () => {
      view.stop();
      await closeFeed();
      links.close();
      writeLinks.close();
    },
  };
}

/** When the view reached which revision, and which stamp each revision wrote: both may be known first. */
class Sight {
  onSeen: (stamp: number, atMs: number) => void = () => undefined;
  #advances: { readonly revision: number; readonly atMs: number }[] = [];
  #expected: { readonly revision: number; readonly stamp: number }[] = [];

  look(view: CachedViewDriver): void {
    const revision = Number(view.watermark ?? 0);
    if (revision <= (this.#advances.at(-1)?.revision ?? 0)) return;
    const atMs = performance.now();
    this.#advances = [...this.#advances.slice(-1_000), { revision, atMs }];
    const seen = this.#expected.filter((one) => one.revision <= revision);
    if (seen.length > 0) this.#expected = this.#expected.filter((one) => one.revision > revision);
    for (const { stamp } of seen) this.onSeen(stamp, atMs);
  }

  expect(revision: number, stamp: number): void {
    const advance = this.#advances.find((one) => one.revision >= revision);
    if (advance === undefined) this.#expected.push({ revision, stamp });
    else this.onSeen(stamp, advance.atMs);
  }
}

/** Over NATS when the cluster has one, else over a link: as a gateway does it. */
function openFeed(
  { folder, nats }: QuorateTarget,
  clusterId: string,
  links: StoreLinks,
  onBytes: (bytes: Uint8Array) => void,
): () => Promise<void> {
  if (nats === null) {
    const unsubscribe = links.subscribeFeed(onBytes);
    return async () => unsubscribe();
  }
  const pass = readFileSync(join(folder, 'secrets/gateway/nats.password'), 'utf8').trim();
  const servers = [`${nats.host}:${nats.port}`];
  const feed = connectFeed({ servers, user: 'gateway', pass, clusterId, name: 'quorate-bench-feed' });
  feed.subscribe(onBytes);
  return () => feed.close();
}
