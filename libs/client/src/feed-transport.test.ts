import { describe, expect, it } from 'vitest';
import { type FeedTransport, followFeed } from './feed-transport.js';

class Source implements FeedTransport {
  connected: boolean;
  closed = false;
  #listener: () => void = () => undefined;
  #onBytes: ((bytes: Uint8Array) => void) | null = null;

  constructor(connected: boolean) {
    this.connected = connected;
  }
  subscribe(onBytes: (bytes: Uint8Array) => void): () => void {
    this.#onBytes = onBytes;
    return () => {
      this.#onBytes = null;
    };
  }
  onConnectedChange(listener: () => void): void {
    this.#listener = listener;
  }
  async close(): Promise<void> {
    this.closed = true;
    this.turn(false);
  }
  turn(connected: boolean): void {
    this.connected = connected;
    this.#listener();
  }
  bring(byte: number): void {
    this.#onBytes?.(new Uint8Array([byte]));
  }
}

/** A feed over links, and timers that run when they are told to. */
function setUp(source: Source | null): {
  received: number[];
  subscriptions: () => number;
  overLink: (byte: number) => void;
  elapse: () => void;
  close: () => Promise<void>;
} {
  const listeners = new Set<(bytes: Uint8Array) => void>();
  const timers = new Set<() => void>();
  const received: number[] = [];
  const links = {
    subscribeFeed: (onBytes: (bytes: Uint8Array) => void) => {
      listeners.add(onBytes);
      return () => listeners.delete(onBytes);
    },
  };
  const clock = {
    monotonicMs: () => 0,
    wallMs: () => 0,
    setTimer: (_delayMs: number, task: () => void) => {
      timers.add(task);
      return () => timers.delete(task);
    },
  };
  const close = followFeed({ source, links, clock }, (bytes) => received.push(bytes[0] ?? -1));
  return {
    received,
    subscriptions: () => listeners.size,
    overLink: (byte) => {
      for (const listener of listeners) listener(new Uint8Array([byte]));
    },
    elapse: () => {
      for (const task of timers) task();
      timers.clear();
    },
    close,
  };
}

describe('the feed that a cache follows', () => {
  it('comes over a link when there is nothing else', async () => {
    const { received, subscriptions, overLink, close } = setUp(null);
    overLink(1);
    expect(received).toEqual([1]);
    await close();
    expect(subscriptions()).toBe(0);
  });

  it('comes over the source alone while that is connected', async () => {
    const source = new Source(true);
    const { received, subscriptions, close } = setUp(source);
    source.bring(1);
    expect(subscriptions()).toBe(0);
    expect(received).toEqual([1]);
    await close();
    expect(source.closed).toBe(true);
    source.bring(2);
    expect(received).toEqual([1]);
  });

  it('comes over a link while the source is away, and for a moment beside it when it is back', async () => {
    const source = new Source(false);
    const { received, subscriptions, overLink, elapse, close } = setUp(source);
    overLink(1);
    source.turn(true);
    overLink(2);
    source.bring(3);
    elapse();
    expect(subscriptions()).toBe(0);
    source.bring(4);
    source.turn(false);
    expect(subscriptions()).toBe(1);
    overLink(5);
    expect(received).toEqual([1, 2, 3, 4, 5]);
    await close();
    expect(subscriptions()).toBe(0);
  });

  it('keeps its one link through a source that comes and goes', async () => {
    const source = new Source(false);
    const { subscriptions, elapse, close } = setUp(source);
    source.turn(true);
    source.turn(false);
    elapse();
    expect(subscriptions()).toBe(1);
    await close();
  });
});
