import { revision } from '@quorate/kv';
import type { Change, Revision } from '@quorate/kv';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chainStep } from './chain.js';
import { decodeFeedMessage } from './message.js';
import { FeedPublisher } from './publisher.js';
import type { FeedSource } from './publisher.js';

const KEY = new Uint8Array(32).fill(1);
const CLUSTER = '0000000000000001';

/** Published changes at chosen revisions; those up to `oldest` are compacted. */
class Source implements FeedSource {
  readonly changes: Change[] = [];
  oldest = 0;
  perBatch = 2;

  publish(at: number): void {
    this.changes.push({ type: 'delete', namespace: 'pages', key: `k${at}`, revision: revision(at) });
  }
  get publishedRevision(): Revision {
    return this.#at(this.changes.length - 1);
  }
  publishedChanges(after: Revision, _bytesMax: number, epoch: number) {
    if (after < this.oldest) return { type: 'compacted', oldest: revision(this.oldest) } as const;
    const changes = this.changes.filter((_, index) => this.#at(index) > after).slice(0, this.perBatch);
    const last = changes.at(-1);
    const at = last !== undefined && last.type === 'delete' ? last.revision : after;
    return { type: 'batch', batch: { epoch, previous: after, revision: at, changes } } as const;
  }
  #at(index: number): Revision {
    const change = this.changes[index];
    return change?.type === 'delete' ? change.revision : revision(0);
  }
}

function publisher(): FeedPublisher {
  return new FeedPublisher({ key: KEY, clusterId: CLUSTER, epoch: 1 });
}

function drain(of: FeedPublisher, source: FeedSource) {
  const messages = [];
  for (let bytes = of.next(source); bytes !== null; bytes = of.next(source))
    messages.push(decodeFeedMessage(KEY, CLUSTER, bytes));
  return messages;
}

test('[F10] hands out nothing before it is started, when there is nothing new, and after it was stopped', () => {
  const source = new Source();
  const feed = publisher();
  source.publish(3);
  expect(feed.next(source)).toBeNull();
  feed.start(revision(3));
  expect(drain(feed, source)).toHaveLength(1);
  expect(feed.next(source)).toBeNull();
  source.publish(4);
  feed.stop();
  expect(feed.next(source)).toBeNull();
});

test('[F10] a new leader begins 1,024 revisions before its own newest', () => {
  const feed = publisher();
  feed.start(revision(500));
  expect(feed.cursor).toBe(0);
  feed.start(revision(5000));
  expect(feed.cursor).toBe(5000 - 1024);
});

test('[F10] each message joins on the one before, over holes of strict writes', () => {
  const source = new Source();
  for (const at of [2, 3, 9, 20, 21]) source.publish(at);
  const feed = publisher();
  feed.start(revision(30));
  const links = drain(feed, source).map((message) =>
    message.type === 'batch' ? [message.batch.previous, message.batch.revision] : [],
  );
  expect(links).toEqual([
    [0, 3],
    [3, 20],
    [20, 21],
  ]);
});

test('[F11] over a compacted stretch it jumps and says so', () => {
  const source = new Source();
  for (const at of [2, 3, 9]) source.publish(at);
  source.oldest = 3;
  const feed = publisher();
  feed.start(revision(9));
  expect(drain(feed, source)).toEqual([{ type: 'oversize', epoch: 1, previous: 0, revision: 9 }]);
});

test('[F12] dropped, doubled and reordered messages: with pulls at gaps every consumer converges', () => {
  const fates = fc.array(fc.constantFrom('deliver', 'drop', 'double', 'delay'), {
    minLength: 20,
    maxLength: 40,
  });
  fc.assert(
    fc.property(fates, (fate) => {
      const source = new Source();
      const feed = publisher();
      feed.start(revision(0));
      const applied: string[] = [];
      let last = revision(0);
      const take = (bytes: Uint8Array): void => {
        const message = decodeFeedMessage(KEY, CLUSTER, bytes);
        const batch = message.type === 'batch' ? message.batch : null;
        if (batch === null) throw new Error('only batches here');
        const step = chainStep({ epoch: 1, last }, batch);
        if (step === 'duplicate') return;
        source.perBatch = 1000;
        const { changes } = step === 'apply' ? batch : (source.publishedChanges(last, 0, 1).batch ?? batch);
        source.perBatch = 2;
        for (const change of changes) {
          if (change.type !== 'delete' || change.revision <= last) continue;
          applied.push(change.key);
          last = change.revision;
        }
      };
      let delayed: Uint8Array | null = null;
      fate.forEach((what, index) => {
        source.publish(index * 3 + 1);
        const bytes = feed.next(source);
        if (bytes === null) return;
        if (what === 'delay') delayed = bytes;
        if (what === 'deliver' || what === 'double') take(bytes);
        if (what === 'double') take(bytes);
        if (what === 'deliver' && delayed !== null) take(delayed);
      });
      source.publish(1000);
      const final = feed.next(source);
      if (final !== null) take(final);
      expect(applied).toEqual(source.changes.map((change) => (change.type === 'delete' ? change.key : '')));
    }),
  );
});
