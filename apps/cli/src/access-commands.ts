import { checkAnswerSchema } from '@quorate/api';
import { CommandError } from './command-error.js';
import type { ExitCode } from './command-error.js';
import { pathPart, send } from './rest.js';
import type { GatewayAccess } from './rest.js';

/** Lines to print, and the exit code. */
export interface CheckReport {
  readonly lines: readonly string[];
  readonly exitCode: ExitCode;
}

/** Parses `User::alice`: the type ends at the last `::`, since types may contain it and most ids do not. */
export function parseEntityName(text: string): { readonly type: string; readonly id: string } {
  const at = text.lastIndexOf('::');
  if (at <= 0 || at + 2 >= text.length) {
    throw new CommandError(`"${text}" must be written as type::id, for example User::alice.`);
  }
  return { type: text.slice(0, at), id: text.slice(at + 2) };
}

/** Asks for a decision. Denied is exit code 3, so that a script that ignores the words does not go on. */
export async function check(
  access: GatewayAccess,
  question: {
    readonly principal: string;
    readonly action: string;
    readonly resource: string;
    readonly context: string;
  },
): Promise<CheckReport> {
  const body = JSON.stringify({
    principal: parseEntityName(question.principal),
    action: question.action,
    resource: parseEntityName(question.resource),
    context: parseJsonOption('--context', question.context),
  });
  const answer = await send(access, { method: 'POST', path: '/v1/access/check', body });
  const { allowed, reason, revision } = checkAnswerSchema.parse(JSON.parse(answer.text));
  return {
    lines: [`${reason} (access revision ${revision})`],
    exitCode: allowed ? 0 : 3,
  };
}

/** Puts one Cedar policy. */
export async function putPolicy(access: GatewayAccess, id: string, text: string): Promise<readonly string[]> {
  await send(access, {
    method: 'PUT',
    path: `/v1/access/policies/${pathPart(id)}`,
    body: JSON.stringify(text),
  });
  return [`policy ${id} is in force`];
}

/** Deletes one policy. */
export async function deletePolicy(access: GatewayAccess, id: string): Promise<readonly string[]> {
  await send(access, { method: 'DELETE', path: `/v1/access/policies/${pathPart(id)}` });
  return [`policy ${id} is gone`];
}

/** Puts one entity with its attributes and parents. */
export async function putEntity(
  access: GatewayAccess,
  name: string,
  options: { readonly attributes: string; readonly parents: readonly string[] },
): Promise<readonly string[]> {
  const { type, id } = parseEntityName(name);
  const body = JSON.stringify({
    attrs: parseJsonOption('--attributes', options.attributes),
    parents: options.parents.map(parseEntityName),
  });
  await send(access, { method: 'PUT', path: `/v1/access/entities/${pathPart(type)}/${pathPart(id)}`, body });
  return [`entity ${type}::${id} is known`];
}

/** Deletes one entity. */
export async function deleteEntity(access: GatewayAccess, name: string): Promise<readonly string[]> {
  const { type, id } = parseEntityName(name);
  await send(access, { method: 'DELETE', path: `/v1/access/entities/${pathPart(type)}/${pathPart(id)}` });
  return [`entity ${type}::${id} is gone`];
}

function parseJsonOption(option: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CommandError(`${option} must be a JSON object, not "${text}".`);
  }
}
