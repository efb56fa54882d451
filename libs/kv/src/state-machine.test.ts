import { describe, expect, test } from 'vitest';
import { encodeCommand } from './codec.js';
import { StateMachine } from './state-machine.js';
import type { StateMachineOptions } from './state-machine.js';
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
import type { ApplyResult, Change, Condition } from './types.js';
import { changeRevision } from './codec.js';
import { revision } from './types.js';

function machineWith(...namespaces: string[]): StateMachine {
  const machine = new StateMachine();
  for (const name of namespaces) run(machine, createNamespace(name));
  return machine;
}

const failed = (code: string, head: number, currentRevision: number | null = null) => ({
  type: 'failed',
  code,
  currentRevision,
  head,
});

describe('namespaces and entries', () => {
  test('[K3] indexes come in order, and a no-op moves nothing else', () => {
    const machine = machineWith('n');
    machine.applyNoop(2);
    expect([machine.appliedIndex, machine.head]).toEqual([2, 1]);
    const bytes = encodeCommand(commandOf(put('n', 'k')));
    expect(() => machine.apply(2, bytes)).toThrow(/applied in order/);
    expect(() => machine.apply(4, bytes)).toThrow(/applied in order/);
    expect(() => machine.applyNoop(4)).toThrow(/applied in order/);
    expect(machine.appliedIndex).toBe(2);
  });

  test('[K5] access is there from the start, strict, and stays', () => {
    const machine = new StateMachine();
    const atZero = { deleted: false, revision: 0, createRevision: 0, readers: null };
    const access = { name: 'access', kind: 'strict', ...atZero };
    expect(machine.namespace('access')).toEqual(access);
    expect(machine.namespaceRevision('access')).toBe(0);
    expect(run(machine, createNamespace('access', 'strict'))).toEqual({
      type: 'done',
      revision: 0,
      created: false,
      version: 0,
      createRevision: 0,
      head: 0,
    });
    expect(run(machine, createNamespace('access', 'cached'))).toEqual(failed('NAMESPACE_KIND_CONFLICT', 0));
    expect(run(machine, deleteNamespace('access'))).toEqual(failed('INVALID_COMMAND', 0));
    expect(codeOf(run(machine, put('access', 'policy'), {}))).toBe('done');
  });

  test('[K5] tokens is there from the start, cached, and stays; its entries are published', () => {
    const machine = new StateMachine();
    expect(machine.namespace('tokens')).toEqual({
      name: 'tokens',
      kind: 'cached',
      deleted: false,
      revision: 0,
      createRevision: 0,
      readers: null,
    });
    expect(run(machine, createNamespace('tokens'))).toMatchObject({ created: false, revision: 0, head: 0 });
    expect(run(machine, createNamespace('tokens', 'strict'))).toEqual(failed('NAMESPACE_KIND_CONFLICT', 0));
    expect(run(machine, deleteNamespace('tokens'))).toEqual(failed('INVALID_COMMAND', 0));
    expect(machine.entryCountOf('tokens')).toBe(0);
    expect(codeOf(run(machine, put('tokens', 'a')))).toBe('done');
    expect([machine.entryCountOf('tokens'), machine.entryCountOf('never')]).toEqual([1, 0]);
    expect(machine.publishedRevision).toBe(1);
  });

  test('[K38] [K39] readers are set, lifted, published, and gone with a deletion', () => {
    const machine = machineWith('n');
    run(machine, put('n', 'k'));
    expect(run(machine, setReaders('n', ['ada', 'bob']))).toEqual({
      type: 'done',
      revision: 3,
      created: false,
      version: 0,
      createRevision: 1,
      head: 3,
    });
    const record = { name: 'n', kind: 'cached', deleted: false, revision: 3, createRevision: 1 };
    expect(machine.namespace('n')).toEqual({ ...record, readers: ['ada', 'bob'] });
    expect(machine.namespaceRevision('n')).toBe(3);
    expect(machine.get('n', 'k')).toBeDefined();
    expect(machine.publishedChanges(revision(2), 1e6, 1)).toEqual({
      type: 'batch',
      batch: {
        epoch: 1,
        previous: 2,
        revision: 3,
        changes: [{ type: 'namespace', record: { ...record, readers: ['ada', 'bob'] } }],
      },
    });
    expect(codeOf(run(machine, setReaders('n', ['ada', 'bob'])))).toBe('done');
    expect(run(machine, createNamespace('n'))).toMatchObject({ created: false, head: 4 });
    expect(machine.namespace('n')?.readers).toEqual(['ada', 'bob']);
    expect(codeOf(run(machine, setReaders('n', [])))).toBe('done');
    expect(machine.namespace('n')?.readers).toEqual([]);
    run(machine, deleteNamespace('n'));
    expect(machine.namespace('n')).toMatchObject({ deleted: true, readers: null, createRevision: 1 });
    run(machine, createNamespace('n'));
    expect(machine.namespace('n')).toMatchObject({ readers: null, revision: 7, createRevision: 7 });
    run(machine, setReaders('n', ['ada']));
    expect(run(machine, setReaders('n', null))).toMatchObject({ type: 'done', revision: 9 });
    expect(machine.namespace('n')?.readers).toBeNull();
  });

  test.each<[string, readonly string[] | null, string]>([
    ['access', null, 'INVALID_COMMAND'],
    ['tokens', null, 'INVALID_COMMAND'],
    ['n', Array.from({ length: 257 }, (_, at) => `p${at}`), 'INVALID_COMMAND'],
    ['n', ['a', 'a'], 'INVALID_COMMAND'],
    ['n', [''], 'INVALID_COMMAND'],
    ['n', ['é'.repeat(129)], 'INVALID_COMMAND'],
    ['n', Array.from({ length: 2_000 }, (_, at) => `p${at}`), 'INVALID_COMMAND'],
    ['strict', ['a'], 'NAMESPACE_NOT_CACHED'],
    ['never', ['a'], 'NAMESPACE_NOT_FOUND'],
    ['gone', null, 'NAMESPACE_NOT_FOUND'],
  ])('[K38] of %s to %j: %s', (name, readers, code) => {
    const machine = machineWith('n', 'gone');
    run(machine, createNamespace('strict', 'strict'));
    run(machine, deleteNamespace('gone'));
    expect(run(machine, setReaders(name, readers))).toEqual(failed(code, 4));
  });

  test('[K38] all readers together are bounded, through changes, deletions and a snapshot', () => {
    const names = Array.from({ length: 9 }, (_, at) => `n${at}`);
    let machine = machineWith(...names);
    const most = Array.from({ length: 256 }, (_, at) => String(at).padStart(252, 'r'));
    for (const name of names.slice(0, 8)) expect(codeOf(run(machine, setReaders(name, most)))).toBe('done');
    // 8 times 256 of 252 bytes and 4 of length are 512 KiB to the byte.
    machine = StateMachine.restore(machine.snapshot());
    expect(codeOf(run(machine, setReaders('n8', ['a'])))).toBe('TOO_MANY_READERS');
    expect(codeOf(run(machine, setReaders('n8', [])))).toBe('done');
    expect(codeOf(run(machine, setReaders('n7', most.toReversed())))).toBe('done');
    run(machine, setReaders('n7', most.slice(1)));
    expect(codeOf(run(machine, setReaders('n8', ['r'.repeat(252)])))).toBe('done');
    expect(codeOf(run(machine, setReaders('n7', most)))).toBe('TOO_MANY_READERS');
    run(machine, deleteNamespace('n0'));
    expect(codeOf(run(machine, setReaders('n7', most)))).toBe('done');
  });

  test('[K38] the largest of everything is fine', () => {
    const machine = machineWith('n');
    const readers = Array.from(
      { length: 256 },
      (_, at) => `${String(at).padStart(4, '0')}${'é'.repeat(126)}`,
    );
    expect(codeOf(run(machine, setReaders('n', readers)))).toBe('done');
    const restored = StateMachine.restore(machine.snapshot());
    expect(restored.namespace('n')?.readers).toEqual(readers);
    expect(restored.stateHash()).toBe(machine.stateHash());
  });

  test('[K6] [K7] a name keeps its kind through deletion and comes back empty', () => {
    const machine = machineWith('n');
    run(machine, put('n', 'a'));
    run(machine, put('n', 'b'));
    expect(run(machine, createNamespace('n', 'cached'))).toMatchObject({
      created: false,
      revision: 3,
      head: 3,
    });
    expect(codeOf(run(machine, createNamespace('n', 'strict')))).toBe('NAMESPACE_KIND_CONFLICT');
    expect(run(machine, deleteNamespace('n'))).toEqual({
      type: 'done',
      revision: 4,
      created: false,
      version: 0,
      createRevision: 1,
      head: 4,
    });
    expect(machine.entryCount).toBe(0);
    expect(machine.get('n', 'a')).toBeUndefined();
    expect(machine.namespace('n')).toEqual({
      name: 'n',
      kind: 'cached',
      deleted: true,
      revision: 4,
      createRevision: 1,
      readers: null,
    });
    for (const operation of [
      put('n', 'a'),
      remove('n', 'a'),
      deleteNamespace('n'),
      deleteNamespace('never'),
    ]) {
      expect(run(machine, operation)).toEqual(failed('NAMESPACE_NOT_FOUND', 4));
    }
    expect(codeOf(run(machine, createNamespace('n', 'strict')))).toBe('NAMESPACE_KIND_CONFLICT');
    expect(run(machine, createNamespace('n'))).toMatchObject({
      created: true,
      revision: 5,
      createRevision: 5,
    });
    expect(machine.list('n', { prefix: '', limit: 10 })).toEqual({ entries: [], truncated: false });
    expect(machine.namespaces().map((record) => record.name)).toEqual(['access', 'n', 'tokens']);
  });

  test('[K31] a name beyond the limit is refused; deleted names count, and re-creation is no new name', () => {
    const machine = new StateMachine({ namespacesMax: 4 });
    run(machine, createNamespace('a'));
    run(machine, createNamespace('b'));
    run(machine, deleteNamespace('a'));
    expect(codeOf(run(machine, createNamespace('c')))).toBe('TOO_MANY_NAMESPACES');
    expect(run(machine, createNamespace('a'))).toMatchObject({ type: 'done', created: true });
  });

  test('[K4] [K8] [K9] revisions, versions and create revisions of an entry through its lives', () => {
    const machine = machineWith('n');
    const first = run(machine, put('n', 'k', '1'));
    expect(first).toEqual({
      type: 'done',
      revision: 2,
      created: true,
      version: 1,
      createRevision: 2,
      head: 2,
    });
    const second = run(machine, put('n', 'k', '1'));
    expect(second).toEqual({
      type: 'done',
      revision: 3,
      created: false,
      version: 2,
      createRevision: 2,
      head: 3,
    });
    expect(run(machine, remove('n', 'absent'))).toEqual(failed('ENTRY_NOT_FOUND', 3));
    expect(run(machine, remove('n', 'k'))).toEqual({
      type: 'done',
      revision: 4,
      created: false,
      version: 0,
      createRevision: 2,
      head: 4,
    });
    expect(machine.get('n', 'k')).toBeUndefined();
    expect(run(machine, put('n', 'k', '2'))).toMatchObject({ created: true, version: 1, createRevision: 5 });
    expect(machine.get('n', 'k')).toEqual({
      namespace: 'n',
      key: 'k',
      value: utf8('2'),
      revision: 5,
      version: 1,
      createRevision: 5,
    });
    expect(machine.namespaceRevision('n')).toBe(5);
  });

  test.each<[Condition, boolean, boolean]>([
    [{ type: 'none' }, true, true],
    [{ type: 'absent' }, false, true],
    [{ type: 'present' }, true, false],
    [{ type: 'revision', revision: revision(2) }, true, false],
    [{ type: 'revision', revision: revision(1) }, false, false],
    [{ type: 'revision', revision: revision(0) }, false, false],
  ])('[K9] [K10] condition %j', (condition, holdsWhenPresent, holdsWhenAbsent) => {
    for (const operation of [put, remove]) {
      const machine = machineWith('n');
      run(machine, put('n', 'there'));
      const options = { condition };
      const present = operation === put ? put('n', 'there', 'x', options) : remove('n', 'there', options);
      const absent = operation === put ? put('n', 'gone', 'x', options) : remove('n', 'gone', options);
      const answer = run(machine, absent);
      const expected = operation === put ? 'done' : 'ENTRY_NOT_FOUND';
      expect(codeOf(answer)).toBe(holdsWhenAbsent ? expected : 'PRECONDITION_FAILED');
      if (answer.type === 'failed') expect(answer.currentRevision).toBeNull();
      const head = machine.head;
      const second = run(machine, present);
      if (holdsWhenPresent) expect(second.type).toBe('done');
      else expect(second).toEqual(failed('PRECONDITION_FAILED', head, 2));
    }
  });

  test('[K11] ifNamespaceRevision is that of the newest change, and comes before the condition', () => {
    const machine = machineWith('n');
    expect(codeOf(run(machine, put('access', 'a', 'x', { ifNamespaceRevision: 0 })))).toBe('done');
    expect(codeOf(run(machine, put('access', 'a', 'x', { ifNamespaceRevision: 0 })))).toBe(
      'NAMESPACE_CHANGED',
    );
    const absent: Condition = { type: 'absent' };
    expect(run(machine, put('access', 'a', 'x', { ifNamespaceRevision: 1, condition: absent }))).toEqual(
      failed('NAMESPACE_CHANGED', 2),
    );
    expect(codeOf(run(machine, remove('access', 'a', { ifNamespaceRevision: 2 })))).toBe('done');
    expect(codeOf(run(machine, put('access', 'b', 'x', { ifNamespaceRevision: 3 })))).toBe('done');
    expect(machine.namespaceRevision('n')).toBe(1);
    expect(machine.namespaceRevision('never')).toBe(0);
  });

  test.each([
    ['an empty name', createNamespace('')],
    ['a name in capitals', createNamespace('Shop')],
    ['a name with a line break', createNamespace('shop\n')],
    ['a name of 64', createNamespace('n'.repeat(64))],
    ['a put into no name', put('a/b', 'k')],
    ['a deletion of no name', deleteNamespace('-a')],
    ['an empty key', put('n', '')],
    ['a key with NUL', put('n', 'a\0b')],
    ['a key of 1,025 bytes', put('n', 'é'.repeat(512) + 'a')],
    ['a deletion of no key', remove('n', '')],
    ['a value that is too large', put('n', 'k', new Uint8Array(512 * 1024 + 1))],
    ['a value that does not even decode', put('n', 'k', new Uint8Array(1024 * 1024 + 1))],
  ])('[K12] %s is INVALID_COMMAND', (_, operation) => {
    const machine = machineWith('n');
    expect(run(machine, operation)).toEqual(failed('INVALID_COMMAND', 1));
  });

  test('[K12] the largest of everything is fine', () => {
    const name = 'n'.repeat(63);
    const machine = machineWith(name);
    expect(codeOf(run(machine, put(name, 'é'.repeat(512), new Uint8Array(512 * 1024))))).toBe('done');
    expect(codeOf(run(machine, put(name, 'a', new Uint8Array(0))))).toBe('done');
  });

  test('[K26] lists are in the order of UTF-8 bytes, by prefix and limit', () => {
    const machine = machineWith('n', 'm');
    const keys = ['a', 'a/', 'a/b', 'a0', 'b', '\u{ff5e}', '\u{1f600}', '\u{1f600}x', 'é'];
    for (const key of keys.toReversed()) run(machine, put('n', key));
    const listed = machine.list('n', { prefix: '', limit: 1000 }).entries.map((entry) => entry.key);
    expect(listed).toEqual(
      keys.toSorted((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right))),
    );
    const page = machine.list('n', { prefix: 'a/', limit: 1 });
    expect(page).toMatchObject({ entries: [{ key: 'a/' }], truncated: true });
    expect(machine.list('n', { prefix: 'a/', limit: 2 }).truncated).toBe(false);
    expect(machine.list('m', { prefix: '', limit: 2 }).entries).toEqual([]);
    expect(machine.list('never', { prefix: '', limit: 2 }).entries).toEqual([]);
    expect(() => machine.list('n', { prefix: '', limit: 1001 })).toThrow(/limit/);
  });

  test('[K41] pages have each entry once, in order, at least one a page, and end with the last', () => {
    const machine = machineWith('n', 'm');
    const keys = ['a', 'a/', 'a/b', 'b', '\u{ff5e}', '\u{1f600}'];
    for (const key of keys.toReversed()) run(machine, put('n', key, new Uint8Array(100)));
    for (const bytesMax of [1, 350, 10_000]) {
      const seen: string[] = [];
      for (let more = true; more;) {
        const page = machine.page('n', seen.at(-1) ?? '', bytesMax);
        expect(page.entries.length).toBeGreaterThan(0);
        const bytes = page.entries.reduce((sum, entry) => sum + entry.bytes.length, 0);
        expect(page.entries.length === 1 || bytes <= bytesMax).toBe(true);
        seen.push(...page.entries.map(({ key }) => key));
        more = page.more;
      }
      expect(seen).toEqual(keys);
    }
    expect(machine.page('n', '\u{1f600}', 100)).toEqual({ entries: [], more: false });
    expect(machine.page('m', '', 100)).toEqual({ entries: [], more: false });
    expect(machine.page('never', '', 100)).toEqual({ entries: [], more: false });
  });
});

