import { type Server, type Socket, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../../rest.js';
import type { LinkFault, Fault } from '../fault.js';
import { Links } from './links.js';
import { ProxiedLink } from './proxied-link.js';

const HOST = '127.0.0.1';
/** Long enough that whatever could arrive would have arrived. */
const QUIET_MS = 80;

describe('a link through a proxy', () => {
  let server: Server;
  let accepted: Socket[];
  let heard: string;
  let links: Links;
  let link: ProxiedLink;
  const open: Socket[] = [];

  beforeEach(async () => {
    accepted = [];
    heard = '';
    server = createServer((socket) => {
      accepted.push(socket);
      socket.on('error', () => undefined);
      socket.on('data', (bytes) => {
        heard += bytes.toString();
        socket.write(bytes);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
    links = new Links(() => link.changed());
    link = new ProxiedLink({
      host: HOST,
      target: { host: HOST, port: portOf(server) },
      conditions: () => ({
        forward: links.condition('store1', 'store2'),
        back: links.condition('store2', 'store1'),
      }),
      random: () => 0.5,
    });
    await link.open();
  });
  afterEach(async () => {
    link.close();
    for (const socket of [...open.splice(0), ...accepted]) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });

  /** A connection with what it heard, and how it ended. */
  class Client {
    text = '';
    end: string | null = null;
    readonly socket = connect(link.port, HOST);
    constructor() {
      open.push(this.socket);
      this.socket.on('data', (bytes) => (this.text += bytes.toString()));
      this.socket.on('error', (error: NodeJS.ErrnoException) => (this.end = error.code ?? 'error'));
      this.socket.on('close', () => (this.end ??= 'closed'));
    }
    async says(text: string): Promise<void> {
      this.socket.write(text);
      await until(`${text} came back`, () => this.text.includes(text));
    }
  }

  function fault(kind: 'cut' | 'cutOneWay', from: 'store1' | 'store2' = 'store1'): LinkFault {
    return { kind, from: [from], to: [from === 'store1' ? 'store2' : 'store1'] };
  }

  it('is silent while it is cut and closes nothing; what was said meanwhile arrives once, in order, when it is whole', async () => {
    const client = new Client();
    await client.says('before ');
    const end = await links.begin(fault('cut'));
    client.socket.write('during-1 ');
    accepted[0]?.write('from-there ');
    await sleep(QUIET_MS);
    client.socket.write('during-2 ');
    await sleep(QUIET_MS);
    expect([heard, client.text, client.end]).toEqual(['before ', 'before ', null]);
    await end();
    await until('both directions are heard', () => client.text.endsWith('during-2 '));
    expect(heard).toBe('before during-1 during-2 ');
    expect(client.text).toBe('before from-there during-1 during-2 ');
  });

  it('cut one way, goes on the other way', async () => {
    const client = new Client();
    await client.says('before ');
    const end = await links.begin(fault('cutOneWay'));
    client.socket.write('lost ');
    accepted[0]?.write('heard ');
    await until('the other way is open', () => client.text === 'before heard ');
    await sleep(QUIET_MS);
    expect(heard).toBe('before ');
    await end();
    await until('it arrives', () => heard === 'before lost ');
  });

  it('accepts a new connection through a cut of either direction, and lets it hear nothing', async () => {
    for (const from of ['store1', 'store2'] as const) {
      const end = await links.begin(fault('cutOneWay', from));
      const before = accepted.length;
      const client = new Client();
      client.socket.write(`hello-${from} `);
      await sleep(QUIET_MS);
      expect([accepted.length, client.text, client.end]).toEqual([before, '', null]);
      await end();
      await until('it is heard', () => client.text === `hello-${from} `);
    }
  });

  it('keeps the end of a connection to itself while it is cut', async () => {
    const [ending, breaking] = [new Client(), new Client()];
    await ending.says('one ');
    await breaking.says('two ');
    const closed: string[] = [];
    for (const socket of accepted) socket.on('close', () => closed.push('closed'));
    const end = await links.begin(fault('cut'));
    ending.socket.end();
    breaking.socket.resetAndDestroy();
    await sleep(QUIET_MS);
    expect(closed).toEqual([]);
    await end();
    await until('both have ended', () => closed.length === 2);
  });

  it('tells a reset as a reset, and an end as an end', async () => {
    const [one, other] = [new Client(), new Client()];
    await one.says('one ');
    await other.says('two ');
    accepted[0]?.resetAndDestroy();
    accepted[1]?.end();
    await until('both have ended', () => one.end !== null && other.end !== null);
    expect([one.end, other.end].toSorted()).toEqual(['ECONNRESET', 'closed']);
  });

  it('refuses while nobody is there, stays silent about that through a cut, and listens again on its port', async () => {
    link.setTargetGone(true);
    const refused = new Client();
    await until('it is refused', () => refused.end === 'ECONNREFUSED');
    const end = await links.begin(fault('cut'));
    await until('it listens', async () => (await outcome()) === 'connected');
    await end();
    expect(await outcome()).toBe('ECONNREFUSED');
    link.setTargetGone(false);
    await until('it listens again', async () => (await outcome()) === 'connected');
    await new Client().says('back ');
  });

  function outcome(): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect(link.port, HOST, () => {
        socket.destroy();
        resolve('connected');
      });
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    });
  }

  it('delays both directions, in order, and goes on at once when that has ended', async () => {
    const client = new Client();
    await client.says('quick ');
    const pair = { from: ['store1'], to: ['store2'] } as const;
    const late: Fault = { kind: 'delay', ...pair, ms: 100, jitterMs: 0 };
    const end = await links.begin(late);
    const beganMs = performance.now();
    await client.says('late ');
    expect(performance.now() - beganMs).toBeGreaterThan(190);
    await end();
    const againMs = performance.now();
    await client.says('quick-again ');
    expect(performance.now() - againMs).toBeLessThan(100);
    expect(heard).toBe('quick late quick-again ');
  });

  it('is as slow as it is told, piece by piece, and loses nothing', async () => {
    const client = new Client();
    await client.says('x');
    const pair = { from: ['store1'], to: ['store2'] } as const;
    const end = await links.begin({ kind: 'slowLink', ...pair, bytesPerSecond: 100_000 });
    const beganMs = performance.now();
    const text = 'y'.repeat(30_000);
    client.socket.write(text);
    await sleep(100);
    // Not all at once, and not nothing.
    expect(heard.length).toBeGreaterThan(1_000);
    expect(heard.length).toBeLessThan(25_000);
    await until('all has come back', () => client.text.length === text.length + 1);
    expect(performance.now() - beganMs).toBeGreaterThan(250);
    await end();
    expect(heard).toBe(`x${text}`);
  });
});

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
