import { logIndex, term } from '@quorate/raft';
import type { LogEntry, SnapshotPoint } from '@quorate/raft';
import { describe, expect, it } from 'vitest';
import type { Disk } from './disk.js';
import { WalDamagedError } from './errors.js';
import { formatWal, segmentName } from './segment.js';
import { DIRECTORY, entry, hardState, IDENTITY, SimulatedMachine } from './simulated-machine.testing.js';
import type { SnapshotFiles } from './snapshot-files.js';
import { openWal } from './wal.js';
import type { Wal, WalBatch } from './wal.js';

const OPTIONS = { segmentBytesMax: 416, allocationBytes: 8 };

function point(index: number, termNumber = 1): SnapshotPoint {
  return { index: logIndex(index), term: term(termNumber) };
}

function snapshotPath(index: number): string {
  return `${DIRECTORY}/snapshot-${String(index).padStart(16, '0')}`;
}

/** One member on one machine. */
class Member {
  readonly machine: SimulatedMachine;
  wal: Wal;
  snapshots: SnapshotFiles;

  constructor(machine?: SimulatedMachine) {
    if (machine === undefined) {
      this.machine = new SimulatedMachine(3);
      formatWal(this.machine.disk, DIRECTORY, IDENTITY);
    } else this.machine = machine;
    ({ wal: this.wal, snapshots: this.snapshots } = openWal(this.machine.disk, DIRECTORY, OPTIONS));
  }

  append(batch: WalBatch): void {
    let isDurable = false;
    this.wal.append(batch, (error) => {
      isDurable = error === null;
    });
    this.machine.runAll();
    if (!isDurable) throw new Error('the batch was not durable');
  }

  /** Entries of 100 bytes, each durable before the next. */
  add(from: number, to: number, termNumber = 1): void {
    for (let index = from; index <= to; index += 1)
      this.append({ hardState: null, entries: [large(index, termNumber)] });
  }

  snapshot(at: SnapshotPoint): void {
    const writer = this.snapshots.create(at);
    writer.append(Buffer.from(`state at ${at.index}`));
    writer.finish(() => {});
    this.machine.runAll();
    if (this.snapshots.newest?.index !== at.index) throw new Error('the snapshot was not finished');
  }

  segments(): string[] {
    const names = this.machine.disk.list(DIRECTORY).filter((name) => name.endsWith('.wal'));
    return names.toSorted();
  }

  /** What a new process finds, after a power loss. */
  reopen() {
    this.machine.disk.crash();
    const opened = openWal(this.machine.disk, DIRECTORY, OPTIONS);
    ({ wal: this.wal, snapshots: this.snapshots } = opened);
    return opened.recovered;
  }
}

function large(index: number, termNumber = 1): LogEntry {
  return entry(index, termNumber, `${index} of ${termNumber}`.padEnd(100, '.'));
}

function eio(): never {
  throw Object.assign(new Error('EIO'), { code: 'EIO' });
}

/** Two entries in each segment, 1 to 10. */
function filled(): Member {
  const member = new Member();
  member.append({ hardState: hardState(1, 2, 0), entries: [] });
  member.add(1, 10);
  expect(member.segments().length).toBeGreaterThan(4);
  return member;
}

