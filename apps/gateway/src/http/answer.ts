import { PROBLEM_MEDIA_TYPE, problem, type QuorateError } from '@quorate/api';
import type { FastifyReply } from 'fastify';

/** What a request is answered with. Both transports send it: as status, headers and body, or as a NATS message. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON text, or bytes where a value is kept byte for byte. Null: no body. */
  readonly body: string | Uint8Array | null;
}

const NO_STORE = { 'Cache-Control': 'no-store' } as const;

/** An answer with a JSON body. An HTTP cache in between would be an unlabelled tier: hence no-store, always. */
export function jsonAnswer(status: number, headers: Readonly<Record<string, string>>, body: unknown): Answer {
  return bytesAnswer(status, headers, JSON.stringify(body));
}

/** An answer whose body is JSON already. */
export function bytesAnswer(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array,
): Answer {
  return {
    status,
    headers: { ...NO_STORE, 'Content-Type': 'application/json; charset=utf-8', ...headers },
    body,
  };
}

/** 304: the caller has the newest already. */
export function notModified(headers: Readonly<Record<string, string>>): Answer {
  return { status: 304, headers: { ...NO_STORE, ...headers }, body: null };
}

/** An error together with what is known about how new it is (a 404 of a cache has a staleness like any answer). */
export function problemAnswer(error: QuorateError, headers: Readonly<Record<string, string>>): Answer {
  return {
    status: error.status,
    headers: { ...NO_STORE, 'Content-Type': PROBLEM_MEDIA_TYPE, ...headers },
    body: JSON.stringify(problem(error)),
  };
}

/** Sends an answer over HTTP. */
export async function sendAnswer(reply: FastifyReply, answer: Answer): Promise<void> {
  const body = answer.body instanceof Uint8Array ? Buffer.from(answer.body) : (answer.body ?? undefined);
  await reply.status(answer.status).headers(answer.headers).send(body);
}
