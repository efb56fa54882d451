import { describe, expect, it } from 'vitest';
import { NO_ANSWER, type Told, brokenBy, refusal } from '../operations.testing.js';
import { compareAndSet } from './compare-and-set.js';
import { counter } from './counter.js';
import { list } from './list.js';
import { register } from './register.js';
import { set } from './set.js';

describe('the counter', () => {
  const increment = (count: number, told: Partial<Told> & Pick<Told, 'ms'>): Told => ({
    action: 'compareAndSet',
    key: 'one',
    written: { count, by: `counter/0/${told.ms[0]}` },
    revision: told.ms[0],
    ...told,
  });
  const final = (count: number | null, key = 'one'): Told => ({
    action: 'final get',
    key,
    value: count === null ? null : { count, by: 'x' },
    ms: [900, 901],
  });
  const other = final(null, 'two');

  it('may have counted what nobody knows of, and need not have', () => {
    const history = [
      increment(1, { ms: [1, 2] }),
      increment(2, { ms: [3, null], ...NO_ANSWER }),
      increment(2, { ms: [4, 5], ...refusal('NO_QUORUM') }),
      other,
    ];
    expect(brokenBy(counter('t'), [...history, final(1)])).toEqual([]);
    expect(brokenBy(counter('t'), [...history, final(2)])).toEqual([]);
  });

  it('has lost an update when it is less than was acknowledged', () => {
    const history = [increment(1, { ms: [1, 2] }), increment(2, { ms: [3, 4] }), final(1), other];
    expect(brokenBy(counter('t'), history)).toEqual(['exactly once']);
  });

  it('has counted twice when it is more than was asked for', () => {
    const history = [increment(1, { ms: [1, 2] }), increment(2, { ms: [3, 4], ...refusal('NO_QUORUM') })];
    expect(brokenBy(counter('t'), [...history, final(2), other])).toEqual(['exactly once']);
  });

  it('never gives one count to two who were both acknowledged', () => {
    const history = [increment(1, { ms: [1, 3] }), increment(1, { ms: [2, 4] }), final(2), other];
    expect(brokenBy(counter('t'), history)).toEqual(['exactly once']);
  });

  it('must be there to be read in the end', () => {
    expect(brokenBy(counter('t'), [other])).toEqual(['availability']);
  });
});

describe('the set', () => {
  const put = (element: number, told: Partial<Told> & Pick<Told, 'ms'>): Told => ({
    action: 'put',
    key: `0/0/${element}`,
    written: `set/0/${element}`,
    revision: told.ms[0],
    ...told,
  });
  const listed = (...entries: readonly (readonly [number, number, number?])[]): Told => ({
    action: 'list',
    key: '0/0/',
    ms: [900, 901],
    value: entries.map(([element, revision, version = 1]) => ({
      key: `0/0/${element}`,
      value: `set/0/${element}`,
      revision,
      version,
    })),
  });

  it('holds what was acknowledged, nothing that was refused, and what nobody knows of or not', () => {
    const history = [
      put(1, { ms: [1, 2], attempts: 3 }),
      put(2, { ms: [3, null], ...NO_ANSWER, revision: null }),
      put(3, { ms: [4, 5], ...refusal('NO_QUORUM'), revision: null }),
    ];
    expect(brokenBy(set('t'), [...history, listed([1, 1])])).toEqual([]);
    expect(brokenBy(set('t'), [...history, listed([1, 1], [2, 77])])).toEqual([]);
    expect(brokenBy(set('t'), [...history, listed([2, 77])])).toEqual(['exactly once']);
    expect(brokenBy(set('t'), [...history, listed([1, 1], [3, 77])])).toEqual(['exactly once']);
  });

  it('was applied twice when an element is in its second version', () => {
    const history = [put(1, { ms: [1, 2], attempts: 2 })];
    expect(brokenBy(set('t'), [...history, listed([1, 1, 2])])).toEqual(['exactly once']);
    const unknown = [put(1, { ms: [1, null], ...NO_ANSWER, revision: null, attempts: 6 })];
    expect(brokenBy(set('t'), [...unknown, listed([1, 5, 2])])).toEqual(['exactly once']);
  });

  it('was applied anew when an element is at another revision than was acknowledged', () => {
    expect(brokenBy(set('t'), [put(1, { ms: [1, 2] }), listed([1, 9])])).toEqual(['exactly once']);
  });

  it('holds nothing that nobody put', () => {
    expect(brokenBy(set('t'), [put(1, { ms: [1, 2] }), listed([1, 1], [8, 9])])).toEqual(['exactly once']);
  });

  it('must be there to be listed in the end, and whole', () => {
    expect(brokenBy(set('t'), [put(1, { ms: [1, 2] })])).toEqual(['availability']);
    const cut: Told = { ...listed(), value: null };
    expect(brokenBy(set('t'), [put(1, { ms: [1, 2] }), cut])).toEqual(['availability']);
  });
});

