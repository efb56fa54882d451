import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { logIndex, term } from '@quorate/raft';
import type { LogEntry } from '@quorate/raft';
import { describe, expect, it } from 'vitest';
import { WalDamagedError } from './errors.js';
import { formatWal, readIdentity, SEGMENT_START_BYTES } from './segment.js';
import { DIRECTORY, entry, hardState, IDENTITY, SimulatedMachine } from './simulated-machine.testing.js';
import { openWal } from './wal.js';
import type { WalRecovered } from './wal.js';

const SEGMENT_1 = `${DIRECTORY}/00000001.wal`;
const ENTRIES = [1, 2, 3, 4, 5].map((index) =>
  entry(index, index > 3 ? 2 : 1, index === 4 ? null : `value ${index}`),
);

/** The segments of a small log, as they lie on the disk after each entry was acknowledged by itself. */
function writeLog(options: { readonly close: boolean; readonly segmentBytesMax?: number }) {
  const machine = new SimulatedMachine(7);
  formatWal(machine.disk, DIRECTORY, IDENTITY);
  const { wal } = openWal(machine.disk, DIRECTORY, { segmentBytesMax: options.segmentBytesMax });
  wal.append({ hardState: hardState(1, 2, 0), entries: [] }, () => {});
  machine.runAll();
  for (const one of ENTRIES) {
    const next = one.index === 4 ? hardState(2, 1, 2) : null;
    wal.append({ hardState: next, entries: [one] }, () => {});
    machine.runAll();
  }
  if (options.close) wal.close(() => {});
  return readAll(machine);
}

function readAll(machine: SimulatedMachine): Map<string, Uint8Array> {
  return new Map(machine.disk.files().map(({ path }) => [path, machine.disk.readFile(path)]));
}

function plantAll(files: ReadonlyMap<string, Uint8Array>): SimulatedMachine {
  const machine = new SimulatedMachine(8);
  for (const [path, bytes] of files) machine.disk.plant(path, bytes);
  return machine;
}

type Outcome = { readonly recovered: WalRecovered } | { readonly damaged: WalDamagedError };

/** Opens; a refusal must have changed nothing. */
function tryOpen(machine: SimulatedMachine): Outcome {
  const before = readAll(machine);
  try {
    return { recovered: openWal(machine.disk, DIRECTORY).recovered };
  } catch (error) {
    if (!(error instanceof WalDamagedError)) throw error;
    expect(isSameContent(readAll(machine), before)).toBe(true);
    return { damaged: error };
  }
}

function isSameContent(
  files: ReadonlyMap<string, Uint8Array>,
  other: ReadonlyMap<string, Uint8Array>,
): boolean {
  if (files.size !== other.size) return false;
  return [...files].every(([path, bytes]) => {
    const others = other.get(path);
    return others !== undefined && Buffer.compare(bytes, others) === 0;
  });
}

function isPrefix(entries: readonly LogEntry[], of: readonly LogEntry[]): boolean {
  return entries.every((one, position) => {
    const other = of[position];
    return (
      other !== undefined &&
      one.index === other.index &&
      one.term === other.term &&
      one.kind === other.kind &&
      Buffer.compare(one.payload, other.payload) === 0
    );
  });
}

function segment1(files: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const bytes = files.get(SEGMENT_1);
  if (bytes === undefined) throw new Error('no first segment');
  return bytes;
}

