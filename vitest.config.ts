import { defineConfig } from 'vitest/config';

const simulations = [
  ...['cluster', 'graphs', 'scenarios'].map((name) => `apps/simulator/src/${name}.test.ts`),
  'test/mutations/mutations.test.ts',
];
// Every state, crash point or damage within bounds: seconds of a core each.
const exhaustive = [
  'libs/raft/src/small-scope.test.ts',
  'libs/wal/src/crash-points.test.ts',
  'libs/wal/src/damage.test.ts',
  'libs/linearizability/src/differential.test.ts',
];
const conditions = ['source', 'node', 'import', 'default'];

// Workspace packages resolve to their sources (condition `source`): unit tests and simulations need no build.
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: [
            'libs/*/src/**/*.test.ts',
            'apps/*/src/**/*.test.ts',
            'test/{,loader/,mutations/}*.test.ts',
            'test/chaos/**/*.test.ts',
          ],
          exclude: [...simulations, ...exhaustive, 'apps/cli/src/dev.test.ts'],
        },
      },
      {
        extends: true,
        test: { name: 'exhaustive', include: exhaustive, testTimeout: 120_000 },
      },
      {
        extends: true,
        test: {
          name: 'simulation',
          include: simulations,
          testTimeout: 600_000,
        },
      },
      {
        // Real processes, one file at a time: they share two cores and fixed kinds of ports.
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/*.test.ts', 'apps/cli/src/dev.test.ts'],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
