import { revision } from '@quorate/kv';
import { describe, expect, test } from 'vitest';
import type { CachedViewOptions } from './types.js';
import {
  batch,
  entry,
  EVENTUAL,
  holding,
  LINEARIZABLE,
  namespace,
  NAMESPACES,
  put,
  remove,
  Scenario,
  synced,
} from './scenario.testing.js';

describe('states and the chain', () => {
  test('[C1] R13: before the first sync it refuses, and never says "not found"', () => {
    const it = new Scenario();
    expect(it.view.state(it.now)).toBe('empty');
    it.event({ type: 'start' });
    expect(it.view.state(it.now)).toBe('syncing');
    const read = it.read('home');
    expect(it.shown(read)).toBe('CACHE_NOT_READY');
    expect(it.shown(it.read('home', LINEARIZABLE))).toBe('CACHE_NOT_READY');
    it.sync(10);
    expect(it.view.state(it.now)).toBe('stale');
    it.probed(10);
    expect(it.view.state(it.now)).toBe('live');
  });

  test('[C1] without probes it turns stale after 3 s and goes on answering', () => {
    const it = holding('home', 10);
    it.pass(3001);
    expect(it.view.state(it.now)).toBe('stale');
    expect(it.shown(it.read('home'))).toBe('home@10');
  });

  test('[C2] R9: what the feed said during the sync is dropped or pulled, never lost', () => {
    const it = new Scenario();
    it.event({ type: 'start' });
    it.feed(8, 9, [put('a', 9)]);
    it.feed(11, 12, [put('b', 12)]);
    it.sync(10);
    expect(it.take('pull').after).toBe(10);
    const duplicate = new Scenario();
    duplicate.event({ type: 'start' });
    duplicate.feed(8, 9, [put('a', 9)]);
    duplicate.sync(10);
    expect(duplicate.tryTake('pull')).toBeNull();
  });

  test('[C3] R20: a revision is applied entirely before any read is answered', () => {
    const it = holding('a', 10);
    it.read('b');
    it.filled(10, null);
    it.feed(10, 11, [put('a', 11), put('b', 11)]);
    expect([it.shown(it.read('a')), it.shown(it.read('b'))]).toEqual(['a@11', 'b@11']);
  });

  test('[C3] R6: duplicates and overlaps after a failover change nothing', () => {
    const it = holding('a', 10);
    it.feed(10, 12, [put('a', 12)]);
    it.feed(5, 10, [put('a', 10)]);
    it.feed(5, 12, [put('a', 10), put('a', 12)]);
    expect(it.shown(it.read('a'))).toBe('a@12');
    it.feed(5, 13, [put('a', 10), put('a', 12)]);
    expect(it.shown(it.read('a'))).toBe('a@12');
    expect(it.view.watermark).toBe(13);
    expect(it.view.counters.duplicates).toBe(2);
  });

  test('[C3] R3, R5: at a gap it pulls, one pull at a time, until it has caught up', () => {
    const it = holding('a', 10);
    it.feed(11, 13, [put('a', 12), put('a', 13)]);
    it.feed(13, 14, [put('a', 14)]);
    expect(it.shown(it.read('a'))).toBe('a@10');
    expect(it.commands.filter(({ type }) => type === 'pull')).toHaveLength(1);
    it.pulled(10, 12, [put('a', 12)], 14);
    expect(it.shown(it.read('a'))).toBe('a@12');
    expect(it.commands.filter(({ type }) => type === 'pull')).toMatchObject([{ after: 12 }]);
    it.feed(12, 13, [put('a', 13)]);
    expect(it.shown(it.read('a'))).toBe('a@13');
    it.pulled(12, 14, [put('a', 13), put('a', 14)]);
    expect(it.shown(it.read('a'))).toBe('a@14');
    expect(it.tryTake('pull')).toBeNull();
  });

  test('[C3] an oversize message is pulled', () => {
    const it = holding('a', 10);
    it.event({ type: 'feedOversize', epoch: 1, previous: revision(10), revision: revision(11) });
    it.pulled(10, 11, [put('a', 11)]);
    expect(it.shown(it.read('a'))).toBe('a@11');
  });

  test('[C3] R4: compacted, or a pull that does not join on: it resyncs, and answers meanwhile', () => {
    for (const broken of [true, false]) {
      const it = holding('a', 10);
      it.feed(12, 13, [put('a', 13)]);
      const { pullId } = it.take('pull');
      if (broken) it.event({ type: 'pulled', pullId, batch: batch(12, 13, []), published: revision(13) });
      else it.event({ type: 'compacted', pullId, epoch: 1, oldest: revision(12) });
      expect(it.shown(it.read('a'))).toBe('a@10');
      it.sync(13);
      const read = it.read('a');
      expect(it.shown(read)).toBeUndefined();
      it.filled(13, entry('a', 13));
      expect(it.shown(read)).toBe('a@13');
      expect(it.view.counters.resyncs).toEqual({ start: 1, epoch: 0, compacted: 1 });
    }
  });

  test('[C4] R12: a resync from a member that is behind is refused and tried again', () => {
    const it = new Scenario({ resume: { epoch: 1, revision: revision(20) } });
    it.event({ type: 'start' });
    it.sync(19);
    expect(it.view.watermark).toBeNull();
    it.pass(200);
    it.sync(20);
    expect(it.view.watermark).toBe(20);
  });

  test('[C4] the point to resume from covers own writes', () => {
    const it = holding('a', 10);
    it.event({ type: 'ownWrite', namespace: 'pages', key: 'a', revision: revision(15) });
    expect(it.view.resumePoint).toEqual({ epoch: 1, revision: 15 });
  });

  test('[C5] R15: a newer epoch drops everything, whoever tells of it', () => {
    const tellers: ((it: Scenario) => void)[] = [
      (it) => it.feed(3, 4, [put('a', 4)], 2),
      (it) => {
        it.pass(500);
        it.probed(4, 4, 2);
      },
      (it) => {
        it.read('other');
        it.filled(4, null, 2);
      },
    ];
    for (const tell of tellers) {
      const it = holding('a', 10);
      tell(it);
      expect(it.view.watermark).toBeNull();
      expect(it.shown(it.read('a'))).toBe('CACHE_NOT_READY');
      it.sync(4, 2);
      expect(it.view.watermark).toBe(4);
      expect(it.view.stalenessMs(it.now)).toBeNull();
      const read = it.read('a');
      it.filled(4, entry('a', 3), 2);
      expect(it.shown(read)).toBe('a@3');
    }
  });

  test('[C5] R15: what belongs to an earlier epoch is dropped', () => {
    const it = new Scenario();
    it.event({ type: 'start' });
    it.sync(10, 2);
    it.probed(99, 99, 1);
    expect(it.view.stalenessMs(it.now)).toBeNull();
    it.feed(10, 11, [put('a', 11)], 1);
    expect(it.view.watermark).toBe(10);
    const read = it.read('a');
    it.filled(99, null, 1);
    expect(it.shown(read)).toBe('CACHE_MISS_UNREACHABLE');
  });

  test('[C5] reads that wait are let go when the epoch changes', () => {
    const it = holding('a', 10);
    const [fill, exact] = [it.read('b'), it.read('a', LINEARIZABLE)];
    it.feed(1, 2, [], 2);
    expect([it.shown(fill), it.shown(exact)]).toEqual(['CACHE_NOT_READY', 'fallback']);
  });

  test('[C6] R21: failed resyncs and pulls are tried again, slower each time', () => {
    const it = new Scenario();
    it.event({ type: 'start' });
    for (const delayMs of [100, 200, 400]) {
      it.event({ type: 'resyncFailed', resyncId: it.take('resync').resyncId });
      it.pass(delayMs - 1);
      expect(it.tryTake('resync')).toBeNull();
      it.pass(1);
    }
    it.sync(10);
    it.feed(12, 13, []);
    for (const delayMs of [100, 200, 400]) {
      it.event({ type: 'pullFailed', pullId: it.take('pull').pullId });
      it.feed(13, 14, []);
      it.pass(delayMs - 1);
      expect(it.tryTake('pull')).toBeNull();
      it.pass(1);
    }
    it.pulled(10, 14, []);
    expect(it.view.watermark).toBe(14);
  });

  test('[C3] refused messages are counted and change nothing', () => {
    const it = holding('a', 10);
    for (const reason of ['mac', 'mac', 'cluster', 'format'] as const)
      it.event({ type: 'feedRefused', reason });
    expect(it.view.counters.feedRefused).toEqual({ format: 1, cluster: 1, mac: 2 });
    expect(it.view.watermark).toBe(10);
  });
});

