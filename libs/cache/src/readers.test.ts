import { revision, TOKENS_NAMESPACE } from '@quorate/kv';
import type { Change, Entry, NamespaceRecord } from '@quorate/kv';
import { describe, expect, test } from 'vitest';
import {
  batch,
  entry,
  EVENTUAL,
  LINEARIZABLE,
  namespace,
  NAMESPACES,
  put,
  Scenario,
} from './scenario.testing.js';
import type { CacheReadLevel, MayRead } from './types.js';

const NAMES = [...NAMESPACES, namespace(TOKENS_NAMESPACE, 'cached', 0)];

/** A token is its own hash here, and its record is the principal, with an hour from which on it is not known. */
const mayRead: MayRead = ({ token, readers, recordOf, nowMs }) => {
  if (token === 'admin') return null;
  const record = recordOf(token);
  const [principal = '', untilMs = ''] = new TextDecoder()
    .decode(record ?? new Uint8Array())
    .split(' until ');
  if (record === null || nowMs >= Number(untilMs)) return { code: 'UNAUTHENTICATED', message: 'not known' };
  return readers === null || readers.includes(principal) ? null : { code: 'FORBIDDEN', message: 'no reader' };
};

function tokenEntry(token: string, at: number, principal = token, untilMs = Infinity): Entry {
  const value = new TextEncoder().encode(`${principal} until ${untilMs}`);
  return { ...entry(token, at), namespace: TOKENS_NAMESPACE, value };
}
function grant(token: string, at: number): Change {
  return { type: 'put', entry: tokenEntry(token, at) };
}
function revoke(token: string, at: number): Change {
  return { type: 'delete', namespace: TOKENS_NAMESPACE, key: token, revision: revision(at) };
}
function readers(names: readonly string[] | null, at: number): Change {
  const record: NamespaceRecord = { ...namespace('pages', 'cached'), revision: revision(at), readers: names };
  return { type: 'namespace', record };
}

/** Holds page a at 10, and the tokens of alice and bob. */
function started(wholeNamespaceBytesMax = 100_000): Scenario {
  const it = new Scenario({ wholeNamespaceBytesMax, mayRead });
  it.event({ type: 'start' });
  it.sync(10, 1, NAMES);
  it.probed(10);
  it.loaded(10, [tokenEntry('alice', 3), tokenEntry('bob', 4)]);
  if (wholeNamespaceBytesMax > 0) it.loaded(10, [entry('a', 10)]);
  return it;
}

let nextId = 1_000;
function ask(it: Scenario, token: string, key = 'a', level: CacheReadLevel = EVENTUAL): number {
  nextId += 1;
  it.event({ type: 'read', readId: nextId, namespace: 'pages', key, level, minRevision: null, token });
  return nextId;
}
/** The text shown, or why he is refused. */
function told(it: Scenario, readId: number): string | null | undefined {
  const outcome = it.answers.get(readId);
  if (outcome === undefined || outcome === 'fallback') return outcome;
  return outcome.type === 'denied' ? outcome.code : it.shown(readId);
}

