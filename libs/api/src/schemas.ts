import {
  KEY_BYTES_MAX,
  LIST_LIMIT_MAX,
  NAMESPACE_PATTERN,
  READERS_MAX,
  type Revision,
  TOKENS_NAMESPACE,
  VALUE_BYTES_MAX,
  isBuiltInNamespace,
  isKey,
  isNamespaceName,
  revision,
} from '@quorate/kv';
import { z } from 'zod';
import { ERRORS, type ErrorCode, isErrorCode, QuorateError } from './errors.js';
import {
  SCOPES_MAX,
  isPrincipal,
  isScope,
  isTokenId,
  isTokenName,
  isTokenPrincipal,
} from './token-record.js';

// One schema per shape: controllers, the SDK, the OpenAPI document and tests use these and no copies.

/** The longest policy text, in bytes of UTF-8. */
export const POLICY_BYTES_MAX = 64 * 1024;
/** The largest `context` of a check, as JSON, in UTF-16 code units; and how deep and wide it may be. */
export const CONTEXT_LENGTH_MAX = 48 * 1024;
const CONTEXT_DEPTH_MAX = 32;
const CONTEXT_NODES_MAX = 4096;

const utf8Bytes = (text: string): number => Buffer.byteLength(text, 'utf8');
/** A lone surrogate has no UTF-8 form: two such keys would collide as U+FFFD. */
const isWellFormedText = (text: string): boolean => !/\p{Surrogate}/u.test(text);

// ---- names ------------------------------------------------------------------------------------------------------

export const namespaceNameSchema = z
  .string()
  .regex(NAMESPACE_PATTERN, 'is not a namespace name')
  .meta({ description: 'Name of a namespace.', examples: ['content'] });

export const keySchema = z
  .string()
  .min(1)
  .max(KEY_BYTES_MAX)
  .refine((key) => utf8Bytes(key) <= KEY_BYTES_MAX, 'is longer than 1,024 bytes')
  .refine((key) => !key.includes('\0'), 'holds NUL')
  .refine(isWellFormedText, 'is not well-formed text')
  .meta({
    description: '1 to 1,024 bytes of UTF-8 without NUL; slashes are allowed.',
    examples: ['home/banner'],
  });

export const revisionSchema = z
  .int()
  .min(0)
  .transform((value): Revision => revision(value))
  .meta({ description: 'Revision of the store.' });

export const namespaceKindSchema = z.enum(['strict', 'cached']);

/** Body of PUT /v1/namespaces/{ns}. */
export const namespaceBodySchema = z.strictObject({ kind: namespaceKindSchema });
export type NamespaceBody = z.infer<typeof namespaceBodySchema>;

/** A principal, as tokens stand for him and readers name him. */
export const principalSchema = z
  .string()
  .refine(isPrincipal, 'is not 1 to 256 bytes of text without control characters')
  .meta({ description: 'Whom a token stands for.', examples: ['ada'] });

/** The principals that may read the entries of a cached namespace, besides the admin; null: whoever may read at all. */
const readersSchema = z
  .array(principalSchema)
  .max(READERS_MAX)
  .refine((readers) => new Set(readers).size === readers.length, 'names a principal twice')
  .nullable();

/** Body of PUT /v1/namespaces/{ns}/readers. */
export const readersBodySchema = z.strictObject({ readers: readersSchema });
export type ReadersBody = z.infer<typeof readersBodySchema>;

/** One namespace in an answer. `readers` is not said of one that a PUT found there already. */
export const namespaceAnswerSchema = z.object({
  name: namespaceNameSchema,
  kind: namespaceKindSchema,
  revision: revisionSchema,
  createRevision: revisionSchema,
  readers: readersSchema.optional(),
});
export type NamespaceAnswer = z.infer<typeof namespaceAnswerSchema>;

/** Answer of GET /v1/namespaces. */
export const namespacesAnswerSchema = z.object({
  namespaces: z.array(namespaceAnswerSchema),
  revision: revisionSchema,
});
export type NamespacesAnswer = z.infer<typeof namespacesAnswerSchema>;

