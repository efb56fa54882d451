import { revision, StateMachine, type Entry } from '@quorate/kv';
import * as cedar from '@cedar-policy/cedar-wasm/nodejs';
import { describe, expect, it } from 'vitest';
import { AccessEngine } from './engine.js';
import { entityKey, policyKey } from './keys.js';
import { accessSnapshot } from './snapshot.js';
import type { AccessSnapshot, AccessState, CheckRequest, EntityReference } from './types.js';

/** The part of a state machine that decisions need. */
class State implements AccessState {
  readonly #entries = new Map<string, Entry>();
  #revision = 0;

  put(key: string, value: unknown): this {
    this.#revision += 1;
    const at = revision(this.#revision);
    const bytes = new TextEncoder().encode(JSON.stringify(value));
    const entry = { namespace: 'access', key, value: bytes, revision: at, version: 1, createRevision: at };
    this.#entries.set(key, entry);
    return this;
  }
  policy(id: string, text: string): this {
    return this.put(policyKey(id), text);
  }
  entity(name: EntityReference, attrs: object = {}, parents: EntityReference[] = []): this {
    return this.put(entityKey(name), { attrs, parents });
  }
  remove(key: string): this {
    this.#revision += 1;
    this.#entries.delete(key);
    return this;
  }
  get(namespace: string, key: string): Entry | undefined {
    return namespace === 'access' ? this.#entries.get(key) : undefined;
  }
  list(
    _namespace: string,
    query: { prefix: string; limit: number },
  ): { entries: Entry[]; truncated: boolean } {
    const found = [...this.#entries.values()].filter(({ key }) => key.startsWith(query.prefix));
    return { entries: found.slice(0, query.limit), truncated: found.length > query.limit };
  }
  namespaceRevision(): ReturnType<typeof revision> {
    return revision(this.#revision);
  }
  get snapshot(): AccessSnapshot {
    return accessSnapshot(this);
  }
}

const user = (id: string): EntityReference => ({ type: 'User', id });
const group = (id: string): EntityReference => ({ type: 'Group', id });
const doc = (id: string): EntityReference => ({ type: 'Doc', id });
const check = (principal: string, action: string, resource: string, context: object = {}): CheckRequest => ({
  principal: user(principal),
  action,
  resource: doc(resource),
  context: { ...context },
});
const link = (to: EntityReference): object => ({ __entity: to });

/** Anna is an editor (and so staff), Bob is nobody in particular, the plan is Anna's. */
function people(): State {
  return new State()
    .entity(group('staff'))
    .entity(group('editors'), {}, [group('staff')])
    .entity(user('anna'), { suspended: false, level: 3 }, [group('editors')])
    .entity(user('bob'), { suspended: false, level: 1 })
    .entity(doc('plan'), { owner: link(user('anna')), level: 2, area: 'x/y' })
    .entity(doc('memo'), { level: 1 });
}

const PERMIT_ALL = 'permit (principal, action, resource);';

describe('decisions', () => {
  // [name, policy, check, allowed]
  const oneCase: [string, string, CheckRequest, boolean][] = [
    ['no condition', PERMIT_ALL, check('bob', 'read', 'plan'), true],
    [
      'another action',
      'permit (principal, action == Action::"read", resource);',
      check('bob', 'write', 'plan'),
      false,
    ],
    [
      'the action',
      'permit (principal, action == Action::"read", resource);',
      check('bob', 'read', 'plan'),
      true,
    ],
    [
      'one of actions',
      'permit (principal, action in [Action::"a", Action::"b"], resource);',
      check('bob', 'b', 'plan'),
      true,
    ],
    [
      'none of actions',
      'permit (principal, action in [Action::"a", Action::"b"], resource);',
      check('bob', 'c', 'plan'),
      false,
    ],
    [
      'the principal',
      'permit (principal == User::"bob", action, resource);',
      check('bob', 'read', 'plan'),
      true,
    ],
    [
      'another principal',
      'permit (principal == User::"bob", action, resource);',
      check('anna', 'read', 'plan'),
      false,
    ],
    [
      'a group',
      'permit (principal in Group::"editors", action, resource);',
      check('anna', 'read', 'plan'),
      true,
    ],
    [
      'a group of a group',
      'permit (principal in Group::"staff", action, resource);',
      check('anna', 'read', 'plan'),
      true,
    ],
    [
      'not in the group',
      'permit (principal in Group::"staff", action, resource);',
      check('bob', 'read', 'plan'),
      false,
    ],
    [
      'a group in a condition',
      'permit (principal, action, resource) when { principal in Group::"staff" };',
      check('anna', 'x', 'plan'),
      true,
    ],
    ['a type', 'permit (principal is User, action, resource is Doc);', check('bob', 'read', 'memo'), true],
    ['another type', 'permit (principal is Robot, action, resource);', check('bob', 'read', 'memo'), false],
    [
      'an attribute',
      'permit (principal, action, resource) when { principal.level >= resource.level };',
      check('anna', 'x', 'plan'),
      true,
    ],
    [
      'an attribute too low',
      'permit (principal, action, resource) when { principal.level >= resource.level };',
      check('bob', 'x', 'plan'),
      false,
    ],
    [
      'the owner',
      'permit (principal, action, resource) when { resource.owner == principal };',
      check('anna', 'x', 'plan'),
      true,
    ],
    [
      'not the owner',
      'permit (principal, action, resource) when { resource.owner == principal };',
      check('bob', 'x', 'plan'),
      false,
    ],
    [
      'a guarded attribute',
      'permit (principal, action, resource) when { resource has owner && resource.owner == principal };',
      check('anna', 'x', 'memo'),
      false,
    ],
    [
      'an attribute of a referred entity',
      'permit (principal, action, resource) when { resource.owner.level == 3 };',
      check('bob', 'x', 'plan'),
      true,
    ],
    [
      'a group of a referred entity',
      'permit (principal, action, resource) when { resource.owner in Group::"staff" };',
      check('bob', 'x', 'plan'),
      true,
    ],
    [
      'like',
      'permit (principal, action, resource) when { resource.area like "x/*" };',
      check('bob', 'x', 'plan'),
      true,
    ],
    [
      'context',
      'permit (principal, action, resource) when { context.mfa };',
      check('bob', 'x', 'plan', { mfa: true }),
      true,
    ],
    [
      'context says no',
      'permit (principal, action, resource) when { context.mfa };',
      check('bob', 'x', 'plan', { mfa: false }),
      false,
    ],
    [
      'context is silent',
      'permit (principal, action, resource) when { context.mfa };',
      check('bob', 'x', 'plan'),
      false,
    ],
    [
      'context of the wrong type',
      'permit (principal, action, resource) when { context.mfa };',
      check('bob', 'x', 'plan', { mfa: 'yes' }),
      false,
    ],
    [
      'an entity in context',
      'permit (principal, action, resource) when { context.by in Group::"staff" };',
      check('bob', 'x', 'plan', { by: link(user('anna')) }),
      true,
    ],
    [
      'an address',
      'permit (principal, action, resource) when { context.from.isInRange(ip("10.0.0.0/8")) };',
      check('bob', 'x', 'plan', { from: { __extn: { fn: 'ip', arg: '10.1.2.3' } } }),
      true,
    ],
    [
      'unless',
      'permit (principal, action, resource) unless { principal.suspended };',
      check('bob', 'x', 'plan'),
      true,
    ],
    [
      'a sum beyond 64 bits',
      'permit (principal, action, resource) when { principal.level + 9223372036854775807 > 0 };',
      check('bob', 'x', 'plan'),
      false,
    ],
  ];
  it.each(oneCase)('%s', (_, text, request, allowed) => {
    const decision = new AccessEngine().decide(people().policy('p1', text).snapshot, request);
    expect(decision.allowed, decision.reason).toBe(allowed);
    if (allowed) expect(decision).toMatchObject({ policies: ['p1'], reason: 'allowed by policy p1' });
    else expect(decision.reason).toMatch(/^denied/);
  });

  it('denies by default, without any policy too', () => {
    expect(new AccessEngine().decide(people().snapshot, check('anna', 'read', 'plan'))).toEqual({
      allowed: false,
      revision: revision(6),
      policies: [],
      reason: 'denied: no policy permits it',
    });
  });

  it('a forbid wins over any number of permits, and is named', () => {
    const state = people()
      .policy('p1', PERMIT_ALL)
      .policy('p2', 'forbid (principal, action, resource) when { resource.level == 2 };')
      .policy('p3', PERMIT_ALL);
    expect(new AccessEngine().decide(state.snapshot, check('anna', 'x', 'plan'))).toMatchObject({
      allowed: false,
      policies: ['p2'],
      reason: 'denied by policy p2',
    });
    expect(new AccessEngine().decide(state.snapshot, check('anna', 'x', 'memo'))).toMatchObject({
      allowed: true,
      policies: ['p1', 'p3'],
      reason: 'allowed by policies p1, p3',
    });
  });

  it('groups of actions are entities as well', () => {
    const state = people()
      .entity({ type: 'Action', id: 'publish' }, {}, [{ type: 'Action', id: 'change' }])
      .entity({ type: 'Action', id: 'change' })
      .policy('p1', 'permit (principal, action in Action::"change", resource);');
    expect(new AccessEngine().decide(state.snapshot, check('bob', 'publish', 'plan')).allowed).toBe(true);
    expect(new AccessEngine().decide(state.snapshot, check('bob', 'read', 'plan')).allowed).toBe(false);
  });

  it('ids may hold slashes, quotes and any letter', () => {
    const odd = 'a/b "c" \\ ü %2F 🙂';
    const state = people().entity(doc(odd)).policy('p1', PERMIT_ALL);
    expect(new AccessEngine().decide(state.snapshot, check('bob', 'x', odd)).allowed).toBe(true);
    expect(new AccessEngine().decide(state.snapshot, check('bob', 'x', 'a')).allowed).toBe(false);
  });
});

describe('fails closed', () => {
  const FORBID_SUSPENDED = 'forbid (principal, action, resource) when { principal.suspended };';

  it('where Cedar itself fails open: a forbid that errs is skipped by Cedar and denies here', () => {
    const entities = [user('eve'), doc('plan')].map((uid) => ({ uid: { ...uid }, attrs: {}, parents: [] }));
    const bare = cedar.isAuthorized({
      principal: user('eve'),
      action: { type: 'Action', id: 'read' },
      resource: doc('plan'),
      context: {},
      policies: { staticPolicies: { p1: PERMIT_ALL, p2: FORBID_SUSPENDED } },
      entities,
    });
    expect(bare).toMatchObject({ type: 'success', response: { decision: 'allow' } });

    const state = people().entity(user('eve')).policy('p1', PERMIT_ALL).policy('p2', FORBID_SUSPENDED);
    const decision = new AccessEngine().decide(state.snapshot, check('eve', 'read', 'plan'));
    expect(decision).toMatchObject({ allowed: false, policies: ['p2'] });
    expect(decision.reason).toContain('policy p2 could not be evaluated');
    expect(decision.reason).toContain('suspended');
  });

  it('any erring policy denies, an erring permit beside a good one too', () => {
    const state = people()
      .policy('p1', PERMIT_ALL)
      .policy('p2', 'permit (principal, action, resource) when { principal.nothing };');
    expect(new AccessEngine().decide(state.snapshot, check('anna', 'x', 'plan'))).toMatchObject({
      allowed: false,
      policies: ['p2'],
    });
  });

  it('a missing principal or resource is a denial that says which', () => {
    const state = people().policy('p1', PERMIT_ALL);
    const engine = new AccessEngine();
    expect(engine.decide(state.snapshot, check('zoe', 'x', 'plan')).reason).toBe(
      'denied: there is no principal User::"zoe"',
    );
    expect(engine.decide(state.snapshot, check('bob', 'x', 'gone')).reason).toBe(
      'denied: there is no resource Doc::"gone"',
    );
    expect(engine.decide(state.snapshot, check('zoe', 'x', 'plan')).allowed).toBe(false);
  });

  it('an entity that only a policy names belongs to the slice: its forbid applies', () => {
    const state = people()
      .entity(group('banned'))
      .entity(user('zed'), {}, [group('banned')])
      .policy('p1', PERMIT_ALL)
      .policy('p2', 'forbid (principal, action, resource) when { User::"zed" in Group::"banned" };');
    expect(new AccessEngine().decide(state.snapshot, check('anna', 'x', 'plan')).reason).toBe(
      'denied by policy p2',
    );
  });

  it('an entity named within a record whose fields look like operators is found too', () => {
    const state = people()
      .entity(group('banned'))
      .entity(user('zed'), {}, [group('banned')])
      .policy('p1', PERMIT_ALL)
      .policy(
        'p2',
        'forbid (principal, action, resource) when { {"in": 1, "==": User::"zed", "__entity": 2}["=="] in Group::"banned" };',
      );
    expect(new AccessEngine().decide(state.snapshot, check('anna', 'x', 'plan')).reason).toBe(
      'denied by policy p2',
    );
  });

  it('an entity of the context belongs to the slice: its forbid applies', () => {
    const state = people()
      .entity(group('banned'))
      .entity(user('zed'), {}, [group('banned')])
      .policy('p1', PERMIT_ALL)
      .policy('p2', 'forbid (principal, action, resource) when { context.by in Group::"banned" };');
    const engine = new AccessEngine();
    expect(engine.decide(state.snapshot, check('anna', 'x', 'plan', { by: link(user('zed')) })).allowed).toBe(
      false,
    );
    expect(engine.decide(state.snapshot, check('anna', 'x', 'plan', { by: link(user('bob')) })).allowed).toBe(
      true,
    );
  });

  it.each([
    ['null within', { a: null }],
    ['a fraction', { a: 1.5 }],
    ['a number that lost digits', { a: 2 ** 53 }],
    ['a bad entity', { a: { __entity: 'x' } }],
    ['a bad type of entity', { a: { __entity: { type: 'x y', id: '1' } } }],
    ['a bad extension', { a: { __extn: { fn: 'ip', arg: 'nowhere' } } }],
    ['an unknown extension', { a: { __extn: { fn: 'exec', arg: 'rm' } } }],
    ['undefined', { a: undefined }],
    ['a function', { a: () => 1 }],
    ['a bigint', { a: 1n }],
    ['depth', JSON.parse('{"a":'.repeat(50_000) + '1' + '}'.repeat(50_000))],
    ['width', { a: Array.from({ length: 5000 }, () => 1) }],
  ])('a context with %s is a denial, not a crash', (_, context) => {
    const state = people().policy('p1', PERMIT_ALL);
    const decision = new AccessEngine().decide(state.snapshot, { ...check('bob', 'x', 'plan'), context });
    expect(decision.allowed).toBe(false);
    expect(decision.reason).toMatch(/^denied: /);
  });

  it.each([
    ['a reserved word as a type', { principal: { type: 'if', id: 'x' } }],
    ['an empty id', { principal: { type: 'User', id: '' } }],
    ['a lone surrogate', { resource: { type: 'Doc', id: '\ud800' } }],
    ['an empty action', { action: '' }],
  ])('%s is a denial', (_, part) => {
    const state = people().entity({ type: 'if', id: 'x' }).policy('p1', PERMIT_ALL);
    const decision = new AccessEngine().decide(state.snapshot, { ...check('bob', 'x', 'plan'), ...part });
    expect(decision.allowed).toBe(false);
  });

  it('a stored value that is no policy denies everything: it might have been a forbid', () => {
    const state = people().policy('p1', PERMIT_ALL).put('policies/p2', { text: 'x' });
    const decision = new AccessEngine().decide(state.snapshot, check('anna', 'x', 'plan'));
    expect(decision).toMatchObject({ allowed: false, reason: 'denied: policies/p2 is not a policy' });
    const broken = people().policy('p1', PERMIT_ALL).policy('p2', 'forbid (');
    expect(new AccessEngine().decide(broken.snapshot, check('anna', 'x', 'plan')).allowed).toBe(false);
  });

  it('a stored value that is no entity denies the checks that rest on it', () => {
    const state = people()
      .policy('p1', PERMIT_ALL)
      .put(entityKey(group('editors')), 7);
    const engine = new AccessEngine();
    expect(engine.decide(state.snapshot, check('anna', 'x', 'plan')).reason).toContain(
      'Group::"editors" cannot be used',
    );
    expect(engine.decide(state.snapshot, check('bob', 'x', 'memo')).allowed).toBe(true);
  });

  it('parents in a cycle deny', () => {
    const state = people()
      .entity(group('a'), {}, [group('b')])
      .entity(group('b'), {}, [group('a')])
      .entity(user('loop'), {}, [group('a')])
      .policy('p1', PERMIT_ALL);
    const decision = new AccessEngine().decide(state.snapshot, check('loop', 'x', 'plan'));
    expect(decision.allowed).toBe(false);
    expect(decision.reason).toContain('cycle');
  });

  it('more policies than one list gives are a denial', () => {
    const state = people();
    for (let number = 0; number <= 1000; number += 1) state.put(`policies/p${number}`, PERMIT_ALL);
    expect(new AccessEngine().decide(state.snapshot, check('anna', 'x', 'plan'))).toMatchObject({
      allowed: false,
    });
  });
});

describe('the slice', () => {
  /** Principal and resource, and `count` groups above the principal. */
  function wide(count: number): State {
    const groups = Array.from({ length: count }, (_, number) => group(`g${number}`));
    const state = new State().entity(user('wide'), {}, groups).entity(doc('plan')).policy('p1', PERMIT_ALL);
    for (const each of groups) state.entity(each);
    return state;
  }

  it('takes 256 entities and denies at 257', () => {
    expect(new AccessEngine().decide(wide(254).snapshot, check('wide', 'x', 'plan')).allowed).toBe(true);
    const decision = new AccessEngine().decide(wide(255).snapshot, check('wide', 'x', 'plan'));
    expect(decision.allowed).toBe(false);
    expect(decision.reason).toContain('ACCESS_SLICE_TOO_LARGE');
  });

  it('bounds references to what does not exist', () => {
    const friends = Array.from({ length: 1020 }, (_, number) => link(user(`nobody${number}`)));
    const state = new State()
      .entity(
        user('wide'),
        { friends },
        Array.from({ length: 200 }, (_, number) => group(`none${number}`)),
      )
      .entity(doc('plan'), { readers: friends.map((_, number) => link(group(`nobody${number}`))) })
      .policy('p1', PERMIT_ALL);
    const decision = new AccessEngine().decide(state.snapshot, check('wide', 'x', 'plan'));
    expect(decision.reason).toContain('ACCESS_SLICE_TOO_LARGE');
  });
});

describe('revisions', () => {
  it('a change of policies takes effect with the next check, in both directions', () => {
    const engine = new AccessEngine();
    const state = people();
    const ask = check('anna', 'x', 'plan');
    expect(engine.decide(state.snapshot, ask).allowed).toBe(false);
    expect(engine.decide(state.policy('p1', PERMIT_ALL).snapshot, ask).allowed).toBe(true);
    expect(
      engine.decide(state.policy('p2', 'forbid (principal, action, resource);').snapshot, ask).allowed,
    ).toBe(false);
    expect(engine.decide(state.remove('policies/p2').snapshot, ask).allowed).toBe(true);
    expect(engine.decide(state.remove('policies/p1').snapshot, ask).allowed).toBe(false);
  });

  it('a change of an entity takes effect with the next check', () => {
    const engine = new AccessEngine();
    const state = people().policy('p1', 'permit (principal in Group::"staff", action, resource);');
    const ask = check('anna', 'x', 'plan');
    expect(engine.decide(state.snapshot, ask).allowed).toBe(true);
    expect(engine.decide(state.entity(user('anna'), { suspended: false }).snapshot, ask).allowed).toBe(false);
    expect(engine.decide(state.entity(user('anna'), {}, [group('editors')]).snapshot, ask).allowed).toBe(
      true,
    );
    expect(engine.decide(state.entity(group('editors')).snapshot, ask).allowed).toBe(false);
  });

  it('says the access revision that it was made at', () => {
    const engine = new AccessEngine();
    const state = people().policy('p1', PERMIT_ALL);
    expect(engine.decide(state.snapshot, check('anna', 'x', 'plan')).revision).toBe(7);
    expect(engine.decide(state.remove('nothing').snapshot, check('anna', 'x', 'plan')).revision).toBe(8);
  });

  it('takes the state machine as it is: an empty one denies at revision 0', () => {
    const decision = new AccessEngine().decide(
      accessSnapshot(new StateMachine()),
      check('anna', 'x', 'plan'),
    );
    expect(decision).toMatchObject({
      allowed: false,
      revision: 0,
      reason: 'denied: there is no principal User::"anna"',
    });
  });

  it('engines of several members in one thread do not see each other', () => {
    const [permitting, forbidding] = [new AccessEngine(), new AccessEngine()];
    const permits = people().policy('p1', PERMIT_ALL);
    const forbids = people().policy('p1', 'forbid (principal, action, resource);');
    for (let round = 0; round < 20; round += 1) {
      const ask = check('anna', `action${round}`, 'plan');
      expect(permitting.decide(permits.snapshot, ask).allowed).toBe(true);
      expect(forbidding.decide(forbids.snapshot, ask).allowed).toBe(false);
    }
  });

  it('remembers boundedly and keeps answers of different contexts apart', () => {
    const engine = new AccessEngine();
    const { snapshot } = people().policy(
      'p1',
      'permit (principal, action, resource) when { context.n > 500 };',
    );
    for (let n = 0; n < 1100; n += 1) {
      expect(engine.decide(snapshot, check('anna', 'x', 'plan', { n })).allowed).toBe(n > 500);
    }
    expect(engine.decide(snapshot, check('anna', 'x', 'plan', { n: 3 })).allowed).toBe(false);
  });
});