describe('the list', () => {
  const append = (elements: readonly string[], told: Partial<Told> & Pick<Told, 'ms'>): Told => ({
    action: 'compareAndSet',
    key: 'list-0',
    written: elements,
    revision: told.ms[0],
    ...told,
  });
  const seen = (elements: readonly string[], action = 'final get'): Told => ({
    action,
    key: 'list-0',
    value: elements,
    ms: action === 'get' ? [500, 501] : [900, 901],
  });

  it('has each acknowledged append once and in order, and what nobody knows of or not', () => {
    const history = [
      append(['a'], { ms: [1, 2] }),
      append(['a', 'b'], { ms: [3, null], ...NO_ANSWER, revision: null }),
    ];
    expect(brokenBy(list('t'), [...history, seen(['a'])])).toEqual([]);
    const went = [...history, append(['a', 'b', 'c'], { ms: [5, 6] }), seen(['a', 'b'], 'get')];
    expect(brokenBy(list('t'), [...went, seen(['a', 'b', 'c'])])).toEqual([]);
  });

  it('has lost, doubled or invented nothing', () => {
    const history = [append(['a'], { ms: [1, 2] }), append(['a', 'b'], { ms: [3, 4] })];
    expect(brokenBy(list('t'), [...history, seen(['a'])])).toEqual(['exactly once']);
    expect(brokenBy(list('t'), [...history, seen(['a', 'b', 'b'])])).toEqual(['exactly once']);
    expect(brokenBy(list('t'), [...history, seen(['a', 'b', 'z'])])).toEqual(['exactly once']);
    const refused = [...history, append(['a', 'b', 'c'], { ms: [5, 6], ...refusal('NO_QUORUM') })];
    expect(brokenBy(list('t'), [...refused, seen(['a', 'b', 'c'])])).toEqual(['exactly once']);
  });

  it('never changes its order, nor its beginning', () => {
    const history = [append(['a'], { ms: [1, 2] }), append(['a', 'b'], { ms: [3, 4] })];
    expect(brokenBy(list('t'), [...history, seen(['b', 'a'])])).toEqual(['order']);
    expect(brokenBy(list('t'), [...history, seen(['b'], 'get'), seen(['a', 'b'])])).toEqual(['order']);
  });
});

describe('compare and set', () => {
  const refused = (revision: number | null, expected: number | null): Told => ({
    action: 'compareAndSet',
    ms: [1, 2],
    ...refusal('PRECONDITION_FAILED', 412),
    revision,
    expected,
    head: 9,
  });

  it('refuses what does not hold, and never what does', () => {
    expect(brokenBy(compareAndSet('t'), [refused(5, 4), refused(5, null), refused(null, 4)])).toEqual([]);
    expect(brokenBy(compareAndSet('t'), [refused(5, 5)])).toEqual(['compare and set']);
    expect(brokenBy(compareAndSet('t'), [refused(null, null)])).toEqual(['compare and set']);
  });
});

describe('registers', () => {
  it('are left to the checkers', () => {
    expect(brokenBy(register('t'), [])).toEqual([]);
  });
});
