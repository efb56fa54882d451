import { logIndex, memberId, term } from '@quorate/raft';
import { describe, expect, it } from 'vitest';
import { WalDamagedError, WalNotEmptyError } from './errors.js';
import { formatWal, readIdentity } from './segment.js';
import { setAsideAndFormat } from './set-aside.js';
import { DIRECTORY, entry, hardState, IDENTITY, SimulatedMachine } from './simulated-machine.testing.js';
import { openWal } from './wal.js';

const EMPTY = { hardState: hardState(0, null, 0, 9), base: { index: 0, term: 0 }, entries: [] };

/** Two segments and a snapshot; one byte of the first segment is not what it was. */
function damaged(): SimulatedMachine {
  const machine = new SimulatedMachine(1);
  formatWal(machine.disk, DIRECTORY, IDENTITY);
  const { wal, snapshots } = openWal(machine.disk, DIRECTORY, { segmentBytesMax: 460 });
  for (const index of [1, 2]) {
    wal.append({ hardState: hardState(1, 2, 0), entries: [entry(index, 1, 'v'.repeat(200))] }, () => {});
    machine.runAll();
  }
  snapshots.create({ index: logIndex(1), term: term(1) }).finish(() => {});
  machine.runAll();
  wal.close(() => {});
  machine.disk.flipBit(`${DIRECTORY}/00000001.wal`, 200);
  expect(() => openWal(machine.disk, DIRECTORY)).toThrow(WalDamagedError);
  return machine;
}

function filesOf({ disk }: SimulatedMachine, prefix: string): [string, Buffer][] {
  const names = disk.list(DIRECTORY).filter((name) => name.startsWith(prefix));
  return names
    .toSorted()
    .map((name) => [name.slice(prefix.length), Buffer.from(disk.readFile(`${DIRECTORY}/${name}`))]);
}

/** The power goes at once: all of it must be durable. */
function setAside(machine: SimulatedMachine, recovery: number): readonly string[] {
  const names = setAsideAndFormat(machine.disk, DIRECTORY, IDENTITY, recovery);
  machine.disk.crash();
  return names.toSorted();
}

describe('setAsideAndFormat', () => {
  it('P18: every file is kept under another name, and the new log has its recovery', () => {
    const machine = damaged();
    const before = filesOf(machine, '');
    expect(setAside(machine, 9)).toEqual([
      'set-aside-1-00000001.wal',
      'set-aside-1-00000002.wal',
      'set-aside-1-snapshot-0000000000000001',
    ]);
    expect(filesOf(machine, 'set-aside-1-')).toEqual(before);
    expect(readIdentity(machine.disk, DIRECTORY)).toEqual(IDENTITY);
    expect(openWal(machine.disk, DIRECTORY).recovered).toMatchObject(EMPTY);
    expect(machine.disk.list(DIRECTORY)).toHaveLength(4);
  });

  it('what was set aside is never listed, removed or replaced; the next one gets the next number', () => {
    const machine = damaged();
    setAside(machine, 9);
    const first = filesOf(machine, 'set-aside-1-');
    openWal(machine.disk, DIRECTORY).wal.close(() => {});
    expect(setAside(machine, 10)).toEqual(['set-aside-2-00000001.wal']);
    expect(filesOf(machine, 'set-aside-1-')).toEqual(first);
    expect(openWal(machine.disk, DIRECTORY).recovered.hardState.recovery).toBe(10);
    // Also if somebody else chose the number.
    machine.disk.plant(`${DIRECTORY}/set-aside-7.tmp`, new Uint8Array());
    machine.disk.plant(`${DIRECTORY}/set-aside-7-00000001.wal`, new Uint8Array(3));
    expect(setAside(machine, 11)).toEqual(['set-aside-8-00000001.wal']);
    expect(machine.disk.readFile(`${DIRECTORY}/set-aside-7-00000001.wal`)).toHaveLength(3);
    expect(machine.disk.list(DIRECTORY)).not.toContain('set-aside-7.tmp');
  });

  it('cut short, the folder is refused by everybody until it is done again', () => {
    const machine = damaged();
    const before = filesOf(machine, '');
    let renames = 0;
    machine.disk.onOperation = (operation) => {
      renames += operation === 'rename' ? 1 : 0;
      if (renames === 3) throw new Error('power loss');
    };
    expect(() => setAsideAndFormat(machine.disk, DIRECTORY, IDENTITY, 9)).toThrow('power loss');
    machine.disk.onOperation = null;
    machine.disk.crash();
    expect(() => openWal(machine.disk, DIRECTORY)).toThrow('was being set aside when that was cut short');
    expect(() => readIdentity(machine.disk, DIRECTORY)).toThrow(WalDamagedError);
    expect(() => formatWal(machine.disk, DIRECTORY, IDENTITY, () => {}, 9)).toThrow(WalNotEmptyError);
    expect(setAside(machine, 9)).toHaveLength(3);
    expect(filesOf(machine, 'set-aside-1-')).toEqual(before);
    expect(openWal(machine.disk, DIRECTORY).recovered).toMatchObject(EMPTY);
  });

  it('an empty or missing folder is formatted with the recovery; one of somebody else is refused', () => {
    const machine = new SimulatedMachine(1);
    expect(setAside(machine, 9)).toEqual([]);
    expect(openWal(machine.disk, DIRECTORY).recovered).toMatchObject(EMPTY);
    const stranger = new SimulatedMachine(1);
    stranger.disk.plant(`${DIRECTORY}/precious.txt`, new Uint8Array(1));
    expect(() => setAsideAndFormat(stranger.disk, DIRECTORY, IDENTITY, 9)).toThrow('precious.txt');
  });

  it('P33: the log of another member or cluster is not set aside', () => {
    for (const other of [
      { ...IDENTITY, memberId: memberId(3) },
      { ...IDENTITY, clusterId: '0000000000000001' },
    ]) {
      const machine = damaged();
      const before = filesOf(machine, '');
      expect(() => setAsideAndFormat(machine.disk, DIRECTORY, other, 9)).toThrow('belongs to member 2');
      expect(filesOf(machine, '')).toEqual(before);
    }
  });

  it('P32: beside what was set aside, a folder is formatted with a recovery or not at all', () => {
    const machine = damaged();
    setAside(machine, 9);
    machine.disk.remove(`${DIRECTORY}/00000001.wal`);
    expect(() => formatWal(machine.disk, DIRECTORY, IDENTITY)).toThrow(WalNotEmptyError);
    formatWal(machine.disk, DIRECTORY, IDENTITY, () => {}, 12);
    expect(openWal(machine.disk, DIRECTORY).recovered.hardState.recovery).toBe(12);
  });

  it('a recovery of 0 is a programmer error', () => {
    const { disk } = damaged();
    expect(() => setAsideAndFormat(disk, DIRECTORY, IDENTITY, 0)).toThrow('not a recovery');
  });
});
