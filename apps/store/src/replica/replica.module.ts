import { Injectable, Module } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { SetupService } from '../configuration/configuration.module.js';
import { LinkModule } from '../link/link.module.js';
import { Links } from '../link/links.js';
import { Log } from '../log.js';
import { Metrics } from '../metrics/metrics.js';
import { Member } from './member.js';

/** Starts the member when the app is up, and stops it before the app's ports close. */
@Injectable()
export class MemberLifecycle implements OnApplicationBootstrap, BeforeApplicationShutdown {
  constructor(private readonly member: Member) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.member.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.member.stop();
  }
}

@Module({
  imports: [LinkModule],
  providers: [
    MemberLifecycle,
    Metrics,
    {
      provide: Member,
      inject: [ConfigService, Links, Metrics, Log],
      useFactory: (setup: SetupService, links: Links, metrics: Metrics, log: Log) =>
        new Member({
          ...setup.get('cluster', { infer: true }),
          configuration: setup.get('configuration', { infer: true }),
          secrets: setup.get('secrets', { infer: true }),
          fatal: setup.get('fatal', { infer: true }),
          links,
          log,
          answered: (request, outcome) => metrics.answered(request, outcome),
        }),
    },
  ],
  exports: [Member, Metrics],
})
export class ReplicaModule {}
