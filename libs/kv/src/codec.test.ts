import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, DecodeError } from './bytes.js';
import {
  decodeCommand,
  encodeCommand,
  readChangeBatch,
  readNamespaceRecord,
  writeChangeBatch,
  writeNamespaceRecord,
} from './codec.js';
import {
  commandOf,
  createNamespace,
  deleteNamespace,
  put,
  remove,
  seededRandom,
  setReaders,
  utf8,
} from './commands.testing.js';
import type { Change, ChangeBatch, Command } from './types.js';
import { revision } from './types.js';

// Bytes of format 1 as they stand in logs on disk. A change here is a change of the format: never edit, only add.
const GOLDEN: [string, Command, string][] = [
  ['register', commandOf('register', { timeMs: 1_700_000_000_000 }), '010068e5cf8b0100000001'],
  [
    'a put with everything',
    commandOf(
      put('shop', 'a/é', '{"b":1}', {
        condition: { type: 'revision', revision: revision(7) },
        ifNamespaceRevision: 9,
      }),
      {
        timeMs: 5,
        registration: { clientId: 3, sequence: 258, completedThrough: 256 },
        idempotency: { principal: 'bob', key: 'k-1', fingerprint: 'fp' },
      },
    ),
    '0105000000000000000303000000000000000201000000000000000100000000000003000000626f62030000006b2d31' +
      '02000000667002010400000073686f7004000000612fc3a903070000000000000001090000000000000007000000' +
      '7b2262223a317d',
  ],
  [
    'a delete of what is present',
    commandOf(remove('shop', 'k', { condition: { type: 'present' } })),
    '0100000000000000000002020400000073686f70010000006b0200',
  ],
  ['a namespace', commandOf(createNamespace('n', 'strict')), '010000000000000000000203010000006e01'],
  [
    'a put that was authorised at a revision of the tokens',
    commandOf(put('n', 'k', '1'), { ifTokensRevision: 258 }),
    '0100000000000000000402010000000000000201010000006e010000006b00000100000031',
  ],
  [
    'the readers of a namespace',
    commandOf(setReaders('n', ['ada', 'é'])),
    '010000000000000000000205010000006e0102000300000061646102000000c3a9',
  ],
  ['readers no more', commandOf(setReaders('n', null)), '010000000000000000000205010000006e00'],
  ['a namespace no more', commandOf(deleteNamespace('n')), '010000000000000000000204010000006e'],
];

describe('command codec', () => {
  test.each(GOLDEN)('[K2] format 1: %s', (_, command, hex) => {
    expect(Buffer.from(encodeCommand(command)).toString('hex')).toBe(hex);
    expect(decodeCommand(new Uint8Array(Buffer.from(hex, 'hex')))).toEqual(command);
  });

  test('[K2] any bytes: a DecodeError, or a command with exactly this encoding', () => {
    const random = seededRandom(2);
    let accepted = 0;
    for (let round = 0; round < 6_000; round += 1) {
      const golden = GOLDEN[random(GOLDEN.length)];
      if (golden === undefined) continue;
      const bytes = new Uint8Array(Buffer.from(golden[2], 'hex'));
      for (let flips = random(3); flips >= 0; flips -= 1) bytes[random(bytes.length)] = random(256);
      const cut = random(4) === 0 ? bytes.slice(0, random(bytes.length + 1)) : bytes;
      try {
        const command = decodeCommand(cut);
        accepted += 1;
        expect(new Uint8Array(encodeCommand(command))).toEqual(cut);
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
      }
    }
    expect(accepted).toBeGreaterThan(300);
  });

  test('[K2] random bytes never give anything but a DecodeError or a command', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeCommand(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
    );
  });

  test('[K2] nothing may follow, and format and flags must be known', () => {
    const bytes = encodeCommand(commandOf('register'));
    expect(() => decodeCommand(Uint8Array.from([...bytes, 0]))).toThrow(DecodeError);
    expect(() => decodeCommand(Uint8Array.from([2, ...bytes.slice(1)]))).toThrow(/format 2/);
    expect(() => decodeCommand(bytes.map((byte, index) => (index === 9 ? 8 : byte)))).toThrow(/flags/);
  });
});

describe('change batch codec', () => {
  const changes: Change[] = [
    {
      type: 'namespace',
      record: {
        name: 'n',
        kind: 'cached',
        deleted: true,
        revision: revision(4),
        createRevision: revision(2),
        readers: null,
      },
    },
    {
      type: 'namespace',
      record: {
        name: 'm',
        kind: 'cached',
        deleted: false,
        revision: revision(5),
        createRevision: revision(2),
        readers: ['ada', 'é'],
      },
    },
    {
      type: 'put',
      entry: {
        namespace: 'n',
        key: 'k',
        value: utf8('v'),
        revision: revision(6),
        version: 2,
        createRevision: revision(5),
      },
    },
    { type: 'delete', namespace: 'n', key: 'k', revision: revision(6) },
  ];
  const batch: ChangeBatch = { epoch: 2, previous: revision(3), revision: revision(8), changes };

  function encoded(value: ChangeBatch): Uint8Array {
    const writer = new ByteWriter();
    writeChangeBatch(writer, value);
    return writer.finish();
  }

  test('[K2] a record without readers has the bytes that it had before there were any; unknown flags are refused', () => {
    const record = changes[0]?.type === 'namespace' ? changes[0].record : null;
    const writer = new ByteWriter();
    if (record !== null) writeNamespaceRecord(writer, record);
    const bytes = writer.finish();
    expect(Buffer.from(bytes).toString('hex')).toBe('010000006e020104000000000000000200000000000000');
    const unknown = bytes.map((byte, at) => (at === 6 ? 4 : byte));
    expect(() => readNamespaceRecord(new ByteReader(unknown))).toThrow(/flags/);
  });

  test('[K2] a batch comes back', () => {
    const reader = new ByteReader(encoded(batch));
    expect(readChangeBatch(reader)).toEqual(batch);
    reader.end();
  });

  test.each<[string, Partial<ChangeBatch>]>([
    ['that ends before it begins', { previous: revision(9), changes: [] }],
    ['with a change at or before its beginning', { previous: revision(4) }],
    ['with a change after its end', { revision: revision(5) }],
    ['with changes out of order', { changes: changes.toReversed() }],
  ])('[K2] a batch %s is a DecodeError', (_, wrong) => {
    expect(() => readChangeBatch(new ByteReader(encoded({ ...batch, ...wrong })))).toThrow(DecodeError);
  });
});
