import { revision, type Entry, type Operation } from '@quorate/kv';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cedarGeneration, CedarError, useCedar } from './cedar.js';
import { validateEntity } from './entities.js';
import { AccessEngine } from './engine.js';
import { entityKey, policyKey } from './keys.js';
import { MESSAGE_LENGTH_MAX } from './limits.js';
import { validatePolicy } from './policies.js';
import type { AccessSnapshot, CheckRequest, Decision } from './types.js';
import { type AccessChangeVerdict, validateAccessChange } from './validate-change.js';

// What people with the right to change access data, or to check, may send by mistake or on purpose.

const anna = { type: 'User', id: 'anna' };
const ask: CheckRequest = { principal: anna, action: 'read', resource: anna, context: {} };
const PERMIT = 'permit (principal, action, resource);';
const when = (body: string): string => `permit (principal, action, resource) when { ${body} };`;

let revisions = 0;
/** Each value is the JSON text of an entry. */
function snapshotOf(values: Record<string, string>): AccessSnapshot {
  revisions += 1;
  const at = revision(revisions);
  const entries = new Map<string, Entry>();
  for (const [key, text] of Object.entries({ [entityKey(anna)]: '{}', ...values })) {
    const value = new TextEncoder().encode(text);
    entries.set(key, { namespace: 'access', key, value, revision: at, version: 1, createRevision: at });
  }
  return {
    revision: at,
    get: (key) => entries.get(key),
    policies: () => [...entries.values()].filter(({ key }) => key.startsWith('policies/')),
  };
}
const withPolicies = (...texts: string[]): AccessSnapshot =>
  snapshotOf(Object.fromEntries(texts.map((text, at) => [policyKey(`p${at}`), JSON.stringify(text)])));

function validate(key: string, text: string, snapshot = snapshotOf({})): AccessChangeVerdict {
  const value = new TextEncoder().encode(text);
  const condition = { type: 'none' } as const;
  const put: Operation = {
    type: 'put',
    namespace: 'access',
    key,
    value,
    condition,
    ifNamespaceRevision: null,
  };
  return validateAccessChange(snapshot, put);
}
const validatePolicyText = (text: string): AccessChangeVerdict =>
  validate('policies/new', JSON.stringify(text));

function expectAllGood(engine = new AccessEngine()): void {
  expect(validatePolicyText(PERMIT)).toEqual({ ok: true });
  expect(engine.decide(withPolicies(PERMIT), ask).reason).toBe('allowed by policy p0');
}

describe('policies that Cedar cannot bear', () => {
  it.each([
    ['300 parentheses', `${'('.repeat(300)}true${')'.repeat(300)}`],
    ['200 sets in each other', `${'['.repeat(200)}${']'.repeat(200)} == []`],
    ['8,000 additions', `1 == ${'1+'.repeat(8000)}1`],
    ['500 additions', `1 == ${'1+'.repeat(500)}1`],
    ['30,000 attributes', `context${'.a'.repeat(30_000)} == 1`],
    ['500 attributes', `context${'.a'.repeat(500)} == 1`],
    ['4,000 conjunctions', `${'true && '.repeat(4000)}true`],
  ])('%s are INVALID_POLICY, deny when stored nevertheless, and do no harm', (_, body) => {
    const before = cedarGeneration();
    expect(validatePolicyText(when(body))).toMatchObject({ ok: false, code: 'INVALID_POLICY' });
    const engine = new AccessEngine();
    const decision = engine.decide(withPolicies(when(body)), ask);
    expect(decision.allowed).toBe(false);
    expect(decision.reason).toContain('policy p0 cannot be used');
    expectAllGood(engine);
    expect(cedarGeneration(), 'Cedar never saw it').toBe(before);
  });

  it.each([
    ['parentheses', (n: number) => `${'('.repeat(n)}true${')'.repeat(n)}`],
    ['records', (n: number) => `${'{a:'.repeat(n)}1${'}'.repeat(n)} == {}`],
    ['sums in parentheses', (n: number) => `${'(1+'.repeat(n)}1${')'.repeat(n)} == 1`],
    ['additions', (n: number) => `1 == ${'1+'.repeat(n)}1`],
    ['attributes', (n: number) => `context${'.a'.repeat(n)} == 1`],
    ['if', (n: number) => `${'if true then '.repeat(n)}true${' else false'.repeat(n)}`],
    ['both', (n: number) => `${'('.repeat(20)}context${'.a'.repeat(n)}${')'.repeat(20)} == 1`],
  ])('as many %s as are taken can be decided with', (_, body) => {
    let most = 1;
    while (validatePolicyText(when(body(most + 1))).ok) most += 1;
    const before = cedarGeneration();
    expect(new AccessEngine().decide(withPolicies(when(body(most))), ask).reason).toMatch(/policy|policies/);
    expect(cedarGeneration()).toBe(before);
    expect(most).toBeGreaterThan(12);
  });
});

