import { problemSchema } from '@quorate/api';
import { readFile } from 'node:fs/promises';
import { CommandError } from './command-error.js';

/** A gateway, and with which token to talk to it. */
export interface GatewayAccess {
  readonly url: string;
  readonly tokenFile: string;
}

export interface RestRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  /** JSON text, sent as it is. */
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** 10,000 unless told otherwise. */
  readonly timeoutMs?: number;
}

export interface RestAnswer {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
}

/** Longer than the gateway's own deadline: it answers before we give up. */
const TIMEOUT_MS = 10_000;
/** Before its first piece a backup may have to wait for a snapshot of everything. */
const IDLE_MS_MAX = 70_000;
/** Failures to connect: the request never left. */
const NOT_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/** Encodes one part of a path. A key is one part: its slashes are allowed to stay. */
export function pathPart(text: string): string {
  return encodeURIComponent(text);
}

/**
 * Sends one request to a gateway. Anything but success is a CommandError with the problem's sentence and what to do; its
 * exit code tells whether a write may have happened.
 */
export async function send(access: GatewayAccess, request: RestRequest): Promise<RestAnswer> {
  const token = await readToken(access.tokenFile);
  const { method, path, body, headers } = request;
  let answer: RestAnswer;
  try {
    const response = await fetch(new URL(path, access.url), {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.timeout(request.timeoutMs ?? TIMEOUT_MS),
    });
    answer = { status: response.status, text: await response.text(), headers: response.headers };
  } catch (error) {
    throw unreachable(access.url, method, path, error);
  }
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw problemOf(answer);
}

/** An answer of any length, in pieces. CommandError when it breaks off, or when nothing comes for 70 seconds. */
export async function* download(access: GatewayAccess, path: string): AsyncGenerator<Uint8Array> {
  const token = await readToken(access.tokenFile);
  const idle = new AbortController();
  const timer = setTimeout(
    () => idle.abort(new Error(`nothing came for ${IDLE_MS_MAX / 1000} s`)),
    IDLE_MS_MAX,
  );
  let answers = false;
  try {
    const response = await fetch(new URL(path, access.url), {
      headers: { authorization: `Bearer ${token}` },
      signal: idle.signal,
    });
    answers = true;
    const { status, headers } = response;
    if (status !== 200) throw problemOf({ status, headers, text: await response.text() });
    for await (const piece of response.body ?? []) {
      timer.refresh();
      yield piece;
    }
  } catch (error) {
    if (error instanceof CommandError) throw error;
    if (!answers) throw unreachable(access.url, 'GET', path, error);
    throw new CommandError(`The gateway at ${access.url} broke its answer off (${codeOf(error)}).`);
  } finally {
    clearTimeout(timer);
    // The reader may stop early: the connection ends with it.
    idle.abort();
  }
}

async function readToken(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch {
    throw new CommandError(
      `There is no token in ${path}: name its file with --token-file (quorate dev writes <dir>/admin.token).`,
    );
  }
}

function unreachable(url: string, method: string, path: string, error: unknown): CommandError {
  const code = codeOf(error);
  // A check is a POST that changes nothing, and what is asked of the cluster changes no data.
  const writes = method !== 'GET' && !path.endsWith('/check') && !path.startsWith('/v1/cluster/');
  if (!writes || NOT_SENT.has(code)) return new CommandError(`No gateway answers at ${url} (${code}).`);
  return new CommandError(
    `The gateway at ${url} did not answer (${code}): the outcome of the write is not known. Read before you repeat it.`,
    2,
  );
}

function codeOf(error: unknown): string {
  const cause: unknown = error instanceof Error ? (error.cause ?? error) : error;
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') return cause.code;
  return cause instanceof Error ? cause.message : String(cause);
}

function problemOf({ status, text }: RestAnswer): CommandError {
  const parsed = problemSchema.safeParse(parseJson(text));
  if (!parsed.success) return new CommandError(`The gateway answered ${status}: ${text.slice(0, 200)}`);
  const { code, detail, whatToDo, effect } = parsed.data;
  return new CommandError(`${code}: ${detail} ${whatToDo}`, effect === 'unknown' ? 2 : 1);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
