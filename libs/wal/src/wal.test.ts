import { describe, expect, it } from 'vitest';
import { WalFailedError, WalNotEmptyError, WalNotFormattedError } from './errors.js';
import { formatWal, readIdentity } from './segment.js';
import { DIRECTORY, entry, hardState, IDENTITY, SimulatedMachine } from './simulated-machine.testing.js';
import { openWal } from './wal.js';
import type { Wal, WalBatch, WalOptions } from './wal.js';

function formatted(seed = 1): SimulatedMachine {
  const machine = new SimulatedMachine(seed);
  formatWal(machine.disk, DIRECTORY, IDENTITY);
  return machine;
}

function open(machine: SimulatedMachine, options?: WalOptions) {
  return openWal(machine.disk, DIRECTORY, options);
}

/** Appends and notes the outcome under a name. */
function appendNoting(wal: Wal, log: string[], name: string, batch: WalBatch): void {
  wal.append(batch, (error) => log.push(error === null ? name : `${name}: ${error.name}`));
}

function closeNow(machine: SimulatedMachine, wal: Wal): Error | null {
  let outcome: Error | null | undefined;
  wal.close((error) => {
    outcome = error;
  });
  machine.runAll();
  if (outcome === undefined) throw new Error('the log did not close');
  return outcome;
}

describe('format and open', () => {
  it('an empty or missing folder is not formatted', () => {
    const machine = new SimulatedMachine(1);
    expect(readIdentity(machine.disk, DIRECTORY)).toBeNull();
    expect(() => open(machine)).toThrow(WalNotFormattedError);
  });

  it('P32: the identity is written once and found again; a second format is refused', () => {
    const machine = formatted();
    expect(readIdentity(machine.disk, DIRECTORY)).toEqual(IDENTITY);
    expect(() => formatWal(machine.disk, DIRECTORY, IDENTITY)).toThrow(WalNotEmptyError);
    const { recovered } = open(machine);
    expect(recovered).toEqual({
      identity: IDENTITY,
      hardState: hardState(0, null, 0),
      base: { index: 0, term: 0 },
      entries: [],
      snapshot: null,
      damagedSnapshots: [],
      tornBytes: 0,
    });
  });

  it('refuses to format a folder that holds a stranger', () => {
    const machine = new SimulatedMachine(1);
    machine.disk.plant(`${DIRECTORY}/precious.txt`, new Uint8Array(1));
    expect(() => formatWal(machine.disk, DIRECTORY, IDENTITY)).toThrow('precious.txt');
  });
});

