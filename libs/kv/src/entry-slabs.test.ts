import { describe, expect, test } from 'vitest';
import {
  createNamespace,
  deleteNamespace,
  joined,
  put,
  remove,
  run,
  seededRandom,
} from './commands.testing.js';
import { ByteWriter } from './bytes.js';
import { writeEntry } from './codec.js';
import { EntrySlabs, SLAB_BYTES_MAX, StoredEntry } from './entry-slabs.js';
import { StateMachine } from './state-machine.js';
import type { Entry } from './types.js';
import { VALUE_BYTES_MAX, revision } from './types.js';

function entryOf(key: string, value: Uint8Array, at = 1): Entry {
  return { namespace: 'n', key, value, revision: revision(at), version: at, createRevision: revision(1) };
}

/** Entries by key, as their owner keeps them, with what they should say. */
class Owner {
  readonly slabs = new EntrySlabs();
  readonly stored = new Map<string, StoredEntry>();
  readonly #numbers = new Map<string, number>();
  readonly #keys: string[] = [];
  readonly expected = new Map<string, Entry>();
  movedBytes = 0;
  /** In one change. */
  movedBytesMost = 0;
  removedBytes = 0;

  set(entry: Entry): StoredEntry {
    this.#remove(entry.key);
    const number = this.#numbers.get(entry.key) ?? this.#keys.push(entry.key) - 1;
    this.#numbers.set(entry.key, number);
    const stored = this.slabs.add(entry, number);
    this.stored.set(entry.key, stored);
    this.expected.set(entry.key, entry);
    this.#compact();
    return stored;
  }

  delete(key: string): void {
    this.#remove(key);
    this.stored.delete(key);
    this.expected.delete(key);
    this.#compact();
  }

  /** Bytes of all slabs that a live row keeps. */
  get slabBytes(): number {
    const slabs = new Set(Array.from(this.stored.values(), (stored) => stored.slab));
    return [...slabs].reduce((sum, slab) => sum + slab.bytes.length, 0);
  }

  #remove(key: string): void {
    const before = this.stored.get(key);
    if (before === undefined) return;
    this.removedBytes += before.byteLength;
    this.slabs.remove(before);
  }

  #compact(): void {
    let bytes = 0;
    this.slabs.compact((copy) => {
      bytes += copy.byteLength;
      const key = this.#keys[copy.number] ?? '';
      if (!this.stored.has(key)) throw new Error(`${key} is not live`);
      this.stored.set(key, copy);
    });
    this.movedBytesMost = Math.max(this.movedBytesMost, bytes);
    this.movedBytes += bytes;
  }
}

describe('slabs', () => {
  test.each([1, 2, 3])('[K35] [K36] random entries, whatever is moved, seed %i', (seed) => {
    const random = seededRandom(seed);
    const owner = new Owner();
    const handedOut: { stored: StoredEntry; entry: Entry; copy: Entry }[] = [];
    for (let step = 1; step <= 6_000; step += 1) {
      const key = `key ${random(400)}`;
      if (random(5) === 0) {
        owner.delete(key);
      } else {
        const length = random(50) === 0 ? random(40_000) : random(600);
        const entry = entryOf(key, new Uint8Array(length).fill(random(256)), step);
        const stored = owner.set(entry);
        if (random(20) === 0) handedOut.push({ stored, entry, copy: stored.entry() });
      }
      if (step % 1_000 !== 0) continue;
      let live = 0;
      for (const [name, stored] of owner.stored) {
        live += stored.byteLength;
        const expected = owner.expected.get(name);
        const head = [stored.entry().key, stored.revision, stored.version, stored.createRevision];
        expect(head).toEqual([name, expected?.revision, expected?.version, 1]);
        expect(sameEntry(stored.entry(), expected)).toBe(true);
      }
      expect(owner.slabs.liveBytes).toBe(live);
      // Half of each slab is live, but for the two open ones, a quarter at an end, and what was not emptied yet.
      expect(owner.slabBytes).toBeLessThan(3 * live + 4 * SLAB_BYTES_MAX);
    }
    expect(owner.movedBytes).toBeGreaterThan(100_000);
    expect(owner.movedBytes).toBeLessThanOrEqual(3 * owner.removedBytes);
    expect(owner.movedBytesMost).toBeLessThanOrEqual((SLAB_BYTES_MAX * 3) / 4);
    // What was handed out, or is held by a snapshot, is what it was.
    for (const { stored, entry, copy } of handedOut) {
      expect(sameEntry(stored.entry(), entry)).toBe(true);
      expect(sameEntry(copy, entry)).toBe(true);
    }
  });

  test('[K35] an entry that is handed on encoded is what it was, whatever becomes of it here', () => {
    const machine = new StateMachine();
    run(machine, createNamespace('n'));
    run(machine, put('n', 'key €', new Uint8Array([1, 2, 3])));
    const before = machine.get('n', 'key €');
    const encoded = machine.encoded('n', 'key €');
    for (let step = 0; step < 2_000; step += 1) run(machine, put('n', `key ${step % 3}`, new Uint8Array(99)));
    run(machine, put('n', 'key €', new Uint8Array([4])));
    const { namespace, key, value, revision: at, version, createRevision } = encoded ?? before!;
    expect({ namespace, key, value, revision: at, version, createRevision }).toEqual(before);
    const [one, other] = [new ByteWriter(), new ByteWriter()];
    writeEntry(one, encoded!);
    writeEntry(other, before!);
    expect(one.finish()).toEqual(other.finish());
    const now = machine.encoded('n', 'key €');
    now!.value[0] = 9;
    expect([machine.get('n', 'key €')?.value, machine.encoded('n', 'none')]).toEqual([
      new Uint8Array([4]),
      undefined,
    ]);
  });

  test('[K36] one long-lived entry does not keep a slab of dead ones', () => {
    const owner = new Owner();
    owner.set(entryOf('stays', new Uint8Array(100)));
    for (let step = 1; step < 5_000; step += 1) {
      // Every now and then one more that stays, among many that do not.
      if (step % 500 === 0) owner.set(entryOf(`stays ${step}`, new Uint8Array(100), step));
      owner.set(entryOf('hot', new Uint8Array(1_000), step));
    }
    expect(owner.slabBytes).toBeLessThan(3 * SLAB_BYTES_MAX);
    const slabs = new Set(Array.from(owner.stored.values(), (stored) => stored.slab));
    expect(slabs.size).toBeLessThanOrEqual(3);
  });

  test('[K36] a small namespace has small slabs, a large value one of its own', () => {
    const owner = new Owner();
    owner.set(entryOf('a', new Uint8Array(10)));
    expect(owner.slabBytes).toBeLessThanOrEqual(1_024);
    const large = owner.set(entryOf('b', new Uint8Array(VALUE_BYTES_MAX)));
    expect(large.slab.bytes.length).toBe(large.byteLength);
    owner.delete('b');
    expect(owner.slabBytes).toBeLessThanOrEqual(1_024);
  });

  function sameEntry(left: Entry, right: Entry | undefined): boolean {
    return (
      right !== undefined &&
      left.key === right.key &&
      left.revision === right.revision &&
      Buffer.compare(left.value, right.value) === 0
    );
  }
});