describe('P17: torn tail or damage', () => {
  it('P17: a log cut off at any byte of its last batch opens without that batch, and goes on', () => {
    const machine = new SimulatedMachine(9);
    formatWal(machine.disk, DIRECTORY, IDENTITY);
    const { wal } = openWal(machine.disk, DIRECTORY);
    wal.append({ hardState: hardState(1, 2, 0), entries: ENTRIES.slice(0, 2) }, () => {});
    machine.runAll();
    const acknowledged = machine.disk.readFile(SEGMENT_1).length;
    wal.append({ hardState: null, entries: [entry(3, 1, 'never acknowledged')] }, () => {});
    const whole = machine.disk.readFile(SEGMENT_1);
    expect(whole.length - acknowledged).toBeGreaterThan(30);
    for (let size = acknowledged; size < whole.length; size += 1) {
      const torn = plantAll(new Map([[SEGMENT_1, whole.slice(0, size)]]));
      const { wal: reopened, recovered } = openWal(torn.disk, DIRECTORY);
      expect(recovered.entries).toEqual(ENTRIES.slice(0, 2));
      expect(recovered.hardState).toEqual(hardState(1, 2, 0));
      expect(recovered.tornBytes).toBe(size - acknowledged);
      reopened.append({ hardState: null, entries: [entry(3, 1, 'another')] }, () => {});
      torn.runAll();
      torn.disk.crash();
      expect(openWal(torn.disk, DIRECTORY).recovered.entries.at(2)).toEqual(entry(3, 1, 'another'));
    }
  });

  it('P17: a file that grew without its data (zeros at the end) is a torn tail', () => {
    const bytes = segment1(writeLog({ close: true }));
    for (const zeros of [1, 7, 8, 512, 5000]) {
      const machine = plantAll(new Map([[SEGMENT_1, Buffer.concat([bytes, Buffer.alloc(zeros)])]]));
      const { recovered } = openWal(machine.disk, DIRECTORY);
      expect(recovered.entries).toEqual(ENTRIES);
      expect(recovered.tornBytes).toBe(zeros);
      expect(machine.disk.readFile(SEGMENT_1)).toEqual(bytes);
    }
  });

  it.each([
    { name: 'closed', close: true },
    { name: 'killed when idle', close: false },
  ])('P17: one flipped bit anywhere in an acknowledged log is refused ($name)', ({ close }) => {
    const files = writeLog({ close });
    const bytes = segment1(files);
    let refused = 0;
    for (let offset = 0; offset < bytes.length; offset += 1) {
      const machine = plantAll(files);
      machine.disk.flipBit(SEGMENT_1, offset, offset % 8);
      const outcome = tryOpen(machine);
      if ('damaged' in outcome) {
        refused += 1;
        expect(outcome.damaged.file).toBe('00000001.wal');
        expect(outcome.damaged.offset).toBeLessThanOrEqual(offset);
        expect(outcome.damaged.reason).not.toBe('');
      } else {
        // Only the final mark, which nobody was told of, may go: then the whole log is there.
        expect(offset).toBeGreaterThanOrEqual(bytes.length - 16);
        expect(outcome.recovered.entries).toEqual(ENTRIES);
        expect(outcome.recovered.hardState).toEqual(hardState(2, 1, 2));
      }
    }
    expect(refused).toBe(bytes.length - 16);
  });

  it('P17: a flipped bit in what was never acknowledged gives a prefix, never an invented entry', () => {
    const machine = new SimulatedMachine(10);
    formatWal(machine.disk, DIRECTORY, IDENTITY);
    const { wal } = openWal(machine.disk, DIRECTORY);
    for (const one of ENTRIES) wal.append({ hardState: null, entries: [one] }, () => {});
    const bytes = machine.disk.readFile(SEGMENT_1);
    const lengths = new Set<number>();
    for (let offset = SEGMENT_START_BYTES; offset < bytes.length; offset += 1) {
      const flipped = plantAll(new Map([[SEGMENT_1, bytes]]));
      flipped.disk.flipBit(SEGMENT_1, offset, (offset * 5) % 8);
      const outcome = tryOpen(flipped);
      if ('damaged' in outcome) throw outcome.damaged;
      expect(isPrefix(outcome.recovered.entries, ENTRIES)).toBe(true);
      lengths.add(outcome.recovered.entries.length);
    }
    expect([...lengths].sort()).toEqual([0, 1, 2, 3, 4]);
  });

  it('P17: a bad or missing part of a segment that is not the last is damage', () => {
    const files = writeLog({ close: true, segmentBytesMax: 272 });
    const paths = [...files.keys()].sort();
    expect(paths.length).toBeGreaterThanOrEqual(3);
    for (const path of paths.slice(0, -1)) {
      const bytes = files.get(path) ?? new Uint8Array();
      for (let size = 0; size < bytes.length; size += 1) {
        const outcome = tryOpen(plantAll(new Map([...files, [path, bytes.slice(0, size)]])));
        // Also between two records: the next segment's header knows how long this one was.
        if ('recovered' in outcome) throw new Error(`${path} cut at ${size} was accepted`);
      }
      for (let offset = 0; offset < bytes.length; offset += 1) {
        const machine = plantAll(files);
        machine.disk.flipBit(path, offset);
        if ('recovered' in tryOpen(machine))
          throw new Error(`${path} with byte ${offset} changed was accepted`);
      }
      const without = new Map(files);
      without.delete(path);
      expect(tryOpen(plantAll(without))).toHaveProperty('damaged');
    }
  });

  it('P20: a torn tail whose cutting failed never comes back to life', () => {
    // A lost batch with whole ones behind it; then the fsyncs of the recovery fail, each once, and the next try succeeds.
    for (const failing of [1, 2]) {
      const machine = new SimulatedMachine(15);
      formatWal(machine.disk, DIRECTORY, IDENTITY);
      const { wal } = openWal(machine.disk, DIRECTORY);
      for (const one of ENTRIES) wal.append({ hardState: null, entries: [one] }, () => {});
      const { choices } = machine.disk.crashOutcomes();
      machine.disk.crash(choices.find((choice) => choice.every((fate, at) => fate === (at === 0 ? 1 : 0))));
      let syncs = 0;
      machine.disk.onOperation = (operation) => {
        if (operation === 'syncNow') syncs += 1;
        if (operation === 'syncNow' && syncs === failing) machine.disk.nextSyncFails = true;
      };
      expect(() => openWal(machine.disk, DIRECTORY)).toThrow('EIO');
      machine.disk.onOperation = null;
      machine.disk.kill();
      expect(openWal(machine.disk, DIRECTORY).recovered.entries).toEqual([]);
      for (const choice of machine.disk.crashOutcomes().choices) {
        const copy = machine.disk.fork();
        copy.crash(choice);
        expect(openWal(copy, DIRECTORY).recovered.entries).toEqual([]);
      }
    }
  });

  it('bytes that are no log at all are refused with the one typed error', () => {
    const random = new SimulatedMachine(11);
    for (let turn = 0; turn < 200; turn += 1) {
      const bytes = Uint8Array.from(
        { length: Math.floor(random.random() * 300) },
        () => random.random() * 256,
      );
      expect(tryOpen(plantAll(new Map([[SEGMENT_1, bytes]])))).toHaveProperty('damaged');
      // Behind a whole start, noise is a torn tail.
      const header = segment1(writeLog({ close: true })).slice(0, SEGMENT_START_BYTES);
      const outcome = tryOpen(plantAll(new Map([[SEGMENT_1, Buffer.concat([header, bytes])]])));
      expect(outcome).toMatchObject({ recovered: { entries: [], tornBytes: bytes.length } });
    }
  });
});

