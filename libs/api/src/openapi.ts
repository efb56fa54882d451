import { z } from 'zod';
import type { Need } from './needs.js';
import { HEADERS } from './headers.js';
import * as schemas from './schemas.js';

type Schema = z.ZodType;

/** One route of the REST API. The gateway's tests walk this table. */
export interface Route {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** As in OpenAPI. `{key}` is the rest of the path: slashes in keys are allowed, encoded or not. */
  readonly path: string;
  /** The right that the caller needs; null: none, and no token. */
  readonly need: Need | null;
  readonly summary: string;
  readonly body?: Schema;
  /** The body may be left out: it then means an empty object. */
  readonly bodyOptional?: boolean;
  readonly query?: z.ZodObject;
  /** Names of request headers that matter here. */
  readonly headers?: readonly string[];
  /** Statuses of success, each with the shape of its body; null: no JSON body. */
  readonly answers: Readonly<Record<number, Schema | null>>;
  /** Media type of a successful answer that is bytes and no JSON. */
  readonly binary?: string;
  /** Statuses of problem documents. */
  readonly problems: readonly number[];
}

const WRITE_HEADERS = [HEADERS.ifMatch, HEADERS.ifNoneMatch, HEADERS.idempotencyKey];
const READ_PROBLEMS = [400, 401, 403, 404, 409, 503];
/** Reads of entries know Cache-Control; 504 is the answer to an only-if-cached that cannot be met. */
const ENTRY_READ_HEADERS = [HEADERS.readConsistency, HEADERS.consistencyToken, HEADERS.cacheControl];
const ENTRY_READ_PROBLEMS = [...READ_PROBLEMS, 504];
const WRITE_PROBLEMS = [400, 401, 403, 404, 409, 412, 413, 415, 422, 503, 504];
const ADMIN_PROBLEMS = [400, 401, 403, 413, 415, 503];
const PARAMETERS: Record<string, Schema> = {
  ns: schemas.namespaceNameSchema,
  key: schemas.keySchema,
  type: schemas.entityTypeSchema,
};

const NAMESPACE_ROUTES: Route[] = [
  {
    method: 'GET',
    path: '/v1/namespaces',
    need: 'namespaces:read',
    summary: 'List the namespaces',
    answers: { 200: schemas.namespacesAnswerSchema },
    problems: READ_PROBLEMS,
  },
  {
    method: 'PUT',
    path: '/v1/namespaces/{ns}',
    need: 'namespaces:write',
    summary: 'Create a namespace; 200 when it exists with the same kind',
    body: schemas.namespaceBodySchema,
    headers: [HEADERS.idempotencyKey],
    answers: { 200: schemas.namespaceAnswerSchema, 201: schemas.namespaceAnswerSchema },
    problems: WRITE_PROBLEMS,
  },
  {
    method: 'GET',
    path: '/v1/namespaces/{ns}',
    need: 'namespaces:read',
    summary: 'Read a namespace, linearizably',
    answers: { 200: schemas.namespaceAnswerSchema },
    problems: READ_PROBLEMS,
  },
  {
    method: 'DELETE',
    path: '/v1/namespaces/{ns}',
    need: 'namespaces:write',
    summary: 'Delete a namespace with its entries; its name keeps its kind',
    headers: [HEADERS.idempotencyKey],
    answers: { 200: schemas.deleteNamespaceAnswerSchema },
    problems: WRITE_PROBLEMS,
  },
  {
    method: 'PUT',
    path: '/v1/namespaces/{ns}/readers',
    need: 'namespaces:write',
    summary: 'Set who may read the entries of a cached namespace; null: whoever may read at all',
    body: schemas.readersBodySchema,
    headers: [HEADERS.idempotencyKey],
    answers: { 200: schemas.namespaceAnswerSchema },
    problems: WRITE_PROBLEMS,
  },
];

const ENTRY_PATH = '/v1/namespaces/{ns}/entries/{key}';
const ENTRY_ROUTES: Route[] = [
  {
    method: 'GET',
    path: '/v1/namespaces/{ns}/entries',
    need: 'entries:read',
    summary: 'List the entries whose key begins with a prefix, linearizably',
    query: schemas.listQuerySchema,
    headers: ENTRY_READ_HEADERS,
    answers: { 200: schemas.entriesAnswerSchema },
    problems: ENTRY_READ_PROBLEMS,
  },
  {
    method: 'GET',
    path: ENTRY_PATH,
    need: 'entries:read',
    summary: 'Read an entry',
    headers: [...ENTRY_READ_HEADERS, HEADERS.ifNoneMatch],
    answers: { 200: schemas.entryEnvelopeSchema, 304: null },
    problems: ENTRY_READ_PROBLEMS,
  },
  {
    method: 'HEAD',
    path: ENTRY_PATH,
    need: 'entries:read',
    summary: 'Read the headers of an entry',
    headers: [...ENTRY_READ_HEADERS, HEADERS.ifNoneMatch],
    answers: { 200: null, 304: null },
    problems: ENTRY_READ_PROBLEMS,
  },
  {
    method: 'PUT',
    path: ENTRY_PATH,
    need: 'entries:write',
    summary: 'Create (201) or replace (200) an entry; the body is its value, kept byte for byte',
    body: z.unknown(),
    headers: WRITE_HEADERS,
    answers: { 200: schemas.writeAnswerSchema, 201: schemas.writeAnswerSchema },
    problems: WRITE_PROBLEMS,
  },
  {
    method: 'DELETE',
    path: ENTRY_PATH,
    need: 'entries:write',
    summary: 'Delete an entry',
    headers: WRITE_HEADERS,
    answers: { 200: schemas.deleteAnswerSchema },
    problems: WRITE_PROBLEMS,
  },
];