describe('what an earlier process held', () => {
  function restored(options: Partial<CachedViewOptions> = {}): Scenario {
    const before = holding('home', 10, { wholeNamespaceBytesMax: 100_000, ...options });
    before.loaded(10, [entry('home', 10)]);
    before.pass(400);
    const held = before.view.held();
    if (held === null) throw new Error('nothing is held');
    const it = new Scenario({ wholeNamespaceBytesMax: 100_000, ...options });
    it.now = { monotonicMs: 5, wallMs: before.now.wallMs + 60_000 };
    it.event({ type: 'start' });
    const { resyncId } = it.take('resync');
    it.event({ type: 'resyncFailed', resyncId });
    it.event({ type: 'restored', held });
    return it;
  }

  test('[C26] R13: is shown at its revision, stale, without a bound, and with its age by the wall clock', () => {
    const it = restored();
    expect(it.view.state(it.now)).toBe('stale');
    const outcome = it.hit(it.read('home'));
    expect(outcome).toMatchObject({
      revision: 10,
      epoch: 1,
      stalenessMs: null,
      ageMs: 60_400,
      quorum: false,
    });
    expect(it.shown(it.read('absent'))).toBeNull();
    expect(it.listed(it.list())).toEqual(['home']);
    const bounded = it.read('home', { type: 'bounded', boundMs: 100_000 });
    expect(it.shown(bounded)).toBeUndefined();
    it.pass(1000);
    expect(it.shown(bounded)).toBe('STALENESS_BOUND_EXCEEDED');
  });

  test('[C26] holds by demand what was held by demand', () => {
    const it = restored({ wholeNamespaceBytesMax: 100 });
    expect(it.view.load.wholeNamespaces).toBe(0);
    expect(it.shown(it.read('home'))).toBe('home@10');
  });

  test('[C26] R12: gives way to any sync that is not behind it, and to a newer epoch', () => {
    const it = restored();
    it.pass(500);
    it.sync(9);
    expect(it.view.watermark).toBe(10);
    it.pass(1000);
    it.sync(12);
    expect(it.view.watermark).toBe(12);
    it.loaded(12, []);
    expect(it.shown(it.read('home'))).toBeNull();
    const other = restored();
    other.pass(500);
    other.sync(4, 2);
    expect([other.view.epoch, other.view.watermark]).toEqual([2, 4]);
    other.loaded(4, [], false, 2);
    expect(other.hit(other.read('x')).ageMs).toBeNull();
  });

  test('[C26] is refused by a view that has synced, knows of another epoch, or may not go back so far', () => {
    const held = holding('home', 10).view.held();
    if (held === null) throw new Error('nothing is held');
    const live = synced(12);
    live.event({ type: 'restored', held });
    expect(live.view.watermark).toBe(12);
    for (const resume of [
      { epoch: 2, revision: revision(1) },
      { epoch: 1, revision: revision(11) },
    ]) {
      const it = new Scenario({ resume });
      it.event({ type: 'start' });
      it.event({ type: 'restored', held });
      expect(it.view.watermark).toBeNull();
      expect(it.view.counters.outdated).toBe(1);
    }
    expect(new Scenario().view.held()).toBeNull();
  });
});

