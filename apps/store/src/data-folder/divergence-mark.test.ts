import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeDisk } from '@quorate/wal';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readDivergenceMark, writeDivergenceMark } from './divergence-mark.js';

const DIVERGENCE = { index: 2_048, revision: 1_990, stateHash: 'aa', stateHashOfMajority: 'bb' };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-diverged-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Says which names changed or were synced, in order. */
class WatchedDisk extends NodeDisk {
  readonly operations: string[] = [];
  override openFile(path: string, options: { readonly create: boolean }): ReturnType<NodeDisk['openFile']> {
    const file = super.openFile(path, options);
    const syncNow = file.syncNow.bind(file);
    file.syncNow = () => {
      this.operations.push('sync');
      syncNow();
    };
    return file;
  }
  override rename(from: string, to: string): void {
    this.operations.push('rename');
    super.rename(from, to);
  }
  override syncDirectory(path: string): void {
    this.operations.push('syncDirectory');
    super.syncDirectory(path);
  }
}

describe('the mark of a member whose state differs', () => {
  it('P19: is there again after a restart, and durable before it counts', () => {
    const disk = new WatchedDisk();
    expect(readDivergenceMark(disk, folder)).toBeNull();
    writeDivergenceMark(disk, folder, DIVERGENCE);
    expect(disk.operations).toEqual(['sync', 'rename', 'syncDirectory']);
    expect(readDivergenceMark(new NodeDisk(), folder)).toEqual(DIVERGENCE);
  });

  it('is written over the remains of a write that a crash cut short', () => {
    writeFileSync(join(folder, 'diverged.tmp'), '{"ind');
    expect(readDivergenceMark(new NodeDisk(), folder)).toBeNull();
    writeDivergenceMark(new NodeDisk(), folder, DIVERGENCE);
    expect(readDivergenceMark(new NodeDisk(), folder)).toEqual(DIVERGENCE);
    expect(readdirSync(folder)).toEqual(['diverged']);
  });

  it('counts also when it cannot be understood: the member does not start', () => {
    for (const text of ['', '{', 'null', '{"index":1}', '{"index":"1","revision":1}']) {
      writeFileSync(join(folder, 'diverged'), text);
      expect(() => readDivergenceMark(new NodeDisk(), folder)).toThrow(
        /was found to differ from the majority's, and .*cannot be read\. Move the folder away/,
      );
    }
  });
});
