import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

/** Looks up one header of the request by its name in any case. */
export type HeaderReader = (name: string) => string | undefined;

/** A header reader as a handler's parameter. Repeated headers arrive joined by a comma, and are refused as such. */
export const RequestHeaders = createParamDecorator((_: unknown, context: ExecutionContext): HeaderReader => {
  return headerReader(context.switchToHttp().getRequest<FastifyRequest>().headers);
});

export function headerReader(headers: FastifyRequest['headers']): HeaderReader {
  return (name) => {
    const value = headers[name.toLowerCase()];
    return Array.isArray(value) ? value.join(', ') : value;
  };
}