describe('after a trap', () => {
  const trap = (): never => {
    const text = when(`${'('.repeat(2000)}true${')'.repeat(2000)}`);
    useCedar((instance) => instance.checkParsePolicySet({ staticPolicies: { p: text } }));
    throw new Error('Cedar has borne it');
  };

  it('good policies decide again, in an engine that had them parsed too', () => {
    const engine = new AccessEngine();
    const snapshot = withPolicies(PERMIT);
    expect(engine.decide(snapshot, ask).allowed).toBe(true);
    for (let round = 0; round < 3; round += 1) {
      const before = cedarGeneration();
      expect(trap).toThrow(CedarError);
      expect(cedarGeneration()).toBe(before + 1);
      expect(engine.decide(snapshot, { ...ask, action: `round${round}` }).allowed).toBe(true);
      expectAllGood();
    }
  });
});

describe('text that is not well-formed', () => {
  it.each([
    ['in a string', '{"attrs":{"a":"\\ud800"}}'],
    ['in a name', '{"attrs":{"\\udc00":1}}'],
    ['deep within', '{"attrs":{"a":[{"b":"x\\ud83dx"}]}}'],
    ['in a parent', '{"parents":[{"type":"Group","id":"\\ud800"}]}'],
    ['in a reference', '{"attrs":{"a":{"__entity":{"type":"User","id":"\\ud800"}}}}'],
    ['in a field', '{"\\ud800":1}'],
  ])('%s of an entity is INVALID_ENTITY', (_, text) => {
    const before = cedarGeneration();
    expect(validate(entityKey(anna), text)).toMatchObject({ ok: false, code: 'INVALID_ENTITY' });
    expect(validateEntity(anna, JSON.parse(text))).not.toBeNull();
    expect(cedarGeneration()).toBe(before);
  });

  it.each([
    ['the context', { context: { a: '\ud800' } }],
    ['a name of the context', { context: { '\ud800': 1 } }],
    ['the action', { action: '\ud800' }],
    ['the principal', { principal: { type: 'User', id: '\ud800' } }],
    ['the type of the resource', { resource: { type: '\ud800', id: 'a' } }],
  ])('in %s denies, and the parsed policies stay', (_, part) => {
    const engine = new AccessEngine();
    const snapshot = withPolicies(PERMIT);
    const before = cedarGeneration();
    expect(engine.decide(snapshot, ask).allowed).toBe(true);
    expect(engine.decide(snapshot, { ...ask, ...part }).reason).toMatch(/^denied: /);
    expect(engine.decide(snapshot, ask).allowed).toBe(true);
    expect(cedarGeneration()).toBe(before);
  });
});

describe('__proto__', () => {
  it('is refused as a name in attributes and in a context, at any depth', () => {
    for (const json of ['{"__proto__":{"x":1}}', '{"a":[{"__proto__":1}]}']) {
      expect(validate(entityKey(anna), `{"attrs":${json}}`)).toMatchObject({ code: 'INVALID_ENTITY' });
      const decision = new AccessEngine().decide(withPolicies(PERMIT), { ...ask, context: JSON.parse(json) });
      expect(decision.reason).toContain('__proto__');
      expect(decision.allowed).toBe(false);
    }
  });
});

