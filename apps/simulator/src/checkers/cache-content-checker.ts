import { describeRead } from '../gateway.js';
import type { Story } from './story.js';

/**
 * What a cache shows is the state at the one revision that it names, nothing mixed (C1, R1, R2, R7, R8). That
 * is also what forbids a torn revision (R20): whoever sees several keys of one revision sees each of them
 * compared with the whole revision, however many keys a command changes.
 */
export function checkCacheContent({ world, cacheReads, chronicle }: Story): void {
  for (const read of cacheReads) {
    const { outcome, namespace, key, value } = read;
    if (outcome.type !== 'hit') continue;
    const latest = chronicle.latest(namespace, key, outcome.revision);
    const expected = latest === null || latest.value === null ? null : latest;
    const shown = outcome.entry?.revision ?? null;
    if ((expected?.revision ?? null) === shown && (expected?.value ?? null) === value) continue;
    world.violation(
      'a cache shows what was',
      `${describeRead(read)}; at that revision the store had ${expected === null ? 'nothing' : `${expected.value} of ${expected.revision}`}`,
    );
  }
}
