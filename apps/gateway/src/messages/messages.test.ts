import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, headers, type NatsConnection } from '@nats-io/transport-node';
import { ClientProxyFactory, NatsRecordBuilder, Transport } from '@nestjs/microservices';
import { firstValueFrom } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startMessages } from '../application.js';
import { ADMIN_TOKEN, CLUSTER_ID, startTestGateway, type TestGateway } from '../test-gateway.testing.js';
import { decodeMessage, encodeReply } from './message-format.js';
import { QuorateNatsServer } from './quorate-nats-server.js';

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

  it('says level, bound and when to come back with a refusal, as REST does', async () => {
    gateway.backend.storeFailure = 'NO_QUORUM';
    gateway.backend.outcome = () => ({ type: 'fallback' });
    const message = { namespace: 'content', key: 'home', consistency: 'linearizable' };
    const refused = await request('get', message);
    gateway.backend.storeFailure = null;
    gateway.backend.outcome = null;
    expect(refused.json).toMatchObject({ code: 'NO_QUORUM' });
    expect(refused.header('Nats-Service-Error-Code')).toBe('503');
    expect(refused.header('Read-Consistency')).toBe('linearizable');
    expect(refused.header('Staleness')).toContain('ms=84');
    expect(refused.header('Retry-After')).toBe('1');
  });

  it('knows Cache-Control as a field and as a header of the message', async () => {
    const entry = { namespace: 'content', key: 'never-put' };
    const field = await request('get', { ...entry, cacheControl: 'only-if-cached' });
    expect(field.json).toMatchObject({ code: 'NOT_CACHED', status: 504 });
    const fields = headers();
    fields.set('Authorization', `Bearer ${ADMIN_TOKEN}`);
    fields.set('Cache-Control', 'only-if-cached');
    const reply = await client.request(`${SUBJECT}.get`, JSON.stringify(entry), {
      timeout: 5000,
      headers: fields,
    });
    expect(JSON.parse(reply.string())).toMatchObject({ code: 'NOT_CACHED' });
    expect((await request('get', { ...entry, cacheControl: 'max-age' })).json).toMatchObject({
      code: 'INVALID_REQUEST',
      field: 'Cache-Control',
    });
  });

  it('keeps a value byte for byte', async () => {
    const value =
      '{ "limit":9007199254740993, "big":1e400,"zero": -0, "pi":3.14159265358979323846, "a":1, "a":2 }';
    await request('put', `{"value":1,"namespace":"limits","key":"raw","value": ${value} }`);
    const got = await request('get', { namespace: 'limits', key: 'raw' });
    expect(got.text).toContain(`"value":${value},`);
    const data = `{"token":"${ADMIN_TOKEN}","namespace":"limits","key":"raw","value":1.00}`;
    await request('put', `{"pattern":"put","id":"1","data":${data}}`);
    expect((await request('get', { namespace: 'limits', key: 'raw' })).text).toContain('"value":1.00,');
  });

  it('refuses a value that is nested too deeply, and no other', async () => {
    const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
    const put = (depth: number) =>
      request('put', `{"namespace":"limits","key":"deep","value":${nested(depth)}}`);
    expect((await put(100_000)).json).toMatchObject({ code: 'INVALID_JSON', status: 400 });
    expect((await put(5000)).json).toMatchObject({ created: true });
  });

  it('decides', async () => {
    const check = {
      principal: { type: 'User', id: 'alice' },
      action: 'read',
      resource: { type: 'Page', id: 'a' },
    };
    expect((await request('check', check)).json).toMatchObject({ allowed: true });
  });

  it('hands leadership over and takes snapshots, but carries no backup', async () => {
    expect((await request('transfer', { to: 1 })).json).toEqual({ leader: 1, moved: true });
    expect((await request('transfer', {})).json).toEqual({ leader: 2, moved: true });
    expect((await request('transfer', { to: 'x' })).json).toMatchObject({ code: 'INVALID_REQUEST' });
    expect((await request('transfer', { to: 1 }, null)).json).toMatchObject({ code: 'UNAUTHENTICATED' });
    expect((await request('snapshot', {})).json).toMatchObject({ taken: true });
    await expect(client.request(`${SUBJECT}.backup`, '{}', { timeout: 1000 })).rejects.toThrow(
      'no responders',
    );
  });

  it('tells how consistent the gateway is', async () => {
    expect((await request('consistency', {})).json).toMatchObject({ cache: { state: 'live' } });
    expect((await request('consistency', { key: 'x' })).json).toMatchObject({ code: 'INVALID_REQUEST' });
    expect((await request('consistency', {}, null)).json).toMatchObject({ code: 'UNAUTHENTICATED' });
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

/** Greets like a NATS server without TLS, notes what comes, and turns away whoever introduces himself. */
async function startUnfriendlyNats(): Promise<{ port: number; said: string[]; close: () => void }> {
  const said: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    said.push('');
    const at = said.length - 1;
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes) => {
      said[at] += bytes.toString();
      if (said[at]?.includes('CONNECT') === true) {
        socket.end("-ERR 'Authorization Violation'\r\n");
      }
    });
    const info = { server_id: 'x', version: '2.11.0', headers: true, max_payload: 1_048_576, proto: 1 };
    socket.write(`INFO ${JSON.stringify(info)}\r\n`);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') {
    throw new Error('no port');
  }
  const close = (): void => {
    server.close();
    for (const socket of sockets) {
      socket.destroy();
    }
  };
  return { port: address.port, said, close };
}

describe('the connection to NATS', () => {
  it.each([
    ['tls', 'says nothing, least of all the password, to a server without TLS'],
    ['nats', 'goes on trying when it is turned away'],
  ] as const)('%s: %s', async (scheme, _rule) => {
    const nats = await startUnfriendlyNats();
    const server = new QuorateNatsServer({
      url: `${scheme}://127.0.0.1:${nats.port}`,
      clusterId: CLUSTER_ID,
      user: 'gateway',
      password: 'secret-password',
      onAnswered: () => undefined,
    });
    void server.listen(() => undefined);
    try {
      // By itself the client gives up when it has been turned away twice.
      await until(() => nats.said.length >= 4);
      if (scheme === 'tls') {
        expect(nats.said.join('')).toBe('');
      } else {
        expect(nats.said[0]).toContain('secret-password');
      }
      expect(server.connectionState).not.toBe('connected');
    } finally {
      nats.close();
      await server.close();
    }
  });
});

describe('the message format', () => {
  it("tells Nest's envelope from plain JSON", () => {
    const bytes = (text: string): Uint8Array => Buffer.from(text);
    expect(decodeMessage(bytes('{"id":"7","pattern":"get","data":{"a":1}}'))).toEqual({
      type: 'envelope',
      text: '{"id":"7","pattern":"get","data":{"a":1}}',
      id: '7',
      data: { a: 1 },
    });
    expect(decodeMessage(bytes('{"id":"7","data":1}'))).toMatchObject({ type: 'plain' });
    expect(decodeMessage(bytes('{"a":1}'))).toEqual({ type: 'plain', text: '{"a":1}', data: { a: 1 } });
    expect(decodeMessage(Buffer.from([0xff]))).toEqual({ type: 'malformed' });
  });

  it('keeps the bytes of a value within the envelope', () => {
    const body = Buffer.from('{"value": 1.0 }');
    const reply = encodeReply(
      { type: 'envelope', text: '', id: '"7', data: null },
      { status: 200, headers: {}, body },
    );
    expect(Buffer.from(reply.body).toString()).toBe(
      '{"response":{"value": 1.0 },"isDisposed":true,"id":"\\"7"}',
    );
  });
});