// ---- entries ----------------------------------------------------------------------------------------------------

/** The default number of entries in a list. */
export const LIST_LIMIT_DEFAULT = 100;

/** Query of GET /v1/namespaces/{ns}/entries. Comes as text: `limit` is converted. */
export const listQuerySchema = z.strictObject({
  prefix: z
    .string()
    .refine((prefix) => utf8Bytes(prefix) <= KEY_BYTES_MAX, 'is longer than 1,024 bytes')
    .refine((prefix) => !prefix.includes('\0'), 'holds NUL')
    .refine(isWellFormedText, 'is not well-formed text')
    .default(''),
  limit: z
    .union([
      z.int(),
      z
        .string()
        .regex(/^[0-9]{1,4}$/, 'is not a number from 1 to 1000')
        .transform(Number),
    ])
    .pipe(z.int().min(1).max(LIST_LIMIT_MAX))
    .default(LIST_LIMIT_DEFAULT),
});
export type ListQuery = z.infer<typeof listQuerySchema>;

/** An entry as every read answers it. `value` is the JSON that was put, byte for byte. */
export const entryEnvelopeSchema = z.object({
  namespace: namespaceNameSchema,
  key: keySchema,
  value: z.unknown(),
  revision: revisionSchema,
  version: z.int().min(1),
  createRevision: revisionSchema,
});
export type EntryEnvelope = z.infer<typeof entryEnvelopeSchema>;

/** Answer of a list: in order of the keys' UTF-8 bytes, as of `revision`. */
export const entriesAnswerSchema = z.object({
  entries: z.array(entryEnvelopeSchema),
  truncated: z.boolean(),
  revision: revisionSchema,
});
export type EntriesAnswer = z.infer<typeof entriesAnswerSchema>;

/** Answer of a put. */
export const writeAnswerSchema = z.object({
  namespace: namespaceNameSchema,
  key: keySchema,
  revision: revisionSchema,
  version: z.int().min(1),
  createRevision: revisionSchema,
  created: z.boolean(),
});
export type WriteAnswer = z.infer<typeof writeAnswerSchema>;

/** Answer of the deletion of an entry. */
export const deleteAnswerSchema = z.object({
  namespace: namespaceNameSchema,
  key: keySchema,
  revision: revisionSchema,
});
export type DeleteAnswer = z.infer<typeof deleteAnswerSchema>;

/** Answer of the deletion of a namespace. */
export const deleteNamespaceAnswerSchema = z.object({ name: namespaceNameSchema, revision: revisionSchema });
export type DeleteNamespaceAnswer = z.infer<typeof deleteNamespaceAnswerSchema>;

// ---- access -----------------------------------------------------------------------------------------------------

export const policyIdSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'is not a policy id')
  .meta({ description: 'Id of a policy.', examples: ['editors-publish'] });

/** A Cedar entity type. Entities of the type `Action` group the actions of checks. */
export const entityTypeSchema = z
  .string()
  .max(128)
  .regex(/^[A-Za-z_][A-Za-z0-9_]*(::[A-Za-z_][A-Za-z0-9_]*)*$/, 'is not an entity type')
  .meta({ description: 'Type of an entity.', examples: ['User', 'Shop::Document'] });

/** With the longest type, percent-encoded to 300 characters, the entity's key stays below 1,024 bytes. */
const ENTITY_ID_ENCODED_MAX = 640;

export const entityIdSchema = z
  .string()
  .min(1)
  .max(256)
  .refine(isWellFormedText, 'is not well-formed text')
  .refine(
    (id) => !isWellFormedText(id) || encodeURIComponent(id).length <= ENTITY_ID_ENCODED_MAX,
    'is too long when percent-encoded',
  )
  .refine((id) => !id.includes('\0'), 'holds NUL')
  .meta({ description: 'Id of an entity within its type.', examples: ['alice'] });

export const entityReferenceSchema = z.strictObject({ type: entityTypeSchema, id: entityIdSchema });

