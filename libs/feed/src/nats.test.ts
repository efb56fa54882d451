import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { connectFeed, feedSubject } from './nats.js';
import type { FeedConnection } from './nats.js';

const SERVER = ['/usr/sbin/nats-server', '/usr/local/bin/nats-server', '/usr/bin/nats-server'].find(
  existsSync,
);
const CLUSTER = '00000000000000aa';
const processes: ChildProcess[] = [];
const connections: FeedConnection[] = [];

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function startServer(port: number): ChildProcess {
  const args = ['-a', '127.0.0.1', '-p', String(port), '--user', 'feed', '--pass', 'secret'];
  const server = spawn(SERVER ?? '', args, { stdio: 'ignore' });
  processes.push(server);
  return server;
}

async function stopServer(server: ChildProcess): Promise<void> {
  const exited = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGKILL');
  await exited;
}

function open(port: number, pass = 'secret'): FeedConnection {
  const servers = [`127.0.0.1:${port}`];
  const feed = connectFeed({ servers, user: 'feed', pass, clusterId: CLUSTER, reconnectMs: 20 });
  connections.push(feed);
  return feed;
}

async function until(condition: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 1000 && !condition(); attempt += 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  expect(condition()).toBe(true);
}

afterEach(async () => {
  await Promise.all(connections.splice(0).map((feed) => feed.close()));
  for (const server of processes.splice(0)) if (server.exitCode === null) server.kill('SIGKILL');
});

test('[F13] the subject holds the cluster id', () => {
  expect(feedSubject(CLUSTER)).toBe('quorate.00000000000000aa.v1.feed');
});

test.skipIf(SERVER === undefined)(
  '[F13] carries bytes; drops and counts while there is no connection',
  async () => {
    const port = await freePort();
    const publisher = open(port);
    const consumer = open(port);
    const received: number[] = [];
    consumer.subscribe((bytes) => received.push(bytes[0] ?? -1));
    publisher.publish(new Uint8Array([1]));
    expect(publisher.counters).toMatchObject({ published: 0, dropped: 1 });
    startServer(port);
    await until(() => publisher.connected && consumer.connected);
    await until(() => {
      publisher.publish(new Uint8Array([2]));
      return received.length > 0;
    });
    expect(new Set(received)).toEqual(new Set([2]));
  },
);

test.skipIf(SERVER === undefined)('[F14] a subscription lives across a restart of the server', async () => {
  const port = await freePort();
  const first = startServer(port);
  const publisher = open(port);
  const consumer = open(port);
  const received: number[] = [];
  const unsubscribe = consumer.subscribe((bytes) => received.push(bytes[0] ?? -1));
  const told: boolean[] = [];
  consumer.onConnectedChange(() => told.push(consumer.connected));
  await until(() => publisher.connected && consumer.connected);
  await stopServer(first);
  await until(() => !publisher.connected && !consumer.connected);
  expect(told).toEqual([true, false]);
  publisher.publish(new Uint8Array([1]));
  startServer(port);
  await until(() => {
    publisher.publish(new Uint8Array([2]));
    return received.length > 0;
  });
  expect(received).not.toContain(1);
  expect(told).toEqual([true, false, true]);
  unsubscribe();
});

test.skipIf(SERVER === undefined)(
  '[F14] neither a throwing handler nor wrong credentials throw',
  async () => {
    const port = await freePort();
    startServer(port);
    const stranger = open(port, 'wrong');
    const publisher = open(port);
    const consumer = open(port);
    consumer.subscribe(() => {
      throw new Error('a bad handler');
    });
    await until(() => publisher.connected && consumer.connected && stranger.counters.errors > 0);
    await until(() => {
      publisher.publish(new Uint8Array([1]));
      return consumer.counters.received > 1;
    });
    expect(stranger.connected).toBe(false);
    expect(consumer.counters.errors).toBeGreaterThanOrEqual(consumer.counters.received);
  },
);
