import { describe, expect, it } from 'vitest';
import { NO_ANSWER, type Told, brokenBy, refusal, spanOf } from '../operations.testing.js';
import { content } from './content.js';

const write = (revision: number, ms: Told['ms'], told: Partial<Told> = {}): Told => ({
  action: 'compareAndSet',
  written: `v${revision}`,
  revision,
  ms,
  ...told,
});
const deletion = (revision: number, ms: Told['ms'], told: Partial<Told> = {}): Told =>
  write(revision, ms, { action: 'delete', written: null, ...told });
/** A read of a cache at another gateway than the writes; revision null: nothing was there. */
const read = (revision: number | null, head: number, ms: Told['ms'], told: Partial<Told> = {}): Told => ({
  tier: 'content',
  value: revision === null ? null : `v${revision}`,
  revision,
  head,
  level: 'eventual',
  gateway: 2,
  ms,
  ...told,
});
/** So that the end of the run is not what is found broken: another key, read and converged. */
const END: readonly Told[] = [
  read(null, 99, [9_000, 9_001], { action: 'final get', key: 'end', level: 'linearizable', tier: 'strict' }),
  read(null, 99, [9_002, 9_003], { action: 'final look', key: 'end' }),
];
const broken = (told: readonly Told[], faults = [] as ReturnType<typeof spanOf>[]): readonly string[] => [
  ...new Set(brokenBy(content('t'), [...told, ...END], faults)),
];

const W1 = write(1, [10, 20]);
const W2 = write(2, [100, 110]);

describe('answers of caches', () => {
  it('may be old, but no older than they say', () => {
    expect(broken([W1, W2, read(1, 1, [300, 301])])).toEqual([]);
    expect(broken([W1, W2, read(1, 1, [300, 301], { stalenessMs: 190 })])).toEqual([]);
    expect(broken([W1, W2, read(1, 1, [300, 301], { stalenessMs: 189 })])).toEqual(['staleness bound']);
    expect(broken([W1, W2, read(2, 2, [300, 301], { stalenessMs: 1 })])).toEqual([]);
  });

  it('bound the age of all that they show, not of one key alone', () => {
    const other = write(3, [120, 130], { key: 'other' });
    expect(broken([W1, W2, other, read(2, 2, [300, 301], { stalenessMs: 100 })])).toEqual([
      'staleness bound',
    ]);
    expect(broken([W1, W2, other, read(2, 3, [300, 301], { stalenessMs: 100 })])).toEqual([]);
  });

  it('hold the bound that was asked for', () => {
    const asked = { action: 'bounded;ms=200', level: 'bounded;ms=200' };
    expect(broken([W1, read(1, 1, [300, 301], { ...asked, stalenessMs: 200 })])).toEqual([]);
    expect(broken([W1, read(1, 1, [300, 301], { ...asked, stalenessMs: 201 })])).toEqual(['staleness bound']);
    expect(broken([W1, read(1, 1, [300, 301], { ...asked, stalenessMs: null })])).toEqual([
      'staleness bound',
    ]);
    const proven = { action: 'bounded;ms=200', level: 'linearizable', stalenessMs: 400 };
    expect(broken([W1, read(1, 1, [300, 301], proven)])).toEqual([]);
  });

  it('hold all that was acknowledged before, if they are linearizable', () => {
    const proven = { level: 'linearizable' };
    expect(broken([W1, W2, read(2, 2, [111, 112], proven)])).toEqual([]);
    expect(broken([W1, W2, read(1, 1, [105, 115], proven)])).toEqual([]);
    expect(broken([W1, W2, read(1, 1, [111, 115], proven)])).toEqual(['linearizability']);
  });

  it('show what somebody wrote, at the revision that he was told', () => {
    expect(broken([W1, read(1, 1, [300, 301], { value: 'v9' })])).toEqual(['never written']);
    expect(broken([W1, read(2, 5, [300, 301], { value: 'v1' })])).toEqual(['never written']);
    const refused = write(2, [100, 110], refusal('NO_QUORUM'));
    expect(broken([W1, refused, read(2, 2, [300, 301])])).toEqual(['never written']);
    expect(broken([W1, read(2, 2, [300, 301]), write(2, [400, 410])])).toEqual(['never written']);
  });

  it('may show, late or never, what nobody knows of', () => {
    const unknown = write(7, [100, null], { ...NO_ANSWER, revision: null });
    expect(broken([W1, unknown, read(1, 1, [300, 301], { stalenessMs: 1 })])).toEqual([]);
    expect(broken([W1, unknown, read(7, 7, [300, 301], { stalenessMs: 1 })])).toEqual([]);
    const late = [W1, unknown, write(2, [200, 210]), read(2, 2, [300, 301]), read(7, 8, [400, 401])];
    expect(broken(late)).toEqual([]);
  });

  it('are of one revision: nothing newer in them, and nothing missing', () => {
    expect(broken([W1, W2, read(2, 1, [300, 301])])).toEqual(['one revision']);
    expect(broken([W1, W2, read(1, 2, [300, 301])])).toEqual(['one revision']);
    expect(broken([W1, W2, read(null, 2, [300, 301])])).toEqual(['one revision']);
  });

  it('show nothing only where something was deleted', () => {
    expect(broken([W1, deletion(2, [100, 110]), read(null, 2, [300, 301], { stalenessMs: 1 })])).toEqual([]);
    const unknown = deletion(2, [100, null], { ...NO_ANSWER, revision: null });
    expect(broken([W1, unknown, read(null, 5, [300, 301], { stalenessMs: 1 })])).toEqual([]);
    const refused = deletion(2, [100, 110], { ...refusal('NO_QUORUM'), revision: null });
    expect(broken([W1, refused, read(null, 5, [300, 301])])).toEqual(['one revision']);
    // What was deleted comes back only by being written.
    expect(broken([W1, deletion(2, [100, 110]), read(1, 2, [300, 301])])).toEqual(['one revision']);
    expect(broken([W1, deletion(2, [100, 110]), read(1, 1, [300, 301], { stalenessMs: 1 })])).toEqual([
      'staleness bound',
    ]);
  });
});

