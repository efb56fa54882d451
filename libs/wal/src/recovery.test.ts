import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { logIndex, term } from '@quorate/raft';
import type { LogEntry } from '@quorate/raft';
import { describe, expect, it } from 'vitest';
import { WalDamagedError } from './errors.js';
import { HARD_STATE_RECORD_BYTES, RecordWriter } from './record.js';
import { decodeHeader, formatWal, readIdentity, SEGMENT_START_BYTES } from './segment.js';
import { setAsideAndFormat } from './set-aside.js';
import { DIRECTORY, entry, hardState, IDENTITY, SimulatedMachine } from './simulated-machine.testing.js';
import { openWal } from './wal.js';
import type { WalOptions, WalRecovered } from './wal.js';

const SEGMENT_1 = `${DIRECTORY}/00000001.wal`;
/** Files that end with their records. */
const EXACT = { allocationBytes: 8 };
const ENTRIES = [1, 2, 3, 4, 5].map((index) =>
  entry(index, index > 3 ? 2 : 1, index === 4 ? null : `value ${index}`),
);

/** The segments of a small log, as they lie on the disk after each entry was acknowledged by itself. */
function writeLog(options: { readonly close: boolean; readonly recovery?: number } & WalOptions) {
  const { recovery } = options;
  const machine = new SimulatedMachine(7);
  formatWal(machine.disk, DIRECTORY, IDENTITY, () => {}, recovery);
  const { wal } = openWal(machine.disk, DIRECTORY, { ...EXACT, ...options });
  wal.append({ hardState: hardState(1, 2, 0, recovery), entries: [] }, () => {});
  machine.runAll();
  for (const one of ENTRIES) {
    const next = one.index === 4 ? hardState(2, 1, 2, recovery) : null;
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
    return { recovered: openWal(machine.disk, DIRECTORY, EXACT).recovered };
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

/** Without the zeros behind them. */
function dataBytes(bytes: Uint8Array): number {
  return bytes.findLastIndex((byte) => byte !== 0) + 1;
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
    const { wal } = openWal(machine.disk, DIRECTORY, EXACT);
    wal.append({ hardState: hardState(1, 2, 0), entries: ENTRIES.slice(0, 2) }, () => {});
    machine.runAll();
    const acknowledged = machine.disk.readFile(SEGMENT_1).length;
    wal.append({ hardState: null, entries: [entry(3, 1, 'never acknowledged')] }, () => {});
    const whole = machine.disk.readFile(SEGMENT_1);
    expect(whole.length - acknowledged).toBeGreaterThan(30);
    for (let size = acknowledged; size < whole.length; size += 1) {
      const torn = plantAll(new Map([[SEGMENT_1, whole.slice(0, size)]]));
      const { wal: reopened, recovered } = openWal(torn.disk, DIRECTORY, EXACT);
      expect(recovered.entries).toEqual(ENTRIES.slice(0, 2));
      expect(recovered.hardState).toEqual(hardState(1, 2, 0));
      expect(recovered.tornBytes).toBe(dataBytes(whole.subarray(acknowledged, size)));
      reopened.append({ hardState: null, entries: [entry(3, 1, 'another')] }, () => {});
      torn.runAll();
      torn.disk.crash();
      expect(openWal(torn.disk, DIRECTORY, EXACT).recovered.entries.at(2)).toEqual(entry(3, 1, 'another'));
    }
  });

  it('P17: zeros behind the end are no torn tail: the file grew without its data, or ahead of it', () => {
    const bytes = segment1(writeLog({ close: true }));
    for (const zeros of [1, 7, 8, 512, 5000]) {
      const grown = Buffer.concat([bytes, Buffer.alloc(zeros)]);
      const machine = plantAll(new Map([[SEGMENT_1, grown]]));
      const { recovered } = openWal(machine.disk, DIRECTORY, EXACT);
      expect(recovered.entries).toEqual(ENTRIES);
      expect(recovered.tornBytes).toBe(0);
      expect(Buffer.from(machine.disk.readFile(SEGMENT_1))).toEqual(grown);
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
    const { wal } = openWal(machine.disk, DIRECTORY, EXACT);
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
    const files = writeLog({ close: true, segmentBytesMax: 288 });
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

  it('P20: a torn tail whose erasing failed never comes back to life', () => {
    // A lost batch with whole ones behind it; then the fsync of the recovery fails, and the next try succeeds.
    const machine = new SimulatedMachine(15);
    formatWal(machine.disk, DIRECTORY, IDENTITY);
    const { wal } = openWal(machine.disk, DIRECTORY, EXACT);
    for (const one of ENTRIES) wal.append({ hardState: null, entries: [one] }, () => {});
    const { choices } = machine.disk.crashOutcomes();
    machine.disk.crash(choices.find((choice) => choice.every((fate, at) => fate === (at === 0 ? 1 : 0))));
    machine.disk.nextSyncFails = true;
    expect(() => openWal(machine.disk, DIRECTORY, EXACT)).toThrow('EIO');
    machine.disk.kill();
    expect(openWal(machine.disk, DIRECTORY, EXACT).recovered).toMatchObject({ entries: [], tornBytes: 0 });
    for (const choice of machine.disk.crashOutcomes().choices) {
      const copy = machine.disk.fork();
      copy.crash(choice);
      expect(openWal(copy, DIRECTORY, EXACT).recovered).toMatchObject({ entries: [], tornBytes: 0 });
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
      expect(outcome).toMatchObject({ recovered: { entries: [], tornBytes: dataBytes(bytes) } });
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
        const { wal } = openWal(machine.disk, DIRECTORY, {
          ...EXACT,
          segmentBytesMax: SEGMENT_START_BYTES + 1,
        });
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
      expect(recovered.tornBytes).toBe(dataBytes(bytes) - SEGMENT_START_BYTES);
    }
  });

  it('P21: a segment under another number, or of another member, is damage', () => {
    const renamed = new Map([...files, [`${DIRECTORY}/00000002.wal`, bytes]]);
    expect(tryOpen(plantAll(renamed))).toMatchObject({ damaged: { file: '00000002.wal' } });
    const many = writeLog({ close: true, segmentBytesMax: 288 });
    const stranger = new SimulatedMachine(13);
    formatWal(stranger.disk, DIRECTORY, { ...IDENTITY, epoch: 2 });
    const mixed = new Map([...many, ...readAll(stranger)]);
    expect(tryOpen(plantAll(mixed))).toMatchObject({ damaged: { file: '00000002.wal', offset: 16 } });
  });
});

describe('P17: a recovery out of place', () => {
  it('P17: a recovery that begins, or becomes another, within one log is damage', () => {
    for (const [first, second] of [
      [0, 5],
      [5, 6],
      [5, 2 ** 53 - 1],
    ] as const) {
      const bytes = Buffer.from(segment1(writeLog({ close: true, recovery: first })));
      const { checksum } = decodeHeader(bytes, '00000001.wal');
      const writer = new RecordWriter(HARD_STATE_RECORD_BYTES, checksum, bytes.length, bytes.length);
      writer.hardState(hardState(2, 1, 2, second));
      const longer = Buffer.concat([bytes, writer.finish()]);
      expect(tryOpen(plantAll(new Map([[SEGMENT_1, longer]])))).toMatchObject({
        damaged: { offset: bytes.length, reason: `recovery ${second} follows recovery ${first}` },
      });
    }
  });

  it('P17: a segment that begins with another recovery than the log before it is damage', () => {
    const parts = [4, 5].map((recovery) => writeLog({ close: true, recovery, segmentBytesMax: 288 }));
    const path = `${DIRECTORY}/00000002.wal`;
    const mixed = new Map([...(parts[0] ?? []), [path, parts[1]?.get(path) ?? new Uint8Array()]]);
    const reason = 'term, vote and recovery before it are not those that it begins with';
    expect(tryOpen(plantAll(mixed))).toMatchObject({ damaged: { file: '00000002.wal', reason } });
  });
});

/** The small log, a snapshot of its first four entries, and two more entries in the last segment. */
function writeGolden(): Map<string, Uint8Array> {
  const machine = plantAll(writeLog({ close: true, recovery: GOLDEN_RECOVERY, ...GOLDEN_OPTIONS }));
  const { wal, snapshots } = openWal(machine.disk, DIRECTORY, GOLDEN_OPTIONS);
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

/** With zeros behind the records of each segment. */
const GOLDEN_OPTIONS = { segmentBytesMax: 388, allocationBytes: 160 };
const GOLDEN_RECOVERY = 2 ** 53 - 2;
const MORE = [entry(6, 2, 'value 6'), entry(7, 2, 'value 7')];
const GOLDEN_NAMES = ['00000002.wal', '00000003.wal', 'snapshot-0000000000000004'];

describe('format version 3', () => {
  const golden = fileURLToPath(new URL('../testdata/v3/', import.meta.url));

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
    const { recovered, snapshots } = openWal(machine.disk, DIRECTORY, EXACT);
    const text = 'the first four';
    const snapshot = { index: 4, term: 2, chunkCount: 1, payloadBytes: text.length, digest: crc32(text) };
    expect(recovered).toEqual({
      identity: IDENTITY,
      hardState: hardState(2, 1, 4, GOLDEN_RECOVERY),
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

  it.each([
    { version: 1, first: '00000001.wal' },
    { version: 2, first: '00000002.wal' },
  ])('refuses a log of version $version, which no release ever wrote', ({ version, first }) => {
    const old = fileURLToPath(new URL(`../testdata/v${version}/`, import.meta.url));
    const machine = new SimulatedMachine(14);
    for (const name of readdirSync(old))
      machine.disk.plant(`${DIRECTORY}/${name}`, readFileSync(join(old, name)));
    const reason = `format version ${version}; this program reads 3`;
    expect(tryOpen(machine)).toMatchObject({ damaged: { file: first, reason } });
    // It did not rot: it is not set aside either.
    const before = readAll(machine);
    expect(() => setAsideAndFormat(machine.disk, DIRECTORY, IDENTITY, 1)).toThrow(reason);
    expect(isSameContent(readAll(machine), before)).toBe(true);
  });
});
