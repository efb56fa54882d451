import { createHmac, timingSafeEqual } from 'node:crypto';
import { revision, type Revision } from '@quorate/kv';

/** What a `Consistency-Token` says: "I have seen this revision of this epoch of this cluster". */
export interface ConsistencyToken {
  /** 16 lowercase hex digits. */
  readonly clusterId: string;
  readonly epoch: number;
  readonly revision: Revision;
}

/** Why a token was refused. All three are INVALID_CONSISTENCY_TOKEN; the word goes into the message. */
export type ConsistencyTokenRefusal = 'malformed' | 'forged' | 'foreign cluster';

// Layout: format (1 byte), cluster id (8), epoch (u32), revision (u64), first 8 bytes of the HMAC over what is before.
const FORMAT = 1;
const CLUSTER_ID_AT = 1;
const EPOCH_AT = 9;
const REVISION_AT = 13;
const MAC_AT = 21;
const TOKEN_BYTES = 29;
const TOKEN_LENGTH = 39;

/** Writes a token. `key` is the cluster's token.key; `clusterId` has 16 hex digits; `epoch` fits in 32 bits. */
export function encodeConsistencyToken(key: Uint8Array, token: ConsistencyToken): string {
  const bytes = Buffer.alloc(TOKEN_BYTES);
  bytes.writeUInt8(FORMAT, 0);
  bytes.write(token.clusterId, CLUSTER_ID_AT, EPOCH_AT - CLUSTER_ID_AT, 'hex');
  bytes.writeUInt32BE(token.epoch, EPOCH_AT);
  bytes.writeBigUInt64BE(BigInt(token.revision), REVISION_AT);
  mac(key, bytes.subarray(0, MAC_AT)).copy(bytes, MAC_AT);
  return bytes.toString('base64url');
}

/**
 * Reads a token that came from outside. The cluster is compared before the HMAC: another cluster has another key, and
 * "foreign cluster" tells the user more than "forged". Neither is ever trusted.
 */
export function decodeConsistencyToken(
  key: Uint8Array,
  clusterId: string,
  text: string,
): ConsistencyToken | ConsistencyTokenRefusal {
  if (text.length !== TOKEN_LENGTH) return 'malformed';
  const bytes = Buffer.from(text, 'base64url');
  // Buffer skips what is not base64url: only the canonical spelling is accepted.
  if (bytes.length !== TOKEN_BYTES || bytes.toString('base64url') !== text) return 'malformed';
  if (bytes.readUInt8(0) !== FORMAT) return 'malformed';
  if (bytes.toString('hex', CLUSTER_ID_AT, EPOCH_AT) !== clusterId) return 'foreign cluster';
  if (!timingSafeEqual(mac(key, bytes.subarray(0, MAC_AT)), bytes.subarray(MAC_AT))) return 'forged';
  const value = bytes.readBigUInt64BE(REVISION_AT);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) return 'malformed';
  return { clusterId, epoch: bytes.readUInt32BE(EPOCH_AT), revision: revision(Number(value)) };
}

function mac(key: Uint8Array, body: Uint8Array): Buffer {
  return createHmac('sha256', key)
    .update('quorate consistency token\0')
    .update(body)
    .digest()
    .subarray(0, TOKEN_BYTES - MAC_AT);
}