describe('compaction', () => {
  it('removes the oldest segments without an entry above the point, and a restart begins there', () => {
    const member = filled();
    const before = member.wal.stats;
    expect(before).toMatchObject({ segments: member.segments().length, snapshotIndex: 0 });
    member.snapshot(point(7));
    member.wal.compact(logIndex(5));
    const { segments, logBytes, snapshotIndex } = member.wal.stats;
    expect(member.segments()).toHaveLength(segments);
    expect(segments).toBeLessThan(before.segments);
    expect(snapshotIndex).toBe(7);
    const sizes = member.machine.disk.files().filter(({ path }) => path.endsWith('.wal'));
    expect(logBytes).toBe(sizes.reduce((sum, { size }) => sum + size, 0));
    const recovered = member.reopen();
    // Of the segment that also holds 6, nothing goes.
    expect(recovered.base.index).toBeLessThanOrEqual(5);
    expect(recovered.base.index).toBeGreaterThanOrEqual(3);
    expect(recovered.base.term).toBe(1);
    expect(recovered.entries.map(({ index }) => Number(index))).toEqual(
      Array.from({ length: 10 - recovered.base.index }, (_, at) => recovered.base.index + 1 + at),
    );
    expect(recovered.hardState).toEqual(hardState(1, 2, 7));
    expect(recovered.snapshot).toMatchObject(point(7));
    expect(member.wal.stats).toMatchObject({ segments, logBytes: expect.any(Number), snapshotIndex: 7 });
    member.add(11, 12);
    expect(member.reopen().entries.at(-1)).toEqual(large(12));
  });

  it('one fsync of the folder, and no disk operation at all when nothing goes', () => {
    const member = filled();
    member.snapshot(point(10));
    const operations: string[] = [];
    member.machine.disk.onOperation = (operation) => operations.push(operation);
    member.wal.compact(logIndex(0));
    expect(operations).toEqual([]);
    const count = member.wal.stats.segments;
    member.wal.compact(logIndex(10));
    expect(operations).toEqual([...Array.from({ length: count - 1 }, () => 'remove'), 'syncDirectory']);
    operations.length = 0;
    member.wal.compact(logIndex(10));
    expect(operations).toEqual([]);
    expect(member.wal.stats.segments).toBe(1);
  });

  it('never past the durable snapshot', () => {
    const member = filled();
    expect(() => member.wal.compact(logIndex(1))).toThrow('the snapshot ends at 0');
    member.snapshot(point(4));
    expect(() => member.wal.compact(logIndex(5))).toThrow('the snapshot ends at 4');
  });

  it('P20: an error of the disk ends the log', () => {
    for (const failing of ['remove', 'syncDirectory']) {
      const member = filled();
      member.snapshot(point(10));
      const log: string[] = [];
      member.wal.append({ hardState: null, entries: [large(11)] }, (error) => log.push(String(error?.name)));
      member.machine.disk.onOperation = (operation) => {
        if (operation === failing) throw new Error('EIO');
      };
      member.wal.compact(logIndex(10));
      member.machine.disk.onOperation = null;
      expect(log).toEqual(['WalFailedError']);
      member.wal.append({ hardState: null, entries: [] }, (error) => log.push(String(error?.message)));
      expect(log[1]).toBe('write-ahead log failed: compact: EIO');
      const recovered = member.reopen();
      expect(recovered.base.index).toBeLessThanOrEqual(10);
      expect(recovered.snapshot?.index).toBe(10);
    }
  });

  it('removals that a power loss kept in any combination leave a log that connects', () => {
    const member = filled();
    member.snapshot(point(10));
    const { disk } = member.machine;
    disk.onOperation = (operation) => {
      if (operation === 'syncDirectory') throw new Error('power loss');
    };
    member.wal.compact(logIndex(10));
    disk.onOperation = null;
    const { choices } = disk.crashOutcomes(300);
    expect(choices.length).toBeGreaterThan(30);
    for (const choice of choices) {
      const copy = disk.fork();
      copy.crash(choice);
      const { recovered } = openWal(copy, DIRECTORY, OPTIONS);
      expect(recovered.base.index + recovered.entries.length).toBe(10);
      expect(recovered.hardState).toEqual(hardState(1, 2, 10));
      // What a hole cut off is gone, durably.
      copy.crash();
      const names = copy.list(DIRECTORY).filter((name) => name.endsWith('.wal'));
      const numbers = names.map((name) => Number(name.slice(0, 8))).toSorted((a, b) => a - b);
      expect(numbers).toEqual(numbers.map((_, at) => (numbers[0] ?? 0) + at));
      expect(openWal(copy, DIRECTORY, OPTIONS).recovered.entries).toEqual(recovered.entries);
    }
  });

  it('a segment whose first entries replaced those of a removed one begins behind the first that it holds', () => {
    const member = new Member();
    member.append({ hardState: hardState(1, 2, 0), entries: [] });
    member.add(1, 4);
    // Another leader's entries from 3 on: their predecessor lies in a segment that will go.
    member.append({ hardState: hardState(2, null, 0), entries: [large(3, 2), large(4, 2), large(5, 2)] });
    member.add(6, 9, 2);
    member.snapshot(point(7, 2));
    member.wal.compact(logIndex(4));
    expect(member.segments()[0]).not.toBe(segmentName(1));
    const recovered = member.reopen();
    expect(recovered.base).toEqual(point(3, 2));
    expect(recovered.entries.map(({ index }) => Number(index))).toEqual([4, 5, 6, 7, 8, 9]);
    member.machine.disk.remove(snapshotPath(7));
    member.machine.disk.syncDirectory(DIRECTORY);
    expect(() => member.reopen()).toThrow(
      'entries 1 to 2 are missing: the log begins with entry 3, and there is no snapshot',
    );
  });

  it('term and vote of a removed segment are in the next one', () => {
    const member = filled();
    member.append({ hardState: hardState(5, 3, 10), entries: [large(11, 5)] });
    member.add(12, 20, 5);
    member.snapshot(point(20, 5));
    member.wal.compact(logIndex(20));
    expect(member.wal.stats.segments).toBe(1);
    expect(member.reopen().hardState).toEqual(hardState(5, 3, 20));
  });
});

