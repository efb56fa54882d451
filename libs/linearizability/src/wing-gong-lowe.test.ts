import { describe, expect, it } from 'vitest';
import { checkByKey, type KeyCheckOptions } from './check-by-key.js';
import { busyHistory } from './histories.testing.js';
import type { HistoryOperation, ReadOperation, WriteOperation } from './history.js';
import { checkRevisionSweep } from './revision-sweep.js';

function put(
  id: number,
  value: string | null,
  from: number,
  to: number,
  more: Partial<WriteOperation> = {},
): WriteOperation {
  return {
    type: 'write',
    id,
    key: 'k',
    value,
    invokedAt: from,
    completedAt: to,
    outcome: 'done',
    revision: id,
    ...more,
  };
}
function open(
  id: number,
  value: string | null,
  from: number,
  more: Partial<WriteOperation> = {},
): WriteOperation {
  return put(id, value, from, 0, { completedAt: null, outcome: 'unknown', revision: null, ...more });
}
function read(
  id: number,
  value: string | null | undefined,
  entryRevision: number | null,
  from: number,
  to: number,
): ReadOperation {
  return { type: 'read', id, key: 'k', value, entryRevision, head: 99, invokedAt: from, completedAt: to };
}
function outcomeOf(history: readonly HistoryOperation[], options: Partial<KeyCheckOptions> = {}): string {
  const outcomes = [1, 2, 64].map(
    (windowOperationsMax) => checkByKey(history, { ...options, windowOperationsMax }).outcome,
  );
  expect(new Set(outcomes).size).toBe(1);
  return outcomes[0] ?? '';
}

