import { describe, expect, it } from 'vitest';
import type { HistoryOperation, ReadOperation, WriteOperation } from './history.js';
import { checkByPermutation } from './permutation-checker.testing.js';
import { checkRevisionSweep } from './revision-sweep.js';

type WriteFields = Partial<WriteOperation> &
  Pick<WriteOperation, 'id' | 'value' | 'invokedAt' | 'completedAt'>;
type ReadFields = Partial<ReadOperation> &
  Pick<ReadOperation, 'id' | 'value' | 'invokedAt' | 'completedAt' | 'head'>;

function write(fields: WriteFields): WriteOperation {
  return {
    type: 'write',
    key: 'k',
    outcome: fields.completedAt === null ? 'unknown' : 'done',
    revision: null,
    ...fields,
  };
}
function read(fields: ReadFields): ReadOperation {
  return { type: 'read', key: 'k', entryRevision: null, ...fields };
}

const firstWrite = write({ id: 1, value: 'a', invokedAt: 1, completedAt: 4, revision: 1 });

function reasonOf(history: readonly HistoryOperation[]): string {
  const verdict = checkRevisionSweep(history);
  expect(checkByPermutation(history)).toBe(verdict.linearizable);
  return verdict.linearizable ? 'linearizable' : verdict.reason;
}

describe('checkRevisionSweep', () => {
  it('accepts overlapping operations in either order', () => {
    const before = read({ id: 2, value: null, invokedAt: 2, completedAt: 3, head: 0 });
    const after = read({ id: 3, value: 'a', entryRevision: 1, invokedAt: 2, completedAt: 3, head: 1 });
    expect(reasonOf([firstWrite, before])).toBe('linearizable');
    expect(reasonOf([firstWrite, after])).toBe('linearizable');
  });

  it('convicts a read that misses a write completed before it began', () => {
    const stale = read({ id: 2, value: null, invokedAt: 5, completedAt: 6, head: 0 });
    expect(reasonOf([firstWrite, stale])).toBe(
      'operation 2 read nothing in k at head 0 although it was invoked after this had completed: ' +
        'operation 1 wrote a to k at revision 1',
    );
  });

  it('convicts a head that is new with a value that is old', () => {
    const second = write({ id: 2, value: 'b', invokedAt: 5, completedAt: 6, revision: 2 });
    const stale = read({ id: 3, value: 'a', entryRevision: 1, invokedAt: 7, completedAt: 8, head: 2 });
    expect(reasonOf([firstWrite, second, stale])).toContain('a newer write was in force: operation 2');
  });

  it('convicts two writes with one revision', () => {
    const second = write({ id: 2, value: 'b', key: 'other', invokedAt: 2, completedAt: 5, revision: 1 });
    expect(reasonOf([firstWrite, second])).toContain('both at revision 1');
  });

  it('convicts a refused write that somebody saw', () => {
    const refused = write({ id: 1, value: 'a', invokedAt: 1, completedAt: 2, outcome: 'none' });
    const seen = read({ id: 2, value: 'a', entryRevision: 1, invokedAt: 3, completedAt: 4, head: 1 });
    expect(reasonOf([refused, seen])).toContain('was refused as having no effect');
  });

  it('convicts a value that nobody wrote', () => {
    const phantom = read({ id: 2, value: 'ghost', entryRevision: 1, invokedAt: 5, completedAt: 6, head: 1 });
    expect(reasonOf([phantom])).toContain('which nobody wrote to k');
  });

  it('convicts a write that took effect twice', () => {
    const again = read({ id: 2, value: 'a', entryRevision: 2, invokedAt: 5, completedAt: 6, head: 2 });
    expect(reasonOf([firstWrite, again])).toContain('applied twice');
  });

  it('lets a write with unknown outcome take effect late, or never', () => {
    const open = write({ id: 1, value: 'a', invokedAt: 1, completedAt: null });
    const absent = read({ id: 2, value: null, invokedAt: 50, completedAt: 60, head: 0 });
    const present = read({ id: 3, value: 'a', entryRevision: 1, invokedAt: 70, completedAt: 80, head: 1 });
    expect(reasonOf([open, absent])).toBe('linearizable');
    expect(reasonOf([open, absent, present])).toBe('linearizable');
  });

  it('does not let a write with unknown outcome take effect before it was invoked', () => {
    const open = write({ id: 1, value: 'a', invokedAt: 20, completedAt: null });
    const later = write({ id: 2, value: 'b', key: 'other', invokedAt: 1, completedAt: 10, revision: 5 });
    const seen = read({ id: 3, value: 'a', entryRevision: 3, invokedAt: 30, completedAt: 40, head: 5 });
    expect(reasonOf([open, later, seen])).toContain('although it was invoked after');
  });

  it('explains an absence by a deletion with unknown outcome, once', () => {
    const open = write({ id: 2, value: null, invokedAt: 5, completedAt: null });
    const absent = read({ id: 3, value: null, invokedAt: 6, completedAt: 7, head: 2 });
    expect(reasonOf([firstWrite, absent])).toContain('nobody deleted it');
    expect(reasonOf([firstWrite, open, absent])).toBe('linearizable');
    const restored = write({ id: 4, value: 'b', invokedAt: 8, completedAt: 9, revision: 3 });
    const absentAgain = read({ id: 5, value: null, invokedAt: 10, completedAt: 11, head: 4 });
    expect(reasonOf([firstWrite, open, absent, restored, absentAgain])).toContain('nobody deleted it');
  });

  it('gives two open deletions two revisions', () => {
    const second = write({ id: 2, value: 'b', key: 'l', invokedAt: 1, completedAt: 4, revision: 2 });
    const openDeletions = [
      write({ id: 3, value: null, invokedAt: 5, completedAt: null }),
      write({ id: 4, value: null, key: 'l', invokedAt: 5, completedAt: null }),
    ];
    const absences = (head: number): HistoryOperation[] => [
      read({ id: 5, value: null, invokedAt: 6, completedAt: 7, head }),
      read({ id: 6, value: null, key: 'l', invokedAt: 6, completedAt: 7, head }),
    ];
    expect(reasonOf([firstWrite, second, ...openDeletions, ...absences(3)])).toContain('nobody deleted it');
    expect(reasonOf([firstWrite, second, ...openDeletions, ...absences(4)])).toBe('linearizable');
  });

  it('convicts an entry that comes back after its absence was seen', () => {
    const open = write({ id: 2, value: null, invokedAt: 5, completedAt: null });
    const absent = read({ id: 3, value: null, invokedAt: 6, completedAt: 7, head: 2 });
    const back = read({ id: 4, value: 'a', entryRevision: 1, invokedAt: 6, completedAt: 7, head: 2 });
    expect(reasonOf([firstWrite, open, absent, back])).toContain('but already earlier');
  });

  it('convicts a compare-and-set that did not meet what it compared with', () => {
    const second = write({ id: 2, value: 'b', invokedAt: 5, completedAt: 6, revision: 2 });
    const stale = write({ id: 3, value: 'c', invokedAt: 5, completedAt: 7, revision: 3, replaced: 1 });
    expect(reasonOf([firstWrite, second, stale])).toContain('a newer write was in force');
    const creation = write({ id: 3, value: 'c', invokedAt: 5, completedAt: 7, revision: 3, replaced: null });
    expect(reasonOf([firstWrite, second, creation])).toContain('nobody deleted it');
  });

  it('judges a refused comparison, which saw a revision without a value', () => {
    const open = write({ id: 2, value: 'b', invokedAt: 2, completedAt: null });
    const seen = (entryRevision: number): ReadOperation =>
      read({ id: 3, value: undefined, entryRevision, invokedAt: 5, completedAt: 6, head: 3 });
    expect(reasonOf([firstWrite, open, seen(1)])).toBe('linearizable');
    expect(reasonOf([firstWrite, open, seen(2)])).toBe('linearizable');
    expect(reasonOf([firstWrite, seen(2)])).toContain('nobody wrote at revision 2');
  });

  it('holds an open write to the revision that the log gave it', () => {
    const open = write({ id: 2, value: 'b', invokedAt: 2, completedAt: null, revision: 2 });
    const missed = read({ id: 3, value: 'a', entryRevision: 1, invokedAt: 5, completedAt: 6, head: 2 });
    expect(reasonOf([firstWrite, open, missed])).toContain('a newer write was in force');
  });

  it('sweeps 60,000 operations', () => {
    const history: HistoryOperation[] = [];
    for (let index = 1; index <= 30_000; index += 1) {
      const value = `v${index}`;
      const at = index * 4;
      history.push(write({ id: 2 * index, value, invokedAt: at, completedAt: at + 30, revision: index }));
      history.push(
        read({
          id: 2 * index + 1,
          value,
          entryRevision: index,
          invokedAt: at + 1,
          completedAt: at + 2,
          head: index,
        }),
      );
    }
    expect(checkRevisionSweep(history)).toEqual({ linearizable: true, operations: 60_000 });
  });
});

