import type { ClusterMember } from '@quorate/api';
import { isIP } from 'node:net';

/** The content of cluster.json that a link needs. */
export interface ClusterDescription {
  /** 16 lowercase hex digits. */
  readonly clusterId: string;
  readonly epoch: number;
  readonly members: readonly ClusterMember[];
}

/** True for `localhost`, 127.0.0.0/8, ::1 and their IPv4-mapped form: bytes to them never leave the machine. */
export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase();
  if (name === 'localhost' || name === '::1') return true;
  const mapped = name.startsWith('::ffff:') ? name.slice('::ffff:'.length) : name;
  return isIP(mapped) === 4 && mapped.startsWith('127.');
}
