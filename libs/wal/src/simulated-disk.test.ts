import { describe, expect, it } from 'vitest';
import { SimulatedMachine } from './simulated-machine.testing.js';

const FOLDER = '/d';

function machineWithFolder(seed: number): SimulatedMachine {
  const machine = new SimulatedMachine(seed);
  machine.disk.makeDirectory(FOLDER);
  return machine;
}

function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

describe('SimulatedDisk', () => {
  it('synced bytes under a synced name always survive', () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      const { disk } = machineWithFolder(seed);
      const file = disk.openFile('/d/f', { create: true });
      file.write([filled(700, 1), filled(700, 2)], 0);
      file.syncNow();
      disk.syncDirectory(FOLDER);
      file.write([filled(700, 3)], 1400);
      disk.crash();
      const bytes = disk.readFile('/d/f');
      expect(bytes.slice(0, 1400)).toEqual(new Uint8Array(Buffer.concat([filled(700, 1), filled(700, 2)])));
    }
  });

  it('an unsynced write is kept, lost, torn at a sector, or zeros; an unsynced name is kept or lost', () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 200; seed += 1) {
      const { disk } = machineWithFolder(seed);
      const file = disk.openFile('/d/f', { create: true });
      file.write([filled(1000, 7)], 100);
      disk.crash();
      if (disk.list(FOLDER).length === 0) {
        seen.add('no name');
        continue;
      }
      const bytes = disk.readFile('/d/f');
      const ones = bytes.map((byte) => (byte === 7 ? 1 : 0));
      const first = ones.indexOf(1);
      const last = ones.lastIndexOf(1);
      if (bytes.length === 0) seen.add('lost');
      else if (first === -1) seen.add('zeros');
      else if (first === 100 && last === 1099) seen.add('kept');
      else if (first === 100 && (last + 1) % 512 === 0) seen.add('torn, head kept');
      else if (first % 512 === 0 && last === 1099) seen.add('torn, tail kept');
      else throw new Error(`bytes ${first} to ${last} kept`);
    }
    expect([...seen].sort()).toEqual([
      'kept',
      'lost',
      'no name',
      'torn, head kept',
      'torn, tail kept',
      'zeros',
    ]);
  });

  it('a rename that no folder sync followed is there or not, never half', () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 100; seed += 1) {
      const { disk } = machineWithFolder(seed);
      disk.openFile('/d/a', { create: true });
      disk.syncDirectory(FOLDER);
      disk.rename('/d/a', '/d/b');
      disk.crash();
      seen.add(disk.list(FOLDER).join());
    }
    expect([...seen].sort()).toEqual(['a', 'b']);
  });

  it('a sync covers what was written before it, not what was written while it ran', () => {
    const kept = new Set<number>();
    for (let seed = 1; seed <= 50; seed += 1) {
      const machine = machineWithFolder(seed);
      const file = machine.disk.openFile('/d/f', { create: true });
      machine.disk.syncDirectory(FOLDER);
      file.write([filled(8, 1)], 0);
      file.sync(() => {});
      file.write([filled(8, 2)], 8);
      machine.runAll();
      expect(machine.disk.files()).toEqual([{ path: '/d/f', size: 16, unsynced: 1 }]);
      machine.disk.crash();
      const bytes = machine.disk.readFile('/d/f');
      expect(bytes.slice(0, 8)).toEqual(filled(8, 1));
      kept.add(bytes.length);
    }
    expect([...kept].sort((a, b) => a - b)).toEqual([8, 16]);
  });

  it('after a crash old callbacks never come and old handles throw', () => {
    const machine = machineWithFolder(1);
    const file = machine.disk.openFile('/d/f', { create: true });
    machine.disk.syncDirectory(FOLDER);
    let called = false;
    file.sync(() => {
      called = true;
    });
    machine.disk.crash();
    machine.runAll();
    expect(called).toBe(false);
    expect(() => file.write([filled(1, 1)], 0)).toThrow('EBADF');
  });

  it('P20: after a failed sync a later one reports success without having written the pages', () => {
    const sizes = new Set<number>();
    for (let seed = 1; seed <= 50; seed += 1) {
      const { disk } = machineWithFolder(seed);
      const file = disk.openFile('/d/f', { create: true });
      disk.syncDirectory(FOLDER);
      file.write([filled(10, 1)], 0);
      disk.nextSyncFails = true;
      expect(() => file.syncNow()).toThrow('EIO');
      file.syncNow();
      expect(disk.readFile('/d/f')).toEqual(filled(10, 1));
      disk.crash();
      sizes.add(disk.readFile('/d/f').length);
    }
    expect([...sizes].sort((a, b) => a - b)).toEqual([0, 10]);
  });

  it('the same seed gives the same disk', () => {
    const contents = [1, 2].map(() => {
      const machine = machineWithFolder(42);
      for (const name of ['a', 'b', 'c', 'd']) {
        const file = machine.disk.openFile(`/d/${name}`, { create: true });
        for (let turn = 0; turn < 5; turn += 1) file.write([filled(900, turn + 1)], turn * 900);
      }
      machine.disk.crash();
      return machine.disk
        .files()
        .map(({ path }) => [path, Buffer.from(machine.disk.readFile(path)).toString('hex')]);
    });
    expect(contents[0]).toEqual(contents[1]);
  });
});
