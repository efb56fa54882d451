import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, DecodeError } from './bytes.js';
import { encodeCommand } from './codec.js';
import { type Row, hashOfRow, readRow, writeRow } from './rows.js';
import { RowSum } from './state-hash.js';
import { StateMachine } from './state-machine.js';
import type { StateMachineOptions } from './state-machine.js';
import type { Stamps } from './commands.testing.js';
import {
  codeOf,
  commandOf,
  createNamespace,
  deleteNamespace,
  joined,
  put,
  remove,
  run,
  seededRandom,
  setReaders,
  utf8,
} from './commands.testing.js';
import type { ApplyResult, Condition, Entry, NamespaceKind, Operation } from './types.js';
import { revision } from './types.js';

const NAMESPACES = ['access', 'a', 'b', 'c-d', 'tokens'];
const KEYS = ['k', 'k/1', 'é', '\u{1f600}', '\u{ff5e}', 'x'.repeat(40), 'z'];
const SMALL: StateMachineOptions = { registrationsMax: 4, answersPerClientMax: 2, idempotencyKeysMax: 6 };

type Random = (bound: number) => number;

function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[random(items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

function randomOperation(random: Random, head: number): Operation {
  const namespace = pick(random, NAMESPACES);
  const key = pick(random, KEYS);
  const conditions: Condition[] = [
    { type: 'none' },
    { type: 'none' },
    { type: 'absent' },
    { type: 'present' },
    { type: 'revision', revision: revision(random(head + 2)) },
  ];
  const options = {
    condition: pick(random, conditions),
    ...(random(12) === 0 ? { ifNamespaceRevision: random(head + 1) } : {}),
  };
  const choice = random(21);
  if (choice === 20) return setReaders(namespace, random(3) === 0 ? null : [`p${random(9)}`]);
  if (choice < 10) return put(namespace, key, String(random(1000)), options);
  if (choice < 16) return remove(namespace, key, options);
  if (choice < 19)
    return createNamespace(namespace, pick<NamespaceKind>(random, ['strict', 'cached', 'cached']));
  return deleteNamespace(namespace);
}

function randomStamps(random: Random, timeMs: number): Stamps {
  const sequence = 1 + random(30);
  return {
    timeMs,
    ...(random(2) === 0
      ? {
          registration: {
            clientId: random(9),
            sequence,
            completedThrough: Math.max(0, sequence - 1 - random(6)),
          },
        }
      : {}),
    ...(random(16) === 0 ? { ifTokensRevision: random(3) } : {}),
    ...(random(3) === 0
      ? { idempotency: { key: `i${random(12)}`, fingerprint: random(5) === 0 ? 'g' : 'f' } }
      : {}),
  };
}

function randomStep(random: Random, machines: StateMachine[], timeMs: number): ApplyResult[] {
  const head = machines[0]?.head ?? 0;
  if (random(25) === 0) {
    for (const machine of machines) machine.applyNoop(machine.appliedIndex + 1);
    return [];
  }
  const operation = random(30) === 0 ? 'register' : randomOperation(random, head);
  const bytes = encodeCommand(
    operation === 'register'
      ? commandOf('register', { timeMs })
      : commandOf(operation, randomStamps(random, timeMs)),
  );
  return machines.map((machine) => machine.apply(machine.appliedIndex + 1, bytes));
}

/** The machine's snapshot with other rows (null: without this one), and with the right state hash for them. */
function rewritten(machine: StateMachine, change: (row: Row) => Row | null): Uint8Array {
  const reader = new ByteReader(joined(machine.snapshot()));
  const writer = new ByteWriter();
  writer.raw(reader.raw('quorate-kv-snapshot-1\n'.length));
  const sum = new RowSum();
  for (let bytes = reader.bytes(1_000_000); bytes.length > 0; bytes = reader.bytes(1_000_000)) {
    const row = change(readRow(new ByteReader(bytes)));
    if (row === null) continue;
    const encoded = new ByteWriter();
    writeRow(encoded, row);
    writer.bytes(encoded.finish());
    sum.add(hashOfRow(row));
  }
  writer.u32(0);
  writer.raw(new Uint8Array(Buffer.from(sum.toHex(), 'hex')));
  return writer.finish();
}

/** From the rows of a snapshot alone, with no help of the code under test but the byte reader. */
function hashFromNothing(machine: StateMachine): string {
  const reader = new ByteReader(joined(machine.snapshot()));
  reader.raw('quorate-kv-snapshot-1\n'.length);
  let sum = 0n;
  for (;;) {
    const row = reader.bytes(1_000_000);
    if (row.length === 0) break;
    const digest = createHash('sha256').update(row).digest('hex').slice(0, 32);
    sum = BigInt.asUintN(128, sum + BigInt(`0x${digest}`));
  }
  expect(reader.remaining).toBe(16);
  return sum.toString(16).padStart(32, '0');
}

/** A deliberately dumb model: plain maps, no hashes, no stamps. */
class Model {
  head = 0;
  readonly kinds = new Map<string, { kind: NamespaceKind; deleted: boolean; newest: number }>([
    ['access', { kind: 'strict', deleted: false, newest: 0 }],
    ['tokens', { kind: 'cached', deleted: false, newest: 0 }],
  ]);
  entries: Entry[] = [];
  readonly readers = new Map<string, readonly string[] | null>();

  apply(operation: Operation): string {
    const name = operation.namespace;
    const namespace = this.kinds.get(name);
    if (operation.type === 'createNamespace') {
      if (namespace !== undefined && namespace.kind !== operation.kind) return 'NAMESPACE_KIND_CONFLICT';
      if (namespace !== undefined && !namespace.deleted) return 'done';
      this.head += 1;
      this.kinds.set(name, { kind: operation.kind, deleted: false, newest: this.head });
      return 'done';
    }
    const isBuiltIn = name === 'access' || name === 'tokens';
    if (isBuiltIn && (operation.type === 'deleteNamespace' || operation.type === 'setReaders'))
      return 'INVALID_COMMAND';
    if (namespace === undefined || namespace.deleted) return 'NAMESPACE_NOT_FOUND';
    if (operation.type === 'setReaders') {
      if (namespace.kind === 'strict') return 'NAMESPACE_NOT_CACHED';
      this.head += 1;
      namespace.newest = this.head;
      this.readers.set(name, operation.readers);
      return 'done';
    }
    if (operation.type === 'deleteNamespace') {
      this.head += 1;
      this.readers.delete(name);
      this.kinds.set(name, { kind: namespace.kind, deleted: true, newest: this.head });
      this.entries = this.entries.filter((entry) => entry.namespace !== name);
      return 'done';
    }
    const { key, condition, ifNamespaceRevision } = operation;
    if (ifNamespaceRevision !== null && ifNamespaceRevision !== namespace.newest) return 'NAMESPACE_CHANGED';
    const old = this.entries.find((entry) => entry.namespace === name && entry.key === key);
    const met = { none: true, absent: !old, present: !!old, revision: false }[condition.type];
    const metRevision = condition.type === 'revision' && old?.revision === condition.revision;
    if (!met && !metRevision) return 'PRECONDITION_FAILED';
    if (operation.type === 'delete' && old === undefined) return 'ENTRY_NOT_FOUND';
    this.head += 1;
    namespace.newest = this.head;
    this.entries = this.entries.filter((entry) => entry !== old);
    if (operation.type === 'put') {
      const at = revision(this.head);
      const createRevision = old?.createRevision ?? at;
      const version = (old?.version ?? 0) + 1;
      this.entries.push({
        namespace: name,
        key,
        value: operation.value,
        revision: at,
        version,
        createRevision,
      });
    }
    return 'done';
  }

  list(name: string): Entry[] {
    return this.entries
      .filter((entry) => entry.namespace === name)
      .toSorted((left, right) => Buffer.compare(utf8(left.key), utf8(right.key)));
  }
}

describe('against a model', () => {
  test.each([1, 2, 3, 4])('[K4] [K6] [K7] [K8] [K9] [K10] [K11] [K26] random commands, seed %i', (seed) => {
    const random = seededRandom(seed);
    const machine = new StateMachine();
    const model = new Model();
    const caches = new Map<string, string>();
    let cursor = revision(0);
    for (let step = 0; step < 500; step += 1) {
      const operation = randomOperation(random, machine.head);
      expect(codeOf(run(machine, operation)), `step ${step}`).toBe(model.apply(operation));
      expect(machine.head).toBe(model.head);
      if (step % 20 !== 0) continue;
      for (const name of NAMESPACES) {
        expect(machine.list(name, { prefix: '', limit: 1000 }).entries).toEqual(model.list(name));
        expect(machine.namespaceRevision(name)).toBe(model.kinds.get(name)?.newest ?? 0);
        expect(machine.namespace(name)?.readers ?? null).toEqual(model.readers.get(name) ?? null);
      }
      expect(machine.entryCount).toBe(model.entries.length);
      // A consumer that follows the published changes ends with the cached entries.
      cursor = follow(machine, caches, cursor);
      const cached = model.entries.filter((entry) => model.kinds.get(entry.namespace)?.kind === 'cached');
      expect(caches).toEqual(
        new Map(
          cached.map((entry) => [`${entry.namespace} ${entry.key}`, Buffer.from(entry.value).toString()]),
        ),
      );
    }
  });

  function follow(machine: StateMachine, caches: Map<string, string>, from: number) {
    let cursor = revision(from);
    for (let rounds = 0; rounds < 100 && cursor < machine.publishedRevision; rounds += 1) {
      const answer = machine.publishedChanges(cursor, 300, 1);
      if (answer.type !== 'batch') throw new Error('nothing was dropped');
      for (const change of answer.batch.changes) {
        if (change.type === 'put') {
          const { namespace, key, value } = change.entry;
          caches.set(`${namespace} ${key}`, Buffer.from(value).toString());
        } else if (change.type === 'delete') {
          caches.delete(`${change.namespace} ${change.key}`);
        } else if (change.record.deleted) {
          for (const name of caches.keys())
            if (name.startsWith(`${change.record.name} `)) caches.delete(name);
        }
      }
      cursor = answer.batch.revision;
    }
    expect(cursor).toBe(machine.publishedRevision);
    return cursor;
  }
});

describe('state hash and snapshots', () => {
  test.each([18, 19, 24])('[K1] [K27] [K28] restored again and again, seed %i', (seed) => {
    const random = seededRandom(seed);
    const original = new StateMachine(SMALL);
    let other = new StateMachine(SMALL);
    const seen = new Set<string>();
    for (let step = 0; step < 1_000; step += 1) {
      const answers = randomStep(random, [original, other], random(5_000));
      expect(answers[1], `step ${step}`).toEqual(answers[0]);
      if (answers[0] !== undefined) seen.add(codeOf(answers[0]));
      expect(other.stateHash()).toBe(original.stateHash());
      if (step % 50 !== 0) continue;
      expect(hashFromNothing(original)).toBe(original.stateHash());
      const bytes = joined(original.snapshot());
      other = StateMachine.restore([bytes], SMALL);
      expect(joined(other.snapshot())).toEqual(bytes);
      expect(other.entryCount).toBe(original.entryCount);
    }
    // The walk went through every answer there is but the largest: P16 is about all of them.
    expect([...seen].toSorted()).toEqual([
      'AUTHORIZATION_CHANGED',
      'ENTRY_NOT_FOUND',
      'IDEMPOTENCY_KEY_REUSED',
      'INVALID_COMMAND',
      'NAMESPACE_CHANGED',
      'NAMESPACE_KIND_CONFLICT',
      'NAMESPACE_NOT_CACHED',
      'NAMESPACE_NOT_FOUND',
      'PRECONDITION_FAILED',
      'REGISTRATION_EXPIRED',
      'SEQUENCE_COMPLETED',
      'TOO_MANY_OUTSTANDING',
      'done',
      'registered',
    ]);
  });

  test('[K28] a duplicate from before the snapshot is still a duplicate after it (P16)', () => {
    const machine = new StateMachine();
    run(machine, createNamespace('n'));
    run(machine, 'register');
    const stamps = {
      registration: { clientId: 1, sequence: 1, completedThrough: 0 },
      idempotency: { key: 'x' },
    };
    const first = run(machine, put('n', 'k'), stamps);
    const restored = StateMachine.restore(machine.snapshot());
    expect(run(restored, put('n', 'k'), stamps)).toEqual(first);
    expect(run(restored, put('n', 'k'), { idempotency: { key: 'x' } })).toEqual(first);
    expect(run(restored, 'register')).toMatchObject({ clientId: 2 });
    expect(restored.publishedChanges(revision(1), 1e6, 1)).toEqual({ type: 'compacted', oldest: 2 });
    expect(restored.publishedChanges(revision(2), 1e6, 1)).toMatchObject({
      batch: { changes: [], revision: 2 },
    });
  });

  test('[K29] a snapshot does not see what is applied while it is read', () => {
    const random = seededRandom(29);
    const machine = new StateMachine(SMALL);
    for (let step = 0; step < 300; step += 1) randomStep(random, [machine], step);
    run(machine, createNamespace('big'));
    for (let key = 0; key < 400; key += 1) run(machine, put('big', `key ${key}`, 'v'.repeat(3_000)));
    const expected = joined(machine.snapshot());
    const hash = machine.stateHash();
    const parts: Uint8Array[] = [];
    const first = machine.snapshot();
    const late = machine.snapshot();
    for (const chunk of first) {
      parts.push(chunk);
      expect(chunk.length).toBeLessThanOrEqual(256 * 1024 + 64);
      for (let step = 0; step < 100; step += 1) {
        randomStep(random, [machine], step);
        run(
          machine,
          random(2) === 0 ? remove('big', `key ${random(400)}`) : put('big', `key ${random(800)}`, 'w'),
        );
      }
    }
    run(machine, deleteNamespace('big'));
    expect(parts.length).toBeGreaterThan(3);
    expect(Buffer.compare(Buffer.concat(parts), expected)).toBe(0);
    expect(Buffer.compare(joined(late), expected)).toBe(0);
    expect(StateMachine.restore(parts, SMALL).stateHash()).toBe(hash);
    expect(hashFromNothing(machine)).toBe(machine.stateHash());
  });

  test('[K30] every flipped bit and every cut is a DecodeError', () => {
    const random = seededRandom(30);
    const machine = new StateMachine(SMALL);
    for (let step = 0; step < 120; step += 1) randomStep(random, [machine], step);
    const bytes = joined(machine.snapshot());
    for (let at = 0; at < bytes.length; at += 1) {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] ?? 0) ^ (1 << random(8));
      expectRefused([damaged]);
      expectRefused([bytes.subarray(0, at)]);
    }
    expectRefused([bytes, Uint8Array.of(0)]);
    expectRefused([bytes, bytes]);
    expectRefused([]);
    expect(StateMachine.restore([bytes], SMALL).stateHash()).toBe(machine.stateHash());
  });

  test('[K30] [K5] a snapshot of before there were tokens gets them; a namespace of that name is not taken for them', () => {
    const machine = new StateMachine();
    run(machine, createNamespace('n'));
    run(machine, put('n', 'k'));
    const isTokens = (row: Row): boolean => row.type === 'namespace' && row.record.name === 'tokens';
    const restored = StateMachine.restore([rewritten(machine, (row) => (isTokens(row) ? null : row))]);
    expect(restored.stateHash()).toBe(machine.stateHash());
    expect(joined(restored.snapshot())).toEqual(joined(machine.snapshot()));
    for (const changed of [
      { createRevision: revision(1), revision: revision(1) },
      { kind: 'strict' } as const,
    ]) {
      const other = rewritten(machine, (row) =>
        row.type === 'namespace' && isTokens(row)
          ? { ...row, record: { ...row.record, ...changed }, newest: revision(1) }
          : row,
      );
      expectRefused([other]);
    }
  });

  test.each([
    ['a strict namespace', 's', ['ada']],
    ['a deleted one', 'gone', ['ada']],
    ['a built-in one', 'tokens', ['ada']],
    ['a cached one, twice the same', 'n', ['ada', 'ada']],
  ])('[K30] [K38] readers of %s are refused', (_, name, readers) => {
    const machine = new StateMachine();
    for (const cached of ['n', 'gone']) run(machine, createNamespace(cached));
    run(machine, createNamespace('s', 'strict'));
    run(machine, deleteNamespace('gone'));
    const changed = rewritten(machine, (row) =>
      row.type === 'namespace' && row.record.name === name
        ? { ...row, record: { ...row.record, readers } }
        : row,
    );
    expectRefused([changed]);
  });

  test('[K30] chunks may be cut anywhere', () => {
    const machine = new StateMachine();
    run(machine, createNamespace('n'));
    run(machine, put('n', 'k'));
    const bytes = joined(machine.snapshot());
    const single = Array.from(bytes, (byte) => Uint8Array.of(byte));
    expect(StateMachine.restore([new Uint8Array(), ...single]).stateHash()).toBe(machine.stateHash());
  });

  function expectRefused(chunks: Uint8Array[]): void {
    try {
      StateMachine.restore(chunks, SMALL);
    } catch (error) {
      if (error instanceof DecodeError) return;
      throw error;
    }
    throw new Error('a damaged snapshot was taken for a whole one');
  }
});
