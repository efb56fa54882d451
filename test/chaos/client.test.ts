import { type IncomingMessage, type Server, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { randomOf } from '../../bench/soak-plan.js';
import { isFree } from '../e2e/cluster.js';
import { ChaosClient } from './client.js';
import { Recorder } from './history.js';

/** What a gateway does with a request. `hang`: no answer; `drop`: the connection is lost. */
type Reaction =
  | { readonly status: number; readonly body: object; readonly headers?: Record<string, string> }
  | 'hang'
  | 'drop';

const REFUSED = { status: 503, body: { code: 'NO_QUORUM', effect: 'none' } };
const UNKNOWN = { status: 504, body: { code: 'OUTCOME_UNKNOWN', effect: 'unknown' } };

class FakeGateway {
  readonly requests: {
    readonly method: string;
    readonly url: string;
    readonly headers: IncomingMessage['headers'];
    readonly body: string;
  }[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(private readonly reactions: Reaction[]) {
    this.#server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        this.requests.push({
          method: request.method ?? '',
          url: request.url ?? '',
          headers: request.headers,
          body,
        });
        const reaction = this.reactions.shift() ?? 'hang';
        if (reaction === 'hang') return;
        if (reaction === 'drop') return void request.socket.destroy();
        const text = JSON.stringify(reaction.body);
        response.writeHead(reaction.status, {
          'Content-Length': Buffer.byteLength(text),
          ...reaction.headers,
        });
        response.end(text);
      });
    });
    this.#server.on('connection', (socket) => this.#sockets.add(socket));
  }

  static async start(reactions: readonly Reaction[]): Promise<FakeGateway> {
    const gateway = new FakeGateway([...reactions]);
    await new Promise<void>((resolve) => gateway.#server.listen(0, '127.0.0.1', resolve));
    return gateway;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

describe('the recording client', () => {
  const started: { stop(): void }[] = [];
  afterEach(() => {
    for (const one of started.splice(0)) one.stop();
  });

  async function clientOf(reactions: readonly Reaction[], ports: readonly number[] = []) {
    const gateway = await FakeGateway.start(reactions);
    const recorder = new Recorder(() => performance.now());
    const all = [gateway.port, ...ports];
    const client = new ChaosClient({
      cluster: {
        gateways: all.map((_, at) => `gateway${at + 1}` as const),
        gatewayAddress: (name) => ({ host: '127.0.0.1', port: all[Number(name.slice(7)) - 1] ?? 0 }),
        adminToken: 'admin',
      },
      recorder,
      workload: 'test',
      client: 'test/0',
      random: randomOf(1),
      timeoutMs: 200,
      repeatMs: 500,
    });
    started.push(gateway, { stop: () => client.close() });
    return { client, gateway, recorder };
  }

  it('records an acknowledged write with its revision and token', async () => {
    const answer = { status: 201, body: { revision: 7, version: 1 }, headers: { 'Consistency-Token': 't7' } };
    const { client, gateway, recorder } = await clientOf([answer]);
    const operation = await client.put('n', 'k', 'v', { over: null });
    expect(operation).toMatchObject({
      id: 1,
      action: 'compareAndSet',
      outcome: 'done',
      status: 201,
      revision: 7,
      token: 't7',
      expected: null,
      written: 'v',
      gateway: 1,
      attempts: 1,
    });
    expect(operation.completedMs).toBeGreaterThanOrEqual(operation.invokedMs);
    expect(recorder.operations).toEqual([operation]);
    expect(gateway.requests[0]).toMatchObject({
      method: 'PUT',
      url: '/v1/namespaces/n/entries/k',
      body: '"v"',
    });
    expect(gateway.requests[0]?.headers).toMatchObject({
      'if-none-match': '*',
      authorization: 'Bearer admin',
    });
  });

  it('believes that nothing happened only when it is told so, or never sent anything', async () => {
    const { client } = await clientOf([REFUSED, UNKNOWN, { status: 500, body: {} }, 'drop', 'hang']);
    const outcomes = [];
    for (let count = 0; count < 5; count += 1) outcomes.push((await client.put('n', 'k', count)).outcome);
    expect(outcomes).toEqual(['none', 'unknown', 'unknown', 'unknown', 'unknown']);
    const lie = { status: 504, body: { code: 'OUTCOME_UNKNOWN', effect: 'none' } };
    const { client: other } = await clientOf([
      lie,
      { status: 503, body: { code: 'WHATEVER', effect: 'none' } },
    ]);
    expect((await other.put('n', 'k', 1)).outcome).toBe('unknown');
    expect((await other.put('n', 'k', 1)).outcome).toBe('unknown');
  });

  it('was not sent when nobody accepts connections', async () => {
    let port = 39_000;
    while (!(await isFree(port))) port += 1;
    const { client, gateway } = await clientOf([], [port]);
    const operation = await client.put('n', 'k', 'v', { gateway: 2 });
    expect(operation).toMatchObject({ outcome: 'none', status: null, completedMs: null, gateway: 2 });
    expect(gateway.requests).toEqual([]);
  });

  it('repeats a write under its key while nobody knows, as one operation', async () => {
    const done = { status: 200, body: { revision: 9 } };
    const { client, gateway, recorder } = await clientOf(['drop', UNKNOWN, REFUSED, done]);
    const operation = await client.put('n', 'k', 'v', { idempotencyKey: 'key-1' });
    expect(operation).toMatchObject({ outcome: 'done', attempts: 4, revision: 9 });
    expect(recorder.operations).toHaveLength(1);
    expect(gateway.requests.map(({ headers }) => headers['idempotency-key'])).toEqual(
      Array.from({ length: 4 }, () => 'key-1'),
    );
  });

  it('does not take a later refusal for the end of an earlier try, unless it is the answer of all', async () => {
    const { client, gateway } = await clientOf(['drop', ...Array.from({ length: 50 }, () => REFUSED)]);
    const operation = await client.put('n', 'k', 'v', { idempotencyKey: 'a' });
    expect(operation).toMatchObject({ outcome: 'unknown', status: 503, attempts: gateway.requests.length });
    expect(operation.attempts).toBeGreaterThan(3);
    expect(operation.attempts).toBeLessThan(20);
    const failed = {
      status: 412,
      body: { code: 'PRECONDITION_FAILED', effect: 'none', currentRevision: 4, head: 8 },
    };
    const { client: other } = await clientOf(['drop', failed]);
    expect(await other.put('n', 'k', 'v', { idempotencyKey: 'a', over: 3 })).toMatchObject({
      outcome: 'none',
      attempts: 2,
      revision: 4,
      head: 8,
    });
  });

  it('repeats nothing without a key, and nothing that surely did not happen', async () => {
    const { client, gateway } = await clientOf(['drop', REFUSED]);
    await client.put('n', 'k', 'v');
    await client.put('n', 'k', 'v', { idempotencyKey: 'a' });
    expect(gateway.requests).toHaveLength(2);
  });

  it('records what a read saw, how old it is, and what it was asked with', async () => {
    const headers = {
      Staleness: 'ms=84, lag=3, revision=12, quorum=?0',
      'Read-Consistency': 'session',
      'Consistency-Token': 't12',
    };
    const { client, gateway } = await clientOf([
      { status: 200, body: { value: { a: 1 }, revision: 5 }, headers },
      { status: 404, body: { code: 'ENTRY_NOT_FOUND', effect: 'none' }, headers },
      REFUSED,
    ]);
    const session = { level: { level: 'session' }, token: 't5', action: 'session' } as const;
    expect(await client.get('n', 'k', 'content', session)).toMatchObject({
      outcome: 'done',
      action: 'session',
      value: { a: 1 },
      revision: 5,
      head: 12,
      stalenessMs: 84,
      quorum: false,
      level: 'session',
      tokenSent: 't5',
      token: 't12',
    });
    expect(gateway.requests[0]?.headers).toMatchObject({
      'read-consistency': 'session',
      'consistency-token': 't5',
    });
    const absent = await client.get('n', 'k', 'content');
    expect(absent).toMatchObject({ outcome: 'done', value: null, revision: null, head: 12, code: null });
    const refused = await client.get('n', 'k', 'strict');
    expect(refused).toMatchObject({ outcome: 'none', code: 'NO_QUORUM', status: 503 });
    expect(refused.value).toBeUndefined();
  });

  it('waits after a refusal, and not after an answer', async () => {
    const { client } = await clientOf([{ status: 200, body: {} }, REFUSED]);
    let startedMs = performance.now();
    await client.get('n', 'k', 'strict');
    const answeredMs = performance.now() - startedMs;
    startedMs = performance.now();
    await client.get('n', 'k', 'strict');
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(10);
    expect(answeredMs).toBeLessThan(200);
  });

  it('keeps the text of a token out of the history', async () => {
    const { client, recorder } = await clientOf([
      { status: 201, body: { token: 'quorate_secret', id: '0123456789ab', createRevision: 4 } },
    ]);
    const { token } = await client.makeToken('ada', ['entries:read']);
    expect(token).toEqual({ text: 'quorate_secret', id: '0123456789ab' });
    expect(JSON.stringify(recorder.operations)).not.toContain('secret');
    expect(recorder.operations[0]).toMatchObject({ outcome: 'done', revision: 4, key: 'ada' });
  });

  it('lists whole or not at all', async () => {
    const entry = { key: 'a/1', value: 'x', revision: 3, version: 1 };
    const { client, gateway } = await clientOf([
      { status: 200, body: { entries: [{ ...entry, createRevision: 3 }], truncated: false, revision: 9 } },
      { status: 200, body: { entries: [entry], truncated: true, revision: 9 } },
    ]);
    expect(await client.list('n', 'a/')).toMatchObject({ value: [entry], head: 9, outcome: 'done' });
    expect((await client.list('n', 'a/')).value).toBeNull();
    expect(gateway.requests[0]?.url).toBe('/v1/namespaces/n/entries?limit=1000&prefix=a%2F');
  });

  it('stands in the history from the moment that it is sent', async () => {
    const { client, recorder } = await clientOf(['hang']);
    const sent = client.put('n', 'k', 'v');
    expect(recorder.operations[0]).toMatchObject({ outcome: 'unknown', completedMs: null });
    await sent;
    expect(recorder.operations[0]).toMatchObject({ outcome: 'unknown', status: null });
  });
});
