import { describe, expect, it } from 'vitest';
import { busyHistory } from './histories.testing.js';
import type { HistoryOperation } from './history.js';
import { toPorcupine } from './porcupine.js';
import { renderTimeline } from './timeline.js';

const HISTORY: HistoryOperation[] = [
  {
    type: 'write',
    id: 1,
    client: 'a',
    key: 'k',
    value: 'x',
    invokedAt: 0.5,
    completedAt: 2,
    outcome: 'done',
    revision: 7,
    replaced: null,
  },
  {
    type: 'write',
    id: 2,
    client: 'b',
    key: 'k',
    value: null,
    invokedAt: 2,
    completedAt: null,
    outcome: 'unknown',
    revision: null,
    replaced: 7,
  },
  {
    type: 'write',
    id: 3,
    client: 'a',
    key: 'k',
    value: 'z',
    invokedAt: 3,
    completedAt: 4,
    outcome: 'none',
    revision: null,
  },
  {
    type: 'read',
    id: 4,
    client: 'a',
    key: 'k',
    value: undefined,
    entryRevision: 7,
    head: 9,
    invokedAt: 5,
    completedAt: 6,
  },
  {
    type: 'read',
    id: 5,
    client: 'c',
    key: 'k',
    value: null,
    entryRevision: null,
    head: 10,
    invokedAt: 6,
    completedAt: 7,
  },
];

describe('toPorcupine', () => {
  it('writes one operation a line, with ranks for times, and without refused writes', () => {
    expect(
      toPorcupine(HISTORY)
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      {
        ClientId: 0,
        Input: { Key: 'k', Kind: 'put', Value: 'x', Replaced: 0 },
        Call: 0,
        Output: { Happened: true, Value: '', ValueSeen: false, Revision: 7 },
        Return: 1,
        Metadata: 1,
      },
      {
        ClientId: 1,
        Input: { Key: 'k', Kind: 'delete', Value: '', Replaced: 7 },
        Call: 1,
        Output: { Happened: false, Value: '', ValueSeen: false, Revision: -1 },
        Return: 7,
        Metadata: 2,
      },
      {
        ClientId: 0,
        Input: { Key: 'k', Kind: 'read', Value: '', Replaced: -1 },
        Call: 2,
        Output: { Happened: true, Value: '', ValueSeen: false, Revision: 7 },
        Return: 3,
        Metadata: 4,
      },
      {
        ClientId: 2,
        Input: { Key: 'k', Kind: 'read', Value: '', Replaced: -1 },
        Call: 3,
        Output: { Happened: true, Value: '', ValueSeen: false, Revision: 0 },
        Return: 4,
        Metadata: 5,
      },
    ]);
  });
});

describe('renderTimeline', () => {
  it('shows the sentence, the operations in question and their clients', () => {
    const html = renderTimeline(HISTORY, { reason: 'operation 5 read nothing', offending: [1, 5] });
    expect(html).toContain('operation 5 read nothing');
    expect(html.match(/class="bar \w+ offending"/g)).toHaveLength(2);
    expect(html).toContain('operation 1 wrote x to k at revision 7, replacing nothing');
    expect(html).toContain('class="bar write open"');
    for (const client of ['a', 'b', 'c']) expect(html).toContain(`>${client}</text>`);
    expect(html).not.toMatch(/https?:|<script|<link/);
  });

  it('stays small, and shows what is near, however long the history is', () => {
    const history = busyHistory({ seed: 3, clients: 30, operations: 5_000, keys: 2 });
    const html = renderTimeline(history, { reason: 'no', offending: [2_500] });
    expect(html).toContain('40 of 5000 operations');
    expect(html).toContain('operation 2500 ');
    expect(Buffer.byteLength(html)).toBeLessThan(40_000);
  });

  it('escapes whatever clients and values hold, within the same bounds', () => {
    const evil = `<script>alert("1")</script>&'${'<&"'.repeat(10_000)}\ud800`;
    const history = Array.from({ length: 60 }, (_, index): HistoryOperation => ({
      type: 'write',
      id: index + 1,
      client: `${evil}${index}`,
      key: evil,
      value: `${evil}${index}`,
      invokedAt: index,
      completedAt: index + 5,
      outcome: 'done',
      revision: index + 1,
    }));
    const html = renderTimeline(history, { reason: evil, offending: [30] });
    expect(html).not.toContain('<script');
    expect(html).toContain('&#60;script&#62;');
    expect(html).not.toContain('\ud800');
    expect(Buffer.byteLength(html)).toBeLessThan(40_000);
  });

  it('gives operations without a client lanes in which nothing overlaps', () => {
    const nameless = HISTORY.map((operation) => ({ ...operation, client: undefined }));
    const html = renderTimeline(nameless, { reason: 'no', offending: [5] });
    expect(html.match(/class="lane"/g)).toHaveLength(3);
  });
});
