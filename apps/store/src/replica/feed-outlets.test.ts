import { StateMachine, encodeCommand } from '@quorate/kv';
import type { Operation } from '@quorate/kv';
import type { FeedSubscriber } from '@quorate/link';
import { describe, expect, it } from 'vitest';
import { FeedOutlets } from './feed-outlets.js';

class Subscriber implements FeedSubscriber {
  open = true;
  readonly received: Uint8Array[] = [];
  constructor(private readonly takes = true) {}
  push(bytes: Uint8Array): boolean {
    if (this.takes) this.received.push(bytes);
    return this.takes;
  }
}

function setUp(withNats: boolean): { outlets: FeedOutlets; published: Uint8Array[]; write: () => void } {
  const machine = new StateMachine();
  const published: Uint8Array[] = [];
  const outlets = new FeedOutlets(() => machine, {
    key: new Uint8Array(32),
    clusterId: '0123456789abcdef',
    epoch: 1,
    publish: withNats ? (bytes) => published.push(bytes) : null,
  });
  let count = 0;
  const apply = (operation: Operation): void => {
    const command = {
      timeMs: 1,
      registration: null,
      idempotency: null,
      ifTokensRevision: null,
      body: { type: 'operation', operation },
    } as const;
    machine.apply(machine.appliedIndex + 1, encodeCommand(command));
    outlets.look();
  };
  apply({ type: 'createNamespace', namespace: 'content', kind: 'cached' });
  const write = (): void => {
    count += 1;
    apply({
      type: 'put',
      namespace: 'content',
      key: `k${count}`,
      value: new Uint8Array([0x31]),
      condition: { type: 'none' },
      ifNamespaceRevision: null,
    });
  };
  return { outlets, published, write };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

describe('the feed of a member', () => {
  it('goes to NATS only while the member leads, and again from before its election', async () => {
    const { outlets, published, write } = setUp(true);
    write();
    await turn();
    expect(published.length).toBe(0);
    outlets.leading(true);
    await turn();
    expect(published.length).toBe(1);
    write();
    expect(published.length).toBe(2);
    outlets.leading(false);
    write();
    await turn();
    expect(published.length).toBe(2);
    expect(outlets.counts.published).toBe(2);
  });

  it('W7: goes to each open subscriber, leader or not, in the turn of the change: before any answer leaves', async () => {
    const { outlets, published, write } = setUp(false);
    const [first, second] = [new Subscriber(), new Subscriber()];
    outlets.subscribe(first);
    outlets.subscribe(second);
    await turn();
    const before = first.received.length;
    write();
    expect(first.received.length).toBe(before + 1);
    expect(second.received).toEqual(first.received);
    await turn();
    expect(first.received.length).toBe(before + 1);
    second.open = false;
    write();
    await turn();
    expect(outlets.counts.subscribers).toBe(1);
    expect(first.received.length).toBe(before + 2);
    expect(second.received.length).toBe(before + 1);
    expect(published).toEqual([]);
  });

  it('counts what a slow subscriber did not take', async () => {
    const { outlets, write } = setUp(false);
    outlets.subscribe(new Subscriber(false));
    write();
    await turn();
    expect(outlets.counts.dropped).toBeGreaterThan(0);
    outlets.stop();
    write();
    const { dropped } = outlets.counts;
    await turn();
    expect(outlets.counts.dropped).toBe(dropped);
  });
});