describe('checkByKey', () => {
  it('convicts a stale read, and says where the order got stuck', () => {
    const verdict = checkByKey([put(1, 'a', 1, 2), put(2, 'b', 3, 4), read(3, 'a', 1, 5, 6)]);
    expect(verdict).toMatchObject({
      outcome: 'violation',
      key: 'k',
      offending: [2, 3],
      reason:
        'operation 3 read a of revision 1 in k at head 99, but no order of the operations on k allows it: ' +
        'in the one that came furthest the newest value was b (revision 2, operation 2)',
    });
  });

  it('lets operations that touch overlap', () => {
    expect(outcomeOf([put(1, 'a', 1, 2), read(2, null, null, 2, 3)])).toBe('linearizable');
    expect(outcomeOf([put(1, 'a', 1, 2), read(2, null, null, 2.5, 3)])).toBe('violation');
  });

  it('holds a read to the revision of the entry', () => {
    expect(outcomeOf([put(1, 'a', 1, 2), read(2, 'a', 7, 3, 4)])).toBe('violation');
    expect(outcomeOf([put(1, 'a', 1, 2), read(2, undefined, 7, 3, 4)])).toBe('violation');
    expect(outcomeOf([put(1, 'a', 1, 2), read(2, undefined, 1, 3, 4)])).toBe('linearizable');
    expect(outcomeOf([put(1, 'a', 1, 2), put(2, null, 3, 4), read(3, 'a', null, 5, 6)])).toBe('violation');
  });

  it('remembers the revision of an open write from the first that saw it', () => {
    const history = [open(1, 'a', 1), read(2, 'a', 5, 3, 4)];
    expect(outcomeOf([...history, read(3, 'a', 5, 5, 6)])).toBe('linearizable');
    expect(outcomeOf([...history, read(3, 'a', 6, 5, 6)])).toBe('violation');
  });

  it('holds writes to their conditions', () => {
    const first = put(1, 'a', 1, 2);
    expect(outcomeOf([first, put(2, 'b', 3, 4, { replaced: 1 })])).toBe('linearizable');
    expect(outcomeOf([first, put(2, 'b', 3, 4, { replaced: 9 })])).toBe('violation');
    expect(outcomeOf([first, put(2, 'b', 3, 4, { replaced: null })])).toBe('violation');
    expect(outcomeOf([first, open(2, 'b', 3, { replaced: 9 }), read(3, 'b', 4, 5, 6)])).toBe('violation');
  });

  it('never lets a refused write happen, and need not let an open one', () => {
    expect(outcomeOf([put(1, 'a', 1, 2, { outcome: 'none' }), read(2, 'a', 1, 3, 4)])).toBe('violation');
    expect(outcomeOf([open(1, 'a', 1), read(2, null, null, 3, 4)])).toBe('linearizable');
    expect(outcomeOf([open(1, 'a', 5), read(2, 'a', 1, 3, 4)])).toBe('violation');
  });

  it('demands that an open write happened if the log says so', () => {
    const logged = open(1, 'a', 1, { revision: 1, replaced: 7 });
    expect(outcomeOf([logged])).toBe('violation');
    expect(outcomeOf([open(1, 'a', 1, { replaced: 7 })])).toBe('linearizable');
  });

  it('spends an open deletion once', () => {
    const once = [put(1, 'a', 1, 2), open(2, null, 3), read(3, null, null, 4, 5)];
    expect(outcomeOf(once)).toBe('linearizable');
    const twice = [...once, put(4, 'b', 6, 7), read(5, null, null, 8, 9)];
    expect(outcomeOf(twice)).toBe('violation');
    expect(outcomeOf([...twice, open(6, null, 7)])).toBe('linearizable');
  });

  it('may place a deletion of nothing later: only reads are final where they change nothing', () => {
    const deletion = put(1, null, 1, 10);
    const history = [deletion, put(2, 'a', 2, 3), read(3, null, null, 4, 5)];
    expect(outcomeOf(history)).toBe('linearizable');
  });

  it('takes back a choice when an operation returns that it left no place for', () => {
    const history = [
      put(1, 'a', 1, 10),
      put(2, 'b', 1, 10),
      read(3, 'b', 2, 11, 12),
      read(4, 'b', 2, 13, 14),
    ];
    expect(outcomeOf(history)).toBe('linearizable');
    expect(outcomeOf([...history, read(5, 'a', 1, 15, 16)])).toBe('violation');
  });

  it('lets revisions fall if they are opaque, not if they are rising', () => {
    const history = [put(2, 'a', 1, 2), put(1, 'b', 3, 4)];
    expect(outcomeOf(history)).toBe('linearizable');
    expect(outcomeOf(history, { revisions: 'rising' })).toBe('violation');
  });

  it('judges each key alone', () => {
    const other = { ...read(3, null, null, 5, 6), key: 'other' };
    expect(checkByKey([put(1, 'a', 1, 2), other])).toMatchObject({
      outcome: 'linearizable',
      counts: { keys: 2 },
    });
  });

  it('says that it does not know when the memory does not suffice, and goes on after that', () => {
    const crowd = Array.from({ length: 12 }, (_, index) => put(index + 1, `v${index + 1}`, 1, 10));
    const options = { memoEntriesMax: 50, windowOperationsMax: 12 };
    const legal = [...crowd, read(20, 'v3', 3, 11, 12)];
    expect(checkByKey(legal, options)).toMatchObject({
      outcome: 'undecided',
      keys: ['k'],
      counts: { undecidedWindows: 1, windows: 2 },
    });
    expect(checkByKey(legal).outcome).toBe('linearizable');
    const lie = [...legal, put(30, 'x', 13, 14), read(31, 'v3', 3, 15, 16)];
    expect(checkByKey(lie, options)).toMatchObject({ outcome: 'violation', offending: [30, 31] });
    const after = [...crowd, put(40, 'z', 20, 21)];
    expect(checkByKey(after, { configurationsMax: 3, windowOperationsMax: 12 }).outcome).toBe('undecided');
    expect(checkByKey(after, { configurationsMax: 12, windowOperationsMax: 12 }).outcome).toBe(
      'linearizable',
    );
  });

  it('agrees with the sweep on 10,000 operations of ten busy clients', () => {
    const history = busyHistory({ seed: 7, clients: 10, operations: 10_000, keys: 100 });
    expect(checkRevisionSweep(history).linearizable).toBe(true);
    expect(checkByKey(history)).toMatchObject({ outcome: 'linearizable', counts: { operations: 10_000 } });
    const victim = history.findIndex(
      (operation, index) => index > 7_000 && operation.type === 'read' && operation.value !== null,
    );
    const lie = history.map((operation, index) =>
      index === victim && operation.type === 'read'
        ? { ...operation, value: null, entryRevision: null }
        : operation,
    );
    expect(checkRevisionSweep(lie).linearizable).toBe(false);
    expect(checkByKey(lie).outcome).toBe('violation');
  });
});
