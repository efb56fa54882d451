import { createHmac, timingSafeEqual } from 'node:crypto';
import {
  ByteReader,
  ByteWriter,
  DecodeError,
  readChangeBatch,
  revision,
  writeChangeBatch,
} from '@quorate/kv';
import type { ChangeBatch, Revision } from '@quorate/kv';

/** Above this a message says `oversize` and its consumers pull. NATS itself refuses above 1 MiB. */
export const FEED_MESSAGE_BYTES_MAX = 512 * 1024;

export type FeedMessage =
  | { readonly clusterId: string; readonly batch: ChangeBatch }
  | {
      readonly clusterId: string;
      readonly epoch: number;
      readonly previous: Revision;
      readonly revision: Revision;
    };

/** Why a message was refused: not the format, of another cluster, or not authentic. */
export type FeedRefusal = 'format' | 'cluster' | 'mac';

export type DecodedFeedMessage =
  | { readonly type: 'batch'; readonly batch: ChangeBatch }
  | {
      readonly type: 'oversize';
      readonly epoch: number;
      readonly previous: Revision;
      readonly revision: Revision;
    }
  | { readonly type: 'refused'; readonly reason: FeedRefusal };

const FORMAT = 1;
const TYPE_BATCH = 1;
const TYPE_OVERSIZE = 2;
const CLUSTER_ID_BYTES_MAX = 64;
const MAC_BYTES = 32;
// A cheap bound for what is not worth encoding: values alone are over the limit.
const HEADER_BYTES = 2 + 4 + CLUSTER_ID_BYTES_MAX + MAC_BYTES;

/**
 * One message of the feed: format, type, cluster id, body, MAC over all of it. A batch that would be longer
 * than
 * FEED_MESSAGE_BYTES_MAX becomes `oversize` (F4).
 */
export function encodeFeedMessage(key: Uint8Array, message: FeedMessage): Uint8Array {
  if (!('batch' in message)) return seal(key, oversizeBody(message.clusterId, message));
  const { clusterId, batch } = message;
  if (valueBytes(batch) + HEADER_BYTES > FEED_MESSAGE_BYTES_MAX)
    return seal(key, oversizeBody(clusterId, batch));
  const writer = header(clusterId, TYPE_BATCH);
  writeChangeBatch(writer, batch);
  const body = writer.finish();
  if (body.length + MAC_BYTES > FEED_MESSAGE_BYTES_MAX) return seal(key, oversizeBody(clusterId, batch));
  return seal(key, body);
}

/**
 * Reads a message that anyone may have sent. Total: whatever the bytes, the answer is one of three. Nothing
 * behind the header
 * is looked at before the MAC is found right (F2).
 */
export function decodeFeedMessage(key: Uint8Array, clusterId: string, bytes: Uint8Array): DecodedFeedMessage {
  if (bytes.length <= MAC_BYTES || bytes.length > FEED_MESSAGE_BYTES_MAX) return refused('format');
  const body = bytes.subarray(0, bytes.length - MAC_BYTES);
  try {
    const reader = new ByteReader(body);
    if (reader.u8() !== FORMAT) return refused('format');
    const type = reader.u8();
    if (type !== TYPE_BATCH && type !== TYPE_OVERSIZE) return refused('format');
    if (reader.string(CLUSTER_ID_BYTES_MAX) !== clusterId) return refused('cluster');
    if (!timingSafeEqual(mac(key, body), bytes.subarray(body.length))) return refused('mac');
    if (type === TYPE_BATCH) {
      const batch = readChangeBatch(reader);
      reader.end();
      return { type: 'batch', batch };
    }
    const epoch = reader.u53();
    const previous = revision(reader.u53());
    const last = revision(reader.u53());
    reader.end();
    if (last < previous) return refused('format');
    return { type: 'oversize', epoch, previous, revision: last };
  } catch (error) {
    if (error instanceof DecodeError) return refused('format');
    throw error;
  }
}

function refused(reason: FeedRefusal): DecodedFeedMessage {
  return { type: 'refused', reason };
}

function header(clusterId: string, type: number): ByteWriter {
  const writer = new ByteWriter();
  writer.u8(FORMAT);
  writer.u8(type);
  writer.string(clusterId);
  return writer;
}

function oversizeBody(
  clusterId: string,
  link: { readonly epoch: number; readonly previous: Revision; readonly revision: Revision },
): Uint8Array {
  const writer = header(clusterId, TYPE_OVERSIZE);
  writer.u53(link.epoch);
  writer.u53(link.previous);
  writer.u53(link.revision);
  return writer.finish();
}

function seal(key: Uint8Array, body: Uint8Array): Uint8Array {
  const message = new Uint8Array(body.length + MAC_BYTES);
  message.set(body);
  message.set(mac(key, body), body.length);
  return message;
}

function mac(key: Uint8Array, body: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(body).digest();
}

function valueBytes(batch: ChangeBatch): number {
  return batch.changes.reduce(
    (sum, change) => sum + (change.type === 'put' ? change.entry.value.length : 0),
    0,
  );
}
