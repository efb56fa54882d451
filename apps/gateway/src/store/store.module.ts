import type { ClusterFile } from '@quorate/api';
import { Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { ENVIRONMENT } from '../configuration/configuration.module.js';
import { CLUSTER_FILE, SECRETS, type Secrets } from '../configuration/secrets.js';
import { connectBackend } from './backend.js';
import { ConsistencyTokens } from './consistency-tokens.js';
import { BACKEND, STORE, VIEW, type Backend } from './store.js';

/** The way to the store, the cached view, and the tokens of this cluster. */
@Module({
  providers: [
    { provide: BACKEND, inject: [ENVIRONMENT, CLUSTER_FILE, SECRETS], useFactory: connectBackend },
    { provide: STORE, inject: [BACKEND], useFactory: (backend: Backend) => backend.store },
    { provide: VIEW, inject: [BACKEND], useFactory: (backend: Backend) => backend.view },
    {
      provide: ConsistencyTokens,
      inject: [SECRETS, CLUSTER_FILE],
      useFactory: (secrets: Secrets, cluster: ClusterFile) =>
        new ConsistencyTokens(secrets.tokenKey, cluster.clusterId, cluster.epoch),
    },
  ],
  exports: [STORE, VIEW, ConsistencyTokens],
})
export class StoreModule implements OnApplicationShutdown {
  constructor(@Inject(BACKEND) private readonly backend: Backend) {}

  /** Runs after the HTTP server and NATS have stopped: the last requests still had their link. */
  async onApplicationShutdown(): Promise<void> {
    await this.backend.close();
  }
}
