import assert from 'node:assert/strict';
import { failure, QuorateError } from '@quorate/api';
import type { StoreRequest, StoreResponse } from '@quorate/api';
import { encodeFeedMessage } from '@quorate/feed';
import { revision } from '@quorate/kv';
import type { Change, Entry } from '@quorate/kv';
import { CachedView } from '@quorate/cache';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Clock } from './environment.js';
import { NearCache, type NearAnswer, type NearCacheLinks, type NearCacheOptions } from './near-cache.js';
import type { StoreWrite } from './store-client.js';

const FEED_KEY = new Uint8Array(32).fill(9);
const CLUSTER = { clusterId: '00000000000000cc', epoch: 1 };

const realClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer: (delayMs, task) => {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

/** A store with one cached and one strict namespace, a millisecond away, and the links to it. */
class FakeLinks implements NearCacheLinks {
  readonly requests: StoreRequest['type'][] = [];
  readonly #entries = new Map<string, Entry>();
  readonly #changes: Change[] = [];
  #onFeed: ((bytes: Uint8Array) => void) | null = null;
  head = 10;
  published = 10;
  epoch = 1;
  down = false;
  feeds = true;
  closed = false;

  readonly client = {
    request: (
      request: StoreRequest,
      _deadlineMs: number,
      callback: (response: StoreResponse) => void,
    ): void => {
      this.requests.push(request.type);
      this.#later(callback, () => this.#answer(request));
    },
    write: (write: StoreWrite, callback: (response: StoreResponse) => void): void =>
      this.#later(callback, () => this.#write(write)),
    ask: (): void => undefined,
  };

  count(type: StoreRequest['type']): number {
    return this.requests.filter((other) => other === type).length;
  }

  /** As another process would: this one learns of it by the feed. */
  put(key: string, text: string): number {
    const previous = this.published;
    this.head += 1;
    this.published = this.head;
    const at = revision(this.head);
    const value = new TextEncoder().encode(text);
    const entry = { namespace: 'content', key, value, revision: at, version: 1, createRevision: at };
    this.#entries.set(key, entry);
    this.#changes.push({ type: 'put', entry });
    const batch = {
      epoch: this.epoch,
      previous: revision(previous),
      revision: at,
      changes: [{ type: 'put', entry } as const],
    };
    if (this.feeds) this.#onFeed?.(encodeFeedMessage(FEED_KEY, { clusterId: CLUSTER.clusterId, batch }));
    return this.head;
  }

  subscribeFeed(onBytes: (bytes: Uint8Array) => void): () => void {
    this.#onFeed = onBytes;
    return () => {
      this.#onFeed = null;
    };
  }

  close(): void {
    this.closed = true;
  }

  #later(callback: (response: StoreResponse) => void, answer: () => StoreResponse): void {
    setTimeout(() => callback(this.down ? failure('STORE_UNREACHABLE') : answer()), 1);
  }

  #write({ operation }: StoreWrite): StoreResponse {
    const key = operation.type === 'put' ? operation.key : 'other';
    const at = revision(
      this.put(key, operation.type === 'put' ? new TextDecoder().decode(operation.value) : ''),
    );
    return { type: 'written', revision: at, created: true, version: 1, createRevision: at, head: at };
  }

  #answer(request: StoreRequest): StoreResponse {
    const { epoch } = this;
    const [head, published] = [revision(this.head), revision(this.published)];
    switch (request.type) {
      case 'feedKey':
        return { type: 'feedKey', key: FEED_KEY };
      case 'probe':
        return { type: 'probed', epoch, head, published };
      case 'fill':
        return { type: 'filled', epoch, revision: head, entry: this.#entries.get(request.key) ?? null };
      case 'changes': {
        const changes = this.#changes.filter(
          (change) => change.type === 'put' && change.entry.revision > request.after,
        );
        const batch = { epoch, previous: request.after, revision: published, changes };
        return { type: 'changes', batch, published };
      }
      case 'resync': {
        const common = { deleted: false, revision: revision(1), createRevision: revision(1), readers: null };
        const namespaces = [
          { ...common, name: 'content', kind: 'cached' } as const,
          { ...common, name: 'limits', kind: 'strict' } as const,
        ];
        return { type: 'resynced', epoch, revision: head, namespaces };
      }
      case 'get': {
        const entry = this.#entries.get(request.key) ?? null;
        return { type: 'entry', entry, kind: request.namespace === 'content' ? 'cached' : 'strict', head };
      }
      default:
        return failure('INVALID_REQUEST');
    }
  }
}

