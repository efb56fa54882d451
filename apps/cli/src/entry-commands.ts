import { randomUUID } from 'node:crypto';
import {
  HEADERS,
  deleteAnswerSchema,
  entriesAnswerSchema,
  entryEnvelopeSchema,
  namespaceAnswerSchema,
  namespacesAnswerSchema,
  writeAnswerSchema,
} from '@quorate/api';
import { CommandError } from './command-error.js';
import { pathPart, send } from './rest.js';
import type { GatewayAccess, RestAnswer } from './rest.js';

const entryPath = (namespace: string, key: string): string =>
  `/v1/namespaces/${pathPart(namespace)}/entries/${pathPart(key)}`;

export interface GetOptions {
  /** Null: the namespace's own level. */
  readonly consistency: string | null;
  readonly verbose: boolean;
}

/** Prints an entry's value byte for byte; verbose: also where the answer comes from and how old it can be at most. */
export async function getEntry(
  access: GatewayAccess,
  namespace: string,
  key: string,
  options: GetOptions,
): Promise<readonly string[]> {
  const headers: Record<string, string> = {};
  if (options.consistency !== null) headers[HEADERS.readConsistency] = options.consistency;
  const answer = await send(access, { method: 'GET', path: entryPath(namespace, key), headers });
  const value = rawValue(answer.text, namespace, key);
  return options.verbose ? [value, ...describe(answer)] : [value];
}

/** The value within an envelope as it was put: number spellings and spaces stay. */
export function rawValue(envelope: string, namespace: string, key: string): string {
  const before = `{"namespace":${JSON.stringify(namespace)},"key":${JSON.stringify(key)},"value":`;
  const after = /,"revision":\d+,"version":\d+,"createRevision":\d+\}$/.exec(envelope);
  if (envelope.startsWith(before) && after !== null) return envelope.slice(before.length, after.index);
  return JSON.stringify(entryEnvelopeSchema.parse(JSON.parse(envelope)).value);
}

function describe({ headers, text }: RestAnswer): readonly string[] {
  const { revision, version } = entryEnvelopeSchema.parse(JSON.parse(text));
  const named = [
    HEADERS.readConsistency,
    HEADERS.staleness,
    HEADERS.cacheStatus,
    HEADERS.etag,
    HEADERS.consistencyToken,
  ];
  const lines = named.map((name) => [name, headers.get(name)] as const).filter(([, value]) => value !== null);
  return [`revision ${revision}, version ${version}`, ...lines.map(([name, value]) => `${name}: ${value}`)];
}

export interface PutOptions {
  /** Only if the entry is still of this revision. */
  readonly ifRevision: number | null;
  /** Only if there is no such entry. */
  readonly create: boolean;
  /** Null: a new one. */
  readonly idempotencyKey: string | null;
}

/** Puts a value, which must be JSON. */
export async function putEntry(
  access: GatewayAccess,
  namespace: string,
  key: string,
  value: string,
  options: PutOptions,
): Promise<readonly string[]> {
  try {
    JSON.parse(value);
  } catch {
    throw new CommandError(`The value is not JSON. Text needs quotes of its own: '${JSON.stringify(value)}'`);
  }
  const idempotencyKey = options.idempotencyKey ?? randomUUID();
  const headers: Record<string, string> = { [HEADERS.idempotencyKey]: idempotencyKey };
  if (options.ifRevision !== null) headers[HEADERS.ifMatch] = `"m${options.ifRevision}"`;
  if (options.create) headers[HEADERS.ifNoneMatch] = '*';
  const answer = await repeatable(idempotencyKey, () =>
    send(access, { method: 'PUT', path: entryPath(namespace, key), body: value, headers }),
  );
  const { created, revision, version } = writeAnswerSchema.parse(JSON.parse(answer.text));
  return [`${created ? 'created' : 'replaced'} at revision ${revision}, version ${version}`];
}

/** A write of unknown outcome can be repeated without harm under its key: says so. */
async function repeatable(idempotencyKey: string, write: () => Promise<RestAnswer>): Promise<RestAnswer> {
  try {
    return await write();
  } catch (error) {
    if (!(error instanceof CommandError) || error.exitCode !== 2) throw error;
    throw new CommandError(
      `${error.message} To repeat it without doing it twice, add --idempotency-key ${idempotencyKey}`,
      2,
    );
  }
}

/** Deletes an entry. */
export async function deleteEntry(
  access: GatewayAccess,
  namespace: string,
  key: string,
): Promise<readonly string[]> {
  const answer = await send(access, { method: 'DELETE', path: entryPath(namespace, key) });
  const { revision } = deleteAnswerSchema.parse(JSON.parse(answer.text));
  return [`deleted at revision ${revision}`];
}

/** Lists entries, one a line: key, tab, value. */
export async function listEntries(
  access: GatewayAccess,
  namespace: string,
  options: { readonly prefix: string; readonly limit: number },
): Promise<readonly string[]> {
  const query = new URLSearchParams({ prefix: options.prefix, limit: String(options.limit) });
  const path = `/v1/namespaces/${pathPart(namespace)}/entries?${query.toString()}`;
  const answer = await send(access, { method: 'GET', path });
  const { entries, truncated } = entriesAnswerSchema.parse(JSON.parse(answer.text));
  const lines = entries.map(({ key, value }) => `${key}\t${JSON.stringify(value)}`);
  return truncated ? [...lines, `(there are more than ${options.limit}; use --limit or --prefix)`] : lines;
}

/** Creates a namespace; one that exists with this kind is fine. */
export async function createNamespace(
  access: GatewayAccess,
  name: string,
  kind: string,
): Promise<readonly string[]> {
  const body = JSON.stringify({ kind });
  const answer = await send(access, { method: 'PUT', path: `/v1/namespaces/${pathPart(name)}`, body });
  const namespace = namespaceAnswerSchema.parse(JSON.parse(answer.text));
  return [`namespace ${namespace.name} is ${namespace.kind}, revision ${namespace.revision}`];
}

/** Deletes a namespace and all that is in it. */
export async function deleteNamespace(access: GatewayAccess, name: string): Promise<readonly string[]> {
  await send(access, { method: 'DELETE', path: `/v1/namespaces/${pathPart(name)}` });
  return [`deleted namespace ${name}; its name keeps its kind`];
}

/** Sets who may read the entries of a cached namespace; null: whoever may read at all. */
export async function setReaders(
  access: GatewayAccess,
  name: string,
  readers: readonly string[] | null,
): Promise<readonly string[]> {
  const path = `/v1/namespaces/${pathPart(name)}/readers`;
  const answer = await send(access, { method: 'PUT', path, body: JSON.stringify({ readers }) });
  const { revision } = namespaceAnswerSchema.parse(JSON.parse(answer.text));
  const who = readers === null ? 'whoever may read entries' : ['the admin', ...readers].join(', ');
  return [`namespace ${name} is read by ${who}, from revision ${revision} on`];
}

/** Lists the namespaces, one a line: name, tab, kind, and its readers if only they may read it. */
export async function listNamespaces(access: GatewayAccess): Promise<readonly string[]> {
  const answer = await send(access, { method: 'GET', path: '/v1/namespaces' });
  const { namespaces } = namespacesAnswerSchema.parse(JSON.parse(answer.text));
  return namespaces.map(({ name, kind, readers = null }) =>
    [name, kind, ...(readers === null ? [] : [`readers: ${readers.join(', ') || 'none'}`])].join('\t'),
  );
}
