import fc from 'fast-check';
import { revision } from '@quorate/kv';
import { expect, test } from 'vitest';
import { entryId, HeldEntries } from './held-entries.js';

const NAMESPACES = ['a', 'b'];
const KEYS = ['k', 'l', 'm', 'n'];

test('[C18] what is found is what is held, whatever is replaced, evicted, dropped or too large', () => {
  const step = fc.record({
    action: fc.constantFrom('set', 'set', 'set', 'absent', 'get', 'period', 'drop', 'clear'),
    namespace: fc.constantFrom(...NAMESPACES),
    key: fc.constantFrom(...KEYS),
    bytes: fc.constantFrom(0, 10, 200, 2_000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const held = new HeldEntries(1_000);
      const newest = new Map<string, number>();
      for (const [index, { action, namespace, key, bytes }] of steps.entries()) {
        const id = entryId(namespace, key);
        const at = revision(index + 1);
        if (action === 'set' || action === 'absent') {
          const value = new Uint8Array(bytes);
          const entry = { namespace, key, value, revision: at, version: 1, createRevision: at };
          held.set(id, { namespace, entry: action === 'set' ? entry : null, revision: at });
          newest.set(id, at);
        } else if (action === 'get') held.get(namespace, key);
        else if (action === 'period') held.beginPeriod();
        else if (action === 'drop') held.dropNamespace(namespace);
        else held.clear();
        let found = 0;
        for (const name of NAMESPACES)
          for (const other of KEYS) {
            const otherId = entryId(name, other);
            // Found or not as it is held or not, and never what was there before.
            expect(held.has(otherId)).toBe(held.get(name, other) !== undefined);
            if (!held.has(otherId)) continue;
            found += 1;
            expect(held.get(name, other)?.revision).toBe(newest.get(otherId));
          }
        expect(held.count).toBe(found);
        if (action === 'drop') expect(KEYS.some((other) => held.has(entryId(namespace, other)))).toBe(false);
      }
    }),
    { numRuns: 300 },
  );
});
