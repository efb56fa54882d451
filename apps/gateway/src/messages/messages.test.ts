import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, headers, type NatsConnection } from '@nats-io/transport-node';
import { ClientProxyFactory, NatsRecordBuilder, Transport } from '@nestjs/microservices';
import { firstValueFrom } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startMessages } from '../application.js';
import { ADMIN_TOKEN, CLUSTER_ID, startTestGateway, type TestGateway } from '../test-gateway.testing.js';
import { decodeMessage, encodeReply } from './message-format.js';

const NATS_SERVER_PATH = '/usr/sbin/nats-server';
const SUBJECT = `quorate.${CLUSTER_ID}.v1`;

interface NatsProcess {
  readonly url: string;
  stop(): Promise<void>;
}

/** A nats-server on `port` (-1: any free one), which says in a file where it listens. */
async function startNats(port: number): Promise<NatsProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-nats-'));
  const args = ['-a', '127.0.0.1', '-p', String(port), '--ports_file_dir', directory];
  const child: ChildProcess = spawn(NATS_SERVER_PATH, args, { stdio: 'ignore' });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const [file] = readdirSync(directory).filter((name) => name.endsWith('.ports'));
    const text = file === undefined ? '' : readFileSync(join(directory, file), 'utf8');
    const url = /"(nats:\/\/[^"]+)"/.exec(text)?.[1];
    if (url !== undefined) {
      const stop = async (): Promise<void> => {
        child.kill('SIGKILL');
        await exited;
        rmSync(directory, { recursive: true, force: true });
      };
      return { url, stop };
    }
    await sleep(50);
  }
  throw new Error('nats-server did not start');
}

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (await condition()) {
      return;
    }
    await sleep(50);
  }
  throw new Error('the condition never held');
}

