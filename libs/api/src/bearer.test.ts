import { describe, expect, it } from 'vitest';
import { NEEDS, authorize, bearerToken, hashToken, tokenMatches } from './bearer.js';

const token = 'q_3f9a71c2d6e845b0';
const hash = hashToken(token);

describe('bearer tokens', () => {
  it('hashes as sha-256 in hex', () => {
    expect(hashToken('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });

  it('takes the token from the header, whatever the case of the scheme', () => {
    expect(bearerToken(`Bearer ${token}`)).toBe(token);
    expect(bearerToken(`bearer   ${token} `)).toBe(token);
  });

  it.each([
    undefined,
    null,
    '',
    'Bearer',
    'Bearer ',
    `Basic ${token}`,
    token,
    'Bearer a b',
    'Bearer a,b',
    'Bearer é',
  ])('finds none in %j', (header) => {
    expect(bearerToken(header)).toBeNull();
  });

  it('finds none in a header beyond its bound', () => {
    expect(bearerToken(`Bearer ${'a'.repeat(100_000)}`)).toBeNull();
  });

  it('matches its own hash only, and nothing matches a hash that is none', () => {
    expect(tokenMatches(hash, token)).toBe(true);
    expect(tokenMatches(hash, `${token}x`)).toBe(false);
    for (const broken of ['', 'zz', hash.slice(1), hash.toUpperCase(), `${hash}\n`]) {
      expect(tokenMatches(broken, token)).toBe(false);
    }
  });
});

describe('the token that matched last', () => {
  it('matches again, and nothing else does for its sake: no part of it, no other hash', () => {
    const other = hashToken('another token');
    for (let round = 0; round < 3; round += 1) {
      expect(tokenMatches(hash, token)).toBe(true);
      for (const wrong of ['', token.slice(1), `${token}x`, token.toUpperCase(), token.replace('q', 'r')])
        expect(tokenMatches(hash, wrong)).toBe(false);
      expect(tokenMatches(other, token)).toBe(false);
      expect(tokenMatches('', token)).toBe(false);
      expect(tokenMatches(other, 'another token')).toBe(true);
    }
  });
});

describe('authorize', () => {
  it('gives the admin every right', () => {
    for (const need of NEEDS) expect(authorize(hash, token, need)).toEqual({ principal: 'admin' });
  });

  it('fails closed: missing, wrong, oversized tokens, and an empty hash', () => {
    for (const wrong of [null, '', 'wrong', 'a'.repeat(5000)]) {
      expect(authorize(hash, wrong, 'entries:read')).toMatchObject({
        type: 'failed',
        code: 'UNAUTHENTICATED',
      });
    }
    expect(authorize('', token, 'entries:read')).toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(authorize(hashToken(''), '', 'entries:read')).toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('grants no right that does not exist', () => {
    const unknown = JSON.parse('"entries:everything"');
    expect(authorize(hash, token, unknown)).toMatchObject({ type: 'failed', code: 'FORBIDDEN' });
  });

  it('never repeats the token in its message', () => {
    expect(JSON.stringify(authorize(hash, 'secret-wrong', 'entries:read'))).not.toContain('secret-wrong');
  });
});
