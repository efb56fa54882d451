import { HEADERS, QuorateError, type CheckRequest } from '@quorate/api';
import { jsonAnswer, type Answer } from '../http/answer.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import type { Store } from '../store/store.js';

/** As JSON in UTF-8. A link to a member carries no check that is larger. */
const CHECK_BYTES_MAX = 64 * 1024;
/** The part of it that the caller sizes; principal, action and resource fit into the rest. */
const CONTEXT_BYTES_MAX = 48 * 1024;

export interface AccessCheck {
  readonly token: string;
  readonly check: CheckRequest;
  readonly consistencyToken: string | undefined;
}

/**
 * Asks the store for a decision, as of now. Without a quorum there is none: the 503 is no "denied". Throws
 * INVALID_REQUEST when the check is too large.
 */
export async function checkAccess(
  store: Store,
  tokens: ConsistencyTokens,
  { token, check, consistencyToken }: AccessCheck,
): Promise<Answer> {
  const seen = tokens.decode(consistencyToken);
  refuseLargeCheck(check);
  const { decision, head } = await tokens.checkedAhead(seen, store.check(token, check));
  const { allowed, revision, policies, reason } = decision;
  const headers = {
    [HEADERS.readConsistency]: 'linearizable',
    [HEADERS.consistencyToken]: tokens.encode(head),
  };
  return jsonAnswer(200, headers, { allowed, revision, policies, reason });
}

function refuseLargeCheck(check: CheckRequest): void {
  const contextBytes = jsonBytes(check.context);
  if (contextBytes > CONTEXT_BYTES_MAX) {
    const text = `context: ${contextBytes} bytes of JSON are more than ${CONTEXT_BYTES_MAX} (48 KiB).`;
    throw new QuorateError('INVALID_REQUEST', text, { field: 'context' });
  }
  const checkBytes = jsonBytes(check);
  if (checkBytes > CHECK_BYTES_MAX) {
    const text = `The check: ${checkBytes} bytes of JSON are more than ${CHECK_BYTES_MAX} (64 KiB).`;
    throw new QuorateError('INVALID_REQUEST', text);
  }
}

function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value), 'utf8');
}
