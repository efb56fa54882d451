import { describe, expect, test } from 'vitest';
import { ByteReader, DecodeError } from './bytes.js';
import { createNamespace, deleteNamespace, joined, put, run, seededRandom } from './commands.testing.js';
import { WIDE, wideStep } from './random-commands.testing.js';
import { searchCaptures } from './search-captures.testing.js';
import { StateMachine } from './state-machine.js';
import { VALUE_BYTES_MAX } from './types.js';

const CHUNK_BYTES = 256 * 1024;
const MAGIC_BYTES = 'quorate-kv-snapshot-1\n'.length;

/** Every row of a snapshot as hex, read with no help of the code under test but the byte reader. */
function rowsOf(chunks: Iterable<Uint8Array>): string[] {
  const reader = new ByteReader(joined(chunks));
  reader.raw(MAGIC_BYTES);
  const rows: string[] = [];
  for (;;) {
    const row = reader.bytes(1_000_000);
    if (row.length === 0) return rows;
    rows.push(Buffer.from(row).toString('hex'));
  }
}

function wideMachine(seed: number, steps: number): StateMachine {
  const random = seededRandom(seed);
  const machine = new StateMachine(WIDE);
  for (let step = 0; step < steps; step += 1) wideStep(random, [machine], step);
  return machine;
}

describe('a snapshot', () => {
  test('[K28] [K29] restores to the state of its beginning, whatever was applied while it was read', () => {
    const { violation, snapshots } = searchCaptures();
    expect(violation).toBeNull();
    expect(snapshots).toBeGreaterThan(50);
  });

  test.each([1, 2, 3, 4])(
    '[K29] [K33] is the state at its beginning, whatever is applied between chunks, seed %i',
    (seed) => {
      const random = seededRandom(seed);
      const machine = wideMachine(seed, 4_000);
      const { registrations, idempotencyKeys, namespaces } = machine.load;
      expect(registrations).toBe(WIDE.registrationsMax);
      expect(idempotencyKeys).toBe(WIDE.idempotencyKeysMax);
      expect(namespaces).toBeGreaterThan(50);
      const open: { pull: Iterator<Uint8Array>; chunks: Uint8Array[]; bytes: Uint8Array; hash: string }[] =
        [];
      let finished = 0;
      let chunks = 0;
      for (let step = 0; step < 3_000 || open.length > 0; step += 1) {
        if (step % 500 === 0 && step < 3_000) {
          const pull = machine.snapshot(8 * 1024)[Symbol.iterator]();
          open.push({ pull, chunks: [], bytes: joined(machine.snapshot()), hash: machine.stateHash() });
        }
        wideStep(random, [machine], step);
        if (step % 10 !== 9) continue;
        const index = random(open.length);
        const snapshot = open[index];
        const next = snapshot?.pull.next();
        if (snapshot === undefined || next === undefined) continue;
        if (next.done !== true) {
          snapshot.chunks.push(next.value);
          chunks += 1;
          continue;
        }
        open.splice(index, 1);
        finished += 1;
        expect(rowsOf(snapshot.chunks)).toEqual(rowsOf([snapshot.bytes]));
        expect(StateMachine.restore(snapshot.chunks, WIDE).stateHash()).toBe(snapshot.hash);
      }
      expect(finished).toBe(6);
      expect(chunks).toBeGreaterThan(100);
      // What was kept step by step is what the rows say.
      expect(StateMachine.restore(machine.snapshot(), WIDE).stateHash()).toBe(machine.stateHash());
    },
  );

  test('[K33] one that is never read to its end, or never begun, costs nothing but memory', () => {
    const machine = wideMachine(9, 1_000);
    const twin = wideMachine(9, 1_000);
    const random = seededRandom(10);
    for (let step = 0; step < 500; step += 1) {
      const pull = machine.snapshot(1_000)[Symbol.iterator]();
      if (step % 3 === 0) pull.next();
      if (step % 6 === 0) pull.return?.();
      const answers = wideStep(random, [machine, twin], step);
      expect(answers[1]).toEqual(answers[0]);
    }
    expect(machine.stateHash()).toBe(twin.stateHash());
    expect(joined(machine.snapshot())).toEqual(joined(twin.snapshot()));
  });

  test('[K33] every chunk but the last is 256 KiB, and a large value fills several', () => {
    const machine = new StateMachine();
    run(machine, createNamespace('n'));
    for (const [index, bytes] of [10, VALUE_BYTES_MAX, 0, CHUNK_BYTES, VALUE_BYTES_MAX, 1].entries()) {
      run(machine, put('n', `key ${index}`, new Uint8Array(bytes).fill(index)));
    }
    const chunks = [...machine.snapshot()];
    const lengths = chunks.map((chunk) => chunk.length);
    expect(lengths.slice(0, -1).every((length) => length === CHUNK_BYTES)).toBe(true);
    expect(lengths.at(-1)).toBeLessThanOrEqual(CHUNK_BYTES);
    expect(lengths.at(-1)).toBeGreaterThan(0);
    expect(lengths.length).toBe(6);
    const restored = StateMachine.restore(chunks);
    expect(restored.stateHash()).toBe(machine.stateHash());
    expect(restored.get('n', 'key 4')?.value.every((byte) => byte === 4)).toBe(true);
  });

  test('[K33] is the same when the end of its rows is the end of a chunk', () => {
    const snapshotOf = (valueBytes: number) => {
      const machine = new StateMachine();
      run(machine, createNamespace('n'));
      run(machine, put('n', 'k', new Uint8Array(valueBytes)));
      return [...machine.snapshot(1_000)];
    };
    const base = joined(snapshotOf(0)).length;
    for (let total = 3_970; total <= 4_030; total += 1) {
      const chunks = snapshotOf(total - base);
      expect(chunks.map((chunk) => chunk.length)).toEqual(
        [1_000, 1_000, 1_000, Math.min(total - 3_000, 1_000), total - 4_000].filter((length) => length > 0),
      );
      expect(Buffer.compare(joined(StateMachine.restore(chunks).snapshot()), joined(chunks))).toBe(0);
    }
  });

  test.each([21, 22, 23])(
    '[K34] the same bytes on every member, whatever was restored when, seed %i',
    (seed) => {
      const random = seededRandom(seed);
      const members = [new StateMachine(WIDE), new StateMachine(WIDE), new StateMachine(WIDE)];
      for (let step = 0; step < 2_500; step += 1) {
        wideStep(random, members, random(10_000));
        if (random(120) !== 0) continue;
        const index = random(3);
        const source = members[random(3)];
        if (source === undefined) throw new Error('three members');
        members[index] = StateMachine.restore(source.snapshot(), WIDE);
        const [first, ...others] = members.map((member) => joined(member.snapshot()));
        for (const other of others) expect(Buffer.compare(other, first ?? other)).toBe(0);
      }
    },
  );
});

