import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { BackupFileWriter, hashToken, parseClusterFile } from '@quorate/api';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { reportOf } from './command-error.js';
import { buildProgram } from './program.js';
import { restoringClusterFile, setUpCluster } from './setup.js';

const CLUSTER_ID = '0123456789abcdef';
// Real processes run what `tsc -b` made.
const isBuilt = existsSync(fileURLToPath(new URL('../../store/dist/main.js', import.meta.url)));

let folder: string;
let server: Server;
let url: string;
let respond: (response: ServerResponse) => void = () => undefined;
let printed: string[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-backup-'));
  writeFileSync(join(folder, 'token'), 'secret');
  printed = [];
  server = createServer((_request, response) => respond(response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

async function run(...parameters: string[]): Promise<void> {
  const program = buildProgram({
    print: (line) => printed.push(line),
    setExitCode: () => undefined,
    stopSignal: () => AbortSignal.abort(),
  });
  await program.parseAsync(parameters, { from: 'user' });
}
/** The sentence with which a command fails. */
async function failing(...parameters: string[]): Promise<string> {
  try {
    await run(...parameters);
  } catch (error) {
    const report = reportOf(error);
    if (report === null) throw error;
    expect(report.exitCode).toBe(1);
    return report.message;
  }
  throw new Error('it did not fail');
}

function backupOf(chunks: readonly Uint8Array[], place: { index: number; revision: number }): Buffer {
  const writer = new BackupFileWriter({
    clusterId: CLUSTER_ID,
    epoch: 4,
    term: 2,
    ...place,
    chunkCount: chunks.length,
    digest: chunks.reduce((sum, chunk) => crc32(chunk, sum), 0),
    takenAt: '2026-01-02T03:04:05.678Z',
  });
  return Buffer.concat([writer.start(), ...chunks.map((chunk) => writer.chunk(chunk)), writer.finish()]);
}
const whole = backupOf([new Uint8Array(1000), new Uint8Array(7)], { index: 9, revision: 5 });

describe('cluster backup', () => {
  const backUp = (...more: string[]) => [
    'cluster',
    'backup',
    join(folder, 'b'),
    '--url',
    url,
    '--token-file',
    join(folder, 'token'),
    ...more,
  ];

  it('writes a file that only its owner reads, verified, and says what is in it', async () => {
    respond = (response) => response.end(whole);
    await run(...backUp());
    expect(readFileSync(join(folder, 'b')).equals(whole)).toBe(true);
    expect(statSync(join(folder, 'b')).mode & 0o777).toBe(0o600);
    expect(printed).toEqual([
      `backup of cluster ${CLUSTER_ID}, epoch 4, revision 5 (log index 9), taken 2026-01-02T03:04:05.678Z`,
      `wrote ${join(folder, 'b')}: ${whole.length} bytes, read back and verified`,
      `sha256 ${createHash('sha256').update(whole).digest('hex')}`,
    ]);
    expect(readdirSync(folder).toSorted()).toEqual(['b', 'token']);
  });

  it('replaces no file', async () => {
    writeFileSync(join(folder, 'b'), 'precious');
    expect(await failing(...backUp())).toContain('exists already');
    expect(readFileSync(join(folder, 'b'), 'utf8')).toBe('precious');
  });

  it.each([
    [
      'breaks off',
      (response: ServerResponse) => {
        response.writeHead(200, { 'content-length': whole.length });
        response.write(whole.subarray(0, 500), () => response.destroy());
      },
      'broke its answer off',
    ],
    ['ends early', (response: ServerResponse) => response.end(whole.subarray(0, 500)), 'is cut off'],
    [
      'is damaged',
      (response: ServerResponse) => {
        const damaged = Buffer.from(whole);
        damaged[600] = 1;
        response.end(damaged);
      },
      'is damaged',
    ],
    [
      'is refused',
      (response: ServerResponse) => {
        response.writeHead(503);
        response.end('no');
      },
      'The gateway answered 503: no',
    ],
  ])('that %s leaves no file', async (_name, answer, sentence) => {
    respond = answer;
    expect(await failing(...backUp())).toContain(sentence);
    expect(readdirSync(folder)).toEqual(['token']);
  });
});

describe('cluster verify', () => {
  it('refuses what is no backup, and no file', async () => {
    writeFileSync(join(folder, 'b'), 'something else');
    expect(await failing('cluster', 'verify', join(folder, 'b'))).toBe(
      `${join(folder, 'b')} is no backup file.`,
    );
    expect(await failing('cluster', 'verify', join(folder, 'c'))).toContain('cannot be read');
  });
});

describe('cluster restore', () => {
  const restore = (...more: string[]) => [
    'cluster',
    'restore',
    join(folder, 'b'),
    '--data',
    join(folder, 'new'),
    ...more,
  ];

  it('refuses a folder that is not empty, before it looks at the backup', async () => {
    mkdirSync(join(folder, 'new'));
    writeFileSync(join(folder, 'new', 'holiday.jpg'), '');
    expect(await failing(...restore())).toContain(
      'is not empty (it holds holiday.jpg): a restore makes a new cluster in an empty folder. Nothing was changed.',
    );
  });

  it('writes nothing for a file that is no backup', async () => {
    writeFileSync(join(folder, 'b'), whole.subarray(0, 90));
    expect(await failing(...restore())).toContain('is cut off');
    expect(existsSync(join(folder, 'new'))).toBe(false);
  });

  it.each([
    [['--members', '2'], '--members must be'],
    [['--hosts', 'a,b,c', '--members', '5'], '--hosts names 3 hosts, but --members is 5'],
  ])('refuses %j', async (parameters, sentence) => {
    expect(await failing(...restore(...parameters))).toContain(sentence);
  });

  it('that stopped half-way is neither gone on with nor started from', async () => {
    mkdirSync(join(folder, 'new'));
    writeFileSync(restoringClusterFile(join(folder, 'new')), '{}');
    const sentence = 'stopped half-way: remove that folder and restore the backup again.';
    expect(await failing(...restore())).toContain(sentence);
    await expect(setUpCluster(join(folder, 'new'), [], new Map())).rejects.toThrow(sentence);
    expect(readdirSync(join(folder, 'new'))).toEqual(['cluster.json.restoring']);
  });

  it.skipIf(!isBuilt)(
    'makes a new cluster of the next epoch, with secrets of its own',
    async () => {
      const { StateMachine } = await import('@quorate/kv');
      const machine = new StateMachine();
      machine.applyNoop(1);
      writeFileSync(join(folder, 'b'), backupOf([...machine.snapshot()], { index: 1, revision: 0 }));
      await run(...restore('--base-port', '7500'));
      const made = join(folder, 'new');
      const cluster = parseClusterFile(readFileSync(join(made, 'cluster.json'), 'utf8'));
      expect(cluster).toMatchObject({ clusterId: CLUSTER_ID, epoch: 5 });
      expect(cluster.members.map(({ linkPort }) => linkPort)).toEqual([7510, 7520, 7530]);
      expect(new Set(cluster.members.map(({ incarnation }) => incarnation)).size).toBe(3);
      expect(readdirSync(made).toSorted()).toEqual([
        'admin.token',
        'cluster.json',
        'member-1',
        'member-2',
        'member-3',
        'secrets',
      ]);
      const token = readFileSync(join(made, 'admin.token'), 'utf8');
      const hash = readFileSync(join(made, 'secrets', 'gateway', 'admin.token.sha256'), 'utf8');
      expect(hash).toBe(hashToken(token));
      for (const id of [1, 2, 3]) {
        expect(readdirSync(join(made, `member-${id}`)).some((name) => /snap/.test(name))).toBe(true);
      }
      expect(printed.join('\n')).toMatch(/^Verified .*: revision 0, 0 entries/);
      expect(printed.join('\n')).toContain(
        `Made cluster ${CLUSTER_ID}, epoch 5 (the backup is of epoch 4), of 3`,
      );
      expect(await failing(...restore())).toContain('is not empty');
      printed = [];
      await run('cluster', 'verify', join(folder, 'b'));
      expect(printed.join('\n')).toContain('state hash');
    },
    60_000,
  );
});
