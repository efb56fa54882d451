import type { Address } from '../wire/sockets.js';

/**
 * What a load generator can do. `read` is the strongest read that there is: linearizable, unless the peer has none. `nearRead` is the
 * cheapest: from whoever is near, perhaps old.
 */
export const OPERATIONS = ['put', 'read', 'nearRead', 'check'] as const;
export type OperationName = (typeof OPERATIONS)[number];

/** One way to speak to one product. Keys are small integers. */
export interface Adapter {
  /** Rejects when the answer is not what it must be. */
  readonly operations: Partial<Readonly<Record<OperationName, (key: number) => Promise<unknown>>>>;
  /** Writes a key that may not be there yet. */
  readonly load: (key: number) => Promise<unknown>;
  /** Writes a value that carries this stamp. */
  readonly putStamped?: (key: number, stamp: number) => Promise<unknown>;
  /** Calls `onSeen` with the stamp of each new value of keys 0 to `keys` - 1, and when it was seen (performance.now). */
  readonly watch?: (keys: number, onSeen: (stamp: number, atMs: number) => void) => Promise<void>;
  /** The stamp that a `nearRead` shows, for those who can only ask again and again. */
  readonly readStamp?: (key: number) => Promise<number>;
  readonly close: () => Promise<void> | void;
}

/** What an adapter connects to. */
export type Target =
  | {
      readonly type: 'peer';
      readonly leader: Address;
      /** Another server than the leader, when there is one. */
      readonly other: Address;
    }
  | {
      readonly type: 'quorate';
      /** Of the development cluster: cluster.json, keys and tokens. */
      readonly folder: string;
      readonly gateway: Address;
      readonly nats: Address | null;
    };

export type PeerTarget = Extract<Target, { readonly type: 'peer' }>;
export type QuorateTarget = Extract<Target, { readonly type: 'quorate' }>;

/** One adapter over several connections; each key always goes over the same one. */
export async function spread(count: number, open: () => Promise<Adapter>): Promise<Adapter> {
  const adapters = await Promise.all(Array.from({ length: count }, open));
  const of = (key: number): Adapter => {
    const adapter = adapters[key % count];
    if (adapter === undefined) throw new Error('no connection');
    return adapter;
  };
  const operations: Partial<Record<OperationName, (key: number) => Promise<unknown>>> = {};
  for (const name of OPERATIONS) {
    const each = adapters.map((adapter) => adapter.operations[name]);
    if (each.includes(undefined)) continue;
    operations[name] = (key) => each[key % count]?.(key) ?? Promise.reject(new Error('no connection'));
  }
  const [first] = adapters;
  return {
    operations,
    load: (key) => of(key).load(key),
    putStamped: (key, stamp) =>
      of(key).putStamped?.(key, stamp) ?? Promise.reject(new Error('it takes no stamped values')),
    ...(first?.watch !== undefined && { watch: first.watch }),
    close: async () => {
      await Promise.all(adapters.map(async (adapter) => adapter.close()));
    },
  };
}
