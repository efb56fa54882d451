import {
  HEADERS,
  QuorateError,
  refuseReservedNamespace,
  type NamespaceBody,
  type ReadersBody,
} from '@quorate/api';
import type { NamespaceRecord } from '@quorate/kv';
import { jsonAnswer, type Answer } from '../http/answer.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import type { Store, View } from '../store/store.js';

function described(record: NamespaceRecord): object {
  const { name, kind, revision, createRevision, readers } = record;
  return { name, kind, revision, createRevision, readers };
}

/** All namespaces that exist, linearizably. Deleted ones keep their name and kind but are not listed. */
export async function listNamespaces(
  store: Store,
  tokens: ConsistencyTokens,
  read: { readonly token: string; readonly consistencyToken: string | undefined },
): Promise<Answer> {
  const seen = tokens.decode(read.consistencyToken);
  const { records, head } = await tokens.checkedAhead(seen, store.namespaces(read.token));
  const namespaces = records.filter(({ deleted }) => !deleted).map(described);
  return jsonAnswer(200, linearizableAt(tokens.encode(head)), { namespaces, revision: head });
}

/** One namespace, linearizably. Throws NAMESPACE_NOT_FOUND. */
export async function readNamespace(
  store: Store,
  tokens: ConsistencyTokens,
  read: {
    readonly token: string;
    readonly namespace: string;
    readonly consistencyToken: string | undefined;
  },
): Promise<Answer> {
  const seen = tokens.decode(read.consistencyToken);
  const { record, head } = await tokens.checkedAhead(seen, store.namespace(read.token, read.namespace));
  if (record.deleted) {
    throw new QuorateError('NAMESPACE_NOT_FOUND', undefined, { head });
  }
  return jsonAnswer(200, linearizableAt(tokens.encode(head)), described(record));
}

export interface NamespaceWrite {
  readonly token: string;
  readonly namespace: string;
  readonly idempotencyKey: string | null;
}

/** Creates a namespace: 201, or 200 when it exists with the same kind. Throws NAMESPACE_KIND_CONFLICT. */
export async function createNamespace(
  store: Store,
  view: View,
  tokens: ConsistencyTokens,
  write: NamespaceWrite & NamespaceBody,
): Promise<Answer> {
  const { token, namespace, kind } = write;
  refuseReservedNamespace(namespace);
  const written = await store.write(
    token,
    { type: 'createNamespace', namespace, kind },
    write.idempotencyKey,
  );
  const { created, revision, createRevision, head } = written;
  view.ownWrite(namespace, null, revision);
  const headers = { [HEADERS.consistencyToken]: tokens.encode(head) };
  const answer = { name: namespace, kind, revision, createRevision };
  // A new one has no readers; of one that was there the write's answer does not say them.
  return jsonAnswer(created ? 201 : 200, headers, created ? { ...answer, readers: null } : answer);
}

/** Sets who may read the entries of a cached namespace. Throws NAMESPACE_NOT_FOUND or NAMESPACE_NOT_CACHED. */
export async function setReaders(
  store: Store,
  view: View,
  tokens: ConsistencyTokens,
  write: NamespaceWrite & ReadersBody,
): Promise<Answer> {
  const { token, namespace, readers } = write;
  refuseReservedNamespace(namespace);
  const written = await store.write(token, { type: 'setReaders', namespace, readers }, write.idempotencyKey);
  const { revision, createRevision, head } = written;
  // Who was taken away must not be shown anything through this gateway from here on.
  view.ownWrite(namespace, null, revision);
  const headers = { [HEADERS.consistencyToken]: tokens.encode(head) };
  return jsonAnswer(200, headers, { name: namespace, kind: 'cached', revision, createRevision, readers });
}

/** Deletes a namespace with its entries. Throws NAMESPACE_NOT_FOUND. */
export async function deleteNamespace(
  store: Store,
  view: View,
  tokens: ConsistencyTokens,
  write: NamespaceWrite,
): Promise<Answer> {
  const { token, namespace } = write;
  refuseReservedNamespace(namespace);
  const written = await store.write(token, { type: 'deleteNamespace', namespace }, write.idempotencyKey);
  view.ownWrite(namespace, null, written.revision);
  const headers = { [HEADERS.consistencyToken]: tokens.encode(written.head) };
  return jsonAnswer(200, headers, { name: namespace, revision: written.revision });
}

function linearizableAt(consistencyToken: string): Record<string, string> {
  return { [HEADERS.readConsistency]: 'linearizable', [HEADERS.consistencyToken]: consistencyToken };
}
