import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashToken } from '@quorate/api';
import { Test } from '@nestjs/testing';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { APPLICATION_OPTIONS, initApplication } from './application.js';
import { createHttpAdapter } from './http/adapter.js';
import { StderrLogger } from './stderr-logger.js';
import { BACKEND } from './store/store.js';
import { MemoryBackend } from './memory-backend.testing.js';

export const ADMIN_TOKEN = 'admin-token-of-the-test';
export const CLUSTER_ID = 'c0ffee00c0ffee00';
export const TOKEN_KEY = Buffer.alloc(32, 7);

export interface TestGateway {
  readonly app: NestFastifyApplication;
  readonly backend: MemoryBackend;
  close(): Promise<void>;
}

/** Writes cluster.json and the secrets into a folder of its own and names them in variables. */
export function testVariables(): { variables: Record<string, string>; remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-gateway-'));
  const member = {
    id: 1,
    host: '127.0.0.1',
    linkPort: 7410,
    healthPort: 7411,
    incarnation: '00000000000000aa',
  };
  const cluster = { format: 1, clusterId: CLUSTER_ID, epoch: 1, members: [member] };
  writeFileSync(join(directory, 'cluster.json'), JSON.stringify(cluster));
  writeFileSync(join(directory, 'gateway.key'), Buffer.alloc(32, 5).toString('hex'));
  writeFileSync(join(directory, 'admin.token.sha256'), `${hashToken(ADMIN_TOKEN)}\n`);
  writeFileSync(join(directory, 'token.key'), TOKEN_KEY.toString('hex'));
  const variables = {
    QUORATE_CLUSTER_FILE: join(directory, 'cluster.json'),
    QUORATE_SECRETS_DIR: directory,
    QUORATE_PORT: '0',
  };
  return { variables, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** A whole gateway in this process, over a store in memory. */
export async function startTestGateway(
  more: Record<string, string> = {},
  controllers: (new () => object)[] = [],
): Promise<TestGateway> {
  const { variables, remove } = testVariables();
  const backend = new MemoryBackend();
  const module = await Test.createTestingModule({
    imports: [AppModule.forRoot({ ...variables, ...more })],
    controllers,
  })
    .overrideProvider(BACKEND)
    .useValue(backend)
    .setLogger(new StderrLogger([]))
    .compile();
  const app = module.createNestApplication<NestFastifyApplication>(createHttpAdapter(), APPLICATION_OPTIONS);
  await initApplication(app);
  await app.getHttpAdapter().getInstance().ready();
  const close = async (): Promise<void> => {
    await app.close();
    remove();
  };
  return { app, backend, close };
}
