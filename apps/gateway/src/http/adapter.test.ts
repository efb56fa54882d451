import { type AddressInfo, connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createHttpAdapter } from './adapter.js';

describe('the HTTP server', () => {
  it('goes on answering on the connections that it has while it closes, and says nothing outside of the catalogue', async () => {
    const server = createHttpAdapter().getInstance();
    let release = (): void => undefined;
    let begin = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const begun = new Promise<void>((resolve) => (begin = resolve));
    server.get('/slow', async () => {
      begin();
      await released;
      return 'slow';
    });
    server.get('/quick', async () => 'quick');
    await server.listen({ host: '127.0.0.1', port: 0 });
    const { port } = server.server.address() as AddressInfo;
    const socket = connect({ host: '127.0.0.1', port });
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const ended = new Promise((resolve) => socket.once('close', resolve));
    socket.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
    await begun;
    const closed = server.close();
    await new Promise((resolve) => setImmediate(resolve));
    socket.write('GET /quick HTTP/1.1\r\nHost: a\r\n\r\n');
    await new Promise((resolve) => setTimeout(resolve, 50));
    release();
    await Promise.all([closed, ended]);
    expect(text.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200']);
    expect(text).toMatch(/connection: close/i);
    expect(text).toContain('quick');
  });
});
