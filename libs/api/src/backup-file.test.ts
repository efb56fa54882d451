import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BackupFileError,
  BackupFileWriter,
  type BackupHeader,
  type BackupPart,
  readBackupFile,
} from './backup-file.js';

const header = (chunkCount: number): BackupHeader => ({
  clusterId: '0123456789abcdef',
  epoch: 3,
  index: 120,
  term: 7,
  revision: 99,
  chunkCount,
  digest: 0xfedcba98,
  takenAt: '2026-01-02T03:04:05.678Z',
});

function fileOf(chunks: readonly Uint8Array[]): Buffer {
  const writer = new BackupFileWriter(header(chunks.length));
  return Buffer.concat([writer.start(), ...chunks.map((chunk) => writer.chunk(chunk)), writer.finish()]);
}

function* piecesOf(file: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  let offset = 0;
  for (let at = 0; offset < file.length; at += 1) {
    const size = sizes[at % sizes.length] ?? 1;
    yield file.subarray(offset, offset + size);
    offset += size;
  }
}

const partsOf = (file: Uint8Array): BackupPart[] => [...readBackupFile([file])];
const chunks = fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 5 });

describe('a backup file', () => {
  it('comes back whole, in whatever pieces it is read', () => {
    fc.assert(
      fc.property(chunks, fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1 }), (data, sizes) => {
        const file = fileOf(data);
        const parts = [...readBackupFile(piecesOf(file, sizes))];
        expect(parts[0]).toEqual({ type: 'header', header: header(data.length) });
        expect(parts.slice(1, -1).map((part) => (part.type === 'chunk' ? [...part.data] : null))).toEqual(
          data.map((chunk) => [...chunk]),
        );
        expect(parts.at(-1)).toEqual({
          type: 'end',
          summary: {
            header: header(data.length),
            payloadBytes: data.reduce((sum, chunk) => sum + chunk.length, 0),
            fileBytes: file.length,
            sha256: createHash('sha256').update(file).digest('hex'),
          },
        });
      }),
      { seed: 5 },
    );
  });

  const file = fileOf([new Uint8Array(30).fill(1), new Uint8Array(30).fill(2), new Uint8Array(7).fill(3)]);

  it('that is cut off anywhere is recognised', () => {
    for (let length = 0; length < file.length; length += 1) {
      expect(() => partsOf(file.subarray(0, length)), `${length} bytes`).toThrow(BackupFileError);
    }
  });

  it('of which any one bit has flipped is recognised', () => {
    for (let bit = 0; bit < file.length * 8; bit += 1) {
      const flipped = Buffer.from(file);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => partsOf(flipped), `bit ${bit}`).toThrow(BackupFileError);
    }
  });

  it('with arbitrary damage gives a BackupFileError and nothing else', () => {
    const damage = fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 12 }), fc.nat({ max: 40 }));
    fc.assert(
      fc.property(damage, ([at, inserted, removed]) => {
        const start = at % file.length;
        const other = Buffer.concat([file.subarray(0, start), inserted, file.subarray(start + removed)]);
        fc.pre(!other.equals(file));
        expect(() => partsOf(other)).toThrow(BackupFileError);
      }),
      { numRuns: 2_000, seed: 6 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(() => partsOf(bytes)).toThrow(BackupFileError);
      }),
      { seed: 7 },
    );
  });

  it('whose chunks changed places, or with something behind its end, is recognised', () => {
    const [first, second] = [new Uint8Array(20).fill(1), new Uint8Array(20).fill(2)];
    const writer = new BackupFileWriter(header(2));
    const [start, one, two] = [writer.start(), writer.chunk(first), writer.chunk(second)];
    const end = writer.finish();
    expect(partsOf(Buffer.concat([start, one, two, end]))).toHaveLength(4);
    expect(() => partsOf(Buffer.concat([start, two, one, end]))).toThrow('the checksum of chunk 0');
    expect(() => partsOf(Buffer.concat([start, one, end]))).toThrow('the footer counts otherwise');
    expect(() => partsOf(Buffer.concat([start, one, two, end, Buffer.from([0])]))).toThrow(
      'something follows the end',
    );
  });

  it('is told apart from any other file and from a later format', () => {
    expect(() => partsOf(Buffer.from('{"not":"a backup"}'))).toThrow('is no backup file');
    const later = Buffer.from(file);
    later.writeUInt32LE(2, 8);
    expect(() => partsOf(later)).toThrow('is of format 2; this version reads 1');
  });
});

describe('writing', () => {
  it('refuses an end before its last chunk, and a header that no reader would take', () => {
    const writer = new BackupFileWriter(header(2));
    writer.start();
    writer.chunk(new Uint8Array(1));
    expect(() => writer.finish()).toThrow('1 chunks of 2');
    expect(() => new BackupFileWriter({ ...header(1), clusterId: 'x' }).start()).toThrow(BackupFileError);
    expect(() => new BackupFileWriter(header(1)).chunk(new Uint8Array(1024 * 1024 + 1))).toThrow(
      BackupFileError,
    );
  });
});
