import { PROBLEM_MEDIA_TYPE, QuorateError, problem } from '@quorate/api';
import type { Answer } from '../http/answer.js';
import { memberText } from './member-text.js';

/** A request as it came: plain JSON, Nest's envelope {id, pattern, data}, or neither. `text` is the whole message. */
export type DecodedMessage =
  | { readonly type: 'plain'; readonly text: string; readonly data: unknown }
  | { readonly type: 'envelope'; readonly text: string; readonly id: string; readonly data: unknown }
  | { readonly type: 'malformed' };

export interface EncodedReply {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Tells Nest's envelope from plain JSON. Total: bytes that are no JSON object in UTF-8 are `malformed`. */
export function decodeMessage(bytes: Uint8Array): DecodedMessage {
  let text: string;
  let message: unknown;
  try {
    text = decoder.decode(bytes);
    message = JSON.parse(text);
  } catch {
    return { type: 'malformed' };
  }
  if (typeof message !== 'object' || message === null) {
    return { type: 'malformed' };
  }
  if ('id' in message && typeof message.id === 'string' && 'pattern' in message) {
    return { type: 'envelope', text, id: message.id, data: 'data' in message ? message.data : undefined };
  }
  return { type: 'plain', text, data: message };
}

/** The text of a member of the request, byte for byte as it was sent. Null: no such member. Throws INVALID_JSON. */
export function requestMemberText(request: DecodedMessage, name: string): string | null {
  if (request.type === 'malformed') {
    return null;
  }
  const data = request.type === 'plain' ? request.text : memberText(request.text, 'data');
  return data === null ? null : memberText(data, name);
}

/**
 * The reply to a request. Plain requests get the body as it is, values byte for byte, and the headers that REST would
 * have. Nest's get {response | err, isDisposed, id} around it. Errors are problem documents either way, and carry the
 * headers that NATS services use for errors.
 */
export function encodeReply(request: DecodedMessage, outcome: Answer | QuorateError): EncodedReply {
  const answer = outcome instanceof QuorateError ? problemReply(outcome) : outcome;
  const isError = answer.status >= 400;
  const body = answer.body === null ? Buffer.from('null') : Buffer.from(answer.body);
  const headers = { ...answer.headers, Status: String(answer.status), ...(isError && errorHeaders(answer)) };
  if (request.type !== 'envelope') {
    return { headers, body };
  }
  const head = `{"${isError ? 'err' : 'response'}":`;
  const tail = `,"isDisposed":true,"id":${JSON.stringify(request.id)}}`;
  return { headers, body: Buffer.concat([Buffer.from(head), body, Buffer.from(tail)]) };
}

function problemReply(error: QuorateError): Answer {
  return {
    status: error.status,
    headers: { 'Content-Type': PROBLEM_MEDIA_TYPE },
    body: JSON.stringify(problem(error)),
  };
}

function errorHeaders(answer: Answer): Record<string, string> {
  return {
    'Nats-Service-Error-Code': String(answer.status),
    'Nats-Service-Error': 'see the problem document',
  };
}
