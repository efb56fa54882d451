import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ErrorCode, LinkRole } from '@quorate/api';
import { isErrorCode } from '@quorate/api';
import { ByteReader, ByteWriter, DecodeError } from '@quorate/kv';

/** The version of frames and payloads. Both ends must speak the same one. */
export const LINK_VERSION = 3;
/** First bytes of a hello: another protocol that reaches the port by mistake is told apart from an older version. */
const MAGIC = 'QUORATE-LINK';
const NONCE_BYTES = 32;
const PROOF_BYTES = 32;
const TEXT_BYTES_MAX = 64;
const SENTENCE_BYTES_MAX = 2048;
const ROLES: readonly LinkRole[] = ['member', 'gateway', 'client'];

/** Why a handshake ended without a connection. */
export interface LinkRefusal {
  readonly code: ErrorCode;
  /** One sentence for the operator. */
  readonly message: string;
  /** True: the other end refused us. False: we refused it. */
  readonly byPeer: boolean;
}

/** What both ends must agree on. */
export interface ClusterIdentity {
  readonly clusterId: string;
  readonly epoch: number;
  readonly memberListHash: string;
}

/** A member and the incarnation of its data folder. */
export interface MemberIdentity {
  readonly id: number;
  readonly incarnation: string;
}

/** The dialling end's first word. */
export interface Hello extends ClusterIdentity {
  readonly version: number;
  readonly role: LinkRole;
  /** The dialling member; null for gateways and clients. */
  readonly from: MemberIdentity | null;
  /** The member that the dialling end means to reach. */
  readonly to: number;
  readonly nonce: Uint8Array;
}

/** The accepting end's answer to a hello that fits. */
export interface Challenge {
  readonly member: MemberIdentity;
  readonly nonce: Uint8Array;
}

export function newNonce(): Uint8Array {
  return new Uint8Array(randomBytes(NONCE_BYTES));
}

export function encodeHello(hello: Hello): Uint8Array {
  const writer = new ByteWriter();
  writer.string(MAGIC);
  // Fields behind the version may change with it; the version itself stays where it is.
  writer.u16(hello.version);
  writer.string(hello.clusterId);
  writer.u53(hello.epoch);
  writer.string(hello.memberListHash);
  writer.u8(ROLES.indexOf(hello.role));
  writer.boolean(hello.from !== null);
  if (hello.from !== null) writeMember(writer, hello.from);
  writer.u16(hello.to);
  writer.raw(hello.nonce);
  return writer.finish();
}

/** Total: a hello, the version alone when it is not ours, or a DecodeError. */
export function decodeHello(bytes: Uint8Array): Hello | { readonly version: number; readonly role: null } {
  const reader = new ByteReader(bytes);
  if (reader.string(TEXT_BYTES_MAX) !== MAGIC) throw new DecodeError('not a hello of this protocol');
  const version = reader.u16();
  if (version !== LINK_VERSION) return { version, role: null };
  const clusterId = reader.string(TEXT_BYTES_MAX);
  const epoch = reader.u53();
  const memberListHash = reader.string(TEXT_BYTES_MAX);
  const role = ROLES[reader.u8()];
  if (role === undefined) throw new DecodeError('unknown role');
  const from = reader.boolean() ? readMember(reader) : null;
  if ((role === 'member') !== (from !== null))
    throw new DecodeError('a member, and only a member, says who it is');
  const to = reader.u16();
  const nonce = reader.raw(NONCE_BYTES);
  reader.end();
  return { version, clusterId, epoch, memberListHash, role, from, to, nonce };
}

export function encodeChallenge(challenge: Challenge): Uint8Array {
  const writer = new ByteWriter();
  writeMember(writer, challenge.member);
  writer.raw(challenge.nonce);
  return writer.finish();
}

export function decodeChallenge(bytes: Uint8Array): Challenge {
  const reader = new ByteReader(bytes);
  const challenge = { member: readMember(reader), nonce: reader.raw(NONCE_BYTES) };
  reader.end();
  return challenge;
}

export function encodeRefusal(code: ErrorCode, message: string): Uint8Array {
  const writer = new ByteWriter();
  writer.string(code);
  writer.string(message);
  return writer.finish();
}

