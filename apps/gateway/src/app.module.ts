import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE, DiscoveryModule } from '@nestjs/core';
import { AccessModule } from './access/access.module.js';
import { ClusterModule } from './cluster/cluster.module.js';
import { ConfigurationModule } from './configuration/configuration.module.js';
import { ConsistencyModule } from './consistency/consistency.module.js';
import { EntriesModule } from './entries/entries.module.js';
import { HealthModule } from './health/health.module.js';
import { MessagesModule } from './messages/messages.module.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { NamespacesModule } from './namespaces/namespaces.module.js';
import { OpenApiController } from './openapi/openapi.controller.js';
import { BearerGuard } from './request/bearer.guard.js';
import { DeclaredNeeds } from './request/declared-needs.js';
import { ProblemFilter } from './request/problem.filter.js';
import { SchemaPipe } from './request/schema.pipe.js';
import { StoreModule } from './store/store.module.js';

/** The gateway: REST and NATS in front of the store, with one guard, one pipe and one exception filter for both. */
@Module({})
export class AppModule {
  /** `variables`: as `process.env`. */
  static forRoot(variables: Readonly<Record<string, string | undefined>>): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigurationModule.forRoot(variables),
        DiscoveryModule,
        StoreModule,
        EntriesModule,
        NamespacesModule,
        AccessModule,
        ClusterModule,
        ConsistencyModule,
        HealthModule,
        MetricsModule,
        MessagesModule,
      ],
      controllers: [OpenApiController],
      providers: [
        DeclaredNeeds,
        { provide: APP_GUARD, useClass: BearerGuard },
        { provide: APP_PIPE, useClass: SchemaPipe },
        { provide: APP_FILTER, useClass: ProblemFilter },
      ],
    };
  }
}
