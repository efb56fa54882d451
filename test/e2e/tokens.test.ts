import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DevCluster } from './cluster.js';
import type { Answer, RequestOptions } from '../rest.js';

describe('access tokens of a real cluster', () => {
  let cluster: DevCluster;
  let second: string;
  beforeAll(async () => {
    cluster = await DevCluster.start();
    await cluster.createNamespace('content', 'cached');
    await cluster.createNamespace('limits', 'strict');
    second = await cluster.startGateway();
  });
  afterAll(() => cluster.destroy());

  const as = (token: string, method: string, path: string, options: RequestOptions = {}): Promise<Answer> =>
    cluster.request(method, path, {
      ...options,
      headers: { authorization: `Bearer ${token}`, ...options.headers },
    });
  const entry = (namespace: string): string => `/v1/namespaces/${namespace}/entries/a`;

  it('do what their scopes name through every gateway, and nothing from the revocation on', async () => {
    const scopes = ['entries:read', 'entries:write@limits', 'cluster:read'];
    const body = { name: 'the site', principal: 'ada', scopes };
    const made = await cluster.request('POST', '/v1/access/tokens', { body });
    expect(made.status).toBe(201);
    const { token, id } = made.body;
    await cluster.request('PUT', entry('content'), { body: 1 });
    expect((await as(token, 'PUT', entry('limits'), { body: 1 })).status).toBe(201);
    for (const url of [cluster.url, second]) {
      expect((await as(token, 'PUT', entry('limits'), { body: 2, url })).status).toBe(200);
      expect((await as(token, 'PUT', entry('content'), { body: 2, url })).body.code).toBe('FORBIDDEN');
      expect((await as(token, 'GET', '/v1/access/tokens', { url })).body.code).toBe('FORBIDDEN');
      for (const level of ['eventual', 'linearizable', 'bounded;ms=500']) {
        const headers = { 'read-consistency': level };
        expect((await as(token, 'GET', entry('content'), { url, headers })).status).toBe(200);
      }
      expect((await as(token, 'GET', '/v1/cluster', { url })).status).toBe(200);
    }
    const readers = (list: readonly string[] | null): Promise<Answer> =>
      cluster.request('PUT', '/v1/namespaces/content/readers', { body: { readers: list } });
    expect((await readers(['bob'])).status).toBe(200);
    for (const url of [cluster.url, second]) {
      expect((await as(token, 'GET', entry('content'), { url })).body.code).toBe('FORBIDDEN');
      expect((await as(token, 'GET', entry('limits'), { url })).status).toBe(200);
    }
    expect((await readers(['bob', 'ada'])).status).toBe(200);
    expect((await as(token, 'GET', entry('content'), { url: second })).status).toBe(200);
    expect((await cluster.request('DELETE', `/v1/access/tokens/${id}`, { url: second })).status).toBe(200);
    for (const url of [cluster.url, second]) {
      for (const namespace of ['content', 'limits']) {
        expect((await as(token, 'GET', entry(namespace), { url })).status).toBe(401);
        expect((await as(token, 'PUT', entry(namespace), { url, body: 3 })).status).toBe(401);
      }
      expect((await as(token, 'GET', '/v1/cluster', { url })).status).toBe(401);
    }
  });

  it('stay when members lose their leader, and one that was revoked stays gone', async () => {
    const body = { name: 'two', principal: 'bob', scopes: ['*'] };
    const kept = (await cluster.request('POST', '/v1/access/tokens', { body })).body;
    const gone = (await cluster.request('POST', '/v1/access/tokens', { body })).body;
    await cluster.request('DELETE', `/v1/access/tokens/${gone.id}`);
    const leader = await cluster.leader();
    await cluster.kill(leader);
    await cluster.leader();
    expect((await as(kept.token, 'PUT', entry('limits'), { body: 4 })).status).toBe(200);
    expect((await as(gone.token, 'PUT', entry('limits'), { body: 5 })).status).toBe(401);
    cluster.startMember(leader);
  });
});
