#!/usr/bin/env node
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { APPLICATION_OPTIONS, initApplication, startMessages } from './application.js';
import { LOG_LEVELS, isLoopback, parseEnvironment, type Environment } from './configuration/environment.js';
import { readClusterFile, readSecrets } from './configuration/secrets.js';
import { createHttpAdapter } from './http/adapter.js';
import { StderrLogger } from './stderr-logger.js';

/** A stop that takes longer than this is cut off: every request has ended by its own deadline long before. */
const STOP_MS_MAX = 10_000;

function loggerOf(environment: Environment): StderrLogger {
  const last = LOG_LEVELS.indexOf(environment.QUORATE_LOG_LEVEL);
  return new StderrLogger(['fatal', ...LOG_LEVELS.slice(0, last + 1)]);
}

async function start(): Promise<void> {
  const environment = parseEnvironment(process.env);
  // The modules read them too; here a wrong one is said in one sentence, before Nest logs anything.
  const { tls } = readSecrets(environment);
  readClusterFile(environment);
  const logger = loggerOf(environment);
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.forRoot(process.env),
    createHttpAdapter(tls),
    {
      ...APPLICATION_OPTIONS,
      logger,
    },
  );
  stopOnSignals(app);
  await initApplication(app);
  await app.listen(environment.QUORATE_PORT, environment.QUORATE_HOST);
  process.stdout.write(`${JSON.stringify({ event: 'listening', url: await app.getUrl() })}\n`);
  if (tls === null && !isLoopback(environment.QUORATE_HOST)) {
    logger.warn('REST is served without TLS beyond this machine (QUORATE_HTTP_PLAINTEXT=true).', 'Gateway');
  }
  startMessages(app).catch((error: unknown) => logger.error(error, 'NATS'));
}

function stopOnSignals(app: NestFastifyApplication): void {
  let isStopping = false;
  const stop = (): void => {
    if (isStopping) {
      return;
    }
    isStopping = true;
    setTimeout(() => process.exit(1), STOP_MS_MAX).unref();
    app.close().then(
      () => process.exit(0),
      (error: unknown) => fail(error),
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

function fail(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

start().catch(fail);
