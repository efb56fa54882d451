import type { CheckRequest, LinkRole, StoreResponse } from '@quorate/api';
import { StoreClient } from '@quorate/client';
import type { Operation } from '@quorate/kv';
import type { Cluster } from './cluster.js';
import type { Host } from './host.js';
import { SimulatedConnection } from './link-connection.js';
import { ADMIN_TOKEN } from './member.js';
import type { StoreAccess } from './store-access.js';

/** The SDK's own core on a simulated host. */
export function connectStoreClient(cluster: Cluster, host: Host, role: LinkRole): StoreClient {
  return new StoreClient({
    connections: cluster.members.map(({ id }) => new SimulatedConnection(cluster, host, role, id)),
    clock: host,
    random: () => host.random.fraction(),
  });
}

/** A user that works through the SDK. */
export class SdkClient implements StoreAccess {
  readonly #client: StoreClient;

  constructor(cluster: Cluster, host: Host) {
    this.#client = connectStoreClient(cluster, host, 'client');
  }

  write(
    operation: Operation,
    idempotencyKey: string | null,
    deadlineMs: number,
    callback: (response: StoreResponse) => void,
    token: string = ADMIN_TOKEN,
  ): void {
    this.#client.write({ token, operation, idempotencyKey, deadlineMs }, callback);
  }

  get(namespace: string, key: string, deadlineMs: number, callback: (response: StoreResponse) => void): void {
    this.#client.read({ type: 'get', token: ADMIN_TOKEN, namespace, key }, deadlineMs, callback);
  }

  list(
    namespace: string,
    options: { readonly prefix: string; readonly limit: number },
    deadlineMs: number,
    callback: (response: StoreResponse) => void,
  ): void {
    this.#client.read({ type: 'list', token: ADMIN_TOKEN, namespace, ...options }, deadlineMs, callback);
  }

  check(check: CheckRequest, deadlineMs: number, callback: (response: StoreResponse) => void): void {
    this.#client.read({ type: 'check', token: ADMIN_TOKEN, check }, deadlineMs, callback);
  }

  get outstanding(): number {
    return this.#client.outstanding;
  }
}
