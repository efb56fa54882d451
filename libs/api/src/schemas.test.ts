import fc from 'fast-check';
import { codeOf } from './code-of.testing.js';
import { revision, type Entry } from '@quorate/kv';
import { describe, expect, it } from 'vitest';
import { entryEnvelope, writeEntriesJson, writeEnvelopeJson } from './envelope.js';
import * as schemas from './schemas.js';

function entryOf(value: string, key = 'home/banner'): Entry {
  const bytes = new TextEncoder().encode(value);
  return {
    namespace: 'content',
    key,
    value: bytes,
    revision: revision(9),
    version: 2,
    createRevision: revision(4),
  };
}

describe('names', () => {
  it('are taken from paths exactly when their schemas take them', () => {
    const near = fc.constantFrom(
      '',
      'a',
      '-',
      'A',
      '\0',
      '\n',
      '\uD800',
      '😀',
      'x'.repeat(63),
      'ü'.repeat(512),
    );
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(near, { maxLength: 4 }).map((all) => all.join('')),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const keyIsTaken = codeOf(() => schemas.parseKey(text)) === 'no error';
        const nameIsTaken = codeOf(() => schemas.parseNamespaceName(text)) === 'no error';
        expect(keyIsTaken).toBe(schemas.keySchema.safeParse(text).success);
        expect(nameIsTaken).toBe(schemas.namespaceNameSchema.safeParse(text).success);
      }),
    );
  });

  it.each(['a', '0', 'shop-2', 'a'.repeat(63)])('takes the namespace %j', (name) => {
    expect(schemas.parseNamespaceName(name)).toBe(name);
  });

  it.each(['', '-a', 'A', 'a_b', 'a'.repeat(64), 'a\n', 7, null])('refuses the namespace %j', (name) => {
    expect(codeOf(() => schemas.parseNamespaceName(name))).toBe('INVALID_NAMESPACE');
  });

  it('takes keys of 1 to 1,024 bytes, counted in UTF-8', () => {
    for (const key of ['a', 'a/b//c', ' ', 'ключ', '🙂', 'x'.repeat(1024), 'é'.repeat(512), '.']) {
      expect(schemas.parseKey(key)).toBe(key);
    }
    for (const key of ['', 'x'.repeat(1025), 'é'.repeat(513), 'a\0b', '\ud800', 'a\udc00b']) {
      expect(codeOf(() => schemas.parseKey(key))).toBe('INVALID_KEY');
    }
  });

  it('reserves access', () => {
    expect(codeOf(() => schemas.refuseReservedNamespace('access'))).toBe('NAMESPACE_RESERVED');
    expect(codeOf(() => schemas.refuseReservedNamespace('content'))).toBe('no error');
  });

  it('reads the query of a list', () => {
    expect(schemas.parseWith(schemas.listQuerySchema, {})).toEqual({ prefix: '', limit: 100 });
    expect(schemas.parseWith(schemas.listQuerySchema, { prefix: 'a/', limit: '1000' })).toEqual({
      prefix: 'a/',
      limit: 1000,
    });
    for (const limit of ['0', '1001', '-1', '1.5', '', 'ten', '0x10', ['1', '2']]) {
      expect(codeOf(() => schemas.parseWith(schemas.listQuerySchema, { limit }))).toBe('INVALID_REQUEST');
    }
    expect(codeOf(() => schemas.parseWith(schemas.listQuerySchema, { prefx: 'a' }))).toBe('INVALID_REQUEST');
  });
});