/**
 * An object for a policy to look into. Looked through before the record is read: that would drop `__proto__` without a
 * word, and a condition on it would then see another object than the caller sent.
 */
const jsonObjectSchema = z.preprocess(
  (value, context) => {
    const fault = jsonFault(value);
    if (fault !== null) context.addIssue(fault);
    return value;
  },
  z.record(z.string(), z.unknown()),
);

/** Body of POST /v1/access/check. */
export const checkBodySchema = z.strictObject({
  principal: entityReferenceSchema,
  action: z.string().min(1).max(128).refine(isWellFormedText, 'is not well-formed text'),
  resource: entityReferenceSchema,
  context: jsonObjectSchema.default({}),
});
export type CheckBody = z.infer<typeof checkBodySchema>;

/** A decision. */
export const checkAnswerSchema = z.object({
  allowed: z.boolean(),
  revision: revisionSchema,
  policies: z.array(z.string()),
  reason: z.string(),
});
export type CheckAnswer = z.infer<typeof checkAnswerSchema>;

export const tokenIdSchema = z
  .string()
  .refine(isTokenId, 'is not 12 hex digits')
  .meta({ description: 'Id of an access token.', examples: ['0123456789ab'] });

/** Body of POST /v1/access/tokens. */
export const tokenBodySchema = z.strictObject({
  name: z.string().refine(isTokenName, 'is not 1 to 256 bytes of text without control characters'),
  principal: principalSchema.refine(isTokenPrincipal, 'is taken by the admin'),
  scopes: z
    .array(
      z
        .string()
        .refine(isScope, 'is no scope: write entries:read, entries:read@content or *')
        .meta({ examples: ['entries:read@content'] }),
    )
    .max(SCOPES_MAX)
    .refine((scopes) => new Set(scopes).size === scopes.length, 'names a scope twice'),
  expiresAt: z.iso
    .datetime({ offset: true })
    .meta({ description: 'From then on the token is not known. Without it: never.' })
    .optional(),
});
export type TokenBody = z.infer<typeof tokenBodySchema>;

const tokenFields = {
  id: tokenIdSchema,
  name: z.string(),
  principal: z.string(),
  scopes: z.array(z.string()),
  expiresAt: z.string().nullable(),
  createRevision: revisionSchema,
};

/** Answer of POST /v1/access/tokens: the only one that has the token itself. */
export const tokenAnswerSchema = z.object({ token: z.string(), ...tokenFields });
export type TokenAnswer = z.infer<typeof tokenAnswerSchema>;

/** Answer of GET /v1/access/tokens. */
export const tokensAnswerSchema = z.object({
  tokens: z.array(z.object(tokenFields)),
  truncated: z.boolean(),
  revision: revisionSchema,
});
export type TokensAnswer = z.infer<typeof tokensAnswerSchema>;

/** Answer of DELETE /v1/access/tokens/{id}. */
export const revokedAnswerSchema = z.object({ id: tokenIdSchema, revision: revisionSchema });
export type RevokedAnswer = z.infer<typeof revokedAnswerSchema>;

/** Body of PUT /v1/access/policies/{id}: the text of one Cedar policy, as a JSON string. */
export const policyBodySchema = z
  .string()
  .min(1)
  .refine((text) => utf8Bytes(text) <= POLICY_BYTES_MAX, 'is longer than 64 KiB')
  .refine(isWellFormedText, 'is not well-formed text')
  .meta({ description: 'The text of exactly one Cedar policy.' });
export type PolicyBody = z.infer<typeof policyBodySchema>;

/** Body of PUT /v1/access/entities/{type}/{id}. */
export const entityBodySchema = z.strictObject({
  attrs: jsonObjectSchema.default({}),
  parents: z.array(entityReferenceSchema).max(255).default([]),
});
export type EntityBody = z.infer<typeof entityBodySchema>;

