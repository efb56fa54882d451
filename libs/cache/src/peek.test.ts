import { revision } from '@quorate/kv';
import type { Revision } from '@quorate/kv';
import { describe, expect, test } from 'vitest';
import {
  entry,
  EVENTUAL,
  holding,
  LINEARIZABLE,
  namespace,
  put,
  remove,
  Scenario,
} from './scenario.testing.js';
import type { CacheRead, CacheReadLevel } from './types.js';

/** The text peeked, null for an absence, or why nothing was shown. */
function peeked(it: Scenario, key: string, name = 'pages'): string | null {
  const held = it.view.peek(name, key);
  if (typeof held === 'string') return held;
  return held.entry === null ? null : new TextDecoder().decode(held.entry.value);
}

function ownWrite(it: Scenario, key: string | null, at: number): void {
  it.event({ type: 'ownWrite', namespace: 'pages', key, revision: revision(at) });
}

function readOf(
  readId: number,
  key: string,
  level: CacheReadLevel,
  minRevision: Revision | null = null,
): CacheRead {
  return { readId, namespace: 'pages', key, level, minRevision, token: null };
}

describe('peeks', () => {
  test('[C30] nothing before the first sync, nothing between two epochs', () => {
    const it = new Scenario();
    expect(peeked(it, 'home')).toBe('notReady');
    it.event({ type: 'start' });
    expect(peeked(it, 'home')).toBe('notReady');
    const other = holding('home', 10);
    other.feed(3, 4, [put('home', 4)], 2);
    expect(peeked(other, 'home')).toBe('notReady');
    other.sync(4, 2);
    expect(peeked(other, 'home')).toBe('miss');
  });

  test('[C30] nothing of a namespace that is strict, unknown or deleted', () => {
    const it = holding('home', 10);
    expect([peeked(it, 'home', 'limits'), peeked(it, 'home', 'other')]).toEqual(['strict', 'strict']);
    it.feed(10, 11, [{ type: 'namespace', record: namespace('pages', 'cached', 11, true) }]);
    expect(peeked(it, 'home')).toBe('strict');
  });

  test('[C30] what is held, as the feed changes it; an absence is held like an entry', () => {
    const it = holding('home', 10);
    expect(peeked(it, 'home')).toBe('home@10');
    it.feed(10, 11, [put('home', 11)]);
    expect(peeked(it, 'home')).toBe('home@11');
    it.feed(11, 12, [remove('home', 12)]);
    expect(peeked(it, 'home')).toBeNull();
    expect(it.view.counters.hits).toBe(3);
  });

  test('[C24] [C30] of a namespace held whole, also that a key is not there', () => {
    const it = holding('home', 10, { wholeNamespaceBytesMax: 100_000 });
    expect(peeked(it, 'other')).toBe('miss');
    it.loaded(10, [entry('home', 10)]);
    expect([peeked(it, 'home'), peeked(it, 'other')]).toEqual(['home@10', null]);
    ownWrite(it, 'other', 12);
    expect([peeked(it, 'home'), peeked(it, 'other')]).toEqual(['home@10', 'miss']);
  });

  test('[C30] a miss asks for nothing', () => {
    const it = holding('home', 10);
    expect(peeked(it, 'other')).toBe('miss');
    it.pass(50);
    expect(it.tryTake('fill')).toBeNull();
  });

  test('[C30] nothing below an own write, of the key or of its namespace, until the watermark is there', () => {
    for (const key of ['home', null]) {
      const it = holding('home', 10);
      it.read('b');
      it.filled(10, entry('b', 10));
      ownWrite(it, key, 12);
      expect([peeked(it, 'home'), peeked(it, 'b')]).toEqual(['miss', key === null ? 'miss' : 'b@10']);
      it.feed(10, 11, [put('home', 11)]);
      expect(peeked(it, 'home')).toBe('miss');
      it.feed(11, 12, [put('home', 12)]);
      expect([peeked(it, 'home'), peeked(it, 'b')]).toEqual(['home@12', 'b@10']);
    }
  });

  test('[C30] floors that merged hold back every key', () => {
    const it = holding('home', 10, { floorsMax: 1 });
    ownWrite(it, 'x', 11);
    expect(peeked(it, 'home')).toBe('home@10');
    ownWrite(it, 'y', 12);
    expect(peeked(it, 'home')).toBe('miss');
    it.feed(10, 12, []);
    expect(peeked(it, 'home')).toBe('home@10');
  });

  test('[C30] counts as a read for the pace of probes', () => {
    const it = holding('home', 10);
    it.pass(10_000);
    it.probed(10);
    it.pass(600);
    expect(it.tryTake('probe')).toBeNull();
    peeked(it, 'home');
    it.pass(50);
    expect(it.tryTake('probe')).not.toBeNull();
  });

  test('[C30] counts as use: what is peeked is not what is evicted', () => {
    const it = holding('a', 10, { bytesMax: 900 });
    for (const key of ['b', 'c']) {
      it.pass(10);
      peeked(it, 'a');
      it.read(key);
      it.filled(10, entry(key, 10));
    }
    it.read('d');
    it.pass(10);
    peeked(it, 'a');
    it.filled(10, entry('d', 10));
    expect(it.view.counters.evictions).toBeGreaterThan(0);
    expect([peeked(it, 'a'), peeked(it, 'b')]).toEqual(['a@10', 'miss']);
  });
});

