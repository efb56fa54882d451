import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BytePool, ByteReader, ByteWriter, DecodeError, EncodeError } from './bytes.js';

function written(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter();
  write(writer);
  return writer.finish();
}

describe('bytes', () => {
  test('[K2] numbers are little-endian and come back', () => {
    const bytes = written((writer) => {
      writer.u8(0xfe);
      writer.u16(0x0102);
      writer.u32(0xfffefdfc);
      writer.u53(Number.MAX_SAFE_INTEGER);
      writer.boolean(true);
    });
    expect(Buffer.from(bytes).toString('hex')).toBe('fe0201fcfdfeffffffffffffff1f0001');
    const reader = new ByteReader(bytes);
    expect([reader.u8(), reader.u16(), reader.u32(), reader.u53(), reader.boolean()]).toEqual([
      0xfe,
      0x0102,
      0xfffefdfc,
      Number.MAX_SAFE_INTEGER,
      true,
    ]);
    reader.end();
  });

  test('[K2] any text and bytes come back, also from the middle of a larger buffer', () => {
    const unicode = fc.string({ unit: 'binary' }).filter((text) => !/\p{Surrogate}/u.test(text));
    fc.assert(
      fc.property(unicode, fc.uint8Array(), fc.maxSafeNat(), (text, bytes, number) => {
        const whole = written((writer) => {
          writer.u8(7);
          writer.string(text);
          writer.bytes(bytes);
          writer.u53(number);
        });
        const reader = new ByteReader(whole.subarray(1));
        expect(reader.string(10_000)).toBe(text);
        expect(reader.bytes(10_000)).toEqual(bytes);
        expect(reader.u53()).toBe(number);
        expect(reader.remaining).toBe(0);
      }),
    );
  });

  test('[K2] a byte order mark is text, a lone surrogate is an EncodeError', () => {
    const bytes = written((writer) => writer.string('\ufeffa'));
    expect(new ByteReader(bytes).string(10)).toBe('\ufeffa');
    expect(() => written((writer) => writer.string('a\ud800'))).toThrow(EncodeError);
  });

  test.each<[string, number[], (reader: ByteReader) => unknown]>([
    ['a byte from nothing', [], (reader) => reader.u8()],
    ['four bytes from three', [1, 2, 3], (reader) => reader.u32()],
    ['an integer that is not safe', [0, 0, 0, 0, 0, 0, 0x20, 0], (reader) => reader.u53()],
    ['a boolean that is 2', [2], (reader) => reader.boolean()],
    ['a length above the maximum', [5, 0, 0, 0, 1, 2, 3, 4, 5], (reader) => reader.bytes(4)],
    ['a length above what is left', [0xff, 0xff, 0xff, 0xff], (reader) => reader.bytes(2 ** 32)],
    ['text that is not UTF-8', [2, 0, 0, 0, 0xc0, 0x80], (reader) => reader.string(10)],
    ['a surrogate in UTF-8', [3, 0, 0, 0, 0xed, 0xa0, 0x80], (reader) => reader.string(10)],
    ['an end before the end', [1], (reader) => reader.end()],
  ])('[K2] %s is a DecodeError', (_, bytes, read) => {
    expect(() => read(new ByteReader(Uint8Array.from(bytes)))).toThrow(DecodeError);
  });

  // The slice of a Buffer is no copy, and what comes from a socket is one.
  test.each([
    ['an array', Uint8Array.from([2, 0, 0, 0, 8, 9])],
    ['a Buffer', Buffer.from([2, 0, 0, 0, 8, 9])],
  ])('bytes read from %s are a copy, a view is not', (_, source) => {
    const copy = new ByteReader(source).bytes(2);
    const view = new ByteReader(source).view(2);
    source[4] = 1;
    expect(copy).toEqual(Uint8Array.from([8, 9]));
    expect(view[0]).toBe(1);
  });

  test('copies in a pool are independent of their source and of each other, and share memory unless they are large', () => {
    const pool = new BytePool();
    const sources = [100, 60_000, 0, 16_384, 16_385, 20_000, 100, 16_000, 16_000, 16_000, 16_000].map(
      (length, index) => Buffer.alloc(length, index + 1),
    );
    const copies = sources.map((source) => pool.copy(source));
    for (const source of sources) source.fill(0);
    for (const [index, copy] of copies.entries()) {
      expect(copy.length).toBe(sources[index]?.length);
      expect(copy.every((byte) => byte === index + 1)).toBe(true);
    }
    expect(copies[0]?.buffer).toBe(copies[3]?.buffer);
    expect(copies[1]?.buffer.byteLength).toBe(60_000);
  });
});