describe('P10: a log reset to an installed snapshot', () => {
  it('the log is dropped and goes on behind the point, also after a restart', () => {
    const member = filled();
    member.snapshot(point(1000, 6));
    member.append({
      hardState: hardState(7, null, 1000),
      reset: point(1000, 6),
      entries: [large(1001, 6), large(1002, 7)],
    });
    member.wal.compact(logIndex(1000));
    member.add(1003, 1006, 7);
    for (let turn = 0; turn < 2; turn += 1) {
      const recovered = member.reopen();
      expect(recovered.base).toEqual(point(1000, 6));
      expect(recovered.hardState).toEqual(hardState(7, null, 1000));
      expect(recovered.entries.map((one) => [Number(one.index), Number(one.term)])).toEqual([
        [1001, 6],
        [1002, 7],
        [1003, 7],
        [1004, 7],
        [1005, 7],
        [1006, 7],
      ]);
    }
    expect(member.segments()[0]).not.toBe(segmentName(1));
  });

  it('P9: a snapshot that the log does not reach, or contradicts, takes its place when the folder is opened', () => {
    for (const at of [point(1000, 6), point(8, 6), point(10, 6)]) {
      const member = filled();
      member.snapshot(at);
      const recovered = member.reopen();
      expect(recovered).toMatchObject({ base: at, entries: [], snapshot: at });
      // The term was never recorded: nothing was promised in it.
      expect(recovered.hardState).toEqual(hardState(6, null, at.index));
      // It was made durable before use: without the snapshot's file, nothing of the old log comes back.
      member.machine.disk.remove(snapshotPath(at.index));
      member.machine.disk.syncDirectory(DIRECTORY);
      expect(() => member.reopen()).toThrow(
        `entries 1 to ${at.index} are missing: the log begins with entry ${at.index + 1}, and there is no snapshot`,
      );
    }
  });

  it('P9: a snapshot that the log contains leaves its tail', () => {
    const member = filled();
    member.snapshot(point(8, 1));
    const recovered = member.reopen();
    expect(recovered.base).toEqual(point(0, 0));
    expect(recovered.entries).toHaveLength(10);
    expect(recovered.hardState).toEqual(hardState(1, 2, 8));
  });

  it('the name of a snapshot is durable before the log relies on it', () => {
    const member = filled();
    const writer = member.snapshots.create(point(1000, 6));
    writer.append(Buffer.from('state'));
    member.machine.disk.onOperation = (operation) => {
      if (operation === 'syncDirectory') throw new Error('EIO');
    };
    writer.finish(() => {});
    member.machine.runAll();
    member.machine.disk.onOperation = null;
    // The process dies, the page cache lives on: the name is there, and may yet be lost.
    member.machine.disk.kill();
    const found = new Set<number>();
    member.machine.disk.onOperation = () => {
      for (const choice of member.machine.disk.crashOutcomes().choices) {
        const copy = member.machine.disk.fork();
        copy.crash(choice);
        found.add(openWal(copy, DIRECTORY, OPTIONS).recovered.base.index);
      }
    };
    expect(openWal(member.machine.disk, DIRECTORY, OPTIONS).recovered.base.index).toBe(1000);
    expect([...found].toSorted()).toEqual([0, 1000]);
  });

  it('programmer errors are assertions', () => {
    const member = filled();
    const nothing = () => {};
    member.append({ hardState: hardState(5, 1, 6), entries: [] });
    const entries: LogEntry[] = [];
    const reset = (batch: WalBatch) => () => member.wal.append(batch, nothing);
    expect(reset({ hardState: null, reset: point(20, 5), entries })).toThrow('newest snapshot');
    member.snapshot(point(3, 1));
    expect(reset({ hardState: null, reset: point(3, 1), entries })).toThrow('behind the commit index 6');
    member.snapshot(point(20, 6));
    expect(reset({ hardState: null, reset: point(20, 5), entries })).toThrow('newest snapshot');
    expect(reset({ hardState: null, reset: point(20, 6), entries })).toThrow('of term 6 in term 5');
    const next = hardState(6, null, 20);
    expect(reset({ hardState: next, reset: point(20, 6), entries, sync: false })).toThrow('fsync');
    expect(reset({ hardState: next, reset: point(20, 6), entries: [large(22, 6)] })).toThrow('gap');
    expect(reset({ hardState: next, reset: point(20, 6), entries: [large(20, 6)] })).toThrow('committed');
    expect(reset({ hardState: next, reset: point(20, 6), entries: [large(21, 5)] })).toThrow('goes back');
    expect(reset({ hardState: hardState(6, null, 21), reset: point(20, 6), entries })).toThrow('leads');
    member.append({ hardState: next, reset: point(20, 6), entries: [large(21, 6)] });
    expect(reset({ hardState: null, entries: [large(20, 6)] })).toThrow('committed');
    expect(reset({ hardState: null, entries: [large(23, 6)] })).toThrow('gap');
    expect(reset({ hardState: null, entries: [large(22, 5)] })).toThrow('goes back');
    member.append({ hardState: null, entries: [large(21, 6), large(22, 6)] });
  });
});

