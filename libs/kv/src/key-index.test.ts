import { expect, test } from 'vitest';
import { createNamespace, put, run, seededRandom } from './commands.testing.js';
import { keyHash } from './key-hash.js';
import { KeyIndex } from './key-index.js';
import { searchKeys } from './search-keys.testing.js';
import { StateMachine } from './state-machine.js';
import { revision } from './types.js';

test('[K37] the hash is HalfSipHash-1-3, wherever in a buffer the bytes stand', () => {
  // The vectors of the Linux kernel's own test for 32-bit machines: 0, 1, 2 ... under this key, by length.
  const expected = [
    0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b, 0xa0080b65, 0x9d38d9d6,
  ];
  for (const offset of [0, 3]) {
    const bytes = Uint8Array.from({ length: offset + expected.length }, (_, at) => at - offset);
    const hashes = expected.map((_, length) => keyHash(bytes, offset, length, [0x03020100, 0x07060504]));
    expect(hashes).toEqual(expected);
  }
});

// With 32 bits hardly anything shares a slot; with 3 nearly everything does, and searches run around the end.
test.each([
  [1, 32],
  [2, 10],
  [3, 3],
  [4, 0],
])('[K37] finds every number that is there and no other, seed %i, %i bits of hash', (seed, bits) => {
  const random = seededRandom(seed);
  const index = new KeyIndex();
  const hashes = new Map<number, number>();
  let next = 0;
  for (let step = 0; step < 4_000; step += 1) {
    const isGrowing = Math.floor(step / 1_000) % 2 === 0;
    if (random(10) < (isGrowing ? 7 : 3)) {
      const hash = bits === 32 ? (random(2 ** 16) * 2 ** 16 + random(2 ** 16)) >>> 0 : random(2 ** bits) * 5;
      hashes.set(next, hash);
      index.add(hash, next);
      next += 1;
    } else {
      const known = [...hashes.keys()];
      const number = known[random(known.length)];
      if (number === undefined) continue;
      index.delete(hashes.get(number) ?? 0, number);
      hashes.delete(number);
    }
    if (step % 50 !== 0) continue;
    for (const [number, hash] of hashes) expect(index.find(hash, (other) => other === number)).toBe(number);
    for (let gone = 0; gone < next; gone += 7)
      if (!hashes.has(gone)) expect(index.find(random(50), (other) => other === gone)).toBeUndefined();
  }
  expect(next).toBeGreaterThan(1_500);
  expect(() => index.delete(1, next)).toThrow('is in the index');
});

test('[K37] finds every number in as many tables as it takes, also where all hashes begin with the same bits, and no splitting parts them', () => {
  const random = seededRandom(9);
  for (const [bits, count] of [
    [32, 120_000],
    [20, 120_000],
    [16, 40_000],
  ] as const) {
    const index = new KeyIndex();
    const hashes = Array.from({ length: count }, () => random(2 ** bits) >>> 0);
    for (const [number, hash] of hashes.entries()) index.add(hash, number);
    for (const [number, hash] of hashes.entries()) if (number % 3 === 0) index.delete(hash, number);
    for (const [number, hash] of hashes.entries())
      if (index.find(hash, (other) => other === number) !== (number % 3 === 0 ? undefined : number))
        expect.fail(`number ${number} with ${bits} bits`);
    for (const [number, hash] of hashes.entries()) if (number % 3 > 0) index.delete(hash, number);
    expect(index.find(hashes[1] ?? 0, () => true)).toBeUndefined();
  }
});

test('[K26] [K37] keys that come and go are found, and listed in order', () => {
  const { violation, looks } = searchKeys();
  expect([violation, looks]).toEqual([null, 96]);
});

test('[K37] keys that differ in one unit, or have no UTF-8 form, are never taken for each other', () => {
  const machine = new StateMachine({ keyHashSeed: [123, 456] });
  run(machine, createNamespace('n'));
  const keys = [
    'a',
    'b',
    'ab',
    'ba',
    'é',
    'e\u0301',
    '\ufffd',
    '\u{1f600}',
    'a'.repeat(1024),
    '€'.repeat(341),
  ];
  for (const [at, key] of keys.entries()) run(machine, put('n', key, new Uint8Array([at])));
  for (const [at, key] of keys.entries()) expect(machine.get('n', key)?.value[0]).toBe(at);
  const others = ['', 'c', 'aa', '\ud800', '\u{1f601}', 'a'.repeat(1025), '€'.repeat(342), 'é'.repeat(1024)];
  for (const key of others) expect(machine.get('n', key)).toBeUndefined();
});

test('[K1] [K28] [K37] what a member was seeded with shows nowhere: same answers, hash and snapshot', () => {
  const random = seededRandom(5);
  const machines = [new StateMachine(), new StateMachine({ keyHashSeed: [random(2 ** 31), 77] })];
  for (const machine of machines) run(machine, createNamespace('n'));
  for (let step = 0; step < 3_000; step += 1) {
    const command = put('n', `key ${random(700)}`, new Uint8Array([step]));
    const [one, other] = machines.map((machine) => run(machine, command));
    expect(one).toEqual(other);
  }
  const [one, other] = machines.map((machine) => Buffer.concat([...machine.snapshot()]));
  expect(other).toEqual(one);
  const [hash, same] = machines.map((machine) => machine.stateHash());
  expect(same).toBe(hash);
  const restored = StateMachine.restore([one ?? new Uint8Array()], { keyHashSeed: [9, 9] });
  expect([restored.stateHash(), restored.get('n', 'key 5')?.revision]).toEqual([
    hash,
    machines[0]?.get('n', 'key 5')?.revision ?? revision(0),
  ]);
});
