import { QuorateError } from '@quorate/api';
import { HttpException } from '@nestjs/common';

const CODES_OF_STATUS = new Map([
  [404, 'ROUTE_NOT_FOUND'],
  [405, 'ROUTE_NOT_FOUND'],
  [413, 'VALUE_TOO_LARGE'],
  [415, 'UNSUPPORTED_MEDIA_TYPE'],
] as const);

/**
 * What an exception means to the caller. Errors of the HTTP server (no such route, body too large, media type) come
 * as HttpException; whatever nobody expected is INTERNAL, and its text stays in the log.
 */
export function quorateErrorOf(exception: unknown): QuorateError {
  if (exception instanceof QuorateError) {
    return exception;
  }
  if (exception instanceof HttpException && exception.getStatus() < 500) {
    const known = [...CODES_OF_STATUS].find(([status]) => status === exception.getStatus());
    return new QuorateError(
      known?.[1] ?? 'INVALID_REQUEST',
      known === undefined ? exception.message : undefined,
    );
  }
  return new QuorateError('INTERNAL');
}
