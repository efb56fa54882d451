import { hashToken } from '@quorate/api';
import { TOKENS_NAMESPACE } from '@quorate/kv';
import { describeOperation } from '../history.js';
import type { Story } from './story.js';

/**
 * A write by an access token takes effect between the creation of the token and its revocation, in the order of the log, or not at all
 * (R24). And what the token's holder is told agrees: who is acknowledged before he asks is known, who is revoked before he asks is not.
 */
export function checkTokenFences({ world, history, chronicle, tookEffect }: Story): void {
  for (const operation of history.operations) {
    const { token, tokenIs, outcome, code } = operation;
    if (token === null) continue;
    const changes = chronicle.writesOf(TOKENS_NAMESPACE, hashToken(token));
    const at = tookEffect.get(operation);
    const newest = changes.findLast(({ revision }) => at !== undefined && revision < at);
    if (at !== undefined && newest?.type !== 'put') {
      world.violation(
        'nothing is done behind a revocation',
        `${describeOperation(operation)}: it took effect at revision ${at}, when its token was not known`,
      );
    }
    if (tokenIs === 'revoked' && outcome === 'done')
      world.violation('who was revoked is refused', describeOperation(operation));
    if (tokenIs === 'known' && code === 'UNAUTHENTICATED')
      world.violation('who is known is not refused', describeOperation(operation));
  }
}