describe('exactly once, link clients', () => {
  const stamp = (sequence: number, completedThrough = 0, clientId = 1) => ({
    registration: { clientId, sequence, completedThrough },
  });

  function registered(options: StateMachineOptions = {}): StateMachine {
    const machine = new StateMachine(options);
    run(machine, createNamespace('n'));
    run(machine, 'register');
    return machine;
  }

  test('[K13] ids count up, and a registration carries no stamp', () => {
    const machine = registered();
    expect(run(machine, 'register')).toEqual({ type: 'registered', clientId: 2, head: 1 });
    expect(codeOf(run(machine, 'register', stamp(1)))).toBe('INVALID_COMMAND');
    expect(codeOf(run(machine, 'register', { idempotency: { key: 'k' } }))).toBe('INVALID_COMMAND');
    expect(run(machine, 'register')).toMatchObject({ clientId: 3 });
  });

  test('[K14] a duplicate gets the same answer and is not applied, a failure as well', () => {
    const machine = registered();
    const absent: Condition = { type: 'absent' };
    const first = run(machine, put('n', 'k', '1', { condition: absent }), stamp(1));
    const second = run(machine, put('n', 'k', '2', { condition: absent }), stamp(2));
    expect([first.type, codeOf(second)]).toEqual(['done', 'PRECONDITION_FAILED']);
    run(machine, remove('n', 'k'));
    const head = machine.head;
    expect(run(machine, put('n', 'k', '1', { condition: absent }), stamp(1))).toEqual(first);
    expect(run(machine, put('n', 'k', '2', { condition: absent }), stamp(2))).toEqual(second);
    expect(machine.head).toBe(head);
    const invalid = run(machine, put('n', ''), stamp(3));
    expect(run(machine, put('n', 'valid'), stamp(3))).toEqual(invalid);
  });

  test('[K14] an unknown client is REGISTRATION_EXPIRED and nothing is applied', () => {
    const machine = registered();
    expect(run(machine, put('n', 'k'), stamp(1, 0, 2))).toEqual(failed('REGISTRATION_EXPIRED', 1));
    expect(run(machine, put('n', 'k'), stamp(1, 0, 0))).toEqual(failed('REGISTRATION_EXPIRED', 1));
    expect(machine.get('n', 'k')).toBeUndefined();
  });

  test('[K15] completedThrough forgets answers, never falls, and stays below the sequence', () => {
    const machine = registered();
    for (const sequence of [1, 2, 3]) run(machine, put('n', `k${sequence}`), stamp(sequence));
    run(machine, put('n', 'k4'), stamp(4, 2));
    expect(codeOf(run(machine, put('n', 'late'), stamp(1)))).toBe('SEQUENCE_COMPLETED');
    expect(codeOf(run(machine, put('n', 'late'), stamp(2, 0)))).toBe('SEQUENCE_COMPLETED');
    expect(run(machine, put('n', 'again'), stamp(3))).toMatchObject({ type: 'done', revision: 4 });
    expect(codeOf(run(machine, put('n', 'k'), stamp(5, 5)))).toBe('INVALID_COMMAND');
    expect(codeOf(run(machine, put('n', 'k'), stamp(0, 0)))).toBe('INVALID_COMMAND');
    expect(codeOf(run(machine, put('n', 'five'), stamp(5, 0)))).toBe('done');
    const far = Number.MAX_SAFE_INTEGER;
    expect(codeOf(run(machine, put('n', 'far'), stamp(far, far - 1)))).toBe('done');
    expect(codeOf(run(machine, put('n', 'five'), stamp(5, 0)))).toBe('SEQUENCE_COMPLETED');
    expect(machine.get('n', 'late')).toBeUndefined();
  });

  test('[K16] one outstanding answer too many is refused and may be sent again', () => {
    const machine = registered({ answersPerClientMax: 2 });
    run(machine, put('n', 'a'), stamp(1));
    run(machine, put('n', 'b'), stamp(2));
    expect(codeOf(run(machine, put('n', 'c'), stamp(3)))).toBe('TOO_MANY_OUTSTANDING');
    expect(machine.get('n', 'c')).toBeUndefined();
    expect(run(machine, put('n', 'a'), stamp(1))).toMatchObject({ type: 'done', revision: 2 });
    expect(codeOf(run(machine, put('n', 'c'), stamp(3, 1)))).toBe('done');
  });

  test('[K17] the client least recently used in log order goes', () => {
    const machine = registered({ registrationsMax: 2 });
    run(machine, 'register');
    run(machine, put('n', 'k'), stamp(1, 0, 1));
    // Impossible: no use, so client 2 stays the oldest.
    run(machine, put('n', 'k'), stamp(1, 1, 2));
    expect(run(machine, 'register')).toMatchObject({ clientId: 3 });
    expect(codeOf(run(machine, put('n', 'k'), stamp(1, 0, 2)))).toBe('REGISTRATION_EXPIRED');
    expect(run(machine, put('n', 'k'), stamp(1, 0, 1))).toMatchObject({ type: 'done', revision: 2 });
    expect(codeOf(run(machine, put('n', 'k'), stamp(1, 0, 3)))).toBe('done');
  });
});

