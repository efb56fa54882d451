import { revision, type Entry, type Operation } from '@quorate/kv';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { entityKey, parseAccessKey, policyKey } from './keys.js';
import type { AccessSnapshot } from './types.js';
import { validateAccessChange } from './validate-change.js';

const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

function snapshotOf(values: Record<string, unknown>): AccessSnapshot {
  const at = revision(1);
  const entries = new Map<string, Entry>(
    Object.entries(values).map(([key, value]) => [
      key,
      { namespace: 'access', key, value: bytes(value), revision: at, version: 1, createRevision: at },
    ]),
  );
  return {
    revision: at,
    get: (key) => entries.get(key),
    policies: () => [...entries.values()].filter(({ key }) => key.startsWith('policies/')),
  };
}

function put(key: string, value: unknown, namespace = 'access'): Operation {
  const raw = value instanceof Uint8Array ? value : bytes(value);
  return { type: 'put', namespace, key, value: raw, condition: { type: 'none' }, ifNamespaceRevision: null };
}

const empty = snapshotOf({});
const PERMIT = 'permit (principal, action, resource);';
const a = { type: 'Group', id: 'a' };
const b = { type: 'Group', id: 'b' };
const c = { type: 'Group', id: 'c' };

describe('changes of policies', () => {
  it('takes one policy', () => {
    expect(validateAccessChange(empty, put('policies/p1', PERMIT))).toEqual({ ok: true });
    const other = snapshotOf({ 'policies/p1': PERMIT, 'policies/p2': PERMIT });
    expect(validateAccessChange(other, put('policies/p1', `// why\n${PERMIT}`))).toEqual({ ok: true });
  });

  it.each([
    ['no string', { text: PERMIT }, 'must be a JSON string'],
    ['no JSON', new Uint8Array([0xff]), 'must be a JSON string'],
    ['nothing', '', 'there are 0'],
    ['a comment', '// later', 'there are 0'],
    ['two', `${PERMIT} ${PERMIT}`, 'there are 2'],
    ['a template', 'permit (principal == ?principal, action, resource);', 'templates'],
    ['a typing error', 'permit (principal, action resource);', 'unexpected token'],
    [
      'an unknown function',
      'permit (principal, action, resource) when { allowed(principal) };',
      'not a valid function',
    ],
    ['too much', `// ${'x'.repeat(70_000)}\n${PERMIT}`, '64 KiB'],
    ['a lone surrogate', `// \ud800\n${PERMIT}`, 'well-formed'],
  ])('refuses %s, saying why', (_, value, words) => {
    const verdict = validateAccessChange(empty, put('policies/p1', value));
    expect(verdict).toMatchObject({ ok: false, code: 'INVALID_POLICY' });
    expect(verdict.ok ? '' : verdict.message).toContain(words);
  });

  it('refuses the policy after the 256th', () => {
    const many = Object.fromEntries(
      Array.from({ length: 256 }, (_, number) => [`policies/p${number}`, PERMIT]),
    );
    expect(validateAccessChange(snapshotOf(many), put('policies/p7', PERMIT))).toEqual({ ok: true });
    expect(validateAccessChange(snapshotOf(many), put('policies/new', PERMIT))).toMatchObject({ ok: false });
  });
});

