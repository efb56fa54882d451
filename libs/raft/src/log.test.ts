import { describe, expect, it } from 'vitest';
import { logOf } from './cluster.testing.js';
import { LOG_START, RaftLog, entryBytes } from './log.js';
import { logIndex, term, type LogEntry, type SnapshotPoint } from './types.js';

const point = (index: number, pointTerm: number): SnapshotPoint => ({
  index: logIndex(index),
  term: term(pointTerm),
});
const indexes = (entries: readonly LogEntry[]): number[] => entries.map((entry) => entry.index);

/** Entries 1..6 of terms 1 1 2 2 3 3, the first four committed, applied and in a snapshot. */
function logOfSix(): RaftLog {
  const log = new RaftLog(logOf([1, 1, 2, 2, 3, 3]), logIndex(4));
  log.takeCommitted(1e6);
  log.snapshotStored(point(4, 2));
  return log;
}

describe('a log that begins behind a point', () => {
  it('[S3] knows the term of the last compacted entry, of what it holds, and of nothing else', () => {
    const log = logOfSix();
    log.compactTo(3);
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((index) => log.termAt(index))).toEqual([
      null,
      null,
      null,
      2,
      2,
      3,
      3,
      null,
    ]);
    expect([log.firstIndex, log.lastIndex, log.lastTerm]).toEqual([4, 6, 3]);
    expect(new RaftLog([], logIndex(0)).termAt(0)).toBe(0);
  });

  it('[S3] a place where two logs may agree is found down to the compacted entry, and is 0 before it', () => {
    const log = logOfSix();
    log.compactTo(3);
    expect(log.lastIndexWithTermAtMost(6, term(3))).toBe(6);
    expect(log.lastIndexWithTermAtMost(9, term(2))).toBe(4);
    expect(log.lastIndexWithTermAtMost(3, term(2))).toBe(3);
    expect(log.lastIndexWithTermAtMost(6, term(1))).toBe(0);
    expect(log.lastIndexWithTermAtMost(2, term(9))).toBe(0);
  });

  it('[S2] [S3] hands out nothing that is compacted away', () => {
    const log = logOfSix();
    log.compactTo(3);
    expect(() => log.slice(3, 1e6)).toThrow('compacted away');
    expect(indexes(log.slice(4, 1e6))).toEqual([4, 5, 6]);
  });

  it('[S2] is compacted no further than a durable snapshot, and never back', () => {
    const log = logOfSix();
    expect(() => log.compactTo(5)).toThrow('no snapshot stands for');
    log.compactTo(3);
    log.compactTo(2);
    log.compactTo(3);
    expect(log.firstIndex).toBe(4);
  });

  it('[S1] takes no snapshot of what was not applied, or of another log; an older one changes nothing', () => {
    const log = logOfSix();
    expect(() => log.snapshotStored(point(5, 3))).toThrow('not applied');
    log.snapshotStored(point(2, 1));
    expect(log.snapshot).toEqual(point(4, 2));
    const other = new RaftLog(logOf([1, 1]), logIndex(2));
    other.takeCommitted(1e6);
    expect(() => other.snapshotStored(point(2, 2))).toThrow('not a snapshot of this log');
  });

  it('[S1] [S7] is restored with what the snapshot stands for applied', () => {
    const log = new RaftLog(logOf([2, 3], 4), logIndex(0), point(4, 2), point(5, 2));
    expect([log.applied, log.committed, log.durableIndex, log.lastIndex]).toEqual([5, 5, 6, 6]);
    expect(indexes(log.takeCommitted(1e6))).toEqual([]);
    expect(() => new RaftLog(logOf([2], 4), logIndex(0), point(4, 2), point(3, 2))).toThrow(
      'behind the snapshot',
    );
    expect(() => new RaftLog(logOf([2], 5), logIndex(0), point(4, 2), point(4, 2))).toThrow('gap');
    expect(() => new RaftLog(logOf([2]), logIndex(0), LOG_START, point(1, 1))).toThrow('not a snapshot');
  });
});

