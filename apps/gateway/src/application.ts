import type { MicroserviceOptions } from '@nestjs/microservices';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { SECRETS, type Secrets } from './configuration/secrets.js';
import { refuseByHead } from './http/early-refusal.js';
import { NATS_SERVER, type QuorateNatsServer } from './messages/quorate-nats-server.js';
import { GatewayMetrics } from './metrics/gateway-metrics.js';
import { ConsistencyTokens } from './store/consistency-tokens.js';

/** What `NestFactory.create` is called with, besides the module and the adapter. */
export const APPLICATION_OPTIONS = {
  // Bodies stay bytes: the adapter has its own parsers.
  bodyParser: false,
  // A wrong configuration is an exception for main, which says one sentence; Nest would log a stack and exit.
  abortOnError: false,
} as const;

/** Makes the application ready to answer: refuses early what it can, and counts every request at its end. */
export async function initApplication(app: NestFastifyApplication): Promise<void> {
  const metrics = app.get(GatewayMetrics, { strict: false });
  const { adminTokenHash } = app.get<Secrets>(SECRETS, { strict: false });
  const tokens = app.get(ConsistencyTokens, { strict: false });
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onRequest', (request, _reply, done) => {
      try {
        refuseByHead(request, adminTokenHash, tokens);
      } catch (error) {
        done(
          error instanceof Error ? error : new Error('A request could not be looked at.', { cause: error }),
        );
        return;
      }
      done();
    })
    .addHook('onResponse', (request, reply, done) => {
      const route = request.is404 ? 'unknown' : (request.routeOptions.url ?? 'unknown');
      metrics.recordRequest('http', route, reply.statusCode, reply.elapsedTime / 1000);
      done();
    });
  await app.init();
}

/**
 * Connects the NATS API, in the background and for as long as it takes: REST is served meanwhile. Without
 * QUORATE_NATS_URL there is nothing to connect. Call it after `initApplication`: the guard must be in place first.
 */
export async function startMessages(app: NestFastifyApplication): Promise<void> {
  const server = app.get<QuorateNatsServer | null>(NATS_SERVER, { strict: false });
  if (server === null) {
    return;
  }
  app.connectMicroservice<MicroserviceOptions>({ strategy: server }, { inheritAppConfig: true });
  await app.startAllMicroservices();
}
