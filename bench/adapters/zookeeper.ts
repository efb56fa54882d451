import { ZooKeeperSession } from '../wire/zookeeper.js';
import { type Values, byKey, inTurn, keyText, stampOf } from '../values.js';
import type { Adapter, PeerTarget } from './adapter.js';

/** One session on the leader and one on another server. */
export async function zookeeper({ leader, other }: PeerTarget, values: Values): Promise<Adapter> {
  const [writes, near] = await Promise.all([ZooKeeperSession.open(leader), ZooKeeperSession.open(other)]);
  const path = byKey((key) => `/${keyText(key)}`);
  const next = inTurn(values.pool);
  return {
    operations: {
      put: (key) => writes.set(path(key), next()),
      // Sync and read, pipelined: a session is answered in order. Not linearizable, since a leader that is cut off still answers.
      read: async (key) => {
        writes.sync(path(key)).catch(() => undefined);
        return values.checked(await writes.get(path(key)));
      },
      nearRead: async (key) => values.checked(await near.get(path(key))),
    },
    load: async (key) => {
      try {
        await writes.create(path(key), next());
      } catch (error) {
        if (!(error instanceof Error) || error.message !== 'NODEEXISTS') throw error;
        await writes.set(path(key), next());
      }
    },
    putStamped: (key, stamp) => writes.set(path(key), values.stamped(stamp)),
    watch: async (keys, onSeen) => {
      // A watch fires once; the read that fetches the new value sets it again.
      near.onWatch = (changed) => {
        near.get(changed, true).then(
          (value) => onSeen(stampOf(value), performance.now()),
          () => undefined,
        );
      };
      for (let key = 0; key < keys; key += 1) await near.get(path(key), true);
    },
    close: () => {
      writes.close();
      near.close();
    },
  };
}