describe.skipIf(!existsSync(NATS_SERVER_PATH))('the NATS API (needs nats-server)', () => {
  let nats: NatsProcess;
  let gateway: TestGateway;
  let client: NatsConnection;

  beforeAll(async () => {
    nats = await startNats(-1);
    gateway = await startTestGateway({ QUORATE_NATS_URL: nats.url });
    await startMessages(gateway.app);
    client = await connect({ servers: nats.url });
  });
  afterAll(async () => {
    await client?.close();
    await gateway?.close();
    await nats?.stop();
  });

  async function request(verb: string, body: unknown, token: string | null = ADMIN_TOKEN) {
    const fields = headers();
    if (token !== null) {
      fields.set('Authorization', `Bearer ${token}`);
    }
    const payload = typeof body === 'string' ? body : JSON.stringify(body);
    const reply = await client.request(`${SUBJECT}.${verb}`, payload, { timeout: 5000, headers: fields });
    return {
      text: reply.string(),
      json: JSON.parse(reply.string()),
      header: (name: string) => reply.headers?.get(name),
    };
  }

  it('answers plain JSON requests in plain JSON, with the headers of REST', async () => {
    const put = await request('put', { namespace: 'content', key: 'home', value: { response: 1, err: 2 } });
    expect(put.json).toMatchObject({ namespace: 'content', key: 'home', version: 1, created: true });
    expect(put.header('Status')).toBe('201');
    gateway.backend.sync();
    const got = await request('get', { namespace: 'content', key: 'home' });
    expect(got.json).toMatchObject({ value: { response: 1, err: 2 }, version: 1 });
    for (const key of ['response', 'err', 'isDisposed']) {
      expect(got.json).not.toHaveProperty(key);
    }
    expect(got.header('Read-Consistency')).toBe('eventual');
    expect(got.header('Staleness')).toContain('ms=84');
    expect(got.header('Consistency-Token')).toHaveLength(39);
    const strong = await request('get', { namespace: 'content', key: 'home', consistency: 'linearizable' });
    expect(strong.header('ETag')).toMatch(/^"m\d+"$/);
  });

  it('decides', async () => {
    const check = {
      principal: { type: 'User', id: 'alice' },
      action: 'read',
      resource: { type: 'Page', id: 'a' },
    };
    expect((await request('check', check)).json).toMatchObject({ allowed: true });
  });

  it('takes the token from a field when there is no header', async () => {
    const body = { token: ADMIN_TOKEN, namespace: 'limits', key: 'nothing' };
    expect((await request('get', body, null)).json).toMatchObject({ code: 'ENTRY_NOT_FOUND' });
  });

  it.each([
    ['no token', 'get', { namespace: 'content', key: 'home' }, null, 'UNAUTHENTICATED'],
    ['a wrong token', 'get', { namespace: 'content', key: 'home' }, 'wrong', 'UNAUTHENTICATED'],
    ['no token for a write', 'put', { namespace: 'content', key: 'home', value: 1 }, null, 'UNAUTHENTICATED'],
    ['no JSON', 'get', '{"namespace":', ADMIN_TOKEN, 'INVALID_JSON'],
    ['an empty message', 'get', '', ADMIN_TOKEN, 'INVALID_JSON'],
    ['a number', 'get', '7', ADMIN_TOKEN, 'INVALID_JSON'],
    [
      'an unknown field',
      'get',
      { namespace: 'content', key: 'a', level: 'x' },
      ADMIN_TOKEN,
      'INVALID_REQUEST',
    ],
    ['a wrong namespace', 'get', { namespace: 'Content', key: 'a' }, ADMIN_TOKEN, 'INVALID_NAMESPACE'],
    ['a wrong key', 'get', { namespace: 'content', key: '' }, ADMIN_TOKEN, 'INVALID_KEY'],
    ['a write without a value', 'put', { namespace: 'content', key: 'a' }, ADMIN_TOKEN, 'INVALID_REQUEST'],
    [
      'the reserved namespace',
      'put',
      { namespace: 'access', key: 'a', value: 1 },
      ADMIN_TOKEN,
      'NAMESPACE_RESERVED',
    ],
    [
      'a weak validator',
      'put',
      { namespace: 'content', key: 'a', value: 1, ifMatch: 'W/"m1"' },
      ADMIN_TOKEN,
      'WEAK_VALIDATOR',
    ],
    [
      'an unknown level',
      'get',
      { namespace: 'content', key: 'a', consistency: 'x' },
      ADMIN_TOKEN,
      'UNKNOWN_READ_CONSISTENCY',
    ],
  ])('answers %s with a problem', async (_name, verb, body, token, code) => {
    const reply = await request(verb, body, token);
    expect(reply.json).toMatchObject({ code });
    expect(reply.header('Nats-Service-Error-Code')).toBe(String(reply.json.status));
  });

  it("answers Nest's own client, values and errors alike", async () => {
    const proxy = ClientProxyFactory.create({ transport: Transport.NATS, options: { servers: [nats.url] } });
    const fields = headers();
    fields.set('Authorization', `Bearer ${ADMIN_TOKEN}`);
    const record = (data: unknown) => new NatsRecordBuilder(data).setHeaders(fields).build();
    try {
      const value = { response: 1 };
      await firstValueFrom(proxy.send(`${SUBJECT}.put`, record({ namespace: 'limits', key: 'a', value })));
      const got = await firstValueFrom(
        proxy.send(`${SUBJECT}.get`, record({ namespace: 'limits', key: 'a' })),
      );
      expect(got).toMatchObject({ namespace: 'limits', key: 'a', value });
      const missing = firstValueFrom(proxy.send(`${SUBJECT}.get`, record({ namespace: 'limits', key: 'b' })));
      await expect(missing).rejects.toMatchObject({ code: 'ENTRY_NOT_FOUND', status: 404, effect: 'none' });
      const refused = firstValueFrom(proxy.send(`${SUBJECT}.get`, { namespace: 'limits', key: 'a' }));
      await expect(refused).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    } finally {
      await proxy.close();
    }
  });

  it('does nothing for a message that nobody waits for', async () => {
    const before = gateway.backend.calls.length;
    client.publish(
      `${SUBJECT}.put`,
      JSON.stringify({ token: ADMIN_TOKEN, namespace: 'limits', key: 'x', value: 1 }),
    );
    const got = await request('get', { namespace: 'limits', key: 'x' });
    expect(got.json).toMatchObject({ code: 'ENTRY_NOT_FOUND' });
    expect(gateway.backend.calls.slice(before)).not.toContain('write');
  });

  it('counts answers and says in /healthz that it is connected', async () => {
    expect((await gateway.app.inject('/metrics')).body).toMatch(
      /quorate_gateway_requests_total\{transport="nats",route="get",status="401"\} \d/,
    );
    expect((await gateway.app.inject('/healthz')).json()).toMatchObject({ nats: 'connected' });
  });

  it('starts without NATS, serves REST meanwhile, and answers once NATS is there', async () => {
    const first = await startNats(-1);
    await first.stop();
    const other = await startTestGateway({ QUORATE_NATS_URL: first.url });
    const started = startMessages(other.app);
    expect((await other.app.inject('/healthz')).json()).toMatchObject({ status: 'ok', nats: 'connecting' });
    const second = await startNats(Number(new URL(first.url).port));
    await started;
    await until(async () => (await other.app.inject('/healthz')).json().nats === 'connected');
    const late = await connect({ servers: second.url });
    const reply = await late.request(`${SUBJECT}.get`, '{"namespace":"content","key":"a"}', {
      timeout: 5000,
    });
    expect(reply.json()).toMatchObject({ code: 'UNAUTHENTICATED' });
    await late.close();
    await other.close();
    await second.stop();
  });
});

describe('the message format', () => {
  it("tells Nest's envelope from plain JSON", () => {
    const bytes = (text: string): Uint8Array => Buffer.from(text);
    expect(decodeMessage(bytes('{"id":"7","pattern":"get","data":{"a":1}}'))).toEqual({
      type: 'envelope',
      id: '7',
      data: { a: 1 },
    });
    expect(decodeMessage(bytes('{"id":"7","data":1}'))).toMatchObject({ type: 'plain' });
    expect(decodeMessage(bytes('{"a":1}'))).toEqual({ type: 'plain', data: { a: 1 } });
    expect(decodeMessage(Buffer.from([0xff]))).toEqual({ type: 'malformed' });
  });

  it('keeps the bytes of a value within the envelope', () => {
    const body = Buffer.from('{"value": 1.0 }');
    const reply = encodeReply({ type: 'envelope', id: '"7', data: null }, { status: 200, headers: {}, body });
    expect(Buffer.from(reply.body).toString()).toBe(
      '{"response":{"value": 1.0 },"isDisposed":true,"id":"\\"7"}',
    );
  });
});
