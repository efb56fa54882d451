import { describe, expect, it } from 'vitest';
import { type TokenQuestion, authorizeToken, bearerToken, hashToken, tokenMatches } from './bearer.js';
import { NEEDS } from './needs.js';
import { type TokenRecord, encodeTokenRecord } from './token-record.js';

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

const TOKEN = `quorate_${'t'.repeat(43)}`;

describe('authorizeToken', () => {
  const record: TokenRecord = {
    name: 'the site',
    principal: 'ada',
    scopes: ['entries:read', 'entries:write@content'],
    expiresAtMs: 1_000,
  };
  const ask = (question: Partial<TokenQuestion>, stored: TokenRecord | Uint8Array | null = record) =>
    authorizeToken({
      adminTokenHash: hash,
      token: TOKEN,
      recordOf: (tokenHash) => {
        if (tokenHash !== hashToken(TOKEN) || stored === null) return null;
        return stored instanceof Uint8Array ? stored : encodeTokenRecord(stored);
      },
      need: 'entries:read',
      namespace: 'content',
      readers: null,
      nowMs: 999,
      ...question,
    });
  const ada = { principal: 'ada', isAdmin: false };

  it('gives the admin every right, whatever the readers, without a look at the records', () => {
    const recordOf = (): never => {
      throw new Error('not asked for');
    };
    for (const need of NEEDS)
      expect(ask({ token, need, recordOf, readers: [] })).toEqual({ principal: 'admin', isAdmin: true });
  });

  it('gives a token what its scopes name', () => {
    expect(ask({})).toEqual(ada);
    expect(ask({ namespace: null })).toEqual(ada);
    expect(ask({ need: 'entries:write' })).toEqual(ada);
    expect(ask({ need: 'entries:write', namespace: 'shop' })).toMatchObject({ code: 'FORBIDDEN' });
    expect(ask({ need: 'entries:write', namespace: null })).toMatchObject({ code: 'FORBIDDEN' });
    expect(ask({ need: 'access:write', namespace: 'tokens' })).toMatchObject({ code: 'FORBIDDEN' });
    for (const need of NEEDS) {
      expect(ask({ need }, { ...record, scopes: ['*'] })).toEqual(ada);
      expect(ask({ need }, { ...record, scopes: [] })).toMatchObject({ code: 'FORBIDDEN' });
    }
  });

  it('refuses whoever is not among the readers, for reads of entries only', () => {
    expect(ask({ readers: ['bob', 'ada'] })).toEqual(ada);
    expect(ask({ readers: ['bob'] })).toMatchObject({ code: 'FORBIDDEN' });
    expect(ask({ readers: [] })).toMatchObject({ code: 'FORBIDDEN' });
    expect(ask({ readers: [], need: 'entries:write' })).toEqual(ada);
    expect(ask({ readers: ['bob'] }, { ...record, scopes: ['*'] })).toMatchObject({ code: 'FORBIDDEN' });
  });

  it('knows a token until it expires, and says so after that', () => {
    expect(ask({ nowMs: 999.9 })).toEqual(ada);
    for (const nowMs of [1_000, 1_001, Number.NaN]) {
      const refused = ask({ nowMs });
      expect(refused).toMatchObject({ code: 'UNAUTHENTICATED', message: 'The bearer token has expired.' });
    }
    expect(ask({ nowMs: 1e15 }, { ...record, expiresAtMs: null })).toEqual(ada);
  });

  it('fails closed: missing, unknown, oversized tokens, and an empty hash', () => {
    for (const wrong of [
      null,
      '',
      'wrong',
      'a'.repeat(5000),
      `${TOKEN}t`,
      TOKEN.slice(1),
      `quorate_${'s'.repeat(43)}`,
    ])
      expect(ask({ token: wrong })).toMatchObject({ type: 'failed', code: 'UNAUTHENTICATED' });
    expect(ask({}, null)).toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(ask({ adminTokenHash: '', token })).toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(ask({ adminTokenHash: hashToken(''), token: '' })).toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('fails closed: a record that is not exactly one of ours', () => {
    const whole = Buffer.from(encodeTokenRecord(record)).toString();
    expect(ask({}, Buffer.from(whole))).toEqual(ada);
    const malformed = [
      '',
      'null',
      '[]',
      '{}',
      ` ${whole}`,
      `${whole}\n`,
      whole.slice(0, -1),
      whole.replace('"ada"', '"admin"'),
      whole.replace('"ada"', '""'),
      whole.replace('"ada"', '7'),
      whole.replace('"ada"', '"a\\u0064a"'),
      whole.replace('"ada"', JSON.stringify('a'.repeat(257))),
      whole.replace('1000', '-1'),
      whole.replace('1000', '1e3'),
      whole.replace('1000', '"1000"'),
      whole.replace('entries:read', 'entries:all'),
      whole.replace('@content', '@'),
      whole.replace('@content', '@Content'),
      whole.replace('entries:write@content', 'entries:read'),
      whole.replace('"name"', '"more":1,"name"'),
      whole.replace('{', '{"principal":"root",'),
    ];
    for (const text of malformed) {
      expect(text).not.toBe(whole);
      expect(ask({}, Buffer.from(text)), text).toMatchObject({ code: 'UNAUTHENTICATED' });
    }
    expect(ask({}, Uint8Array.of(0xff))).toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('grants no right that does not exist, to nobody', () => {
    const unknown = JSON.parse('"entries:everything"');
    expect(ask({ token, need: unknown })).toMatchObject({ type: 'failed', code: 'FORBIDDEN' });
    expect(ask({ need: unknown }, { ...record, scopes: ['*'] })).toMatchObject({ code: 'FORBIDDEN' });
  });

  it('never repeats the token in its message', () => {
    expect(JSON.stringify(ask({ token: 'secret-wrong' }))).not.toContain('secret-wrong');
  });
});