describe('sessions', () => {
  const session = (revision: number | null, head: number, told: Partial<Told> = {}): Told =>
    read(revision, head, [300, 301], { action: 'session', level: 'session', tokenSent: 't2', ...told });
  const written = write(2, [100, 110], { token: 't2' });

  it('see what their token has seen, at whatever gateway', () => {
    expect(broken([W1, written, session(2, 2)])).toEqual([]);
    expect(broken([W1, written, session(2, 5, { level: 'linearizable' })])).toEqual([]);
    expect(broken([W1, written, session(1, 1)])).toEqual(['read your writes']);
    expect(broken([written, session(null, 1)])).toEqual(['read your writes']);
  });

  it('are not older in other keys either', () => {
    expect(broken([written, session(null, 1, { key: 'other' })])).toEqual(['read your writes']);
    expect(broken([written, session(null, 2, { key: 'other' })])).toEqual([]);
  });

  it('never go back behind what a read of theirs has shown', () => {
    const shown = read(2, 4, [120, 130], { token: 't2' });
    expect(broken([W1, W2, shown, session(2, 4, { gateway: 1 })])).toEqual([]);
    expect(broken([W1, W2, shown, session(2, 3, { gateway: 1 })])).toEqual(['read your writes']);
  });

  it('may be refused, and may not be answered as less', () => {
    const refused = session(1, 1, { ...refusal('TOKEN_NOT_REACHED'), value: undefined });
    expect(broken([W1, written, refused])).toEqual([]);
    expect(broken([W1, written, session(2, 2, { level: 'eventual' })])).toEqual(['read your writes']);
  });

  it('learn nothing from the token of a write that failed', () => {
    const failed = write(2, [100, 110], { ...refusal('PRECONDITION_FAILED', 412), token: 't2' });
    expect(broken([W1, failed, session(1, 1)])).toEqual([]);
  });
});

