import { revokedAnswerSchema, tokenAnswerSchema, tokensAnswerSchema } from '@quorate/api';
import { CommandError } from './command-error.js';
import { pathPart, send } from './rest.js';
import type { GatewayAccess } from './rest.js';

export interface TokenOptions {
  readonly principal: string;
  readonly scopes: readonly string[];
  /** As somebody wrote it; undefined: never. */
  readonly expires?: string;
}

/** Makes an access token. It stands alone in the first line, so that a script can take it. */
export async function createToken(
  access: GatewayAccess,
  name: string,
  { principal, scopes, expires }: TokenOptions,
): Promise<readonly string[]> {
  const expiresAt = expires === undefined ? {} : { expiresAt: instantOf(expires) };
  const body = JSON.stringify({ name, principal, scopes, ...expiresAt });
  const answer = await send(access, { method: 'POST', path: '/v1/access/tokens', body });
  const made = tokenAnswerSchema.parse(JSON.parse(answer.text));
  return [made.token, `(token ${made.id} of ${principal}; it is not shown again)`];
}

/** Lists the tokens, one a line: id, principal, name, scopes, end. */
export async function listTokens(
  access: GatewayAccess,
  { prefix, limit }: { readonly prefix: string; readonly limit: number },
): Promise<readonly string[]> {
  const query = new URLSearchParams({ prefix, limit: String(limit) });
  const answer = await send(access, { method: 'GET', path: `/v1/access/tokens?${query.toString()}` });
  const { tokens, truncated } = tokensAnswerSchema.parse(JSON.parse(answer.text));
  const lines = tokens.map(({ id, principal, name, scopes, expiresAt }) =>
    [id, principal, name, scopes.join(' ') || '(no scope)', expiresAt ?? 'never expires'].join('\t'),
  );
  return truncated ? [...lines, `(there are more than ${limit}; use --limit or --prefix)`] : lines;
}

/** Revokes a token. */
export async function revokeToken(access: GatewayAccess, id: string): Promise<readonly string[]> {
  const answer = await send(access, { method: 'DELETE', path: `/v1/access/tokens/${pathPart(id)}` });
  const { revision } = revokedAnswerSchema.parse(JSON.parse(answer.text));
  return [`token ${id} is revoked, from revision ${revision} on`];
}

/** A day or an instant, as an instant in UTC. */
function instantOf(text: string): string {
  const ms = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms))
    throw new CommandError(`--expires must be a day or an instant like 2027-01-31T12:00:00Z, not "${text}".`);
  return new Date(ms).toISOString();
}