describe('how fresh what was peeked is', () => {
  test('[C31] never confirmed: no number', () => {
    const it = new Scenario();
    it.event({ type: 'start' });
    it.sync(10);
    expect(it.view.confirmation).toBeNull();
  });

  test('[C31] the bound grows from the confirmation of that moment, whatever is confirmed later', () => {
    const it = holding('home', 10);
    const { confirmation } = it.view;
    if (confirmation === null) throw new Error('the first probe is confirmed');
    it.pass(600);
    it.feed(10, 11, [put('home', 11)]);
    it.probed(11);
    expect(it.view.stalenessMs(it.now)).toBe(0);
    expect(it.view.stalenessSince(confirmation, it.now)).toBe(600);
    it.pass(0, 5000);
    it.pass(0, -5000);
    expect(it.view.stalenessSince(confirmation, it.now)).toBe(5600);
  });
});

describe('reads that come together', () => {
  test('[C32] one probe serves them all, sent after the last of them', () => {
    const it = holding('home', 10);
    it.pass(100);
    const before = it.view.counters.probes;
    const reads = [1001, 1002, 1003].map((readId) => readOf(readId, 'home', LINEARIZABLE));
    it.event({ type: 'reads', reads });
    expect(it.view.counters.probes - before).toBe(1);
    expect(reads.map(({ readId }) => it.shown(readId))).toEqual([undefined, undefined, undefined]);
    it.feed(10, 11, [put('home', 11)]);
    it.probed(11);
    expect(reads.map(({ readId }) => it.shown(readId))).toEqual(['home@11', 'home@11', 'home@11']);
    expect(it.view.counters.probes - before).toBe(1);
  });

  test('[C32] each is answered as if it had come alone', () => {
    const it = holding('home', 10);
    it.event({
      type: 'reads',
      reads: [
        readOf(1001, 'home', EVENTUAL),
        { ...readOf(1002, 'x', EVENTUAL), namespace: 'limits' },
        readOf(1003, 'other', EVENTUAL),
        readOf(1004, 'home', EVENTUAL, revision(12)),
      ],
    });
    expect([1001, 1002, 1003, 1004].map((readId) => it.shown(readId))).toEqual([
      'home@10',
      'strict',
      undefined,
      undefined,
    ]);
    it.filled(10, null);
    it.feed(10, 12, [put('home', 12)]);
    expect([1003, 1004].map((readId) => it.shown(readId))).toEqual([null, 'home@12']);
  });
});

describe('proofs', () => {
  function prove(it: Scenario, readId: number): void {
    it.event({ type: 'prove', readId });
  }
  function proven(it: Scenario): number[] {
    return it.commands.flatMap((command) => (command.type === 'proven' ? [command.readId] : []));
  }

  test('[C33] proven by a probe that was sent after it was asked for, and not by one on the wire', () => {
    const it = holding('home', 10);
    it.pass(600);
    prove(it, 1001);
    it.feed(10, 11, [put('home', 11)]);
    it.probed(10);
    expect(proven(it)).toEqual([]);
    it.probed(11);
    expect(proven(it)).toEqual([1001]);
    expect(peeked(it, 'home')).toBe('home@11');
  });

  test('[C33] not before all that the probe found is applied', () => {
    const it = holding('home', 10);
    prove(it, 1001);
    it.probed(11);
    expect(proven(it)).toEqual([]);
    it.feed(10, 11, [put('home', 11)]);
    expect(proven(it)).toEqual([1001]);
  });

  test('[C33] without the store, without an answer in time, or in a change of the epoch: fallback', () => {
    const failing = holding('home', 10);
    prove(failing, 1001);
    failing.event({ type: 'probeFailed', probeId: failing.take('probe').probeId });
    const slow = holding('home', 10, { waitMs: 300 });
    prove(slow, 1001);
    slow.pass(301);
    const changing = holding('home', 10);
    prove(changing, 1001);
    changing.feed(3, 4, [put('home', 4)], 2);
    for (const it of [failing, slow, changing]) {
      expect([it.shown(1001), proven(it)]).toEqual(['fallback', []]);
      expect(it.view.waitingReads).toBe(0);
    }
  });

  test('[C33] refused before the first sync, and when too much waits', () => {
    const it = new Scenario({ waitingReadsMax: 1 });
    prove(it, 1001);
    expect(it.shown(1001)).toBe('CACHE_NOT_READY');
    it.event({ type: 'start' });
    it.sync(10);
    prove(it, 1002);
    prove(it, 1003);
    expect([it.shown(1002), it.shown(1003)]).toEqual([undefined, 'OVERLOADED']);
  });
});