/** Null: nothing. Walks without recursion: what JSON.parse took may be nested deeper than the stack. */
function jsonFault(root: unknown): string | null {
  const tooMuch = 'is too large, too deep or not JSON';
  const waiting: { value: unknown; depth: number }[] = [{ value: root, depth: 1 }];
  let nodes = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { value, depth } = next;
    nodes += 1;
    if (nodes > CONTEXT_NODES_MAX || depth > CONTEXT_DEPTH_MAX) return tooMuch;
    if (typeof value === 'string' && !isWellFormedText(value)) return 'holds text that is not well-formed';
    if (value === null || typeof value === 'string' || typeof value === 'boolean') continue;
    if (typeof value === 'number' && Number.isFinite(value)) continue;
    if (typeof value !== 'object') return tooMuch;
    const names = Array.isArray(value) ? [] : Object.keys(value);
    if (names.includes('__proto__')) return 'has the name __proto__, which is not allowed';
    if (!names.every(isWellFormedText)) return 'has a name that is not well-formed text';
    const children: unknown[] = Object.values(value);
    if (nodes + waiting.length + children.length > CONTEXT_NODES_MAX) return tooMuch;
    for (const child of children) waiting.push({ value: child, depth: depth + 1 });
  }
  return JSON.stringify(root).length <= CONTEXT_LENGTH_MAX ? null : tooMuch;
}

// ---- cluster and health -----------------------------------------------------------------------------------------

export const peerStateSchema = z.object({ id: z.int(), reachable: z.boolean(), sinceMs: z.number() });

/** What a member says about itself. */
export const memberStatusSchema = z.object({
  id: z.int(),
  clusterId: z.string(),
  epoch: z.int(),
  role: z.enum(['leader', 'follower', 'candidate']),
  term: z.int(),
  leader: z.int().nullable(),
  quorum: z.boolean(),
  commitIndex: z.int(),
  appliedIndex: z.int(),
  lastIndex: z.int(),
  revision: revisionSchema,
  stateHash: z.string(),
  entries: z.int(),
  firstIndex: z.int(),
  snapshotIndex: z.int(),
  logBytes: z.int(),
  diskStalled: z.boolean(),
  diverged: z.boolean(),
  recovering: z.boolean(),
  peers: z.array(peerStateSchema),
});

/** The state of the answering gateway's cache. */
export const cacheStateSchema = z.object({
  state: z.enum(['empty', 'syncing', 'live', 'stale']),
  epoch: z.int(),
  revision: revisionSchema,
  /** Null: no bound is known. */
  stalenessMs: z.number().nullable(),
  quorum: z.boolean(),
});
export type CacheState = z.infer<typeof cacheStateSchema>;

/** Answer of GET /v1/cluster: what this gateway sees. */
export const clusterAnswerSchema = z.object({
  clusterId: z.string(),
  epoch: z.int(),
  quorum: z.boolean(),
  leader: z.int().nullable(),
  members: z.array(
    z.object({
      id: z.int(),
      reachable: z.boolean(),
      /** Null: it did not answer in time. */
      status: memberStatusSchema.nullable(),
    }),
  ),
  cache: cacheStateSchema,
});
export type ClusterAnswer = z.infer<typeof clusterAnswerSchema>;

const levelCountsSchema = z.object({
  eventual: z.int(),
  bounded: z.int(),
  session: z.int(),
  linearizable: z.int(),
});

/** Durations; null where nothing was measured. `share`: of own writes, those that were visible within so long. */
const delaySchema = z.object({
  count: z.int(),
  p50Ms: z.number().nullable(),
  p99Ms: z.number().nullable(),
  p999Ms: z.number().nullable(),
  maxMs: z.number().nullable(),
  points: z.array(z.object({ withinMs: z.number(), share: z.number() })),
});

