import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ERRORS, QuorateError, effectOf, failure, isErrorCode, problem } from './errors.js';
import { problemSchema } from './schemas.js';

const page = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8');

/** The sections of docs/errors.md, as the catalogue writes them. */
function sections(): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const part of page.split(/^### /m).slice(1)) {
    const code = part.slice(0, part.indexOf('\n'));
    const row = (name: string): string | undefined => new RegExp(`^- ${name}: (.+)$`, 'm').exec(part)?.[1];
    expect(found, `${code} stands once on the page`).not.toHaveProperty(code);
    found[code] = {
      status: Number(row('Status')),
      title: row('Text'),
      effect: row('Effect'),
      whatToDo: row('What to do'),
    };
  }
  return found;
}

describe('the error catalogue', () => {
  it('says the same as docs/errors.md, both ways', () => {
    expect(sections()).toEqual(ERRORS);
  });

  it('gives an unknown effect to exactly the codes after which a write may have happened', () => {
    const unknown = Object.entries(ERRORS).filter(([, entry]) => entry.effect === 'unknown');
    expect(unknown.map(([code]) => code).sort()).toEqual([
      'INTERNAL',
      'OUTCOME_UNKNOWN',
      'REGISTRATION_EXPIRED',
    ]);
  });

  it('never answers 200 to 399, and never a decision status for a missing quorum', () => {
    for (const { status } of Object.values(ERRORS)) expect(status).toBeGreaterThanOrEqual(400);
    expect(ERRORS.NO_QUORUM.status).toBe(503);
    expect(ERRORS.OUTCOME_UNKNOWN.status).toBe(504);
    expect(ERRORS.TIMED_OUT).toMatchObject({ status: 503, effect: 'none' });
  });

  it('knows its codes and no property of Object', () => {
    expect(isErrorCode('NO_QUORUM')).toBe(true);
    for (const text of ['constructor', '__proto__', 'toString', '', 'no_quorum'])
      expect(isErrorCode(text)).toBe(false);
  });
});

describe('problem', () => {
  it('names the members reachable and not, and since when', () => {
    const document = problem(
      failure('NO_QUORUM', undefined, {
        members: [
          { id: 1, reachable: true, sinceMs: 12_000 },
          { id: 2, reachable: false, sinceMs: 34_200 },
          { id: 3, reachable: false, sinceMs: 5_100 },
        ],
        retryAfterMs: 1000,
      }),
    );
    expect(document.detail).toBe(
      'No quorum: too few members reach each other. ' +
        'Members reachable: 1 (for 12.0 s); not reachable: 2 (for 34.2 s), 3 (for 5.1 s).',
    );
    expect(document).toMatchObject({ status: 503, code: 'NO_QUORUM', effect: 'none', retryAfterMs: 1000 });
    expect(document.type).toBe('/docs/errors.md#no_quorum');
    expect(problemSchema.parse(document)).toEqual(document);
    expect(page, 'the page shows this very text').toContain(JSON.stringify(document.detail));
  });

  it('of every code fits the schema and has no key that a NATS client of Nest would unwrap', () => {
    for (const code of Object.keys(ERRORS).filter(isErrorCode)) {
      const document = problem(new QuorateError(code));
      expect(problemSchema.parse(document)).toEqual(document);
      for (const key of ['response', 'err', 'isDisposed']) expect(document).not.toHaveProperty(key);
    }
  });

  it('takes only known details: what came over a wire cannot overwrite code or status', () => {
    const details = JSON.parse('{"status":200,"code":"X","response":1,"err":2,"isDisposed":true,"head":7}');
    const document = problem({ code: 'INTERNAL', message: 'x', details });
    expect(document).toMatchObject({ status: 500, code: 'INTERNAL', head: 7 });
    for (const key of ['response', 'err', 'isDisposed']) expect(document).not.toHaveProperty(key);
  });

  it('keeps a null revision: the entry does not exist', () => {
    expect(problem(failure('PRECONDITION_FAILED', 'x', { currentRevision: null }))).toHaveProperty(
      'currentRevision',
      null,
    );
  });
});

describe('QuorateError', () => {
  it('carries what the failure said', () => {
    const failed = failure('NOT_LEADER', 'Member 1 is not the leader.', { leader: 3 });
    const error = QuorateError.from(failed);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'QuorateError', code: 'NOT_LEADER', effect: 'none', status: 503 });
    expect(error.message).toBe(failed.message);
    expect(error.details).toEqual({ leader: 3 });
    expect(effectOf('OUTCOME_UNKNOWN')).toBe('unknown');
  });
});
