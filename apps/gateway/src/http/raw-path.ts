import {
  QuorateError,
  entityIdSchema,
  entityTypeSchema,
  parseKey,
  parseNamespaceName,
  parseWith,
  policyIdSchema,
  type EntityReference,
  type ErrorCode,
} from '@quorate/api';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

// The router decodes parameters in its own way; what names data is therefore read from the URL as it came, by hand.
// Paths: /v1/namespaces/{ns}/entries/{key...}, /v1/access/policies/{id}, /v1/access/entities/{type}/{id}
const NAMESPACE_AT = 3;
const KEY_AT = 5;
const POLICY_AT = 4;
const ENTITY_TYPE_AT = 4;
const ENTITY_ID_AT = 5;

/** The request's URL exactly as it came over the wire: never decoded, never normalised. */
export const RawUrl = createParamDecorator(
  (_: unknown, context: ExecutionContext) =>
    context.switchToHttp().getRequest<FastifyRequest>().raw.url ?? '/',
);

/** The still encoded path segments of a request target; the first one is empty. Accepts the absolute form too. */
function segmentsOf(rawUrl: string): string[] {
  const path = rawUrl.replace(/^https?:\/\/[^/?#]*/i, '').split('?', 1)[0] ?? '';
  return path.split('/');
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
    return decodeURIComponent(raw);
  } catch {
    throw new QuorateError(code, 'The path is not valid percent-encoded UTF-8.', { field });
  }
}

/** The namespace that a path under /v1/namespaces names. Throws INVALID_NAMESPACE. */
export function namespaceOf(rawUrl: string): string {
  return parseNamespaceName(
    decodeOnce(segmentsOf(rawUrl)[NAMESPACE_AT] ?? '', 'INVALID_NAMESPACE', 'namespace'),
  );
}

/** Namespace and key of an entry's path; slashes belong to the key. Throws INVALID_NAMESPACE or INVALID_KEY. */
export function entryPathOf(rawUrl: string): { readonly namespace: string; readonly key: string } {
  const namespace = namespaceOf(rawUrl);
  const raw = segmentsOf(rawUrl).slice(KEY_AT).join('/');
  return { namespace, key: parseKey(decodeOnce(raw, 'INVALID_KEY', 'key')) };
}

/** The policy id of a path under /v1/access/policies. Throws INVALID_REQUEST. */
export function policyIdOf(rawUrl: string): string {
  return parseWith(policyIdSchema, decodeOnce(segmentsOf(rawUrl)[POLICY_AT] ?? '', 'INVALID_REQUEST', 'id'));
}

/** Type and id of an entity's path under /v1/access/entities. Throws INVALID_REQUEST. */
export function entityOf(rawUrl: string): EntityReference {
  const segments = segmentsOf(rawUrl);
  return {
    type: parseWith(entityTypeSchema, decodeOnce(segments[ENTITY_TYPE_AT] ?? '', 'INVALID_REQUEST', 'type')),
    id: parseWith(entityIdSchema, decodeOnce(segments[ENTITY_ID_AT] ?? '', 'INVALID_REQUEST', 'id')),
  };
}
