import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DevCluster } from './cluster.js';
import { until } from '../rest.js';
import { Writer, liesOf } from '../writer.js';

/** How often all members are killed at once. The nightly run has more. */
const ROUNDS = Number(process.env['KILL_ROUNDS'] ?? 10);

describe('kill -9 of members under writes', () => {
  let cluster: DevCluster;
  beforeAll(async () => {
    cluster = await DevCluster.start();
    await cluster.createNamespace('limits', 'strict');
  });
  afterAll(() => cluster.destroy());

  it('the leader: writes go on, it catches up, and every member holds every acknowledged write', async () => {
    const writer = new Writer(cluster, 'limits', { prefix: 'leader' }).start();
    await until('writes flow', () => writer.acknowledged.length > 50);
    const killed = await cluster.leader();
    await cluster.kill(killed);
    const before = writer.acknowledged.length;
    await until('writes go on without it', () => writer.acknowledged.length > before + 50);
    const leader = await cluster.leader();
    expect(leader).not.toBe(killed);
    cluster.startMember(killed);
    await sleep(500);
    const records = await writer.stop();
    await cluster.converge();
    expect(await liesOf(cluster, 'limits', records)).toEqual([]);
  });

  it('all three at once, again and again: nothing acknowledged is lost, nothing is invented', async () => {
    const writer = new Writer(cluster, 'limits', { prefix: 'all' }).start();
    for (let round = 0; round < ROUNDS; round++) {
      const before = writer.acknowledged.length;
      await until(`writes flow in round ${round}`, () => writer.acknowledged.length > before + 10, 30_000);
      await Promise.all([1, 2, 3].map((id) => cluster.kill(id)));
      for (const id of [1, 2, 3]) cluster.startMember(id);
    }
    const before = writer.acknowledged.length;
    await until('writes flow at the end', () => writer.acknowledged.length > before, 30_000);
    const records = await writer.stop();
    await cluster.converge();
    expect(records.filter((record) => record.outcome === 'acknowledged').length).toBeGreaterThan(10 * ROUNDS);
    expect(await liesOf(cluster, 'limits', records)).toEqual([]);
  }, 400_000);
});