describe('append', () => {
  it('round trip: entries, term, vote and commit are there after a restart', () => {
    const machine = formatted();
    const { wal } = open(machine);
    const entries = [entry(1, 3, null), entry(2, 3, 'a'), entry(3, 3, 'x'.repeat(5000)), entry(4, 4, '')];
    wal.append({ hardState: hardState(3, 2, 0), entries: entries.slice(0, 3) }, () => {});
    wal.append({ hardState: hardState(4, null, 2), entries: entries.slice(3) }, () => {});
    expect(closeNow(machine, wal)).toBeNull();
    machine.disk.crash();
    const { recovered } = open(machine);
    expect(recovered.hardState).toEqual(hardState(4, null, 2));
    expect(recovered.entries).toEqual(entries);
    expect(recovered.tornBytes).toBe(0);
  });

  it('opening and closing a settled log changes no byte of it', () => {
    const machine = formatted();
    const { wal } = open(machine);
    wal.append({ hardState: hardState(1, 1, 0), entries: [entry(1, 1, 'a')] }, () => {});
    closeNow(machine, wal);
    const before = machine.disk.readFile(`${DIRECTORY}/00000001.wal`);
    for (let turn = 0; turn < 3; turn += 1) closeNow(machine, open(machine).wal);
    expect(machine.disk.readFile(`${DIRECTORY}/00000001.wal`)).toEqual(before);
  });

  it('group fsync: many appends share a sync, and none is reported before the sync that covers it', () => {
    const machine = formatted();
    const { wal } = open(machine);
    const log: string[] = [];
    for (let index = 1; index <= 10; index += 1) {
      appendNoting(wal, log, `e${index}`, { hardState: null, entries: [entry(index, 0, 'v')] });
    }
    // The first append started a sync that covers it alone; the other nine wait for the second.
    expect(log).toEqual([]);
    machine.runOne();
    expect(log).toEqual(['e1']);
    expect(wal.stats).toMatchObject({ syncs: 1, syncInFlight: true, waiting: 9 });
    machine.runOne();
    expect(log).toEqual(['e1', 'e2', 'e3', 'e4', 'e5', 'e6', 'e7', 'e8', 'e9', 'e10']);
    expect(wal.stats).toMatchObject({ syncs: 2, syncInFlight: false, waiting: 0 });
  });

  it('a batch that owes no sync is reported at once, but never before one that waits', () => {
    const machine = formatted();
    const { wal } = open(machine);
    const log: string[] = [];
    appendNoting(wal, log, 'idle', { hardState: hardState(0, null, 0), entries: [], sync: false });
    expect(log).toEqual(['idle']);
    appendNoting(wal, log, 'entry', { hardState: null, entries: [entry(1, 0, 'v')] });
    appendNoting(wal, log, 'commit', { hardState: hardState(0, null, 1), entries: [], sync: false });
    expect(log).toEqual(['idle']);
    machine.runAll();
    expect(log).toEqual(['idle', 'entry', 'commit']);
    expect(wal.stats.syncs).toBe(1);
  });

  it('an entry at or before the end replaces it and all that follow', () => {
    const machine = formatted();
    const { wal } = open(machine);
    const old = [1, 2, 3, 4].map((index) => entry(index, 2, `old ${index}`));
    wal.append({ hardState: hardState(2, null, 1), entries: old }, () => {});
    wal.append({ hardState: hardState(3, null, 1), entries: [entry(3, 3, 'new 3')] }, () => {});
    closeNow(machine, wal);
    expect(open(machine).recovered.entries).toEqual([old[0], old[1], entry(3, 3, 'new 3')]);
  });

  it('starts a new segment when a batch does not fit, and reads them all', () => {
    const machine = formatted();
    const { wal } = open(machine, { segmentBytesMax: 1024 });
    const log: string[] = [];
    const entries = Array.from({ length: 40 }, (_, position) => entry(position + 1, 1, 'v'.repeat(100)));
    wal.append({ hardState: hardState(1, 1, 0), entries: [] }, () => {});
    for (const one of entries) {
      appendNoting(wal, log, `e${one.index}`, { hardState: null, entries: [one] });
      // Never beside an fsync in flight: a segment may outgrow its bound until that ends.
      if (one.index % 3 === 0) machine.runAll();
    }
    machine.runAll();
    expect(log).toEqual(entries.map((one) => `e${one.index}`));
    expect(wal.stats.segmentNumber).toBeGreaterThan(3);
    machine.disk.crash();
    const reopened = open(machine, { segmentBytesMax: 1024 });
    expect(reopened.recovered.entries).toEqual(entries);
    // An entry of an earlier segment can be replaced from a later one.
    reopened.wal.append({ hardState: hardState(2, null, 0), entries: [entry(2, 2, 'new')] }, () => {});
    closeNow(machine, reopened.wal);
    expect(open(machine).recovered.entries).toEqual([entries[0], entry(2, 2, 'new')]);
  });

  it('a batch larger than a segment gets a segment of its own', () => {
    const machine = formatted();
    const { wal } = open(machine, { segmentBytesMax: 256 });
    const large = [entry(1, 1, 'a'), entry(2, 1, 'b'.repeat(10_000)), entry(3, 1, 'c')];
    for (const one of large) wal.append({ hardState: null, entries: [one] }, () => {});
    closeNow(machine, wal);
    expect(open(machine).recovered.entries).toEqual(large);
  });

  it('programmer errors are assertions: gaps, terms, votes and commits that go back', () => {
    const machine = formatted();
    const { wal } = open(machine);
    const nothing = () => {};
    const first = [entry(1, 2, 'a'), entry(2, 3, 'b')];
    wal.append({ hardState: hardState(3, 2, 1), entries: first }, nothing);
    const wrong: WalBatch[] = [
      { hardState: null, entries: [entry(4, 3, 'gap')] },
      { hardState: null, entries: [entry(3, 3, 'a'), entry(5, 3, 'gap')] },
      { hardState: null, entries: [entry(3, 2, 'term goes back')] },
      { hardState: null, entries: [entry(1, 3, 'committed')] },
      { hardState: hardState(2, 2, 1), entries: [] },
      { hardState: hardState(3, 1, 1), entries: [] },
      { hardState: hardState(3, null, 1), entries: [] },
      { hardState: hardState(3, 2, 0), entries: [] },
      { hardState: hardState(3, 2, 3), entries: [] },
    ];
    for (const batch of wrong)
      expect(() => wal.append(batch, nothing)).toThrow(/goes back|gap|committed|changes|leads/);
    closeNow(machine, wal);
    expect(() => wal.append({ hardState: null, entries: [] }, nothing)).toThrow('append after close');
    const { recovered } = open(machine);
    expect(recovered.entries).toEqual(first);
    expect(recovered.hardState).toEqual(hardState(3, 2, 1));
  });

  it('a recovery is carried through appends, segments and restarts, and ends once', () => {
    const machine = new SimulatedMachine(1);
    formatWal(machine.disk, DIRECTORY, IDENTITY, () => {}, 77);
    const options = { segmentBytesMax: 300 };
    const recovering = open(machine, options);
    expect(recovering.recovered.hardState).toEqual(hardState(0, null, 0, 77));
    const nothing = () => {};
    recovering.wal.append({ hardState: hardState(3, null, 0, 77), entries: [entry(1, 3, 'a')] }, nothing);
    machine.runAll();
    const other = { hardState: hardState(3, null, 0, 78), entries: [] };
    expect(() => recovering.wal.append(other, nothing)).toThrow('recovery changes from 77 to 78');
    recovering.wal.append({ hardState: null, entries: [entry(2, 3, 'b'.repeat(200))] }, nothing);
    closeNow(machine, recovering.wal);
    const { wal, recovered } = open(machine, options);
    expect(recovered.hardState).toEqual(hardState(3, null, 0, 77));
    wal.append({ hardState: hardState(3, null, 2, 0), entries: [] }, nothing);
    machine.runAll();
    const again = { hardState: hardState(3, null, 2, 77), entries: [] };
    expect(() => wal.append(again, nothing)).toThrow('recovery changes from 0 to 77');
    expect(wal.stats.segments).toBeGreaterThan(1);
    machine.disk.crash();
    expect(open(machine).recovered.hardState).toEqual(hardState(3, null, 2, 0));
  });

  it('a close asked for in a callback waits for the callbacks that are owed', () => {
    const machine = formatted();
    const { wal } = open(machine);
    const log: string[] = [];
    wal.append({ hardState: null, entries: [entry(1, 0, 'a')] }, () => {});
    wal.append({ hardState: null, entries: [entry(2, 0, 'b')] }, () => {
      log.push('b');
      wal.close(() => log.push('closed'));
    });
    appendNoting(wal, log, 'c', { hardState: null, entries: [entry(3, 0, 'c')] });
    machine.runAll();
    expect(log).toEqual(['b', 'c', 'closed']);
  });
});

