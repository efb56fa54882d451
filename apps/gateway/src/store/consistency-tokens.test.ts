import { revision } from '@quorate/kv';
import { describe, expect, it } from 'vitest';
import { ConsistencyTokens } from './consistency-tokens.js';

describe('consistency tokens of a gateway', () => {
  it('each says its own revision and epoch, also when the same is asked for again and again', () => {
    const tokens = new ConsistencyTokens(Buffer.alloc(32, 7), '0123456789abcdef', 1);
    const asked = [
      [5, 1],
      [5, 1],
      [6, 1],
      [5, 1],
      [5, 2],
      [5, 2],
      [5, 1],
    ] as const;
    const written = asked.map(([at, epoch]) => tokens.encode(revision(at), epoch));
    const read = written.map((text) => tokens.decode(text));
    expect(read).toEqual(
      asked.map(([at, epoch]) => ({ clusterId: '0123456789abcdef', epoch, revision: revision(at) })),
    );
    expect(written[1]).toBe(written[0]);
  });
});