describe('P17: what connects and what does not', () => {
  /** Snapshots at 4 and 8, the first segments gone up to 4. */
  function compacted(): Member {
    const member = filled();
    member.snapshot(point(4));
    member.wal.compact(logIndex(4));
    member.snapshot(point(8));
    member.wal.close(() => {});
    expect(member.segments()[0]).not.toBe(segmentName(1));
    return member;
  }

  function damage(member: Member, path: string): void {
    member.machine.disk.flipBit(path, 70);
  }

  it('a damaged newest snapshot: the older one and the log hold everything, so it goes', () => {
    const member = compacted();
    damage(member, snapshotPath(8));
    const recovered = member.reopen();
    expect(recovered.snapshot).toMatchObject(point(4));
    expect(recovered.damagedSnapshots).toEqual(['snapshot-0000000000000008']);
    expect(recovered.base.index + recovered.entries.length).toBe(10);
    expect(member.reopen()).toMatchObject({ snapshot: point(4), damagedSnapshots: [] });
  });

  it('a damaged newest snapshot: the log alone holds everything from the beginning', () => {
    const member = filled();
    member.snapshot(point(8));
    damage(member, snapshotPath(8));
    const recovered = member.reopen();
    expect(recovered).toMatchObject({ base: point(0, 0), snapshot: null });
    expect(recovered.damagedSnapshots).toEqual(['snapshot-0000000000000008']);
    expect(recovered.entries).toHaveLength(10);
  });

  it('a damaged older snapshot that nobody needs goes', () => {
    const member = compacted();
    damage(member, snapshotPath(4));
    expect(member.reopen()).toMatchObject({
      snapshot: point(8),
      damagedSnapshots: ['snapshot-0000000000000004'],
    });
  });

  it('a damaged snapshot that is needed is refused by its name, with nothing changed', () => {
    const both = compacted();
    damage(both, snapshotPath(4));
    damage(both, snapshotPath(8));
    const beyond = filled();
    beyond.snapshot(point(8));
    beyond.snapshot(point(1000, 5));
    damage(beyond, snapshotPath(1000));
    const cases: [Member, string, string][] = [
      [both, 'snapshot-0000000000000008', 'entries 1 to'],
      [beyond, 'snapshot-0000000000001000', 'entries 11 to 1000 are missing: the log ends with entry 10'],
    ];
    for (const [member, file, reason] of cases) {
      const { disk } = member.machine;
      disk.kill();
      disk.onOperation = (operation) => {
        throw new Error(`${operation} before a refusal`);
      };
      let refusal: unknown = null;
      try {
        openWal(disk, DIRECTORY, OPTIONS);
      } catch (error) {
        refusal = error;
      }
      if (!(refusal instanceof WalDamagedError)) throw refusal;
      expect(refusal.file).toBe(file);
      expect(refusal.reason).toMatch(/^the header has a wrong checksum, and without it entries/);
      expect(refusal.reason).toContain(reason);
    }
  });

  it('segments that are missing: harmless where a snapshot holds their entries, else refused with which they are', () => {
    const member = compacted();
    const { disk } = member.machine;
    const names = member.segments();
    const copyWithout = (...missing: string[]) => {
      const copy = disk.fork();
      copy.crash();
      for (const name of missing) copy.remove(name.includes('/') ? name : `${DIRECTORY}/${name}`);
      copy.syncDirectory(DIRECTORY);
      return copy;
    };
    // The snapshot at 8 holds what the second one had.
    const { recovered } = openWal(copyWithout(names[1] ?? ''), DIRECTORY, OPTIONS);
    expect(recovered.base.index).toBeGreaterThan(4);
    expect(recovered.base.index + recovered.entries.length).toBe(10);
    // Only the one at 4 is left: some are nowhere.
    expect(() => openWal(copyWithout(names[1] ?? '', snapshotPath(8)), DIRECTORY, OPTIONS)).toThrow(
      /missing, but 0000000\d.wal exists: entries 5 to \d are missing: the log begins with entry \d, and the newest snapshot ends with entry 4/,
    );
    // The last one but one holds entries above the snapshot.
    expect(() => openWal(copyWithout(names.at(-2) ?? ''), DIRECTORY, OPTIONS)).toThrow(
      /entries 9 to \d+ are missing/,
    );
    expect(() => openWal(copyWithout(snapshotPath(4), snapshotPath(8)), DIRECTORY, OPTIONS)).toThrow(
      /entries 1 to \d are missing: .*, and there is no snapshot/,
    );
  });

  it('a first segment that held no entry is missed all the same', () => {
    const member = new Member();
    for (let termNumber = 1; member.wal.stats.segments < 2; termNumber += 1)
      member.append({ hardState: hardState(termNumber, 1, 0), entries: [] });
    member.add(1, 2, 9);
    member.machine.disk.remove(`${DIRECTORY}/${segmentName(1)}`);
    member.machine.disk.syncDirectory(DIRECTORY);
    expect(() => member.reopen()).toThrow('missing, but 00000002.wal exists: there is no snapshot');
  });

  it('the start of a segment must agree with the one before it', () => {
    const member = filled();
    // As long, but of another term: sizes and identity cannot tell.
    const other = new Member();
    other.append({ hardState: hardState(2, 2, 0), entries: [] });
    other.add(1, 10, 2);
    const name = member.segments()[2] ?? '';
    const bytes = other.machine.disk.readFile(`${DIRECTORY}/${name}`);
    member.machine.disk.plant(`${DIRECTORY}/${name}`, bytes);
    expect(() => member.reopen()).toThrow(/the log before it ends at \d, and it begins behind \d of term 2/);
  });

  it('an error while a snapshot is looked at: nothing is changed, and the next try reads it', () => {
    const member = compacted();
    const { disk } = member.machine;
    disk.kill();
    const operations: string[] = [];
    disk.onOperation = (operation) => operations.push(operation);
    const failing: Disk = {
      makeDirectory: (path) => disk.makeDirectory(path),
      list: (path) => disk.list(path),
      readFile: (path) => disk.readFile(path),
      rename: (from, to) => disk.rename(from, to),
      remove: (path) => disk.remove(path),
      syncDirectory: (path) => disk.syncDirectory(path),
      openFile: (path, options) => {
        const file = disk.openFile(path, options);
        return path.includes('snapshot') ? Object.assign(file, { read: eio }) : file;
      },
    };
    expect(() => openWal(failing, DIRECTORY, OPTIONS)).toThrow('EIO');
    expect(operations).toEqual([]);
    expect(openWal(disk, DIRECTORY, OPTIONS).recovered.snapshot).toMatchObject(point(8));
  });
});
