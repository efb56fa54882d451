/** Two words that whoever writes keys does not know, so that he cannot choose keys that fall together. */
export type KeyHashSeed = readonly [number, number];

/**
 * HalfSipHash-1-3 of some bytes, 32 bits: of all hashes that withstand chosen keys the cheapest without 64-bit numbers. For tables in memory alone,
 * nothing that is stored or sent may depend on it. Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), and the authors' reference code.
 */
export function keyHash(bytes: Uint8Array, offset: number, length: number, seed: KeyHashSeed): number {
  let [v0, v1, v2, v3] = [seed[0], seed[1], seed[0] ^ 0x6c796765, seed[1] ^ 0x74656462];
  const end = offset + length;
  const wordsEnd = end - (length & 3);
  const round = (): void => {
    v0 = (v0 + v1) | 0;
    v1 = rotated(v1, 5) ^ v0;
    v0 = rotated(v0, 16);
    v2 = (v2 + v3) | 0;
    v3 = rotated(v3, 8) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = rotated(v3, 7) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = rotated(v1, 13) ^ v2;
    v2 = rotated(v2, 16);
  };
  for (let at = offset; at < wordsEnd; at += 4) {
    const word = byteAt(at) | (byteAt(at + 1) << 8) | (byteAt(at + 2) << 16) | (byteAt(at + 3) << 24);
    v3 ^= word;
    round();
    v0 ^= word;
  }
  let rest = length << 24;
  for (let at = wordsEnd; at < end; at += 1) rest |= byteAt(at) << ((at - wordsEnd) * 8);
  v3 ^= rest;
  round();
  v0 ^= rest;
  v2 ^= 0xff;
  round();
  round();
  round();
  return (v1 ^ v3) >>> 0;

  function byteAt(at: number): number {
    return bytes[at] ?? 0;
  }
}

function rotated(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
