import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROUTES } from '@quorate/api';
import { connect, headers, type NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DevCluster, natsServer } from './cluster.js';
import { type Json } from '../rest.js';

describe('every way in asks for a token', () => {
  let cluster: DevCluster;
  beforeAll(async () => {
    cluster = await DevCluster.start();
  });
  afterAll(() => cluster.destroy());

  it('REST: each route without a token, and with a wrong one', async () => {
    const open = new Set(['/healthz', '/readyz', '/metrics', '/openapi.json']);
    const guarded = ROUTES.filter((route) => !open.has(route.path));
    expect(guarded.length).toBeGreaterThan(15);
    for (const route of guarded) {
      const path = route.path.replaceAll(/\{[^}]+\}|:[a-z]+|\*/gi, 'x');
      for (const authorization of ['', 'Bearer wrong', 'Basic eDp5']) {
        const answer = await cluster.request(route.method.toUpperCase(), path, {
          headers: { authorization },
        });
        expect([route.method, route.path, answer.status]).toEqual([route.method, route.path, 401]);
      }
    }
  });

  describe.skipIf(natsServer === undefined)(
    `NATS ${natsServer === undefined ? '(skipped: no nats-server found)' : ''}`,
    () => {
      let nats: NatsConnection;
      let subject: (verb: string) => string;
      beforeAll(async () => {
        const { user, password } = JSON.parse(readFileSync(join(cluster.folder, 'nats-client.json'), 'utf8'));
        nats = await connect({ servers: `127.0.0.1:${cluster.natsPort}`, user, pass: password });
        subject = (verb) => `quorate.${cluster.file.clusterId}.v1.${verb}`;
        await cluster.startGateway();
        await cluster.createNamespace('content', 'cached');
      });
      afterAll(() => nats.close());

      const ask = async (verb: string, body: unknown, token: string | null): Promise<Json> => {
        const head = headers();
        if (token !== null) head.set('Authorization', `Bearer ${token}`);
        const reply = await nats.request(subject(verb), JSON.stringify(body), {
          headers: head,
          timeout: 5000,
        });
        return reply.json();
      };

      it('each subject without a token', async () => {
        for (const verb of ['get', 'put', 'check']) {
          expect(await ask(verb, { namespace: 'content', key: 'a' }, null)).toMatchObject({
            code: 'UNAUTHENTICATED',
          });
          expect(await ask(verb, { namespace: 'content', key: 'a' }, 'wrong')).toMatchObject({
            code: 'UNAUTHENTICATED',
          });
        }
      });

      it('1,000 puts through two gateways are 1,000 revisions', async () => {
        const before = (await cluster.request('GET', '/v1/namespaces/access')).headers;
        expect(before).toBeDefined();
        const revisions = new Set<number>();
        for (let at = 0; at < 1000; at += 50) {
          const answers = await Promise.all(
            Array.from({ length: 50 }, (_, i) =>
              ask('put', { namespace: 'content', key: `k${i}`, value: at + i }, cluster.token),
            ),
          );
          for (const answer of answers) revisions.add(answer.revision);
        }
        expect(revisions.size).toBe(1000);
        const sorted = [...revisions].sort((a, b) => a - b);
        expect(sorted.at(-1)! - sorted[0]!).toBe(999);
      });

      it('answers Nest envelopes and raw JSON, and keeps a value named like an envelope', async () => {
        const value = { response: 'kept', err: null, isDisposed: true };
        expect(await ask('put', { namespace: 'content', key: 'odd', value }, cluster.token)).toMatchObject({
          key: 'odd',
        });
        expect((await ask('get', { namespace: 'content', key: 'odd' }, cluster.token)).value).toEqual(value);
        const head = headers();
        head.set('Authorization', `Bearer ${cluster.token}`);
        const envelope = { id: '7', pattern: subject('get'), data: { namespace: 'content', key: 'odd' } };
        const reply = await nats.request(subject('get'), JSON.stringify(envelope), {
          headers: head,
          timeout: 5000,
        });
        expect(reply.json()).toMatchObject({ id: '7', isDisposed: true, response: { value } });
      });
    },
  );
});
