import {
  QuorateError,
  entityIdSchema,
  entityTypeSchema,
  parseKey,
  parseNamespaceName,
  parseWith,
  policyIdSchema,
  tokenIdSchema,
  type EntityReference,
  type ErrorCode,
} from '@quorate/api';

// The router decodes parameters in its own way; what names data is therefore read from the URL as it came, by hand.
// Paths: /v1/namespaces/{ns}/entries/{key...}, /v1/access/policies/{id}, /v1/access/entities/{type}/{id}, /v1/access/tokens/{id}
const NAMESPACE_AT = 3;
const KEY_AT = 5;
const POLICY_AT = 4;
const TOKEN_AT = 4;
const ENTITY_TYPE_AT = 4;
const ENTITY_ID_AT = 5;

/** The still encoded path of a request target. Accepts the absolute form too. */
function pathOf(rawUrl: string): string {
  const path = rawUrl.startsWith('/') ? rawUrl : rawUrl.replace(/^https?:\/\/[^/?#]*/i, '');
  const queryAt = path.indexOf('?');
  return queryAt === -1 ? path : path.slice(0, queryAt);
}

/** The path from its segment of this number on; the one before the first slash has the number 0. Empty: there is none. */
function pathFrom(path: string, segment: number): string {
  let from = 0;
  for (let passed = 0; passed < segment; passed += 1) {
    const slashAt = path.indexOf('/', from);
    if (slashAt === -1) {
      return '';
    }
    from = slashAt + 1;
  }
  return path.slice(from);
}

/** One segment of a path, still encoded. Empty: there is none. */
function segmentOf(path: string, segment: number): string {
  const rest = pathFrom(path, segment);
  const slashAt = rest.indexOf('/');
  return slashAt === -1 ? rest : rest.slice(0, slashAt);
}

/**
 * Percent-decodes one part of a path, exactly once: `%2F` becomes a slash of the text and `%2541` becomes `%41`, for
 * whatever was encoded twice stays encoded once.
 */
function decodeOnce(raw: string, code: ErrorCode, field: string): string {
  if (raw.includes('#')) {
    throw new QuorateError(code, 'A # must be written as %23 in a path.', { field });
  }
  try {
    return raw.includes('%') ? decodeURIComponent(raw) : raw;
  } catch {
    throw new QuorateError(code, 'The path is not valid percent-encoded UTF-8.', { field });
  }
}

/** The namespace that a path under /v1/namespaces names. Throws INVALID_NAMESPACE. */
export function namespaceOf(rawUrl: string): string {
  return namespaceIn(pathOf(rawUrl));
}

function namespaceIn(path: string): string {
  return parseNamespaceName(decodeOnce(segmentOf(path, NAMESPACE_AT), 'INVALID_NAMESPACE', 'namespace'));
}

/** Namespace and key of an entry's path; slashes belong to the key. Throws INVALID_NAMESPACE or INVALID_KEY. */
export function entryPathOf(rawUrl: string): { readonly namespace: string; readonly key: string } {
  const path = pathOf(rawUrl);
  const namespace = namespaceIn(path);
  return { namespace, key: parseKey(decodeOnce(pathFrom(path, KEY_AT), 'INVALID_KEY', 'key')) };
}

/** The policy id of a path under /v1/access/policies. Throws INVALID_REQUEST. */
export function policyIdOf(rawUrl: string): string {
  return parseWith(policyIdSchema, decodeOnce(segmentOf(pathOf(rawUrl), POLICY_AT), 'INVALID_REQUEST', 'id'));
}

/** The token id of a path under /v1/access/tokens. Throws INVALID_REQUEST. */
export function tokenIdOfPath(rawUrl: string): string {
  return parseWith(tokenIdSchema, decodeOnce(segmentOf(pathOf(rawUrl), TOKEN_AT), 'INVALID_REQUEST', 'id'));
}

/** Type and id of an entity's path under /v1/access/entities. Throws INVALID_REQUEST. */
export function entityOf(rawUrl: string): EntityReference {
  const path = pathOf(rawUrl);
  return {
    type: parseWith(entityTypeSchema, decodeOnce(segmentOf(path, ENTITY_TYPE_AT), 'INVALID_REQUEST', 'type')),
    id: parseWith(entityIdSchema, decodeOnce(segmentOf(path, ENTITY_ID_AT), 'INVALID_REQUEST', 'id')),
  };
}