describe('a log and a snapshot of another member', () => {
  it('[S5] [S2] skips what was not written yet, and gives it up only when storage has it', () => {
    const log = new RaftLog([], logIndex(0));
    for (const entry of logOf([1, 1, 1])) log.append(entry);
    log.skipTo(point(2, 1));
    log.assertInvariants();
    expect([log.applied, log.committed, log.durableIndex, log.firstIndex]).toEqual([2, 2, 2, 1]);
    log.compactTo(2);
    expect(log.firstIndex).toBe(1); // no Ready has carried the entries yet
    expect(indexes(log.takeUnpersisted())).toEqual([1, 2, 3]);
    log.compactTo(2);
    expect(log.firstIndex).toBe(3);
    log.commitTo(logIndex(3));
    expect(indexes(log.takeCommitted(1e6))).toEqual([]); // entry 3 is not durable
    log.advanceDurable(null);
    expect(indexes(log.takeCommitted(1e6))).toEqual([3]);
    log.assertInvariants();
  });

  it('[S8] P13: after a reset, the end of older writes makes nothing durable', () => {
    const log = new RaftLog([], logIndex(0));
    for (const entry of logOf([1, 1, 1, 1, 1, 1])) log.append(entry);
    log.takeUnpersisted(); // write 1: entries 1..6 of term 1
    log.reset(point(3, 2));
    log.assertInvariants();
    for (const entry of logOf([2, 2, 2], 3)) log.append(entry);
    expect(indexes(log.takeUnpersisted())).toEqual([4, 5, 6]); // write 2: the reset, entries 4..6 of term 2
    log.advanceDurable(4); // write 1 ended, write 2 did not
    expect(log.durableIndex).toBe(3);
    log.advanceDurable(null);
    expect(log.durableIndex).toBe(6);
    log.assertInvariants();
  });

  it('[S8] P13: a write of the old log that is still on its way holds back all of the new one', () => {
    const log = new RaftLog([], logIndex(0));
    log.append(logOf([1])[0]!);
    log.takeUnpersisted(); // from entry 1 on
    log.reset(point(3, 2));
    for (const entry of logOf([2], 3)) log.append(entry);
    log.takeUnpersisted();
    log.advanceDurable(1);
    expect(log.durableIndex).toBe(3);
  });

  it('[S5] a reset never drops what is committed', () => {
    const log = logOfSix();
    expect(() => log.reset(point(4, 3))).toThrow('would drop committed');
    expect(() => log.skipTo(point(5, 2))).toThrow('not a snapshot of this log');
  });
});

