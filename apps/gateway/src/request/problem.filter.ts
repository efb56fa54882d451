import { AssertionError } from 'node:assert/strict';
import {
  HEADERS,
  PROBLEM_MEDIA_TYPE,
  QuorateError,
  formatRetryAfter,
  problem,
  strongEtag,
} from '@quorate/api';
import { revision } from '@quorate/kv';
import { Catch, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { throwError, type Observable } from 'rxjs';
import { ConsistencyTokens } from '../store/consistency-tokens.js';
import { quorateErrorOf } from './quorate-error-of.js';

const RETRY_AFTER_DEFAULT_MS = 1000;

/** The headers that go with an error: when to come back, the current validator, how new the refusal was. */
export function errorHeaders(error: QuorateError, tokens: ConsistencyTokens): Record<string, string> {
  const { retryAfterMs, currentRevision, head } = error.details;
  return {
    'Cache-Control': 'no-store',
    ...(error.status === 503 && {
      [HEADERS.retryAfter]: formatRetryAfter(retryAfterMs ?? RETRY_AFTER_DEFAULT_MS),
    }),
    ...(currentRevision !== undefined &&
      currentRevision !== null && { [HEADERS.etag]: strongEtag(revision(currentRevision)) }),
    ...(head !== undefined && { [HEADERS.consistencyToken]: tokens.encode(revision(head)) }),
    ...(error.status === 401 && { 'WWW-Authenticate': 'Bearer' }),
  };
}

/** The one exception filter: every error of REST and NATS becomes a problem document of the catalogue here. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger('Problem');

  constructor(private readonly tokens: ConsistencyTokens) {}

  catch(exception: unknown, host: ArgumentsHost): Observable<never> | void {
    if (exception instanceof AssertionError) {
      // A programmer error: going on could answer from a broken state. Thrown outside of any handler it ends the process.
      setImmediate(() => {
        throw exception;
      });
    }
    const error = quorateErrorOf(exception);
    if (error.code === 'INTERNAL') {
      this.logger.error(exception);
    }
    if (host.getType() === 'rpc') {
      return throwError(() => error);
    }
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    if (reply.sent) {
      return;
    }
    void reply
      .status(error.status)
      .headers(errorHeaders(error, this.tokens))
      .type(PROBLEM_MEDIA_TYPE)
      .send(JSON.stringify(problem(error)));
  }
}