describe('one life of a gateway', () => {
  const newer = read(2, 2, [200, 201]);
  const older = read(1, 1, [300, 301]);

  it('goes forward only', () => {
    expect(broken([W1, W2, newer, older])).toEqual(['monotonic reads']);
    expect(broken([W1, W2, newer, { ...older, gateway: 1 }])).toEqual(['own writes']);
    expect(broken([W1, W2, newer, { ...older, key: 'other', revision: null, value: null }])).toEqual([
      'monotonic reads',
    ]);
  });

  it('orders only reads that follow each other', () => {
    expect(broken([W1, W2, read(2, 2, [200, 310]), older])).toEqual([]);
  });

  it('says nothing of what the store showed through it', () => {
    expect(broken([W1, W2, { ...newer, level: 'linearizable', tier: 'strict' }, older])).toEqual([]);
  });

  it('ends with its process, and not with a pause of it or the end of others', () => {
    for (const kind of ['kill', 'stop', 'powerCut', 'memoryLimit'])
      expect(broken([W1, W2, newer, older], [spanOf(kind, ['gateway2'], 210, 250)])).toEqual([]);
    expect(broken([W1, W2, newer, older], [spanOf('pause', ['gateway2'], 210, 250)])).toEqual([
      'monotonic reads',
    ]);
    expect(broken([W1, W2, newer, older], [spanOf('kill', ['gateway1'], 210, 250)])).toEqual([
      'monotonic reads',
    ]);
    const again = read(1, 1, [400, 401]);
    const twice = [W1, W2, newer, older, read(2, 2, [320, 330]), again];
    expect(broken(twice, [spanOf('kill', ['gateway2'], 210, 250)])).toEqual(['monotonic reads']);
  });

  it('shows what was written through it', () => {
    const own = write(2, [100, 110], { gateway: 2 });
    expect(broken([W1, own, read(1, 1, [300, 301])])).toEqual(['own writes']);
    expect(broken([W1, own, read(2, 2, [300, 301])])).toEqual([]);
    expect(broken([W1, own, read(1, 1, [300, 301])], [spanOf('kill', ['gateway2'], 150, 200)])).toEqual([]);
  });
});

describe('convergence', () => {
  const proven = (revision: number | null, head: number): Told =>
    read(revision, head, [800, 801], { action: 'final get', level: 'linearizable', tier: 'strict' });
  const look = (revision: number | null, head: number, told: Partial<Told> = {}): Told =>
    read(revision, head, [810, 811], { action: 'final look', ...told });

  it('is reached when each cache shows what the store holds, or something newer', () => {
    expect(broken([W1, W2, proven(2, 2), look(2, 2)])).toEqual([]);
    const late = write(7, [100, null], { ...NO_ANSWER, revision: null });
    expect(broken([W1, late, proven(1, 3), look(7, 7)])).toEqual([]);
    expect(broken([W1, deletion(2, [100, 110]), proven(null, 3), look(null, 3)])).toEqual([]);
  });

  it('is missed by whoever shows something older, or nothing, or does not answer', () => {
    expect(broken([W1, W2, proven(2, 2), look(1, 1)])).toEqual(['convergence']);
    expect(broken([W1, deletion(2, [100, 110]), proven(null, 3), look(1, 1)])).toEqual(['convergence']);
    const silent = look(null, 0, { ...refusal('NO_QUORUM'), value: undefined });
    expect(broken([W1, W2, proven(2, 2), silent])).toEqual(['convergence']);
  });

  it('is judged by the last look', () => {
    const first = { ...look(1, 1), ms: [805, 806] } as const;
    expect(broken([W1, W2, proven(2, 2), first, look(2, 2)])).toEqual([]);
  });

  it('cannot be told when nothing could be read', () => {
    expect(brokenBy(content('t'), [W1])).toEqual(['availability']);
  });
});