describe('authorisation', () => {
  const registration = { clientId: 1, sequence: 1, completedThrough: 0 };

  function withTokens(): StateMachine {
    const machine = machineWith('n');
    run(machine, 'register');
    expect(codeOf(run(machine, put('n', 'before'), { ifTokensRevision: 0 }))).toBe('done');
    run(machine, put('tokens', 'one'));
    return machine;
  }

  test('[K40] a command that was authorised before the newest change of tokens does nothing', () => {
    const machine = withTokens();
    expect(machine.namespaceRevision('tokens')).toBe(3);
    expect(run(machine, put('n', 'k'), { ifTokensRevision: 0 })).toEqual(failed('AUTHORIZATION_CHANGED', 3));
    expect(run(machine, put('n', 'k'), { ifTokensRevision: 4 })).toEqual(failed('AUTHORIZATION_CHANGED', 3));
    expect(machine.get('n', 'k')).toBeUndefined();
    expect(codeOf(run(machine, put('n', 'k'), { ifTokensRevision: 3 }))).toBe('done');
    // Other namespaces do not matter, and a deletion in tokens does.
    expect(codeOf(run(machine, put('access', 'p')))).toBe('done');
    expect(codeOf(run(machine, put('n', 'k'), { ifTokensRevision: 3 }))).toBe('done');
    run(machine, remove('tokens', 'one'));
    expect(codeOf(run(machine, put('n', 'k'), { ifTokensRevision: 3 }))).toBe('AUTHORIZATION_CHANGED');
  });

  test('[K40] it is looked at before both layers of exactly once, and neither keeps it', () => {
    const machine = withTokens();
    const stamps = { registration, idempotency: { key: 'k' } };
    const hash = (): string => machine.stateHash();
    run(machine, put('n', 'k'), { ...stamps, ifTokensRevision: 0 });
    expect(machine.load).toMatchObject({ answersPerClient: 0, idempotencyKeys: 0 });
    const done = run(machine, put('n', 'k'), { ...stamps, ifTokensRevision: 3 });
    expect(done.type).toBe('done');
    // Who lost his right is not told what became of his write either: it has to be authorised anew first.
    expect(codeOf(run(machine, put('n', 'k'), { ...stamps, ifTokensRevision: 0 }))).toBe(
      'AUTHORIZATION_CHANGED',
    );
    expect(run(machine, put('n', 'k'), { ...stamps, ifTokensRevision: 3 })).toEqual(done);
    expect(run(machine, put('n', 'k'), stamps)).toEqual(done);
    expect(StateMachine.restore(machine.snapshot()).stateHash()).toBe(hash());
  });

  test('[K40] [K17] [K22] refused it is no use of its client, but its time counts', () => {
    const machine = new StateMachine({ registrationsMax: 2 });
    run(machine, 'register');
    run(machine, 'register');
    run(machine, put('tokens', 'one'));
    run(machine, put('n', 'k'), { registration, ifTokensRevision: 0, timeMs: 77 });
    expect(machine.timeMs).toBe(77);
    run(machine, 'register');
    expect(codeOf(run(machine, put('n', 'k'), { registration }))).toBe('REGISTRATION_EXPIRED');
  });
});