describe('namespaces', () => {
  test('[C7] strict, unknown and deleted namespaces are never answered', () => {
    const it = synced();
    expect(it.shown(it.read('a', EVENTUAL, null, 'limits'))).toBe('strict');
    expect(it.shown(it.read('a', EVENTUAL, null, 'nobody-knows'))).toBe('strict');
    it.feed(10, 11, [{ type: 'namespace', record: namespace('pages', 'cached', 11, true) }]);
    expect(it.shown(it.read('a'))).toBe('strict');
    it.feed(11, 12, [{ type: 'namespace', record: namespace('fresh', 'cached', 12) }]);
    expect(it.shown(it.read('a', EVENTUAL, null, 'fresh'))).toBeUndefined();
  });

  test('[C8] deletion and creation anew of a namespace drop its entries', () => {
    const it = holding('a', 10);
    it.feed(10, 11, [{ type: 'namespace', record: namespace('pages', 'cached', 11, true) }]);
    it.feed(11, 12, [{ type: 'namespace', record: namespace('pages', 'cached', 12) }]);
    const read = it.read('a');
    expect(it.shown(read)).toBeUndefined();
    expect(it.take('fill').minRevision).toBe(12);
  });

  test('[C8] R1: a fill that was asked before the deletion does not bring the old entry back', () => {
    const it = synced();
    const read = it.read('a');
    const old = it.take('fill');
    it.feed(10, 12, [
      { type: 'namespace', record: namespace('pages', 'cached', 11, true) },
      { type: 'namespace', record: namespace('pages', 'cached', 12) },
    ]);
    it.event({ type: 'filled', fillId: old.fillId, epoch: 1, revision: revision(10), entry: entry('a', 5) });
    expect(it.shown(read)).toBeUndefined();
    it.filled(12, null);
    expect(it.shown(read)).toBeNull();
  });
});

