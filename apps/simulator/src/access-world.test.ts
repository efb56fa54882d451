import { memberAccess } from '@quorate/access';
import { ACCESS_NAMESPACE, revision, type Entry } from '@quorate/kv';
import { describe, expect, it } from 'vitest';
import {
  accessFoundation,
  drawCheck,
  drawPersonChange,
  drawPolicyChange,
  evaluateSimply,
} from './access-world.js';
import { SeededRandom } from './random.js';
import { encodeText } from './text.js';

describe('decisions by hand', () => {
  it('agree with the engine, whatever was granted and taken away', () => {
    const random = new SeededRandom(1);
    const values = new Map<string, string>();
    let at = 0;
    const entryOf = (key: string): Entry | undefined => {
      const value = values.get(key);
      if (value === undefined) return undefined;
      const now = revision(at);
      return {
        namespace: ACCESS_NAMESPACE,
        key,
        value: encodeText(value),
        revision: now,
        version: 1,
        createRevision: now,
      };
    };
    const state = {
      get: (_: string, key: string) => entryOf(key),
      list: (_: string, { prefix }: { readonly prefix: string }) => ({
        entries: [...values.keys()]
          .filter((key) => key.startsWith(prefix))
          .sort()
          .flatMap((key) => entryOf(key) ?? []),
        truncated: false,
      }),
      namespaceRevision: () => revision(at),
    };
    const access = memberAccess();
    for (const { key, value } of accessFoundation(() => 'somebody')) values.set(key, value ?? '');
    const seen = new Set<string>();
    for (at = 1; at <= 150; at += 1) {
      const draw = random.chance(0.2) ? drawPolicyChange : drawPersonChange;
      const { key, value } = draw(random, `change-${at}`);
      if (value === null) values.delete(key);
      else values.set(key, value);
      const check = drawCheck(random);
      const expected = evaluateSimply(check, (name) => values.get(name) ?? null);
      const { allowed, policies } = access.decide(state, check);
      expect({ allowed, policies }).toEqual(expected);
      seen.add(`${allowed} ${policies.join()}`);
    }
    expect([...seen].sort()).toEqual(['false ', 'false barred', 'true staff']);
  });
});
