import {
  HEADERS,
  QuorateError,
  isNotModified,
  parseValue,
  parseWith,
  policyBodySchema,
  strongEtag,
  writeEnvelopeJson,
  type EntityReference,
} from '@quorate/api';
import { ACCESS_NAMESPACE, type Condition } from '@quorate/kv';
import { bytesAnswer, jsonAnswer, notModified, type Answer } from '../http/answer.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import type { Store } from '../store/store.js';

/** The key of a policy in the namespace `access`. */
export function policyKey(id: string): string {
  return `policies/${encodeURIComponent(id)}`;
}

/** The key of an entity in the namespace `access`. */
export function entityKey({ type, id }: EntityReference): string {
  return `entities/${encodeURIComponent(type)}/${encodeURIComponent(id)}`;
}

/**
 * The text of a policy from a request's body: Cedar as text/plain, a JSON string, or {"policy": "..."}.
 * Throws INVALID_JSON or INVALID_REQUEST.
 */
export function policyTextOf(body: Uint8Array, contentType: string | undefined): string {
  if (/^text\/plain\b/i.test(contentType ?? '')) {
    return parseWith(policyBodySchema, decodeText(body));
  }
  const json = parseValue(body);
  const isObject = typeof json === 'object' && json !== null && 'policy' in json;
  return parseWith(policyBodySchema, isObject ? json.policy : json);
}

function decodeText(body: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new QuorateError('INVALID_REQUEST', 'The policy is not valid UTF-8.');
  }
}

/** A write below /v1/access. The store validates it against all policies and entities before it proposes it. */
export interface AccessWrite {
  readonly token: string;
  readonly key: string;
  readonly condition: Condition;
  readonly idempotencyKey: string | null;
}

export async function putAccess(
  store: Store,
  tokens: ConsistencyTokens,
  write: AccessWrite & { readonly value: Uint8Array },
): Promise<Answer> {
  const { token, key, condition, value, idempotencyKey } = write;
  const written = await store.write(
    token,
    { type: 'put', namespace: ACCESS_NAMESPACE, key, value, condition, ifNamespaceRevision: null },
    idempotencyKey,
  );
  const { revision, version, createRevision, created, head } = written;
  return jsonAnswer(
    created ? 201 : 200,
    { [HEADERS.etag]: strongEtag(revision), [HEADERS.consistencyToken]: tokens.encode(head) },
    { namespace: ACCESS_NAMESPACE, key, revision, version, createRevision, created },
  );
}

export async function deleteAccess(
  store: Store,
  tokens: ConsistencyTokens,
  write: AccessWrite,
): Promise<Answer> {
  const { token, key, condition, idempotencyKey } = write;
  const written = await store.write(
    token,
    { type: 'delete', namespace: ACCESS_NAMESPACE, key, condition, ifNamespaceRevision: null },
    idempotencyKey,
  );
  const headers = { [HEADERS.consistencyToken]: tokens.encode(written.head) };
  return jsonAnswer(200, headers, { namespace: ACCESS_NAMESPACE, key, revision: written.revision });
}

export interface AccessRead {
  readonly token: string;
  readonly key: string;
  readonly ifNoneMatch: string | undefined;
  readonly consistencyToken: string | undefined;
}

/** A policy or entity as it was written, linearizably, in the envelope of every entry. Throws ENTRY_NOT_FOUND. */
export async function readAccess(store: Store, tokens: ConsistencyTokens, read: AccessRead): Promise<Answer> {
  const seen = tokens.decode(read.consistencyToken);
  const { entry, head } = await tokens.checkedAhead(seen, store.get(read.token, ACCESS_NAMESPACE, read.key));
  if (entry === null) {
    throw new QuorateError('ENTRY_NOT_FOUND', undefined, { head });
  }
  const headers = {
    [HEADERS.readConsistency]: 'linearizable',
    [HEADERS.consistencyToken]: tokens.encode(head),
    [HEADERS.etag]: strongEtag(entry.revision),
  };
  return isNotModified(read.ifNoneMatch, entry.revision)
    ? notModified(headers)
    : bytesAnswer(200, headers, writeEnvelopeJson(entry));
}
