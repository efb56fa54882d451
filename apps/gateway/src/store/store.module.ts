import type { ClusterFile } from '@quorate/api';
import { systemClock } from '@quorate/client/link';
import { Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { ENVIRONMENT } from '../configuration/configuration.module.js';
import { CLUSTER_FILE, SECRETS, type Secrets } from '../configuration/secrets.js';
import { ConsistencyMonitor } from '../consistency/consistency-monitor.js';
import { connectBackend } from './backend.js';
import { ConsistencyTokens } from './consistency-tokens.js';
import { LocalAccess } from './local-access.js';
import { BACKEND, STORE, VIEW, type Backend, type Store } from './store.js';

/** The way to the store, the cached view, and the tokens of this cluster. */
@Module({
  providers: [
    { provide: BACKEND, inject: [ENVIRONMENT, CLUSTER_FILE, SECRETS], useFactory: connectBackend },
    {
      provide: ConsistencyMonitor,
      inject: [BACKEND],
      useFactory: (backend: Backend) => new ConsistencyMonitor(backend.view, systemClock),
    },
    {
      provide: STORE,
      inject: [BACKEND, ConsistencyMonitor],
      useFactory: (backend: Backend, monitor: ConsistencyMonitor) => monitor.observed(backend.store),
    },
    { provide: VIEW, inject: [BACKEND], useFactory: (backend: Backend) => backend.view },
    {
      provide: LocalAccess,
      inject: [SECRETS, STORE],
      useFactory: (secrets: Secrets, store: Store) => new LocalAccess(secrets.adminTokenHash, store),
    },
    {
      provide: ConsistencyTokens,
      inject: [SECRETS, CLUSTER_FILE],
      useFactory: (secrets: Secrets, cluster: ClusterFile) =>
        new ConsistencyTokens(secrets.tokenKey, cluster.clusterId, cluster.epoch),
    },
  ],
  exports: [STORE, VIEW, LocalAccess, ConsistencyTokens, ConsistencyMonitor],
})
export class StoreModule implements OnApplicationShutdown {
  constructor(
    @Inject(BACKEND) private readonly backend: Backend,
    private readonly monitor: ConsistencyMonitor,
  ) {}

  /** Runs after the HTTP server and NATS have stopped: the last requests still had their link. */
  async onApplicationShutdown(): Promise<void> {
    this.monitor.stop();
    await this.backend.close();
  }
}