const open: NearCache[] = [];
afterEach(async () => {
  for (const near of open.splice(0)) await near.close();
});

function make(options: Partial<NearCacheOptions> = {}): { links: FakeLinks; near: NearCache } {
  const links = new FakeLinks();
  const near = new NearCache({ links, cluster: CLUSTER, clock: realClock, random: () => 0.5, ...options });
  open.push(near);
  return { links, near };
}

async function start(
  options: Partial<NearCacheOptions> = {},
): Promise<{ links: FakeLinks; near: NearCache }> {
  const made = make(options);
  await made.near.ready();
  // One probe: from now on there is a bound.
  await made.near.read('content', 'home', { level: 'linearizable' });
  return made;
}

function text({ entry }: NearAnswer): string | null {
  return entry === null ? null : new TextDecoder().decode(entry.value);
}

function shown(near: NearCache, key = 'home', namespace = 'content'): string | null {
  const answer = near.get(namespace, key);
  return answer.type === 'hit' ? text(answer) : answer.type;
}

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  const error = await promise.catch((failed: unknown) => failed);
  return error instanceof QuorateError ? error.code : error;
}

describe('get', () => {
  test('says why it shows nothing', async () => {
    const { near } = make();
    expect(shown(near)).toBe('notReady');
    await near.ready();
    expect([shown(near), shown(near, 'home', 'limits')]).toEqual(['miss', 'strict']);
  });

  test('shows what is held, as the feed changes it, with a bound that grows when it is looked at', async () => {
    const { links, near } = await start();
    expect(shown(near)).toBeNull();
    links.put('home', 'one');
    const answer = near.get('content', 'home');
    if (answer.type !== 'hit') throw new Error(answer.type);
    expect([text(answer), answer.revision, answer.epoch, answer.level]).toEqual(['one', 11, 1, 'eventual']);
    const before = answer.stalenessMs ?? Number.NaN;
    links.put('home', 'two');
    await new Promise((resolve) => setTimeout(resolve, 30));
    await near.read('content', 'home', { level: 'linearizable' });
    // The later probe says nothing of the earlier answer.
    expect(answer.stalenessMs).toBeGreaterThanOrEqual(before + 29);
    expect(text(answer)).toBe('one');
    expect(shown(near)).toBe('two');
  });

  test('an answer of a view that is no more has no bound', async () => {
    const { near } = await start();
    const answer = near.get('content', 'home');
    if (answer.type !== 'hit') throw new Error(answer.type);
    expect(answer.stalenessMs).not.toBeNull();
    await near.close();
    expect(answer.stalenessMs).toBeNull();
    expect(shown(near)).toBe('notReady');
  });

  test('own writes are never missed: not shown, until what was written is', async () => {
    const { links, near } = await start();
    links.feeds = false;
    const { revision: at } = await near.client.put('content', 'home', new TextEncoder().encode('mine'));
    expect(shown(near)).toBe('miss');
    const answer = await near.read('content', 'home');
    expect([text(answer), answer.revision >= at]).toEqual(['mine', true]);
    expect(shown(near)).toBe('mine');
  });

  test('a namespace that was created or deleted here counts for all of its keys', async () => {
    const { links, near } = await start();
    links.feeds = false;
    await near.client.deleteNamespace('content');
    expect(shown(near)).toBe('miss');
  });
});

