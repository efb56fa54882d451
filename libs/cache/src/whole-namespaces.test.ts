import { revision } from '@quorate/kv';
import { describe, expect, test } from 'vitest';
import { entry, LINEARIZABLE, namespace, put, remove, Scenario, synced } from './scenario.testing.js';

const WHOLE = { wholeNamespaceBytesMax: 100_000 };

/** Synced at 10, with a and c in the namespace. */
function whole(): Scenario {
  const it = synced(10, WHOLE);
  it.loaded(10, [entry('a', 5), entry('c', 9)]);
  return it;
}

describe('loading', () => {
  test('[C22] each cached namespace is loaded page by page, strict and deleted ones are not', () => {
    const it = new Scenario(WHOLE);
    it.event({ type: 'start' });
    const names = [
      namespace('gone', 'cached', 3, true),
      namespace('limits', 'strict'),
      namespace('more', 'cached'),
      namespace('pages', 'cached'),
    ];
    it.sync(10, 1, names);
    expect(it.take('load')).toMatchObject({ namespace: 'more', after: '', minRevision: 10 });
    expect(it.tryTake('load')).toBeNull();
    const { loadId } = { loadId: 0 };
    it.event({ type: 'loaded', loadId, epoch: 1, revision: revision(10), entries: [], more: false });
    expect(it.view.load.wholeNamespaces).toBe(0);
  });

  test('[C22] reads do not wait for it', () => {
    const it = synced(10, WHOLE);
    const read = it.read('a');
    it.filled(10, entry('a', 5));
    expect(it.shown(read)).toBe('a@5');
    expect(it.listed(it.list())).toBe('fallback');
  });

  test('[C22] a failed page is asked for again, later and later, and does not keep the others waiting', () => {
    const it = new Scenario(WHOLE);
    it.event({ type: 'start' });
    it.sync(10, 1, [namespace('more', 'cached'), namespace('pages', 'cached')]);
    const first = it.take('load');
    it.event({ type: 'loadFailed', loadId: first.loadId, code: 'STORE_UNREACHABLE' });
    expect(it.tryTake('load')).toBeNull();
    it.pass(99);
    expect(it.tryTake('load')).toBeNull();
    it.pass(1);
    const second = it.take('load');
    expect([first.namespace, second.namespace]).toEqual(['more', 'pages']);
    it.event({ type: 'loadFailed', loadId: second.loadId, code: 'STORE_UNREACHABLE' });
    it.pass(199);
    expect(it.tryTake('load')).toBeNull();
    it.pass(1);
    expect(it.take('load').namespace).toBe('more');
    expect(it.view.counters).toMatchObject({ loads: 3, loadsFailed: 2 });
  });

  test('[C22] a namespace that the store does not know is left alone', () => {
    const it = synced(10, WHOLE);
    const { loadId } = it.take('load');
    it.event({ type: 'loadFailed', loadId, code: 'NAMESPACE_NOT_FOUND' });
    it.pass(3000);
    expect(it.tryTake('load')).toBeNull();
  });

  test('[C23] R7, R9: what the feed says while pages come is newer than they are', () => {
    const it = synced(10, WHOLE);
    it.loaded(10, [entry('a', 5), entry('b', 6)], true);
    it.feed(10, 14, [put('a', 11), remove('b', 12), remove('d', 13), put('e', 14)]);
    it.loaded(14, [entry('c', 7)], true);
    expect(it.take('load')).toMatchObject({ after: 'c' });
    const page = [entry('d', 8), entry('e', 9), entry('f', 10)];
    expect(it.view.load.wholeNamespaces).toBe(0);
    // The answer to a page that nobody waits for changes nothing.
    it.event({ type: 'loaded', loadId: 0, epoch: 1, revision: revision(14), entries: page, more: false });
    expect(it.view.load.wholeNamespaces).toBe(0);
  });

  test('[C23] R7: a page read before a deletion does not bring the entry back', () => {
    const it = synced(10, WHOLE);
    const { loadId } = it.take('load');
    it.feed(10, 12, [remove('a', 11), put('b', 12)]);
    const entries = [entry('a', 5), entry('b', 6), entry('c', 7)];
    it.event({ type: 'loaded', loadId, epoch: 1, revision: revision(10), entries, more: false });
    expect(it.listed(it.list())).toEqual(['b', 'c']);
    expect(it.shown(it.read('b'))).toBe('b@12');
  });

  test('[C23] a page from ahead of the watermark waits for it', () => {
    const it = synced(10, WHOLE);
    it.loaded(12, [entry('a', 12)]);
    const read = it.read('b');
    expect([it.shown(read), it.listed(it.list())]).toEqual([undefined, 'fallback']);
    it.feed(10, 12, [remove('b', 11), put('a', 12)]);
    expect([it.shown(read), it.shown(it.read('a')), it.listed(it.list())]).toEqual([null, 'a@12', ['a']]);
  });

  test.each([
    ['older than what was asked for', 9, [entry('a', 5)], false],
    ['of another namespace', 10, [{ ...entry('a', 5), namespace: 'other' }], false],
    ['out of order', 10, [entry('b', 5), entry('a', 6)], false],
    ['empty, and not the last', 10, [], true],
  ])('[C23] a page that is %s is a failure', (_what, at, entries, more) => {
    const it = synced(10, WHOLE);
    it.loaded(at, entries, more);
    expect(it.view.counters.loadsFailed).toBe(1);
    expect(it.listed(it.list())).toBe('fallback');
    it.pass(100);
    expect(it.take('load')).toMatchObject({ after: '' });
  });

  test('[C5] R15: a page of a newer epoch drops everything, one of an earlier epoch nothing', () => {
    const it = synced(10, WHOLE);
    it.loaded(10, [entry('a', 5)], false, 0);
    expect(it.view.watermark).toBe(10);
    it.pass(100);
    it.loaded(4, [], false, 2);
    expect([it.view.watermark, it.view.epoch]).toEqual([null, 2]);
    it.sync(4, 2);
    expect(it.take('load')).toMatchObject({ after: '', minRevision: 4 });
  });
});

