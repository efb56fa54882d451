import { bearerToken } from '@quorate/api';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { NatsContext } from '@nestjs/microservices';
import type { FastifyRequest } from 'fastify';

/** The header of a NATS message by a name of any case; undefined when it is not there. */
export function natsHeader(context: NatsContext, name: string): string | undefined {
  const headers: NatsHeaders | undefined = context.getHeaders();
  const written = headers?.keys().find((key) => key.toLowerCase() === name.toLowerCase());
  return written === undefined ? undefined : headers?.get(written);
}

/** The part of the NATS client's headers that is used here. */
interface NatsHeaders {
  keys(): string[];
  get(key: string): string;
}

/** The caller's bearer token, wherever the request came from; null when it carries none. */
export function callerToken(context: ExecutionContext): string | null {
  if (context.getType() === 'rpc') {
    const rpc = context.switchToRpc();
    const header = natsHeader(rpc.getContext<NatsContext>(), 'Authorization');
    return header === undefined ? fieldToken(rpc.getData<unknown>()) : bearerToken(header);
  }
  return bearerToken(context.switchToHttp().getRequest<FastifyRequest>().headers.authorization);
}

/** The `token` field of a message: for clients that cannot set headers. */
function fieldToken(message: unknown): string | null {
  const isObject = typeof message === 'object' && message !== null;
  return isObject && 'token' in message && typeof message.token === 'string' ? message.token : null;
}

/** The caller's token as a handler's parameter. The guard has let the request in, so there is one. */
export const CallerToken = createParamDecorator(
  (_: unknown, context: ExecutionContext) => callerToken(context) ?? '',
);
