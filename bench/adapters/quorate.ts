import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ClusterFile, parseClusterFile } from '@quorate/api';
import { QuorateClient } from '@quorate/client';
import { type StoreLinks, connectStore } from '@quorate/client/link';
import { connect, headers } from 'nats';
import { checkOf } from '../access.js';
import { HttpPool } from '../wire/http.js';
import { type Values, byKey, inTurn, keyText } from '../values.js';
import type { Adapter, QuorateTarget } from './adapter.js';

/** Made by whoever starts the cluster. Writes and reads of the SDK go to the strict one, REST and NATS to the cached one. */
export const STRICT_NAMESPACE = 'limits';
export const CACHED_NAMESPACE = 'content';

/** Longer than the SDK's own: what a loaded machine answers late is late, not wrong. */
const DEADLINE_MS = 10_000;
/** What refusals are measured with: the SDK's own. */
export const REFUSAL_DEADLINE_MS = 2_000;

export function readToken(folder: string): string {
  return readFileSync(join(folder, 'admin.token'), 'utf8').trim();
}

export function readCluster(folder: string): ClusterFile {
  return parseClusterFile(readFileSync(join(folder, 'cluster.json'), 'utf8'));
}

/** Links to every member of a development cluster. */
export function openLinks(folder: string, role: 'client' | 'gateway'): StoreLinks {
  const text = readFileSync(join(folder, 'secrets', role, `${role}.key`), 'utf8');
  return connectStore({ cluster: readCluster(folder), role, key: Buffer.from(text.trim(), 'hex') });
}

/** The SDK: everything multiplexed on one link to the leader (the links to the others are idle). */
export function quorateSdk(deadlineMs = DEADLINE_MS) {
  return async ({ folder }: QuorateTarget, values: Values): Promise<Adapter> => {
    const links = openLinks(folder, 'client');
    const client = new QuorateClient({ store: links.client, token: readToken(folder) });
    const nameOf = byKey(keyText);
    const next = inTurn(values.pool);
    const put = (key: number): Promise<unknown> =>
      client.put(STRICT_NAMESPACE, nameOf(key), next(), { deadlineMs });
    return {
      operations: {
        put,
        read: async (key) => {
          const { entry } = await client.get(STRICT_NAMESPACE, nameOf(key), { deadlineMs });
          return values.checked(entry?.value ?? new Uint8Array());
        },
        check: async (key) => {
          const { allowed, reason } = await client.check(checkOf(key), { deadlineMs });
          if (!allowed) throw new Error(`denied: ${reason}`);
        },
      },
      load: put,
      putStamped: (key, stamp) =>
        client.put(STRICT_NAMESPACE, nameOf(key), values.stamped(stamp), { deadlineMs }),
      close: () => links.close(),
    };
  };
}

/** REST at a gateway; as many connections as requests under way. */
export async function quorateRest({ folder, gateway }: QuorateTarget, values: Values): Promise<Adapter> {
  const pool = new HttpPool(gateway, `Authorization: Bearer ${readToken(folder)}\r\n`);
  const path = byKey((key) => `/v1/namespaces/${CACHED_NAMESPACE}/entries/${keyText(key)}`);
  const next = inTurn(values.pool.map(String));
  const put = (key: number): Promise<string> => pool.request('PUT', path(key), next());
  const nearRead = (key: number): Promise<string> =>
    pool.request('GET', path(key), null, 'Read-Consistency: eventual\r\n');
  return {
    operations: {
      put,
      read: async (key) =>
        values.checked(await pool.request('GET', path(key), null, 'Read-Consistency: linearizable\r\n')),
      nearRead: async (key) => values.checked(await nearRead(key)),
    },
    load: put,
    readStamp: async (key) => Number(/"value":"(\d+)/.exec(await nearRead(key))?.[1]?.slice(0, 14)),
    close: () => pool.close(),
  };
}

/** The NATS API of a gateway, over one connection to NATS. */
export async function quorateNats({ folder, nats }: QuorateTarget, values: Values): Promise<Adapter> {
  if (nats === null) throw new Error('the cluster runs without NATS');
  const { user, password } = JSON.parse(readFileSync(join(folder, 'nats-client.json'), 'utf8'));
  const connection = await connect({ servers: `${nats.host}:${nats.port}`, user, pass: password });
  const head = headers();
  head.set('Authorization', `Bearer ${readToken(folder)}`);
  const prefix = `quorate.${readCluster(folder).clusterId}.v1`;
  const start = byKey((key) => `{"namespace":"${CACHED_NAMESPACE}","key":"${keyText(key)}"`);
  const ask = async (verb: string, body: string): Promise<Uint8Array> => {
    const options = { headers: head, timeout: DEADLINE_MS };
    const reply = await connection.request(`${prefix}.${verb}`, body, options);
    const code = reply.headers?.get('Nats-Service-Error-Code') ?? '';
    if (code !== '') throw new Error(code);
    return reply.data;
  };
  const next = inTurn(values.pool.map(String));
  const put = (key: number): Promise<unknown> => ask('put', `${start(key)},"value":${next()}}`);
  const read = async (key: number, level: string): Promise<Uint8Array> =>
    values.checked(await ask('get', `${start(key)},"consistency":"${level}"}`));
  return {
    operations: {
      put,
      read: (key) => read(key, 'linearizable'),
      nearRead: (key) => read(key, 'eventual'),
    },
    load: put,
    close: () => connection.close(),
  };
}

/** For visibility over REST: written by the SDK, so that the gateway learns of it by its feed, and read at the gateway. */
export async function quorateVisibleAtGateway(target: QuorateTarget, values: Values): Promise<Adapter> {
  const rest = await quorateRest(target, values);
  const links = openLinks(target.folder, 'client');
  const client = new QuorateClient({ store: links.client, token: readToken(target.folder) });
  return {
    ...rest,
    putStamped: (key, stamp) => client.put(CACHED_NAMESPACE, keyText(key), values.stamped(stamp)),
    close: async () => {
      links.close();
      await rest.close();
    },
  };
}
