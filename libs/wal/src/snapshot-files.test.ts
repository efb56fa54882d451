import { crc32 } from 'node:zlib';
import { logIndex, term } from '@quorate/raft';
import type { SnapshotPoint } from '@quorate/raft';
import { describe, expect, it } from 'vitest';
import { WalDamagedError } from './errors.js';
import { formatWal } from './segment.js';
import { DIRECTORY, entry, hardState, IDENTITY, SimulatedMachine } from './simulated-machine.testing.js';
import { writeSnapshotNow } from './snapshot-files.js';
import type { SnapshotFiles, SnapshotWriter } from './snapshot-files.js';
import { SNAPSHOT_CHUNK_BYTES } from './snapshot-layout.js';
import type { SnapshotInfo } from './snapshot-layout.js';
import { openWal } from './wal.js';

function point(index: number, termNumber = 1): SnapshotPoint {
  return { index: logIndex(index), term: term(termNumber) };
}

function pathOf(index: number): string {
  return `${DIRECTORY}/snapshot-${String(index).padStart(16, '0')}`;
}

/** Bytes that differ from chunk to chunk. */
function payloadOf(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 31 + (at >> 8) + (at >> 16) * 7) % 256);
}

/** A member with entries 1 to 30 of term 1. */
function machineWithLog(seed = 1) {
  const machine = new SimulatedMachine(seed);
  formatWal(machine.disk, DIRECTORY, IDENTITY);
  const { wal } = openWal(machine.disk, DIRECTORY);
  const entries = Array.from({ length: 30 }, (_, at) => entry(at + 1, 1, `value ${at + 1}`));
  wal.append({ hardState: hardState(1, 2, 0), entries }, () => {});
  wal.close(() => {});
  machine.runAll();
  const { snapshots } = openWal(machine.disk, DIRECTORY);
  return { machine, snapshots };
}

function take(machine: SimulatedMachine, snapshots: SnapshotFiles, at: SnapshotPoint, payload: Uint8Array) {
  const writer = snapshots.create(at);
  writer.append(payload);
  return finish(machine, writer);
}

function finish(machine: SimulatedMachine, writer: SnapshotWriter): SnapshotInfo {
  const outcomes: (SnapshotInfo | Error | null)[] = [];
  writer.finish((error, info) => void outcomes.push(error ?? info));
  machine.runAll();
  const [outcome] = outcomes;
  if (outcome === undefined || outcome === null) throw new Error('the snapshot was not finished');
  if (outcome instanceof Error) throw outcome;
  return outcome;
}

function readAll(snapshots: SnapshotFiles, info: SnapshotInfo): Buffer {
  const chunks = Array.from({ length: info.chunkCount }, (_, chunk) =>
    snapshots.readChunk(info.index, chunk),
  );
  return Buffer.concat(chunks);
}