describe('P21: a valid record in the wrong place', () => {
  const files = writeLog({ close: true });
  const bytes = segment1(files);

  it('P21: a record moved to another offset of its segment is not taken', () => {
    // The last entry, once more, right behind the log: it would be a valid replacement of itself.
    const lastEntry = bytes.slice(bytes.length - 56, bytes.length - 16);
    const moved = Buffer.concat([bytes, lastEntry]);
    const { recovered } = openWal(plantAll(new Map([[SEGMENT_1, moved]])).disk, DIRECTORY);
    expect(recovered.tornBytes).toBe(40);
    expect(recovered.entries).toEqual(ENTRIES);
  });

  it('P21: records of another segment, or of the member before it was formatted anew, are not taken', () => {
    for (const other of [
      { identity: IDENTITY, segmentNumber: 2 },
      { identity: { ...IDENTITY, incarnation: '0000000000000001' }, segmentNumber: 1 },
    ]) {
      const machine = new SimulatedMachine(12);
      formatWal(machine.disk, DIRECTORY, other.identity);
      if (other.segmentNumber === 2) {
        // Segment 2 in which the first entries stand at the very offsets at which they stand in segment 1.
        const { wal } = openWal(machine.disk, DIRECTORY, { segmentBytesMax: SEGMENT_START_BYTES + 1 });
        wal.append({ hardState: null, entries: [entry(1, 1, 'other')] }, () => {});
        machine.runAll();
        wal.append({ hardState: null, entries: [entry(2, 1, 'other')] }, () => {});
      }
      const header = machine.disk.readFile(`${DIRECTORY}/0000000${other.segmentNumber}.wal`);
      const mixed = Buffer.concat([header.slice(0, SEGMENT_START_BYTES), bytes.slice(SEGMENT_START_BYTES)]);
      const planted = readAll(machine);
      planted.set(`${DIRECTORY}/0000000${other.segmentNumber}.wal`, mixed);
      const { recovered } = openWal(plantAll(planted).disk, DIRECTORY);
      expect(recovered.entries).toHaveLength(other.segmentNumber - 1);
      expect(recovered.tornBytes).toBe(bytes.length - SEGMENT_START_BYTES);
    }
  });

  it('P21: a segment under another number, or of another member, is damage', () => {
    const renamed = new Map([...files, [`${DIRECTORY}/00000002.wal`, bytes]]);
    expect(tryOpen(plantAll(renamed))).toMatchObject({ damaged: { file: '00000002.wal' } });
    const many = writeLog({ close: true, segmentBytesMax: 272 });
    const stranger = new SimulatedMachine(13);
    formatWal(stranger.disk, DIRECTORY, { ...IDENTITY, epoch: 2 });
    const mixed = new Map([...many, ...readAll(stranger)]);
    expect(tryOpen(plantAll(mixed))).toMatchObject({ damaged: { file: '00000002.wal', offset: 16 } });
  });
});

