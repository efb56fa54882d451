import { HEADERS, QuorateError, parseValue, refuseReservedNamespace, strongEtag } from '@quorate/api';
import type { Condition } from '@quorate/kv';
import { jsonAnswer, type Answer } from '../http/answer.js';
import type { ConsistencyTokens } from '../store/consistency-tokens.js';
import type { Store, View } from '../store/store.js';

const IDEMPOTENCY_KEY_BYTES_MAX = 255;
const ASCII_CONTROLS = [...Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)), '\u007F'];

/** A write of one entry, whichever transport it came over. */
export interface EntryWrite {
  readonly token: string;
  readonly namespace: string;
  readonly key: string;
  readonly condition: Condition;
  readonly idempotencyKey: string | null;
}

/** Reads an `Idempotency-Key`; null when there is none. Throws INVALID_REQUEST. */
export function checkedIdempotencyKey(header: string | undefined): string | null {
  if (header === undefined) {
    return null;
  }
  const bytes = Buffer.byteLength(header, 'utf8');
  // A lone surrogate has no UTF-8 form: two keys would become one in the store.
  const isText =
    !/\p{Surrogate}/u.test(header) && !ASCII_CONTROLS.some((control) => header.includes(control));
  if (bytes < 1 || bytes > IDEMPOTENCY_KEY_BYTES_MAX || !isText) {
    const text = `An Idempotency-Key is well-formed text of 1 to ${IDEMPOTENCY_KEY_BYTES_MAX} bytes in UTF-8.`;
    throw new QuorateError('INVALID_REQUEST', text, { field: HEADERS.idempotencyKey });
  }
  return header;
}

/** W1: creates or replaces an entry. 201 created, 200 replaced. `value` is JSON and is kept byte for byte. */
export async function putEntry(
  store: Store,
  view: View,
  tokens: ConsistencyTokens,
  write: EntryWrite & { readonly value: Uint8Array },
): Promise<Answer> {
  const { token, namespace, key, condition, value } = write;
  refuseReservedNamespace(namespace);
  parseValue(value);
  const written = await store.write(
    token,
    { type: 'put', namespace, key, value, condition, ifNamespaceRevision: null },
    write.idempotencyKey,
  );
  view.ownWrite(namespace, key, written.revision);
  const { revision, version, createRevision, created } = written;
  return jsonAnswer(
    created ? 201 : 200,
    { [HEADERS.etag]: strongEtag(revision), [HEADERS.consistencyToken]: tokens.encode(written.head) },
    { namespace, key, revision, version, createRevision, created },
  );
}

/** W1: deletes an entry. */
export async function deleteEntry(
  store: Store,
  view: View,
  tokens: ConsistencyTokens,
  write: EntryWrite,
): Promise<Answer> {
  const { token, namespace, key, condition } = write;
  refuseReservedNamespace(namespace);
  const written = await store.write(
    token,
    { type: 'delete', namespace, key, condition, ifNamespaceRevision: null },
    write.idempotencyKey,
  );
  view.ownWrite(namespace, key, written.revision);
  return jsonAnswer(
    200,
    { [HEADERS.consistencyToken]: tokens.encode(written.head) },
    { namespace, key, revision: written.revision },
  );
}