describe('exactly once, end clients', () => {
  const keyed = (key: string, fingerprint = 'f', principal = 'alice') => ({
    idempotency: { key, fingerprint, principal },
  });

  test('[K18] the same key and fingerprint: the same answer; another fingerprint: reused; another principal: new', () => {
    const machine = machineWith('n');
    const first = run(machine, put('n', 'k', '1'), keyed('x'));
    run(machine, put('n', 'k', '2'));
    expect(run(machine, put('n', 'k', '1'), keyed('x'))).toEqual(first);
    expect(machine.get('n', 'k')?.value).toEqual(utf8('2'));
    expect(run(machine, put('n', 'k', '1'), keyed('x', 'g'))).toEqual(failed('IDEMPOTENCY_KEY_REUSED', 3));
    expect(run(machine, put('n', 'k', '1'), keyed('x', 'f', 'bob'))).toMatchObject({ revision: 4 });
    // ("alicex", "y") is not ("alice", "xy").
    expect(run(machine, put('n', 'k'), keyed('xy'))).toMatchObject({ revision: 5 });
    expect(run(machine, put('n', 'k'), keyed('y', 'f', 'alicex'))).toMatchObject({ revision: 6 });
  });

  test.each([
    ['no principal', keyed('k', 'f', '')],
    ['a long principal', keyed('k', 'f', 'p'.repeat(513))],
    ['no key', keyed('')],
    ['a long key', keyed('é'.repeat(129))],
    ['no fingerprint', keyed('k', '')],
    ['a long fingerprint', keyed('k', 'f'.repeat(65))],
  ])('[K18] %s is INVALID_COMMAND', (_, stamps) => {
    expect(codeOf(run(machineWith('n'), put('n', 'k'), stamps))).toBe('INVALID_COMMAND');
  });

  test('[K19] a failure that was told stays true for a late copy of the request', () => {
    const machine = machineWith('n');
    const request = put('n', 'k', 'x', { condition: { type: 'present' } });
    const told = run(machine, request, keyed('x'));
    expect(told).toEqual(failed('PRECONDITION_FAILED', 1));
    run(machine, put('n', 'k', 'other'));
    expect(run(machine, request, keyed('x'))).toEqual(told);
    expect(machine.get('n', 'k')?.value).toEqual(utf8('other'));
    expect(codeOf(run(machine, put('n', ''), keyed('y')))).toBe('INVALID_COMMAND');
    expect(codeOf(run(machine, put('n', 'k'), keyed('y', 'corrected')))).toBe('done');
  });

  test('[K20] the oldest key goes, and asking does not make it younger', () => {
    const machine = new StateMachine({ idempotencyKeysMax: 2 });
    run(machine, createNamespace('n'));
    for (const key of ['a', 'b', 'a', 'c']) run(machine, put('n', key), keyed(key));
    expect(machine.head).toBe(4);
    expect(run(machine, put('n', 'b'), keyed('b'))).toMatchObject({ revision: 3 });
    expect(run(machine, put('n', 'a'), keyed('a'))).toMatchObject({ revision: 5 });
  });

  test('[K21] a registration answers first, and keeps what the second layer answered', () => {
    const machine = machineWith('n');
    run(machine, 'register');
    const stamp = (sequence: number) => ({ clientId: 1, sequence, completedThrough: 0 });
    const first = run(machine, put('n', 'k'), { ...keyed('x'), registration: stamp(1) });
    // The sequence is known: nobody looks at the other fingerprint.
    expect(run(machine, put('n', 'k'), { ...keyed('x', 'other'), registration: stamp(1) })).toEqual(first);
    const reused = run(machine, put('n', 'k'), { ...keyed('x', 'other'), registration: stamp(2) });
    expect(codeOf(reused)).toBe('IDEMPOTENCY_KEY_REUSED');
    expect(run(machine, put('n', 'k'), { registration: stamp(2) })).toEqual(reused);
    expect(run(machine, put('n', 'k'), { ...keyed('x'), registration: stamp(3) })).toEqual(first);
    expect(machine.head).toBe(2);
  });
});