describe('a log against a plain one', () => {
  /** The same log with nothing ever given up, as plain as can be. */
  class PlainLog {
    /** terms[0] is before the log. */
    terms: (number | null)[] = [0];
    bytes: number[] = [0];
    first = 1;
    get last(): number {
      return this.terms.length - 1;
    }
    cut(from: number): void {
      this.terms.length = from;
      this.bytes.length = from;
    }
    push(entry: LogEntry): void {
      this.terms[entry.index] = entry.term;
      this.bytes[entry.index] = entryBytes(entry);
    }
  }

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('[S1] [S2] [S3] every answer is the same: seed %i', (seed) => {
    let state = seed;
    const below = (max: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * max);
    };
    const log = new RaftLog([], logIndex(0));
    const plain = new PlainLog();
    let writes: number[] = []; // first indexes of what is being written
    let nextTerm = 1;
    let [compactions, installations] = [0, 0];
    for (let step = 0; step < 1_500; step++) {
      switch (below(10)) {
        case 0:
        case 1: {
          if (below(8) === 0) nextTerm += 1;
          const entry = logOf([nextTerm], log.lastIndex)[0]!;
          log.append(entry);
          plain.push(entry);
          break;
        }
        case 2: {
          // Another leader's entries, from somewhere behind the commit index.
          const from = log.committed + below(log.lastIndex - log.committed + 1);
          nextTerm += 1;
          const entries = logOf(
            Array.from({ length: 1 + below(3) }, () => nextTerm),
            from,
          );
          log.merge(entries);
          plain.cut(from + 1);
          for (const entry of entries) plain.push(entry);
          break;
        }
        case 3: {
          const first = log.takeUnpersisted()[0];
          if (first !== undefined) writes.push(first.index);
          break;
        }
        case 4:
          writes = writes.slice(below(writes.length + 1));
          log.advanceDurable(writes.length === 0 ? null : Math.min(...writes));
          break;
        case 5:
          log.commitTo(logIndex(log.committed + below(log.lastIndex - log.committed + 1)));
          break;
        case 6: {
          const before = log.applied;
          const applied = log.takeCommitted(1 + below(200));
          expect(indexes(applied)).toEqual(applied.map((_, i) => before + 1 + i));
          break;
        }
        case 7:
          if (log.applied > 0) log.snapshotStored(point(log.applied, log.termAt(log.applied)!));
          break;
        case 8: {
          if (log.snapshot === null) break;
          log.compactTo(Math.max(0, log.snapshot.index - below(4)));
          if (log.firstIndex > plain.first) compactions += 1;
          plain.first = log.firstIndex;
          break;
        }
        case 9: {
          if (below(4) > 0) break;
          installations += 1;
          const ahead = logIndex(log.committed + 1 + below(4));
          const here = log.termAt(ahead);
          if (here !== null && below(2) === 0) {
            log.skipTo({ index: ahead, term: here });
            break;
          }
          nextTerm += 1;
          log.reset(point(ahead, nextTerm));
          plain.terms = Array.from({ length: ahead + 1 }, () => null);
          plain.bytes = Array.from({ length: ahead + 1 }, () => 0);
          plain.terms[ahead] = nextTerm;
          plain.first = ahead + 1;
          writes.push(ahead + 1);
          break;
        }
      }
      log.assertInvariants();
      expect([log.firstIndex, log.lastIndex, log.lastTerm]).toEqual([
        plain.first,
        plain.last,
        plain.terms.at(-1),
      ]);
      // Compaction keeps the log short; a look at its surroundings is enough.
      const around = Array.from(
        { length: plain.last - plain.first + 5 },
        (_, i) => Math.max(0, plain.first - 3) + i,
      );
      expect(around.map((index) => log.termAt(index))).toEqual(
        around.map((index) => (index < plain.first - 1 ? null : (plain.terms[index] ?? null))),
      );
      expect(log.bytes).toBe(plain.bytes.slice(plain.first).reduce((sum, bytes) => sum + bytes, 0));
      const [from, atMost] = [below(plain.last + 3), below(nextTerm + 1)];
      let common = Math.min(from, plain.last);
      while (common >= plain.first - 1 && (plain.terms[common] ?? 0) > atMost) common -= 1;
      expect(log.lastIndexWithTermAtMost(from, term(atMost))).toBe(common < plain.first - 1 ? 0 : common);
      const [upTo, bytesMax] = [plain.first - 1 + below(plain.last - plain.first + 2), below(600)];
      let before = upTo;
      for (let bytes = plain.bytes[before] ?? 0; before >= plain.first && bytes <= bytesMax;) {
        before -= 1;
        bytes += plain.bytes[before] ?? 0;
      }
      expect(log.indexBefore(logIndex(upTo), bytesMax)).toBe(before);
      expect(indexes(log.slice(plain.first, 1e9))).toEqual(
        Array.from({ length: plain.last - plain.first + 1 }, (_, i) => plain.first + i),
      );
    }
    expect(compactions).toBeGreaterThan(20);
    expect(installations).toBeGreaterThan(20);
  });
});