/** Answer of GET /v1/consistency: the cache of the answering gateway. docs/consistency.md says what each number means. */
export const consistencyAnswerSchema = z.object({
  cache: z.object({
    state: z.enum(['empty', 'syncing', 'live', 'stale']),
    /** Null: never synced. */
    epoch: z.int().nullable(),
    revision: revisionSchema.nullable(),
    /** Null: never probed. */
    lag: z.int().nullable(),
    /** Null: no bound is known. */
    stalenessMs: z.number().nullable(),
    quorum: z.boolean(),
  }),
  visibility: z.object({
    sinceAcknowledged: delaySchema,
    sinceSent: delaySchema,
    waiting: z.int(),
    waitingOldestMs: z.number().nullable(),
    dropped: z.int(),
  }),
  audit: z.object({
    sampleEvery: z.int(),
    samplesUnderWay: z.int(),
    skipped: z.int(),
    windows: z.array(
      z.object({
        afterMs: z.int(),
        results: z.object({
          ok: z.int(),
          stale: z.int(),
          wrong: z.int(),
          absent: z.int(),
          refused: z.int(),
        }),
        /** Null: nothing was looked at. */
        nines: z.number().nullable(),
      }),
    ),
  }),
  /** The bounds that answers of the cache below linearizable stated. `unknown`: those without one. */
  stalenessServed: delaySchema.omit({ points: true }).extend({ unknown: z.int() }),
  reads: z.object({ cache: levelCountsSchema, store: levelCountsSchema, refused: levelCountsSchema }),
  counters: z.object({
    hits: z.int(),
    misses: z.int(),
    fallbacks: z.int(),
    gaps: z.int(),
    resyncs: z.record(z.string(), z.int()),
  }),
});
export type ConsistencyAnswer = z.infer<typeof consistencyAnswerSchema>;

/** Body of POST /v1/cluster/transfer. Without `to` the leader chooses the follower that is nearest to it. */
export const transferBodySchema = z.strictObject({ to: z.int().min(1).max(65_535).optional() });
export type TransferBody = z.infer<typeof transferBodySchema>;

/** `moved` false: the member asked for led already. */
export const transferAnswerSchema = z.object({ leader: z.int(), moved: z.boolean() });
export type TransferAnswer = z.infer<typeof transferAnswerSchema>;

/** Body of POST /v1/cluster/snapshot: there is nothing to say. */
export const snapshotBodySchema = z.strictObject({});

/** `taken` false: the newest durable snapshot was of the applied index already. */
export const snapshotAnswerSchema = z.object({
  index: z.int(),
  revision: revisionSchema,
  payloadBytes: z.int(),
  taken: z.boolean(),
});
export type SnapshotAnswer = z.infer<typeof snapshotAnswerSchema>;

/** Answer of /healthz and /readyz; quorum is a field in both and never their condition. */
export const healthAnswerSchema = z.looseObject({ status: z.string(), quorum: z.boolean() });
export type HealthAnswer = z.infer<typeof healthAnswerSchema>;

// ---- errors -----------------------------------------------------------------------------------------------------

const errorCodeSchema = z
  .string()
  .refine((text): text is ErrorCode => isErrorCode(text), 'is not a code of the catalogue')
  .meta({ enum: Object.keys(ERRORS) });

/** RFC 9457 problem document. */
export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: errorCodeSchema,
  effect: z.enum(['none', 'unknown']),
  whatToDo: z.string(),
  leader: z.int().nullable().optional(),
  members: z.array(peerStateSchema).optional(),
  retryAfterMs: z.number().optional(),
  currentRevision: z.int().nullable().optional(),
  head: z.int().optional(),
  field: z.string().optional(),
});

// ---- NATS messages ----------------------------------------------------------------------------------------------

// Headers of REST become fields here: raw NATS clients and Nest's envelope both carry them. `token` is the caller's
// bearer token, unless the message has an Authorization header.
const credentials = { token: z.string().max(1024).optional() };
const headerText = z.string().max(1024);

/** Request on `quorate.<cluster>.v1.get`; answered with the entry's envelope or a problem document. */
export const getMessageSchema = z.strictObject({
  ...credentials,
  namespace: namespaceNameSchema,
  key: keySchema,
  consistency: headerText.optional(),
  consistencyToken: headerText.optional(),
  cacheControl: headerText.optional(),
});
export type GetMessage = z.infer<typeof getMessageSchema>;

