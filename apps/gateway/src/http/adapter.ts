import { PROBLEM_MEDIA_TYPE, QuorateError, problem } from '@quorate/api';
import { VALUE_BYTES_MAX } from '@quorate/kv';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';

/**
 * The router refuses longer path parameters with a 414 of its own, and measures them encoded. Node bounds the whole
 * request head at 16 KiB, so this never fires first; keys are measured where they are decoded.
 */
const PATH_PARAMETER_LENGTH_MAX = 16 * 1024;

/** For a whole request to arrive, in milliseconds. */
const REQUEST_MS_MAX = 30_000;

/**
 * The HTTP server: bodies arrive as bytes in every handler (values are kept byte for byte; the schema pipe parses the
 * rest), and what the router refuses before any handler runs is a problem document too.
 */
export function createHttpAdapter(
  tls: { readonly cert: string; readonly key: string } | null = null,
): FastifyAdapter {
  const adapter = new FastifyAdapter({
    ...(tls === null ? {} : { https: tls }),
    bodyLimit: VALUE_BYTES_MAX,
    // Fastify's own 503 of a server that closes is not of the catalogue: nobody could tell that a write did not happen. The store is let go of last.
    return503OnClosing: false,
    // Whoever sends slower than this holds a socket for nothing.
    requestTimeout: REQUEST_MS_MAX,
    routerOptions: { maxParamLength: PATH_PARAMETER_LENGTH_MAX },
    frameworkErrors: (_error: Error, request: FastifyRequest, reply: FastifyReply): void => {
      const code = /^\/v1\/namespaces\/[^/]*\/entries\//.test(request.raw.url ?? '')
        ? 'INVALID_KEY'
        : 'INVALID_REQUEST';
      const refusal = new QuorateError(code, 'The path is not valid percent-encoded UTF-8.');
      // The router's own context has no serializer for objects of other media types: hence the text.
      void reply
        .status(refusal.status)
        .header('Cache-Control', 'no-store')
        .type(PROBLEM_MEDIA_TYPE)
        .send(JSON.stringify(problem(refusal)));
    },
  });
  const server = adapter.getInstance();
  server.removeAllContentTypeParsers();
  server.addContentTypeParser(
    ['application/json', 'text/plain'],
    { parseAs: 'buffer' },
    (request, body, done) => {
      const refusal = mediaRefusal(request);
      done(refusal === null ? null : new QuorateError('UNSUPPORTED_MEDIA_TYPE', refusal), body);
    },
  );
  return adapter;
}

/** Why the body of this request is not taken, or null. */
function mediaRefusal({ headers, routeOptions }: FastifyRequest): string | null {
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    return 'Content-Encoding is not supported: send the body as it is.';
  }
  const isText = headers['content-type']?.toLowerCase().startsWith('text/plain') ?? false;
  const takesText = routeOptions.url?.startsWith('/v1/access/policies/') ?? false;
  return isText && !takesText ? 'Only the text of a policy may be text/plain.' : null;
}