describe('checks', () => {
  const check = {
    principal: { type: 'User', id: 'alice' },
    action: 'publish',
    resource: { type: 'Shop::Document', id: 'content/home' },
  };

  it('fills in an empty context', () => {
    expect(schemas.parseWith(schemas.checkBodySchema, check)).toEqual({ ...check, context: {} });
  });

  it.each([
    ['an extra field', { ...check, prinzipal: 1 }],
    ['a bad type', { ...check, principal: { type: 'User::', id: 'x' } }],
    ['an empty id', { ...check, principal: { type: 'User', id: '' } }],
    ['a long id', { ...check, principal: { type: 'User', id: 'x'.repeat(257) } }],
    ['an id that grows when encoded', { ...check, principal: { type: 'User', id: '語'.repeat(100) } }],
    ['a lone surrogate', { ...check, principal: { type: 'User', id: '\ud800' } }],
    ['an extra field in a reference', { ...check, resource: { ...check.resource, x: 1 } }],
    ['a long action', { ...check, action: 'x'.repeat(129) }],
    ['a context that is no object', { ...check, context: [] }],
    ['a large context', { ...check, context: { a: 'x'.repeat(70_000) } }],
    ['a wide context', { ...check, context: { a: Array.from({ length: 5000 }, () => 1) } }],
    ['a lone surrogate in the context', { ...check, context: { a: ['\ud800'] } }],
    ['a lone surrogate in a name of the context', { ...check, context: { a: { '\udc00': 1 } } }],
    ['a lone surrogate in the action', { ...check, action: '\ud800' }],
    ['__proto__ in the context', { ...check, context: JSON.parse('{"__proto__":{"a":1}}') }],
    ['__proto__ deep in the context', { ...check, context: JSON.parse('{"a":[{"__proto__":1}]}') }],
    ['a deep context', { ...check, context: JSON.parse('{"a":'.repeat(40) + '1' + '}'.repeat(40)) }],
    [
      'a very deep context',
      { ...check, context: { a: JSON.parse('['.repeat(200_000) + ']'.repeat(200_000)) } },
    ],
  ])('refuses %s', (_, body) => {
    expect(codeOf(() => schemas.parseWith(schemas.checkBodySchema, body))).toBe('INVALID_REQUEST');
  });

  it('names the wrong field', () => {
    try {
      schemas.parseWith(schemas.checkBodySchema, { ...check, principal: { type: 'User', id: 7 } });
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'INVALID_REQUEST', details: { field: 'principal.id' } });
    }
  });

  it.each([
    ['a lone surrogate', '{"attrs":{"a":"\\ud800"}}', 'attrs: holds text that is not well-formed.'],
    ['a name with one', '{"attrs":{"a":{"\\ud800":1}}}', 'attrs: has a name that is not well-formed text.'],
    ['__proto__', '{"attrs":{"__proto__":{"x":1}}}', 'attrs: has the name __proto__, which is not allowed.'],
    ['attrs that are no object', '{"attrs":[]}', 'attrs: Invalid input: expected record, received array.'],
  ])('refuses an entity with %s, saying so', (_, text, message) => {
    const parse = (): unknown => schemas.parseWith(schemas.entityBodySchema, JSON.parse(text));
    expect(codeOf(parse)).toBe('INVALID_REQUEST');
    expect(parse).toThrow(message);
    const attrs = { a: { b: ['🙂'] } };
    expect(schemas.parseWith(schemas.entityBodySchema, { attrs })).toEqual({ attrs, parents: [] });
  });

  it('gives entities empty attributes and parents, and bounds policies in bytes', () => {
    expect(schemas.parseWith(schemas.entityBodySchema, {})).toEqual({ attrs: {}, parents: [] });
    expect(schemas.policyBodySchema.safeParse('x'.repeat(64 * 1024)).success).toBe(true);
    expect(schemas.policyBodySchema.safeParse('é'.repeat(32 * 1024 + 1)).success).toBe(false);
  });
});

describe('NATS messages', () => {
  it('takes a put of any JSON, null included, but not of nothing', () => {
    const put = { namespace: 'content', key: 'a' };
    expect(schemas.parseWith(schemas.putMessageSchema, { ...put, value: null })).toEqual({
      ...put,
      value: null,
    });
    expect(codeOf(() => schemas.parseWith(schemas.putMessageSchema, put))).toBe('INVALID_REQUEST');
  });

  it('takes a check with a token beside it', () => {
    const check = { principal: { type: 'U', id: 'a' }, action: 'x', resource: { type: 'R', id: 'b' } };
    expect(schemas.parseWith(schemas.checkMessageSchema, { ...check, token: 't' })).toMatchObject({
      token: 't',
    });
    expect(codeOf(() => schemas.parseWith(schemas.getMessageSchema, { namespace: 'content' }))).toBe(
      'INVALID_REQUEST',
    );
  });
});

describe('values and envelopes', () => {
  it('takes any JSON text and nothing else', () => {
    const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
    expect(schemas.parseValue(bytes(' {"a":1} '))).toEqual({ a: 1 });
    expect(schemas.parseValue(bytes('null'))).toBeNull();
    for (const text of ['', ' ', '{', "{'a':1}", 'undefined', '\ufeff1', '1 2']) {
      expect(codeOf(() => schemas.parseValue(bytes(text)))).toBe('INVALID_JSON');
    }
    expect(codeOf(() => schemas.parseValue(new Uint8Array([0x22, 0xff, 0x22])))).toBe('INVALID_JSON');
    expect(codeOf(() => schemas.parseValue(new Uint8Array(512 * 1024 + 1)))).toBe('VALUE_TOO_LARGE');
  });

  it('splices the stored bytes: spellings that a parser would lose come back', () => {
    const value = '{ "b": 1.0, "a": 1e400, "n": 12345678901234567890, "a": "\\u00e9" }';
    const text = Buffer.from(writeEnvelopeJson(entryOf(value))).toString('utf8');
    expect(text).toBe(
      `{"namespace":"content","key":"home/banner","value":${value},"revision":9,"version":2,"createRevision":4}`,
    );
  });

  it('an envelope is JSON that fits its schema, for every key and value', () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
        (value, key) => {
          fc.pre(schemas.keySchema.safeParse(key).success);
          const entry = entryOf(JSON.stringify(value), key);
          const parsed = JSON.parse(Buffer.from(writeEnvelopeJson(entry)).toString('utf8'));
          expect(schemas.parseWith(schemas.entryEnvelopeSchema, parsed)).toEqual(entryEnvelope(entry));
        },
      ),
    );
  });

  it('a list is JSON that fits its schema, empty or not', () => {
    for (const entries of [[], [entryOf('1')], [entryOf('1.0'), entryOf('"x"', 'b')]]) {
      const text = Buffer.from(writeEntriesJson(entries, true, revision(12))).toString('utf8');
      const parsed = schemas.parseWith(schemas.entriesAnswerSchema, JSON.parse(text));
      expect(parsed).toEqual({ entries: entries.map(entryEnvelope), truncated: true, revision: 12 });
    }
  });
});
