import { memberListHash, type StoreRequest, type StoreResponse } from '@quorate/api';
import { ByteWriter, revision } from '@quorate/kv';
import { type Message, logIndex, memberId, term } from '@quorate/raft';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { LinkConnection, type LinkConnectionOptions, type LostResponse } from './connection.js';
import { FRAME, FrameReader, beginFrame, endFrame } from './frames.js';
import { type LinkRefusal, encodeChallenge, encodeHello, newNonce, proofOf } from './handshake.js';
import { type FeedSubscriber, LinkServer, type LinkServerOptions } from './server.js';

const members = [1, 2].map((id) => ({
  id,
  host: '127.0.0.1',
  linkPort: 7400 + id,
  healthPort: 7500 + id,
  incarnation: `000000000000000${id}`,
}));
const [first, second] = [members[0]!, members[1]!];
const cluster = { clusterId: '0123456789abcdef', epoch: 1, memberListHash: memberListHash(members) };
const keys = {
  member: new Uint8Array(32).fill(1),
  gateway: new Uint8Array(32).fill(2),
  client: new Uint8Array(32).fill(3),
};
const timing = {
  pingIntervalMs: 20,
  silenceTimeoutMs: 150,
  handshakeTimeoutMs: 400,
  backoffMinMs: 5,
  backoffMaxMs: 20,
};

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function startServer(options: Partial<LinkServerOptions> = {}): Promise<LinkServer> {
  const server = new LinkServer({
    cluster,
    member: first,
    members,
    keys,
    onRequest: (_caller, _request, _deadlineMs, respond) => respond({ type: 'registered', clientId: 1 }),
    onRaftMessage: () => undefined,
    onFeedSubscribe: () => undefined,
    timing,
    ...options,
  });
  await server.listen('127.0.0.1', 0);
  cleanups.push(() => server.close());
  return server;
}

function dial(port: number, options: Partial<LinkConnectionOptions> = {}): LinkConnection {
  const connection = new LinkConnection({
    to: { ...first, linkPort: port },
    cluster,
    role: 'client',
    key: keys.client,
    from: null,
    timing,
    ...options,
  });
  cleanups.push(() => connection.close());
  return connection;
}

async function opened(connection: LinkConnection): Promise<void> {
  await vi.waitFor(() => expect(connection.open).toBe(true), { timeout: 5_000, interval: 2 });
}

function ask(connection: LinkConnection, request: StoreRequest): Promise<StoreResponse | LostResponse> {
  return new Promise((resolve) => connection.request(request, 2_000, resolve));
}

async function refusalOf(port: number, options: Partial<LinkConnectionOptions>): Promise<LinkRefusal> {
  return new Promise((resolve) => {
    dial(port, { ...options, onRefused: resolve });
  });
}