describe('read', () => {
  test('eventual: fills once, then answers from what is held', async () => {
    const { links, near } = await start();
    links.put('about', 'us');
    const answers = await Promise.all([1, 2, 3].map(() => near.read('content', 'about')));
    expect(answers.map(text)).toEqual(['us', 'us', 'us']);
    expect(await near.read('content', 'about')).toMatchObject({ level: 'eventual', revision: 11 });
    // One for `home`, when it started.
    expect(links.count('fill')).toBe(2);
  });

  test('linearizable reads that come together share one probe', async () => {
    const { links, near } = await start();
    links.feeds = false;
    links.put('home', 'new');
    const before = links.count('probe');
    const reads = Array.from({ length: 64 }, () => near.read('content', 'home', { level: 'linearizable' }));
    const answers = await Promise.all(reads);
    expect(new Set(answers.map(text))).toEqual(new Set(['new']));
    expect(answers[0]).toMatchObject({ level: 'linearizable', revision: 11, epoch: 1 });
    expect(links.count('probe') - before).toBe(1);
    expect(links.count('get')).toBe(0);
  });

  test('linearizable reads of what is not held: filled, and each as new as the store', async () => {
    const { links, near } = await start();
    links.feeds = false;
    for (const key of ['a', 'b']) links.put(key, `new ${key}`);
    const before = links.count('get');
    const answers = await Promise.all(
      ['home', 'a', 'b', 'a', 'none'].map((key) => near.read('content', key, { level: 'linearizable' })),
    );
    expect(answers.map(text)).toEqual([null, 'new a', 'new b', 'new a', null]);
    expect(answers.map(({ revision: at }) => at >= 12)).toEqual([true, true, true, true, true]);
    expect(links.count('get')).toBe(before);
  });

  test('too many linearizable reads at once: OVERLOADED, and the others are answered', async () => {
    const { near } = await start();
    const reads = Array.from({ length: 10_002 }, () =>
      near.read('content', 'home', { level: 'linearizable' }),
    );
    const settled = await Promise.allSettled(reads);
    expect(settled.filter(({ status }) => status === 'rejected')).toHaveLength(2);
    expect(await codeOf(reads.at(-1) ?? Promise.resolve())).toBe('OVERLOADED');
    expect(await near.read('content', 'home', { level: 'linearizable' })).toMatchObject({ entry: null });
  });

  test('a view that breaks under a batch: every read goes to the store', async () => {
    const errors: unknown[] = [];
    const { links, near } = await start({ onRebuild: (error) => errors.push(error) });
    const reads = Array.from({ length: 3 }, () => near.read('content', 'home', { level: 'linearizable' }));
    await Promise.resolve();
    vi.spyOn(CachedView.prototype, 'peek').mockImplementationOnce(() => assert.fail('broken'));
    const answers = await Promise.all(reads);
    expect(answers.map(({ level }) => level)).toEqual(['linearizable', 'linearizable', 'linearizable']);
    expect([errors.length, near.counters.rebuilds, links.count('get')]).toEqual([1, 1, 3]);
    await near.ready();
    expect(await near.read('content', 'home', { level: 'linearizable' })).toMatchObject({ entry: null });
  });

  test('bounded: proven, or refused with its reason', async () => {
    const { links, near } = await start();
    const answer = await near.read('content', 'home', { level: 'bounded', boundMs: 1000 });
    expect(answer.stalenessMs).toBeLessThanOrEqual(1000);
    links.down = true;
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await codeOf(near.read('content', 'home', { level: 'bounded', boundMs: 1 }))).toBe(
      'STALENESS_BOUND_EXCEEDED',
    );
  });

  test('session: at least as new as the token, of whatever level', async () => {
    const { links, near } = await start();
    links.feeds = false;
    const seen = { epoch: 1, revision: revision(links.put('home', 'seen')) };
    for (const level of ['session', 'eventual', 'linearizable'] as const) {
      const answer = await near.read('content', 'home', { level, token: seen });
      expect([text(answer), answer.revision >= seen.revision]).toEqual(['seen', true]);
    }
  });

  test('session: a token of another epoch makes the read linearizable, one ahead of the store is an alarm', async () => {
    const { near } = await start({ waitMs: 50 });
    const old = await near.read('content', 'home', {
      level: 'session',
      token: { epoch: 0, revision: revision(99) },
    });
    expect(old.level).toBe('linearizable');
    for (const level of ['session', 'linearizable'] as const) {
      const ahead = near.read('content', 'home', { level, token: { epoch: 1, revision: revision(99) } });
      expect(await codeOf(ahead)).toBe('TOKEN_AHEAD');
    }
  });

  test('what the view cannot answer the store does: strict namespaces, and before the first sync', async () => {
    const { near } = make();
    const early = await near.read('content', 'home');
    expect(early).toMatchObject({ level: 'linearizable', revision: 10, entry: null });
    await near.ready();
    expect(await near.read('limits', 'x')).toMatchObject({ level: 'linearizable', revision: 10 });
  });

  test('without a store: what is held goes on, everything else says why not', async () => {
    const { links, near } = await start({ waitMs: 50 });
    links.down = true;
    expect(await near.read('content', 'home')).toMatchObject({ level: 'eventual', entry: null });
    expect(await codeOf(near.read('content', 'other'))).toBe('CACHE_MISS_UNREACHABLE');
    expect(await codeOf(near.read('content', 'home', { level: 'linearizable' }))).toBe('STORE_UNREACHABLE');
    const token = { epoch: 1, revision: revision(11) };
    expect(await codeOf(near.read('content', 'home', { level: 'session', token }))).toBe('TOKEN_NOT_REACHED');
    await near.close();
    expect(await codeOf(near.read('content', 'home'))).toBe('CACHE_NOT_READY');
    expect(links.closed).toBe(true);
  });
});

