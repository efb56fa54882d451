import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until, type Answer } from '../rest.js';
import { Writer, liesOf } from '../writer.js';
import { ComposeCluster } from './compose.js';

const CHECK = {
  principal: { type: 'User', id: 'ann' },
  action: 'read',
  resource: { type: 'Document', id: 'plan' },
  context: {},
};
const STORES = ['store1', 'store2', 'store3'];

describe('the shipped docker-compose.yml under partitions', () => {
  const cluster = new ComposeCluster();
  beforeAll(async () => {
    await cluster.up();
    for (const [name, kind] of [
      ['limits', 'strict'],
      ['content', 'cached'],
    ]) {
      const { status } = await cluster.request('PUT', `/v1/namespaces/${name}`, { body: { kind } });
      if (status !== 201) throw new Error(`namespace ${name}: ${status}`);
    }
    await cluster.request('PUT', '/v1/namespaces/content/entries/page', { body: 'before' });
    // `strict` writes and reads it side by side: the read may come first.
    await cluster.request('PUT', '/v1/namespaces/limits/entries/probe', { body: 0 });
  }, 400_000);
  afterAll(() => cluster.down(), 60_000);

  const strict = (url: string): Promise<Answer[]> =>
    Promise.all([
      cluster.request('PUT', '/v1/namespaces/limits/entries/probe', { body: 1, url }),
      cluster.request('GET', '/v1/namespaces/limits/entries/probe', { url }),
      cluster.request('POST', '/v1/access/check', { body: CHECK, url }),
    ]);

  it('comes up healthy', async () => {
    await cluster.healthy();
    expect(await cluster.converge()).toMatch(/^[0-9a-f]{32}$/);
  });

  it('a leader cut off from the others: strict requests go on elsewhere, nothing acknowledged is lost', async () => {
    const writer = new Writer(cluster, 'limits', { clients: 4, prefix: 'cut' }).start();
    await until('writes flow', () => writer.acknowledged.length > 50);
    const old = await cluster.leader();
    const service = `store${old}`;
    cluster.cut(
      service,
      STORES.filter((name) => name !== service),
    );
    try {
      await until('another member leads', async () => (await cluster.leader()) !== old, 30_000);
      const before = writer.acknowledged.length;
      await until('writes go on', () => writer.acknowledged.length > before + 50, 30_000);
      for (const answer of await strict(cluster.gateway1)) expect(answer.status).toBeLessThan(300);
    } finally {
      cluster.heal(service);
    }
    await sleep(1000);
    const records = await writer.stop();
    await cluster.converge();
    expect(await liesOf(cluster, 'limits', records)).toEqual([]);
  });

  it('a gateway cut off from all stores refuses what is strict and keeps answering content, with its age', async () => {
    const url = cluster.gateway2;
    const page = (): Promise<Answer> =>
      cluster.request('GET', '/v1/namespaces/content/entries/page', { url });
    await until('the second gateway holds the page', async () => (await page()).status === 200);
    cluster.cut('gateway2', STORES);
    try {
      await sleep(3000);
      const ages: number[] = [];
      for (let round = 0; round < 4; round++) {
        for (const answer of await strict(url)) {
          expect(answer.status).toBe(503);
          expect(answer.body.effect).toBe('none');
        }
        const answer = await page();
        expect(answer.status).toBe(200);
        expect(answer.headers.get('staleness')).toContain('quorum=?0');
        ages.push(Number(/ms=(\d+)/.exec(answer.headers.get('staleness') ?? '')?.[1]));
        await sleep(500);
      }
      expect(ages[0]).toBeGreaterThan(2000);
      for (let i = 1; i < ages.length; i++) expect(ages[i]! - ages[i - 1]!).toBeGreaterThanOrEqual(450);
      // The other gateway does not notice.
      const written = await cluster.request('PUT', '/v1/namespaces/content/entries/page', { body: 'during' });
      expect(written.status).toBe(200);
    } finally {
      cluster.heal('gateway2');
    }
    await until(
      'it serves strict requests again',
      async () => {
        const answers = await strict(url);
        return answers.every((answer) => answer.status < 300);
      },
      30_000,
    );
    await until('its content is fresh', async () => {
      const answer = await page();
      return answer.body.value === 'during' && (answer.headers.get('staleness') ?? '').includes('quorum=?1');
    });
  });
});
