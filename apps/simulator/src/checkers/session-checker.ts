import { describeRead, type CacheReadRecord } from '../gateway.js';
import type { Story } from './story.js';

/**
 * Sessions: who brings a revision sees at least that one ("read your writes"), a gateway's reads have what was
 * written through it, whoever wrote it, and one gateway process never shows an older revision than it has shown
 * ("monotonic reads", C4, R12).
 */
export function checkSessions({ world, cacheReads }: Story): void {
  const shown = new Map<string, CacheReadRecord>();
  for (const read of cacheReads) {
    const { outcome, minRevision, ownRevision, gateway, process } = read;
    if (outcome.type !== 'hit') continue;
    if (minRevision !== null && outcome.revision < minRevision) {
      world.violation('a session never goes back', describeRead(read));
    }
    if (outcome.revision < ownRevision) world.violation('own writes are read', describeRead(read));
    const life = `${gateway}/${process}`;
    const before = shown.get(life)?.outcome;
    if (before?.type === 'hit' && before.revision > outcome.revision) {
      world.violation(
        'a cache never goes back',
        `${describeRead(read)}, after it had shown revision ${before.revision}`,
      );
    }
    shown.set(life, read);
  }
}
