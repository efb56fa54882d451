import type { Operation } from '@quorate/kv';
import { ADMIN_TOKEN } from '../test-gateway.testing.js';
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryBackend } from '../memory-backend.testing.js';
import type { Store } from '../store/store.js';
import { ConsistencyMonitor } from './consistency-monitor.js';
import { ManualClock } from './manual-clock.testing.js';

let backend: MemoryBackend;
let clock: ManualClock;
let monitor: ConsistencyMonitor;
let store: Store;
beforeEach(() => {
  backend = new MemoryBackend();
  clock = new ManualClock();
  monitor = new ConsistencyMonitor(backend.view, clock);
  store = monitor.observed(backend.store);
});

function put(namespace: string): Operation {
  const condition = { type: 'none' } as const;
  return { type: 'put', namespace, key: 'k', value: Buffer.from('1'), condition, ifNamespaceRevision: null };
}

describe('what a gateway measures of its writes', () => {
  it('begins when they are sent and ends when the view shows them', async () => {
    const seconds: [number, number][] = [];
    monitor.onVisible((...spans) => seconds.push(spans));
    const writing = store.write(ADMIN_TOKEN, put('content'), null);
    await clock.pass(3);
    await writing;
    await clock.pass(40);
    backend.sync();
    expect(seconds).toEqual([[0.04, 0.043]]);
    expect(monitor.audit.report()).toMatchObject({ samplesUnderWay: 1 });
    monitor.stop();
    expect(clock.timers).toBe(0);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['to a strict namespace', () => store.write(ADMIN_TOKEN, put('limits'), null)],
    [
      'of a namespace',
      () => store.write(ADMIN_TOKEN, { type: 'deleteNamespace', namespace: 'content' }, null),
    ],
    [
      'that failed',
      () => {
        backend.storeFailure = 'OUTCOME_UNKNOWN';
        return store.write(ADMIN_TOKEN, put('content'), null).catch(() => undefined);
      },
    ],
    [
      'to a view that has not synced',
      () => {
        backend.held = { type: 'refused', code: 'CACHE_NOT_READY' };
        return store.write(ADMIN_TOKEN, put('content'), null);
      },
    ],
  ])('leaves out a write %s', async (_name, act) => {
    await act();
    expect(monitor.visibility.report(0)).toMatchObject({ waiting: 0, sinceSent: { count: 0 } });
    expect(monitor.audit.report()).toMatchObject({ samplesUnderWay: 0, skipped: 0 });
  });

  it('leaves out the answer to an earlier request with the same Idempotency-Key', async () => {
    const written = await store.write(ADMIN_TOKEN, put('content'), 'key-1');
    backend.sync();
    const again = monitor.observed({ ...backend.store, write: async () => written });
    await again.write(ADMIN_TOKEN, put('content'), 'key-1');
    expect(monitor.visibility.report(0)).toMatchObject({ waiting: 0, sinceSent: { count: 1 } });
  });

  it('looks a cached namespace up once: a name keeps its kind', async () => {
    await store.write(ADMIN_TOKEN, put('content'), null);
    backend.held = { type: 'strict' };
    await store.write(ADMIN_TOKEN, put('content'), null);
    expect(monitor.visibility.report(0).waiting).toBe(2);
  });
});
