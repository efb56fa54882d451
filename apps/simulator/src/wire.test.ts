import { revision } from '@quorate/kv';
import { logIndex, memberId, term, type Message } from '@quorate/raft';
import { describe, expect, it } from 'vitest';
import { SeededRandom } from './random.js';
import { encodeText } from './text.js';
import { Wire } from './wire.js';

const payload = encodeText('what was written');
const message: Message = {
  type: 'appendRequest',
  from: memberId(1),
  to: memberId(2),
  term: term(3),
  previousIndex: logIndex(4),
  previousTerm: term(2),
  commit: logIndex(4),
  entries: [{ index: logIndex(5), term: term(3), kind: 'command', payload }],
};

describe('the wire', () => {
  it('carries bytes: what arrives is equal and nobody else has it, at each arrival', () => {
    let copies = 0;
    for (let seed = 1; seed <= 40; seed += 1) {
      const arrives = new Wire(new SeededRandom(seed)).message(message);
      const [first, again] = [arrives(), arrives()];
      expect(first).toEqual(message);
      expect(again).toEqual(message);
      if (first === message) continue;
      copies += 1;
      expect(again).not.toBe(first);
      expect(first.type === 'appendRequest' && first.entries[0]?.payload).not.toBe(payload);
    }
    expect(copies).toBeGreaterThan(10);
    expect(copies).toBeLessThan(40);
  });

  it('carries requests and answers', () => {
    const request = { type: 'get', token: 't', namespace: 'n', key: 'k' } as const;
    const entry = {
      namespace: 'n',
      key: 'k',
      value: payload,
      revision: revision(7),
      version: 2,
      createRevision: revision(6),
    };
    const response = { type: 'entry', entry, kind: 'strict', head: revision(9) } as const;
    for (let seed = 1; seed <= 10; seed += 1) {
      const wire = new Wire(new SeededRandom(seed));
      expect(wire.request(request)()).toEqual(request);
      expect(wire.response(response)()).toEqual(response);
    }
  });
});