describe('freshness', () => {
  test('[C9] R27: the bound starts when the probe was sent, and is the larger of the two clocks', () => {
    const it = holding('a', 10);
    it.pass(500);
    it.pass(300);
    it.probed(10);
    const read = it.hit(it.read('a'));
    expect(read).toMatchObject({ stalenessMs: 300, lag: 0, quorum: true });
    it.pass(10, 60_000);
    expect(it.view.stalenessMs(it.now)).toBe(60_300);
    it.pass(0.2, 0);
    expect(it.view.stalenessMs(it.now)).toBe(60_301);
    const back = holding('a', 10);
    back.pass(10, -60_000);
    expect(back.view.stalenessMs(back.now)).toBe(10);
  });

  test('[C9] R27: a suspend stays counted when the wall clock is set back after it', () => {
    const it = holding('a', 10);
    it.pass(50, 1_800_000);
    it.pass(150, -3_599_850);
    expect(it.view.stalenessMs(it.now)).toBe(1_800_150);
    expect(it.view.state(it.now)).toBe('stale');
    expect(it.hit(it.read('a'))).toMatchObject({ stalenessMs: 1_800_150, quorum: false });
    const bounded = it.read('a', { type: 'bounded', boundMs: 1000 });
    expect(it.shown(bounded)).toBeUndefined();
    it.pass(5);
    it.probed(10);
    expect(it.hit(bounded)).toMatchObject({ stalenessMs: 5, quorum: true });
  });

  test('[C9] R27: a suspend that only the question saw stays counted too; what is slewed is not one', () => {
    const it = holding('a', 10);
    const { monotonicMs, wallMs } = it.now;
    expect(it.view.stalenessMs({ monotonicMs, wallMs: wallMs + 9000 })).toBe(9000);
    it.now = { monotonicMs: monotonicMs + 10, wallMs: wallMs - 60_000 };
    expect(it.view.stalenessMs(it.now)).toBe(9010);
    const slewed = holding('a', 10);
    slewed.pass(50, 54);
    slewed.pass(50, 46);
    expect(slewed.view.stalenessMs(slewed.now)).toBe(100);
  });

  test('[C9] R27: what was slept between the sending of a probe and its answer counts', () => {
    const it = holding('a', 10);
    it.pass(500);
    it.pass(10, 20_000);
    it.probed(10);
    it.pass(10, -40_000);
    expect(it.view.stalenessMs(it.now)).toBe(20_010);
  });

  test('[C9] R10: a head that is not applied confirms nothing; never confirmed: no number', () => {
    const it = new Scenario();
    it.event({ type: 'start' });
    it.sync(10);
    it.probed(12, 12);
    const read = it.read('a');
    it.filled(10, entry('a', 9));
    expect(it.hit(read)).toMatchObject({ stalenessMs: null, lag: 2, revision: 10 });
    it.pass(50);
    it.feed(10, 12, []);
    expect(it.hit(it.read('a'))).toMatchObject({ stalenessMs: 50, lag: 0, revision: 12 });
  });

  test('[C9] R14: the feed says nothing about freshness, whoever sent it', () => {
    const it = holding('a', 10);
    it.pass(1000);
    it.feed(10, 11, [put('a', 11)]);
    expect(it.hit(it.read('a'))).toMatchObject({ revision: 11, stalenessMs: 1000 });
  });

  test('[C9] R26: how many revisions it is behind is said with every answer', () => {
    const it = holding('a', 10);
    expect(it.hit(it.read('a')).lag).toBe(0);
    it.pass(500);
    it.probed(14);
    expect(it.hit(it.read('a')).lag).toBe(4);
    it.feed(10, 12, [put('a', 12)]);
    expect(it.hit(it.read('a')).lag).toBe(2);
  });

  test('[C9] quorum: the last probe succeeded, at most 2 s ago', () => {
    const it = holding('a', 10);
    expect(it.hit(it.read('a')).quorum).toBe(true);
    it.pass(2001);
    expect(it.hit(it.read('a')).quorum).toBe(false);
    it.probed(10);
    expect(it.hit(it.read('a')).quorum).toBe(true);
    it.pass(500);
    it.event({ type: 'probeFailed', probeId: it.take('probe').probeId });
    expect(it.hit(it.read('a')).quorum).toBe(false);
  });

  test('[C10] a linearizable read uses only a probe that was sent after it arrived', () => {
    const it = holding('a', 10);
    const first = it.read('a', LINEARIZABLE);
    const second = it.read('a', LINEARIZABLE);
    const third = it.read('a', LINEARIZABLE);
    expect(it.commands.filter(({ type }) => type === 'probe')).toHaveLength(1);
    it.probed(10);
    expect([it.shown(first), it.shown(second), it.shown(third)]).toEqual(['a@10', undefined, undefined]);
    it.probed(11, 11);
    expect(it.shown(second)).toBeUndefined();
    it.feed(10, 11, [put('a', 11)]);
    expect([it.shown(second), it.shown(third)]).toEqual(['a@11', 'a@11']);
    expect(it.hit(second).level).toBe('linearizable');
  });

  test('[C10] a failed probe, or none in time, sends linearizable reads to the store; eventual ones go on', () => {
    const it = holding('a', 10);
    const failed = it.read('a', LINEARIZABLE);
    it.event({ type: 'probeFailed', probeId: it.take('probe').probeId });
    expect(it.shown(failed)).toBe('fallback');
    const late = it.read('a', LINEARIZABLE);
    it.probed(12);
    it.pass(999);
    expect(it.shown(late)).toBeUndefined();
    it.pass(1);
    expect(it.shown(late)).toBe('fallback');
    expect(it.shown(it.read('a'))).toBe('a@10');
  });

  test('[C11] a bounded read: at once within the bound, else one probe, else refused', () => {
    const it = holding('a', 10);
    it.pass(100);
    expect(it.shown(it.read('a', { type: 'bounded', boundMs: 100 }))).toBe('a@10');
    const proven = it.read('a', { type: 'bounded', boundMs: 99 });
    it.pass(99);
    it.probed(10);
    expect(it.hit(proven)).toMatchObject({ stalenessMs: 99, level: 'bounded' });
    it.pass(1);
    const slow = it.read('a', { type: 'bounded', boundMs: 50 });
    it.pass(51);
    it.probed(10);
    expect(it.shown(slow)).toBe('STALENESS_BOUND_EXCEEDED');
    it.pass(1);
    const failed = it.read('a', { type: 'bounded', boundMs: 1 });
    it.event({ type: 'probeFailed', probeId: it.take('probe').probeId });
    expect(it.shown(failed)).toBe('STALENESS_BOUND_EXCEEDED');
  });

  test('[C12] R11: a probe takes the watermark over strict writes; a token of one is served', () => {
    const it = holding('a', 10);
    const session = it.read('a', EVENTUAL, 14);
    expect(it.shown(session)).toBeUndefined();
    it.probed(14, 10);
    expect(it.hit(session)).toMatchObject({ revision: 14, level: 'session' });
    it.feed(10, 15, [put('a', 15)]);
    expect(it.shown(it.read('a'))).toBe('a@15');
  });

  test('[C12] R16: the lost tail of a silent feed is pulled 200 ms after a probe found it', () => {
    const it = holding('a', 10);
    it.pass(500);
    it.probed(12, 12);
    it.pass(199);
    expect(it.tryTake('pull')).toBeNull();
    it.pass(1);
    it.pulled(10, 12, [put('a', 12)]);
    expect(it.hit(it.read('a'))).toMatchObject({ revision: 12, stalenessMs: 200 });
  });

  test('[C12] R17: probes go every 500 ms while anyone reads, more seldom else, and one at a time', () => {
    const it = holding('a', 10);
    it.pass(499);
    expect(it.tryTake('probe')).toBeNull();
    it.pass(1);
    it.pass(5000);
    expect(it.commands.filter(({ type }) => type === 'probe')).toHaveLength(1);
    it.probed(10);
    it.take('probe');
    it.pass(500);
    expect(it.tryTake('probe')).toBeNull();
  });
});