/** Request on `quorate.<cluster>.v1.put`; answered as a put over REST. */
export const putMessageSchema = z.strictObject({
  ...credentials,
  namespace: namespaceNameSchema,
  key: keySchema,
  value: z.unknown().refine((value) => value !== undefined, 'is missing'),
  ifMatch: headerText.optional(),
  ifNoneMatch: headerText.optional(),
  idempotencyKey: z.string().min(1).max(255).optional(),
});
export type PutMessage = z.infer<typeof putMessageSchema>;

/** Request on `quorate.<cluster>.v1.check`; answered with the decision. */
export const checkMessageSchema = checkBodySchema.extend(credentials);
export type CheckMessage = z.infer<typeof checkMessageSchema>;

/** Request on `quorate.<cluster>.v1.transfer`; answered as over REST. */
export const transferMessageSchema = transferBodySchema.extend(credentials);
export type TransferMessage = z.infer<typeof transferMessageSchema>;

/** Request on `quorate.<cluster>.v1.consistency`; answered as over REST, by whichever gateway takes it. */
export const consistencyMessageSchema = z.strictObject(credentials);
export type ConsistencyMessage = z.infer<typeof consistencyMessageSchema>;

/** Request on `quorate.<cluster>.v1.snapshot`; answered as over REST. */
export const snapshotMessageSchema = snapshotBodySchema.extend(credentials);
export type SnapshotMessage = z.infer<typeof snapshotMessageSchema>;

// ---- parsing ----------------------------------------------------------------------------------------------------

/**
 * Parses what came from outside. Throws a QuorateError with `code` (INVALID_REQUEST unless told otherwise) whose
 * message names the first wrong part.
 */
export function parseWith<Output>(
  schema: z.ZodType<Output>,
  input: unknown,
  code: ErrorCode = 'INVALID_REQUEST',
): Output {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = (issue?.path ?? []).map(String).join('.');
  const message = `${field === '' ? 'The request' : field}: ${issue?.message ?? 'is not valid'}.`;
  throw new QuorateError(code, message, field === '' ? {} : { field });
}

// The rules of names stand in kv too. The schemas only say what is wrong: asked first, they were a twentieth of a read.

/** A namespace name from a path. INVALID_NAMESPACE. */
export function parseNamespaceName(input: unknown): string {
  if (typeof input === 'string' && isNamespaceName(input)) return input;
  return parseWith(namespaceNameSchema, input, 'INVALID_NAMESPACE');
}

/** A key from a path, already percent-decoded once. INVALID_KEY. */
export function parseKey(input: unknown): string {
  if (typeof input === 'string' && isKey(input)) return input;
  return parseWith(keySchema, input, 'INVALID_KEY');
}

/** NAMESPACE_RESERVED for the namespaces that only /v1/access writes. */
export function refuseReservedNamespace(name: string): void {
  if (!isBuiltInNamespace(name)) return;
  throw new QuorateError('NAMESPACE_RESERVED', undefined, { field: 'namespace' });
}

/** NAMESPACE_RESERVED for the namespace whose entries are never read as such: they are under the hashes of tokens. */
export function refuseHiddenNamespace(name: string): void {
  if (name !== TOKENS_NAMESPACE) return;
  throw new QuorateError('NAMESPACE_RESERVED', undefined, { field: 'namespace' });
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Makes sure that the bytes of a value are one JSON text in UTF-8, and returns what they say. The bytes themselves are
 * what is stored. VALUE_TOO_LARGE above 512 KiB, else INVALID_JSON.
 */
export function parseValue(bytes: Uint8Array): unknown {
  if (bytes.length > VALUE_BYTES_MAX) throw new QuorateError('VALUE_TOO_LARGE');
  try {
    return JSON.parse(strictUtf8.decode(bytes));
  } catch {
    throw new QuorateError('INVALID_JSON');
  }
}