describe('published changes', () => {
  function batch(machine: StateMachine, after: number, bytesMax = 1e9) {
    const answer = machine.publishedChanges(revision(after), bytesMax, 7);
    if (answer.type !== 'batch') throw new Error(`compacted to ${answer.oldest}`);
    return answer.batch;
  }

  test('[K23] [K24] cached entries and all records, whole stretches, no hole for strict entries', () => {
    const machine = machineWith('n');
    run(machine, createNamespace('s', 'strict'));
    run(machine, put('s', 'secret'));
    run(machine, put('n', 'k', '1'));
    run(machine, remove('n', 'k'));
    run(machine, put('s', 'secret'));
    expect([machine.head, machine.publishedRevision]).toEqual([6, 5]);
    const whole = batch(machine, 0);
    expect(whole).toMatchObject({ epoch: 7, previous: 0, revision: 5 });
    expect(whole.changes.map((change) => [change.type, changeRevision(change)])).toEqual([
      ['namespace', 1],
      ['namespace', 2],
      ['put', 4],
      ['delete', 5],
    ]);
    expect(JSON.stringify(whole)).not.toContain('secret');
    expect(batch(machine, 3)).toMatchObject({ previous: 3, revision: 5 });
    expect(batch(machine, 5)).toEqual({ epoch: 7, previous: 5, revision: 5, changes: [] });
    expect(batch(machine, 6)).toEqual({ epoch: 7, previous: 6, revision: 6, changes: [] });
    run(machine, deleteNamespace('n'));
    expect(batch(machine, 6).changes).toMatchObject([{ type: 'namespace', record: { deleted: true } }]);
  });

  test('[K24] a small bytesMax still makes progress, one revision at a time', () => {
    const machine = machineWith('n');
    for (let index = 0; index < 20; index += 1) run(machine, put('n', `k${index}`, 'v'.repeat(1000)));
    const changes: Change[] = [];
    let after = 0;
    for (let rounds = 0; rounds < 30 && after < machine.publishedRevision; rounds += 1) {
      const part = batch(machine, after, 1);
      expect([part.previous, part.changes.length]).toEqual([after, 1]);
      changes.push(...part.changes);
      after = part.revision;
    }
    expect(changes).toEqual(batch(machine, 0).changes);
    expect(batch(machine, 1, 5_000).changes).toHaveLength(4);
  });

  test('[K22] [K25] dropped only when there are enough newer ones and it is old', () => {
    const machine = new StateMachine({ retainedChangesMin: 3, retainedMs: 100 });
    run(machine, createNamespace('n'), { timeMs: 1_000 });
    for (let index = 0; index < 5; index += 1) run(machine, put('n', `k${index}`), { timeMs: 1_001 + index });
    expect(batch(machine, 0).changes).toHaveLength(6);
    // A clock that fell behind: time stays at its maximum.
    run(machine, put('n', 'k'), { timeMs: 0 });
    run(machine, put('n', 'k'), { timeMs: 1_101 });
    expect(machine.publishedChanges(revision(0), 1e9, 7)).toEqual({ type: 'compacted', oldest: 1 });
    expect(batch(machine, 1).changes).toHaveLength(7);
    run(machine, put('n', 'k'), { timeMs: 9_000 });
    expect(machine.publishedChanges(revision(5), 1e9, 7)).toEqual({ type: 'compacted', oldest: 6 });
    expect(batch(machine, 6).changes).toHaveLength(3);
  });

  test('[K25] too many bytes drop the oldest, whatever their age', () => {
    const machine = new StateMachine({ retainedBytesMax: 10_000 });
    run(machine, createNamespace('n'));
    for (let index = 0; index < 100; index += 1) run(machine, put('n', 'k', 'v'.repeat(1_000)));
    const answer = machine.publishedChanges(revision(0), 1e9, 7);
    expect(answer).toEqual({ type: 'compacted', oldest: 93 });
    expect(batch(machine, 93).changes).toHaveLength(8);
  });
});

