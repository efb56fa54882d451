import { JetStreamBucket } from '../wire/jetstream.js';
import { type Values, byKey, inTurn, keyText, stampOf } from '../values.js';
import type { Adapter, PeerTarget } from './adapter.js';

/** NATS KV: a connection to the stream's leader and one to another server. */
export async function natsKv({ leader, other }: PeerTarget, values: Values): Promise<Adapter> {
  const [writes, near] = await Promise.all([JetStreamBucket.open(leader), JetStreamBucket.open(other)]);
  const nameOf = byKey(keyText);
  const next = inTurn(values.pool);
  const put = (key: number): Promise<void> => writes.put(nameOf(key), next());
  return {
    operations: {
      put,
      // The leader's answer without a question to the others: not linearizable, a leader that is cut off still answers.
      read: async (key) => values.checked(await writes.read(nameOf(key))),
      nearRead: async (key) => values.checked(await near.readDirect(nameOf(key))),
    },
    load: put,
    putStamped: (key, stamp) => writes.put(nameOf(key), values.stamped(stamp)),
    watch: (_keys, onSeen) => near.watch((value) => onSeen(stampOf(value), performance.now())),
    close: async () => {
      await Promise.all([writes.close(), near.close()]);
    },
  };
}
