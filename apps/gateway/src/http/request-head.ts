import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { bearerToken } from '@quorate/api';
import type { FastifyRequest } from 'fastify';

/** Looks up one header of the request by its name in any case. */
export type HeaderReader = (name: string) => string | undefined;

/** What handlers read of a request besides its body. */
export interface RequestHead {
  /** The caller's bearer token. The guard has let the request in, so there is one. */
  readonly token: string;
  /** Exactly as it came over the wire: never decoded, never normalised. */
  readonly url: string;
  readonly header: HeaderReader;
}

/** The head of the request as a handler's parameter: all in one, for Nest makes a context of its own for each parameter. */
export const RequestHead = createParamDecorator((_: unknown, context: ExecutionContext): RequestHead => {
  const { raw, headers } = context.switchToHttp().getRequest<FastifyRequest>();
  return {
    token: bearerToken(headers.authorization) ?? '',
    url: raw.url ?? '/',
    header: headerReader(headers),
  };
});

/** Repeated headers arrive joined by a comma, and are refused as such. */
export function headerReader(headers: FastifyRequest['headers']): HeaderReader {
  return (name) => {
    const value = headers[name.toLowerCase()];
    return Array.isArray(value) ? value.join(', ') : value;
  };
}
