import type { Operation, Violation } from '../operation.js';
import type { Workload } from '../workload.js';
import { UniqueNames, groupedBy, violated } from './naming.js';

const KEYS = ['one', 'two'];

/** Increments by compare-and-set: none that was acknowledged is lost, and none counts twice. */
export function counter(run: string): Workload {
  const namespace = `chaos-counter-${run}`;
  const names = new UniqueNames('counter');
  return {
    name: 'counter',
    clients: 4,
    async prepare(client) {
      await client.insist('a namespace', () => client.createNamespace(namespace, 'strict'));
    },
    async step(client, number) {
      const key = client.pick(KEYS);
      const read = await client.get(namespace, key, 'strict');
      if (read.outcome !== 'done') return;
      const value = { count: countOf(read.value) + 1, by: names.next(number) };
      await client.put(namespace, key, value, { over: read.revision });
    },
    async finish(client) {
      for (const key of KEYS) {
        await client.attempt(() => client.get(namespace, key, 'strict', { action: 'final get' }));
      }
    },
    judge(history) {
      const byKey = groupedBy(history, ({ key }) => key);
      return KEYS.flatMap((key) => judgeKey(key, byKey.get(key) ?? []));
    },
  };
}

function judgeKey(key: string, history: readonly Operation[]): readonly Violation[] {
  const increments = history.filter(({ action }) => action === 'compareAndSet');
  const done = increments.filter(({ outcome }) => outcome === 'done');
  const unknown = increments.filter(({ outcome }) => outcome === 'unknown').length;
  const final = history.findLast(({ action, outcome }) => action === 'final get' && outcome === 'done');
  if (final === undefined)
    return [violated('availability', `counter ${key} could not be read in the end`, [])];
  const found: Violation[] = [];
  const byCount = new Map<number, Operation>();
  for (const increment of done) {
    const count = countOf(increment.written);
    const other = byCount.get(count);
    byCount.set(count, increment);
    if (other !== undefined)
      found.push(violated('exactly once', `two increments of ${key} made it ${count}`, [other, increment]));
  }
  const count = countOf(final.value);
  if (count < done.length || count > done.length + unknown) {
    const because = `counter ${key} is ${count} after ${done.length} acknowledged increments and ${unknown} of unknown outcome`;
    found.push(violated('exactly once', because, [final]));
  }
  return found;
}

/** 0 of an entry that is not there. */
function countOf(value: unknown): number {
  if (value === null) return 0;
  return typeof value === 'object' && value !== undefined && 'count' in value ? Number(value.count) : NaN;
}