/** PUT, GET and DELETE of policies and of entities have the shapes of entries. */
function accessRoutes(path: string, what: string, body: Schema): Route[] {
  return [
    {
      method: 'PUT',
      path,
      need: 'access:write',
      summary: `Create (201) or replace (200) ${what}`,
      body,
      headers: WRITE_HEADERS,
      answers: { 200: schemas.writeAnswerSchema, 201: schemas.writeAnswerSchema },
      problems: WRITE_PROBLEMS,
    },
    {
      method: 'GET',
      path,
      need: 'access:read',
      summary: `Read ${what}, linearizably`,
      headers: [HEADERS.ifNoneMatch],
      answers: { 200: schemas.entryEnvelopeSchema, 304: null },
      problems: READ_PROBLEMS,
    },
    {
      method: 'DELETE',
      path,
      need: 'access:write',
      summary: `Delete ${what}`,
      headers: WRITE_HEADERS,
      answers: { 200: schemas.deleteAnswerSchema },
      problems: WRITE_PROBLEMS,
    },
  ];
}

const TOKEN_ROUTES: Route[] = [
  {
    method: 'POST',
    path: '/v1/access/tokens',
    need: 'access:write',
    summary: 'Make an access token; the answer is the only one that shows it',
    body: schemas.tokenBodySchema,
    answers: { 201: schemas.tokenAnswerSchema },
    problems: [400, 401, 403, 409, 413, 415, 503, 504],
  },
  {
    method: 'GET',
    path: '/v1/access/tokens',
    need: 'access:read',
    summary: 'List the access tokens whose id begins with a prefix, linearizably',
    query: schemas.listQuerySchema,
    answers: { 200: schemas.tokensAnswerSchema },
    problems: READ_PROBLEMS,
  },
  {
    method: 'DELETE',
    path: '/v1/access/tokens/{id}',
    need: 'access:write',
    summary: 'Revoke an access token: from the answer on the store does nothing for it',
    headers: [HEADERS.idempotencyKey],
    answers: { 200: schemas.revokedAnswerSchema },
    problems: [400, 401, 403, 404, 422, 503, 504],
  },
];

const OTHER_ROUTES: Route[] = [
  {
    method: 'GET',
    path: '/v1/cluster',
    need: 'cluster:read',
    summary: 'Members, quorum and the cache of this gateway',
    answers: { 200: schemas.clusterAnswerSchema },
    problems: [401, 403, 503],
  },
  {
    method: 'GET',
    path: '/v1/consistency',
    need: 'cluster:read',
    summary: 'How consistent the cache of this gateway is, as it measures it itself',
    answers: { 200: schemas.consistencyAnswerSchema },
    problems: [401, 403],
  },
  {
    method: 'POST',
    path: '/v1/cluster/transfer',
    need: 'cluster:admin',
    summary: 'Hand leadership to a member, or to the nearest follower; touches no data',
    body: schemas.transferBodySchema,
    bodyOptional: true,
    answers: { 200: schemas.transferAnswerSchema },
    problems: ADMIN_PROBLEMS,
  },
  {
    method: 'POST',
    path: '/v1/cluster/snapshot',
    need: 'cluster:admin',
    summary: 'Make a member, as a rule the leader, take a durable snapshot now',
    body: schemas.snapshotBodySchema,
    bodyOptional: true,
    answers: { 200: schemas.snapshotAnswerSchema },
    problems: ADMIN_PROBLEMS,
  },
  {
    method: 'GET',
    path: '/v1/cluster/backup',
    need: 'cluster:admin',
    summary: 'A backup file with every write acknowledged before; a broken connection means no backup',
    answers: { 200: null },
    binary: 'application/octet-stream',
    problems: [401, 403, 410, 503],
  },
  {
    method: 'GET',
    path: '/healthz',
    need: null,
    summary: 'Whether the process lives; never depends on peers',
    answers: { 200: schemas.healthAnswerSchema },
    problems: [],
  },
  {
    method: 'GET',
    path: '/readyz',
    need: null,
    summary: 'Whether the cache has synced; never depends on quorum',
    answers: { 200: schemas.healthAnswerSchema, 503: schemas.healthAnswerSchema },
    problems: [],
  },
  {
    method: 'GET',
    path: '/metrics',
    need: null,
    summary: 'Prometheus metrics',
    answers: { 200: null },
    problems: [],
  },
  {
    method: 'GET',
    path: '/openapi.json',
    need: null,
    summary: 'This document',
    answers: { 200: z.looseObject({ openapi: z.string() }) },
    problems: [],
  },
];