describe('fills', () => {
  test('[C13] R1: a fill that lands after a newer event loses', () => {
    const it = synced();
    const read = it.read('a');
    const { fillId, minRevision } = it.take('fill');
    expect(minRevision).toBe(10);
    it.feed(10, 11, [put('a', 11)]);
    expect(it.shown(read)).toBe('a@11');
    it.event({ type: 'filled', fillId, epoch: 1, revision: revision(10), entry: entry('a', 9) });
    expect(it.shown(it.read('a'))).toBe('a@11');
  });

  test('[C13] R2: an event for a key that is not held reaches its fill in flight, also a deletion', () => {
    const it = synced();
    const read = it.read('a');
    const { fillId } = it.take('fill');
    it.feed(10, 11, [remove('a', 11)]);
    expect(it.shown(read)).toBeNull();
    it.event({ type: 'filled', fillId, epoch: 1, revision: revision(10), entry: entry('a', 9) });
    expect(it.shown(it.read('a'))).toBeNull();
  });

  test('[C13] a value ahead of the watermark waits; one that did not change since is shown', () => {
    const it = synced();
    const ahead = it.read('a');
    it.filled(13, entry('a', 12));
    expect(it.shown(ahead)).toBeUndefined();
    it.feed(10, 11, []);
    expect(it.shown(ahead)).toBeUndefined();
    it.feed(11, 12, [put('a', 12)]);
    expect(it.shown(ahead)).toBe('a@12');
    const unchanged = it.read('b');
    it.filled(13, entry('b', 7));
    expect(it.hit(unchanged)).toMatchObject({ revision: 12, filled: true });
  });

  test('[C13] an absence ahead of the watermark waits: it may have been there before', () => {
    const it = synced();
    const read = it.read('a');
    it.filled(12, null);
    expect(it.shown(read)).toBeUndefined();
    it.probed(12, 11);
    expect(it.shown(read)).toBeUndefined();
    it.feed(10, 11, []);
    expect(it.hit(read)).toMatchObject({ revision: 12, entry: null });
  });

  test('[C13] a value behind, and unchanged since, is the value at the watermark', () => {
    const it = synced();
    const read = it.read('a');
    it.feed(10, 15, [put('b', 15)]);
    it.filled(10, entry('a', 9));
    expect(it.hit(read)).toMatchObject({ revision: 15 });
  });

  test('[C13] a fill from before a resync is not used: its readers ask again', () => {
    const it = synced();
    const read = it.read('a');
    const old = it.take('fill');
    it.feed(12, 13, []);
    it.event({ type: 'compacted', pullId: it.take('pull').pullId, epoch: 1, oldest: revision(12) });
    it.sync(20);
    it.event({ type: 'filled', fillId: old.fillId, epoch: 1, revision: revision(10), entry: entry('a', 9) });
    expect(it.shown(read)).toBeUndefined();
    expect(it.commands.find(({ type }) => type === 'fill')).toMatchObject({ minRevision: 20 });
    it.filled(20, entry('a', 19));
    expect(it.shown(read)).toBe('a@19');
  });

  test('[C14] R1, R13: an answer older than asked for is refused, also its "there is none"', () => {
    const it = synced();
    const read = it.read('a');
    it.filled(9, null);
    expect(it.shown(read)).toBe('CACHE_MISS_UNREACHABLE');
    const wrong = it.read('a');
    it.filled(10, entry('b', 9));
    expect(it.shown(wrong)).toBe('CACHE_MISS_UNREACHABLE');
    expect(it.view.counters.fillsRefused).toBe(2);
  });

  test('[C15] R8: a held absence does not hide a creation', () => {
    const it = synced();
    const absent = it.read('a');
    it.filled(10, null);
    expect(it.shown(absent)).toBeNull();
    expect(it.shown(it.read('a'))).toBeNull();
    it.feed(10, 11, [put('a', 11)]);
    expect(it.shown(it.read('a'))).toBe('a@11');
  });

  test('[C15] R7: a repeated old put does not bring a deleted entry back', () => {
    const it = holding('a', 10);
    it.feed(10, 12, [remove('a', 12)]);
    it.feed(9, 10, [put('a', 10)]);
    it.feed(9, 13, [put('a', 10), remove('a', 12)]);
    expect(it.shown(it.read('a'))).toBeNull();
  });

  test('[C16] R21: one fill a key, whose readers wait together; a failure reaches each by its level', () => {
    const it = synced();
    const reads = [it.read('a'), it.read('a'), it.read('a', EVENTUAL, 10), it.read('a', LINEARIZABLE)];
    it.probed(10);
    expect(it.commands.filter(({ type }) => type === 'fill')).toHaveLength(1);
    it.event({ type: 'fillFailed', fillId: it.take('fill').fillId, code: 'NOT_CAUGHT_UP' });
    expect(reads.map((read) => it.shown(read))).toEqual([
      'CACHE_MISS_UNREACHABLE',
      'CACHE_MISS_UNREACHABLE',
      'fallback',
      'fallback',
    ]);
    const gone = it.read('a');
    it.event({ type: 'fillFailed', fillId: it.take('fill').fillId, code: 'NAMESPACE_NOT_FOUND' });
    expect(it.shown(gone)).toBe('strict');
  });

  test('[C16] R21: ten thousand misses of one key are one fill', () => {
    const it = synced(10);
    const reads = Array.from({ length: 10_000 }, () => it.read('home'));
    expect(it.commands.filter(({ type }) => type === 'fill')).toHaveLength(1);
    it.filled(10, entry('home', 10));
    expect(new Set(reads.map((read) => it.shown(read)))).toEqual(new Set(['home@10']));
    expect(it.view.counters).toMatchObject({ fills: 1, misses: 10_000 });
  });

  test('[C17] after an own write no read of the key shows the older value', () => {
    const it = holding('a', 10);
    it.event({ type: 'ownWrite', namespace: 'pages', key: 'a', revision: revision(12) });
    const read = it.read('a');
    expect(it.shown(read)).toBeUndefined();
    it.feed(10, 11, []);
    expect(it.shown(read)).toBeUndefined();
    it.pass(20);
    it.pulled(11, 12, [put('a', 12)]);
    expect(it.shown(read)).toBe('a@12');
    const never = holding('a', 10);
    never.event({ type: 'ownWrite', namespace: 'pages', key: 'a', revision: revision(12) });
    const waits = never.read('a');
    never.pass(1000);
    expect(never.shown(waits)).toBe('fallback');
  });

  test('[C17] a floor that was raised before a sync holds after it', () => {
    const it = new Scenario();
    it.event({ type: 'start' });
    it.event({ type: 'ownWrite', namespace: 'pages', key: 'a', revision: revision(12) });
    it.sync(10);
    const read = it.read('a');
    it.filled(12, entry('a', 12));
    expect(it.shown(read)).toBeUndefined();
    it.feed(10, 12, [put('a', 12)]);
    expect(it.shown(read)).toBe('a@12');
    it.event({ type: 'ownWrite', namespace: 'pages', key: 'a', revision: revision(14) });
    it.feed(1, 2, [], 2);
    it.sync(13, 2);
    const later = it.read('a');
    it.feed(13, 14, [put('a', 14)], 2);
    expect(it.shown(later)).toBe('a@14');
  });

  test('[C17] an own write of a key that is not held: the fill asks for the floor', () => {
    const it = synced();
    it.event({ type: 'ownWrite', namespace: 'pages', key: 'a', revision: revision(12) });
    const read = it.read('a');
    expect(it.commands.find(({ type }) => type === 'fill')).toMatchObject({ minRevision: 12 });
    it.filled(12, entry('a', 12));
    expect(it.shown(read)).toBeUndefined();
    it.feed(10, 12, [put('a', 12)]);
    expect(it.shown(read)).toBe('a@12');
  });

  test('[C17] after an own deletion of the namespace none of its entries is shown any more', () => {
    const it = holding('a', 10);
    it.event({ type: 'ownWrite', namespace: 'pages', key: null, revision: revision(12) });
    const held = it.read('a');
    const other = it.read('b');
    expect([it.shown(held), it.shown(other)]).toEqual([undefined, undefined]);
    it.pass(20);
    expect(it.commands.find(({ type }) => type === 'pull')).toMatchObject({ minRevision: 12 });
    it.pulled(10, 12, [{ type: 'namespace', record: namespace('pages', 'cached', 12, true) }]);
    expect([it.shown(held), it.shown(other)]).toEqual(['strict', 'strict']);
    const never = holding('a', 10);
    never.event({ type: 'ownWrite', namespace: 'pages', key: null, revision: revision(12) });
    const waits = never.read('a');
    never.pass(1000);
    expect(never.shown(waits)).toBe('fallback');
  });

  test('[C17] an own creation of a namespace is pulled; until it is there only the store answers', () => {
    const it = holding('a', 10);
    it.event({ type: 'ownWrite', namespace: 'shop', key: null, revision: revision(11) });
    expect(it.shown(it.read('x', EVENTUAL, null, 'shop'))).toBe('strict');
    it.feed(10, 11, [{ type: 'namespace', record: namespace('shop', 'cached', 11) }]);
    const read = it.read('x', EVENTUAL, null, 'shop');
    it.filled(11, null);
    expect(it.shown(read)).toBeNull();
    expect(it.shown(it.read('a'))).toBe('a@10');
  });

  test('[C18] R7: eviction cannot bring back older data', () => {
    const it = holding('a', 10, { bytesMax: 600 });
    it.feed(10, 11, [put('a', 11)]);
    for (const key of ['b', 'c', 'd']) {
      it.read(key);
      it.filled(11, null);
    }
    expect(it.view.counters.evictions).toBeGreaterThan(0);
    const read = it.read('a');
    expect(it.shown(read)).toBeUndefined();
    const fill = it.take('fill');
    expect(fill.minRevision).toBe(11);
    it.event({
      type: 'filled',
      fillId: fill.fillId,
      epoch: 1,
      revision: revision(10),
      entry: entry('a', 10),
    });
    expect(it.shown(read)).toBe('CACHE_MISS_UNREACHABLE');
  });
});