describe('a restorer', () => {
  test.each([31, 32, 33])('[K32] takes chunks cut anywhere and buffers a row at most, seed %i', (seed) => {
    const random = seededRandom(seed);
    const machine = wideMachine(seed, 2_000);
    run(machine, createNamespace('large'));
    run(machine, put('large', 'k', new Uint8Array(VALUE_BYTES_MAX).fill(7)));
    const bytes = joined(machine.snapshot());
    const restorer = StateMachine.restorer(WIDE);
    let bufferedMost = 0;
    for (let offset = 0; offset < bytes.length;) {
      const length = random([2, 30, 3_000, 600_000][random(4)] ?? 1);
      const chunk = bytes.slice(offset, offset + length);
      restorer.push(chunk);
      // It may be overwritten by whoever pushed it.
      chunk.fill(0xff);
      offset += length;
      bufferedMost = Math.max(bufferedMost, restorer.bufferedBytes);
    }
    const restored = restorer.finish();
    expect(bufferedMost).toBeLessThanOrEqual(VALUE_BYTES_MAX + 2_000);
    expect(restored.appliedIndex).toBe(machine.appliedIndex);
    expect(restored.stateHash()).toBe(machine.stateHash());
    expect(Buffer.compare(joined(restored.snapshot()), bytes)).toBe(0);
    expect(restorer.bufferedBytes).toBe(0);
  });

  test('[K32] is of no use after an error, nor after the end', () => {
    const machine = wideMachine(40, 300);
    const bytes = joined(machine.snapshot());
    const half = Math.floor(bytes.length / 2);
    const finished = StateMachine.restorer(WIDE);
    finished.push(bytes);
    finished.finish();
    const short = StateMachine.restorer(WIDE);
    short.push(bytes.subarray(0, half));
    expect(() => short.finish()).toThrow(DecodeError);
    const long = StateMachine.restorer(WIDE);
    long.push(bytes);
    expect(() => long.push(Uint8Array.of(0))).toThrow(DecodeError);
    const other = StateMachine.restorer(WIDE);
    expect(() => other.push(bytes.subarray(1))).toThrow(DecodeError);
    for (const restorer of [finished, short, long, other]) {
      expect(() => restorer.push(bytes)).toThrow(DecodeError);
      expect(() => restorer.push(new Uint8Array())).toThrow(DecodeError);
      expect(() => restorer.finish()).toThrow(DecodeError);
    }
  });

  test('[K32] a length that is not true is refused before it is waited for', () => {
    const bytes = joined(new StateMachine().snapshot());
    const header = bytes.slice(0, MAGIC_BYTES + 4);
    new DataView(header.buffer).setUint32(MAGIC_BYTES, 0x7fff_ffff, true);
    expect(() => StateMachine.restorer().push(header)).toThrow(DecodeError);
    // A row that claims fewer or more bytes than it has must not read into the next.
    for (const difference of [-1, 1, 30]) {
      const damaged = bytes.slice();
      const view = new DataView(damaged.buffer);
      view.setUint32(MAGIC_BYTES, view.getUint32(MAGIC_BYTES, true) + difference, true);
      expect(() => StateMachine.restore([damaged])).toThrow(DecodeError);
    }
  });

  test('[K32] a wrong state hash is found at the end', () => {
    const machine = new StateMachine();
    run(machine, createNamespace('n'));
    run(machine, deleteNamespace('n'));
    const bytes = joined(machine.snapshot());
    bytes.set(new Uint8Array(16), bytes.length - 16);
    const restorer = StateMachine.restorer();
    restorer.push(bytes);
    expect(() => restorer.finish()).toThrow(DecodeError);
  });
});
