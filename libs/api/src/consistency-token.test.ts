import fc from 'fast-check';
import { revision } from '@quorate/kv';
import { describe, expect, it } from 'vitest';
import { decodeConsistencyToken, encodeConsistencyToken } from './consistency-token.js';

const key = new Uint8Array(32).fill(7);
const clusterId = '00112233445566ff';

describe('Consistency-Token', () => {
  it('reads back every epoch and revision that it wrote', () => {
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), fc.maxSafeNat(), (epoch, at) => {
        const token = { clusterId, epoch, revision: revision(at) };
        expect(decodeConsistencyToken(key, clusterId, encodeConsistencyToken(key, token))).toEqual(token);
      }),
    );
  });

  const text = encodeConsistencyToken(key, { clusterId, epoch: 3, revision: revision(1234) });

  it('fits in 64 bytes of a header and keeps its format (computed by other means)', () => {
    expect(text).toMatch(/^[A-Za-z0-9_-]{39}$/);
    expect(text).toBe('AQARIjNEVWb_AAAAAwAAAAAAAATSgRcFOVrAcTE');
  });

  it('refuses any changed bit: nobody raises his revision', () => {
    const bytes = Buffer.from(text, 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(['malformed', 'forged', 'foreign cluster']).toContain(
        decodeConsistencyToken(key, clusterId, changed.toString('base64url')),
      );
    }
  });

  it('tells forged, foreign and malformed apart', () => {
    expect(decodeConsistencyToken(new Uint8Array(32), clusterId, text)).toBe('forged');
    expect(decodeConsistencyToken(key, 'ffffffffffffffff', text)).toBe('foreign cluster');
    for (const bad of [
      '',
      'x',
      `${text}A`,
      `${text.slice(0, 38)}=`,
      ` ${text.slice(1)}`,
      text.replace('_', '/'),
    ]) {
      expect(decodeConsistencyToken(key, clusterId, bad)).toBe('malformed');
    }
  });

  it('accepts one spelling only', () => {
    // The last character carries 4 bits of the token: other values of its 2 spare bits decode to the same bytes.
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const sameBytes = [...alphabet]
      .map((last) => text.slice(0, -1) + last)
      .filter((other) => Buffer.from(other, 'base64url').equals(Buffer.from(text, 'base64url')));
    expect(sameBytes.length).toBeGreaterThan(1);
    const accepted = sameBytes.filter(
      (other) => typeof decodeConsistencyToken(key, clusterId, other) === 'object',
    );
    expect(accepted).toEqual([text]);
  });

  it('is total: any text gives a word, never a throw', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (any) => {
        expect(typeof decodeConsistencyToken(key, clusterId, any)).toBe('string');
      }),
    );
  });
});
