import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StateMachine } from '@quorate/kv';
import { logIndex, memberId } from '@quorate/raft';
import { NodeDisk, openWal } from '@quorate/wal';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { restoreFolder, verifyBackup } from './backup.js';
import { stateOf, writeBackup } from './backup.testing.js';
import { formatFolder } from './data-folder.js';
import { inspectFolder } from './inspect.js';

const CLUSTER_ID = '0123456789abcdef';
const identity = {
  clusterId: CLUSTER_ID,
  epoch: 2,
  memberId: memberId(1),
  incarnation: 'aaaaaaaaaaaaaaaa',
};

let folder: string;
let file: string;
let target: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-backup-'));
  file = join(folder, 'quorate.backup');
  target = join(folder, 'member-1');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('verifying a backup', () => {
  it('restores it, and tells what it holds', () => {
    const machine = stateOf(50);
    writeBackup(file, machine, CLUSTER_ID);
    expect(verifyBackup(file)).toMatchObject({
      header: { clusterId: CLUSTER_ID, revision: 51, index: 51 },
      entries: 50,
      stateHash: machine.stateHash(),
    });
  });

  it('refuses one that is cut off or damaged, or no file', () => {
    writeBackup(file, stateOf(3), CLUSTER_ID);
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.subarray(0, bytes.length - 1));
    expect(() => verifyBackup(file)).toThrow(`${file} is cut off`);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    expect(() => verifyBackup(file)).toThrow(`${file} is damaged`);
    expect(() => verifyBackup(join(folder, 'nothing'))).toThrow(/^The backup .* cannot be read: ENOENT/);
    expect(() => verifyBackup(folder)).toThrow(/^The backup .* cannot be read: EISDIR/);
  });

  it.each([
    [{ digest: 7 }, 'its payload is not what the member took its checksum of'],
    [{ revision: 9 }, 'says revision 9, but its content is of revision 4'],
    [{ index: 9 }, 'says log index 9, but its content is of index 4'],
  ])('refuses a whole file whose header %j is not that of its payload', (changes, sentence) => {
    writeBackup(file, stateOf(3), CLUSTER_ID, changes);
    expect(() => verifyBackup(file)).toThrow(sentence);
  });

  it('refuses a whole file around a state that is none', () => {
    const machine = stateOf(3);
    const chunks = [...machine.snapshot()].map((chunk) => Uint8Array.from(chunk));
    const last = chunks.at(-1);
    if (last !== undefined) last[last.length - 1] = (last.at(-1) ?? 0) ^ 1;
    const changed = { snapshot: () => chunks, appliedIndex: machine.appliedIndex, head: machine.head };
    writeBackup(file, changed, CLUSTER_ID);
    expect(() => verifyBackup(file)).toThrow('holds no whole state');
  });
});

describe('restoring a member', () => {
  it('gives an empty folder the identity and the state', async () => {
    const machine = stateOf(50);
    writeBackup(file, machine, CLUSTER_ID);
    expect(await restoreFolder(file, target, identity)).toMatchObject({ stateHash: machine.stateHash() });
    const { wal, recovered, snapshots } = openWal(new NodeDisk(), target);
    expect(recovered).toMatchObject({ identity, entries: [] });
    const info = snapshots.newest;
    expect(info).toMatchObject({ index: 51, term: 3 });
    const chunks = Array.from({ length: info?.chunkCount ?? 0 }, (_, chunk) =>
      snapshots.readChunk(logIndex(51), chunk),
    );
    expect(StateMachine.restore(chunks).stateHash()).toBe(machine.stateHash());
    await new Promise((resolve) => wal.close(resolve));
    expect(await inspectFolder(target, 5)).toContainEqual(
      expect.stringMatching(/^snapshot at index 51 term 3, \d+ bytes$/),
    );
  });

  it('writes nothing for a damaged backup, or one of another cluster or of no earlier epoch', async () => {
    writeBackup(file, stateOf(3), CLUSTER_ID);
    const other = { ...identity, clusterId: 'ffffffffffffffff' };
    await expect(restoreFolder(file, target, other)).rejects.toThrow(
      `is a backup of cluster ${CLUSTER_ID}, not of ffffffffffffffff`,
    );
    await expect(restoreFolder(file, target, { ...identity, epoch: 1 })).rejects.toThrow(
      'needs a later epoch than 1',
    );
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.subarray(0, bytes.length - 1));
    await expect(restoreFolder(file, target, identity)).rejects.toThrow('is cut off');
    expect(existsSync(target)).toBe(false);
  });

  it('refuses a folder that holds anything, also its own log', async () => {
    writeBackup(file, stateOf(3), CLUSTER_ID);
    await formatFolder(target, identity, 'newCluster');
    const before = readdirSync(target);
    await expect(restoreFolder(file, target, identity)).rejects.toThrow('is not empty (it holds a log)');
    expect(readdirSync(target)).toEqual(before);
    const photos = mkdtempSync(join(folder, 'photos-'));
    writeFileSync(join(photos, 'holiday.jpg'), '');
    await expect(restoreFolder(file, photos, identity)).rejects.toThrow('it holds holiday.jpg');
  });
});