describe('SnapshotFiles', () => {
  it.each([
    0,
    1,
    SNAPSHOT_CHUNK_BYTES - 1,
    SNAPSHOT_CHUNK_BYTES,
    SNAPSHOT_CHUNK_BYTES + 1,
    SNAPSHOT_CHUNK_BYTES * 3 + 17,
  ])('round trip of %d bytes, before and after a power loss', (length) => {
    const { machine, snapshots } = machineWithLog();
    const payload = payloadOf(length);
    const writer = snapshots.create(point(20));
    // In pieces of odd sizes.
    for (let at = 0; at < length; at += 100_003) writer.append(payload.subarray(at, at + 100_003));
    const info = finish(machine, writer);
    const chunkCount = Math.max(1, Math.ceil(length / SNAPSHOT_CHUNK_BYTES));
    expect(info).toEqual({ index: 20, term: 1, chunkCount, payloadBytes: length, digest: crc32(payload) });
    expect(snapshots.newest).toEqual(info);
    expect(readAll(snapshots, info).equals(payload)).toBe(true);
    machine.disk.crash();
    const reopened = openWal(machine.disk, DIRECTORY);
    expect(reopened.recovered.snapshot).toEqual(info);
    expect(reopened.recovered.entries).toHaveLength(30);
    expect(reopened.snapshots.info(logIndex(20))).toEqual(info);
    expect(readAll(reopened.snapshots, info).equals(payload)).toBe(true);
    for (let chunk = 0; chunk < chunkCount - 1; chunk += 1)
      expect(reopened.snapshots.readChunk(logIndex(20), chunk)).toHaveLength(SNAPSHOT_CHUNK_BYTES);
  });

  it('P10: chunks of any size up to 256 KiB, written under one option and read under another', () => {
    for (const chunkBytes of [1, 7, 200, SNAPSHOT_CHUNK_BYTES]) {
      const { machine } = machineWithLog();
      const { snapshots } = openWal(machine.disk, DIRECTORY, { snapshotChunkBytes: chunkBytes });
      expect(snapshots.chunkBytes).toBe(chunkBytes);
      const payload = payloadOf(700);
      const info = take(machine, snapshots, point(20), payload);
      expect(info.chunkCount).toBe(Math.ceil(700 / chunkBytes));
      machine.disk.crash();
      const reopened = openWal(machine.disk, DIRECTORY);
      expect(reopened.recovered.snapshot).toEqual(info);
      expect(readAll(reopened.snapshots, info).equals(payload)).toBe(true);
      expect(reopened.snapshots.readChunk(logIndex(20), 0)).toHaveLength(Math.min(700, chunkBytes));
    }
    const { machine } = machineWithLog();
    for (const snapshotChunkBytes of [0, 1.5, SNAPSHOT_CHUNK_BYTES + 1])
      expect(() => openWal(machine.disk, DIRECTORY, { snapshotChunkBytes })).toThrow(
        `chunks of ${snapshotChunkBytes} bytes`,
      );
  });

  it('P10: is the newest only after its name is durable, and until then a crash leaves nothing of it', () => {
    const { machine, snapshots } = machineWithLog();
    const operations: string[] = [];
    machine.disk.onOperation = (operation, path) => {
      expect(snapshots.newest).toBeNull();
      operations.push(`${operation} ${path.slice(DIRECTORY.length + 1)}`);
    };
    const info = take(machine, snapshots, point(20), payloadOf(SNAPSHOT_CHUNK_BYTES + 5));
    machine.disk.onOperation = null;
    const name = 'snapshot-0000000000000020';
    expect(operations).toEqual([
      `create ${name}.tmp`,
      `write ${name}.tmp`,
      `write ${name}.tmp`,
      `write ${name}.tmp`,
      `sync ${name}.tmp`,
      `synced ${name}.tmp`,
      `rename ${name}`,
      'syncDirectory ',
    ]);
    expect(snapshots.newest).toEqual(info);
  });

  it('one at a time, each above the newest', () => {
    const { machine, snapshots } = machineWithLog();
    const writer = snapshots.create(point(5));
    expect(() => snapshots.create(point(6))).toThrow('under way');
    writer.abandon();
    writer.abandon();
    take(machine, snapshots, point(6), payloadOf(10));
    expect(() => snapshots.create(point(6))).toThrow('after snapshot 6');
    expect(() => writer.append(payloadOf(1))).toThrow('has ended');
    expect(() => snapshots.readChunk(logIndex(6), 1)).toThrow('no chunk 1');
    expect(() => snapshots.readChunk(logIndex(5), 0)).toThrow('no snapshot 5');
    expect(snapshots.info(logIndex(5))).toBeNull();
  });

  it('an abandoned snapshot leaves nothing, and one that a crash cut short goes when the folder is opened', () => {
    const { machine, snapshots } = machineWithLog();
    const names = machine.disk.list(DIRECTORY);
    const writer = snapshots.create(point(5));
    writer.append(payloadOf(SNAPSHOT_CHUNK_BYTES * 2));
    let calls = 0;
    writer.sync(() => (calls += 1));
    writer.abandon();
    machine.runAll();
    expect(calls).toBe(0);
    expect(machine.disk.list(DIRECTORY)).toEqual(names);
    snapshots.create(point(7)).append(payloadOf(100));
    machine.disk.kill();
    expect(machine.disk.list(DIRECTORY)).toHaveLength(names.length + 1);
    expect(openWal(machine.disk, DIRECTORY).snapshots.newest).toBeNull();
    expect(machine.disk.list(DIRECTORY)).toEqual(names);
  });

  it('what an fsync on the way covered is not counted any more, and the end waits for one in flight', () => {
    const { machine, snapshots } = machineWithLog();
    const writer = snapshots.create(point(5));
    writer.append(payloadOf(SNAPSHOT_CHUNK_BYTES * 2 + 1));
    const frames = 80 + 2 * (SNAPSHOT_CHUNK_BYTES + 8);
    expect(writer.unsyncedBytes).toBe(frames);
    const log: string[] = [];
    writer.sync((error) => log.push(`synced ${error?.message ?? ''}`));
    writer.append(payloadOf(SNAPSHOT_CHUNK_BYTES));
    expect(writer.unsyncedBytes).toBe(frames + SNAPSHOT_CHUNK_BYTES + 8);
    writer.finish((error, info) => log.push(`finished ${error?.message ?? info?.chunkCount}`));
    expect(snapshots.newest).toBeNull();
    machine.runOne();
    expect(log).toEqual(['synced ']);
    expect(writer.unsyncedBytes).toBe(SNAPSHOT_CHUNK_BYTES + 8 + (8 + 1 + 24));
    machine.runAll();
    expect(log).toEqual(['synced ', 'finished 4']);
    expect(writer.unsyncedBytes).toBe(0);
  });

  it.each(['write', 'sync', 'synced', 'rename', 'syncDirectory'])(
    'P20: after an error of the disk (%s) it is not the newest, nothing is under way, and the next one is a new file',
    (failing) => {
      const { machine, snapshots } = machineWithLog();
      const writer = snapshots.create(point(5));
      machine.disk.onOperation = (operation) => {
        if (operation !== failing) return;
        if (operation === 'synced') machine.disk.nextSyncFails = true;
        else throw Object.assign(new Error('EIO'), { code: 'EIO' });
      };
      const log: string[] = [];
      writer.append(payloadOf(100));
      writer.finish((error, info) =>
        log.push(`${error?.message}, ${info === null ? 'nothing' : 'finished'}`),
      );
      machine.runAll();
      machine.disk.onOperation = null;
      expect(log).toEqual([expect.stringMatching(/^EIO.*, nothing$/)]);
      expect(snapshots.newest).toBeNull();
      expect(machine.disk.list(DIRECTORY).some((name) => name.endsWith('.tmp'))).toBe(false);
      writer.abandon();
      const info = take(machine, snapshots, point(5), payloadOf(7));
      machine.disk.crash();
      const reopened = openWal(machine.disk, DIRECTORY);
      expect(readAll(reopened.snapshots, info).equals(payloadOf(7))).toBe(true);
    },
  );

  it('P20: an error of an fsync on the way is the end of it, also for the end that waits', () => {
    const { machine, snapshots } = machineWithLog();
    const writer = snapshots.create(point(5));
    writer.append(payloadOf(100));
    machine.disk.nextSyncFails = true;
    const log: string[] = [];
    writer.sync((error) => log.push(`sync: ${error?.message}`));
    writer.finish((error) => log.push(`finish: ${error?.message}`));
    machine.runAll();
    const message = `EIO: simulated, ${pathOf(5)}.tmp`;
    expect(log).toEqual([`sync: ${message}`, `finish: ${message}`]);
    expect(snapshots.newest).toBeNull();
  });

  it('a full disk: append throws, and abandon gives the space back', () => {
    const { machine, snapshots } = machineWithLog();
    const names = machine.disk.list(DIRECTORY);
    const writer = snapshots.create(point(5));
    machine.disk.nextWriteFault = 'ENOSPC';
    expect(() => writer.append(payloadOf(SNAPSHOT_CHUNK_BYTES + 1))).toThrow('ENOSPC');
    expect(() => writer.append(payloadOf(1))).toThrow('ENOSPC');
    writer.abandon();
    expect(machine.disk.list(DIRECTORY)).toEqual(names);
  });

  it('prune removes all but the newest and those that somebody still reads', () => {
    const { machine, snapshots } = machineWithLog();
    for (const index of [5, 10, 15, 20])
      take(machine, snapshots, point(index), Buffer.from(`snapshot ${index}`));
    snapshots.prune([logIndex(10)]);
    expect([5, 10, 15, 20].map((index) => snapshots.info(logIndex(index))?.index)).toEqual([
      undefined,
      10,
      undefined,
      20,
    ]);
    expect(Buffer.from(snapshots.readChunk(logIndex(10), 0)).toString()).toBe('snapshot 10');
    snapshots.prune([]);
    expect(machine.disk.list(DIRECTORY).filter((name) => name.startsWith('snapshot'))).toHaveLength(1);
    expect(openWal(machine.disk, DIRECTORY).recovered.snapshot?.index).toBe(20);
  });

  it('P17, P21: a byte changed anywhere is seen on opening or when its chunk is read', () => {
    const { machine, snapshots } = machineWithLog();
    const info = take(machine, snapshots, point(20), payloadOf(SNAPSHOT_CHUNK_BYTES * 2 + 300));
    const whole = machine.disk.readFile(pathOf(20));
    const frameBytes = SNAPSHOT_CHUNK_BYTES + 8;
    for (let offset = 0; offset < whole.length;) {
      const copy = machine.disk.fork();
      copy.flipBit(pathOf(20), offset, offset % 8);
      const { recovered, snapshots: found } = openWal(copy, DIRECTORY);
      const isEnd = offset < 80 || offset >= whole.length - 24;
      expect(recovered.damagedSnapshots).toHaveLength(isEnd ? 1 : 0);
      if (!isEnd) {
        const bad = Math.floor((offset - 80) / frameBytes);
        for (let chunk = 0; chunk < info.chunkCount; chunk += 1) {
          if (chunk === bad) expect(() => found.readChunk(info.index, chunk)).toThrow(WalDamagedError);
          else expect(found.readChunk(info.index, chunk)).not.toHaveLength(0);
        }
      }
      // Every byte near a border, and some of the others.
      const fromBorder = (offset - 80) % frameBytes;
      const isNear =
        offset < 100 || offset > whole.length - 50 || fromBorder < 10 || fromBorder > frameBytes - 4;
      offset += isNear
        ? 1
        : Math.max(1, Math.min(9_973, frameBytes - 3 - fromBorder, whole.length - 50 - offset));
    }
  });

  it('P21: chunks exchanged, or of another snapshot, are refused', () => {
    const { machine, snapshots } = machineWithLog();
    take(machine, snapshots, point(10), payloadOf(SNAPSHOT_CHUNK_BYTES * 3));
    take(machine, snapshots, point(20), payloadOf(SNAPSHOT_CHUNK_BYTES * 3));
    const frameBytes = SNAPSHOT_CHUNK_BYTES + 8;
    const start = (chunk: number): number => 80 + chunk * frameBytes;
    const mine = machine.disk.readFile(pathOf(20));
    const frame = mine.slice(start(1), start(2));
    const exchanged = mine.slice();
    exchanged.set(mine.slice(start(0), start(1)), start(1));
    exchanged.set(frame, start(0));
    const mixed = mine.slice();
    mixed.set(machine.disk.readFile(pathOf(10)).slice(start(2), start(3)), start(2));
    for (const [bytes, bad] of [
      [exchanged, [0, 1]],
      [mixed, [2]],
    ] as const) {
      machine.disk.plant(pathOf(20), bytes);
      for (const chunk of [0, 1, 2]) {
        if (bad.some((one) => one === chunk))
          expect(() => snapshots.readChunk(logIndex(20), chunk)).toThrow(
            `chunk ${chunk} has a wrong checksum`,
          );
        else expect(snapshots.readChunk(logIndex(20), chunk)).toHaveLength(SNAPSHOT_CHUNK_BYTES);
      }
    }
  });

  it('P21: a sound file of another member, or under another name, is refused and stays', () => {
    const { machine, snapshots } = machineWithLog();
    take(machine, snapshots, point(10), payloadOf(10));
    const bytes = machine.disk.readFile(pathOf(10));
    machine.disk.plant(pathOf(20), bytes);
    expect(() => openWal(machine.disk, DIRECTORY)).toThrow('the header says index 10');
    const stranger = new SimulatedMachine(2);
    formatWal(stranger.disk, DIRECTORY, { ...IDENTITY, epoch: 2 });
    stranger.disk.plant(pathOf(10), bytes);
    expect(() => openWal(stranger.disk, DIRECTORY)).toThrow('another member, epoch or incarnation');
    expect(stranger.disk.list(DIRECTORY)).toHaveLength(2);
  });

  it('P10: a power loss at each operation of a snapshot of several chunks leaves the whole of it or nothing', () => {
    const payload = payloadOf(SNAPSHOT_CHUNK_BYTES * 2 + 1000);
    const found = new Set<string>();
    for (let stopAt = 1; ; stopAt += 1) {
      let isDone = false;
      const { machine, snapshots } = machineWithLog();
      take(machine, snapshots, point(5), Buffer.from('older'));
      let operations = 0;
      machine.disk.onOperation = () => {
        operations += 1;
        if (operations >= stopAt) throw new Error('power loss');
      };
      try {
        const writer = snapshots.create(point(20));
        writer.append(payload.subarray(0, SNAPSHOT_CHUNK_BYTES + 1));
        writer.sync(() => {});
        writer.append(payload.subarray(SNAPSHOT_CHUNK_BYTES + 1));
        writer.finish((error) => {
          isDone = error === null;
        });
        machine.runAll();
      } catch (error) {
        expect(String(error)).toBe('Error: power loss');
      }
      machine.disk.onOperation = null;
      for (const choice of machine.disk.crashOutcomes(12).choices) {
        const copy = machine.disk.fork();
        copy.crash(choice);
        const { recovered, snapshots: reopened } = openWal(copy, DIRECTORY);
        expect(recovered.damagedSnapshots).toEqual([]);
        if (recovered.snapshot === null) throw new Error('the older one is gone');
        const content = readAll(reopened, recovered.snapshot);
        if (recovered.snapshot.index === 20) expect(content.equals(payload)).toBe(true);
        else expect([content.toString(), isDone]).toEqual(['older', false]);
        found.add(`${recovered.snapshot.index} ${isDone}`);
      }
      if (isDone) break;
    }
    expect([...found].toSorted()).toEqual(['20 false', '20 true', '5 false']);
  });

  it('writeSnapshotNow: a formatted folder begins behind it, whenever the power goes', () => {
    let operations = 0;
    for (let stopAt = 1; ; stopAt += 1) {
      const machine = new SimulatedMachine(stopAt);
      formatWal(machine.disk, DIRECTORY, IDENTITY);
      operations = 0;
      machine.disk.onOperation = () => {
        operations += 1;
        if (operations === stopAt) throw new Error('power loss');
      };
      let info: SnapshotInfo | null = null;
      try {
        const payload = [Buffer.from('the '), Buffer.from('state')];
        info = writeSnapshotNow(machine.disk, DIRECTORY, IDENTITY, point(1000, 7), payload);
      } catch (error) {
        expect(String(error)).toBe('Error: power loss');
      }
      machine.disk.onOperation = null;
      for (const choice of machine.disk.crashOutcomes().choices) {
        const copy = machine.disk.fork();
        copy.crash(choice);
        const { recovered, snapshots } = openWal(copy, DIRECTORY);
        expect(recovered.damagedSnapshots).toEqual([]);
        if (recovered.snapshot === null) {
          expect(info).toBeNull();
          expect(recovered).toMatchObject({ base: { index: 0 }, hardState: hardState(0, null, 0) });
        } else {
          expect(recovered).toMatchObject({ base: point(1000, 7), hardState: hardState(7, null, 1000) });
          expect(recovered.entries).toEqual([]);
          expect(readAll(snapshots, recovered.snapshot).toString()).toBe('the state');
        }
      }
      if (info !== null) break;
    }
    expect(operations).toBeGreaterThanOrEqual(6);
  });
});
