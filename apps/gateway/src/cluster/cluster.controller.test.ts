import { BackupFileError, readBackupFile, type BackupPart } from '@quorate/api';
import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MemoryBackend } from '../memory-backend.testing.js';
import { ADMIN_TOKEN, CLUSTER_ID, startTestGateway, type TestGateway } from '../test-gateway.testing.js';

let gateway: TestGateway;
beforeEach(async () => {
  gateway = await startTestGateway();
});
afterEach(async () => {
  await gateway.close();
});

const authorization = `Bearer ${ADMIN_TOKEN}`;
function send(options: InjectOptions): Promise<LightMyRequestResponse> {
  return gateway.app.inject({ ...options, headers: { authorization, ...options.headers } });
}
function post(path: string, payload?: string): Promise<LightMyRequestResponse> {
  if (payload === undefined) return send({ method: 'POST', url: path });
  return send({ method: 'POST', url: path, headers: { 'content-type': 'application/json' }, payload });
}
const partsOf = (bytes: Uint8Array): BackupPart[] => [...readBackupFile([bytes])];

describe('a transfer', () => {
  it('goes to the member that is named, to the nearest without one, and nowhere when it leads already', async () => {
    expect((await post('/v1/cluster/transfer', '{"to":1}')).json()).toEqual({ leader: 1, moved: true });
    expect((await post('/v1/cluster/transfer', '{"to":1}')).json()).toEqual({ leader: 1, moved: false });
    expect((await post('/v1/cluster/transfer', '{}')).json()).toEqual({ leader: 2, moved: true });
    const bare = await post('/v1/cluster/transfer');
    expect([bare.statusCode, bare.json()]).toEqual([200, { leader: 3, moved: true }]);
  });

  it('that fails is a 503 without effect on any data', async () => {
    const response = await post('/v1/cluster/transfer', '{"to":9}');
    expect(response.statusCode).toBe(503);
    expect(response.json()).toMatchObject({ code: 'TRANSFER_FAILED', effect: 'none' });
  });

  it.each(['{"to":0}', '{"to":"2"}', '{"to":1.5}', '{"target":2}', '[]'])('refuses %s', async (body) => {
    const response = await post('/v1/cluster/transfer', body);
    expect(response.statusCode).toBe(400);
    expect(gateway.backend.calls).toEqual([]);
  });
});

describe('a snapshot', () => {
  it('is taken once for one state', async () => {
    const first = await post('/v1/cluster/snapshot', '{}');
    expect(first.json()).toEqual({ index: 3, revision: 3, payloadBytes: 5, taken: true });
    expect((await post('/v1/cluster/snapshot')).json()).toMatchObject({ taken: false });
  });
});

describe('a backup', () => {
  it('is a whole backup file with the chunks of one snapshot', async () => {
    const response = await send({ method: 'GET', url: '/v1/cluster/backup' });
    expect(response.statusCode).toBe(200);
    expect(response.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'cache-control': 'no-store',
      'content-disposition': `attachment; filename="quorate-${CLUSTER_ID}-r3.backup"`,
    });
    const parts = partsOf(response.rawPayload);
    expect(parts[0]).toMatchObject({
      header: { clusterId: CLUSTER_ID, epoch: 1, index: 3, term: 3, revision: 3, chunkCount: 2 },
    });
    expect(parts.flatMap((part) => (part.type === 'chunk' ? [[...part.data]] : []))).toEqual([
      [1, 2, 3],
      [4, 5],
    ]);
    expect(parts.at(-1)).toMatchObject({ type: 'end', summary: { payloadBytes: 5 } });
    expect(gateway.backend.calls).toEqual(['backup null 0', 'backup 3 1']);
  });

  it('that cannot begin is a problem document', async () => {
    gateway.backend.storeFailure = 'NO_QUORUM';
    const response = await send({ method: 'GET', url: '/v1/cluster/backup' });
    expect(response.statusCode).toBe(503);
    expect(response.json()).toMatchObject({ code: 'NO_QUORUM' });
  });

  it('takes no snapshot for a HEAD', async () => {
    expect((await send({ method: 'HEAD', url: '/v1/cluster/backup' })).statusCode).toBe(404);
    expect(gateway.backend.calls).toEqual([]);
  });
});

describe('a backup over a real connection', () => {
  let url: string;
  beforeEach(async () => {
    await gateway.app.listen(0, '127.0.0.1');
    url = `${await gateway.app.getUrl()}/v1/cluster/backup`;
  });

  /** What a caller has in hands when the connection has ended, and whether it ended as a whole answer does. */
  async function download(): Promise<{ status: number; bytes: Buffer; whole: boolean }> {
    const response = await fetch(url, { headers: { authorization } });
    const received: Uint8Array[] = [];
    try {
      for await (const piece of response.body ?? []) received.push(piece);
      return { status: response.status, bytes: Buffer.concat(received), whole: true };
    } catch {
      return { status: response.status, bytes: Buffer.concat(received), whole: false };
    }
  }

  it('that loses its snapshot half-way breaks the connection, and what came is no backup file', async () => {
    gateway.backend.snapshotChunks = Array.from({ length: 6 }, () => new Uint8Array(200_000));
    gateway.backend.onChunk = (chunk) => {
      if (chunk === 4) gateway.backend.snapshotIndex = 99;
    };
    const { status, bytes, whole } = await download();
    expect([status, whole]).toEqual([200, false]);
    expect(() => partsOf(bytes)).toThrow(BackupFileError);
  });

  it.each([
    ['whose chunks come from two snapshots', (backend: MemoryBackend) => (backend.snapshotDigest = 7)],
    ['whose payload is not what its checksum was taken of', () => undefined],
  ])('%s gets no footer', async (_name, atSecondChunk) => {
    gateway.backend.snapshotDigest = 5;
    gateway.backend.onChunk = (chunk) => void (chunk === 1 && atSecondChunk(gateway.backend));
    const { bytes, whole } = await download();
    expect(whole).toBe(false);
    expect(() => partsOf(bytes)).toThrow(BackupFileError);
  });

  it('asks for no more chunks than a slow reader takes', async () => {
    const chunkCount = 200;
    gateway.backend.snapshotChunks = Array.from({ length: chunkCount }, () => new Uint8Array(256 * 1024));
    const response = await fetch(url, { headers: { authorization } });
    const reader = response.body?.getReader();
    await reader?.read();
    // The sockets' own buffers take a few megabytes; then nothing moves.
    let before = -1;
    while (before !== gateway.backend.calls.length) {
      before = gateway.backend.calls.length;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(before).toBeLessThan(chunkCount / 2);
    await reader?.cancel();
  });
});
