import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { brokenInvariantsIn } from './invariants.js';

it('a process that says that an invariant broke is found in its log, and nothing else is', () => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-logs-'));
  try {
    const said = '{"level":"error","message":"cannot go on: no two leaders","error":"AssertionError"}';
    const diverged = '{"level":"error","message":"the state of this member differs from the majority\'s"}';
    writeFileSync(join(folder, 'store1.log'), `{"level":"info","message":"leads"}\n${said}\n`);
    writeFileSync(join(folder, 'store2.log'), '{"level":"error","message":"cannot go on: EIO"}\n');
    writeFileSync(join(folder, 'store3.log'), `${diverged}\n`);
    expect(brokenInvariantsIn(folder)).toEqual([`store1: ${said}`, `store3: ${diverged}`]);
    expect(brokenInvariantsIn(join(folder, 'nowhere'))).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