describe('space ahead of the records', () => {
  const PATH = `${DIRECTORY}/00000001.wal`;
  const sizeOf = (machine: SimulatedMachine): number => machine.disk.readFile(PATH).length;

  it('the file grows by so many bytes at a time, and not beyond a segment unless the batch does', () => {
    const machine = formatted();
    const { wal } = open(machine, { segmentBytesMax: 4000, allocationBytes: 1024 });
    const sizes = new Set<number>();
    for (let index = 1; index <= 25; index += 1) {
      wal.append({ hardState: null, entries: [entry(index, 0, 'v'.repeat(100))] }, () => {});
      machine.runAll();
      sizes.add(sizeOf(machine));
    }
    expect([...sizes]).toEqual([1024, 2048, 3072, 4000]);
    const { logBytes } = wal.stats;
    expect(logBytes).toBeLessThan(4000);
    wal.append({ hardState: null, entries: [entry(26, 0, 'v'.repeat(3700))] }, () => {});
    machine.runAll();
    expect(wal.stats.segments).toBe(2);
    expect(sizeOf(machine)).toBe(4000);
    machine.disk.crash();
    const { wal: reopened, recovered } = open(machine);
    expect(recovered).toMatchObject({ tornBytes: 0 });
    expect(recovered.entries).toHaveLength(26);
    expect(reopened.stats.logBytes).toBe(wal.stats.logBytes);
  });

  it('what lies behind the end of a segment that was left counts for nothing', () => {
    const machine = formatted();
    const { wal } = open(machine, { segmentBytesMax: 400, allocationBytes: 400 });
    for (const index of [1, 2, 3])
      wal.append({ hardState: null, entries: [entry(index, 0, 'v'.repeat(150))] }, () => {});
    machine.runAll();
    expect(wal.stats.segments).toBe(2);
    wal.close(() => {});
    const bytes = machine.disk.readFile(PATH);
    bytes.fill(7, bytes.findLastIndex((byte) => byte !== 0) + 9);
    machine.disk.plant(PATH, Buffer.concat([bytes, Buffer.alloc(50, 9)]));
    expect(open(machine).recovered.entries).toHaveLength(3);
  });

  it('a disk that takes the records and not all of the zeros does not fail the log', () => {
    const machine = formatted();
    const { wal } = open(machine, { allocationBytes: 4096 });
    let writes = 0;
    machine.disk.onOperation = (operation) => {
      writes += operation === 'write' ? 1 : 0;
    };
    machine.disk.nextWriteFault = 'short';
    const log: string[] = [];
    appendNoting(wal, log, 'a', { hardState: null, entries: [entry(1, 0, 'a')] });
    machine.runAll();
    expect(log).toEqual(['a']);
    // The zeros were not asked for again: one for the batch, one for the mark behind it.
    expect(writes).toBe(2);
    machine.disk.crash();
    expect(open(machine).recovered.entries).toHaveLength(1);
  });
});

