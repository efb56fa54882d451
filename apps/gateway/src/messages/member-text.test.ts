import { QuorateError } from '@quorate/api';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NESTING_MAX, memberText } from './member-text.js';

describe('memberText', () => {
  it.each([
    ['{"value":9007199254740993}', '9007199254740993'],
    ['{"value":1e400,"key":"a"}', '1e400'],
    ['{"key":"a","value":-0}', '-0'],
    ['{"value":0.10000000000000000000000001}', '0.10000000000000000000000001'],
    [' { "value" :\t{ "a" : 1.0, "a" : 2 }\r\n, "key":1 } ', '{ "a" : 1.0, "a" : 2 }'],
    ['{"key":{"value":1},"value":[ ]}', '[ ]'],
    ['{"key":["}","\\"value\\":7",{"value":2}],"value":"\\\\"}', '"\\\\"'],
    ['{"value":1,"value":"\\u00e9é\\"}"}', '"\\u00e9é\\"}"'],
    ['{"\\u0076alue":null}', 'null'],
    ['{"value":true}', 'true'],
  ])('of %s is %s', (json, text) => {
    expect(JSON.parse(json)).toHaveProperty('value');
    expect(memberText(json, 'value')).toBe(text);
  });

  it.each(['{}', ' {"key":{"value":1}} ', '[{"value":1}]', '"value"', 'null', '7'])(
    'of %s is none',
    (json) => {
      expect(memberText(json, 'value')).toBeNull();
    },
  );

  it('says of every member of any object what JSON.parse says', () => {
    const object = fc.dictionary(fc.string({ unit: 'binary', maxLength: 4 }), fc.jsonValue(), {
      noNullPrototype: true,
    });
    fc.assert(
      fc.property(object, fc.constantFrom('', ' ', '\t', '\n '), (made, spacing) => {
        const json = JSON.stringify(made, null, spacing);
        const parsed = new Map(Object.entries(JSON.parse(json)));
        for (const [name, value] of parsed) {
          const text = memberText(json, name);
          expect(text?.trim()).toBe(text);
          expect(JSON.parse(text ?? '')).toEqual(value);
        }
      }),
    );
  });

  it('ends on any text, JSON or not', () => {
    const part = fc.constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', ' ', 'value', '"value"', '1');
    fc.assert(
      fc.property(fc.array(part, { maxLength: 30 }), (parts) => {
        try {
          memberText(parts.join(''), 'value');
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('refuses what is nested too deeply, and takes what is just within', () => {
    const nested = (depth: number): string => `{"value":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    expect(memberText(nested(NESTING_MAX), 'value')).toHaveLength(2 * NESTING_MAX);
    try {
      memberText(nested(100_000), 'value');
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(QuorateError);
      expect(error).toMatchObject({ code: 'INVALID_JSON' });
    }
  });
});
