import { readFileSync, readdirSync } from 'node:fs';
import { revision, type Entry } from '@quorate/kv';
import { describe, expect, it } from 'vitest';
import { AccessEngine } from './engine.js';
import { entityKey, policyKey } from './keys.js';
import type { AccessSnapshot, EntityReference } from './types.js';
import { validateAccessChange } from './validate-change.js';

const folder = new URL('../../../examples/shop/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, folder), 'utf8');

interface ExampleEntity extends EntityReference {
  readonly attrs?: object;
  readonly parents?: EntityReference[];
}
const entities: ExampleEntity[] = JSON.parse(read('entities.json'));
const policies = readdirSync(new URL('policies/', folder)).map((file): [string, string] => [
  file.replace(/\.cedar$/, ''),
  read(`policies/${file}`),
]);

/** Puts everything in the order of load.mjs, each validated against what is there before it. */
function load(): AccessSnapshot {
  const entries = new Map<string, Entry>();
  const snapshot: AccessSnapshot = {
    revision: revision(1),
    get: (key) => entries.get(key),
    policies: () => [...entries.values()].filter(({ key }) => key.startsWith('policies/')),
  };
  const put = (key: string, json: unknown): void => {
    const value = new TextEncoder().encode(JSON.stringify(json));
    const at = revision(1);
    const verdict = validateAccessChange(snapshot, {
      type: 'put',
      namespace: 'access',
      key,
      value,
      condition: { type: 'none' },
      ifNamespaceRevision: null,
    });
    expect(verdict, key).toEqual({ ok: true });
    entries.set(key, { namespace: 'access', key, value, revision: at, version: 1, createRevision: at });
  };
  for (const { type, id, attrs = {}, parents = [] } of entities)
    put(entityKey({ type, id }), { attrs, parents });
  for (const [id, text] of policies) put(policyKey(id), text);
  return snapshot;
}

describe('the example shop', () => {
  const snapshot = load();
  const engine = new AccessEngine();

  // who, what, on what, in which context: the reason
  const cases: [string, string, string, string, object, string][] = [
    ['anna', 'publish', 'Document', 'content/home/banner', {}, 'allowed by policy editors-publish'],
    ['anna', 'edit', 'Document', 'content/pages/imprint', {}, 'denied: no policy permits it'],
    ['anna', 'read', 'Document', 'content/pages/imprint', {}, 'allowed by policy staff-read'],
    [
      'anna',
      'publish',
      'Document',
      'content/campaigns/summer-sale',
      {},
      'denied by policy publication-freeze',
    ],
    ['carla', 'publish', 'Document', 'content/campaigns/summer-sale', {}, 'allowed by policy administrators'],
    ['dario', 'publish', 'Document', 'content/home/banner', {}, 'denied by policy suspended'],
    ['dario', 'read', 'Document', 'content/home/banner', {}, 'denied by policy suspended'],
    ['emil', 'edit', 'Document', 'content/pages/jobs', {}, 'allowed by policy owners'],
    ['emil', 'publish', 'Document', 'content/pages/jobs', {}, 'denied: no policy permits it'],
    ['emil', 'edit', 'Document', 'content/home/banner', {}, 'denied: no policy permits it'],
    ['anna', 'edit', 'Document', 'limits/order', {}, 'denied: no policy permits it'],
    ['carla', 'edit', 'Document', 'limits/order', {}, 'allowed by policy administrators'],
    ['boris', 'read', 'Order', '10017', {}, 'allowed by policy support-reads-orders'],
    ['anna', 'read', 'Order', '10017', {}, 'denied: no policy permits it'],
    ['boris', 'refund', 'Order', '10017', { amountCents: 4380 }, 'allowed by policy support-refunds'],
    ['boris', 'refund', 'Order', '10018', { amountCents: 12_650 }, 'denied: no policy permits it'],
    ['guest', 'read', 'Document', 'content/home/banner', {}, 'denied: no policy permits it'],
    ['nobody', 'read', 'Document', 'content/home/banner', {}, 'denied: there is no principal User::"nobody"'],
  ];
  it.each(cases)('%s, %s, %s %s, %j: %s', (who, action, type, id, context, reason) => {
    const check = {
      principal: { type: 'User', id: who },
      action,
      resource: { type, id },
      context: { ...context },
    };
    const decision = engine.decide(snapshot, check);
    expect(decision.reason).toBe(reason);
    expect(decision.allowed).toBe(reason.startsWith('allowed'));
  });

  it('a refund without an amount is denied, because it cannot be evaluated', () => {
    const decision = engine.decide(snapshot, {
      principal: { type: 'User', id: 'boris' },
      action: 'refund',
      resource: { type: 'Order', id: '10017' },
      context: {},
    });
    expect(decision).toMatchObject({ allowed: false, policies: ['support-refunds'] });
  });

  it('has at least five policies, and entries for each of its namespaces', () => {
    expect(policies.length).toBeGreaterThanOrEqual(5);
    const namespaces: Record<string, string> = JSON.parse(read('namespaces.json'));
    for (const name of Object.keys(namespaces)) {
      expect(Object.keys(JSON.parse(read(`entries/${name}.json`))).length).toBeGreaterThan(0);
    }
  });
});
