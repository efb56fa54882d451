import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { errorText, readClusterFile } from './configuration/cluster-file.js';
import { StartError } from './configuration/configuration.js';
import type { StoreConfiguration } from './configuration/configuration.js';
import { readSecrets } from './configuration/secrets.js';
import { Log } from './log.js';

export interface RunOptions {
  readonly configuration: StoreConfiguration;
  readonly log: Log;
  /** The process is to end at once, with this as the reason. */
  readonly fatal: (error: Error) => void;
}

/**
 * Starts one member: its HTTP port for health and metrics, then the replica and the links. Throws StartError for what the
 * operator can put right. The returned app ends the member when it is closed.
 */
export async function runMember({ configuration, log, fatal }: RunOptions): Promise<NestFastifyApplication> {
  const cluster = readClusterFile(configuration.clusterFile, configuration.member);
  const secrets = readSecrets(configuration.secretsDirectory);
  const { host } = configuration;
  const { healthPort } = cluster.self;
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.of({ configuration, cluster, secrets, fatal }, log),
    new FastifyAdapter({ logger: false }),
    { logger: log.forNest(), abortOnError: false },
  );
  app.enableShutdownHooks(['SIGTERM', 'SIGINT', 'SIGHUP']);
  try {
    // Starts the member (onApplicationBootstrap) first: a port that answers while the member cannot start would mislead.
    await app.init();
    await app.listen(healthPort, host);
  } catch (error) {
    await app.close();
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
      throw new StartError(`The health port ${healthPort} on ${host} cannot be opened: ${errorText(error)}.`);
    }
    throw error;
  }
  return app;
}
