import { randomBytes } from 'node:crypto';
import {
  ACCESS_TOKEN_PREFIX,
  ACCESS_TOKEN_RANDOM_BYTES,
  HEADERS,
  QuorateError,
  encodeTokenRecord,
  hashToken,
  tokenIdOf,
  type TokenBody,
  type TokenRecord,
} from '@quorate/api';
import { TOKENS_NAMESPACE } from '@quorate/kv';
import { jsonAnswer, type Answer } from '../http/answer.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import type { Store } from '../store/store.js';

/**
 * Makes an access token: 201, and the only time that it is shown. What is stored is its hash, with whom it stands for. There is no
 * Idempotency-Key: each time another token is made, so one whose answer was lost is to be found in the list and revoked.
 */
export async function createToken(
  store: Store,
  tokens: ConsistencyTokens,
  create: { readonly token: string; readonly body: TokenBody; readonly idempotencyKey: string | undefined },
): Promise<Answer> {
  if (create.idempotencyKey !== undefined) {
    const text =
      'A token is another one each time it is made: list the tokens, and revoke what is not needed.';
    throw new QuorateError('INVALID_REQUEST', text, { field: HEADERS.idempotencyKey });
  }
  const { name, principal, scopes, expiresAt } = create.body;
  const record: TokenRecord = {
    name,
    principal,
    scopes,
    expiresAtMs: expiresAt === undefined ? null : Date.parse(expiresAt),
  };
  const made = ACCESS_TOKEN_PREFIX + randomBytes(ACCESS_TOKEN_RANDOM_BYTES).toString('base64url');
  const key = hashToken(made);
  const written = await store.write(
    create.token,
    {
      type: 'put',
      namespace: TOKENS_NAMESPACE,
      key,
      value: encodeTokenRecord(record),
      condition: { type: 'absent' },
      ifNamespaceRevision: null,
    },
    null,
  );
  const headers = { [HEADERS.consistencyToken]: tokens.encode(written.head) };
  const shown = shownToken({ id: tokenIdOf(key), ...record, createRevision: written.createRevision });
  return jsonAnswer(201, headers, { token: made, ...shown });
}

/** The tokens, linearizably: whom each stands for and what it may do, and of its hash the first 12 digits. */
export async function listTokens(
  store: Store,
  tokens: ConsistencyTokens,
  list: {
    readonly token: string;
    readonly prefix: string;
    readonly limit: number;
    readonly consistencyToken: string | undefined;
  },
): Promise<Answer> {
  const seen = tokens.decode(list.consistencyToken);
  const asked = store.tokens(list.token, list.prefix, list.limit);
  const { tokens: listed, truncated, head } = await tokens.checkedAhead(seen, asked);
  const headers = {
    [HEADERS.readConsistency]: 'linearizable',
    [HEADERS.consistencyToken]: tokens.encode(head),
  };
  return jsonAnswer(200, headers, { tokens: listed.map(shownToken), truncated, revision: head });
}

/** Revokes a token. From this answer on no member does anything for it. Throws ENTRY_NOT_FOUND. */
export async function revokeToken(
  store: Store,
  tokens: ConsistencyTokens,
  revoke: { readonly token: string; readonly id: string; readonly idempotencyKey: string | null },
): Promise<Answer> {
  const { token, id, idempotencyKey } = revoke;
  const written = await store.write(
    token,
    {
      type: 'delete',
      namespace: TOKENS_NAMESPACE,
      key: id,
      condition: { type: 'none' },
      ifNamespaceRevision: null,
    },
    idempotencyKey,
  );
  const headers = { [HEADERS.consistencyToken]: tokens.encode(written.head) };
  return jsonAnswer(200, headers, { id, revision: written.revision });
}

function shownToken(token: TokenRecord & { readonly id: string; readonly createRevision: number }): object {
  const { id, name, principal, scopes, expiresAtMs, createRevision } = token;
  const expiresAt = expiresAtMs === null ? null : new Date(expiresAtMs).toISOString();
  return { id, name, principal, scopes, expiresAt, createRevision };
}
