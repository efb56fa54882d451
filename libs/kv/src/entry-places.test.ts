import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { put, createNamespace, remove, run, seededRandom } from './commands.testing.js';
import { Entries } from './entries.js';
import { EntryPlaces } from './entry-places.js';
import { EntrySlabs } from './entry-slabs.js';
import type { StoredEntry } from './entry-slabs.js';
import { StateMachine } from './state-machine.js';
import { revision } from './types.js';

test.each([1, 2, 3])('[K29] [K37] what a clone was made of does not see it change, seed %i', (seed) => {
  const random = seededRandom(seed);
  const slabs = new EntrySlabs();
  let places = new EntryPlaces();
  let expected = new Map<number, number>();
  const frozen: { places: EntryPlaces; expected: Map<number, number> }[] = [];
  for (let step = 1; step <= 12_000; step += 1) {
    const known = [...(step % 3 === 0 ? expected.keys() : [])];
    const number = known.length > 0 ? (known[random(known.length)] ?? 0) : places.take();
    if (random(6) === 0 && expected.delete(number)) {
      places.giveBack(number);
    } else {
      places.set(storedOf(number, step));
      expected.set(number, step);
    }
    if (random(800) > 0) continue;
    frozen.push({ places, expected });
    places = places.clone();
    expected = new Map(expected);
  }
  frozen.push({ places, expected });
  expect(frozen.length).toBeGreaterThan(5);
  for (const { places: some, expected: revisions } of frozen) {
    expect(revisions.size).toBeGreaterThan(0);
    for (const [number, at] of revisions) expect(some.get(number).revision).toBe(at);
  }

  function storedOf(number: number, at: number): StoredEntry {
    const value = new Uint8Array(1);
    const entry = {
      namespace: 'n',
      key: 'k',
      value,
      revision: revision(at),
      version: 1,
      createRevision: revision(1),
    };
    return slabs.add(entry, number);
  }
});

test('[K37] a number is used again only when its entry is gone', () => {
  const places = new EntryPlaces();
  expect([places.take(), places.take(), places.take()]).toEqual([0, 1, 2]);
  const slabs = new EntrySlabs();
  for (const number of [0, 1, 2]) {
    const value = new Uint8Array(1);
    const entry = {
      namespace: 'n',
      key: 'k',
      value,
      revision: revision(1),
      version: 1,
      createRevision: revision(1),
    };
    places.set(slabs.add(entry, number));
  }
  places.giveBack(1);
  expect(() => places.get(1)).toThrow('entry 1 is there');
  expect([places.take(), places.take()]).toEqual([1, 3]);
});

test('[K37] an entry keeps its number through changes, and gives it back when it is deleted', () => {
  const entries = new Entries([1, 2]);
  for (let round = 0; round < 3; round += 1) {
    for (const key of ['a', 'b', 'a', 'b', 'a']) {
      const value = new Uint8Array(20_000);
      const entry = {
        namespace: 'n',
        key,
        value,
        revision: revision(1),
        version: 1,
        createRevision: revision(1),
      };
      entries.put(entry, entries.get(key));
    }
    expect(['a', 'b'].map((key) => entries.get(key)?.number).toSorted()).toEqual([0, 1]);
    for (const key of ['a', 'b']) {
      const stored = entries.get(key);
      if (stored !== undefined) entries.delete(key, stored);
    }
    expect(entries.size).toBe(0);
  }
});

test('[K37] entries that come and go keep their values, and a snapshot what they were', () => {
  const random = seededRandom(37);
  const machine = new StateMachine();
  run(machine, createNamespace('n'));
  const values = new Map<string, number>();
  const snapshots: { chunks: Iterable<Uint8Array>; values: Map<string, number> }[] = [];
  for (let step = 0; step < 8_000; step += 1) {
    const key = `key ${random(2_500)}`;
    if (random(3) === 0) {
      run(machine, remove('n', key));
      values.delete(key);
    } else {
      run(machine, put('n', key, new Uint8Array(120).fill(step)));
      values.set(key, step % 256);
    }
    if (step % 1_500 === 0) snapshots.push({ chunks: machine.snapshot(), values: new Map(values) });
  }
  for (const { chunks, values: then } of snapshots) check(StateMachine.restore(chunks), then);
  check(machine, values);

  function check(some: StateMachine, expected: Map<string, number>): void {
    expect(some.entryCount).toBe(expected.size);
    for (const [key, byte] of expected) expect(some.get('n', key)?.value[0]).toBe(byte);
  }
});

test('[K33] what went before is kept by nobody: not by pages that have not changed since', async () => {
  // A capture that was let go of once kept all rows of its time, as long as one page of it was still as it was.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const slabs = new EntrySlabs();
  const [value, version, at] = [new Uint8Array(1), 1, revision(1)];
  const store = (to: EntryPlaces, key: string, number: number): void =>
    to.set(slabs.add({ namespace: 'n', key, value, revision: at, version, createRevision: at }, number));
  let places = new EntryPlaces();
  for (let number = 0; number < 3_000; number += 1) store(places, `key ${number}`, places.take());
  const captured = new WeakRef(places);
  places = places.clone();
  store(places, 'changed', 0);
  await new Promise((resolve) => setImmediate(resolve)); // a WeakRef is kept until the turn ends
  collect();
  expect(captured.deref()).toBeUndefined();
  expect(places.get(2_999).entry().key).toBe('key 2999');
});
