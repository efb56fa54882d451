import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

/** Looks up one header of the request by its name in any case. */
export type HeaderReader = (name: string) => string | undefined;

/** A header reader as a handler's parameter. Repeated headers arrive joined by a comma, and are refused as such. */
export const RequestHeaders = createParamDecorator((_: unknown, context: ExecutionContext): HeaderReader => {
  const { headers } = context.switchToHttp().getRequest<FastifyRequest>();
  return (name) => {
    const value = headers[name.toLowerCase()];
    return Array.isArray(value) ? value.join(', ') : value;
  };
});
