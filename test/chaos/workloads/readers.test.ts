import { describe, expect, it } from 'vitest';
import { NO_ANSWER, type Told, brokenBy, refusal } from '../operations.testing.js';
import { readers } from './readers.js';

const P = 'readers/0/7';
const MADE: Told = { action: 'make token', namespace: 'tokens', key: P, revision: 1, ms: [1, 2] };
const naming = (written: readonly string[], ms: Told['ms'], told: Partial<Told> = {}): Told => ({
  action: 'set readers',
  key: '',
  written,
  revision: ms[0],
  ms,
  ...told,
});
const NAMED = naming([P], [10, 20]);
const UNNAMED = naming(['nobody'], [50, 60]);
const DELETED: Told = { action: 'delete token', namespace: 'tokens', key: P, revision: 50, ms: [50, 60] };
const write = (value: string, ms: Told['ms']): Told => ({
  action: 'put',
  key: 'page',
  written: value,
  revision: ms[0],
  ms,
});
const OLD = write('old', [5, 6]);
const SECRET = write('secret', [70, 80]);
const read = (value: string, head: number, ms: Told['ms'], told: Partial<Told> = {}): Told => ({
  action: `read as ${P}`,
  tier: 'content',
  key: 'page',
  value,
  revision: 5,
  head,
  level: 'eventual',
  ms,
  ...told,
});

describe('readers', () => {
  for (const [how, revoked] of [
    ['who are no longer named', UNNAMED],
    ['whose token is gone', DELETED],
    ['whose token is said to be gone', { ...DELETED, ...refusal('ENTRY_NOT_FOUND', 404) }],
  ] as const) {
    it(`${how} may be shown what was there before, by a gateway that does not know yet`, () => {
      const history = [OLD, MADE, NAMED, revoked, SECRET, read('old', 20, [90, 91], { gateway: 2 })];
      expect(brokenBy(readers('t'), history)).toEqual([]);
    });

    it(`${how} are shown nothing that was written afterwards`, () => {
      const history = [OLD, MADE, NAMED, revoked, SECRET, read('secret', 70, [90, 91], { gateway: 2 })];
      expect(brokenBy(readers('t'), history)).toEqual(['revoked reader']);
    });

    it(`${how} may be shown what was written before that was acknowledged`, () => {
      const early = write('early', [40, 45]);
      expect(brokenBy(readers('t'), [OLD, MADE, NAMED, revoked, early, read('early', 45, [90, 91])])).toEqual(
        [],
      );
    });

    it(`${how} get no linearizable answer any more`, () => {
      const late = { level: 'linearizable', tier: 'strict' } as const;
      const history = [OLD, MADE, NAMED, revoked];
      expect(brokenBy(readers('t'), [...history, read('old', 49, [90, 91], late)])).toEqual([
        'revoked reader',
      ]);
      expect(brokenBy(readers('t'), [...history, read('old', 49, [55, 91], late)])).toEqual([]);
    });
  }

  it('are shown no revision at which they were revoked, whatever stands there', () => {
    for (const revoked of [UNNAMED, DELETED]) {
      const history = [OLD, MADE, NAMED, revoked, read('old', 50, [90, 91])];
      expect(brokenBy(readers('t'), history)).toEqual(['revoked reader']);
    }
  });

  it('end when another one is named in their place', () => {
    const other = naming(['readers/0/8'], [50, 60]);
    expect(brokenBy(readers('t'), [OLD, MADE, NAMED, other, SECRET, read('secret', 70, [90, 91])])).toEqual([
      'revoked reader',
    ]);
  });

  it('may still come when nobody knows whether they were named: then only the end of the token counts', () => {
    const unknown = naming([P], [10, null], NO_ANSWER);
    const shown = read('secret', 70, [90, 91]);
    expect(brokenBy(readers('t'), [OLD, MADE, unknown, UNNAMED, SECRET, shown])).toEqual([]);
    expect(brokenBy(readers('t'), [OLD, MADE, unknown, DELETED, SECRET, shown])).toEqual(['revoked reader']);
  });

  it('go on when nobody knows whether they were revoked', () => {
    const unknown = { ...UNNAMED, ...NO_ANSWER, ms: [50, null] } as const;
    expect(brokenBy(readers('t'), [OLD, MADE, NAMED, unknown, SECRET, read('secret', 70, [90, 91])])).toEqual(
      [],
    );
  });

  it('are not refused as long as they may read, by who must know', () => {
    const refused = (ms: Told['ms']): Told =>
      read('', 0, ms, { ...refusal('FORBIDDEN', 403), value: undefined, tier: 'strict' });
    expect(brokenBy(readers('t'), [OLD, MADE, NAMED, refused([30, 31])])).toEqual(['known reader']);
    expect(brokenBy(readers('t'), [OLD, MADE, NAMED, refused([15, 31])])).toEqual([]);
    expect(brokenBy(readers('t'), [OLD, MADE, NAMED, UNNAMED, refused([30, 55])])).toEqual([]);
    expect(brokenBy(readers('t'), [OLD, MADE, NAMED, { ...refused([30, 31]), tier: 'content' }])).toEqual([]);
    const lost = { ...refused([30, 31]), ...refusal('NO_QUORUM') };
    expect(brokenBy(readers('t'), [OLD, MADE, NAMED, lost])).toEqual([]);
    // Somebody else's naming may come late and take his place.
    const before = naming(['readers/0/6'], [3, null], NO_ANSWER);
    expect(brokenBy(readers('t'), [OLD, MADE, before, NAMED, refused([30, 31])])).toEqual([]);
  });
});
