import { GrpcConnection } from '../wire/grpc.js';
import { HttpPool } from '../wire/http.js';
import { bytesField, bytesFields, numberField } from '../wire/protobuf.js';
import { type Values, byKey, inTurn, keyText, stampOf } from '../values.js';
import type { Adapter, PeerTarget } from './adapter.js';

const PUT = '/etcdserverpb.KV/Put';
const RANGE = '/etcdserverpb.KV/Range';
const WATCH = '/etcdserverpb.Watch/Watch';

/** All requests multiplexed on one gRPC connection, etcd's best case: it and the kernel can batch. */
export async function etcdGrpc({ leader, other }: PeerTarget, values: Values): Promise<Adapter> {
  const [writes, near] = await Promise.all([GrpcConnection.open(leader), GrpcConnection.open(other)]);
  const keyField = byKey((key) => bytesField(1, Buffer.from(keyText(key))));
  const next = inTurn(values.pool.map((value) => bytesField(2, value)));
  const serializable = byKey((key) => Buffer.concat([keyField(key), numberField(7, 1)]));
  const put = (key: number): Promise<Buffer> => writes.call(PUT, Buffer.concat([keyField(key), next()]));
  return {
    operations: {
      put,
      read: async (key) => values.checked(await writes.call(RANGE, keyField(key))),
      nearRead: async (key) => values.checked(await near.call(RANGE, serializable(key))),
    },
    load: put,
    putStamped: (key, stamp) =>
      writes.call(PUT, Buffer.concat([keyField(key), bytesField(2, values.stamped(stamp))])),
    watch: async (_keys, onSeen) => {
      // All keys from `k` up to, not including, `l`; field 1 of the request says that a watch is to be made.
      const range = Buffer.concat([bytesField(1, Buffer.from('k')), bytesField(2, Buffer.from('l'))]);
      near.stream(WATCH, bytesField(1, range), (message) => {
        const atMs = performance.now();
        for (const event of bytesFields(message, 11)) {
          const value = bytesFields(event, 2).flatMap((entry) => bytesFields(entry, 5))[0];
          if (value !== undefined) onSeen(stampOf(value), atMs);
        }
      });
    },
    close: () => {
      writes.close();
      near.close();
    },
  };
}

/** etcd's own gateway to HTTP and JSON; as many connections as requests under way. */
export async function etcdJson({ leader, other }: PeerTarget, values: Values): Promise<Adapter> {
  const [writes, near] = [new HttpPool(leader), new HttpPool(other)];
  const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');
  const keyOf = byKey((key) => base64(keyText(key)));
  const next = inTurn(values.pool.map(base64));
  const put = (key: number, value = next()): Promise<string> =>
    writes.request('POST', '/v3/kv/put', `{"key":"${keyOf(key)}","value":"${value}"}`);
  const nearRead = (key: number): Promise<string> =>
    near.request('POST', '/v3/kv/range', `{"key":"${keyOf(key)}","serializable":true}`);
  return {
    operations: {
      put: (key) => put(key),
      read: async (key) =>
        values.checked(await writes.request('POST', '/v3/kv/range', `{"key":"${keyOf(key)}"}`)),
      nearRead: async (key) => values.checked(await nearRead(key)),
    },
    load: (key) => put(key),
    putStamped: (key, stamp) => put(key, base64(values.stamped(stamp))),
    readStamp: async (key) => {
      const value = /"value":"([^"]*)"/.exec(await nearRead(key))?.[1] ?? '';
      return stampOf(Buffer.from(value, 'base64'));
    },
    close: () => {
      writes.close();
      near.close();
    },
  };
}