describe('what is held whole', () => {
  test('[C24] R8: says of a key that it is not there, and asks nobody', () => {
    const it = whole();
    expect([it.shown(it.read('a')), it.shown(it.read('b'))]).toEqual(['a@5', null]);
    expect(it.tryTake('fill')).toBeNull();
    it.feed(10, 11, [put('b', 11)]);
    it.feed(11, 12, [remove('a', 12)]);
    expect([it.shown(it.read('a')), it.shown(it.read('b'))]).toEqual([null, 'b@11']);
  });

  test('[C24] lists in the order of keys, with a prefix and a limit', () => {
    const it = whole();
    it.feed(10, 13, [put('b/2', 11), put('b/10', 12), put('b', 13)]);
    expect(it.listed(it.list())).toEqual(['a', 'b', 'b/10', 'b/2', 'c']);
    expect(it.listed(it.list('b/'))).toEqual(['b/10', 'b/2']);
    expect(it.listed(it.list('x'))).toEqual([]);
    const cut = it.list('', { type: 'eventual' }, 2);
    expect(it.answers.get(cut)).toMatchObject({ truncated: true, revision: 13, level: 'eventual' });
    expect(it.listed(cut)).toEqual(['a', 'b']);
  });

  test('[C24] a list is cut at as many bytes as one of the store', () => {
    const it = synced(10, { wholeNamespaceBytesMax: 8 * 1024 * 1024 });
    const large = ['a', 'b', 'c'].map((key) => entry(key, 5, 'x'.repeat(512 * 1024)));
    it.loaded(10, large);
    const read = it.list();
    expect(it.listed(read)).toEqual(['a']);
    expect(it.answers.get(read)).toMatchObject({ truncated: true });
    expect(it.view.held()?.wholes[0]?.entries).toHaveLength(3);
  });

  test('[C24] a list is linearizable when it is asked for, and waits for every own write', () => {
    const it = whole();
    it.pass(500);
    it.commands.length = 0;
    const proven = it.list('', LINEARIZABLE);
    it.event({ type: 'ownWrite', namespace: 'pages', key: 'x', revision: revision(11) });
    const own = it.list();
    expect([it.listed(proven), it.listed(own)]).toEqual([undefined, undefined]);
    it.feed(10, 11, [put('x', 11)]);
    expect(it.listed(own)).toEqual(['a', 'c', 'x']);
    it.pass(1001);
    expect(it.listed(proven)).toBe('fallback');
  });

  test('[C24] fills under way end with what the whole namespace says', () => {
    const it = synced(10, WHOLE);
    const [held, absent] = [it.read('a'), it.read('b')];
    it.loaded(10, [entry('a', 5)]);
    expect([it.shown(held), it.shown(absent)]).toEqual(['a@5', null]);
    it.filled(10, entry('a', 5));
    expect(it.view.load.fills).toBe(0);
  });

  test('[C25] a namespace that is created is complete from that moment, a deleted one is gone', () => {
    const it = whole();
    it.feed(10, 11, [{ type: 'namespace', record: namespace('new', 'cached', 11) }]);
    expect(it.listed(it.list('', { type: 'eventual' }, 100, 'new'))).toEqual([]);
    it.feed(11, 12, [{ type: 'namespace', record: namespace('pages', 'cached', 12, true) }]);
    expect(it.shown(it.read('a'))).toBe('strict');
    it.feed(12, 13, [{ type: 'namespace', record: namespace('pages', 'cached', 13) }]);
    expect(it.shown(it.read('a'))).toBe(null);
  });

  test('[C8] a page of a namespace that was deleted and created anew meanwhile is not merged', () => {
    const it = synced(10, WHOLE);
    const { loadId } = it.take('load');
    it.feed(10, 12, [
      { type: 'namespace', record: namespace('pages', 'cached', 11, true) },
      { type: 'namespace', record: namespace('pages', 'cached', 12) },
    ]);
    const entries = [entry('a', 5)];
    it.event({ type: 'loaded', loadId, epoch: 1, revision: revision(10), entries, more: false });
    expect(it.listed(it.list())).toEqual([]);
  });

  test('[C25] one that grows too large is held by demand, and its bytes are free again', () => {
    const it = synced(10, { wholeNamespaceBytesMax: 900 });
    it.loaded(10, [entry('a', 5), entry('c', 9)]);
    expect(it.view.load.wholeBytes).toBeGreaterThan(500);
    it.feed(10, 12, [put('d', 11), put('e', 12)]);
    expect(it.view.load).toMatchObject({ wholeBytes: 0, wholeNamespaces: 0 });
    expect(it.view.counters.wholesTooLarge).toBe(1);
    expect(it.listed(it.list())).toBe('fallback');
    const read = it.read('e');
    it.filled(12, entry('e', 12));
    expect(it.shown(read)).toBe('e@12');
  });

  test('[C25] all together stay within their budget', () => {
    const it = new Scenario({ ...WHOLE, wholeBytesMax: 600 });
    it.event({ type: 'start' });
    it.sync(10, 1, [namespace('more', 'cached'), namespace('pages', 'cached')]);
    it.loaded(10, [{ ...entry('a', 5), namespace: 'more' }]);
    it.loaded(10, [entry('a', 5), entry('b', 6)]);
    expect(it.view.load.wholeNamespaces).toBe(1);
    expect(it.listed(it.list('', { type: 'eventual' }, 9, 'more'))).toEqual(['a']);
    expect(it.listed(it.list())).toBe('fallback');
  });

  test('[C3] a view that fell behind what is retained loads everything anew', () => {
    const it = whole();
    it.feed(12, 13, [put('a', 13)]);
    const { pullId } = it.take('pull');
    it.event({ type: 'compacted', pullId, epoch: 1, oldest: revision(12) });
    expect(it.shown(it.read('b'))).toBeNull();
    it.sync(13);
    const read = it.read('b');
    expect(it.shown(read)).toBeUndefined();
    it.loaded(13, [entry('a', 13)]);
    expect(it.shown(read)).toBeNull();
  });
});
