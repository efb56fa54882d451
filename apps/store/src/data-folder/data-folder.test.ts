import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestCluster } from '../cluster.testing.js';
import { readClusterFile } from '../configuration/cluster-file.js';
import { closeFolder, formatFolder, identityOf, openFolder } from './data-folder.js';
import { inspectFolder } from './inspect.js';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.make(3);
});
afterEach(() => cluster.remove());

const identity = (id: number) => {
  const own = readClusterFile(join(cluster.folder, 'cluster.json'), id);
  return identityOf(own.cluster, own.self);
};
const lockFree = (directory: string): string[] =>
  readdirSync(directory).filter((name) => !name.startsWith('lock.'));

describe('the data folder', () => {
  it('[P33] of another member is refused with the two numbers', async () => {
    await expect(openFolder(cluster.dataFolder(2), identity(1))).rejects.toThrow(
      `The data folder ${cluster.dataFolder(2)} belongs to member 2, not to member 1: check QUORATE_DATA_DIR and QUORATE_MEMBER.`,
    );
  });

  it('[P32] of another cluster is refused with the two ids', async () => {
    const foreign = { ...identity(1), clusterId: 'ffffffffffffffff' };
    await expect(openFolder(cluster.dataFolder(1), foreign)).rejects.toThrow(
      `belongs to cluster ${cluster.cluster.clusterId}, not to ffffffffffffffff: check QUORATE_DATA_DIR and QUORATE_CLUSTER_FILE.`,
    );
  });

  it('[P32] that was formatted anew is refused as wiped', async () => {
    const incarnation = 'ffffffffffffffff';
    await expect(openFolder(cluster.dataFolder(1), { ...identity(1), incarnation })).rejects.toThrow(
      /^MEMBER_WIPED: .*was formatted anew.*put the original folder back/,
    );
  });

  it('of another epoch is refused', async () => {
    await expect(openFolder(cluster.dataFolder(1), { ...identity(1), epoch: 2 })).rejects.toThrow(
      'is of epoch 1, not 2',
    );
  });

  it('[P33] opens once at a time', async () => {
    const first = await openFolder(cluster.dataFolder(1), identity(1));
    await expect(openFolder(cluster.dataFolder(1), identity(1))).rejects.toThrow('in use by another process');
    await closeFolder(first);
    await closeFolder(await openFolder(cluster.dataFolder(1), identity(1)));
  });

  it('with a damaged log is refused, and nothing is changed', async () => {
    const [segment] = lockFree(cluster.dataFolder(1)).filter((name) => name.endsWith('.wal'));
    const path = join(cluster.dataFolder(1), segment ?? '');
    const bytes = readFileSync(path);
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    await expect(openFolder(cluster.dataFolder(1), identity(1))).rejects.toThrow(
      /is damaged: .*Nothing was changed/,
    );
    expect(readFileSync(path)).toEqual(bytes);
  });
});

describe('formatting', () => {
  it('again with the same identity changes nothing', async () => {
    expect(await formatFolder(cluster.dataFolder(1), identity(1), 'newCluster')).toBe(false);
  });

  it('refuses a folder that holds anything else', async () => {
    const directory = join(cluster.folder, 'photos');
    mkdirSync(directory);
    writeFileSync(join(directory, 'holiday.jpg'), '');
    await expect(formatFolder(directory, identity(1), 'newCluster')).rejects.toThrow(
      `${directory} is not empty (it holds holiday.jpg), so it is not formatted`,
    );
    await expect(formatFolder(cluster.dataFolder(2), identity(1), 'newCluster')).rejects.toThrow(
      'belongs to member 2',
    );
    expect(lockFree(directory)).toEqual(['holiday.jpg']);
  });

  it('makes a missing folder', async () => {
    rmSync(cluster.dataFolder(3), { recursive: true });
    expect(await formatFolder(cluster.dataFolder(3), identity(3), 'newCluster')).toBe(true);
    await closeFolder(await openFolder(cluster.dataFolder(3), identity(3)));
  });
});

describe('the offline listing', () => {
  it('tells identity, hard state, entries and torn bytes, and changes nothing', async () => {
    const directory = cluster.dataFolder(1);
    const { wal, lock } = await openFolder(directory, identity(1));
    const { logIndex, memberId, term } = await import('@quorate/raft');
    const entry = { index: logIndex(1), term: term(3), kind: 'command', payload: new Uint8Array(5) } as const;
    const hardState = { term: term(3), vote: memberId(2), commit: logIndex(0), recovery: 0 };
    await new Promise((resolve) => wal.append({ hardState, entries: [entry] }, resolve));
    await closeFolder({ wal, lock });

    const [segment = ''] = lockFree(directory);
    const torn = Buffer.concat([readFileSync(join(directory, segment)), Buffer.from([1, 2, 3])]);
    writeFileSync(join(directory, segment), torn);
    const lines = await inspectFolder(directory, 10);
    expect(lines.slice(0, 3)).toEqual([
      `cluster ${cluster.cluster.clusterId}, epoch 1, member 1, incarnation ${identity(1).incarnation}`,
      'term 3, vote 2, commit 0',
      'entries 1 to 1, 5 bytes of payload',
    ]);
    expect(lines[3]).toMatch(/^torn bytes at the end: \d+ /);
    expect(lines.slice(4)).toEqual(['no snapshot', '1 term 3 command 5 bytes']);
    expect(readFileSync(join(directory, segment))).toEqual(torn);
  });

  it('says so when there is no log', async () => {
    await expect(inspectFolder(join(cluster.folder, 'nowhere'), 1)).rejects.toThrow('There is no log in');
  });
});