export function decodeRefusal(bytes: Uint8Array): LinkRefusal {
  const reader = new ByteReader(bytes);
  const code = reader.string(TEXT_BYTES_MAX);
  const message = reader.string(SENTENCE_BYTES_MAX);
  reader.end();
  if (!isErrorCode(code)) throw new DecodeError(`unknown error code ${code}`);
  return { code, message, byPeer: true };
}

/**
 * What an end proves to know: HMAC-SHA-256 by the role's key over everything both ends have said. Each side's label
 * differs, so that no end's proof can be reflected to it.
 */
export function proofOf(
  key: Uint8Array,
  side: 'dialling' | 'accepting',
  hello: Hello,
  challenge: Challenge,
): Uint8Array {
  const hmac = createHmac('sha256', key);
  hmac.update(`quorate link ${LINK_VERSION} ${side} `);
  // Both parts have fixed or prefixed lengths: their concatenation can be read in one way only.
  hmac.update(encodeHello(hello));
  hmac.update(encodeChallenge(challenge));
  return new Uint8Array(hmac.digest());
}

/** Compares in constant time. */
export function proofMatches(proof: Uint8Array, expected: Uint8Array): boolean {
  return proof.length === PROOF_BYTES && timingSafeEqual(proof, expected);
}

/** The TLS key is derived: one key, one use. */
export function tlsKeyOf(key: Uint8Array): Buffer {
  return createHmac('sha256', key).update('quorate link tls pre-shared key').digest();
}

export interface AcceptPolicy {
  readonly cluster: ClusterIdentity;
  readonly member: MemberIdentity;
  /** The members of cluster.json with their incarnations. */
  readonly members: readonly MemberIdentity[];
}

/** What the accepting end holds against a hello, or null. The most telling difference is named first. */
export function refusalOfHello(policy: AcceptPolicy, hello: Hello): LinkRefusal | null {
  const { cluster, member } = policy;
  if (hello.clusterId !== cluster.clusterId) {
    return refused(`This member belongs to cluster ${cluster.clusterId}, the peer to ${hello.clusterId}.`);
  }
  if (hello.to !== member.id) {
    return refused(`This address is member ${member.id}, the peer dialled it as member ${hello.to}.`);
  }
  if (hello.from !== null) {
    const { id, incarnation } = hello.from;
    if (id === member.id)
      return refused(`The peer says that it is member ${id}, which is this member itself.`);
    const listed = policy.members.find((candidate) => candidate.id === id);
    if (listed === undefined) return refused(`Member ${id} is not in the member list.`);
    if (listed.incarnation !== incarnation) return wiped(id, listed.incarnation, incarnation);
  }
  if (hello.epoch !== cluster.epoch) {
    return refused(`This member is in recovery epoch ${cluster.epoch}, the peer in ${hello.epoch}.`);
  }
  if (hello.memberListHash !== cluster.memberListHash) {
    return refused(
      `The member lists differ: ${cluster.memberListHash} here, ${hello.memberListHash} at the peer.`,
    );
  }
  return null;
}

/** What the dialling end holds against the member that answered, or null. `expected` is from its own member list. */
export function refusalOfChallenge(expected: MemberIdentity, challenge: Challenge): LinkRefusal | null {
  const { id, incarnation } = challenge.member;
  if (id !== expected.id) return refused(`The address of member ${expected.id} is answered by member ${id}.`);
  if (incarnation !== expected.incarnation) return wiped(id, expected.incarnation, incarnation);
  return null;
}

export function refused(message: string): LinkRefusal {
  return { code: 'HANDSHAKE_REFUSED', message, byPeer: false };
}

function wiped(id: number, expected: string, found: string): LinkRefusal {
  return {
    code: 'MEMBER_WIPED',
    message: `Member ${id} has a data folder of incarnation ${found}, the member list says ${expected}.`,
    byPeer: false,
  };
}

function writeMember(writer: ByteWriter, member: MemberIdentity): void {
  writer.u16(member.id);
  writer.string(member.incarnation);
}

function readMember(reader: ByteReader): MemberIdentity {
  return { id: reader.u16(), incarnation: reader.string(TEXT_BYTES_MAX) };
}
