import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { revision, type Entry } from '@quorate/kv';
import type { HeldState } from '@quorate/client';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readLastKnownGood, writeLastKnownGood } from './last-known-good.js';

const CLUSTER = 'c0ffee00c0ffee00';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-last-known-good-'));
  path = join(folder, 'state');
});
afterEach(() => rmSync(folder, { recursive: true }));

function entry(key: string, bytes = 3): Entry {
  const value = new Uint8Array(bytes).fill(7);
  return { namespace: 'pages', key, value, revision: revision(4), version: 2, createRevision: revision(3) };
}

const HELD: HeldState = {
  epoch: 3,
  revision: revision(12),
  confirmedWallMs: 1_790_000_000_000,
  namespaces: [
    {
      name: 'pages',
      kind: 'cached',
      deleted: false,
      revision: revision(2),
      createRevision: revision(2),
      readers: ['alice'],
    },
    {
      name: 'limits',
      kind: 'strict',
      deleted: true,
      revision: revision(9),
      createRevision: revision(1),
      readers: null,
    },
  ],
  wholes: [
    { namespace: 'empty', entries: [] },
    { namespace: 'pages', entries: ['a', 'b', 'é'].map((key) => entry(key, 200_000)) },
  ],
  entries: [entry('held by demand')],
};

it('is read as it was written, and replaced as a whole', async () => {
  await writeLastKnownGood(path, CLUSTER, { ...HELD, confirmedWallMs: null, wholes: [] });
  expect(readLastKnownGood(path, CLUSTER)).toEqual({ ...HELD, confirmedWallMs: null, wholes: [] });
  await writeLastKnownGood(path, CLUSTER, HELD);
  expect(readLastKnownGood(path, CLUSTER)).toEqual(HELD);
  expect(readdirSync(folder)).toEqual(['state']);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

it('is nothing when there is none, and is refused for another cluster', async () => {
  expect(readLastKnownGood(path, CLUSTER)).toBeNull();
  await writeLastKnownGood(path, CLUSTER, HELD);
  expect(() => readLastKnownGood(path, 'deadbeefdeadbeef')).toThrow('it is of cluster c0ffee00c0ffee00');
});

it('is refused when a bit is wrong, or its end is missing', async () => {
  await writeLastKnownGood(path, CLUSTER, { ...HELD, wholes: [] });
  const bytes = readFileSync(path);
  for (let at = 0; at < bytes.length; at += 1) {
    const damaged = Buffer.from(bytes);
    damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
    writeFileSync(path, damaged);
    expect(() => readLastKnownGood(path, CLUSTER)).toThrow('its checksum is wrong');
    writeFileSync(path, bytes.subarray(0, at));
    expect(() => readLastKnownGood(path, CLUSTER)).toThrow('its checksum is wrong');
  }
});

it('leaves the file as it was when a new one cannot be written', async () => {
  await writeLastKnownGood(path, CLUSTER, HELD);
  const broken = { ...HELD, entries: [{ ...entry('x'), key: '\ud800' }] };
  await expect(writeLastKnownGood(path, CLUSTER, broken)).rejects.toThrow('surrogate');
  expect(readLastKnownGood(path, CLUSTER)).toEqual(HELD);
  expect(readdirSync(folder)).toEqual(['state']);
});
