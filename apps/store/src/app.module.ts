import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { ConfigurationModule } from './configuration/configuration.module.js';
import type { MemberSetup } from './configuration/configuration.module.js';
import { HealthModule } from './health/health.module.js';
import { LinkModule } from './link/link.module.js';
import type { Log } from './log.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { ReplicaModule } from './replica/replica.module.js';

/** One member of the cluster. */
@Module({})
export class AppModule {
  static of(setup: MemberSetup, log: Log): DynamicModule {
    return {
      module: AppModule,
      imports: [ConfigurationModule.of(setup, log), LinkModule, ReplicaModule, HealthModule, MetricsModule],
    };
  }
}
