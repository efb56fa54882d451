import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  CachedViewDriver,
  type FeedTransport,
  QuorateClient,
  type StoreSource,
  followFeed,
} from '@quorate/client';
import { systemClock } from '@quorate/client/link';
import { connectFeed } from '@quorate/feed/nats';
import { type Values, keyText } from '../values.js';
import type { Adapter, QuorateTarget } from './adapter.js';
import { CACHED_NAMESPACE, openLinks, readCluster, readToken } from './quorate.js';

/** "Seen" is when each of so many caches shows it. */
const VIEWS = 2;

/**
 * The caches of two gateways in the load generator's own process, each with links and a feed of its own as a gateway has them: when the
 * later of them has applied a write, a read at any shows it. As with a peer's watch, nothing is asked again and again, and the clock is
 * one process' own. Writes go over links of their own.
 */
export async function quorateView(target: QuorateTarget, values: Values): Promise<Adapter> {
  const { folder } = target;
  const writeLinks = openLinks(folder, 'client');
  const client = new QuorateClient({ store: writeLinks.client, token: readToken(folder) });
  const sight = new Sight();
  const views = Array.from({ length: VIEWS }, () => openView(target, sight));
  sight.views = views;
  const readAll = (key: number): Promise<unknown> => Promise.all(views.map((view) => view.read(key)));
  const load = (key: number): Promise<unknown> =>
    client.put(CACHED_NAMESPACE, keyText(key), values.stamped(0));
  return {
    operations: { nearRead: readAll },
    load,
    putStamped: async (key, stamp) => {
      const { revision } = await client.put(CACHED_NAMESPACE, keyText(key), values.stamped(stamp));
      sight.expect(Number(revision), stamp);
    },
    watch: async (keys, onSeen) => {
      sight.onSeen = onSeen;
      // Held from now on: what a cache does not hold it need not learn of.
      for (let key = 0; key < keys; key += 1) await readAll(key);
    },
    close: async () => {
      for (const view of views) await view.close();
      writeLinks.close();
    },
  };
}

interface OpenView {
  readonly watermark: number;
  read(key: number): Promise<unknown>;
  close(): Promise<void>;
}

function openView(target: QuorateTarget, sight: Sight): OpenView {
  const { folder } = target;
  const links = openLinks(folder, 'gateway');
  // The view has no event for "applied": look after everything that can make it apply.
  const source: StoreSource = {
    request: (request, deadlineMs, callback) =>
      links.client.request(request, deadlineMs, (response) => {
        callback(response);
        sight.look();
      }),
  };
  const { clusterId } = readCluster(folder);
  const view = new CachedViewDriver({ source, clock: systemClock, random: Math.random, clusterId });
  const feed = { source: natsFeed(target, clusterId), links, clock: systemClock };
  const closeFeed = followFeed(feed, (bytes) => {
    view.receiveFeed(bytes);
    sight.look();
  });
  view.start();
  const read = (key: number): Promise<unknown> =>
    new Promise((resolve, reject) => {
      view.read(CACHED_NAMESPACE, keyText(key), { type: 'eventual' }, (outcome) => {
        if (outcome.type === 'hit') resolve(outcome);
        else reject(new Error(`the view answered ${outcome.type}`));
      });
    });
  return {
    get watermark() {
      return Number(view.watermark ?? 0);
    },
    read,
    close: async () => {
      view.stop();
      await closeFeed();
      links.close();
    },
  };
}

/** When all views had reached which revision, and which stamp each revision wrote: both may be known first. */
class Sight {
  views: readonly OpenView[] = [];
  onSeen: (stamp: number, atMs: number) => void = () => undefined;
  #advances: { readonly revision: number; readonly atMs: number }[] = [];
  #expected: { readonly revision: number; readonly stamp: number }[] = [];

  look(): void {
    const revision = Math.min(...this.views.map(({ watermark }) => watermark));
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

/** Null: the cluster has no NATS, or has it no more. */
function natsFeed({ folder, nats }: QuorateTarget, clusterId: string): FeedTransport | null {
  if (nats === null) return null;
  const pass = readFileSync(join(folder, 'secrets/gateway/nats.password'), 'utf8').trim();
  const servers = [`${nats.host}:${nats.port}`];
  return connectFeed({ servers, user: 'gateway', pass, clusterId, name: 'quorate-bench-feed' });
}
