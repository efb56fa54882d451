import type { Workload } from '../workload.js';
import { UniqueNames } from './naming.js';

const HOT = ['hot-1', 'hot-2', 'hot-3'];
const COLD = Array.from({ length: 300 }, (_, number) => `cold-${number + 1}`);
const HOT_SHARE = 0.6;
const [READ_SHARE, DELETE_SHARE] = [0.5, 0.05];

/** Values that nobody else writes, over a few keys that all want and many that few want. The linearizability checkers judge it. */
export function register(run: string): Workload {
  const namespace = `chaos-register-${run}`;
  const names = new UniqueNames('register');
  return {
    name: 'register',
    clients: 6,
    async prepare(client) {
      await client.insist('a namespace', () => client.createNamespace(namespace, 'strict'));
    },
    async step(client, number) {
      const key = client.pick(client.random() < HOT_SHARE ? HOT : COLD);
      const act = client.random();
      if (act < READ_SHARE) await client.get(namespace, key, 'strict');
      else if (act < READ_SHARE + DELETE_SHARE) await client.delete(namespace, key);
      else await client.put(namespace, key, names.next(number));
    },
    async finish(client) {
      for (const key of [...HOT, ...COLD]) {
        await client.attempt(() => client.get(namespace, key, 'strict', { action: 'final get' }));
      }
    },
    judge: () => [],
  };
}
