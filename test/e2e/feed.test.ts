import { readFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DevCluster, isAlive, natsServer } from './cluster.js';
import { until } from '../rest.js';
import { Writer } from '../writer.js';

const skipReason = natsServer === undefined ? 'no nats-server found' : '';

describe.skipIf(natsServer === undefined)(`the feed over NATS is never trusted ${skipReason}`, () => {
  let cluster: DevCluster;
  let second: string;
  beforeAll(async () => {
    cluster = await DevCluster.start();
    await cluster.createNamespace('content', 'cached');
    second = await cluster.startGateway();
  });
  afterAll(() => cluster.destroy());

  /** Every entry of the namespace, eventually, through each gateway's cache, as the store has it. */
  async function cachesEqualStore(keys: readonly string[]): Promise<void> {
    for (const url of [cluster.url, second]) {
      for (const key of keys) {
        const path = `/v1/namespaces/content/entries/${key}`;
        const truth = await cluster.request('GET', path, { headers: { 'read-consistency': 'linearizable' } });
        await until(`${url} shows ${key} as the store has it`, async () => {
          const answer = await cluster.request('GET', path, { url });
          return answer.status === truth.status && answer.body.revision === truth.body.revision;
        });
      }
    }
  }

  it('forged and repeated messages change nothing; the caches follow the store', async () => {
    const path = '/v1/namespaces/content/entries/target';
    await cluster.request('PUT', path, { body: 'true value' });
    await cachesEqualStore(['target']);
    const password = readFileSync(join(cluster.folder, 'secrets/member/nats.password'), 'utf8').trim();
    const connection = await connect({
      servers: `127.0.0.1:${cluster.natsPort}`,
      user: 'member',
      pass: password,
    });
    const subject = `quorate.${cluster.file.clusterId}.v1.feed`;
    const seen: Uint8Array[] = [];
    const subscription = connection.subscribe(subject, {
      callback: (_, message) => void seen.push(message.data),
    });
    for (let i = 0; i < 5; i++) await cluster.request('PUT', path, { body: `value ${i}` });
    await until('messages were published', () => seen.length >= 1);
    subscription.unsubscribe();
    for (const message of seen) {
      connection.publish(subject, message); // doubled
      const forged = Uint8Array.from(message);
      forged[forged.length - 40]! ^= 1;
      connection.publish(subject, forged);
      connection.publish(subject, message.slice(0, 20));
    }
    connection.publish(subject, new TextEncoder().encode('not a feed message'));
    await connection.flush();
    await connection.close();
    await cachesEqualStore(['target']);
    const metrics = await cluster.request('GET', '/metrics', { url: second });
    expect(metrics.body).toMatch(/refused[^\n]*[1-9]/i);
  });

  it('a NATS server that is killed and started again under writes leaves no cache behind', async () => {
    const writer = new Writer(cluster, 'content', { clients: 2, prefix: 'n' }).start();
    await until('writes flow', () => writer.acknowledged.length > 20);
    const pid = cluster.natsPid();
    process.kill(pid, 'SIGKILL');
    await until('NATS is gone', () => !isAlive(pid));
    await sleep(1000);
    const during = writer.acknowledged.length;
    await until('writes go on without NATS', () => writer.acknowledged.length > during + 20);
    const restarted = spawn(natsServer ?? '', ['-c', cluster.natsConfig], { stdio: 'ignore' });
    try {
      const after = writer.acknowledged.length;
      await until('writes go on with NATS', () => writer.acknowledged.length > after + 20);
      const records = await writer.stop();
      const keys = records.map((record) => record.key);
      await cachesEqualStore([
        ...keys.slice(0, 10),
        ...keys.slice(during - 5, during + 10),
        ...keys.slice(-10),
      ]);
    } finally {
      await writer.stop();
      restarted.kill('SIGKILL');
    }
  });
});
