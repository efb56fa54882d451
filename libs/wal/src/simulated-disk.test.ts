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
      else if (first === 100 && last === 1099)
        seen.add(ones.includes(0, 100) ? 'torn, a sector missing' : 'kept');
      else if (first === 100 && (last + 1) % 512 === 0) seen.add('torn, head kept');
      else if (first % 512 === 0 && last === 1099) seen.add('torn, tail kept');
      else if (first === 512 && last === 1023) seen.add('torn, one sector kept');
      else throw new Error(`bytes ${first} to ${last} kept`);
    }
    expect([...seen].sort()).toEqual([
      'kept',
      'lost',
      'no name',
      'torn, a sector missing',
      'torn, head kept',
      'torn, one sector kept',
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

  /** Every outcome of a power loss, as text. */
  function outcomesOf(machine: SimulatedMachine, outcomesMax?: number): string[] {
    return machine.disk.crashOutcomes(outcomesMax).choices.map((choice) => {
      const copy = machine.disk.fork();
      copy.crash(choice);
      return copy
        .files()
        .map(({ path }) => `${path.slice(FOLDER.length + 1)}=${copy.readFile(path).join('')}`)
        .sort()
        .join(' ');
    });
  }

  it('crashOutcomes: of two writes each is kept, lost or zeros, in any combination, and the disk itself stays as it was', () => {
    const machine = machineWithFolder(1);
    const file = machine.disk.openFile('/d/f', { create: true });
    machine.disk.syncDirectory(FOLDER);
    file.write([filled(2, 1)], 0);
    file.write([filled(2, 2)], 2);
    expect(machine.disk.crashOutcomes().exhaustive).toBe(true);
    expect(outcomesOf(machine).sort()).toEqual(
      ['f=', 'f=00', 'f=0000', 'f=0000', 'f=0022', 'f=0022', 'f=11', 'f=1100', 'f=1122'].sort(),
    );
    expect(machine.disk.files()).toEqual([{ path: '/d/f', size: 4, unsynced: 2 }]);
    file.syncNow();
    expect(outcomesOf(machine)).toEqual(['f=1122']);
  });

  it('crashOutcomes: of two overlapping writes the later is never below the earlier', () => {
    const machine = machineWithFolder(1);
    const file = machine.disk.openFile('/d/f', { create: true });
    machine.disk.syncDirectory(FOLDER);
    file.write([filled(3, 1)], 0);
    file.write([filled(3, 2)], 1);
    expect(new Set(outcomesOf(machine))).toEqual(
      new Set(['f=', 'f=000', 'f=111', 'f=0000', 'f=1110', 'f=0222', 'f=1222']),
    );
  });

  it('crashOutcomes: names of one chain are kept in their order, unrelated ones by themselves', () => {
    const machine = machineWithFolder(1);
    const { disk } = machine;
    disk.openFile('/d/a', { create: true });
    disk.rename('/d/a', '/d/b');
    disk.rename('/d/b', '/d/c');
    disk.openFile('/d/x', { create: true });
    expect(outcomesOf(machine).sort()).toEqual(
      ['', 'a=', 'b=', 'c=', 'x=', 'a= x=', 'b= x=', 'c= x='].sort(),
    );
    for (let seed = 1; seed <= 50; seed += 1) {
      const copy = disk.fork({ random: () => ((seed * 7919) % 97) / 97, schedule: () => {} });
      copy.crash();
      expect(copy.list(FOLDER).filter((name) => name !== 'x').length).toBeLessThanOrEqual(1);
    }
  });

  it('crashOutcomes: more than the bound are sampled, always the same, the extremes included', () => {
    const machine = machineWithFolder(1);
    const file = machine.disk.openFile('/d/f', { create: true });
    machine.disk.syncDirectory(FOLDER);
    for (let turn = 0; turn < 12; turn += 1) file.write([filled(1, 1)], turn);
    const { choices, exhaustive } = machine.disk.crashOutcomes(500);
    expect(exhaustive).toBe(false);
    expect(choices).toHaveLength(500);
    expect(machine.disk.fork().crashOutcomes(500).choices).toEqual(choices);
    expect(outcomesOf(machine, 2)).toEqual(['f=111111111111', 'f=']);
  });

  it('a fork and its origin change nothing of each other', () => {
    const machine = machineWithFolder(1);
    const file = machine.disk.openFile('/d/f', { create: true });
    machine.disk.syncDirectory(FOLDER);
    file.write([filled(2, 1)], 0);
    const copy = machine.disk.fork();
    file.syncNow();
    expect(copy.files()).toEqual([{ path: '/d/f', size: 2, unsynced: 1 }]);
    copy.openFile('/d/f', { create: false }).write([filled(2, 9)], 0);
    copy.openFile('/d/g', { create: true });
    expect(machine.disk.readFile('/d/f')).toEqual(filled(2, 1));
    expect(machine.disk.list(FOLDER)).toEqual(['f']);
  });

  it('P20: a sync that failed when it started leaves clean pages to one that starts meanwhile', () => {
    const machine = machineWithFolder(1);
    const file = machine.disk.openFile('/d/f', { create: true });
    machine.disk.syncDirectory(FOLDER);
    file.write([filled(2, 1)], 0);
    machine.disk.nextSyncFails = true;
    const outcomes: string[] = [];
    file.sync((error) => outcomes.push(String(error)));
    file.syncNow();
    machine.runAll();
    expect(outcomes).toEqual(['Error: EIO: simulated, /d/f']);
    expect(outcomesOf(machine)).toContain('f=');
    // Written once more, and synced, the bytes are there whatever became of the first try.
    file.write([filled(2, 1)], 0);
    file.syncNow();
    expect(outcomesOf(machine)).toEqual(['f=11']);
  });

  it('P21: a lost or misdirected write is right in the page cache and wrong on the platter', () => {
    for (const fault of ['lost', 'misdirected', { path: '/d/g', position: 1 }] as const) {
      const machine = machineWithFolder(1);
      machine.disk.plant('/d/f', filled(4, 1));
      machine.disk.plant('/d/g', filled(4, 2));
      const file = machine.disk.openFile('/d/f', { create: false });
      machine.disk.nextWriteFault = fault;
      expect(file.write([filled(2, 9)], 3)).toBe(2);
      expect(machine.disk.nextWriteFault).toBeNull();
      file.syncNow();
      expect(machine.disk.readFile('/d/f').join('')).toBe('11199');
      machine.disk.crash();
      const bytes = [machine.disk.readFile('/d/f').join(''), machine.disk.readFile('/d/g').join('')];
      // Sectors go astray as a whole; in another file nothing grows.
      const g = fault === 'lost' ? '2222' : fault === 'misdirected' ? '1119' : '2992';
      expect(bytes).toEqual(['11110', g]);
    }
  });

  it('a read error comes once', () => {
    const { disk } = machineWithFolder(1);
    disk.plant('/d/f', filled(1, 1));
    disk.nextReadFails = true;
    expect(() => disk.readFile('/d/f')).toThrow('EIO');
    expect(disk.readFile('/d/f')).toEqual(filled(1, 1));
    const file = disk.openFile('/d/f', { create: false });
    disk.nextReadFails = true;
    expect(() => file.read(0, 1)).toThrow('EIO');
    expect(file.read(0, 1)).toEqual(filled(1, 1));
  });

  it('reads a part of a file: unsynced writes and flipped bits included, up to its end, and not after a death', () => {
    const { disk } = machineWithFolder(1);
    disk.plant('/d/f', filled(4, 1));
    const file = disk.openFile('/d/f', { create: false });
    file.write([filled(2, 2)], 3);
    disk.flipBit('/d/f', 1, 1);
    expect(file.read(1, 3).join('')).toBe('312');
    expect(file.read(4, 9).join('')).toBe('2');
    expect(file.read(5, 9)).toHaveLength(0);
    expect(file.read(9, 9)).toHaveLength(0);
    disk.kill();
    expect(() => file.read(0, 1)).toThrow('EBADF');
  });
});