describe('sizes', () => {
  it('all policies together have at most 1 MiB', () => {
    const long = `// ${'x'.repeat(65_000)}\n${PERMIT}`;
    const sixteen = withPolicies(...Array.from({ length: 16 }, () => long));
    const verdict = validate('policies/new', JSON.stringify(long), sixteen);
    expect(verdict).toMatchObject({ code: 'INVALID_POLICY', message: expect.stringContaining('1 MiB') });
    expect(validate('policies/p3', JSON.stringify(long), sixteen)).toEqual({ ok: true });
  });

  it('all policies together have at most 32,768 words and signs', () => {
    const wide = when(`[${'1,'.repeat(950)}1] == []`);
    const many = withPolicies(...Array.from({ length: 17 }, () => wide));
    const verdict = validate('policies/new', JSON.stringify(wide), many);
    expect(verdict).toMatchObject({ code: 'INVALID_POLICY', message: expect.stringContaining('32768') });
  });

  it('policy ids are those of the API', () => {
    expect(validate(policyKey('x'.repeat(129)), JSON.stringify(PERMIT))).toMatchObject({ ok: false });
    expect(validate(policyKey('ü'), JSON.stringify(PERMIT))).toMatchObject({ ok: false });
  });

  it('messages and reasons are clipped, between characters', () => {
    const name = '🙂'.repeat(15_000);
    const verdict = validatePolicyText(when(`context has "${name}" has "${name}"`));
    const message = verdict.ok ? '' : verdict.message;
    const unknown = validate(entityKey(anna), JSON.stringify({ [name]: 1 }));
    const text = when(`ip("${name}") == context.a`);
    const { reason } = new AccessEngine().decide(withPolicies(text), ask);
    for (const each of [message, unknown.ok ? '' : unknown.message, reason]) {
      expect(each.length).toBeGreaterThan(10);
      expect(each.length).toBeLessThanOrEqual(MESSAGE_LENGTH_MAX);
      expect(each).not.toMatch(/\p{Surrogate}/u);
    }
  });
});

describe('whatever comes', () => {
  const repeated = (parts: string[]): fc.Arbitrary<string> =>
    fc
      .array(fc.tuple(fc.constantFrom(...parts), fc.constantFrom(1, 2, 20, 47, 150, 3000)), { maxLength: 6 })
      .map((runs) => runs.map(([part, times]) => part.repeat(times)).join(''));
  const code = repeated([
    ...[
      '(',
      ')',
      '[',
      ']',
      '{',
      '}',
      '1+',
      '1',
      '.a',
      'true && ',
      'false || ',
      '!',
      '-',
      'if true then ',
      ' else 1',
    ],
    ...[
      '"',
      '\\',
      '// ',
      '\n',
      '\r',
      'context',
      ' == ',
      ',',
      'a:',
      '::a',
      'User::"x"',
      ' in ',
      ' has ',
      '\ud800',
      'ü',
    ],
  ]);
  const policy = fc.oneof(code, code.map(when), fc.string({ unit: 'binary' }));
  const odd = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\ud800', '\udfff', '__proto__', '__entity', '__extn'),
  );
  const deep = fc.nat(5000).map((depth) => `${'{"a":['.repeat(depth)}1${']}'.repeat(depth)}`);
  const json = fc.oneof(
    fc.json({ maxDepth: 4 }),
    deep,
    fc.dictionary(odd, fc.oneof(odd, fc.jsonValue())).map((value) => JSON.stringify(value)),
    odd.map((id) => `{"a":{"__entity":{"type":"User","id":${JSON.stringify(id)}}}}`),
    fc.string(),
  );

  const parsed = (text: string): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  };
  function expectDenialOrAllow(decision: Decision): void {
    expect(decision.reason).toMatch(/^(denied|allowed) ?/);
    expect(decision.reason.length).toBeLessThanOrEqual(MESSAGE_LENGTH_MAX);
  }

  it('no policy makes validation or decisions throw, and a simple permit still allows', () => {
    fc.assert(
      fc.property(policy, (text) => {
        const verdict = validatePolicyText(text);
        expect(validatePolicy(text) === null).toBe(verdict.ok);
        if (!verdict.ok) expect(verdict.message.length).toBeLessThanOrEqual(MESSAGE_LENGTH_MAX);
        expectDenialOrAllow(new AccessEngine().decide(withPolicies(text), ask));
        expectAllGood();
      }),
      { numRuns: 300 },
    );
  });

  it('no entity, context or id does either', () => {
    const before = cedarGeneration();
    fc.assert(
      fc.property(json, odd, (text, id) => {
        for (const value of [text, `{"attrs":${text}}`, `{"parents":[${text}]}`]) {
          expect(validate(entityKey(anna), value)).toHaveProperty('ok');
          validateEntity({ type: id, id }, parsed(value));
        }
        const engine = new AccessEngine();
        const snapshot = snapshotOf({
          [entityKey({ type: 'User', id: 'b' })]: text,
          'policies/p0': `"${PERMIT}"`,
        });
        const context = parsed(text) as CheckRequest['context'];
        expectDenialOrAllow(engine.decide(snapshot, { ...ask, context }));
        expectDenialOrAllow(engine.decide(snapshot, { ...ask, resource: { type: 'User', id: 'b' } }));
        expectDenialOrAllow(engine.decide(snapshot, { ...ask, action: id, principal: { type: id, id } }));
        expectAllGood(engine);
      }),
      { numRuns: 300 },
    );
    expect(cedarGeneration(), 'nothing of it made Cedar throw').toBe(before);
  });
});
