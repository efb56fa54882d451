import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Processes, endingWithParent, lastMessage } from './processes.js';
import type { ExitOf } from './processes.js';

let folder: string;
let exits: ExitOf[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-cli-'));
  exits = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const node = (name: string, script: string) => ({
  name,
  command: process.execPath,
  arguments: ['-e', script],
  environment: process.env,
});
const RUNS_ON = 'setInterval(() => {}, 1000)';

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('processes', () => {
  it('are told of an end that nobody asked for, with the last thing it said', async () => {
    const processes = new Processes(join(folder, 'logs'), (exit) => exits.push(exit));
    const script = `console.log(JSON.stringify({ level: 'error', message: 'it is broken' })); process.exitCode = 1`;
    const pid = await processes.start(node('one', script));
    await expect.poll(() => exits.length, { timeout: 10_000 }).toBe(1);
    expect(exits[0]).toEqual({ name: 'one', pid, code: 1, signal: null, lastWords: 'it is broken' });
    expect(processes.pid('one')).toBeNull();
  });

  it('are stopped all together and in silence', async () => {
    const processes = new Processes(join(folder, 'logs'), (exit) => exits.push(exit));
    const pids = [await processes.start(node('one', RUNS_ON)), await processes.start(node('two', RUNS_ON))];
    expect(pids.every(isAlive)).toBe(true);
    await processes.stopAll('none');
    expect(pids.some(isAlive)).toBe(false);
    expect(exits).toEqual([]);
  });

  it('that cannot be started are an error of the start', async () => {
    const processes = new Processes(join(folder, 'logs'), (exit) => exits.push(exit));
    const missing = { ...node('none', ''), command: join(folder, 'no-such-program') };
    await expect(processes.start(missing)).rejects.toThrow('ENOENT');
    await processes.stopAll('none');
  });

  it('only the words since the start count', async () => {
    const path = join(folder, 'old.log');
    const old = '{"message":"of the last run"}\n';
    await writeFile(path, old);
    expect(lastMessage(path, old.length)).toBeNull();
    await writeFile(path, `${old}Error: no such file\n    at somewhere\nNode.js v20\n`);
    expect(lastMessage(path, old.length)).toBe('Error: no such file');
    expect(lastMessage(join(folder, 'none.log'), 0)).toBeNull();
  });
});

describe('a program that does not watch its standard input', () => {
  const script = `console.log(process.pid); ${RUNS_ON}`;
  async function startWrapped() {
    const child = spawn('/bin/sh', [...endingWithParent(process.execPath, ['-e', script])], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const pid = await new Promise<number>((resolve) =>
      child.stdout.once('data', (data: Buffer) => resolve(Number(data.toString().trim()))),
    );
    const exited = new Promise((resolve) => child.once('exit', resolve));
    return { child, pid, exited };
  }

  it('ends when the pipe closes, as it does when the parent is killed', async () => {
    const { child, pid, exited } = await startWrapped();
    expect(isAlive(pid)).toBe(true);
    child.stdin.destroy();
    await exited;
    expect(isAlive(pid)).toBe(false);
  });

  it('ends on a signal to its wrapper', async () => {
    const { child, pid, exited } = await startWrapped();
    child.kill('SIGTERM');
    await exited;
    expect(isAlive(pid)).toBe(false);
  });

  it('takes its wrapper along when it ends', async () => {
    const { pid, exited } = await startWrapped();
    process.kill(pid, 'SIGKILL');
    await exited;
    expect(isAlive(pid)).toBe(false);
  });
});