describe('changes of entities', () => {
  it('takes attributes, references, and parents that do not exist yet', () => {
    const value = { attrs: { level: 3, owner: { __entity: a }, tags: ['x'] }, parents: [b] };
    expect(validateAccessChange(empty, put(entityKey(c), value))).toEqual({ ok: true });
    expect(validateAccessChange(empty, put(entityKey(c), {}))).toEqual({ ok: true });
  });

  it.each([
    ['no object', 7, 'must be an object'],
    ['an array', [], 'must be an object'],
    ['another field', { attributes: {} }, 'field "attributes"'],
    ['null', { attrs: { x: null } }, 'null'],
    ['a fraction', { attrs: { x: 0.5 } }, 'integers'],
    ['a long number', { attrs: { x: 2 ** 60 } }, 'integers'],
    ['a bad reference', { attrs: { x: { __entity: { type: 'a b', id: 'x' } } } }, 'unexpected token'],
    ['a bad address', { attrs: { x: { __extn: { fn: 'ip', arg: 'x' } } } }, 'invalid IP address'],
    ['parents that are no array', { parents: {} }, 'must be an array'],
    ['a parent with more', { parents: [{ ...a, x: 1 }] }, 'type and id'],
    ['256 parents', { parents: Array.from({ length: 256 }, (_, id) => ({ type: 'G', id: `${id}` })) }, '256'],
    ['itself as a parent', { parents: [c] }, 'its own ancestor'],
  ])('refuses %s, saying why', (_, value, words) => {
    const verdict = validateAccessChange(empty, put(entityKey(c), value));
    expect(verdict).toMatchObject({ ok: false, code: 'INVALID_ENTITY' });
    expect(verdict.ok ? '' : verdict.message).toContain(words);
  });

  it('refuses a type that Cedar does not take', () => {
    expect(validateAccessChange(empty, put(entityKey({ type: 'if', id: 'x' }), {}))).toMatchObject({
      ok: false,
    });
    expect(validateAccessChange(empty, put(entityKey({ type: 'a b', id: 'x' }), {}))).toMatchObject({
      ok: false,
    });
  });

  it('refuses a change that closes a cycle through others', () => {
    const chain = snapshotOf({ [entityKey(a)]: { parents: [b] }, [entityKey(b)]: { parents: [c] } });
    expect(validateAccessChange(chain, put(entityKey(c), { parents: [a] }))).toMatchObject({
      ok: false,
      code: 'INVALID_ENTITY',
      message: 'entity Group::"c": it would be its own ancestor',
    });
    expect(validateAccessChange(chain, put(entityKey(a), { parents: [c] }))).toEqual({ ok: true });
  });

  it('ends on a cycle that is there already, and on long chains', () => {
    const cycle = snapshotOf({ [entityKey(a)]: { parents: [b] }, [entityKey(b)]: { parents: [a] } });
    expect(validateAccessChange(cycle, put(entityKey(c), { parents: [a] }))).toEqual({ ok: true });
    const links = Array.from({ length: 400 }, (_, id): [string, unknown] => [
      entityKey({ type: 'G', id: `${id}` }),
      { parents: [{ type: 'G', id: `${id + 1}` }] },
    ]);
    const long = snapshotOf(Object.fromEntries(links));
    expect(
      validateAccessChange(long, put(entityKey(c), { parents: [{ type: 'G', id: '0' }] })),
    ).toMatchObject({
      ok: false,
      message: expect.stringContaining('256 ancestors'),
    });
  });
});

describe('other changes', () => {
  it('leaves other namespaces alone and lets anything be deleted', () => {
    expect(validateAccessChange(empty, put('policies/p1', 'garbage', 'content'))).toEqual({ ok: true });
    const gone: Operation = {
      type: 'delete',
      namespace: 'access',
      key: 'policies/p1',
      condition: { type: 'none' },
      ifNamespaceRevision: null,
    };
    expect(validateAccessChange(empty, gone)).toEqual({ ok: true });
  });

  it('keeps the namespace itself, and holds nothing but policies and entities', () => {
    expect(validateAccessChange(empty, { type: 'deleteNamespace', namespace: 'access' })).toMatchObject({
      ok: false,
    });
    for (const key of [
      'x',
      'policies/',
      'policies/a/b',
      'policies/%',
      'entities/a',
      'entities/a/b/c',
      'entities//b',
    ]) {
      expect(validateAccessChange(empty, put(key, PERMIT)), key).toMatchObject({ ok: false });
    }
  });
});

describe('keys', () => {
  it('name what they were made of, whatever the text', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(text, text, (type, id) => {
        expect(parseAccessKey(entityKey({ type, id }))).toEqual({ kind: 'entity', reference: { type, id } });
        expect(parseAccessKey(policyKey(id))).toEqual({ kind: 'policy', id });
      }),
    );
  });

  it('have one spelling', () => {
    expect(parseAccessKey('policies/%61')).toBeNull();
    expect(parseAccessKey('entities/User/a%2fb')).toBeNull();
    expect(parseAccessKey('entities/User/a%2Fb')).not.toBeNull();
  });
});