describe('open deletions with conditions', () => {
  it('one that can serve only one gap is not passed over for one that could serve another', () => {
    // Found by the search of Wing, Gong and Lowe: two absences, a deletion that names the first put and one without a condition.
    const history: HistoryOperation[] = [
      {
        type: 'write',
        id: 4,
        key: 'k',
        invokedAt: 1,
        value: null,
        outcome: 'unknown',
        completedAt: null,
        revision: null,
      },
      {
        type: 'write',
        id: 17,
        key: 'k',
        invokedAt: 2,
        value: 'a',
        outcome: 'done',
        completedAt: 3,
        revision: 4,
      },
      {
        type: 'write',
        id: 13,
        key: 'k',
        invokedAt: 4,
        value: null,
        replaced: 4,
        outcome: 'unknown',
        completedAt: null,
        revision: null,
      },
      {
        type: 'write',
        id: 3,
        key: 'k',
        invokedAt: 5,
        value: 'b',
        replaced: null,
        outcome: 'unknown',
        completedAt: null,
        revision: 6,
      },
      {
        type: 'read',
        id: 11,
        key: 'k',
        invokedAt: 6,
        completedAt: 7,
        head: 9,
        entryRevision: null,
        value: null,
      },
    ];
    expect(checkRevisionSweep(history)).toEqual({ linearizable: true, operations: 5 });
    expect(checkRevisionSweep(history.filter(({ id }) => id !== 13)).linearizable).toBe(false);
  });

  it('a read of a value without an entry is convicted', () => {
    const history: HistoryOperation[] = [
      {
        type: 'write',
        id: 1,
        key: 'k',
        invokedAt: 1,
        value: 'a',
        outcome: 'done',
        completedAt: 2,
        revision: 1,
      },
      {
        type: 'read',
        id: 2,
        key: 'k',
        invokedAt: 3,
        completedAt: 4,
        head: 1,
        entryRevision: null,
        value: 'a',
      },
    ];
    expect(checkRevisionSweep(history).linearizable).toBe(false);
  });
});
