import { createHash } from 'node:crypto';
import { isIP } from 'node:net';

/** A member as cluster.json lists it. */
export interface ClusterMember {
  readonly id: number;
  readonly host: string;
  readonly linkPort: number;
  readonly healthPort: number;
  /** 16 hex digits, drawn when the member's data folder was formatted. */
  readonly incarnation: string;
}

/** The content of cluster.json that a link needs. */
export interface ClusterDescription {
  /** 16 lowercase hex digits. */
  readonly clusterId: string;
  readonly epoch: number;
  readonly members: readonly ClusterMember[];
}

/** First 16 hex digits of the SHA-256 of the canonical JSON of the members, sorted by id. Both ends must agree on it. */
export function memberListHash(members: readonly ClusterMember[]): string {
  const canonical = [...members]
    .sort((left, right) => left.id - right.id)
    .map(({ id, host, linkPort, healthPort, incarnation }) => ({
      id,
      host,
      linkPort,
      healthPort,
      incarnation,
    }));
  return createHash('sha256').update(JSON.stringify(canonical)).digest('hex').slice(0, 16);
}

/** True for `localhost`, 127.0.0.0/8, ::1 and their IPv4-mapped form: bytes to them never leave the machine. */
export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase();
  if (name === 'localhost' || name === '::1') return true;
  const mapped = name.startsWith('::ffff:') ? name.slice('::ffff:'.length) : name;
  return isIP(mapped) === 4 && mapped.startsWith('127.');
}