describe('determinism', () => {
  test('[K1] arbitrary bytes never throw and leave two machines equal', () => {
    const random = seededRandom(1);
    const first = machineWith('n');
    const second = machineWith('n');
    const codes = new Set<string>();
    const valid = [
      commandOf(put('n', 'k')),
      commandOf(remove('n', 'k')),
      commandOf(createNamespace('m')),
      commandOf('register'),
      commandOf(put('n', 'k'), {
        registration: { clientId: 1, sequence: 1, completedThrough: 0 },
        idempotency: { key: 'x' },
      }),
    ].map((command) => encodeCommand(command));
    for (let index = 2; index < 4_000; index += 1) {
      const bytes = new Uint8Array(valid[random(valid.length)] ?? []);
      for (let flips = random(4); flips > 0; flips -= 1) bytes[random(bytes.length)] = random(256);
      const cut = random(5) === 0 ? bytes.slice(0, random(bytes.length)) : bytes;
      const before = first.stateHash();
      const answers: ApplyResult[] = [first.apply(index, cut), second.apply(index, cut.slice())];
      expect(answers[0]).toEqual(answers[1]);
      expect(first.stateHash()).toBe(second.stateHash());
      expect(first.stateHash()).not.toBe(before);
      codes.add(codeOf(first.apply(index + 1, new Uint8Array())));
      second.apply(index + 1, new Uint8Array());
      if (answers[0] !== undefined) codes.add(codeOf(answers[0]));
      index += 1;
    }
    expect([...codes]).toEqual(expect.arrayContaining(['INVALID_COMMAND', 'done', 'registered']));
    expect(joined(first.snapshot())).toEqual(joined(second.snapshot()));
  });
});