describe('who may read', () => {
  test('[C27] whose token is known, in every namespace without readers, and in one whose reader he is', () => {
    const it = started();
    const asked = ['alice', 'mallory', 'admin'].map((token) => told(it, ask(it, token)));
    expect(asked).toEqual(['a@10', 'UNAUTHENTICATED', 'a@10']);
    it.feed(10, 11, [readers(['bob'], 11)]);
    expect(['alice', 'bob', 'admin'].map((token) => told(it, ask(it, token)))).toEqual([
      'FORBIDDEN',
      'a@10',
      'a@10',
    ]);
    expect(it.view.counters.denied).toBe(2);
  });

  test('[C27] a revoked reader sees what he might have seen before, and never what was written after', () => {
    const it = started();
    expect(told(it, ask(it, 'alice'))).toBe('a@10');
    // Cut off from here on: the revocation is at 11, the secret at 12, and nothing of it has come.
    it.pass(10_000);
    expect(told(it, ask(it, 'alice'))).toBe('a@10');
    it.event({ type: 'feedBatch', batch: batch(10, 12, [revoke('alice', 11), put('a', 12)]) });
    expect(['alice', 'bob'].map((token) => told(it, ask(it, token)))).toEqual(['UNAUTHENTICATED', 'a@12']);
  });

  test('[C27] is judged when he is answered, not when he asked', () => {
    const it = started(0);
    const [waiting, allowed] = [ask(it, 'alice', 'b'), ask(it, 'bob', 'b')];
    const proven = ask(it, 'alice', 'a', LINEARIZABLE);
    expect([told(it, waiting), told(it, proven)]).toEqual([undefined, undefined]);
    it.feed(10, 12, [revoke('alice', 11), put('b', 12)]);
    expect([told(it, waiting), told(it, allowed)]).toEqual(['UNAUTHENTICATED', 'b@12']);
    it.probed(12);
    it.take('fill');
    it.filled(12, entry('a', 10));
    expect(told(it, proven)).toBe('UNAUTHENTICATED');
  });

  test('[C27] a grant is seen as soon as it is applied', () => {
    const it = started();
    it.feed(10, 11, [grant('carol', 11)]);
    expect(told(it, ask(it, 'carol'))).toBe('a@10');
  });

  test('[C27] what has expired stays so, though the clock be set back', () => {
    const it = started();
    const untilMs = it.now.wallMs + 5_000;
    it.feed(10, 11, [{ type: 'put', entry: tokenEntry('dave', 11, 'dave', untilMs) }]);
    expect(told(it, ask(it, 'dave'))).toBe('a@10');
    it.pass(5_000);
    expect(told(it, ask(it, 'dave'))).toBe('UNAUTHENTICATED');
    it.pass(10, -60_000);
    expect(told(it, ask(it, 'dave'))).toBe('UNAUTHENTICATED');
  });

  test('[C27] an absence and a list are told to readers only', () => {
    const it = started();
    it.feed(10, 11, [readers([], 11)]);
    expect(told(it, ask(it, 'alice', 'nothing'))).toBe('FORBIDDEN');
    it.event({
      type: 'list',
      readId: 1,
      namespace: 'pages',
      prefix: '',
      limit: 9,
      level: EVENTUAL,
      minRevision: null,
      token: 'alice',
    });
    expect(it.answers.get(1)).toEqual({ type: 'denied', code: 'FORBIDDEN', message: 'no reader' });
  });

  test('[C27] as long as the tokens are not known the store is asked, but for whom no token need be known', () => {
    const it = new Scenario({ wholeNamespaceBytesMax: 0, mayRead });
    it.event({ type: 'start' });
    it.sync(10, 1, NAMES);
    it.read('a');
    it.filled(10, entry('a', 10));
    expect([told(it, ask(it, 'alice')), told(it, ask(it, 'admin'))]).toEqual(['fallback', 'a@10']);
    const blind = new Scenario();
    blind.event({ type: 'start' });
    blind.sync(10);
    blind.read('a');
    blind.filled(10, entry('a', 10));
    expect(told(blind, ask(blind, 'admin'))).toBe('fallback');
  });

  test('[C28] the tokens are loaded first, and whatever they take', () => {
    const it = new Scenario({ wholeNamespaceBytesMax: 300, wholeBytesMax: 300, mayRead });
    it.event({ type: 'start' });
    it.sync(10, 1, NAMES);
    expect(it.commands.find(({ type }) => type === 'load')).toMatchObject({ namespace: TOKENS_NAMESPACE });
    it.loaded(
      10,
      Array.from({ length: 9 }, (_, number) => tokenEntry(`token-${number}`, 5)),
    );
    expect(it.view.load).toMatchObject({ wholeNamespaces: 1, wholeBytes: 0 });
    expect(it.take('load').namespace).toBe('pages');
  });

  test('[C29] new readers leave what is held as it is', () => {
    const it = started(0);
    const read = it.read('a');
    it.filled(10, entry('a', 10));
    it.feed(10, 11, [readers(null, 11)]);
    expect([it.shown(read), it.shown(it.read('a'))]).toEqual(['a@10', 'a@10']);
  });
});
