import type { StoreRequest, StoreResponse } from '@quorate/api';
import { encodeFeedMessage } from '@quorate/feed';
import { revision } from '@quorate/kv';
import type { Entry } from '@quorate/kv';
import { expect, test } from 'vitest';
import { CachedViewDriver } from './cached-view.js';
import type { CachedReadOutcome } from './cached-view.js';
import type { Clock, StoreSource } from './environment.js';

const FEED_KEY = new Uint8Array(32).fill(9);
const CLUSTER = '00000000000000cc';

class FakeClock implements Clock {
  #nowMs = 0;
  #timers: { readonly dueMs: number; readonly task: () => void }[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }
  wallMs(): number {
    return 1_000_000 + this.#nowMs;
  }
  setTimer(delayMs: number, task: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, task };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }
  pass(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ dueMs }) => dueMs <= endMs).toSorted((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.task();
    }
    this.#nowMs = endMs;
  }
  get timers(): number {
    return this.#timers.length;
  }
}

function entryAt(at: number): Entry {
  return {
    namespace: 'pages',
    key: 'home',
    value: new TextEncoder().encode(`home@${at}`),
    revision: revision(at),
    version: 1,
    createRevision: revision(1),
  };
}

/** A store of one entry, whose newest revision is `head`. */
class FakeStore implements StoreSource {
  readonly clock = new FakeClock();
  readonly requests: StoreRequest[] = [];
  head = 10;
  silent = false;
  down = false;
  /** Gives namespaces whole. */
  whole = false;