/** A plain TCP server on an ephemeral port, for peers that misbehave. */
async function rawServer(onSocket: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function frame(type: number, payload: Uint8Array, id = 0): Buffer {
  const writer = new ByteWriter();
  const start = beginFrame(writer, type, id);
  writer.raw(payload);
  endFrame(writer, start);
  return Buffer.from(writer.finish());
}

function heartbeat(from: number, to: number): Message {
  return {
    type: 'heartbeatRequest',
    from: memberId(from),
    to: memberId(to),
    term: term(3),
    commit: logIndex(7),
    leaderCommit: logIndex(0),
    readRound: 1,
    recovery: 0,
    recoveryIndex: logIndex(0),
  };
}

describe('requests', () => {
  for (const plaintext of [true, false]) {
    it(`answers many at once, each with its own answer (${plaintext ? 'plaintext' : 'TLS'})`, async () => {
      const server = await startServer({
        onRequest: (caller, request, deadlineMs, respond) => {
          expect(caller).toEqual({ role: 'client', member: null });
          expect(deadlineMs).toBe(2_000);
          const clientId = request.type === 'changes' ? request.after : 0;
          setImmediate(() => respond({ type: 'registered', clientId }));
        },
      });
      const connection = dial(server.port, { plaintext });
      await opened(connection);
      const answers = await Promise.all(
        Array.from({ length: 500 }, (_, index) =>
          ask(connection, { type: 'changes', after: revision(index), minRevision: revision(0), bytesMax: 1 }),
        ),
      );
      expect(answers).toEqual(answers.map((_, index) => ({ type: 'registered', clientId: index })));
    });
  }

  it('carries a value of 512 KiB and refuses what does not fit into a frame, without losing the link', async () => {
    const value = new Uint8Array(512 * 1024).fill(7);
    const entry = {
      namespace: 'n',
      key: 'k',
      value,
      revision: revision(1),
      version: 1,
      createRevision: revision(1),
    };
    const server = await startServer({
      onRequest: (_caller, request, _deadlineMs, respond) => {
        const entries = request.type === 'get' ? [entry] : [entry, entry, entry, entry, entry];
        respond({ type: 'entries', entries, truncated: false, kind: 'cached', head: revision(1) });
      },
    });
    const connection = dial(server.port);
    await opened(connection);
    const fits = await ask(connection, { type: 'get', token: '', namespace: 'n', key: 'k' });
    const [received] = fits.type === 'entries' ? fits.entries : [];
    expect(Buffer.compare(received?.value ?? new Uint8Array(0), value)).toBe(0);
    expect(await ask(connection, { type: 'status' })).toMatchObject({ type: 'failed', code: 'INTERNAL' });
    expect(connection.open).toBe(true);
  });

  it('refuses one unreadable request without losing the link', async () => {
    const server = await startServer();
    const connection = dial(server.port);
    await opened(connection);
    const long = 'x'.repeat(10_000);
    expect(await ask(connection, { type: 'get', token: long, namespace: 'n', key: 'k' })).toMatchObject({
      code: 'INVALID_REQUEST',
    });
    const unpaired = '\ud800';
    expect(await ask(connection, { type: 'get', token: '', namespace: 'n', key: unpaired })).toMatchObject({
      code: 'INVALID_REQUEST',
    });
    expect(await ask(connection, { type: 'register' })).toEqual({ type: 'registered', clientId: 1 });
  });

  it('refuses what cannot be sent among what can, in one turn, in both directions', async () => {
    const entryOf = (valueBytes: number) => ({
      namespace: 'n',
      key: 'k',
      value: new Uint8Array(valueBytes),
      revision: revision(1),
      version: 1,
      createRevision: revision(1),
    });
    const server = await startServer({
      onRequest: (_caller, request, _deadlineMs, respond) => {
        const entries =
          request.type === 'list' ? Array.from({ length: request.limit }, () => entryOf(500_000)) : [];
        respond({ type: 'entries', entries, truncated: false, kind: 'cached', head: revision(1) });
      },
    });
    const connection = dial(server.port);
    await opened(connection);
    const list = (limit: number, prefix = '') =>
      ask(connection, { type: 'list', token: '', namespace: 'n', prefix, limit });
    const large = 'x'.repeat(3 * 1024 * 1024);
    const answers = await Promise.all([
      list(1),
      list(0, '\ud800'),
      list(5),
      list(0, large),
      list(2),
      list(0),
    ]);
    expect(answers.map((answer) => (answer.type === 'failed' ? answer.code : answer.type))).toEqual([
      'entries',
      'INVALID_REQUEST',
      'INTERNAL',
      'INVALID_REQUEST',
      'entries',
      'entries',
    ]);
    expect(answers.flatMap((answer) => (answer.type === 'entries' ? [answer.entries.length] : []))).toEqual([
      1, 2, 0,
    ]);
    expect(connection.open).toBe(true);
  });

  it('loses what is under way when the server goes, and refuses what comes after, surely unsent', async () => {
    const server = await startServer({ onRequest: () => undefined });
    const connection = dial(server.port);
    await opened(connection);
    const underWay = ask(connection, { type: 'register' });
    await vi.waitFor(() => expect(server.counts.open).toBe(1));
    await server.close();
    expect(await underWay).toEqual({ type: 'lost' });
    expect(await ask(connection, { type: 'register' })).toMatchObject({ code: 'STORE_UNREACHABLE' });
  });

  it('loses a request at its deadline and ignores its late answer', async () => {
    let respondLate: (() => void) | null = null;
    const server = await startServer({
      onRequest: (_caller, request, _deadlineMs, respond) => {
        if (request.type === 'probe') respondLate = () => respond({ type: 'registered', clientId: 9 });
        else respond({ type: 'registered', clientId: 1 });
      },
    });
    const connection = dial(server.port);
    await opened(connection);
    const lost = await new Promise((resolve) => connection.request({ type: 'probe' }, 1, resolve));
    expect(lost).toEqual({ type: 'lost' });
    const late: (() => void) | null = respondLate;
    expect(late).not.toBeNull();
    respondLate!();
    expect(await ask(connection, { type: 'register' })).toEqual({ type: 'registered', clientId: 1 });
  });

  it('bounds the requests in flight', async () => {
    const server = await startServer({ onRequest: () => undefined });
    const connection = dial(server.port);
    await opened(connection);
    for (let count = 0; count < 4_096; count += 1)
      connection.request({ type: 'probe' }, 60_000, () => undefined);
    expect(await ask(connection, { type: 'probe' })).toMatchObject({ code: 'OVERLOADED' });
  });

  it('tells when its first dial has ended, whether it is open then or was refused', async () => {
    const server = await startServer();
    const connection = dial(server.port);
    expect([connection.tried, connection.open]).toEqual([false, false]);
    await opened(connection);
    expect(connection.tried).toBe(true);
    const { port } = server;
    await server.close();
    const refused = dial(port);
    expect(refused.tried).toBe(false);
    await vi.waitFor(() => expect(refused.tried).toBe(true));
    expect(refused.open).toBe(false);
  });

  it('dials again after the server comes back', async () => {
    const server = await startServer();
    const { port } = server;
    const connection = dial(port);
    await opened(connection);
    await server.close();
    await vi.waitFor(() => expect(connection.open).toBe(false));
    const again = await startServer();
    await again.close();
    const reborn = new LinkServer({
      cluster,
      member: first,
      members,
      keys,
      onRequest: (_caller, _request, _deadlineMs, respond) => respond({ type: 'registered', clientId: 2 }),
      onRaftMessage: () => undefined,
      onFeedSubscribe: () => undefined,
      timing,
    });
    await reborn.listen('127.0.0.1', port);
    cleanups.push(() => reborn.close());
    await opened(connection);
    expect(await ask(connection, { type: 'register' })).toEqual({ type: 'registered', clientId: 2 });
  });
});

describe('raft messages and the feed', () => {
  it('delivers raft messages of members and drops misaddressed ones', async () => {
    const received: Message[] = [];
    const server = await startServer({ onRaftMessage: (message) => received.push(message) });
    const connection = dial(server.port, { role: 'member', key: keys.member, from: second });
    await opened(connection);
    expect(server.connectedMembers).toEqual([2]);
    expect(connection.sendRaft(heartbeat(1, 1))).toBe(true);
    expect(connection.sendRaft(heartbeat(2, 2))).toBe(true);
    expect(connection.sendRaft(heartbeat(2, 1))).toBe(true);
    await vi.waitFor(() => expect(received).toEqual([heartbeat(2, 1)]));
    expect(server.counts.raftMisaddressed).toBe(2);
  });

  it('takes no raft message from a client', async () => {
    const onRaftMessage = vi.fn<(message: Message) => void>();
    const server = await startServer({ onRaftMessage });
    const connection = dial(server.port);
    await opened(connection);
    connection.sendRaft(heartbeat(2, 1));
    await vi.waitFor(() => expect(server.counts.raftMisaddressed).toBe(1));
    expect(onRaftMessage).not.toHaveBeenCalled();
  });

  it('pushes feed bytes to a subscribed gateway only, in order', async () => {
    const subscribers: FeedSubscriber[] = [];
    const pushed: number[] = [];
    const server = await startServer({ onFeedSubscribe: (subscriber) => subscribers.push(subscriber) });
    const gateway = dial(server.port, {
      role: 'gateway',
      key: keys.gateway,
      onPush: (bytes) => pushed.push(bytes[0] ?? -1),
    });
    const client = dial(server.port);
    await Promise.all([opened(gateway), opened(client)]);
    expect(await ask(client, { type: 'feedSubscribe' })).toMatchObject({ code: 'FORBIDDEN' });
    expect(await ask(gateway, { type: 'feedSubscribe' })).toEqual({ type: 'subscribed' });
    const [subscriber] = subscribers;
    expect(subscribers).toHaveLength(1);
    for (const byte of [1, 2, 3]) expect(subscriber?.push(new Uint8Array([byte]))).toBe(true);
    await vi.waitFor(() => expect(pushed).toEqual([1, 2, 3]));
    gateway.close();
    await vi.waitFor(() => expect(subscriber?.open).toBe(false));
    expect(subscriber?.push(new Uint8Array([4]))).toBe(false);
  });

  it('pushes to a gateway once, however often it subscribed, and no more when it wants no more', async () => {
    const subscribers: FeedSubscriber[] = [];
    const server = await startServer({ onFeedSubscribe: (subscriber) => subscribers.push(subscriber) });
    const gateway = dial(server.port, { role: 'gateway', key: keys.gateway });
    await opened(gateway);
    for (let count = 0; count < 2; count += 1)
      expect(await ask(gateway, { type: 'feedSubscribe' })).toEqual({ type: 'subscribed' });
    expect(subscribers.map(({ open }) => open)).toEqual([true]);
    expect(await ask(gateway, { type: 'feedUnsubscribe' })).toEqual({ type: 'unsubscribed' });
    expect(subscribers[0]?.push(new Uint8Array([1]))).toBe(false);
    await ask(gateway, { type: 'feedSubscribe' });
    expect(subscribers.map(({ open }) => open)).toEqual([false, true]);
  });

  it('drops pushes to a slow reader instead of keeping them, and loses none that it has taken', async () => {
    let subscriber: FeedSubscriber | null = null;
    const server = await startServer({
      unsentBytesMax: 64 * 1024,
      onFeedSubscribe: (handle) => {
        subscriber = handle;
      },
    });
    const received: number[] = [];
    const gateway = dial(server.port, {
      role: 'gateway',
      key: keys.gateway,
      onPush: (bytes) => received.push(new DataView(bytes.buffer).getUint32(0)),
    });
    await opened(gateway);
    await ask(gateway, { type: 'feedSubscribe' });
    const push = subscriber!.push.bind(subscriber);
    // All in one turn: the reader, in the same process, takes nothing meanwhile, and the system holds some megabytes at most.
    const accepted = Array.from({ length: 100_000 }, (_, number) => number).filter((number) => {
      const bytes = new Uint8Array(1_000);
      new DataView(bytes.buffer).setUint32(0, number);
      return push(bytes);
    });
    expect(accepted.length).toBeGreaterThanOrEqual(64);
    expect(accepted.length).toBeLessThan(100_000);
    await vi.waitFor(() => expect(received.length).toBe(accepted.length), { timeout: 5_000 });
    expect(received).toEqual(accepted);
    expect(gateway.open).toBe(true);
  });
});

describe('handshake', () => {
  it('refuses another cluster, epoch, member list or member with a sentence', async () => {
    const { port } = await startServer();
    const wrong: [Partial<LinkConnectionOptions>, string][] = [
      [{ cluster: { ...cluster, clusterId: 'ffffffffffffffff' } }, 'cluster 0123456789abcdef'],
      [{ cluster: { ...cluster, epoch: 2 } }, 'recovery epoch 1'],
      [{ cluster: { ...cluster, memberListHash: 'abc' } }, 'member lists differ'],
      [{ to: { ...second, linkPort: port } }, 'This address is member 1'],
    ];
    for (const [options, sentence] of wrong) {
      const refusal = await refusalOf(port, options);
      expect(refusal).toMatchObject({ code: 'HANDSHAKE_REFUSED', byPeer: true });
      expect(refusal.message).toContain(sentence);
    }
  });

  for (const plaintext of [true, false]) {
    it(`refuses another key (${plaintext ? 'plaintext' : 'TLS'})`, async () => {
      const server = await startServer();
      const refusal = await refusalOf(server.port, { plaintext, key: new Uint8Array(32).fill(9) });
      expect(refusal.code).toBe('HANDSHAKE_REFUSED');
      expect(refusal.message).toContain('key');
      expect(server.counts.open).toBe(0);
    });
  }

  it('refuses a role whose key the member does not have', async () => {
    const server = await startServer({ keys: { member: keys.member } });
    const refusal = await refusalOf(server.port, {});
    expect(refusal.message).toContain('no connections of role client');
  });

  it('refuses a known member with another incarnation as wiped, in both directions', async () => {
    const server = await startServer();
    const asMember = { role: 'member', key: keys.member } as const;
    const byServer = await refusalOf(server.port, { ...asMember, from: { id: 2, incarnation: 'fresh' } });
    expect(byServer).toMatchObject({ code: 'MEMBER_WIPED', byPeer: true });
    const byDialler = await refusalOf(server.port, {
      ...asMember,
      from: second,
      to: { ...first, incarnation: 'older', linkPort: server.port },
    });
    expect(byDialler).toMatchObject({ code: 'MEMBER_WIPED', byPeer: false });
  });

  it('refuses a member that is not listed, and one that claims to be this member', async () => {
    const { port } = await startServer();
    const asMember = { role: 'member', key: keys.member } as const;
    const unlisted = await refusalOf(port, { ...asMember, from: { id: 9, incarnation: 'x' } });
    expect(unlisted.message).toContain('Member 9 is not in the member list');
    const itself = await refusalOf(port, { ...asMember, from: first });
    expect(itself.message).toContain('this member itself');
  });

  it('reports one cause once, although it goes on dialling', async () => {
    const server = await startServer();
    const onRefused = vi.fn<(refusal: LinkRefusal) => void>();
    const connection = dial(server.port, { key: new Uint8Array(32), onRefused });
    await vi.waitFor(() => expect(server.counts.refused).toBeGreaterThanOrEqual(3));
    expect(onRefused).toHaveBeenCalledTimes(1);
    expect(connection.refusal?.code).toBe('HANDSHAKE_REFUSED');
  });

  it('leaves a server that cannot prove that it knows the key', async () => {
    const port = await rawServer((socket) => {
      const reader = new FrameReader(4096);
      socket.on('data', (chunk: Buffer) => {
        reader.push(chunk, ({ type }) => {
          const answer =
            type === FRAME.hello ? encodeChallenge({ member: first, nonce: newNonce() }) : newNonce();
          socket.write(frame(type === FRAME.hello ? FRAME.challenge : FRAME.welcome, answer));
          return true;
        });
      });
    });
    const refusal = await refusalOf(port, {});
    expect(refusal).toMatchObject({ code: 'HANDSHAKE_REFUSED', byPeer: false });
    expect(refusal.message).toContain('does not know the key');
  });

  it('takes no proof of one side for that of the other, nor for other words', () => {
    const hello = { version: 1, ...cluster, role: 'client', from: null, to: 1, nonce: newNonce() } as const;
    const challenge = { member: first, nonce: newNonce() };
    const proof = proofOf(keys.client, 'dialling', hello, challenge);
    expect(proofOf(keys.client, 'accepting', hello, challenge)).not.toEqual(proof);
    expect(proofOf(keys.client, 'dialling', { ...hello, to: 2 }, challenge)).not.toEqual(proof);
    expect(proofOf(keys.client, 'dialling', hello, { ...challenge, nonce: newNonce() })).not.toEqual(proof);
    expect(encodeHello(hello).length).toBeLessThan(4096);
  });
});

describe('peers that misbehave', () => {
  it('finds a half-open server dead: it accepts, then neither reads nor answers', async () => {
    let half: Socket | null = null;
    const server = await startServer();
    // Everything passes until the relay is paused: from then on the connection is open and silent.
    const port = await rawServer((socket) => {
      const upstream = connect(server.port, '127.0.0.1');
      upstream.on('error', () => undefined);
      socket.pipe(upstream).pipe(socket);
      half ??= upstream;
    });
    const connection = dial(port);
    await opened(connection);
    const lost = ask(connection, { type: 'register' });
    expect(await lost).toEqual({ type: 'registered', clientId: 1 });
    const changes: boolean[] = [];
    connection.onOpenChange(() => changes.push(connection.open));
    half!.unpipe();
    half!.pause();
    await vi.waitFor(() => expect(changes).toEqual([false, true]), { timeout: 5_000 });
  });

  it('keeps an idle link open by pings', async () => {
    const server = await startServer();
    const connection = dial(server.port);
    await opened(connection);
    const onChange = vi.fn<() => void>();
    connection.onOpenChange(onChange);
    await new Promise((resolve) => setTimeout(resolve, timing.silenceTimeoutMs * 3));
    expect(onChange).not.toHaveBeenCalled();
  });

  it('tells that the peer is gone only when the immediate redial is refused', async () => {
    const server = await startServer();
    const onPeerGone = vi.fn<() => void>();
    const connection = dial(server.port, { onPeerGone });
    await opened(connection);
    await server.close();
    await vi.waitFor(() => expect(onPeerGone).toHaveBeenCalledTimes(1));
    // Later dials are refused as well, but that is no news.
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(onPeerGone).toHaveBeenCalledTimes(1);
  });

  it('takes a reset of an open link for what it is: requests are lost at once, and the peer is found gone', async () => {
    const server = await startServer({ onRequest: () => undefined });
    const sockets: Socket[] = [];
    const relay = createServer((socket) => {
      const upstream = connect(server.port, '127.0.0.1');
      for (const one of [socket, upstream]) one.on('error', () => undefined);
      socket.pipe(upstream).pipe(socket);
      sockets.push(socket);
    });
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
    const address = relay.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const onPeerGone = vi.fn<() => void>();
    const connection = dial(port, { onPeerGone });
    await opened(connection);
    let answer: StoreResponse | LostResponse | null = null;
    connection.request({ type: 'status' }, 60_000, (response) => {
      answer = response;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    relay.close();
    for (const socket of sockets) socket.resetAndDestroy();
    // Long before its deadline of a minute.
    await vi.waitFor(() => expect(answer).toEqual({ type: 'lost' }));
    await vi.waitFor(() => expect(onPeerGone).toHaveBeenCalledTimes(1));
  });

  const garbage: [string, Buffer][] = [
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['an oversized frame', Buffer.from([0xff, 0xff, 0xff, 0x7f, FRAME.hello, 0, 0, 0, 0])],
    ['a frame above the limit before the proof', frame(FRAME.hello, new Uint8Array(5_000))],
    ['a frame without a header', Buffer.from([1, 0, 0, 0, 1, 0, 0, 0, 0])],
    ['a hello of noise', frame(FRAME.hello, new Uint8Array(100).fill(0xaa))],
    ['a request before the proof', frame(FRAME.request, new Uint8Array(10))],
    ['noise that looks like TLS', Buffer.from([0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5])],
  ];
  it.each(garbage)('closes on %s and goes on serving others', async (_name, bytes) => {
    const onRequest = vi.fn<LinkServerOptions['onRequest']>((_caller, _request, _deadlineMs, respond) =>
      respond({ type: 'registered', clientId: 1 }),
    );
    const server = await startServer({ onRequest });
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.resume();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(bytes);
    await closed;
    expect(onRequest).not.toHaveBeenCalled();
    const connection = dial(server.port);
    await opened(connection);
    expect(await ask(connection, { type: 'register' })).toEqual({ type: 'registered', clientId: 1 });
  });

  it('closes a connection that says nothing, and bounds how many of them there are', async () => {
    const server = await startServer();
    const sockets = Array.from({ length: 80 }, () => connect(server.port, '127.0.0.1'));
    const closed = sockets.map((socket) => {
      socket.on('error', () => undefined);
      socket.resume();
      return new Promise((resolve) => socket.once('close', resolve));
    });
    await vi.waitFor(() => expect(server.counts.unauthenticated).toBeGreaterThan(0));
    expect(server.counts.unauthenticated).toBeLessThanOrEqual(64);
    await Promise.all(closed);
    await vi.waitFor(() => expect(server.counts.unauthenticated).toBe(0));
  });
});