describe('a state machine', () => {
  test('[K35] an entry handed out is a copy: it never changes, and changing it changes nothing', () => {
    const machine = new StateMachine();
    run(machine, createNamespace('n'));
    const command = new Uint8Array(300).fill(1);
    run(machine, put('n', 'k', command));
    const hash = machine.stateHash();
    const snapshot = joined(machine.snapshot());
    const late = machine.snapshot();
    const batch = machine.publishedChanges(revision(1), 1e6, 1);
    const published = batch.type === 'batch' ? batch.batch.changes[0] : undefined;
    const handedOut = [
      machine.get('n', 'k'),
      machine.list('n', { prefix: '', limit: 10 }).entries[0],
      published?.type === 'put' ? published.entry : undefined,
    ];
    command.fill(9);
    for (const entry of handedOut) {
      expect(entry?.value.every((byte) => byte === 1)).toBe(true);
      entry?.value.fill(2);
    }
    expect(machine.get('n', 'k')?.value.every((byte) => byte === 1)).toBe(true);
    expect(machine.stateHash()).toBe(hash);
    expect(Buffer.compare(joined(late), snapshot)).toBe(0);
    const kept = machine.get('n', 'k');
    for (let step = 0; step < 3_000; step += 1) {
      run(machine, put('n', step % 2 === 0 ? 'k' : `k${step % 100}`, new Uint8Array(300).fill(step)));
    }
    run(machine, deleteNamespace('n'));
    expect(kept?.value.every((byte) => byte === 1)).toBe(true);
  });

  test('[K27] [K35] [K36] moving rows changes no answer: same bytes as a machine that never moved any', () => {
    const random = seededRandom(36);
    const machine = new StateMachine();
    run(machine, createNamespace('n'));
    for (let step = 0; step < 3_000; step += 1) {
      const key = `key ${random(300)}`;
      run(machine, random(4) === 0 ? remove('n', key) : put('n', key, new Uint8Array(200 + random(200))));
      if (step % 1_000 !== 999) continue;
      // Restored, every row is where it was put first.
      const restored = StateMachine.restore(machine.snapshot());
      expect(restored.stateHash()).toBe(machine.stateHash());
      expect(Buffer.compare(joined(restored.snapshot()), joined(machine.snapshot()))).toBe(0);
      const all = { prefix: '', limit: 1_000 };
      expect(rowOf(restored.list('n', all).entries)).toBe(rowOf(machine.list('n', all).entries));
      // What is retained is what the puts were, newest last, though their rows were moved since.
      const answer = machine.publishedChanges(revision(machine.head - 500), 1e9, 1);
      if (answer.type !== 'batch') throw new Error('nothing was dropped');
      const newest = new Map<string, Uint8Array | null>();
      for (const change of answer.batch.changes) {
        if (change.type === 'put') newest.set(change.entry.key, change.entry.value);
        else if (change.type === 'delete') newest.set(change.key, null);
      }
      expect(newest.size).toBeGreaterThan(100);
      for (const [name, value] of newest) {
        const now = machine.get('n', name)?.value;
        expect(now === undefined ? null : Buffer.from(now).toString('hex')).toBe(
          value === null ? null : Buffer.from(value).toString('hex'),
        );
      }
    }
  });

  function rowOf(entries: readonly Entry[]): string {
    return entries
      .map(({ key, revision, version, value }) => `${key} ${revision} ${version} ${value.length}`)
      .join('\n');
  }
});