describe('bounds', () => {
  test('[C19] too many reads or fills: OVERLOADED', () => {
    const it = synced(10, { waitingReadsMax: 2, fillsMax: 2 });
    const reads = [it.read('a'), it.read('a'), it.read('a')];
    expect(reads.map((read) => it.shown(read))).toEqual([undefined, undefined, 'OVERLOADED']);
    const few = synced(10, { fillsMax: 1 });
    few.read('a');
    expect(few.shown(few.read('b'))).toBe('OVERLOADED');
  });

  test('[C19] too many floors merge into one: other keys wait too, none shows older', () => {
    const it = holding('a', 10, { floorsMax: 1 });
    it.event({ type: 'ownWrite', namespace: 'pages', key: 'x', revision: revision(12) });
    it.event({ type: 'ownWrite', namespace: 'pages', key: 'y', revision: revision(11) });
    const read = it.read('a');
    expect(it.shown(read)).toBeUndefined();
    it.feed(10, 12, []);
    expect(it.shown(read)).toBe('a@10');
  });

  test('[C19] names beyond the limit are treated as strict', () => {
    const it = synced(10, { namespacesMax: NAMESPACES.length });
    it.feed(10, 11, [{ type: 'namespace', record: namespace('fresh', 'cached', 11) }]);
    expect(it.shown(it.read('a', EVENTUAL, null, 'fresh'))).toBe('strict');
    it.feed(11, 12, [{ type: 'namespace', record: namespace('pages', 'cached', 12, true) }]);
    expect(it.shown(it.read('a'))).toBe('strict');
  });

  test('[C19] an entry above the whole budget is shown but not held', () => {
    const it = synced(10, { bytesMax: 400 });
    const read = it.read('a');
    it.filled(10, entry('a', 10, 'x'.repeat(500)));
    expect(it.shown(read)).toBe('x'.repeat(500));
    expect(it.view.entryCount).toBe(0);
  });

  test('[C20] every read is answered within the waiting time', () => {
    const it = holding('a', 10);
    const reads = [
      it.read('b'),
      it.read('a', LINEARIZABLE),
      it.read('a', EVENTUAL, 99),
      it.read('b', { type: 'bounded', boundMs: 0.5 }),
    ];
    it.pass(1000);
    expect(reads.map((read) => it.shown(read))).toEqual([
      'CACHE_MISS_UNREACHABLE',
      'fallback',
      'fallback',
      'CACHE_MISS_UNREACHABLE',
    ]);
    expect(it.view.waitingReads).toBe(0);
  });
});