/** Every route of the REST API. /healthz, /readyz, /metrics and /openapi.json need no token. */
export const ROUTES: readonly Route[] = [
  ...NAMESPACE_ROUTES,
  ...ENTRY_ROUTES,
  {
    method: 'POST',
    path: '/v1/access/check',
    need: 'access:check',
    summary: 'Ask whether a principal may do an action on a resource; decided linearizably, or 503',
    body: schemas.checkBodySchema,
    answers: { 200: schemas.checkAnswerSchema },
    problems: [400, 401, 403, 415, 503],
  },
  ...accessRoutes('/v1/access/policies/{id}', 'a policy', schemas.policyBodySchema),
  ...accessRoutes('/v1/access/entities/{type}/{id}', 'an entity', schemas.entityBodySchema),
  ...TOKEN_ROUTES,
  ...OTHER_ROUTES,
];

type Json = Record<string, unknown>;

/** OpenAPI embeds the JSON Schema dialect itself; `$schema` in each place would only be noise. */
function jsonSchema(schema: Schema, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
}

/** The OpenAPI 3.1 document, made from the schemas and ROUTES. */
export function openApiDocument(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const route of ROUTES) {
    const methods = (paths[route.path] ??= {});
    methods[route.method.toLowerCase()] = operation(route);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Quorate',
      version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description: 'A configuration store that never lies about consistency.',
    },
    paths,
    components: {
      schemas: { Problem: jsonSchema(schemas.problemSchema, 'input') },
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
    },
  };
}

function operation(route: Route): Json {
  const answers: [number, Json][] = Object.entries(route.answers).map(([status, schema]) => [
    Number(status),
    {
      description: successText(Number(status)),
      // io "input": the wire form, before revisions are branded.
      ...(route.binary !== undefined && {
        content: { [route.binary]: { schema: { type: 'string', format: 'binary' } } },
      }),
      ...(schema !== null && { content: { 'application/json': { schema: jsonSchema(schema, 'input') } } }),
    },
  ]);
  const problems: [number, Json][] = route.problems.map((status) => [
    status,
    {
      description: 'A problem document; docs/errors.md explains each code.',
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    },
  ]);
  return {
    operationId: operationId(route),
    summary: route.summary,
    ...(route.need !== null && { 'x-need': route.need }),
    security: route.need === null ? [] : [{ bearer: [] }],
    parameters: parameters(route),
    ...(route.body !== undefined && {
      requestBody: {
        required: route.bodyOptional !== true,
        content: { 'application/json': { schema: jsonSchema(route.body, 'input') } },
      },
    }),
    responses: Object.fromEntries([...answers, ...problems]),
  };
}

function parameters(route: Route): Json[] {
  const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema: jsonSchema(pathParameterSchema(route.path, name), 'input'),
  }));
  const inQuery = Object.entries(route.query?.shape ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    required: false,
    schema: name === 'limit' ? LIMIT_JSON_SCHEMA : jsonSchema(schema, 'input'),
  }));
  const inHeader = (route.headers ?? []).map((name) => ({
    name,
    in: 'header',
    required: false,
    schema: { type: 'string' },
  }));
  return [...inPath, ...inQuery, ...inHeader];
}

/** Written out: the schema takes the text of a query and converts it, which JSON Schema cannot say. */
const LIMIT_JSON_SCHEMA = { type: 'integer', minimum: 1, maximum: 1000, default: schemas.LIST_LIMIT_DEFAULT };

function pathParameterSchema(path: string, name: string): Schema {
  if (name === 'id' && path.includes('/tokens/')) return schemas.tokenIdSchema;
  if (name === 'id') return path.includes('/policies/') ? schemas.policyIdSchema : schemas.entityIdSchema;
  return PARAMETERS[name] ?? z.string();
}

function operationId(route: Route): string {
  const words = route.path.split(/[^A-Za-z0-9]+/).filter((word) => word !== '' && word !== 'v1');
  const camel = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
  return route.method.toLowerCase() + camel;
}

function successText(status: number): string {
  if (status === 201) return 'Created.';
  if (status === 304) return 'Not modified.';
  return status === 200 ? 'Done.' : 'Not ready.';
}
