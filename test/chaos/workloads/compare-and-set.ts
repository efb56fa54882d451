import type { Workload } from '../workload.js';
import { UniqueNames, violated } from './naming.js';

const KEYS = ['a', 'b', 'c', 'd'];
/** A comparison with what was seen some steps ago: mostly refused, and surely so. */
const STALE_SHARE = 0.15;
const DELETE_SHARE = 0.1;

/** Writes over exactly what was seen. The checkers know what each replaced; judged here is that what held was not refused. */
export function compareAndSet(run: string): Workload {
  const namespace = `chaos-compare-and-set-${run}`;
  const names = new UniqueNames('compare-and-set');
  /** By client and key: what it saw last. */
  const seen = new Map<string, number | null>();
  return {
    name: 'compare-and-set',
    clients: 5,
    async prepare(client) {
      await client.insist('a namespace', () => client.createNamespace(namespace, 'strict'));
    },
    async step(client, number) {
      const key = client.pick(KEYS);
      const place = `${number} ${key}`;
      const remembered = seen.get(place);
      let over = remembered;
      if (remembered === undefined || client.random() >= STALE_SHARE) {
        const read = await client.get(namespace, key, 'strict');
        if (read.outcome !== 'done') return;
        over = read.revision;
        seen.set(place, over);
      }
      const isDeletion = typeof over === 'number' && client.random() < DELETE_SHARE;
      if (isDeletion) await client.delete(namespace, key, { over });
      else await client.put(namespace, key, names.next(number), { over: over ?? null });
    },
    async finish(client) {
      for (const key of KEYS) {
        await client.attempt(() => client.get(namespace, key, 'strict', { action: 'final get' }));
      }
    },
    judge: (history) =>
      history
        .filter(
          ({ code, head, revision, expected }) =>
            code === 'PRECONDITION_FAILED' && head !== null && revision === expected,
        )
        .map((operation) =>
          violated('compare and set', 'a condition was refused although it held', [operation]),
        ),
  };
}
