import { describe, expect, it } from 'vitest';
import { RandomCluster, type Met } from './random-cluster.testing.js';

const RUNS = Number(process.env['RANDOM_CLUSTER_RUNS'] ?? 15);

describe('random clusters', { timeout: 600_000 }, () => {
  it.each([
    [1, {}],
    [2, {}],
    [3, {}],
    [3, { inflightMessagesMax: 2, appendBytesMax: 60, applyBytesMax: 40 }],
    [3, { uncommittedBytesMax: 200, readsWaitingMax: 3 }],
    [5, {}],
  ])(
    '[S1] [S5] [S7] [S8] [T3] [R8] [R9] [F1] [F2] [F3] [F4] [F5] [F6] %i members, limits %j: one history, no stale read, and all is well in the end',
    (count, limits) => {
      const all: Partial<Met> = {};
      for (let seed = 1; seed <= RUNS; seed++) {
        const cluster = new RandomCluster(seed, count, limits);
        try {
          cluster.run(2_500);
        } catch (error) {
          throw new Error(`seed ${seed}`, { cause: error });
        }
        for (const [key, value] of Object.entries(cluster.met))
          all[key as keyof Met] = (all[key as keyof Met] ?? 0) + value;
      }
      const expected = count < 3 ? ['elections', 'applied', 'leaderReads'] : Object.keys(all);
      expect(expected.filter((key) => (all[key as keyof Met] ?? 0) < 3)).toEqual([]);
    },
  );
});
