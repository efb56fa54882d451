import { QuorateError } from '@quorate/api';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { entityOf, entryPathOf, namespaceOf, policyIdOf } from './raw-path.js';

const BASE = '/v1/namespaces/content/entries/';

function codeOf(act: () => unknown): string {
  try {
    act();
    return 'no error';
  } catch (error) {
    return error instanceof QuorateError ? error.code : 'another error';
  }
}

describe('entryPathOf', () => {
  it.each([
    ['home', 'home'],
    ['home/banner', 'home/banner'],
    ['home%2Fbanner', 'home/banner'],
    ['home%2fbanner', 'home/banner'],
    ['%2541', '%41'],
    ['%25', '%'],
    ['a%20b', 'a b'],
    ['a+b', 'a+b'],
    ['a;b=c', 'a;b=c'],
    ['%23', '#'],
    ['%3F', '?'],
    ['gr%C3%BC%C3%9Fe', 'grüße'],
    ['%F0%9F%98%80', '😀'],
    ['/', '/'],
    ['a//b/', 'a//b/'],
    ['..', '..'],
    ['key?Read-Consistency=x', 'key'],
  ])('decodes %s once, to %s', (raw, key) => {
    expect(entryPathOf(BASE + raw)).toEqual({ namespace: 'content', key });
  });

  it('reads the absolute form of a request target too', () => {
    expect(entryPathOf(`http://gateway:8080${BASE}a/b`)).toEqual({ namespace: 'content', key: 'a/b' });
  });

  it.each([
    ['nothing', ''],
    ['NUL', 'a%00b'],
    ['a lone continuation byte', '%80'],
    ['an overlong slash', '%C0%AF'],
    ['a surrogate in UTF-8', '%ED%A0%80'],
    ['half an escape', 'a%2'],
    ['no escape', '%zz'],
    ['a raw #', 'a#b'],
    ['1,025 bytes', 'x'.repeat(1025)],
    ['1,026 bytes of two-byte characters', '%C3%BC'.repeat(513)],
  ])('refuses %s', (_name, raw) => {
    expect(codeOf(() => entryPathOf(BASE + raw))).toBe('INVALID_KEY');
  });

  it('takes back every key that encodeURIComponent wrote, with slashes encoded or not', () => {
    const keys = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 80 })
      .filter((key) => !key.includes('\0') && !/\p{Surrogate}/u.test(key));
    fc.assert(
      fc.property(keys, (key) => {
        const encoded = encodeURIComponent(key);
        expect(entryPathOf(BASE + encoded).key).toBe(key);
        expect(entryPathOf(BASE + encoded.replaceAll('%2F', '/')).key).toBe(key);
      }),
    );
  });
});

describe('other names in paths', () => {
  it('decodes namespaces once', () => {
    expect(namespaceOf('/v1/namespaces/c%6Fntent')).toBe('content');
    expect(codeOf(() => namespaceOf('/v1/namespaces/c%256Fntent'))).toBe('INVALID_NAMESPACE');
    expect(codeOf(() => namespaceOf('/v1/namespaces/Content'))).toBe('INVALID_NAMESPACE');
    expect(codeOf(() => namespaceOf('/v1/namespaces/a%2Fb'))).toBe('INVALID_NAMESPACE');
  });

  it('decodes policy and entity names', () => {
    expect(policyIdOf('/v1/access/policies/editors-publish')).toBe('editors-publish');
    expect(entityOf('/v1/access/entities/Shop%3A%3ADocument/a%2Fb')).toEqual({
      type: 'Shop::Document',
      id: 'a/b',
    });
    expect(codeOf(() => policyIdOf('/v1/access/policies/a%20b'))).toBe('INVALID_REQUEST');
    expect(codeOf(() => entityOf('/v1/access/entities/User/a%00'))).toBe('INVALID_REQUEST');
  });
});
