import { ROUTES, type Route } from '@quorate/api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_TOKEN, startTestGateway, type TestGateway } from './test-gateway.testing.js';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway();
});
afterAll(async () => {
  await gateway.close();
});

function examplePath(path: string): string {
  return path
    .replace('{ns}', 'content')
    .replace('{key}', 'home/banner')
    .replace('{id}', 'p1')
    .replace('{type}', 'User');
}

function nameAndRequest(route: Route): [string, { method: Route['method']; url: string }] {
  return [`${route.method} ${route.path}`, { method: route.method, url: examplePath(route.path) }];
}

describe('every route of the API description', () => {
  it.each(ROUTES.map(nameAndRequest))('%s exists', async (_name, request) => {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
    const response = await gateway.app.inject({ ...request, headers });
    expect(response.body).not.toContain('"code":"ROUTE_NOT_FOUND"');
    expect(response.headers['cache-control']).toBe('no-store');
    expect(response.statusCode).toBeLessThan(500);
  });

  const guarded = ROUTES.filter(({ need }) => need !== null);
  it.each(guarded.map(nameAndRequest))(
    '%s is 401 without a token and with a wrong one',
    async (_name, request) => {
      for (const headers of [
        {},
        { authorization: 'Bearer wrong' },
        { authorization: 'Basic YWRtaW46YWRtaW4=' },
      ]) {
        const response = await gateway.app.inject({ ...request, headers });
        expect(response.statusCode).toBe(401);
        expect(response.headers).toMatchObject({ 'cache-control': 'no-store', 'www-authenticate': 'Bearer' });
        expect(response.headers['content-type']).toContain('application/problem+json');
        expect(request.method === 'HEAD' ? 'UNAUTHENTICATED' : response.json().code).toBe('UNAUTHENTICATED');
      }
    },
  );

  it.each(guarded.map(nameAndRequest))(
    '%s gives nothing for a token that has the right form and that nobody knows',
    async (_name, request) => {
      gateway.backend.lastOperations.length = 0;
      const headers = { authorization: `Bearer quorate_${'a'.repeat(43)}` };
      const response = await gateway.app.inject({ ...request, headers });
      // What changes something is malformed here before anybody looks who asks for it.
      const isRead = request.method === 'GET' || request.method === 'HEAD';
      expect(isRead ? [401] : [400, 401]).toContain(response.statusCode);
      expect(gateway.backend.lastOperations).toEqual([]);
    },
  );

  const open = ROUTES.filter(({ need }) => need === null);
  it.each(open.map(nameAndRequest))('%s needs no token', async (_name, request) => {
    expect((await gateway.app.inject(request)).statusCode).toBe(200);
  });

  it('is described at /openapi.json', async () => {
    const document = (await gateway.app.inject('/openapi.json')).json();
    for (const route of ROUTES) {
      expect(document.paths[route.path]?.[route.method.toLowerCase()]).toBeDefined();
    }
  });
});

describe('what is no route', () => {
  it.each([
    ['GET', '/'],
    ['GET', '/v1'],
    ['POST', '/v1/namespaces/content'],
    ['GET', '/v2/namespaces'],
    ['PATCH', '/v1/namespaces/content/entries/a'],
  ] as const)('%s %s is ROUTE_NOT_FOUND', async (method, url) => {
    const response = await gateway.app.inject({ method, url });
    expect(response.statusCode).toBe(404);
    expect(response.json().code).toBe('ROUTE_NOT_FOUND');
  });
});
