import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as gateway from '../apps/gateway/src/access/access-entries.js';
import * as access from '../libs/access/src/keys.js';

// The gateway writes policies and entities where libs/access looks for them. It may not import that library (nothing
// else about access leaves the members), so the two spellings are held together here.
describe('keys of the namespace access', () => {
  it('are spelt alike by the gateway and by libs/access, for any id', () => {
    const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(id, id, (type, name) => {
        expect(gateway.policyKey(name)).toBe(access.policyKey(name));
        expect(gateway.entityKey({ type, id: name })).toBe(access.entityKey({ type, id: name }));
        expect(access.parseAccessKey(gateway.entityKey({ type, id: name }))).toEqual({
          kind: 'entity',
          reference: { type, id: name },
        });
      }),
    );
  });
});