/** The small log, a snapshot of its first four entries, and two more entries in the last segment. */
function writeGolden(): Map<string, Uint8Array> {
  const machine = plantAll(writeLog({ close: true, segmentBytesMax: 372 }));
  const { wal, snapshots } = openWal(machine.disk, DIRECTORY, { segmentBytesMax: 372 });
  const writer = snapshots.create({ index: logIndex(4), term: term(2) });
  writer.append(new TextEncoder().encode('the first four'));
  writer.finish(() => {});
  machine.runAll();
  for (const one of MORE) {
    wal.append({ hardState: null, entries: [one] }, () => {});
    machine.runAll();
  }
  wal.compact(logIndex(4));
  wal.close(() => {});
  return readAll(machine);
}

const MORE = [entry(6, 2, 'value 6'), entry(7, 2, 'value 7')];
const GOLDEN_NAMES = ['00000002.wal', '00000003.wal', 'snapshot-0000000000000004'];

describe('format version 2', () => {
  const golden = fileURLToPath(new URL('../testdata/v2/', import.meta.url));

  // The files were written once, with UPDATE=1. Every later version must read them: never write them again.
  if (process.env['UPDATE'] === '1') {
    mkdirSync(golden, { recursive: true });
    for (const [path, bytes] of writeGolden()) {
      writeFileSync(join(golden, path.slice(DIRECTORY.length + 1)), bytes);
    }
  }

  it('reads the golden log', () => {
    const machine = new SimulatedMachine(14);
    const names = readdirSync(golden).sort();
    expect(names).toEqual(GOLDEN_NAMES);
    for (const name of names) machine.disk.plant(`${DIRECTORY}/${name}`, readFileSync(join(golden, name)));
    expect(readIdentity(machine.disk, DIRECTORY)).toEqual(IDENTITY);
    const { recovered, snapshots } = openWal(machine.disk, DIRECTORY);
    const text = 'the first four';
    const snapshot = { index: 4, term: 2, chunkCount: 1, payloadBytes: text.length, digest: crc32(text) };
    expect(recovered).toEqual({
      identity: IDENTITY,
      hardState: hardState(2, 1, 4),
      base: { index: 3, term: 1 },
      entries: [...ENTRIES.slice(3), ...MORE],
      snapshot,
      damagedSnapshots: [],
      tornBytes: 0,
    });
    expect(Buffer.from(snapshots.readChunk(logIndex(4), 0)).toString()).toBe(text);
  });

  it('still writes the same bytes', () => {
    const files = writeGolden();
    expect([...files.keys()].map((path) => path.slice(DIRECTORY.length + 1)).sort()).toEqual(GOLDEN_NAMES);
    for (const [path, bytes] of files) {
      expect(Buffer.from(bytes)).toEqual(readFileSync(join(golden, path.slice(DIRECTORY.length + 1))));
    }
  });

  it('refuses a log of version 1, which no release ever wrote', () => {
    const old = fileURLToPath(new URL('../testdata/v1/', import.meta.url));
    const machine = new SimulatedMachine(14);
    for (const name of readdirSync(old))
      machine.disk.plant(`${DIRECTORY}/${name}`, readFileSync(join(old, name)));
    expect(tryOpen(machine)).toMatchObject({
      damaged: { file: '00000001.wal', reason: 'format version 1; this program reads 2' },
    });
  });
});