describe('input that makes no sense', () => {
  test('is refused, reaches no assertion, and never becomes a weaker read', async () => {
    const errors: unknown[] = [];
    const { near } = await start({ onRebuild: (error) => errors.push(error) });
    // As from JavaScript: no type is in the way.
    const untyped = near as unknown as {
      read(namespace: unknown, key: unknown, options: unknown): Promise<unknown>;
      get(namespace: unknown, key: unknown): unknown;
    };
    const read = (key: unknown, options: unknown): Promise<unknown> => untyped.read('content', key, options);
    expect(await codeOf(read('home', { level: 'strong' }))).toBe('INVALID_REQUEST');
    for (const boundMs of [undefined, Number.NaN, -1])
      expect(await codeOf(read('home', { level: 'bounded', boundMs }))).toBe('INVALID_REQUEST');
    for (const key of [undefined, null, 7])
      expect(await codeOf(read(key, { level: 'linearizable' }))).toBe('INVALID_REQUEST');
    for (const at of [undefined, Number.NaN, -1, 1.5, '7']) {
      const token = { epoch: 1, revision: at };
      expect(await codeOf(read('home', { level: 'session', token }))).toBe('INVALID_CONSISTENCY_TOKEN');
    }
    expect(await near.read('content', '')).toMatchObject({ entry: null });
    expect(untyped.get('content', undefined)).toEqual({ type: 'miss' });
    expect(errors).toEqual([]);
  });
});

describe('start and end', () => {
  test('ready gives up in time', async () => {
    const { links, near } = make();
    links.down = true;
    expect(await codeOf(near.ready(30))).toBe('CACHE_NOT_READY');
    expect(near.state).not.toBe('live');
  });

  test('a feed of its own is used in place of the links, and closed', async () => {
    let onBytes: ((bytes: Uint8Array) => void) | null = null;
    let closed = false;
    const feed = {
      connected: true,
      onConnectedChange: () => undefined,
      subscribe: (listener: (bytes: Uint8Array) => void) => {
        onBytes = listener;
        return () => undefined;
      },
      close: async () => {
        closed = true;
      },
    };
    const { near } = await start({ feed });
    expect(onBytes).not.toBeNull();
    await near.close();
    expect(closed).toBe(true);
  });
});