describe('a failing disk', () => {
  it('finishes a short write', () => {
    const machine = formatted();
    const { wal } = open(machine);
    const log: string[] = [];
    const long = entry(1, 1, 'v'.repeat(3000));
    machine.disk.nextWriteFault = 'short';
    appendNoting(wal, log, 'long', { hardState: null, entries: [long] });
    machine.runAll();
    machine.disk.crash();
    expect(log).toEqual(['long']);
    expect(open(machine).recovered.entries).toEqual([long]);
  });

  it('P20: a disk that fills up in the middle of a batch fails the log; what was acknowledged stays', () => {
    for (const code of ['ENOSPC', 'EIO'] as const) {
      const machine = formatted();
      const { wal } = open(machine);
      const log: string[] = [];
      appendNoting(wal, log, 'first', { hardState: null, entries: [entry(1, 1, 'first')] });
      machine.runAll();
      // First a part is taken, then comes the error, as on a real disk.
      machine.disk.nextWriteFault = 'short';
      let calls = 0;
      machine.disk.onOperation = (operation) => {
        if (operation !== 'write') return;
        calls += 1;
        if (calls === 2) machine.disk.nextWriteFault = code;
      };
      appendNoting(wal, log, 'second', { hardState: null, entries: [entry(2, 1, 'second '.repeat(100))] });
      machine.disk.onOperation = null;
      appendNoting(wal, log, 'third', { hardState: null, entries: [entry(3, 1, 'third')] });
      machine.runAll();
      expect(calls).toBe(2);
      expect(log).toEqual(['first', 'second: WalFailedError', 'third: WalFailedError']);
      expect(closeNow(machine, wal)).toBeInstanceOf(WalFailedError);
      machine.disk.kill();
      expect(open(machine).recovered.entries).toEqual([entry(1, 1, 'first')]);
    }
  });

  it('P20: a failed fsync fails all that wait and all that comes, and is never tried again', () => {
    const machine = formatted();
    const { wal } = open(machine);
    const log: string[] = [];
    const syncs: string[] = [];
    machine.disk.onOperation = (operation) => {
      if (operation === 'sync' || operation === 'syncNow') syncs.push(operation);
    };
    machine.disk.nextSyncFails = true;
    appendNoting(wal, log, 'first', { hardState: null, entries: [entry(1, 1, 'a')] });
    appendNoting(wal, log, 'second', { hardState: null, entries: [entry(2, 1, 'b')] });
    machine.runAll();
    appendNoting(wal, log, 'third', { hardState: null, entries: [entry(3, 1, 'c')] });
    expect(closeNow(machine, wal)).toBeInstanceOf(WalFailedError);
    expect(log).toEqual(['first: WalFailedError', 'second: WalFailedError', 'third: WalFailedError']);
    expect(syncs).toEqual(['sync']);
    expect(wal.stats.failed).toBe(true);
  });

  it('P20: what is recovered after a failed fsync is on the disk and not only in a page cache that calls itself clean', () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      const machine = formatted(seed);
      const { wal } = open(machine);
      machine.disk.nextSyncFails = true;
      wal.append({ hardState: hardState(1, 2, 0), entries: [entry(1, 1, 'v'.repeat(2000))] }, () => {});
      machine.runAll();
      machine.disk.kill();
      const afterKill = open(machine).recovered;
      expect(afterKill.entries).toHaveLength(1);
      machine.disk.crash();
      const afterPowerLoss = open(machine).recovered;
      expect(afterPowerLoss.entries).toEqual(afterKill.entries);
      expect(afterPowerLoss.hardState).toEqual(afterKill.hardState);
    }
  });

  it('P20: an error while a segment is started fails the log', () => {
    for (const failing of ['create', 'rename', 'syncDirectory', 'syncNow']) {
      const machine = formatted();
      const { wal } = open(machine, { segmentBytesMax: 200 });
      const log: string[] = [];
      appendNoting(wal, log, 'first', { hardState: null, entries: [entry(1, 1, 'v'.repeat(100))] });
      // The segment is full: it is left as soon as the fsync in flight has ended.
      machine.disk.onOperation = (operation) => {
        if (operation === failing) throw new Error('EIO');
      };
      machine.runAll();
      appendNoting(wal, log, 'second', { hardState: null, entries: [entry(2, 1, 'v'.repeat(100))] });
      machine.disk.onOperation = null;
      expect(log).toEqual(['first', 'second: WalFailedError']);
      machine.disk.crash();
      const reopened = open(machine, { segmentBytesMax: 200 });
      expect(reopened.recovered.entries).toHaveLength(1);
      reopened.wal.append({ hardState: null, entries: [entry(2, 1, 'again')] }, () => {});
      closeNow(machine, reopened.wal);
      expect(open(machine).recovered.entries).toHaveLength(2);
    }
  });

  it('P22: with a hung fsync nothing is reported, and what waits can be seen', () => {
    const machine = formatted();
    const { wal } = open(machine);
    const log: string[] = [];
    machine.disk.hangSyncs = true;
    appendNoting(wal, log, 'a', { hardState: null, entries: [entry(1, 1, 'a')] });
    appendNoting(wal, log, 'b', { hardState: null, entries: [entry(2, 1, 'b')] });
    wal.close(() => log.push('closed'));
    machine.runAll();
    expect(log).toEqual([]);
    expect(wal.stats).toMatchObject({ waiting: 2, syncInFlight: true });
  });
});
