import { RedisConnection } from '../wire/redis.js';
import { type Values, byKey, inTurn, keyText } from '../values.js';
import type { Adapter, PeerTarget } from './adapter.js';

/** One server, everything pipelined on one connection. */
export async function redis({ leader }: PeerTarget, values: Values): Promise<Adapter> {
  const connection = await RedisConnection.open(leader);
  const nameOf = byKey(keyText);
  const next = inTurn(values.pool);
  const put = (key: number): Promise<Buffer> => connection.command('SET', nameOf(key), next());
  return {
    operations: {
      put,
      nearRead: async (key) => values.checked(await connection.command('GET', nameOf(key))),
    },
    load: put,
    close: () => connection.close(),
  };
}