  request(request: StoreRequest, _deadlineMs: number, callback: (response: StoreResponse) => void): void {
    this.requests.push(request);
    if (this.silent) return;
    this.clock.setTimer(1, () => callback(this.#answer(request)));
  }

  #answer(request: StoreRequest): StoreResponse {
    const head = revision(this.head);
    if (this.down) return { type: 'failed', code: 'STORE_UNREACHABLE', message: '', details: {} };
    switch (request.type) {
      case 'feedKey':
        return { type: 'feedKey', key: FEED_KEY };
      case 'probe':
        return { type: 'probed', epoch: 1, head, published: head };
      case 'fill':
        return { type: 'filled', epoch: 1, revision: head, entry: entryAt(this.head) };
      case 'content':
        if (!this.whole) return { type: 'failed', code: 'NAMESPACE_NOT_FOUND', message: '', details: {} };
        return { type: 'content', epoch: 1, revision: head, entries: [entryAt(this.head)], more: false };
      case 'changes': {
        const changes = [{ type: 'put', entry: entryAt(this.head) } as const];
        const batch = { epoch: 1, previous: request.after, revision: head, changes };
        return { type: 'changes', batch, published: head };
      }
      case 'resync': {
        const record = { name: 'pages', kind: 'cached', deleted: false, readers: null } as const;
        const namespaces = [{ ...record, revision: revision(1), createRevision: revision(1) }];
        return { type: 'resynced', epoch: 1, revision: head, namespaces };
      }
      default:
        return { type: 'failed', code: 'INVALID_REQUEST', message: '', details: {} };
    }
  }
}

function start(whole = false): { store: FakeStore; driver: CachedViewDriver; errors: unknown[] } {
  const store = new FakeStore();
  store.whole = whole;
  const errors: unknown[] = [];
  const driver = new CachedViewDriver({
    source: store,
    clock: store.clock,
    random: () => 0.5,
    clusterId: CLUSTER,
    onRebuild: (error) => errors.push(error),
  });
  driver.start();
  store.clock.pass(10);
  return { store, driver, errors };
}

function text(outcome: CachedReadOutcome | undefined): string | undefined {
  if (outcome === undefined || outcome.type !== 'hit') return outcome?.type;
  return new TextDecoder().decode(outcome.entry?.value);
}

test('syncs, fills, answers from what it holds, and counts', () => {
  const { store, driver } = start();
  expect(driver.state).toBe('live');
  const outcomes: CachedReadOutcome[] = [];
  driver.read('pages', 'home', { type: 'eventual' }, (outcome) => outcomes.push(outcome));
  expect(outcomes).toHaveLength(0);
  store.clock.pass(5);
  driver.read('pages', 'home', { type: 'eventual' }, (outcome) => outcomes.push(outcome));
  expect(outcomes.map(text)).toEqual(['home@10', 'home@10']);
  expect(driver.counters).toMatchObject({ hits: 1, misses: 1, fills: 1, rebuilds: 0 });
  driver.read('limits', 'x', { type: 'eventual' }, (outcome) => outcomes.push(outcome));
  expect(text(outcomes[2])).toBe('strict');
});

test('loads small namespaces whole, and then knows what is not there', () => {
  const { store, driver } = start(true);
  expect(driver.load.wholeNamespaces).toBe(1);
  const outcomes: CachedReadOutcome[] = [];
  const take = (outcome: CachedReadOutcome): number => outcomes.push(outcome);
  driver.read('pages', 'home', { type: 'eventual' }, take);
  driver.read('pages', 'absent', { type: 'eventual' }, take);
  driver.list({ namespace: 'pages', prefix: 'h', limit: 10 }, { type: 'eventual' }, take);
  driver.list({ namespace: 'pages', prefix: '', limit: 10 }, { type: 'eventual' }, take, revision(10));
  driver.list({ namespace: 'limits', prefix: '', limit: 10 }, { type: 'eventual' }, take);
  expect(outcomes).toMatchObject([
    { type: 'hit', entry: { key: 'home' } },
    { type: 'hit', entry: null, revision: 10 },
    { type: 'listed', entries: [{ key: 'home' }], truncated: false, level: 'eventual' },
    { type: 'listed', level: 'session' },
    { type: 'strict' },
  ]);
  expect(store.requests.filter(({ type }) => type === 'fill')).toEqual([]);
});

test('[C26] begins with what an earlier process held once the first sync has failed, and not before', () => {
  const { driver: before } = start(true);
  const held = before.held();
  const store = new FakeStore();
  store.down = true;
  let asked = 0;
  const driver = new CachedViewDriver({
    source: store,
    clock: store.clock,
    random: () => 0.5,
    clusterId: CLUSTER,
    restore: () => {
      asked += 1;
      return held;
    },
  });
  driver.start();
  expect([asked, driver.state]).toEqual([0, 'syncing']);
  store.clock.pass(10);
  expect([asked, driver.state, driver.watermark, driver.stalenessMs]).toEqual([1, 'stale', 10, null]);
  expect(driver.ageMs).toBeGreaterThanOrEqual(0);
  store.clock.pass(10_000);
  expect(asked).toBe(1);
  store.down = false;
  store.head = 12;
  store.whole = true;
  store.clock.pass(5_000);
  expect([driver.state, driver.watermark]).toEqual(['live', 12]);
});

test('takes feed messages with the key that it asked for, and refuses others', () => {
  const { store, driver } = start();
  const outcomes: CachedReadOutcome[] = [];
  driver.read('pages', 'home', { type: 'eventual' }, (outcome) => outcomes.push(outcome));
  store.clock.pass(5);
  const batch = {
    epoch: 1,
    previous: revision(10),
    revision: revision(11),
    changes: [{ type: 'put', entry: entryAt(11) } as const],
  };
  driver.receiveFeed(encodeFeedMessage(new Uint8Array(32), { clusterId: CLUSTER, batch }));
  driver.receiveFeed(new Uint8Array([1, 2, 3]));
  expect(driver.watermark).toBe(10);
  driver.receiveFeed(encodeFeedMessage(FEED_KEY, { clusterId: CLUSTER, batch }));
  expect(driver.watermark).toBe(11);
  driver.read('pages', 'home', { type: 'eventual' }, (outcome) => outcomes.push(outcome));
  expect(text(outcomes[1])).toBe('home@11');
  expect(driver.counters.feedRefused).toEqual({ format: 1, cluster: 0, mac: 1 });
});

test('an own write of a whole namespace holds back what was held of it until it is there', () => {
  const { store, driver } = start();
  const outcomes: CachedReadOutcome[] = [];
  driver.read('pages', 'home', { type: 'eventual' }, (outcome) => outcomes.push(outcome));
  store.clock.pass(5);
  driver.ownWrite('pages', null, revision(11));
  driver.read('pages', 'home', { type: 'eventual' }, (outcome) => outcomes.push(outcome));
  expect(outcomes.map(text)).toEqual(['home@10']);
  store.head = 11;
  store.clock.pass(100);
  expect(outcomes.map(text)).toEqual(['home@10', 'home@11']);
});

test('without any feed it converges by probes and pulls alone', () => {
  const { store, driver } = start();
  driver.read('pages', 'home', { type: 'eventual' }, () => undefined);
  store.clock.pass(5);
  store.head = 14;
  store.clock.pass(1000);
  expect(driver.watermark).toBe(14);
  const outcomes: CachedReadOutcome[] = [];
  driver.read('pages', 'home', { type: 'linearizable' }, (outcome) => outcomes.push(outcome));
  store.clock.pass(5);
  expect(outcomes.map(text)).toEqual(['home@14']);
});

test('a store that is down: held entries go on, the rest is refused or falls back', () => {
  const { store, driver } = start();
  const outcomes: CachedReadOutcome[] = [];
  const keep = (outcome: CachedReadOutcome): number => outcomes.push(outcome);
  driver.read('pages', 'home', { type: 'eventual' }, keep);
  store.clock.pass(5);
  store.down = true;
  driver.read('pages', 'home', { type: 'eventual' }, keep);
  driver.read('pages', 'other', { type: 'eventual' }, keep);
  driver.read('pages', 'home', { type: 'linearizable' }, keep);
  store.clock.pass(5000);
  expect(outcomes.map(text)).toEqual(['home@10', 'home@10', 'refused', 'fallback']);
  expect(driver.state).toBe('stale');
});

test('a source that never answers does not hang the view', () => {
  const { store, driver } = start();
  store.silent = true;
  store.clock.pass(5000);
  store.silent = false;
  store.head = 12;
  store.clock.pass(5000);
  expect(driver.watermark).toBe(12);
  expect(driver.counters.probesFailed).toBeGreaterThan(0);
});

test('a broken invariant: reads fall back, the view is rebuilt and never goes back in time', () => {
  const { store, driver, errors } = start();
  const outcomes: CachedReadOutcome[] = [];
  driver.read('pages', 'other', { type: 'eventual' }, (outcome) => outcomes.push(outcome));
  const monotonicMs = store.clock.monotonicMs.bind(store.clock);
  // A clock that steps back is one of the things that the view asserts.
  store.clock.monotonicMs = () => monotonicMs() - 60_000;
  driver.ownWrite('pages', 'other', revision(15));
  store.clock.monotonicMs = monotonicMs;
  expect([errors.length, driver.counters.rebuilds, outcomes.map(text)]).toEqual([1, 1, ['fallback']]);
  store.head = 9;
  store.clock.pass(2000);
  expect(driver.watermark).toBeNull();
  store.head = 10;
  store.clock.pass(5000);
  expect(driver.watermark).toBe(10);
});

test('a callback that throws does not keep the other commands from going out', () => {
  const { store, driver } = start();
  let answered = 0;
  for (const throws of [true, false]) {
    driver.read('pages', 'home', { type: 'eventual' }, () => {
      answered += 1;
      if (throws) throw new Error('from the caller');
    });
  }
  expect(() => store.clock.pass(5)).toThrow('from the caller');
  expect(answered).toBe(2);
});

test('stop ends the timers and lets every waiting read fall back', () => {
  const { store, driver } = start();
  const outcomes: CachedReadOutcome[] = [];
  driver.read('pages', 'home', { type: 'eventual' }, (outcome) => outcomes.push(outcome));
  driver.stop();
  expect(outcomes.map(text)).toEqual(['fallback']);
  store.clock.pass(10_000);
  expect(store.clock.timers).toBe(0);
  expect(driver.waitingReads).toBe(0);
});

test('readHeld answers from what is held, and never asks the store', () => {
  const { store, driver } = start();
  const fills = (): number => store.requests.filter(({ type }) => type === 'fill').length;
  expect(driver.readHeld('pages', 'home')).toBeNull();
  expect(driver.readHeld('limits', 'home')).toEqual({ type: 'strict' });
  store.clock.pass(1000);
  expect(fills()).toBe(0);
  driver.read('pages', 'home', { type: 'eventual' }, () => undefined);
  store.clock.pass(10);
  expect(fills()).toBe(1);
  expect(text(driver.readHeld('pages', 'home') ?? undefined)).toBe('home@10');
  expect(driver.waitingReads).toBe(0);
});

test('readHeld shows nothing older than an own write, and nothing before the first sync', () => {
  const { store, driver } = start();
  driver.read('pages', 'home', { type: 'eventual' }, () => undefined);
  store.clock.pass(10);
  store.head = 11;
  driver.ownWrite('pages', 'home', revision(11));
  expect(driver.readHeld('pages', 'home')).toBeNull();
  store.clock.pass(1_000);
  expect(text(driver.readHeld('pages', 'home') ?? undefined)).toBe('home@11');

  const early = new FakeStore();
  early.down = true;
  const { clock } = early;
  const unready = new CachedViewDriver({ source: early, clock, random: () => 0.5, clusterId: CLUSTER });
  unready.start();
  clock.pass(10);
  expect(unready.readHeld('pages', 'home')).toEqual({ type: 'refused', code: 'CACHE_NOT_READY' });
});

test('readHeld in the middle of a fill leaves the fill alone', () => {
  const { store, driver } = start();
  const outcomes: CachedReadOutcome[] = [];
  driver.read('pages', 'home', { type: 'eventual' }, (outcome) => outcomes.push(outcome));
  expect(driver.readHeld('pages', 'home')).toBeNull();
  store.clock.pass(10);
  expect(outcomes.map(text)).toEqual(['home@10']);
});

test('tells how far it lies behind the newest head that a probe has told', () => {
  const { store, driver } = start();
  expect(driver.lag).toBe(0);
  store.head = 15;
  driver.read('pages', 'home', { type: 'linearizable' }, () => undefined);
  store.clock.pass(1.5);
  expect(driver.lag).toBe(5);
  store.clock.pass(1000);
  expect(driver.lag).toBe(0);
});

test('tells each advance once, after the reads that waited for it', () => {
  const store = new FakeStore();
  const told: string[] = [];
  const { clock } = store;
  const driver = new CachedViewDriver({
    source: store,
    clock,
    random: () => 0.5,
    clusterId: CLUSTER,
    onAdvance: (at, epoch) => told.push(`${at} of ${epoch}`),
  });
  driver.start();
  clock.pass(100);
  driver.read('pages', 'home', { type: 'eventual' }, () => undefined);
  clock.pass(100);
  expect(told).toEqual(['10 of 1']);
  store.head = 12;
  driver.read('pages', 'home', { type: 'linearizable' }, (outcome) => told.push(text(outcome) ?? ''));
  clock.pass(1000);
  expect(told).toEqual(['10 of 1', 'home@12', '12 of 1']);
});
