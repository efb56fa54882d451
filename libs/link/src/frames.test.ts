import { ByteWriter } from '@quorate/kv';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isLoopbackHost } from './cluster.js';
import { FRAME_HEADER_BYTES, FrameError, FrameReader, beginFrame, endFrame } from './frames.js';

function frame(type: number, id: number, payload: Uint8Array): Buffer {
  const writer = new ByteWriter();
  const start = beginFrame(writer, type, id);
  writer.raw(payload);
  endFrame(writer, start);
  return Buffer.from(writer.finish());
}

describe('frame writer', () => {
  it('writes length, type and id, little-endian, behind what is there', () => {
    const writer = new ByteWriter();
    writer.u8(0xaa);
    const start = beginFrame(writer, 6, 0x0403_0201);
    writer.raw(new Uint8Array([0xbb, 0xcc]));
    endFrame(writer, start);
    expect([...writer.finish()]).toEqual([0xaa, 7, 0, 0, 0, 6, 1, 2, 3, 4, 0xbb, 0xcc]);
  });
});

describe('frame reader', () => {
  it('gives the same frames however the stream is cut', () => {
    const frames = fc.array(
      fc.record({
        type: fc.integer({ min: 0, max: 255 }),
        id: fc.integer({ min: 0, max: 0xffff_ffff }),
        payload: fc.uint8Array({ maxLength: 300 }),
      }),
      { maxLength: 10 },
    );
    const cuts = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(frames, cuts, (sent, sizes) => {
        const stream = Buffer.concat(sent.map(({ type, id, payload }) => frame(type, id, payload)));
        const reader = new FrameReader(1_000);
        const received: { type: number; id: number; payload: Uint8Array }[] = [];
        let turn = 0;
        for (let offset = 0; offset < stream.length;) {
          const end = offset + (sizes[turn % sizes.length] ?? 1);
          reader.push(stream.subarray(offset, end), ({ type, id, payload }) => {
            received.push({ type, id, payload: new Uint8Array(payload) });
            return true;
          });
          offset = end;
          turn += 1;
        }
        expect(received).toEqual(sent);
      }),
      { numRuns: 300, seed: 5 },
    );
  });

  it('refuses a length above the limit from the length alone', () => {
    const reader = new FrameReader(1_000);
    const header = frame(1, 0, new Uint8Array(996)).subarray(0, FRAME_HEADER_BYTES);
    expect(() => reader.push(header, () => true)).toThrow(FrameError);
    expect(() => new FrameReader(1_000).push(Buffer.from([1, 0, 0, 0, 1, 0, 0, 0, 0]), () => true)).toThrow(
      FrameError,
    );
  });

  it('decodes arbitrary bytes to frames or a FrameError, nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), (chunks) => {
        const reader = new FrameReader(100);
        try {
          for (const chunk of chunks) reader.push(Buffer.from(chunk), () => true);
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError);
        }
      }),
      { numRuns: 1_000, seed: 6 },
    );
  });
});

describe('cluster', () => {
  it('knows which hosts never leave the machine', () => {
    for (const host of ['localhost', '127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1']) {
      expect(isLoopbackHost(host)).toBe(true);
    }
    for (const host of ['10.0.0.1', 'node1', '127.evil.example', '::2', '0.0.0.0', '']) {
      expect(isLoopbackHost(host)).toBe(false);
    }
  });
});
