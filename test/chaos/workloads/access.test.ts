import { describe, expect, it } from 'vitest';
import { NO_ANSWER, type Told, brokenBy, refusal } from '../operations.testing.js';
import { access } from './access.js';

const change = (effect: 'permit' | 'forbid' | null, ms: Told['ms'], told: Partial<Told> = {}): Told => ({
  action: effect === null ? 'delete policy' : 'put policy',
  namespace: 'access',
  key: 'policies/chaos-access-0-1',
  written: effect === null ? null : `${effect}(...)`,
  revision: ms[0],
  expected: null,
  ms,
  ...told,
});
const check = (isAllowed: boolean, ms: Told['ms'], told: Partial<Told> = {}): Told => ({
  action: 'check',
  namespace: 'access',
  key: 'read-access-0-1',
  value: isAllowed,
  revision: ms[0],
  ms,
  ...told,
});
const GRANT = change('permit', [10, 20]);
const REVOKE = change('forbid', [30, 40]);

describe('access', () => {
  it('is decided as was acknowledged before the question', () => {
    expect(brokenBy(access('t'), [check(false, [1, 2]), GRANT, check(true, [21, 22])])).toEqual([]);
    expect(brokenBy(access('t'), [GRANT, REVOKE, check(false, [41, 42], { gateway: 2 })])).toEqual([]);
    expect(brokenBy(access('t'), [GRANT, change(null, [30, 40]), check(false, [41, 42])])).toEqual([]);
  });

  it('may be decided either way while it is changed', () => {
    for (const isAllowed of [true, false]) {
      expect(brokenBy(access('t'), [GRANT, REVOKE, check(isAllowed, [25, 35])])).toEqual([]);
      expect(brokenBy(access('t'), [GRANT, REVOKE, check(isAllowed, [39, 60])])).toEqual([]);
      expect(brokenBy(access('t'), [GRANT, check(isAllowed, [5, 15])])).toEqual([]);
    }
  });

  it('may be decided either way for ever after a change whose outcome is unknown', () => {
    const unknown = change('forbid', [30, null], NO_ANSWER);
    for (const isAllowed of [true, false])
      expect(brokenBy(access('t'), [GRANT, unknown, check(isAllowed, [500, 510])])).toEqual([]);
    expect(brokenBy(access('t'), [GRANT, unknown, check(false, [21, 22])])).toEqual(['granted right']);
  });

  it('is as before after a change that was refused', () => {
    const refused = change('forbid', [30, 40], refusal('NO_QUORUM'));
    expect(brokenBy(access('t'), [GRANT, refused, check(true, [41, 42])])).toEqual([]);
    expect(brokenBy(access('t'), [GRANT, refused, check(false, [41, 42])])).toEqual(['granted right']);
  });

  it('is not given any more once its revocation was acknowledged: the new enemy', () => {
    expect(brokenBy(access('t'), [GRANT, REVOKE, check(true, [41, 42], { gateway: 2 })])).toEqual([
      'revoked right',
    ]);
    expect(brokenBy(access('t'), [GRANT, change(null, [30, 40]), check(true, [41, 42])])).toEqual([
      'revoked right',
    ]);
  });

  it('is given from the acknowledgement of the grant on, and not before it was asked for', () => {
    expect(brokenBy(access('t'), [GRANT, check(false, [21, 22])])).toEqual(['granted right']);
    expect(brokenBy(access('t'), [check(true, [1, 2]), GRANT])).toEqual(['revoked right']);
  });

  it('is never decided by policies that are older than what was acknowledged', () => {
    expect(brokenBy(access('t'), [GRANT, check(true, [21, 22], { revision: 9 })])).toEqual(['new policies']);
  });

  it('is not decided when a check is refused', () => {
    const refused = check(true, [41, 42], { ...refusal('NO_QUORUM'), value: undefined });
    expect(brokenBy(access('t'), [GRANT, REVOKE, refused])).toEqual([]);
  });

  it('lets the one who alone changes a policy change it', () => {
    const refused = change('forbid', [30, 40], refusal('PRECONDITION_FAILED', 412));
    expect(brokenBy(access('t'), [GRANT, refused])).toEqual(['compare and set']);
    const unknown = change('forbid', [25, null], NO_ANSWER);
    expect(brokenBy(access('t'), [GRANT, unknown, refused])).toEqual([]);
  });
});
