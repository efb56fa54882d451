import type { ClusterFile } from '@quorate/api';
import { Module } from '@nestjs/common';
import { ENVIRONMENT } from '../configuration/configuration.module.js';
import type { Environment } from '../configuration/environment.js';
import { CLUSTER_FILE, SECRETS, type Secrets } from '../configuration/secrets.js';
import { GatewayMetrics } from '../metrics/gateway-metrics.js';
import { MetricsModule } from '../metrics/metrics.module.js';
import { StoreModule } from '../store/store.module.js';
import { MessagesController } from './messages.controller.js';
import { NATS_SERVER, QuorateNatsServer } from './quorate-nats-server.js';

@Module({
  imports: [StoreModule, MetricsModule],
  controllers: [MessagesController],
  providers: [
    {
      provide: NATS_SERVER,
      inject: [ENVIRONMENT, CLUSTER_FILE, SECRETS, GatewayMetrics],
      useFactory: (
        environment: Environment,
        cluster: ClusterFile,
        secrets: Secrets,
        metrics: GatewayMetrics,
      ): QuorateNatsServer | null =>
        environment.QUORATE_NATS_URL === undefined
          ? null
          : new QuorateNatsServer({
              url: environment.QUORATE_NATS_URL,
              clusterId: cluster.clusterId,
              user: environment.QUORATE_NATS_USER,
              password: secrets.natsPassword,
              onAnswered: (verb, status, seconds) => metrics.recordRequest('nats', verb, status, seconds),
            }),
    },
  ],
  exports: [NATS_SERVER],
})
export class MessagesModule {}
